"""Searches as values: what they try, and what they refuse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurosal.errors import ExperimentError
from neurosal.settings import Arm, Experiment, LogUniform, Recipe, Search, Trial, Tuned, Uniform
from neurosal.settings.tuned import best_of, with_settings

LR = "optimizer.lr"
RATES = {LR: LogUniform(low=1e-4, high=1.0), "batch_size": Uniform(low=4, high=64, whole=True)}


def test_a_grid_is_every_combination_in_order() -> None:
    over = {LR: (0.1, 0.2), "recipe.options.areas": (2, 4, 8)}
    expected = [dict(zip(over, row, strict=True)) for row in itertools.product(*over.values())]
    assert Search(over=over).settings("any") == expected


def test_an_arm_may_have_values_of_its_own() -> None:
    search = Search(over={LR: (0.1, 0.2)}, arms={"dfa": {LR: (0.01, 0.02)}})
    assert [entry[LR] for entry in search.settings("dfa")] == [0.01, 0.02]
    assert [entry[LR] for entry in search.settings("bp")] == [0.1, 0.2]


def test_draws_depend_on_seed_and_path_alone() -> None:
    search = Search(over=RATES, method="random", trials=20, seed=3)
    drawn = search.settings("bp")
    assert drawn == search.settings("fa") == Search.from_yaml(search.to_yaml()).settings("bp")
    assert drawn != search.replace(seed=4).settings("bp")
    assert [entry[LR] for entry in search.replace(over={LR: RATES[LR]}).settings("bp")] == [e[LR] for e in drawn]
    assert search.replace(trials=5).settings("bp") == drawn[:5]
    assert drawn[0] == {LR: 0.04396, "batch_size": 14}  # the same on every machine


def test_rates_are_drawn_evenly_over_decades_and_whole_numbers_are_whole() -> None:
    drawn = Search(over=RATES, method="random", trials=2000).settings("bp")
    decades = np.bincount([int(np.floor(np.log10(entry[LR]))) + 4 for entry in drawn], minlength=4)[:4] / 2000
    assert decades == pytest.approx(0.25, abs=0.04)
    assert {type(entry["batch_size"]) for entry in drawn} == {int}
    assert {entry["batch_size"] for entry in drawn} == set(range(4, 65))


@given(st.floats(0, 1), st.floats(1e-6, 1e3), st.floats(1.01, 1e6))
def test_what_is_drawn_lies_in_its_range_and_knows_where(share: float, low: float, ratio: float) -> None:
    for kind in (Uniform, LogUniform):
        values = kind(low=low, high=low * ratio)
        value = values.at(share)
        assert values.low <= value <= values.high
        assert -1e-9 <= values.share(value) <= 1 + 1e-9


def test_values_to_choose_from_are_drawn_too() -> None:
    search = Search(over={"recipe.options.router": ("frozen", "k_means")}, method="random", trials=50)
    assert {entry["recipe.options.router"] for entry in search.settings("sal")} == {"frozen", "k_means"}


@pytest.mark.parametrize(
    "search",
    [
        Search(over={LR: (0.1, 0.2)}),
        Search(over=RATES, method="optuna", trials=7, rounds=2, arms={"dfa": {LR: (1e-3,)}}),
        Search(over={"recipe.arguments.sizes": ((64, 8, 10), (64, 16, 10))}, criterion="best", validation=100),
    ],
    ids=["grid", "optuna", "lists"],
)
def test_it_round_trips(search: Search) -> None:
    assert Search.from_yaml(search.to_yaml()) == Search.from_dict(search.to_dict()) == search
    experiment = Experiment(name="a", data={"name": "digits"}, arms={"bp": Arm(recipe=Recipe(circuit="mlp"))})
    assert "search" not in experiment.to_dict()  # as in the files of runs from before there was any
    experiment = experiment.replace(search=search)
    assert Experiment.from_yaml(experiment.to_yaml()) == experiment


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong: dict[str, Any] = {
        "over": {LR: [], "batch_size": {"kind": "uniform", "low": 3, "high": 1}, "x": {"kind": "log"}, "y": 3},
        "method": "gird", "trials": 0, "seeds": [], "criterion": "last", "epochs": 0, "validation": 0, "extnd": True,
    }  # fmt: skip
    with pytest.raises(ExperimentError) as caught:
        Search.from_dict(wrong)
    assert [problem.place for problem in caught.value.problems] == [
        f"over.{LR}", "over.batch_size.high", "over.x.kind", "over.y", "method", "trials", "seeds", "epochs",
        "criterion", "validation", "extnd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"over": RATES}, "values to try for every path of a grid"),
        ({"trials": 3}, "no trials for a grid"),
        ({"method": "random"}, "trials, the number of settings to draw"),
        ({"method": "random", "trials": 3, "extend": True}, "a grid to extend"),
    ],
)
def test_methods_refuse_what_is_not_theirs(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        Search(**{"over": {LR: (0.1,)}, **changes})


# Results -------------------------------------------------------------------------------------------------------------


def trial(rate: float, score: float | None, diverged: int = 0) -> Trial:
    return Trial(settings={LR: rate}, score=score, diverged=diverged)


@pytest.mark.parametrize(
    ("trials", "measure", "best"),
    [
        ([trial(0.1, 0.5), trial(0.2, 0.7), trial(0.3, 0.6)], "accuracy", 0.2),
        ([trial(0.1, 0.5), trial(0.2, 0.7), trial(0.3, 0.6)], "loss", 0.1),
        ([trial(0.3, 0.7), trial(0.2, 0.7), trial(0.1, 0.6)], "accuracy", 0.2),  # a tie: the smaller
        ([trial(0.1, 0.5), trial(0.2, 0.9, diverged=1)], "accuracy", 0.1),
        ([trial(0.1, None, diverged=3), trial(0.2, 0.9, diverged=1)], "accuracy", 0.2),
        ([trial(0.1, None, diverged=3)], "accuracy", None),
    ],
)
def test_the_best_trial(trials: list[Trial], measure: str, best: float | None) -> None:
    found = best_of(tuple(trials), measure)
    assert (None if found is None else found.settings[LR]) == best


def test_settings_are_laid_into_training_and_recipe_and_leave_the_rest() -> None:
    arm = Arm(
        recipe=Recipe(circuit="mlp", rule="sal", options={"areas": 4, "rank": 2}), note="n",
        training={"optimizer": {"lr": 1.0, "momentum": 0.9}, "epochs": 3},
    )  # fmt: skip
    changed = with_settings(arm, {LR: 0.1, "batch_size": 8, "recipe.options.areas": 2}, "tuned")
    assert changed.training == {"optimizer": {"lr": 0.1, "momentum": 0.9}, "epochs": 3, "batch_size": 8}
    assert changed.recipe is not None
    assert changed.recipe.options == {"areas": 2, "rank": 2}
    assert changed.note == "n; tuned"
    assert arm.training["optimizer"]["lr"] == 1.0


def test_what_cannot_be_laid_in_is_said_at_once() -> None:
    def best(path: str) -> dict[str, Any]:
        return {"settings": {path: 3}, "score": 0.5, "epochs": 1, "trials": []}

    tuned = Tuned.from_dict({
        "experiment": "a", "search": {"over": {LR: [0.1]}},
        "arms": {"pb": best(LR), "bp": best(LR), "lost": {"epochs": 1, "trials": []}},
    })  # fmt: skip
    arms = {name: Arm(recipe=Recipe(circuit="mlp")) for name in ("bp", "lost")}
    experiment = Experiment(name="a", data={"name": "digits"}, arms=arms, vary={LR: (0.1, 0.2)})
    with pytest.raises(ExperimentError) as caught:
        tuned.apply(experiment)
    assert [problem.place for problem in caught.value.problems] == ["arms.pb", "arms.lost", f"vary.{LR}"]
    assert "There are: bp, lost." in str(caught.value)
