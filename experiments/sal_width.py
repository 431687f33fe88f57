"""What areas are worth where active width is scarce: Letter at widths 8 to 256, SAL beside nets of equal cost."""

from __future__ import annotations

from typing import Any

from neurosal.data import DataSpec
from neurosal.settings import SGD, Arm, Experiment, Recipe, Search, Training, probe

INPUTS, CLASSES, AREAS, RANK = 16, 26, 16, 16
WIDTHS = (8, 16, 32, 64, 128, 256)
RATES = (0.03, 0.1, 0.3, 1.0, 3.0)


def parameters(width: int, areas: int = 1) -> int:
    """Forward weights and biases of a net with one hidden population, in all areas."""
    return areas * (INPUTS * width + width + width * CLASSES + CLASSES)


def multiply_adds(width: int, areas: int = 1) -> int:
    """Multiply-adds of one sample's forward pass; with areas, those of choosing one are among them."""
    routing = RANK * INPUTS + areas * RANK if areas > 1 else 0
    return INPUTS * width + width * CLASSES + routing


def width_of_equal(cost: int, of: Any) -> int:
    """The width of a plain net whose `of(width)` is nearest to a cost."""
    width = 1
    while of(width + 1) <= cost:
        width += 1
    return width if cost - of(width) <= of(width + 1) - cost else width + 1


# Label, rule, options and remark of each contender; the width of a plain net of equal cost is that of SAL-16.
CONTENDERS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "bp": ("BP", "bp", {}, "weight transport"),
    "shallow": ("read-out only (shallow)", "shallow", {}, "hidden weights never change"),
    "kp": ("KP", "kp", {}, ""),
    "sal4_kp": ("SAL-4 kp", "sal", {"areas": 4}, "online router"),
    "sal16_kp": ("SAL-16 kp", "sal", {"areas": AREAS}, "online router"),
    "sal16_bp": ("SAL-16 routed BP", "sal", {"areas": AREAS, "feedback": "bp"}, "online router; weight transport"),
    "bp_multiply_adds": ("BP, multiply-adds of SAL-16", "bp", {}, "weight transport; routing counted"),
    "bp_parameters": ("BP, parameters of SAL-16", "bp", {}, "weight transport"),
}

# Best rate on validation data at each width: `neurosal tune sal_width`; 5 rates, 2 seeds each, the same for every arm.
TUNED: dict[str, tuple[float, ...]] = {
    "bp": (0.1, 0.3, 0.3, 0.3, 0.3, 0.3),
    "shallow": (0.3, 0.3, 0.3, 0.3, 0.3, 0.3),
    "kp": (0.1, 0.1, 0.3, 0.3, 0.3, 0.3),
    "sal4_kp": (0.3, 0.3, 0.3, 0.3, 1.0, 1.0),
    "sal16_kp": (0.3, 1.0, 1.0, 1.0, 1.0, 1.0),
    "sal16_bp": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "bp_multiply_adds": (0.1, 0.3, 0.3, 0.3, 0.3, 0.3),
    "bp_parameters": (0.3, 0.3, 1.0, 1.0, 1.0, 1.0),
}


def _arm(contender: str, width: int) -> Arm:
    label, rule, options, note = CONTENDERS[contender]
    own = width
    if contender == "bp_multiply_adds":
        own = width_of_equal(multiply_adds(width, AREAS), multiply_adds)
    elif contender == "bp_parameters":
        own = width_of_equal(parameters(width, AREAS), parameters)
    arguments = {"sizes": [INPUTS, own, CLASSES], "init": {"kind": "kaiming_normal"}}
    return Arm(
        recipe=Recipe(circuit="mlp", arguments=arguments, rule=rule, options=options),
        label=f"{label}, {width}",
        note=note + (f"{'; ' if note else ''}{own} wide" if own != width else ""),
        training={"optimizer": {"lr": TUNED[contender][WIDTHS.index(width)]}},
    )


def sal_width() -> Experiment:
    """Letter, one hidden population of 8 to 256 active units: SAL with 4 and 16 areas beside plain nets.

    Kaiming normal, standardised inputs, batch 32, 30 epochs, plain SGD, 10 seeds. Beside nets of the same active width
    stand plain nets under BP with as many parameters as SAL-16 and with as many multiply-adds a sample (choosing an
    area counted). Rates are tuned on validation data, with the same budget for every arm. The control for routing is
    the vote of prototypes: the commonest training label of the area that a sample takes. SAL is our reconstruction.

    Reference: SAL, arXiv 2601.21561; the question and its controls are ours.
    """
    return Experiment(
        name="sal_width",
        title="SAL on Letter by active width",
        data=DataSpec(name="letter", scaling="standardise"),
        arms={f"{contender}_{width}": _arm(contender, width) for width in WIDTHS for contender in CONTENDERS},
        seeds=tuple(range(10)),
        analyses=("series",),
        training=Training(
            epochs=30,
            batch_size=32,
            optimizer=SGD(lr=0.3),
            log_every=100,
            evaluate_every=10,
            checkpoint_every=None,
            record=(probe("vote", epochs=30), probe("usage", epochs=30)),
        ),
        search=Search(over={"optimizer.lr": RATES}, seeds=(100, 101), evaluate_every=30),
    )
