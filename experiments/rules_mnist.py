"""The MNIST study of product feedback alignment: every rule of the family on one net under the paper's settings."""

from __future__ import annotations

from typing import Any

from neurosal.data import DataSpec
from neurosal.settings import SGD, Arm, Experiment, Piecewise, Recipe, Steps, Training, probe

SIZES = [784, 512, 512, 10]
DECAY = 1e-4
# The paper's decay for PFA: .03 in the first epoch, 9e-5 afterwards, as factors on the decay of the other rules.
PFA_DECAY = Piecewise(starts=(0.0, 1.0), factors=(300.0, 0.9))

RULES: dict[str, tuple[str, str]] = {
    "bp": ("BP", "weight transport"),
    "shallow": ("read-out only (shallow)", "hidden weights never change"),
    "fa": ("FA", ""),
    "dfa": ("DFA", ""),
    "usf": ("uSF", "signs are transported"),
    "kp": ("KP", "not in the paper's table"),
    "pfa": ("PFA, ρ = 10", "decay .03 in the first epoch"),
    "pfa_o": ("PFA-o", "decay .03 in the first epoch"),
}


def _arm(rule: str, **options: Any) -> Arm:
    label, note = RULES[rule]
    changes = {"optimizer": {"decay_schedule": PFA_DECAY.to_dict()}} if rule.startswith("pfa") else {}
    recipe = Recipe(circuit="mlp", arguments={"sizes": SIZES}, rule=rule, options=options)
    return Arm(recipe=recipe, label=label, note=note, training=changes)


def rules_mnist() -> Experiment:
    """784-512-512-10 ReLU on MNIST under eight rules: 40 epochs, batch 64, SGD .01 (×.5 at 20 and 30), momentum .9.

    The settings are those of the paper, the same for every arm and not tuned by us; decay 1e-4, for PFA .03 in the
    first epoch and 9e-5 afterwards. Inputs have mean .1307 and deviation .3081 taken off; all 60,000 samples are for
    training, and the test set is looked at after every epoch, as in the paper. Five seeds.

    Published accuracy: BP 98.38, FA 98.23, DFA 98.15, uSF 98.25, PFA 98.39, PFA-o 98.42 (each ± .02 to .06).

    Reference: Li et al. (2024), "Deep learning without weight symmetry", arXiv 2405.20594.
    """
    return _study("rules_mnist", "Rules on MNIST, settings of the PFA paper", seeds=(0, 1, 2, 3, 4))


def rules_mnist_to_input() -> Experiment:
    """As `rules_mnist`, one seed, with feedback to the input as well, which the paper's angles count as a layer.

    The error at the input changes nothing else, so accuracies are those of `rules_mnist` with this seed.
    """
    study = _study("rules_mnist_to_input", "Angles with feedback to the input", seeds=(0,))
    arms = {name: _arm(name, to_input=True) for name in ("fa", "usf", "kp", "pfa", "pfa_o")}
    return study.replace(arms=arms)


def _study(name: str, title: str, seeds: tuple[int, ...]) -> Experiment:
    return Experiment(
        name=name,
        title=title,
        data=DataSpec(name="mnist", scaling={"mean": 0.1307, "std": 0.3081}),
        arms={rule: _arm(rule) for rule in RULES},
        seeds=seeds,
        analyses=("learning_curves", "symmetry"),
        training=Training(
            epochs=40,
            batch_size=64,
            optimizer=SGD(lr=0.01, momentum=0.9, weight_decay=DECAY, schedule=Steps(at=(20, 30), factor_each=0.5)),
            log_every=100,
            checkpoint_every=1,
            record=(probe("angle"), probe("norm_ratio"), probe("update_angle", epochs=5)),
        ),
    )
