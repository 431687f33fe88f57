"""A step under each rule beside torch backpropagation, and many seeds as one batch beside one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from neurosal.bench.contenders import FORMS, Contender, as_graphs, dense, ours
from neurosal.bench.peers import biotorch
from neurosal.bench.racing import Measured, race
from neurosal.bench.results import Goal
from neurosal.bench.timing import Effort
from neurosal.bench.works import Work

RULES: dict[Work, tuple[str, ...]] = {
    Work((784, 1000, 1000, 10), 128): ("bp", "dfa", "fa", "kp", "usf", "pfa"),
    Work((784, 128, 128, 10), 32): ("bp", "dfa", "fa", "kp", "usf", "pfa"),
}
REPLICAS: dict[Work, tuple[str, ...]] = {
    Work((784, 128, 128, 10), 32, replicas=8): ("bp", "dfa", "fa", "kp"),
    Work((784, 128, 128, 10), 32, replicas=32): ("bp", "dfa", "fa", "kp"),
}
MOMENTUM = ("bp", "dfa", "kp")
COMPILED = ("dfa", "kp")  # that are timed as one graph too
QUICK = Work((6, 5, 4, 3), 8)
SEEDS_ON_A_CPU, SEEDS_ON_A_GPU = 2.2, 20.0  # times faster


def rules(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """A step under each rule, with plain SGD and with momentum."""
    works = {QUICK: ("bp", "kp")} if effort.quick else RULES
    found = []
    for work, names in works.items():
        found.append(_row(console, "rules", work, names, effort))
        found.append(_row(console, "rules", work, MOMENTUM, effort.shorter(10), momentum=0.9))
    return found


def replicas(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """R seeds as one batch over R models of torch one after another."""
    works = {Work(QUICK.sizes, 8, replicas=3): ("bp", "kp")} if effort.quick else REPLICAS
    found = []
    for work, names in works.items():
        least = SEEDS_ON_A_GPU if effort.device.startswith("cuda") else SEEDS_ON_A_CPU
        goals: list[Measured] = []
        if work.replicas == 32:
            goal = Goal(f"32 seeds of bp over torch one after another (1/{least:g})", most=round(1 / least, 4))
            goals = [(goal, "bp", ["torch backprop"])]
        found.append(_row(console, "replicas", work, names, effort, goals=goals))
    return found


def _row(
    console: Console,
    comparison: str,
    work: Work,
    names: Sequence[str],
    effort: Effort,
    *,
    momentum: float = 0.0,
    goals: Sequence[Measured] = (),
) -> dict[str, Any]:
    contenders: list[Contender] = [dense(work, form, momentum=momentum, device=effort.device) for form in FORMS]
    if not effort.quick and work.replicas == 1:
        contenders.append(dense(work, "fused", compiled=True, momentum=momentum, device=effort.device))
    contenders += [ours(work, name, momentum=momentum, device=effort.device) for name in names]
    label = f"{work}, momentum {momentum}" if momentum else str(work)
    notes = [] if work.replicas == 1 else ["torch is not compiled here: each model would be compiled by itself"]
    if not effort.quick:
        graphs, left_out = as_graphs(work, COMPILED, effort.device, momentum=momentum)
        contenders, notes = contenders + graphs, notes + left_out
    if comparison == "rules" and not momentum:
        others, missing = biotorch(work, effort.device)
        contenders, notes = contenders + others, notes + missing
    return race(console, comparison, label, contenders, effort, goals=goals, notes=notes)
