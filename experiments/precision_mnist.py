"""Whether products in bfloat16 change what is learned: four rules on MNIST in both precisions."""

from __future__ import annotations

from neurosal.data import DataSpec
from neurosal.settings import SGD, Arm, Experiment, Recipe, Training

SIZES = [784, 256, 256, 10]
RULES: dict[str, tuple[str, float]] = {
    "bp": ("BP", 0.1),
    "kp": ("KP", 0.1),
    "pfa": ("PFA", 0.1),
    "sal": ("SAL-16", 0.3),
}
TYPES = ("float32", "bfloat16")


def precision_mnist() -> Experiment:
    """784-256-256-10 ReLU on MNIST by BP, KP, PFA and SAL with 16 areas: each with products in float32 and in bfloat16.

    Both arms of a rule start from the same weights and see the same batches, so that what differs between them is
    rounding, and what rounding grows into. Five seeds, 3 epochs, batch 128, SGD without momentum; rates are usual ones,
    not tuned.
    """
    arms = {}
    for rule, (label, lr) in RULES.items():
        options = {"areas": 16} if rule == "sal" else {}
        recipe = Recipe(circuit="mlp", arguments={"sizes": SIZES}, rule=rule, options=options)
        for compute in TYPES:
            training = {"compute": compute, "optimizer": {"lr": lr}}
            arms[f"{rule}_{compute}"] = Arm(recipe=recipe, label=f"{label}, {compute}", training=training)
    return Experiment(
        name="precision_mnist",
        title="Products in float32 and in bfloat16, MNIST",
        data=DataSpec(name="mnist", scaling={"mean": 0.1307, "std": 0.3081}),
        arms=arms,
        seeds=(0, 1, 2, 3, 4),
        analyses=("learning_curves", "compare"),
        training=Training(epochs=3, batch_size=128, optimizer=SGD(lr=0.1, weight_decay=1e-4), log_every=20,
                          checkpoint_every=None),
    )  # fmt: skip
