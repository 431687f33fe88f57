"""Feedback of trained circuits beside that of worm and fly: who answers whom, and how strongly."""

from __future__ import annotations

from neurosal.data import DataSpec
from neurosal.settings import SGD, Arm, Experiment, Recipe, Training, probe

EPOCHS = 10
LABELS = {
    "fa": ("FA", "feedback as it was drawn"),
    "kp": ("KP", "feedback that learns as forward synapses do, decay"),
    "kp_tied": ("KP, tied at birth", "feedback starts as the transpose"),
    "usf": ("uSF", "feedback has the signs of forward synapses, one size"),
}


def real_feedback() -> Experiment:
    """64-128-64-10 on digits by FA, KP and uSF, and the analysis `reciprocity`: connections that are answered, angle of
    the whole network to its transpose, and likeness of both directions, beside twelve worms and the fly's medulla.

    Reciprocity is that of the strongest tenth of each projection's synapses. The worms' wiring ships with the package;
    set NEUROSAL_DATA to a folder with it and the fly's for both.
    """
    return Experiment(
        name="real_feedback",
        title="Feedback of trained circuits beside worm and fly",
        data=DataSpec(name="digits"),
        arms={
            rule: Arm(
                recipe=Recipe(circuit="mlp", arguments={"sizes": [64, 128, 64, 10]}, rule=rule),
                label=label,
                note=note,
            )
            for rule, (label, note) in LABELS.items()
        },
        seeds=(0, 1, 2, 3, 4),
        training=Training(
            epochs=EPOCHS,
            batch_size=16,
            optimizer=SGD(lr=0.05, momentum=0.9, weight_decay=1e-3),
            record=(probe("weight", epochs=EPOCHS),),
        ),
        analyses=("reciprocity", "learning_curves"),
    )
