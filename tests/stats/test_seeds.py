"""Over seeds: intervals and robust means against scipy's, and how often intervals hold the truth."""

from __future__ import annotations

import math

import numpy
import pytest
import scipy.stats
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal import stats
from neurosal.errors import NeurosalError
from neurosal.stats import base


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("centre", ["mean", "median", "interquartile_mean"])
@pytest.mark.parametrize("shape", [(3, 8), (2, 13)])
def test_intervals_equal_scipys_from_the_same_draws(method: str, centre: str, shape: tuple[int, int]) -> None:
    values = numpy.random.default_rng(0).gamma(2.0, size=shape)

    def middle(x: numpy.ndarray, axis: int) -> numpy.ndarray:
        return scipy.stats.trim_mean(x, 0.25, axis)

    function = {"mean": numpy.mean, "median": numpy.median, "interquartile_mean": middle}[centre]
    low, high = base.bootstrap_interval(values, axis=1, centre=centre, method=method, resamples=400, seed=3, level=0.9)
    for row, one in enumerate(values):
        expected = scipy.stats.bootstrap(
            (one,), function, confidence_level=0.9, n_resamples=400, method=method, rng=numpy.random.default_rng(3),
            vectorized=True,
        ).confidence_interval  # fmt: skip
        assert low[row] == pytest.approx(expected.low, rel=1e-9)
        assert high[row] == pytest.approx(expected.high, rel=1e-9)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_interquartile_mean_is_the_trimmed_mean(count: int) -> None:
    values = numpy.random.default_rng(count).standard_normal((2, count))
    numpy.testing.assert_allclose(base.interquartile_mean(values, axis=1), scipy.stats.trim_mean(values, 0.25, axis=1))


def test_seeds_that_have_no_result_are_left_out() -> None:
    values = numpy.random.default_rng(0).standard_normal((4, 6))
    spoilt = values.copy()
    spoilt[1, 2], spoilt[2, 0], spoilt[3] = math.nan, math.inf, math.nan
    low, high = base.bootstrap_interval(spoilt, axis=1, resamples=200)
    middle = base.interquartile_mean(spoilt, axis=1)
    for row, left in ((0, values[0]), (1, numpy.delete(values[1], 2)), (2, values[2, 1:])):
        alone = base.bootstrap_interval(left, axis=0, resamples=200)
        assert (low[row], high[row]) == (pytest.approx(alone[0]), pytest.approx(alone[1]))
        assert middle[row] == pytest.approx(base.interquartile_mean(left, axis=0))
    assert numpy.isnan([low[3], high[3], middle[3]]).all()
    assert numpy.isnan(base.bootstrap_interval(numpy.array([1.0]), axis=0)).all()  # one seed has no interval


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(-10, 10), st.floats(0.1, 10))
def test_intervals_and_middle_move_with_the_values_and_do_not_care_about_their_order(seed, offset, scale) -> None:
    values = numpy.random.default_rng(seed).standard_normal(7)
    low, high = base.bootstrap_interval(values, axis=0, resamples=100)
    assert values.min() <= low <= high <= values.max()
    moved = base.bootstrap_interval(scale * values + offset, axis=0, resamples=100)
    numpy.testing.assert_allclose(moved, [scale * low + offset, scale * high + offset], atol=1e-9)
    middle = base.interquartile_mean(values, axis=0)
    assert base.interquartile_mean(values[::-1], axis=0) == pytest.approx(middle)
    assert values.min() <= middle <= values.max()


def test_one_wild_seed_moves_the_mean_and_not_the_middle() -> None:
    values = numpy.array([0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.1])
    assert base.interquartile_mean(values, axis=0) == pytest.approx(0.925, abs=0.001)
    assert values.mean() < 0.83


def test_intervals_hold_the_truth_as_often_as_is_said() -> None:
    generator = numpy.random.default_rng(0)
    for count, share in ((5, 0.83), (40, 0.94)):
        low, high = base.bootstrap_interval(generator.standard_normal((1500, count)), axis=1, resamples=400)
        assert numpy.mean((low < 0) & (high > 0)) == pytest.approx(share, abs=0.03)


def test_labelled_intervals_keep_units_and_refuse_what_is_unknown() -> None:
    values = xarray.DataArray(numpy.arange(12.0).reshape(4, 3), dims=("replica", "step"), attrs={"units": "degree"})
    found = stats.bootstrap_interval(values, resamples=100, centre="median")
    assert found.low.dims == ("step",)
    assert found.low.attrs["units"] == stats.interquartile_mean(values).attrs["units"] == "degree"
    again = stats.bootstrap_interval(values, resamples=100, centre="median")
    assert found.identical(again)
    assert not found.identical(stats.bootstrap_interval(values, resamples=100, centre="median", seed=1))
    with pytest.raises(NeurosalError) as caught:
        stats.bootstrap_interval(values, centre="meen", method="bcaa")
    assert "Did you mean 'mean'" in str(caught.value)
    assert "Did you mean 'bca'" in str(caught.value)
