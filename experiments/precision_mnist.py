"""Whether products in bfloat16 change what is learned: rules on MNIST in both precisions."""

from __future__ import annotations

from typing import Any

from neurosal.data import DataSpec
from neurosal.settings import SGD, Arm, Experiment, Recipe, Training

SIZES = [784, 256, 256, 10]
TYPES = ("float32", "bfloat16")


def precision_mnist() -> Experiment:
    """784-256-256-10 ReLU on MNIST by BP, KP and PFA, each with products in float32 and in bfloat16.

    Both arms of a rule start from the same weights and see the same batches, so that what differs between them is
    rounding, and what rounding grows into. Five seeds, 3 epochs, batch 128, SGD .1 without momentum, decay 1e-4; usual
    values, not tuned.
    """
    arms = {rule: _arms(rule, label) for rule, label in (("bp", "BP"), ("kp", "KP"), ("pfa", "PFA"))}
    return _study("precision_mnist", {name: arm for pair in arms.values() for name, arm in pair.items()}, epochs=3)


def precision_mnist_sal() -> Experiment:
    """As `precision_mnist`, SAL (our reconstruction) with 8 areas: one epoch, batch 256, rate .3."""
    changes = {"batch_size": 256, "optimizer": {"lr": 0.3}}
    return _study("precision_mnist_sal", _arms("sal", "SAL-8", changes, areas=8), epochs=1)


def _arms(rule: str, label: str, changes: dict[str, Any] | None = None, **options: Any) -> dict[str, Arm]:
    recipe = Recipe(circuit="mlp", arguments={"sizes": SIZES}, rule=rule, options=options)
    return {
        f"{rule}_{compute}": Arm(
            recipe=recipe, label=f"{label}, {compute}", training={**(changes or {}), "compute": compute}
        )
        for compute in TYPES
    }


def _study(name: str, arms: dict[str, Arm], *, epochs: int) -> Experiment:
    return Experiment(
        name=name,
        title="Products in float32 and in bfloat16, MNIST",
        data=DataSpec(name="mnist", scaling={"mean": 0.1307, "std": 0.3081}),
        arms=arms,
        seeds=(0, 1, 2, 3, 4),
        analyses=("learning_curves", "compare"),
        training=Training(epochs=epochs, batch_size=128, optimizer=SGD(lr=0.1, weight_decay=1e-4), log_every=20,
                          checkpoint_every=None),
    )  # fmt: skip
