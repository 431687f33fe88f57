"""The all convolutional network: stride in place of pooling, and classes that are averaged over space."""

from __future__ import annotations

from typing import Literal

from neurosal.circuits.building import Growing, image, normed, one_of, refuse, whole
from neurosal.graph import Circuit, Conv2d, GlobalAvgPool, Initialiser, Normalisation, Rate
from neurosal.graph.models import Activation


def all_conv(
    classes: int = 10,
    *,
    shape: tuple[int, int, int] = (3, 32, 32),
    width: int = 96,
    readout: Literal["convolution", "dense"] = "convolution",
    activation: Activation = "relu",
    norm: Normalisation | None = None,
    init: Initialiser | None = None,
    name: str = "all_conv",
) -> Circuit:
    """All-CNN-C for CIFAR: seven 3 × 3 convolutions, the third and the sixth with stride 2, and two of 1 × 1.

    Three convolutions have 96 channels, five 192, and the last one a channel a class, which are averaged over space.
    1,369,738 parameters at 10 classes.

    Populations are input, conv1, ..., conv9, output; with a dense read-out input, conv1, ..., conv8, pooled, output.

    Args:
        classes: units of the output.
        shape: of the input: channels, rows, columns.
        width: channels of the first three convolutions; the others have twice as many.
        readout: "convolution" as in the paper: classes are rectified at each place, then averaged, and nothing plastic
            ends at the output. "dense" averages first: as many parameters, and equal where the classes are linear; the
            baseline `shallow` then has weights to learn.
        activation: of the convolutions.
        norm: behind each 3 × 3 and 1 × 1 convolution but that of the classes; None for none as in the paper.
        init: distribution of the weights, Xavier uniform if None.
        name: of the circuit.

    Raises:
        CircuitError: for sizes that are no positive whole numbers, too small an image, or another read-out.

    Example:
        >>> all_conv().populations["conv9"].shape
        (10, 6, 6)

    Reference:
        Springenberg et al. (2015), "Striving for simplicity: the all convolutional net", arXiv 1412.6806, table 1 and
        section 3.1.
    """
    readouts = ("convolution", "dense")
    refuse([*whole(classes=classes, width=width), *image(shape), *one_of("readout", readout, readouts)])
    growing, unit, last = Growing(shape, init), normed(activation, norm), "input"
    wide = 2 * width
    layers = [(3, 1, 1, width), (3, 1, 1, width), (3, 2, 1, width), (3, 1, 1, wide), (3, 1, 1, wide), (3, 2, 1, wide)]
    # The last one with a kernel of 3 × 3 is not padded: 6 × 6 places are left of 32 × 32.
    layers += [(3, 1, 0, wide), (1, 1, 0, wide)]
    for index, (kernel, stride, padding, channels) in enumerate(layers, start=1):
        wiring = Conv2d(kernel=kernel, stride=stride, padding=padding)
        last = growing.convolved(f"conv{index}", last, wiring, channels, unit)
    if readout == "convolution":
        last = growing.convolved("conv9", last, Conv2d(kernel=1), classes, Rate(activation=activation))
        growing.weightless("output", last, GlobalAvgPool())
    else:
        last = growing.weightless("pooled", last, GlobalAvgPool())
        growing.dense("output", last, classes, Rate(activation="linear"))
    return growing.circuit(name)
