"""Settings that optuna proposes (optional). It is told all trials anew in each round, so that what it asks for follows
from the search and its trials alone."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from neurosal.errors import ExperimentError, Problem
from neurosal.settings.search import LogUniform, Range, Search
from neurosal.settings.tuned import Trial


def require_optuna() -> None:
    """Refuse a search by optuna where it is not installed.

    Raises:
        ExperimentError: saying how to get it.
    """
    if importlib.util.find_spec("optuna") is None:
        remedy = "pip install 'neurosal[optuna]', or take the method random."
        expected, found = "optuna, which this method needs", "it is not installed"
        raise ExperimentError(Problem(place="search.method", expected=expected, found=found, remedy=remedy))


def asked_of_optuna(search: Search, arm: str, trials: Sequence[Trial], turn: int, measure: str) -> list[dict[str, Any]]:
    """The settings of one round (from 1) for one arm: its share of the search's trials."""
    import optuna

    wanted = shares(search).get(turn, 0)
    if not wanted:
        return []
    over = search.over_of(arm)
    space = {path: _distribution(values) for path, values in over.items()}
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        seed = zlib.crc32(f"{search.seed}, {arm}, {turn}".encode())
        direction: Any = "maximize" if measure == "accuracy" else "minimize"
        study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=seed))
        for trial, value in zip(trials, _values(trials, measure), strict=True):
            parameters = {path: _index(over[path], trial.settings[path]) for path in over}
            done = optuna.trial.create_trial(params=parameters, distributions=space, value=value)
            study.add_trial(done)
        asked = [study.ask(space).params for _ in range(wanted)]
    finally:
        optuna.logging.set_verbosity(level)
    return [{path: _value(over[path], given[path]) for path in over} for given in asked]


def _values(trials: Sequence[Trial], measure: str) -> list[float]:
    """What optuna is told of each trial: its score, and of those with a diverged seed that of the worst."""
    scores = [trial.score for trial in trials if trial.score is not None]
    worst = 0.0 if measure == "accuracy" else max(scores, default=0.0)
    return [worst if trial.score is None or trial.diverged else trial.score for trial in trials]


def _distribution(values: Any) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(values, Range):
        return CategoricalDistribution(list(range(len(values))))
    logarithmic = isinstance(values, LogUniform)
    if values.whole:
        return IntDistribution(round(values.low), round(values.high), log=logarithmic)
    return FloatDistribution(values.low, values.high, log=logarithmic)


def _index(values: Any, value: Any) -> Any:
    """A value as optuna knows it: values to choose from by their place, as they may be of any type."""
    return value if isinstance(values, Range) else values.index(value)


def _value(values: Any, given: Any) -> Any:
    return values.at(values.share(given)) if isinstance(values, Range) else values[given]


def shares(search: Search) -> Mapping[int, int]:
    """Round → settings that are asked for in it."""
    assert search.trials is not None
    rounds = min(search.rounds, search.trials)
    return {
        turn: search.trials * turn // rounds - search.trials * (turn - 1) // rounds for turn in range(1, rounds + 1)
    }
