"""SAL with more than 10⁹ forward parameters and as many feedback synapses of their own, on one small machine."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from neurosal.data import DataSpec, Split, Subset
from neurosal.settings import SGD, Arm, Experiment, Recipe, Training, probe

INPUTS, CLASSES, AREAS = 784, 10, 16
WIDTH, HIDDEN = 4096, 5  # four projections of width by width
STEPS, BATCH = 200, 256

# Label, options of the rule, learning rate and remark of each contender.
CONTENDERS: dict[str, tuple[str, str, float, str]] = {
    "sal_kp": ("SAL-16 kp", "kp", 0.02, ""),
    "sal_shallow": ("SAL-16, read-out only (shallow)", "shallow", 0.06, "hidden weights never change"),
    "sal_bp": ("SAL-16 routed BP", "bp", 0.006, "weight transport"),
}


def sizes(width: int = WIDTH, hidden: int = HIDDEN, inputs: int = INPUTS) -> list[int]:
    """Units of each population."""
    return [inputs, *[width] * hidden, CLASSES]


def forward_parameters(width: int = WIDTH, hidden: int = HIDDEN, areas: int = AREAS) -> int:
    """Forward weights and biases, in all areas."""
    return areas * sum(post * (pre + 1) for pre, post in pairwise(sizes(width, hidden)))


def sal_1b() -> Experiment:
    """SAL-R at 1.13 billion forward parameters: 784-4096⁵-10 with 16 areas, 70 million of them active a sample.

    With `kp` there are 1.07 billion feedback weights beside them that start at random and read no forward weight. Plain
    SGD, which keeps no state; batches of 256 from 51,200 training samples, so that in the 200 steps no sample is seen
    twice; loss and accuracy of 2,000 validation and 2,000 test samples every 20 steps. No checkpoint is written (one
    takes 8.8 GB): ``--set training.checkpoint_at_end=true`` asks for one at the end. Beside it the same net under
    backpropagation with the routes as they are, and with hidden weights that never change.

    It takes 10 GB of memory. Rates follow a search at width 256 (results/sal_1b.md), divided by the ratio of the
    widths, because what a step changes in the output grows with the width. SAL is our reconstruction.

    Reference: SAL, arXiv 2601.21561.
    """
    return scaled()


def scaled(width: int = WIDTH, hidden: int = HIDDEN, **training: Any) -> Experiment:
    """`sal_1b` at another width and depth, with other settings of the training: for searches and tests."""
    return Experiment(
        name="sal_1b",
        title="SAL with 1.1 billion forward parameters",
        data=DataSpec(
            name="mnist",
            scaling="symmetric",
            split=Split(train=STEPS * BATCH, validation=60_000 - STEPS * BATCH),
            subset=Subset(validation=2000, test=2000),
        ),
        arms={name: arm(name, sizes(width, hidden)) for name in CONTENDERS},
        seeds=(0,),
        analyses=("learning_curves", "areas"),
        training=Training(
            **{
                "epochs": 1,
                "batch_size": BATCH,
                "optimizer": SGD(lr=0.01),
                "log_every": 1,
                "evaluate_every_steps": 20,
                "checkpoint_every": None,
                "checkpoint_at_end": False,
                "record": (probe("usage", every=50),),
                **training,
            }
        ),
    )


def arm(name: str, units: list[int], areas: int = AREAS) -> Arm:
    """One contender with populations of these sizes."""
    label, feedback, rate, note = CONTENDERS[name]
    arguments = {"sizes": units, "init": {"kind": "kaiming_normal"}}
    options = {"areas": areas, "feedback": feedback}
    return Arm(
        recipe=Recipe(circuit="mlp", arguments=arguments, rule="sal", options=options),
        label=label,
        note=note,
        training={"optimizer": {"lr": rate}},
    )
