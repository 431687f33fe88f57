"""Which settings a search tries next, from those that were tried."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from neurosal.checks.search import value_problems
from neurosal.runner.asking import asked_of_optuna
from neurosal.settings.experiment import Experiment
from neurosal.settings.search import OUTER, Range
from neurosal.settings.tuned import Trial, best_of, is_number

Asking = dict[str, list[dict[str, Any]]]  # arm → settings
MOST_ROUNDS = 9
DIGITS = 4


def proposals(experiment: Experiment, trials: Mapping[str, Sequence[Trial]], turn: int, measure: str) -> Asking:
    """Settings to try in this round (from 1) for each arm; none at all when the search is done. They follow from the
    search and its earlier trials alone, so that a resumed search asks for the same."""
    search = experiment.search
    assert search is not None
    if search.method == "optuna":
        return {name: asked_of_optuna(search, name, tried, turn, measure) for name, tried in trials.items()}
    if turn == 1:
        return {name: search.settings(name) for name in experiment.arms}
    if search.extend and turn <= MOST_ROUNDS:
        return _beyond(experiment, trials, measure)
    return {}


def at_edge(over: Mapping[str, Any], best: Mapping[str, Any], trials: Sequence[Trial]) -> dict[str, str]:
    """Path → "smallest" or "largest", where the best value is at an edge of what was tried. Nothing lies below zero."""
    edges = {}
    for path, values in over.items():
        value = best[path]
        if isinstance(values, Range):
            share = values.share(value)
            side = "smallest" if share < OUTER else "largest" if share > 1 - OUTER else ""
        else:
            tried = {trial.settings[path] for trial in trials}
            ordered = sorted(tried) if all(map(is_number, tried)) and len(tried) > 1 else [None]
            side = "smallest" if value == ordered[0] else "largest" if value == ordered[-1] else ""
        if side and not (side == "smallest" and value == 0):
            edges[path] = side
    return edges


def _beyond(experiment: Experiment, trials: Mapping[str, Sequence[Trial]], measure: str) -> Asking:
    """The grid of every arm one value further, wherever some arm has its best at an edge."""
    search = experiment.search
    assert search is not None
    sides: dict[tuple[str, str], None] = {}
    for name, tried in trials.items():
        if (best := best_of(tuple(tried), measure)) is not None:
            sides |= dict.fromkeys(at_edge(search.over_of(name), best.settings, tried).items())
    asking: Asking = {name: [] for name in experiment.arms}
    for path, side in sides:
        further = {name: _further(experiment, name, path, side, tried) for name, tried in trials.items()}
        if any(value is None for value in further.values()):
            continue  # a bound of the setting itself: all arms stop there
        for name, value in further.items():
            known = [dict(trial.settings) for trial in trials[name]] + asking[name]
            columns = {other: list(dict.fromkeys(entry[other] for entry in known)) for other in search.over_of(name)}
            columns[path] = [value]
            asking[name] += [dict(zip(columns, row, strict=True)) for row in itertools.product(*columns.values())]
    return asking


def _further(experiment: Experiment, name: str, path: str, side: str, trials: Sequence[Trial]) -> Any:
    """The next value of a path beyond those tried, by the ratio of the two outermost; None where there is none."""
    values: set[Any] = {trial.settings.get(path) for trial in trials}
    if len(values) < 2 or not all(is_number(value) and value > 0 for value in values):
        return None
    ordered = sorted(values, reverse=side == "smallest")
    value = ordered[-1] * ordered[-1] / ordered[-2]
    value = round(value) if all(isinstance(entry, int) for entry in values) else float(f"{value:.{DIGITS}g}")
    found = value_problems(path, value, name, experiment.arms[name], experiment.training_of(name))
    return None if value in values or any(found) else value
