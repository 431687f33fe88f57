"""Learning without an error: Oja's rule with and without lateral inhibition, on pen strokes."""

from __future__ import annotations

from neurosal.data import DataSpec
from neurosal.settings import SGD, Arm, Cosine, Experiment, Recipe, Training, probe


def lateral_decorrelation() -> Experiment:
    """One unit of Oja's rule comes to the first principal component of pen strokes (pendigits); four come to it
    together, or, with anti-Hebbian lateral inhibition, to directions without correlation that span the first four.

    No loss and no error; 20 epochs, 5 seeds, rate and inhibition by hand (not tuned).

    Reference: Oja (1982); Földiák (1989), "Adaptive network for optimal linear feature extraction".
    """
    arms = {
        "oja_one": ("1 unit", 1, False),
        "oja": ("4 units", 4, False),
        "oja_lateral": ("4 units, lateral", 4, True),
    }
    return Experiment(
        name="lateral_decorrelation",
        title="Oja's rule with and without lateral inhibition",
        data=DataSpec(name="pendigits", scaling="standardise"),
        arms={
            name: Arm(
                recipe=Recipe(
                    circuit="foldiak",
                    arguments={"inputs": 16, "outputs": outputs, "lateral": lateral, "inhibition": 2.0},
                    rule="shallow",
                ),
                label=label,
            )
            for name, (label, outputs, lateral) in arms.items()
        },
        seeds=(0, 1, 2, 3, 4),
        training=Training(
            epochs=20,
            batch_size=400,
            loss="none",
            optimizer=SGD(lr=0.02, schedule=Cosine()),
            record=(
                probe("weight", epochs=1),
                probe("activity", "input", epochs=1),
                probe("activity", "output", epochs=1),
            ),
        ),
        analyses=("decorrelation",),
    )
