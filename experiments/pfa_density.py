"""How sparse may feedback be: product feedback alignment on MNIST with 5 to 100 percent of its synapses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neurosal.data import DataSpec
from neurosal.settings import SGD, Arm, Experiment, Piecewise, Recipe, Steps, Training, probe

SIZES = [784, 512, 512, 10]
EXPANSION = 10
PERCENT = (100, 50, 20, 10, 5)
RATE, DECAY, MOMENTUM = 0.01, 1e-4, 0.9
STRONG = 0.04  # decay of PFA's first epoch, whose dose Σ ηλ/(1 - momentum) is then 3.75; the paper's is .03 and 2.8
EPOCHS = 5
PFA_DECAY = Piecewise(starts=(0.0, 1.0), factors=(STRONG / DECAY, 0.9))


def pfa_density() -> Experiment:
    """784-512-512-10 ReLU on MNIST under PFA with ρ = 10, both hops of feedback with 100, 50, 20, 10 and 5 % density.

    A shorter recipe than the paper's, the same for every arm: 5 epochs where the paper has 40, batch 64, SGD .01 with
    momentum .9 (×.5 after 1/2 and after 3/4 of training, as there), decay 1e-4, for PFA .04 in the first epoch (there
    .03: so the decay dose is 3.8 here and 3.1 there) and 9e-5 afterwards. Inputs have mean .1307 and deviation .3081
    taken off; all 60,000 samples are for training, and the test set is looked at after every epoch. Five seeds, beside
    BP and the read-out alone.

    Each synapse of both hops is there with probability p, and B is scaled by 1/√p. For many units the path converges
    to the angle arctan(1/√(pρ)) to the forward weights, with p √(1 + 1/(pρ)) of their norm.

    Reference: Li et al. (2024), "Deep learning without weight symmetry", arXiv 2405.20594.
    """
    arms = {"bp": arm(SIZES, "bp", "BP", "weight transport")}
    arms["shallow"] = arm(SIZES, "shallow", "read-out only (shallow)", "hidden weights never change")
    for percent in PERCENT:
        options = {"expansion": EXPANSION} | ({"density": percent / 100} if percent < 100 else {})
        arms[f"pfa_{percent}"] = arm(SIZES, "pfa", f"PFA, {percent} % of synapses", "", **options)
    return study("pfa_density", "Density of feedback, MNIST", arms, epochs=EPOCHS, seeds=range(5))


def study(name: str, title: str, arms: dict[str, Arm], *, epochs: int, seeds: Iterable[int]) -> Experiment:
    """An experiment of relays on MNIST: the recipe that these studies share, in so many epochs."""
    optimizer = SGD(
        lr=RATE,
        momentum=MOMENTUM,
        weight_decay=DECAY,
        schedule=Steps(at=(epochs / 2, epochs * 3 / 4), factor_each=0.5),
    )
    return Experiment(
        name=name,
        title=title,
        data=DataSpec(name="mnist", scaling={"mean": 0.1307, "std": 0.3081}),
        arms=arms,
        seeds=tuple(seeds),
        analyses=("relays", "learning_curves", "symmetry"),
        training=Training(
            epochs=epochs,
            batch_size=64,
            optimizer=optimizer,
            log_every=100,
            checkpoint_every=1,
            record=(probe("angle", epochs=1), probe("norm_ratio", epochs=1), probe("update_angle", epochs=1)),
        ),
    )


def arm(sizes: list[int], rule: str, label: str, note: str, **options: Any) -> Arm:
    """A rule on a chain of these sizes; feedback over relays gets its strong decay in the first epoch."""
    changes = {"optimizer": {"decay_schedule": PFA_DECAY.to_dict()}} if rule.startswith("pfa") else {}
    recipe = Recipe(circuit="mlp", arguments={"sizes": sizes}, rule=rule, options=options)
    return Arm(recipe=recipe, label=label, note=note, training=changes)
