"""Experiments in phases: when feedback is aligned, frozen or mirrored, and what lesions, new classes and new tasks do.

All are small (digits, a minute or less on one core). Rates are round numbers that learn well, not tuned: compare
shapes of curves, not tenths of percents.
"""

from __future__ import annotations

from typing import Any

from neurosal.data import DataSpec, Split, Subset
from neurosal.settings import (
    SGD,
    Arm,
    Experiment,
    Lesion,
    Noise,
    Phase,
    Recipe,
    Reset,
    Training,
    probe,
)

DIGITS = DataSpec(name="digits", scaling="symmetric", split=Split(train=0.8, test=0.2))
STEPS = 90  # steps of an epoch of digits at batch 16
NOISE = Noise(batch_size=128)
MIRROR = {"optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 1.0}}
ANGLES = (probe("angle", every=15), probe("norm_ratio", every=15))


def _arm(rule: str, label: str, *sizes: int, note: str = "", options: dict[str, Any] | None = None, **more: Any) -> Arm:
    recipe = Recipe(circuit="mlp", arguments={"sizes": list(sizes)}, rule=rule, options=options or {})
    return Arm(recipe=recipe, label=label, note=note, **more)


def _baselines(*sizes: int, **more: Any) -> dict[str, Arm]:
    """What every table shows beside a rule."""
    return {
        "bp": _arm("bp", "BP", *sizes, note="weight transport", **more),
        "shallow": _arm("shallow", "read-out only (shallow)", *sizes, note="hidden weights never change", **more),
    }


def weight_mirror() -> Experiment:
    """Weight mirror beside FA and KP on digits, 64-128-64-10: mirrored once before learning, in turn with it, or never.

    In a mirror phase noise drives the two hidden populations in turn, and the feedback that ends there turns to the
    transpose of the forward weights; while the circuit learns, it stays. Mirrored once, alignment is lost as the
    forward weights move on; step by step, it is kept.

    Reference: Akrout et al. (2019), arXiv 1904.05391.
    """
    sizes, epochs = (64, 128, 64, 10), 12
    mirror = Phase(name="mirror", steps=600, drive=NOISE, training=MIRROR)
    learn = Phase(name="learn", epochs=epochs)
    turns = (Phase(name="learn", steps=1), Phase(name="mirror", steps=2, drive=NOISE, training=MIRROR))
    return Experiment(
        name="weight_mirror",
        title="Weight mirror on digits, 64-128-64-10",
        data=DIGITS,
        arms={
            **_baselines(*sizes, phases=(learn,)),
            "fa": _arm("fa", "FA", *sizes, phases=(learn,)),
            "kp": _arm("kp", "KP", *sizes, phases=(learn,), training={"optimizer": {"weight_decay": 1e-3}}),
            "once": _arm("wm", "WM, mirrored once", *sizes, phases=(mirror, learn)),
            "turns": _arm("wm", "WM, in turn", *sizes, phases=turns, cycles=epochs * STEPS),
        },
        training=Training(batch_size=16, optimizer=SGD(lr=0.1), record=(*ANGLES, probe("update_angle", every=15))),
        analyses=("learning_curves", "phases"),
    )


def align_then_learn() -> Experiment:
    """How well feedback must be aligned: mirrored with more and more noise, then fixed while the circuit learns.

    Digits, 64-128-64-10. FA is no alignment at all, BP a perfect one at every moment.
    """
    sizes = (64, 128, 64, 10)
    learn = Phase(name="learn", epochs=10)
    arms = {
        **_baselines(*sizes, phases=(learn,)),
        "fa": _arm("fa", "FA: not aligned", *sizes, phases=(learn,)),
    }
    for steps in (10, 20, 40, 600):
        align = Phase(name="align", steps=steps, drive=NOISE, training=MIRROR)
        arms[f"align_{steps}"] = _arm("wm", f"aligned by {steps} steps", *sizes, phases=(align, learn))
    return Experiment(
        name="align_then_learn",
        title="Align by noise, then learn: digits, 64-128-64-10",
        data=DIGITS,
        arms=arms,
        training=Training(batch_size=16, optimizer=SGD(lr=0.1), record=(probe("angle", every=5),)),
        analyses=("learning_curves", "phases"),
    )


def freeze_feedback() -> Experiment:
    """Kolen-Pollack whose feedback stops changing after 0, 1, 4 or 12 of 24 epochs, on digits, 64-128-64-10.

    Frozen from the start it is FA; what is frozen late stays aligned as far as the forward weights stay where they
    were.
    """
    sizes, epochs = (64, 128, 64, 10), 24
    learn = (Phase(name="learn", epochs=epochs),)
    arms = {**_baselines(*sizes, phases=learn), "kp": _arm("kp", "KP, never frozen", *sizes, phases=learn)}
    for after in (12, 4, 1):
        phases = (
            Phase(name="learn", epochs=after),
            Phase(name="frozen", epochs=epochs - after, frozen=("feedback",)),
        )
        arms[f"after_{after}"] = _arm("kp", f"frozen after {after}", *sizes, phases=phases)
    frozen = (Phase(name="frozen", epochs=epochs, frozen=("feedback",)),)
    arms["fa"] = _arm("kp", "frozen at once (FA)", *sizes, phases=frozen)
    return Experiment(
        name="freeze_feedback",
        title="KP with feedback frozen: digits, 64-128-64-10",
        data=DIGITS,
        arms=arms,
        training=Training(batch_size=16, optimizer=SGD(lr=0.1, weight_decay=2e-3), record=ANGLES),
        analyses=("learning_curves", "phases"),
    )


def lesion_recover() -> Experiment:
    """Three quarters of the hidden units die, and learning goes on; then the same share of the input's synapses too,
    and at last all come back. Digits, 64-64-10: BP, KP, FA and the read-out alone.

    The figure shows accuracy just after each lesion, and the recovery; the rule decides which synapses take part in it.
    With one hidden population DFA is FA.
    """
    sizes = (64, 64, 10)
    rules = {"bp": "BP", "kp": "KP", "fa": "FA", "shallow": "read-out only (shallow)"}
    return Experiment(
        name="lesion_recover",
        title="Lesion and recovery: digits, 64-64-10",
        data=DIGITS,
        arms={rule: _arm(rule, label, *sizes) for rule, label in rules.items()},
        phases=(
            Phase(name="intact", epochs=8),
            Phase(name="units_lost", epochs=8, lesion=(Lesion(population="hidden1", share=0.75),)),
            Phase(name="synapses_lost", epochs=8, lesion=(Lesion(projection="input_to_hidden1", share=0.75),)),
            Phase(name="restored", epochs=8, restore=("hidden1", "input_to_hidden1")),
        ),
        training=Training(batch_size=16, optimizer=SGD(lr=0.1)),
        analyses=("learning_curves", "phases"),
    )


def split_digits() -> Experiment:
    """Ten digits in five tasks of two classes, one after the other with one read-out (class-incremental), 64-256-10.

    BP, DFA, KP and SAL-16 (kp, online router) beside two controls: hidden weights that never change, and the vote of
    SAL's areas, which answers with the commonest label of the area that a sample takes (labels of all tasks at once, so
    it is what routing alone could keep, not a continual learner). No method here has a memory of earlier tasks, so all
    of them forget; the question is how much.
    """
    tasks = {f"digits_{first}{first + 1}": (first, first + 1) for first in range(0, 10, 2)}
    sizes = (64, 256, 10)

    def arm(rule: str, label: str, rate: float, note: str = "", **options: Any) -> Arm:
        record = {"record": [{"what": "vote", "epochs": 3}]} if rule == "sal" else {}
        training = {"optimizer": {"lr": rate}, **record}
        return _arm(rule, label, *sizes, note=note, options=options, training=training)

    return Experiment(
        name="split_digits",
        title="Split digits, class-incremental, 64-256-10",
        data=DIGITS,
        arms={
            "bp": arm("bp", "BP", 0.03, "weight transport"),
            "dfa": arm("dfa", "DFA", 0.03),
            "kp": arm("kp", "KP", 0.03),
            "sal": arm("sal", "SAL-16 kp, online router", 0.1, areas=16, feedback="kp"),
            "shallow": arm("shallow", "frozen hidden (control)", 0.03, "hidden weights never change"),
        },
        phases=tuple(Phase(name=name, epochs=3, classes=classes) for name, classes in tasks.items()),
        tasks=tasks,
        training=Training(batch_size=16, optimizer=SGD(lr=0.1)),
        analyses=("learning_curves", "forgetting"),
    )


def transfer() -> Experiment:
    """Classes 0 to 4, then 5 to 9 with a new read-out and few samples: is what the hidden population learned of use?

    Optdigits, 64-128-10, BP and KP; the second task has about 150 samples. Arms from scratch idle while the others
    learn the first task. Where the hidden weights are frozen after it, only the read-out learns the second; beside it
    hidden weights that never learned at all.
    """
    sizes = (64, 128, 10)
    low, high = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
    few = DataSpec(name="optdigits", scaling="symmetric", subset=Subset(train=300))
    first = Phase(name="first", epochs=4, classes=low)
    idle = Phase(name="first", epochs=4, classes=low, plastic=())
    second = Phase(name="second", epochs=8, classes=high, data=few, reset=(Reset(population="output"),))
    frozen = second.replace(frozen=("hidden1",))
    arms = {}
    for rule, label in {"bp": "BP", "kp": "KP"}.items():
        arms[rule] = _arm(rule, f"{label}, transfer", *sizes, phases=(first, second))
        arms[f"{rule}_frozen"] = _arm(rule, f"{label}, hidden frozen", *sizes, phases=(first, frozen))
        arms[f"{rule}_scratch"] = _arm(rule, f"{label}, from scratch", *sizes, phases=(idle, second))
    arms["shallow"] = _arm("shallow", "hidden never learns", *sizes, phases=(idle, second))
    return Experiment(
        name="transfer",
        title="Transfer on optdigits: classes 0 to 4, then 5 to 9, 64-128-10",
        data=DataSpec(name="optdigits", scaling="symmetric"),
        arms=arms,
        tasks={"first": low, "second": high},
        training=Training(batch_size=16, optimizer=SGD(lr=0.03)),
        analyses=("learning_curves", "phases"),
    )
