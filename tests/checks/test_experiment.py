"""The check of an experiment."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from neurosal import library
from neurosal.checks import check_experiment, check_experiment_data
from neurosal.errors import ExperimentError
from neurosal.settings import Experiment

SMALL: dict[str, Any] = {
    "name": "small",
    "data": {"name": "digits"},
    "arms": {
        "bp": {"recipe": {"circuit": "mlp", "arguments": {"sizes": [64, 4, 10]}, "rule": "bp"}},
        "sal": {
            "recipe": {"circuit": "mlp", "arguments": {"sizes": [64, 4, 10]}, "rule": "sal", "options": {"areas": 2}}
        },
    },
    "analyses": [],
}


def small(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SMALL), **changes}


def places(data: dict[str, Any]) -> list[str]:
    return [problem.place for problem in check_experiment_data(data)[1]]


def test_a_sound_experiment_is_returned_as_it_was() -> None:
    experiment = Experiment.from_dict(SMALL)
    assert check_experiment(experiment) is experiment
    assert check_experiment_data(SMALL) == (experiment, [])


@pytest.mark.parametrize("name", library.names("experiments"))
def test_the_experiments_of_the_library_are_sound(name: str) -> None:
    """Some studies are of data that does not ship: on a machine without it, that is all that may be wrong with them."""
    _, problems = check_experiment_data(library.load_experiment(name).to_dict())
    assert [str(problem) for problem in problems if problem.expected != "its files"] == []


def test_problems_of_all_arms_of_data_and_of_settings_come_together() -> None:
    data = small(seeds=[0, 0], data={"name": "digit"}, analyses=["symetry"])
    data["arms"]["bp"]["recipe"]["rule"] = "pb"
    data["arms"]["sal"]["training"] = {"optimizer": {"rl": 1}}
    assert places(data) == [
        "data: data set 'digit'",
        "arms.bp.recipe.rule",
        "arms.sal.training.optimizer.rl",
        "seeds.1",
        "analyses.0",
    ]


def test_a_probe_needs_its_target_in_one_arm_at_least() -> None:
    record = [
        {"what": "usage", "target": "hidden1", "every": 1},
        {"what": "weight", "target": "route_hidden1", "every": 1},
    ]
    assert places(small(training={"record": record})) == []
    own = small()
    own["arms"]["bp"]["training"] = {"record": record}
    assert places(own) == ["arms.bp.training.record.1.target"]


@pytest.mark.parametrize("what", ["interference", "interference_within", "decrease_ratio", "kernel_distance"])
def test_what_is_measured_of_a_projection_has_a_projection_as_its_target(what: str) -> None:
    record = [{"what": what, "target": "input_to_hidden1", "every": 1}]
    assert places(small(training={"record": record})) == []
    record = [{"what": what, "target": "hidden1", "every": 1}]
    assert places(small(training={"record": record})) == ["training.record.0.target"]


def test_replicas_count_in_memory() -> None:
    data = small(seeds=list(range(1000)), vary={"optimizer.lr": [1e-4 * (1 + i) for i in range(1000)]})
    data["arms"]["bp"]["recipe"]["arguments"]["sizes"] = [64, 100_000, 10]
    with pytest.raises(ExperimentError, match=r"arms\.bp: expected what fits .* fewer than 1000000 replicas"):
        check_experiment(Experiment.from_dict(data))


def test_a_value_for_each_replica_needs_as_many_as_there_are() -> None:
    optimizer = {"kind": "sgd", "lr": 0.1, "momentum": [0.0, 0.9]}
    assert places(small(seeds=[0, 1], training={"optimizer": optimizer})) == []
    assert places(small(seeds=[0, 1, 2], training={"optimizer": optimizer})) == ["training.optimizer.momentum"]
    assert places(small(seeds=[0], vary={"optimizer.momentum": [0.0, 0.9]}, training={"optimizer": optimizer})) == []


def test_a_missing_data_set_is_reported_with_every_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NEUROSAL_DATA", raising=False)
    monkeypatch.setenv("NEUROSAL_CACHE", str(tmp_path))
    message = str(check_experiment_data(small(data={"name": "mnist"}))[1][0])
    for way in ("mnist.npz", "NEUROSAL_DATA", "train-images-idx3-ubyte", "--download"):
        assert way in message


def test_data_with_nothing_to_judge_by_is_refused() -> None:
    for split, fits in ({"test": 0}, False), ({"test": 0, "validation": 0.1}, True), ({"test": 0.1}, True):
        problems = check_experiment_data(small(data={"name": "digits", "split": split}))[1]
        assert (not problems) == fits
        assert all(problem.place == "data.split" for problem in problems)


def test_checking_writes_nothing_into_the_experiment() -> None:
    data = small(training={"epochs": 0})
    before = copy.deepcopy(data)
    check_experiment_data(data)
    assert data == before
