"""LeNet-5: two convolutions with pooling, and three dense layers."""

from __future__ import annotations

from typing import Any, Literal

from neurosal.circuits.building import Growing, image, one_of, refuse, whole
from neurosal.graph import AvgPool2d, Circuit, Conv2d, Initialiser, MaxPool2d, Rate
from neurosal.graph.models import Activation


def lenet5(
    classes: int = 10,
    *,
    shape: tuple[int, int, int] = (1, 28, 28),
    channels: tuple[int, int] = (6, 16),
    hidden: tuple[int, ...] = (120, 84),
    padding: int = 2,
    pooling: Literal["average", "max"] = "average",
    activation: Activation = "tanh",
    init: Initialiser | None = None,
    name: str = "lenet5",
) -> Circuit:
    """LeNet-5 as it is built today: every feature map hears from every one below. 61,706 parameters.

    Two 5 × 5 convolutions, each with 2 × 2 pooling, then dense layers of 120, 84 and 10. Digits of 28 × 28 are padded
    by 2 to the 32 × 32 of the paper; for images of that size set ``padding=0``.

    Populations are input, conv1, pooled1, conv2, pooled2, flat, hidden1, hidden2, output.

    Args:
        classes: units of the output.
        shape: of the input: channels, rows, columns.
        channels: of the two convolutions.
        hidden: units of the dense populations below the output.
        padding: of the first convolution.
        pooling: "average" or "max".
        activation: of convolutions and hidden populations.
        init: distribution of the weights, Xavier uniform if None.
        name: of the circuit.

    Raises:
        CircuitError: for sizes that are no positive whole numbers, too small an image, or another pooling.

    Example:
        >>> lenet5().populations["flat"].size
        400

    Reference:
        LeCun et al. (1998), "Gradient-based learning applied to document recognition".
    """
    problems = [*whole(classes=classes, channels=channels, hidden=hidden), *image(shape)]
    problems += whole(padding=padding) if padding != 0 else []
    refuse([*problems, *one_of("pooling", pooling, ("average", "max"))])
    growing, unit, last = Growing(shape, init), Rate(activation=activation), "input"
    pool: Any = AvgPool2d(kernel=2) if pooling == "average" else MaxPool2d(kernel=2)
    for index, count in enumerate(channels, start=1):
        wiring = Conv2d(kernel=5, padding=padding if index == 1 else 0)
        last = growing.convolved(f"conv{index}", last, wiring, count, unit)
        last = growing.weightless(f"pooled{index}", last, pool)
    for index, units in enumerate(hidden, start=1):
        last = growing.dense(f"hidden{index}", last, units, unit)
    growing.dense("output", last, classes, Rate(activation="linear"))
    return growing.circuit(name)
