"""How many areas: Letter with K = 1 to 64 areas, at one active width and at one count of parameters.

``python -m neurosal.experiments.sal_areas`` prints the time of a step by number of areas.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from neurosal import library
from neurosal.data import DataSpec
from neurosal.settings import SGD, Arm, Experiment, Recipe, Search, Training, probe

INPUTS, CLASSES = 16, 26
SATIMAGE = (36, 6)
AREAS = (1, 2, 4, 8, 16, 32, 64)
WIDTH = 32  # where areas were worth something in `sal_width`
WIDEST = 512  # of the plain net whose parameters the areas of `sal_areas_total` share
RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)

# Label, feedback and remark of each contender; with one area they are KP, BP and the read-out alone.
CONTENDERS: dict[str, tuple[str, str, str]] = {
    "kp": ("SAL kp", "kp", ""),
    "bp": ("SAL routed BP", "bp", "weight transport"),
    "shallow": ("SAL read-out only (shallow)", "shallow", "hidden weights never change"),
}
PLAIN = {"kp": "KP", "bp": "BP", "shallow": "read-out only (shallow)"}

# Best rate on validation data for each number of areas: `neurosal tune --extend`, which on Letter added one rate.
TUNED: dict[str, tuple[float, ...]] = {
    "kp": (0.1, 0.3, 1.0, 1.0, 1.0, 1.0, 1.0),
    "bp": (0.3, 0.3, 1.0, 1.0, 1.0, 1.0, 1.0),
    "shallow": (1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 10.0),
}
TUNED_TOTAL: dict[str, tuple[float, ...]] = {
    "kp": (0.3, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "bp": (0.3, 0.3, 1.0, 1.0, 1.0, 1.0, 1.0),
    "shallow": (3.0, 3.0, 3.0, 3.0, 3.0, 10.0, 10.0),
}


TUNED_SATIMAGE: dict[str, tuple[float, ...]] = {
    "kp": (0.3, 0.3, 0.3, 1.0, 1.0, 1.0, 1.0),
    "bp": (0.3, 0.3, 0.3, 1.0, 0.3, 1.0, 1.0),
    "shallow": (1.0, 1.0, 1.0, 3.0, 1.0, 3.0, 1.0),
}


def parameters(width: int, areas: int) -> int:
    """Forward weights and biases of a net with one hidden population, in all areas."""
    return areas * (INPUTS * width + width + width * CLASSES + CLASSES)


def shared_width(areas: int) -> int:
    """The width at which so many areas have about as many parameters as a plain net of `WIDEST` units, never more."""
    return (parameters(WIDEST, 1) // areas - CLASSES) // (INPUTS + 1 + CLASSES)


def sal_areas() -> Experiment:
    """Letter, one hidden population of 32 active units and 1 to 64 areas: parameters grow with the areas.

    SAL with learned feedback (kp) beside the same routed net under BP (weight transport) and with hidden weights that
    never change; with one area these are KP, BP and the read-out alone. The control for routing is the vote of
    prototypes: the commonest training label of the area that a sample takes. Recorded beside accuracy: how evenly the
    areas are used, and the interference of classes in the hidden weights, whole, within and across areas.

    Xavier uniform, standardised inputs, batch 32, 30 epochs, plain SGD, 5 seeds. Rates are tuned on validation data,
    with the same budget for every arm: 7 rates (6 on satimage), 2 other seeds, 10 epochs. SAL is our reconstruction
    (SAL-R).

    Reference: SAL, arXiv 2601.21561; the question and its controls are ours.
    """
    return _study("sal_areas", f"SAL on Letter by areas, {WIDTH} active units", TUNED, lambda areas: WIDTH)


def sal_areas_total() -> Experiment:
    """As `sal_areas`, at the parameters of a plain net of 512 hidden units: with more areas the active width shrinks,
    from 512 with one area to 7 with 64."""
    title = f"SAL on Letter by areas, {parameters(WIDEST, 1):,} parameters"
    return _study("sal_areas_total", title, TUNED_TOTAL, shared_width)


def sal_areas_satimage() -> Experiment:
    """As `sal_areas`, on kinds of soil in satellite images: 36 inputs and 6 classes, a third as many samples."""
    title = f"SAL on satimage by areas, {WIDTH} active units"
    return _study("sal_areas_satimage", title, TUNED_SATIMAGE, lambda areas: WIDTH, data="satimage", ends=SATIMAGE)


def _arm(contender: str, areas: int, width: int, rate: float, ends: tuple[int, int]) -> Arm:
    label, feedback, note = CONTENDERS[contender]
    arguments = {"sizes": [ends[0], width, ends[1]]}
    options: dict[str, Any] = {"areas": areas, "feedback": feedback}
    said = [f"exactly {PLAIN[contender]}"] * (areas == 1) + [note] * bool(note) + [f"{width} wide"] * (width != WIDTH)
    return Arm(
        recipe=Recipe(circuit="mlp", arguments=arguments, rule="sal", options=options),
        label=f"{label}, {areas}",
        note="; ".join(said),
        training={"optimizer": {"lr": rate}},
    )


def _study(
    name: str,
    title: str,
    tuned: dict[str, tuple[float, ...]],
    width: Callable[[int], int],
    *,
    data: str = "letter",
    ends: tuple[int, int] = (INPUTS, CLASSES),
) -> Experiment:
    arms = {
        f"{contender}_{areas}": _arm(contender, areas, width(areas), tuned[contender][place], ends)
        for place, areas in enumerate(AREAS)
        for contender in CONTENDERS
    }
    credit = ("interference", "interference_within", "interference_across")
    return Experiment(
        name=name,
        title=title,
        data=DataSpec(name=data, scaling="standardise"),
        arms=arms,
        seeds=tuple(range(5)),
        analyses=("series",),
        training=Training(
            epochs=30,
            batch_size=32,
            optimizer=SGD(lr=0.3),
            log_every=100,
            evaluate_every=10,
            checkpoint_every=None,
            record=(
                probe("vote", epochs=30),
                probe("usage", epochs=30),
                *(probe(what, "input_to_hidden1", epochs=1) for what in credit),
            ),
        ),
        search=Search(over={"optimizer.lr": RATES}, seeds=(100, 101), epochs=10, evaluate_every=10),
    )


def step_times(batch: int, **effort: Any) -> dict[str, list[float]]:
    """Milliseconds of a training step of one replica, [numbers of areas] by contender and budget.

    All contenders and numbers of areas take turns in one process; medians over turns, each at the better of one and two
    threads. The data are Letter's own, so that areas are used as evenly, or as little evenly, as in training that
    begins.

    Args:
        batch: samples a step.
        effort: other fields of `neurosal.bench.timing.Effort`.
    """
    import neurosal as ns
    from neurosal.bench.timing import Effort, interleaved

    train = ns.data.load("letter").scaled("standardise").train
    x, y, optimizer = train.x[:batch], train.y[:batch], SGD(lr=0.01)

    def step(arm: Arm) -> Callable[[], object]:
        assert arm.recipe is not None
        network = ns.compile(library.build(arm.recipe), seeds=(0,))
        return lambda: network.step(x, y, loss="cross_entropy", optimizer=optimizer)

    steps = {
        (study.name, name): step(study.arms[name])
        for study in (sal_areas(), sal_areas_total())
        for name in study.arms
        if not name.startswith("shallow")
    }
    named = {f"{budget} {name}": step for (budget, name), step in steps.items()}
    usual: dict[str, Any] = {"threads": (1, 2), "turns": 9, "seconds_a_turn": 0.05, "seconds_a_row": 60.0}
    times = interleaved(named, Effort(**(usual | effort)))
    return {
        f"{CONTENDERS[contender][0]}, {said}": [1e3 * times[f"{budget} {contender}_{areas}"].median for areas in AREAS]
        for budget, said in (("sal_areas", f"{WIDTH} active units"), ("sal_areas_total", "equal parameters"))
        for contender in CONTENDERS
        if contender != "shallow"
    }


def step_time_tables(batches: tuple[int, ...] = (32, 4096)) -> str:
    """`step_times` in Markdown."""
    from neurosal.analysis.tables import Table

    lines = []
    for batch in batches:
        rows = [(label, *(f"{value:.2f}" for value in row)) for label, row in step_times(batch).items()]
        table = Table(
            columns=("arm", *map(str, AREAS)),
            rows=tuple(rows),
            title=f"Milliseconds of a step on Letter by areas, batch {batch}, one replica",
            numbers=frozenset(map(str, AREAS)),
        )
        lines.append(table.markdown())
    return "\n\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(step_time_tables() + "\n")
