"""E-prop with feedback of three kinds beside backpropagation through time and the read-out alone."""

from __future__ import annotations

from typing import Any

from neurosal.data import DataSpec, Split
from neurosal.settings import AdamW, Arm, Cosine, Experiment, Recipe, Search, Training, probe

# Label, rule, options and remark of each arm. BPTT is the whole gradient: its error passes resets, e-prop's does not.
CONTENDERS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "bptt": ("BPTT", "bptt", {"through_reset": True}, "weight transport, back through time"),
    "symmetric": ("e-prop, symmetric", "eprop", {"feedback": "symmetric"}, "weight transport"),
    "random": ("e-prop, random", "eprop", {"feedback": "random"}, "feedback fixed"),
    "adaptive": ("e-prop, adaptive", "eprop", {"feedback": "adaptive"}, "feedback learns as the read-out does"),
    "shallow": ("read-out only (shallow)", "shallow", {}, "input and recurrent weights never change"),
}
RATES = (0.001, 0.002, 0.005, 0.01, 0.02)
# Rates on validation data: `neurosal tune eprop_digits`, 5 rates, 2 seeds each, the same for every arm.
TUNED_DIGITS: dict[str, float] = dict.fromkeys(CONTENDERS, 0.002) | {"bptt": 0.005, "shallow": 0.01}
# The same for the pattern: `neurosal tune eprop_pattern`, 5 rates, 2 seeds each.
PATTERN_RATES = (0.0009, 0.003, 0.01, 0.03, 0.1)
TUNED_PATTERN: dict[str, float] = dict.fromkeys(CONTENDERS, 0.003) | {"bptt": 0.01, "shallow": 0.03}


def _arms(circuit: str, rates: dict[str, float], **arguments: Any) -> dict[str, Arm]:
    return {
        name: Arm(
            recipe=Recipe(circuit=circuit, arguments=arguments, rule=rule, options=options),
            label=label,
            note=note,
            training={"optimizer": {"lr": rates[name]}},
        )
        for name, (label, rule, options, note) in CONTENDERS.items()
    }


def eprop_digits() -> Experiment:
    """Digits (8×8) read row by row by 100 recurrent units with adapting thresholds: five ways to learn, 5 seeds.

    5 ms a row and 10 ms of nothing; asked for the class in the last 20 ms. Batch 4, 20 epochs, AdamW with decay .1 (it
    is what brings adaptive feedback and read-out together) and rates that fall along a cosine, tuned on validation data
    with the same budget for every arm. What is recorded: the angle between feedback and read-out weights, and that
    between each arm's change and the gradient of backpropagation through time.

    Reference: the rule is that of Bellec et al. (2020), Nature Communications 11:3625; task and settings are ours.
    """
    return Experiment(
        name="eprop_digits",
        title="E-prop on digits read row by row",
        data=DataSpec(name="digits", split=Split(train=0.8, test=0.2)),
        arms=_arms("row_reader", TUNED_DIGITS),
        seeds=(0, 1, 2, 3, 4),
        analyses=("learning_curves", "symmetry", "compare"),
        training=Training(
            epochs=20,
            batch_size=4,
            optimizer=AdamW(lr=0.005, weight_decay=0.1, schedule=Cosine()),
            log_every=20,
            checkpoint_every=None,
            record=(probe("angle", epochs=1), probe("norm_ratio", epochs=1), probe("update_angle", epochs=1)),
        ),
        search=Search(over={"optimizer.lr": RATES}, seeds=(100, 101), evaluate_every=20, validation=0.2),
    )


def eprop_pattern() -> Experiment:
    """One second to be reproduced by 100 recurrent units that hear a clock: five ways to learn, 5 seeds, 2000 steps.

    Three outputs, each a sum of sines of 1, 2, 3 and 5 Hz (`sum_of_sines`); loss is the mean square error over outputs
    and steps of 1 ms. One sample a step, AdamW with decay .1 and rates that fall along a cosine, tuned with the same
    budget for every arm. All parts of the data hold the same second, so rates are tuned on it too: nothing is
    generalised to.

    Duration and frequencies are those of the paper; 100 units are those of its authors' public script, the paper has
    600 (`pattern_generator`). Time constants, clock, first weights, optimiser and number of steps are reconstructed,
    and there is no term that regularises firing rates.

    Reference: Bellec et al. (2020), Nature Communications 11:3625.
    """
    return Experiment(
        name="eprop_pattern",
        title="E-prop: a pattern of one second",
        data=DataSpec(name="sum_of_sines"),
        arms=_arms("pattern_generator", TUNED_PATTERN, units=100),
        seeds=(0, 1, 2, 3, 4),
        analyses=("learning_curves", "symmetry", "compare"),
        training=Training(
            epochs=2000,
            batch_size=1,
            loss="mse",
            optimizer=AdamW(lr=0.01, weight_decay=0.1, schedule=Cosine()),
            log_every=20,
            evaluate_every=100,
            checkpoint_every=None,
            record=(probe("angle", epochs=100), probe("norm_ratio", epochs=100), probe("update_angle", epochs=100)),
        ),
        search=Search(over={"optimizer.lr": PATTERN_RATES}, seeds=(100, 101), evaluate_every=2000),
    )


# Label, rule, options, changes of the optimiser and remark of each arm of the comparison of resets.
AT_RESETS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any], str]] = {
    "whole": ("BPTT", "bptt", {"through_reset": True}, {}, "error passes resets"),
    "cut": ("BPTT, cut at resets", "bptt", {}, {}, "error passes no reset"),
    "clipped": ("BPTT, cut and clipped", "bptt", {}, {"clip": 1.0}, "norm of the change at most 1"),
    "eprop": ("e-prop, symmetric", "eprop", {}, {}, "error passes no reset"),
    "eprop_whole": ("e-prop, through resets", "eprop", {"through_reset": True}, {}, "symmetric"),
}


def eprop_reset() -> Experiment:
    """Whether error must pass the jump by which a spike resets its unit: `eprop_pattern` by BPTT and by e-prop with
    symmetric feedback, each with and without, and BPTT without it but with its gradient clipped; 5 seeds.

    One rate for every arm, .003 (`eprop_pattern` tunes its own). What is recorded at every step: the size of the change
    before the optimiser, over that of the weights.
    """
    whole = eprop_pattern()
    arms = {
        name: Arm(
            recipe=Recipe(circuit="pattern_generator", arguments={"units": 100}, rule=rule, options=options),
            label=label,
            note=note,
            training={"optimizer": {"lr": 0.003, **changes}},
        )
        for name, (label, rule, options, changes, note) in AT_RESETS.items()
    }
    return whole.replace(
        name="eprop_reset",
        title="Error through the reset: a pattern of one second",
        arms=arms,
        analyses=("learning_curves", "plasticity", "compare"),
        training=whole.training.replace(record=(probe("update_size", every=1),)),
        search=None,
    )
