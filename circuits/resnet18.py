"""The residual network with 18 layers for large images."""

from __future__ import annotations

from typing import Literal

from neurosal.circuits.building import Growing, image, normed, one_of, refuse, whole
from neurosal.circuits.resnet import BATCH, block
from neurosal.graph import Circuit, Conv2d, GlobalAvgPool, Initialiser, MaxPool2d, Normalisation, Rate
from neurosal.graph.models import Activation


def resnet18(
    classes: int = 1000,
    *,
    shape: tuple[int, int, int] = (3, 224, 224),
    width: int = 64,
    shortcut: Literal["A", "B"] = "B",
    activation: Activation = "relu",
    norm: Normalisation | None = BATCH,
    init: Initialiser | None = None,
    name: str = "resnet18",
) -> Circuit:
    """ResNet-18 for ImageNet: a 7 × 7 stem with stride 2, max pooling, four stages of two blocks, a read-out.

    The stages have 64, 128, 256 and 512 channels; all but the first begin with stride 2. Where extents change, the skip
    is a 1 × 1 convolution with a norm of its own (option B). 11,689,512 parameters at 1000 classes, scale and shift of
    the norms counted.

    Populations are input, stem, pooled_stem, block1_hidden, block1_branch (linear), block1 (the sum), block2_hidden,
    ..., block8, pooled, output, and block3_skip, block5_skip, block7_skip.

    Args:
        classes: units of the output.
        shape: of the input: channels, rows, columns.
        width: channels of the stem and the first stage; each stage has twice as many as the one below.
        shortcut: "B", or "A" as in `neurosal.circuits.resnet20`.
        activation, norm, init, name: as of `neurosal.circuits.resnet20`.

    Raises:
        CircuitError: for sizes that are no positive whole numbers, too small an image, or another option.

    Example:
        >>> resnet18(classes=10, shape=(3, 64, 64)).populations["block8"].shape
        (512, 2, 2)

    Reference:
        He et al. (2016), "Deep residual learning for image recognition", arXiv 1512.03385, table 1.
    """
    refuse([*whole(classes=classes, width=width), *image(shape), *one_of("shortcut", shortcut, ("A", "B"))])
    growing = Growing(shape, init)
    stem = Conv2d(kernel=7, stride=2, padding=3)
    last = growing.convolved("stem", "input", stem, width, normed(activation, norm))
    last = growing.weightless("pooled_stem", last, MaxPool2d(kernel=3, stride=2, padding=1))
    for index in range(8):
        channels, stride = width * 2 ** (index // 2), 2 if index in (2, 4, 6) else 1
        last = block(growing, f"block{index + 1}", last, channels, stride, shortcut, activation, norm)
    last = growing.weightless("pooled", last, GlobalAvgPool())
    growing.dense("output", last, classes, Rate(activation="linear"))
    return growing.circuit(name)
