"""VGG: plain chains of small convolutions, in the four depths of the paper."""

from __future__ import annotations

from typing import Literal

from neurosal.circuits.building import Growing, image, normed, one_of, refuse, whole
from neurosal.graph import Circuit, Conv2d, Initialiser, MaxPool2d, Normalisation, Rate
from neurosal.graph.models import Activation

# Convolutions in each of the five stages, which max pooling ends: configurations A, B, D and E.
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
FACTORS = (1, 2, 4, 8, 8)


def vgg(
    depth: Literal[11, 13, 16, 19] = 16,
    classes: int = 1000,
    *,
    shape: tuple[int, int, int] = (3, 224, 224),
    width: int = 64,
    hidden: tuple[int, ...] = (4096, 4096),
    activation: Activation = "relu",
    norm: Normalisation | None = None,
    bias: bool = True,
    init: Initialiser | None = None,
    name: str = "vgg",
) -> Circuit:
    """VGG: five stages of 3 × 3 convolutions, each ended by max pooling, then dense layers.

    The stages have 64, 128, 256, 512 and 512 channels. Parameters at 1000 classes without a norm and with batch
    normalisation behind each convolution: 132,863,336 and 132,868,840 (11), 133,047,848 and 133,053,736 (13),
    138,357,544 and 138,365,992 (16), 143,667,240 and 143,678,248 (19).

    Populations are input, conv1, conv2, ..., with pooled1 to pooled5 between them, flat, hidden1, hidden2,
    output.

    Args:
        depth: 11, 13, 16 or 19, layers with weights: the paper's configurations A, B, D and E.
        classes: units of the output.
        shape: of the input: channels, rows, columns; at least 32 rows and columns. For CIFAR ``shape=(3, 32, 32),
            hidden=()`` is usual.
        width: channels of the first stage.
        hidden: units of the dense populations below the output.
        activation: of convolutions and hidden populations.
        norm: behind each convolution, `BatchNorm()` for "VGG with batch normalisation"; None for none.
        bias: whether convolutions have a bias. Behind a norm that shifts it changes nothing; published counts include
            it.
        init: distribution of the weights, Xavier uniform if None.
        name: of the circuit.

    Raises:
        CircuitError: for sizes that are no positive whole numbers, another depth, or too small an image.

    Example:
        >>> small = vgg(11, 10, shape=(3, 32, 32), hidden=())
        >>> small.populations["pooled5"].shape
        (512, 1, 1)

    Reference:
        Simonyan & Zisserman (2015), "Very deep convolutional networks for large-scale image recognition", arXiv
        1409.1556.
    """
    refuse([
        *one_of("depth", depth, STAGES), *whole(classes=classes, width=width, hidden=hidden), *image(shape),
    ])  # fmt: skip
    growing, last, index = Growing(shape, init), "input", 0
    unit = normed(activation, norm, bias)
    for stage, (count, factor) in enumerate(zip(STAGES[depth], FACTORS, strict=True), start=1):
        for _ in range(count):
            index += 1
            last = growing.convolved(f"conv{index}", last, Conv2d(kernel=3, padding=1), width * factor, unit)
        last = growing.weightless(f"pooled{stage}", last, MaxPool2d(kernel=2))
    for index, units in enumerate(hidden, start=1):
        last = growing.dense(f"hidden{index}", last, units, Rate(activation=activation))
    growing.dense("output", last, classes, Rate(activation="linear"))
    return growing.circuit(name)
