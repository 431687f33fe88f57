"""Searches by optuna: asked in rounds, reproducible, and refused in words where it is not installed."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import pytest

from neurosal.errors import ExperimentError
from neurosal.runner import asking
from neurosal.settings import LogUniform, Search, Trial, Uniform
from tests.runner.test_tuning import LR, arm, asked, tuned

installed = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is not installed")
SEARCH: dict[str, Any] = {"method": "optuna", "trials": 5, "rounds": 2, "over": {LR: LogUniform(low=1e-3, high=1.0)}}


def test_without_optuna_it_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ExperimentError, match=r"neurosal\[optuna\]"):
        tuned(asked(search=SEARCH), tmp_path / "search")
    assert not (tmp_path / "search").exists()


@pytest.mark.parametrize(("trials", "rounds", "expected"), [(5, 2, [2, 3]), (3, 8, [1, 1, 1]), (12, 4, [3, 3, 3, 3])])
def test_rounds_share_the_trials(trials: int, rounds: int, expected: list[int]) -> None:
    assert list(asking.shares(Search(**SEARCH | {"trials": trials, "rounds": rounds})).values()) == expected


@installed
def test_rounds_are_trained_as_one_batch_each_and_resumed_to_the_same(tmp_path: Path) -> None:
    experiment = asked(arms={"bp": arm(), "fa": arm("fa")}, search=SEARCH)
    whole = tuned(experiment, tmp_path / "whole")
    assert [trial.round for trial in whole.arms["bp"].trials] == [1, 1, 2, 2, 2]
    assert all(1e-3 <= trial.settings[LR] <= 1 for trial in whole.arms["bp"].trials)
    assert len({trial.settings[LR] for best in whole.arms.values() for trial in best.trials}) == 10
    count = itertools.count(1)

    def stop(*_: Any) -> None:
        if next(count) == 55:  # in the second round
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(experiment, tmp_path / "killed", progress=stop)
    assert (tmp_path / "killed" / "rounds" / "2").is_dir()
    assert tuned(experiment, tmp_path / "killed", resume=True) == whole


@installed
def test_later_rounds_go_where_scores_were_good() -> None:
    over = {LR: LogUniform(low=1e-4, high=1.0), "batch_size": Uniform(low=4, high=64, whole=True), "loss": ("a", "b")}
    search = Search(**SEARCH | {"trials": 60, "rounds": 2, "over": over})
    first = asking.asked_of_optuna(search, "bp", [], 1, "accuracy")
    assert len(first) == 30
    assert {type(entry["batch_size"]) for entry in first} == {int}
    assert {entry["loss"] for entry in first} == {"a", "b"}
    trials = [Trial(settings=entry, score=1 - abs(over[LR].share(entry[LR]) - 0.9)) for entry in first]
    trials[0] = trials[0].replace(score=None, diverged=3)
    second = asking.asked_of_optuna(search, "bp", trials, 2, "accuracy")
    assert second == asking.asked_of_optuna(search, "bp", trials, 2, "accuracy")
    near = [sum(over[LR].share(entry[LR]) > 0.7 for entry in entries) for entries in (first, second)]
    assert near[1] > 1.5 * near[0]
    worse = asking.asked_of_optuna(search, "bp", trials, 2, "loss")
    assert sum(over[LR].share(entry[LR]) > 0.7 for entry in worse) < near[1]
    assert asking.asked_of_optuna(search, "bp", trials, 3, "accuracy") == []
