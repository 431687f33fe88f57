"""Residual networks for small images: ResNet-20, -32 and -56 in the form of He et al. for CIFAR."""

from __future__ import annotations

from typing import Literal

from neurosal.circuits.building import Growing, image, normed, one_of, refuse, whole
from neurosal.graph import BatchNorm, Circuit, Conv2d, GlobalAvgPool, Initialiser, Normalisation, Rate, Shortcut
from neurosal.graph.models import Activation

BATCH = BatchNorm()
Option = Literal["A", "B"]
Shape = tuple[int, int, int]


def resnet20(
    classes: int = 10,
    *,
    shape: Shape = (3, 32, 32),
    width: int = 16,
    shortcut: Option = "A",
    activation: Activation = "relu",
    norm: Normalisation | None = BATCH,
    init: Initialiser | None = None,
    name: str = "resnet20",
) -> Circuit:
    """ResNet-20 for CIFAR: a stem, three stages of three blocks ``x ← relu(x' + conv(relu(conv(x))))``, a read-out.

    Every convolution is 3 × 3 and followed by a norm. The stages have 16, 32 and 64 channels; the second and the third
    begin with stride 2, where the skip takes every second row and column and fills up channels with zeros (option A)
    or is a 1 × 1 convolution with a norm of its own (option B). The last stage is averaged over space, and a dense
    projection with a bias reads it out. 269,722 parameters with option A.

    Populations are input, stem, block1_hidden, block1_branch (linear), block1 (the sum), block2_hidden, ..., pooled,
    output; with option B also block4_skip and block7_skip.

    Args:
        classes: units of the output.
        shape: of the input: channels, rows, columns.
        width: channels of the stem and the first stage; the other stages have two and four times as many.
        shortcut: "A" or "B".
        activation: of stem, hidden populations and sums.
        norm: behind each convolution; None for none, and then a bias instead.
        init: distribution of the weights, Xavier uniform if None.
        name: of the circuit.

    Raises:
        CircuitError: for sizes that are no positive whole numbers or another option.

    Example:
        >>> circuit = resnet20()
        >>> circuit.populations["block4"].shape, circuit.projections["block3_to_block4"].wiring
        ((32, 16, 16), Shortcut(stride=2))

    Reference:
        He et al. (2016), "Deep residual learning for image recognition", arXiv 1512.03385, section 4.2.
    """
    return _stages(3, classes, shape, width, shortcut, activation, norm, init, name)


def resnet32(
    classes: int = 10,
    *,
    shape: Shape = (3, 32, 32),
    width: int = 16,
    shortcut: Option = "A",
    activation: Activation = "relu",
    norm: Normalisation | None = BATCH,
    init: Initialiser | None = None,
    name: str = "resnet32",
) -> Circuit:
    """ResNet-32 for CIFAR: as `resnet20`, with five blocks a stage. 464,154 parameters with option A.

    Args:
        classes, shape, width, shortcut, activation, norm, init, name: as of `resnet20`.

    Raises:
        CircuitError: as `resnet20` does.

    Example:
        >>> len(resnet32().select(pathway="feedforward"))
        63

    Reference:
        He et al. (2016), "Deep residual learning for image recognition", arXiv 1512.03385, section 4.2.
    """
    return _stages(5, classes, shape, width, shortcut, activation, norm, init, name)


def resnet56(
    classes: int = 10,
    *,
    shape: Shape = (3, 32, 32),
    width: int = 16,
    shortcut: Option = "A",
    activation: Activation = "relu",
    norm: Normalisation | None = BATCH,
    init: Initialiser | None = None,
    name: str = "resnet56",
) -> Circuit:
    """ResNet-56 for CIFAR: as `resnet20`, with nine blocks a stage. 853,018 parameters with option A.

    Args:
        classes, shape, width, shortcut, activation, norm, init, name: as of `resnet20`.

    Raises:
        CircuitError: as `resnet20` does.

    Example:
        >>> resnet56().populations["block27"].shape
        (64, 8, 8)

    Reference:
        He et al. (2016), "Deep residual learning for image recognition", arXiv 1512.03385, section 4.2.
    """
    return _stages(9, classes, shape, width, shortcut, activation, norm, init, name)


def _stages(
    blocks: int,
    classes: int,
    shape: Shape,
    width: int,
    shortcut: Option,
    activation: Activation,
    norm: Normalisation | None,
    init: Initialiser | None,
    name: str,
) -> Circuit:
    """Three stages of that many blocks."""
    refuse([*whole(classes=classes, width=width), *image(shape), *one_of("shortcut", shortcut, ("A", "B"))])
    growing = Growing(shape, init)
    unit = normed(activation, norm)
    last = growing.convolved("stem", "input", Conv2d(kernel=3, padding=1), width, unit)
    for index in range(3 * blocks):
        channels, stride = width * 2 ** (index // blocks), 2 if index in (blocks, 2 * blocks) else 1
        last = block(growing, f"block{index + 1}", last, channels, stride, shortcut, activation, norm)
    last = growing.weightless("pooled", last, GlobalAvgPool())
    growing.dense("output", last, classes, Rate(activation="linear"))
    return growing.circuit(name)


def block(
    growing: Growing,
    name: str,
    below: str,
    channels: int,
    stride: int,
    shortcut: Option,
    activation: Activation,
    norm: Normalisation | None,
) -> str:
    """Adds two convolutions and the sum of theirs and of what the skip brings, under these names: ``{name}_hidden``,
    ``{name}_branch``, ``{name}_skip`` (option B, where extents change), ``{name}``."""
    linear = normed("linear", norm)
    first, second = Conv2d(kernel=3, stride=stride, padding=1), Conv2d(kernel=3, padding=1)
    hidden = growing.convolved(f"{name}_hidden", below, first, channels, normed(activation, norm))
    branch = growing.convolved(f"{name}_branch", hidden, second, channels, linear)
    if growing.extent(branch) == growing.extent(below):
        return growing.summed(name, branch, below, None, activation)
    if shortcut == "A":
        return growing.summed(name, branch, below, Shortcut(stride=stride), activation)
    skip = growing.convolved(f"{name}_skip", below, Conv2d(kernel=1, stride=stride), channels, linear)
    return growing.summed(name, branch, skip, None, activation)
