"""Splits: no sample in two parts, none lost, the test part never touched, and the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal.data import Dataset, DataSpec, Subset, from_arrays, load
from neurosal.data.splitting import shuffled
from neurosal.errors import DataError


def three_classes(samples: int) -> Dataset:
    return from_arrays(np.arange(samples, dtype=np.float32)[:, None], np.arange(samples) % 3, classes=3)


def parts(data: Dataset) -> list[list[int]]:
    return [part.index.tolist() for part in (data.train, data.validation, data.test)]


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(12, 80),
    test=st.floats(0, 0.4),
    validation=st.floats(0, 0.4),
    seed=st.integers(0, 2**32),
    stratified=st.booleans(),
)
def test_every_sample_is_in_exactly_one_part(
    samples: int, test: float, validation: float, seed: int, stratified: bool
) -> None:
    data = three_classes(samples).split(test=test, validation=validation, seed=seed, stratified=stratified)
    assert sorted(row for part in parts(data) for row in part) == list(range(samples))
    assert len(data.test) == int(test * samples + 0.5)
    assert len(data.validation) == int(validation * samples + 0.5)
    for part in (data.train, data.validation, data.test):
        assert part.x[:, 0].tolist() == part.index.tolist()
        assert part.y.tolist() == (part.index % 3).tolist()


@settings(max_examples=40, deadline=None)
@given(test=st.integers(0, 60), validation=st.integers(0, 60), seed=st.integers(0, 99))
def test_stratified_parts_hold_the_classes_in_proportion(test: int, validation: int, seed: int) -> None:
    labels = np.repeat([0, 1, 2], [120, 50, 10])
    data = from_arrays(np.ones((180, 1)), labels).split(test=test, validation=validation, seed=seed)
    for part in (data.train, data.validation, data.test):
        wanted = np.array([120, 50, 10]) / 180 * len(part)
        assert np.abs(np.bincount(part.y, minlength=3) - wanted).max() <= 2


def test_samples_are_mixed_and_depend_on_the_seed() -> None:
    splits = [parts(three_classes(60).split(test=0.5, seed=seed)) for seed in range(4)]
    assert splits[0] == parts(three_classes(60).split(test=0.5, seed=0))
    assert len({tuple(split[2]) for split in splits}) == 4
    assert splits[0][2] != list(range(30))


def test_a_split_is_the_same_on_every_machine() -> None:
    data = three_classes(12).split(validation=0.25, test=0.25, seed=7)
    assert parts(data) == [[0, 1, 5, 7, 8, 9], [2, 3, 10], [4, 6, 11]]
    assert shuffled(np.arange(8), None, 3).tolist() == [0, 4, 7, 1, 5, 6, 3, 2]


@pytest.mark.parametrize("name", ["digits", "optdigits", "letter"])
def test_carving_validation_leaves_the_test_part_alone(name: str) -> None:
    whole = load(name)
    carved = whole.split(validation=0.1, seed=0)
    assert np.array_equal(carved.test.index, whole.test.index)
    assert len(carved.validation) == int(0.1 * len(whole.train) + 0.5)
    together = np.sort(np.concatenate([carved.train.index, carved.validation.index]))
    assert np.array_equal(together, whole.train.index)


def test_an_official_test_part_is_kept_with_any_seed() -> None:
    for seed in range(3):
        carved = load("optdigits").split(validation=100, seed=seed)
        assert carved.test.index.tolist() == list(range(3823, 5620))
        assert len(carved.validation) == 100


def test_an_official_split_can_be_replaced_on_purpose() -> None:
    data = load("optdigits").split(train=0.5, test=0.5, seed=1)
    assert (len(data.train), len(data.test)) == (2810, 2810)
    assert data.test.index.min() < 3823


def test_a_given_validation_part_is_kept_until_another_is_asked_for() -> None:
    data = from_arrays(np.eye(10), [0, 1] * 5, validation=[8], test=[9])
    assert parts(data)[1] == [8]
    assert parts(data.split(seed=3))[1] == [8]
    assert parts(data.split(validation=0)) == [[0, 1, 2, 3, 4, 5, 6, 7, 8], [], [9]]
    assert len(data.split(validation=4).validation) == 4
    assert data.split(validation=4).test.index.tolist() == [9]


def test_a_new_split_replaces_the_one_before() -> None:
    data = three_classes(30)
    assert data.split(test=0.5, seed=1).split(test=0.1, seed=2) == data.split(test=0.1, seed=2)


def test_subsets_shrink_parts_in_proportion_and_stay_inside_them() -> None:
    whole = load("optdigits")
    fewer = whole.subset(500, test=0.1, seed=3)
    assert (len(fewer), len(fewer.train), len(fewer.test)) == (680, 500, 180)
    assert np.abs(np.bincount(fewer.train.y) - np.bincount(whole.train.y) * 500 / 3823).max() <= 1
    train = {row.tobytes() for row in whole.train.x}
    assert all(row.tobytes() in train for row in fewer.train.x)
    assert fewer.sha256 == whole.sha256
    assert fewer != whole
    assert fewer.subset() == whole


def test_subset_rows_keep_inputs_and_labels_together() -> None:
    data = three_classes(60).split(test=0.2).subset(20, test=5)
    assert data.x.shape == (25, 1)
    assert (data.x[:, 0] % 3).tolist() == data.y.tolist()
    for part in (data.train, data.test):
        assert np.array_equal(data.x[part.index], part.x)
        assert (part.x[:, 0] % 3).tolist() == part.y.tolist()


def test_targets_that_are_no_classes_are_split_at_random() -> None:
    data = from_arrays(np.eye(20), np.linspace(0, 1, 20)).split(test=0.25)
    assert len(data.test) == 5
    assert data.test.index.tolist() != list(range(5))


@pytest.mark.parametrize(
    ("shares", "place", "words"),
    [
        ({"train": 0.8, "test": 0.3}, "split", "train 0.8 + test 0.3"),
        ({"train": 0.8, "test": 0.1}, "split", "add up to the whole set"),
        ({"train": 0.5, "validation": 0.1}, "split", "add up to what the test part leaves"),
        ({"train": 10, "validation": 5, "test": 20}, "split", "30 samples"),
        ({"test": 31}, "split.test", "at most 30"),
        ({"validation": 28, "test": 5}, "split.validation", "the 25 samples"),
        ({"validation": 10, "test": 20}, "split.train", "train on"),
        ({"test": 1.0}, "split.train", "train on"),
        ({"test": -0.1}, "Split.test", "a fraction from 0. to 1."),
        ({"test": 1.1}, "Split.test", "found 1.1"),
        ({"train": "most"}, "Split.train", "'most'"),
        ({"validation": True}, "Split.validation", "True"),
        ({"test": float("nan")}, "Split.test", "nan"),
        ({"seed": -1}, "Split.seed", "-1"),
    ],
)
def test_shares_that_do_not_fit_are_refused(shares: dict[str, float], place: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        three_classes(30).split(**shares)  # type: ignore[arg-type]
    assert [problem.place for problem in caught.value.problems] == [place]
    assert words in str(caught.value)


def test_a_subset_larger_than_its_part_is_refused() -> None:
    with pytest.raises(DataError, match=r"subset\.train: expected at most the 1438 samples"):
        load("digits").subset(2000)


def test_a_choice_of_classes_keeps_their_labels_in_every_part() -> None:
    whole = load("letter")
    some = whole.of_classes("C", "A")
    assert set(some.train.y.tolist()) == set(some.test.y.tolist()) == {0, 2}
    assert (some.outputs, some.classes) == (26, whole.classes)
    kept = np.isin(whole.train.y, [0, 2])
    assert np.array_equal(some.train.x, whole.train.x[kept])
    assert np.array_equal(some.train.y, whole.train.y[kept])
    assert whole.of_classes(2, 0).train.y.tolist() == some.train.y.tolist()
    assert some.of_classes() == whole
    assert some.sha256 == whole.sha256


def test_a_subset_counts_from_what_the_classes_leave_in_either_order() -> None:
    digits = load("digits")
    first = digits.of_classes(3, 7).subset(train=40, seed=1)
    assert first == digits.subset(train=40, seed=1).of_classes(3, 7)
    assert np.bincount(first.train.y).tolist() == [0, 0, 0, 20, 0, 0, 0, 20]
    written = first.to_dict()
    assert written["subset"]["classes"] == [3, 7]
    assert DataSpec.from_dict(written).load() == first
    assert DataSpec.from_yaml("name: digits\nsubset: {classes: ['3', 7], train: 40, seed: 1}\n").load().y.tolist() == (
        first.y.tolist()
    )


def test_statistics_are_those_of_the_classes_that_are_left() -> None:
    some = load("digits").of_classes(0, 1).scaled("standardise")
    assert np.allclose(some.train.x.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (("a",), "classes of letter, found 'a'"), (("A", 26), "found 26"), ((-1,), "found -1"),
        ((True,), "by its name or its label"), ((1.5,), "by its name or its label"),
    ],
)  # fmt: skip
def test_classes_that_a_set_lacks_are_refused(classes: tuple, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load("letter").of_classes(*classes)
    with pytest.raises(DataError, match="a list of classes"):
        Subset(classes=())
    with pytest.raises(DataError, match=r"subset\.classes"):
        from_arrays(np.eye(4), [0.5, 1, 2, 3]).of_classes(1)
