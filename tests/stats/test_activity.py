"""Dimensions and sparsity of activity against slow references that share no code."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import xarray

from neurosal import stats
from neurosal.errors import NeurosalError
from neurosal.stats import base

SHAPES = [(12, 5), (6, 17)]  # more samples than units, and fewer
ALL = [
    base.participation_ratio, base.dead_units, base.active_share, base.lifetime_sparsity, base.population_sparsity,
]  # fmt: skip


def drawn(shape: tuple[int, ...], seed: int = 0) -> numpy.ndarray[Any, Any]:
    return numpy.random.default_rng(seed).standard_normal(shape)


def rotation(units: int, seed: int = 0) -> numpy.ndarray[Any, Any]:
    return numpy.linalg.qr(drawn((units, units), seed))[0]


def slow_sparsity(vector: list[float]) -> float:
    n = len(vector)
    mean = math.fsum(abs(x) for x in vector) / n
    return (1 - mean**2 / (math.fsum(x * x for x in vector) / n)) / (1 - 1 / n)


@pytest.mark.parametrize("shape", SHAPES)
def test_participation_ratio_is_that_of_the_eigenvalues_of_the_covariance(shape: tuple[int, int]) -> None:
    activity = drawn((3, *shape)) @ numpy.diag(numpy.linspace(0.1, 2, shape[1])) + 5
    for found, one in zip(base.participation_ratio(activity), activity, strict=True):
        values = numpy.linalg.eigvalsh(numpy.cov(one.T))
        assert found == pytest.approx(values.sum() ** 2 / (values**2).sum(), rel=1e-9)
        assert 1 <= found <= min(shape[1], shape[0] - 1) + 1e-9


def test_participation_ratio_ignores_scale_shift_and_rotation_and_knows_one_dimension() -> None:
    activity = drawn((40, 7))
    turned = 1e-200 * (activity @ rotation(7)) + 0.0
    assert base.participation_ratio(turned) == pytest.approx(base.participation_ratio(activity), rel=1e-9)
    assert base.participation_ratio(activity + 1e6) == pytest.approx(base.participation_ratio(activity), rel=1e-6)
    assert base.participation_ratio(numpy.outer(drawn((9,)), drawn((4,)))) == pytest.approx(1)


def test_participation_ratio_of_white_noise_is_as_its_null_says() -> None:
    samples, units = 128, 500
    found = base.participation_ratio(drawn((20, samples, units)))
    n = samples - 1
    assert found.mean() == pytest.approx((n * units + 2) / (n + units + 1), rel=0.005)


@pytest.mark.parametrize("shape", SHAPES)
def test_silent_units_and_active_ones_are_counted_as_in_a_loop(shape: tuple[int, int]) -> None:
    activity = numpy.maximum(drawn(shape) - 1.0, 0)
    activity[:, 1] = 0
    columns = [[float(x) for x in activity[:, unit]] for unit in range(shape[1])]
    assert base.dead_units(activity) == sum(not any(column) for column in columns) / shape[1]
    assert base.dead_units(-activity, above=0.5) == sum(max(column) <= 0.5 for column in columns) / shape[1]
    share = sum(x > 0 for column in columns for x in column) / (shape[0] * shape[1])
    assert base.active_share(activity) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_sparsity_is_the_mean_of_that_of_units_or_samples_that_are_ever_active(shape: tuple[int, int]) -> None:
    activity = numpy.maximum(drawn(shape, seed=3), 0)
    activity[:, 0] = 0
    units = [activity[:, unit].tolist() for unit in range(shape[1]) if activity[:, unit].any()]
    samples = [row.tolist() for row in activity if row.any()]
    for found, vectors in ((base.lifetime_sparsity(activity), units), (base.population_sparsity(activity), samples)):
        assert found == pytest.approx(sum(map(slow_sparsity, vectors)) / len(vectors), rel=1e-12)


def test_sparsity_ends_at_0_and_1_and_has_the_chance_levels_that_it_states() -> None:
    one = numpy.zeros((5, 5))
    numpy.fill_diagonal(one, [1, 2, 3, 4, 5])
    for sparsity in (base.lifetime_sparsity, base.population_sparsity):
        assert sparsity(one) == pytest.approx(1)
        assert sparsity(numpy.full((5, 7), 3.0)) == pytest.approx(0, abs=1e-12)
        noise = drawn((400, 400))
        assert sparsity(noise) == pytest.approx(1 - 2 / math.pi, abs=0.01)
        assert sparsity(numpy.maximum(noise, 0)) == pytest.approx(1 - 1 / math.pi, abs=0.01)


@pytest.mark.parametrize("statistic", ALL)
def test_samples_that_do_not_exist_are_left_out_and_what_is_not_finite_has_no_answer(
    statistic: Callable[..., Any],
) -> None:
    activity = numpy.maximum(drawn((2, 9, 6)), 0)
    padded = numpy.concatenate([activity, numpy.full((2, 4, 6), numpy.nan)], 1)
    numpy.testing.assert_allclose(statistic(padded), statistic(activity), rtol=1e-12)
    for wrong in (numpy.nan, numpy.inf, -numpy.inf):
        broken = padded.copy()
        broken[0, 3, 2] = wrong
        found = statistic(broken)
        assert numpy.isnan(found[0])
        assert found[1] == statistic(padded)[1]
    assert numpy.isnan(statistic(numpy.full((3, 4), numpy.nan)))


def test_what_is_silent_has_no_dimension_and_no_sparsity() -> None:
    silent = numpy.zeros((4, 3))
    for statistic in (base.participation_ratio, base.lifetime_sparsity, base.population_sparsity):
        assert numpy.isnan(statistic(silent))
    assert base.dead_units(silent) == 1
    assert base.active_share(silent) == 0


def test_labelled_activity_keeps_its_other_dimensions_and_near_names_are_told() -> None:
    activity = xarray.DataArray(drawn((2, 9, 6)), dims=("replica", "trial", "hidden1"))
    for function in (stats.participation_ratio, stats.dead_units, stats.lifetime_sparsity):
        assert function(activity, dim=("trial", "hidden1")).dims == ("replica",)
    with pytest.raises(NeurosalError, match="Did you mean 'hidden1'"):
        stats.participation_ratio(activity, dim=("trial", "hiden1"))
    silent = activity.where(activity > 1, 0.0)
    assert (stats.dead_units(silent, dim=("trial", "hidden1"), above=9.0) == 1).all()
