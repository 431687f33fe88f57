"""How deep can each rule go: Letter with 1 to 128 residual blocks, ten rules on the same net."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurosal.data import DataSpec
from neurosal.settings import SGD, Arm, Cosine, Experiment, Recipe, Search, Training, probe

INPUTS, WIDTH, CLASSES, AREAS = 16, 64, 26, 16
DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128)
SEARCHED = (8, 128)  # depths at which rates were searched for; others take the rate of the nearer one
NEARER = {depth: SEARCHED[depth > 16] for depth in DEPTHS}
SCALE = 0.3
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
SMALL = {"kind": "xavier_uniform", "gain": 0.1}

# Label, rule, options and remark of each contender.
CONTENDERS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "bp": ("BP", "bp", {}, "weight transport"),
    "shallow": ("read-out only (shallow)", "shallow", {}, "hidden weights never change"),
    "skips": ("error through skips only", "kp", {}, "no feedback into the blocks"),
    "fa": ("FA", "fa", {}, ""),
    "dfa": ("DFA", "dfa", {}, ""),
    "usf": ("uSF", "usf", {}, "signs are transported"),
    "kp": ("KP", "kp", {}, ""),
    "pfa": ("PFA, ρ = 10", "pfa", {"expansion": 10}, ""),
    "pfa_o": ("PFA-o", "pfa_o", {}, ""),
    "sal": ("SAL-16 kp", "sal", {"areas": AREAS}, "one route, read from the input"),
}


def skips_only(blocks: int) -> list[str]:
    """The forward projections that get feedback where error returns through the skips alone."""
    streams = [f"stream{index}_to_stream{index + 1}" for index in range(blocks)]
    return [*streams, f"stream{blocks}_to_final", "final_to_output"]


# Best rate on validation data at the searched depths, by contender and start: `neurosal tune sal_depth_search`.
TUNED: dict[str, tuple[float, float]] = {
    "bp_small": (0.3, 0.3),
    "bp_xavier": (0.3, 0.1),
    "shallow_small": (2.7, 2.7),
    "skips_small": (0.1, 0.1),
    "fa_xavier": (0.9, 0.1),
    "dfa_small": (0.9, 0.3),
    "usf_xavier": (0.3, 0.1),
    "kp_small": (0.1, 0.1),
    "kp_xavier": (0.3, 0.1),
    "pfa_small": (0.3, 0.1),
    "pfa_o_small": (0.1, 0.1),
    "sal_small": (1.0, 1.0),
}
# BP at other branch scales, at 128 blocks only: scale and rate.
SCALES: dict[str, tuple[float, float]] = {
    "bp_inverse": (1 / 128, 0.9),
    "bp_tenth": (0.1, 0.1),
    "bp_one": (1.0, 0.1),
}
TRIED_ONCE = ("pfa", "pfa_o", "sal")  # with the small start only
# The start that was better on validation data at 128 blocks.
STARTS: dict[str, str] = dict.fromkeys(CONTENDERS, "small") | {"fa": "xavier", "usf": "xavier"}
EPOCHS, FEW_EPOCHS = 5, 3  # of the study, and of each trial of the search


def sal_depth() -> Experiment:
    """Letter, 1 to 128 residual blocks of 64 units, ``h += W (.3 relu(RMSNorm h))``, final RMSNorm: ten rules.

    SAL with 16 areas in every stream and learned feedback (kp), KP, PFA, PFA-o, uSF, FA and DFA beside BP, the read-out
    alone, and error that returns through the skips only (with KP feedback of the read-out). No biases, standardised
    inputs, batch 128, 5 epochs, SGD with momentum .9, decay 1e-4 and a cosine to zero, 3 seeds.

    A start is "Xavier", or "small": a tenth of it for blocks and read-out, and for feedback that learns. Every rule has
    the start that was better for it on validation data at 128 blocks (`sal_depth_search`); PFA, PFA-o and SAL were
    tried with the small one only. BP and KP are shown with both, BP at 128 blocks also at other branch scales. No
    feedback starts as the transpose of anything.

    Rates: `neurosal tune sal_depth_search --extend`, at 8 and 128 blocks: 5 rates (for SAL ten times larger ones), one
    other seed, 3 epochs for every arm; where a best one was the largest, larger ones for all arms searched with it. Up
    to 16 blocks arms take the rate found at 8, from 32 on that found at 128. SAL is our reconstruction (SAL-R).

    Reference: SAL, arXiv 2601.21561; PFA, arXiv 2405.20594; He et al. (2016), arXiv 1603.05027.
    """
    arms: dict[str, Arm] = {}
    for name in CONTENDERS:
        for start in ("small", "xavier"):
            if start == STARTS[name] or name in ("bp", "kp"):
                title = name if start == STARTS[name] else f"{name}_{start}"
                arms |= {f"{title}_{depth}": _arm(name, depth, start) for depth in DEPTHS}
    return _study("sal_depth", "Rules on Letter by depth", arms | _scaled())


def sal_depth_search() -> Experiment:
    """Where rates and starts of `sal_depth` come from: 8 and 128 blocks, with both starts but for `TRIED_ONCE`."""
    arms = {
        f"{name}_{start}_{depth}": _arm(name, depth, start)
        for depth in SEARCHED
        for name in CONTENDERS
        for start in (("small",) if name in TRIED_ONCE else ("small", "xavier"))
    }
    study = _study("sal_depth_search", "Rates of rules on Letter by depth", arms | _scaled())
    # The change of an area is divided by the whole batch, of which the area has a sixteenth: larger rates.
    larger = {"optimizer.lr": tuple(round(10 * rate, 6) for rate in RATES)}
    search = Search(
        over={"optimizer.lr": RATES},
        arms={name: larger for name in arms if name.startswith("sal")},
        seeds=(100,),
        epochs=FEW_EPOCHS,
        evaluate_every=FEW_EPOCHS,
    )
    return study.replace(search=search, training=study.training.replace(record=()))


def _arm(name: str, blocks: int, start: str, scale: float = SCALE, rate: float | None = None) -> Arm:
    label, rule, options, note = CONTENDERS[name]
    arguments: dict[str, Any] = {"inputs": INPUTS, "width": WIDTH, "classes": CLASSES, "blocks": blocks}
    arguments |= {"branch_scale": scale, "bias": False}
    own: dict[str, Any] = dict(options)
    if start == "small":
        arguments |= {"branch_init": SMALL, "readout_init": SMALL}
        if rule in ("kp", "pfa", "pfa_o"):
            own["init"] = SMALL
        elif rule == "sal":
            own["feedback_init"] = SMALL
    if name == "skips":
        own["only"] = skips_only(blocks)
    usual = RATES[len(RATES) // 2]
    tuned = TUNED.get(f"{name}_{start}", (usual, usual))[SEARCHED.index(NEARER[blocks])]
    changes: dict[str, Any] = {"optimizer": {"lr": tuned if rate is None else rate}}
    if rule == "shallow":
        changes["record"] = []  # what learns is the read-out alone, whose change is that of BP
    said = "" if scale == SCALE else f", scale {scale:.2g}"
    return Arm(
        recipe=Recipe(circuit="residual_mlp", arguments=arguments, rule=rule, options=own),
        label=f"{label}, {'small' if start == 'small' else 'Xavier'} start{said}, {blocks}",
        note=note,
        training=changes,
    )


def _scaled() -> dict[str, Arm]:
    """BP at other branch scales, which the best BP is chosen among."""
    deepest = DEPTHS[-1]
    return {f"{name}_{deepest}": _arm("bp", deepest, "xavier", scale, rate) for name, (scale, rate) in SCALES.items()}


def _study(name: str, title: str, arms: Mapping[str, Arm]) -> Experiment:
    return Experiment(
        name=name,
        title=title,
        data=DataSpec(name="letter", scaling="standardise"),
        arms=arms,
        seeds=(0, 1, 2),
        analyses=("series",),
        training=Training(
            epochs=EPOCHS,
            batch_size=128,
            optimizer=SGD(lr=0.03, momentum=0.9, weight_decay=1e-4, schedule=Cosine()),
            log_every=25,
            checkpoint_every=None,
            record=(probe("update_angle", epochs=1),),
        ),
    )
