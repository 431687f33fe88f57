"""A request for data, as experiment files hold it: plain values there and back, unknown fields refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neurosal.data import Dataset, DataSpec, MeanAndDeviation, Split, from_arrays, load
from neurosal.errors import DataError


def variants() -> list[Dataset]:
    digits = load("digits")
    return [
        digits,
        digits.scaled("symmetric").split(train=0.8, validation=0, test=0.2, seed=4),
        digits.scaled("standardise").split(validation=100, stratified=False).subset(300, test=0.5, seed=1),
        digits.scaled(mean=0.3, std=0.4).natural(),
        digits.scaled(mean=[0.5] * 64, std=[2] * 64, of="none"),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_request_survives_json_and_loads_the_same_data(number: int) -> None:
    data = variants()[number]
    written = json.loads(json.dumps(data.to_dict()))
    spec = DataSpec.from_dict(written)
    assert spec == data.spec
    again = spec.load()
    assert again == data
    assert np.array_equal(again.train.x, data.train.x)
    assert np.array_equal(again.test.index, data.test.index)


def test_a_request_as_an_experiment_file_writes_it() -> None:
    split = {"train": 0.8, "validation": 0, "test": 0.2, "seed": 0, "stratified": True}
    spec = DataSpec.from_dict({"name": "digits", "scaling": "symmetric", "split": split})
    assert spec.split == Split(train=0.8, validation=0, test=0.2)
    data = spec.load()
    assert (len(data.train), len(data.validation), len(data.test)) == (1438, 0, 359)
    assert data.x.min() == -1
    assert spec.to_dict()["split"] == split
    explicit = DataSpec.from_dict({"name": "digits", "scaling": {"mean": 0.1, "std": 0.3}})
    assert explicit.scaling == MeanAndDeviation(mean=0.1, std=0.3, of="unit")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"name": "digits", "scalling": "unit"}, {"scalling": "'scaling'"}),
        ({"scaling": "unit"}, {"name": "required"}),
        ({"name": "digits", "split": {"tset": 0.2}}, {"split.tset": "'test'"}),
        ({"name": "digits", "split": {"test": 2.0, "seed": "x"}}, {"split.test": "2.0", "split.seed": "'x'"}),
        ({"name": "digits", "split": 0.2}, {"split": "0.2"}),
        ({"name": "digits", "scaling": {"mean": 1, "sd": 2}}, {"scaling.std": "required", "scaling.sd": "'std'"}),
        ({"name": 3, "shape": "round", "scaling": []}, {"name": "3", "shape": "'round'", "scaling": "[]"}),
        ({"name": "digits", "subset": {"train": -5}}, {"subset.train": "-5"}),
    ],
)
def test_every_wrong_field_is_reported_at_its_place(request_: dict[str, object], expected: dict[str, str]) -> None:
    with pytest.raises(DataError) as caught:
        DataSpec.from_dict(request_)
    found = {problem.place: str(problem) for problem in caught.value.problems}
    assert set(found) == set(expected)
    for place, words in expected.items():
        assert words in found[place]


def test_a_request_cannot_be_changed_in_place() -> None:
    spec = DataSpec(name="digits")
    with pytest.raises(Exception, match="frozen"):
        spec.name = "letter"  # type: ignore[misc]


def test_provenance_is_plain_and_says_what_was_used() -> None:
    data = load("optdigits").split(validation=0.1)
    told = json.loads(json.dumps(data.provenance()))
    assert told["name"] == "optdigits"
    assert told["sha256"] == data.sha256
    assert told["published"] is True
    assert told["samples"] == {"train": 3441, "validation": 382, "test": 1797}
    assert "CC BY 4.0" in told["licence"]
    assert DataSpec.from_dict(told["request"]).load() == data
    assert told["split_sha256"] != load("optdigits").provenance()["split_sha256"]


def test_arrays_in_memory_cannot_be_loaded_by_their_request() -> None:
    data = from_arrays(np.eye(3), [0, 1, 2], name="mine")
    with pytest.raises(DataError, match="mine"):
        data.spec.load()


def test_a_data_set_shows_what_it_is() -> None:
    shown = repr(load("digits", scaling="symmetric"))
    for part in ("digits", "8×8", "10 classes", "train 1438", "test 359", "0 to 16 becomes -1 to 1"):
        assert part in shown
