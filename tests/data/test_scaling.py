"""Scaling: what each kind computes, and that nothing is learnt from test data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosal.data import Dataset, from_arrays, load
from neurosal.errors import DataError


def two_features() -> Dataset:
    x = np.array([[0.0, 5.0], [10.0, 5.0], [20.0, 5.0], [1000.0, 7.0]])
    return from_arrays(x, [0, 1, 0, 1], test=[3])


def test_a_known_range_becomes_zero_to_one_or_symmetric() -> None:
    raw = load("digits", scaling="none")
    assert (raw.x.min(), raw.x.max()) == (0, 16)
    assert np.array_equal(load("digits").x, raw.x / np.float32(16))
    assert np.array_equal(load("digits", scaling="symmetric").x, raw.x / np.float32(8) - 1)


def test_the_format_s_range_counts_not_the_one_that_occurs() -> None:
    satimage = load("satimage")
    assert satimage.x.min() == np.float32(27) / np.float32(255)
    given = from_arrays(np.array([[2.0], [4.0]]), [0, 1], value_range=(0, 8)).scaled("unit")
    assert given.x.tolist() == [[0.25], [0.5]]


def test_without_a_known_range_each_feature_s_own_over_the_training_part_counts() -> None:
    scaled = two_features().scaled("unit")
    assert scaled.x.tolist() == [[0, 0], [0.5, 0], [1, 0], [50, 2]]
    assert two_features().scaled("symmetric").x[:3, 0].tolist() == [-1, 0, 1]


def test_standardised_features_have_mean_zero_and_deviation_one_over_the_training_part() -> None:
    data = load("pendigits", scaling="standardise")
    assert np.abs(data.train.x.mean(axis=0, dtype=np.float64)).max() < 1e-6
    assert np.abs(data.train.x.std(axis=0, dtype=np.float64) - 1).max() < 1e-6


def test_a_feature_that_never_changes_is_only_shifted() -> None:
    scaled = two_features().scaled("standardise")
    assert scaled.x[:, 1].tolist() == [0, 0, 0, 2]
    assert np.isfinite(load("optdigits", scaling="standardise").x).all()


@pytest.mark.parametrize("scaling", ["standardise", "unit", "symmetric"])
def test_statistics_never_see_validation_or_test_samples(scaling: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    changed = x.copy()
    changed[30:] *= 100
    parts = {"validation": range(30, 35), "test": range(35, 40)}
    plain, other = (from_arrays(array, np.zeros(40, int), **parts).scaled(scaling) for array in (x, changed))
    assert np.array_equal(plain.train.x, other.train.x)
    assert not np.array_equal(plain.test.x, other.test.x)


def test_statistics_follow_the_training_part_in_force() -> None:
    data = load("letter")
    early = data.scaled("standardise").split(validation=0.5).subset(200)
    late = data.split(validation=0.5).subset(200).scaled("standardise")
    assert early == late
    assert np.array_equal(early.x, late.x)
    assert np.abs(early.train.x.mean(axis=0, dtype=np.float64)).max() < 1e-6


def test_scaling_starts_from_the_published_values() -> None:
    data = load("digits")
    assert np.array_equal(data.scaled("standardise").scaled("symmetric").x, data.scaled("symmetric").x)


def test_given_numbers_scale_unit_or_raw_values() -> None:
    raw = load("digits", scaling="none").x
    given = load("digits").scaled(mean=0.25, std=0.5)
    assert np.allclose(given.x, (raw / 16 - 0.25) / 0.5, atol=1e-6)
    assert given.scaling == "mean 0.25, std 0.5 of unit scaled values"
    each = two_features().scaled(mean=[10, 5], std=[10, 1], of="none")
    assert each.x.tolist() == [[-1, 0], [0, 0], [1, 0], [99, 2]]


@pytest.mark.parametrize(
    ("arguments", "place", "words"),
    [
        ({"scaling": "symetric"}, "DataSpec.scaling", "'symmetric'"),
        ({"scaling": 3}, "DataSpec.scaling", "found 3"),
        ({"mean": 0.1}, "MeanAndDeviation.std", "required"),
        ({"mean": 0.1, "std": 0}, "MeanAndDeviation.std", "greater than 0"),
        ({"mean": 0.1, "std": [1, -1]}, "MeanAndDeviation.std", "greater than 0"),
        ({"mean": "x", "std": 1}, "MeanAndDeviation.mean", "a number"),
        ({"mean": float("inf"), "std": 1}, "MeanAndDeviation.mean", "a number"),
        ({"mean": 0, "std": 1, "of": "image"}, "MeanAndDeviation.of", "'image'"),
        ({"mean": [1, 2, 3], "std": 1}, "scaling.mean of input", "each of 2 features, found 3"),
    ],
)
def test_scalings_that_do_not_fit_are_refused(arguments: dict[str, object], place: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        two_features().scaled(**arguments)  # type: ignore[arg-type]
    assert [problem.place for problem in caught.value.problems] == [place]
    assert words in str(caught.value)


def test_large_sets_are_standardised_in_chunks_like_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load("letter", scaling="standardise").x
    monkeypatch.setattr("neurosal.data.scaling.CHUNK_SAMPLES", 7)
    assert np.abs(load("letter", scaling="standardise").x - whole).max() < 1e-6


def in_colour() -> Dataset:
    x = np.random.default_rng(0).integers(0, 256, size=(40, 3, 4, 5)).astype(np.uint8)
    x[30:] //= 2
    return from_arrays(x, np.zeros(40, int), test=range(30, 40), value_range=(0, 255))


def test_channels_of_images_have_mean_zero_and_deviation_one_over_the_training_part() -> None:
    data = in_colour().scaled("channels")
    assert np.abs(data.train.x.mean(axis=(0, 2, 3), dtype=np.float64)).max() < 1e-6
    assert np.abs(data.train.x.std(axis=(0, 2, 3), dtype=np.float64) - 1).max() < 1e-6
    assert data.test.x.mean() < -0.5
    constants = data.constants["input"]
    unit = in_colour().scaled("unit").train.x.astype(np.float64)
    assert np.allclose(constants.mean, unit.mean(axis=(0, 2, 3)))
    assert np.allclose(constants.std, unit.std(axis=(0, 2, 3)))
    assert data.provenance()["constants"]["input"] == constants.to_dict()
    assert "constants" not in in_colour().provenance()
    grey = data.grey()
    assert len(grey.constants["input"].mean) == 1
    assert abs(grey.train.x.mean(dtype=np.float64)) < 1e-6


def test_constants_of_channels_are_those_of_the_subset_that_is_trained_on() -> None:
    data = in_colour().scaled("channels")
    assert data.constants["input"] != data.subset(train=10).constants["input"]


def test_given_numbers_may_be_one_for_each_channel() -> None:
    data = in_colour().scaled(mean=[0.5, 0.25, 0], std=[1, 2, 4])
    unit = in_colour().scaled("unit").x
    expected = (unit - np.array([0.5, 0.25, 0]).reshape(3, 1, 1)) / np.array([1, 2, 4]).reshape(3, 1, 1)
    assert np.allclose(data.x, expected, atol=1e-6)
    assert data.scaling == "mean 0.5 0.25 0, std 1 2 4 of unit scaled values"
    with pytest.raises(DataError, match="each of 3 channels, or each of 60 features"):
        in_colour().scaled(mean=[0.5, 0.25], std=1)


def test_samples_without_space_have_no_channels() -> None:
    with pytest.raises(DataError, match="images"):
        two_features().scaled("channels")


@pytest.mark.parametrize("scaling", ["none", "unit", "symmetric", "channels", (0.5, 0.2), ([0.5, 0.4, 0.3], 0.2)])
def test_bytes_of_images_come_with_what_each_becomes(scaling: Any) -> None:
    data = in_colour()
    data = data.scaled(scaling) if isinstance(scaling, str) else data.scaled(mean=scaling[0], std=scaling[1])
    picture = data.train.pictures["input"]
    assert picture.pixels is not None
    assert picture.table is not None
    assert picture.extent == (3, 4, 5)
    for channel in range(3):
        assert np.array_equal(picture.table[channel][picture.pixels[:, channel]], data.train.x[:, channel])
    assert np.array_equal(picture.black, picture.table[:, 0])
    assert data.images == {"input": ((3, 4, 5), True)}


@pytest.mark.parametrize("scaling", ["standardise", (0.5, [0.2 + n / 100 for n in range(60)])])
def test_bytes_that_become_something_else_at_each_place_are_not_kept(scaling: Any) -> None:
    data = in_colour()
    data = data.scaled(scaling) if isinstance(scaling, str) else data.scaled(mean=scaling[0], std=scaling[1])
    picture = data.train.pictures["input"]
    assert (picture.pixels, picture.table, picture.black) == (None, None, None)
    assert data.images == {"input": ((3, 4, 5), False)}


def test_sets_of_bytes_stay_bytes_for_inputs_of_their_extent() -> None:
    assert in_colour().scaled("channels").stays_bytes({"input": (3, 4, 5)})
    assert not in_colour().scaled("channels").stays_bytes({"input": (60,)})
    assert not in_colour().scaled("standardise").stays_bytes({"input": (3, 4, 5)})
    assert not two_features().stays_bytes({"input": (2,)})
