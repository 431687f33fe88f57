"""Statistics of spikes against slow references that share no code, and their null levels."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import numpy
import pytest

from neurosal.stats import base

Array = numpy.ndarray[Any, Any]


def trains(units: int = 6, count: int = 80, seed: int = 0) -> tuple[Array, Array]:
    """Times and units of spikes in no order; the last unit is silent, the one before spikes twice."""
    random = numpy.random.default_rng(seed)
    unit = numpy.concatenate([random.integers(0, units - 2, count), [units - 2, units - 2]])
    return random.uniform(0, 1000, count + 2), unit


def test_rates_count_the_spikes_of_each_unit_in_the_time_that_was_seen() -> None:
    _, unit = trains()
    expected = [2 * sum(1 for entry in unit if entry == one) for one in range(6)]
    assert base.rates(unit, units=6, duration_ms=500).tolist() == expected
    assert base.rates([], units=2, duration_ms=500).tolist() == [0, 0]


def test_regularity_of_each_unit_equals_that_of_its_sorted_intervals() -> None:
    time, unit = trains()
    found = base.interval_cvs(time, unit, units=6)
    for one in range(6):
        mine = sorted(t for t, u in zip(time, unit, strict=True) if u == one)
        gaps = [later - earlier for earlier, later in itertools.pairwise(mine)]
        if len(mine) < 3:
            assert numpy.isnan(found[one])
        else:
            assert found[one] == pytest.approx(statistics.pstdev(gaps) / statistics.fmean(gaps), rel=1e-12)
    assert numpy.isnan(found[4:]).all()
    assert base.interval_cvs(time, unit, units=6, fewest=2)[4] == 0  # one interval does not vary


def test_a_clock_has_regularity_zero_and_a_poisson_train_one() -> None:
    assert base.interval_cvs(numpy.arange(50) * 10.0, numpy.zeros(50, int), units=1)[0] == pytest.approx(0, abs=1e-12)
    random = numpy.random.default_rng(1)
    found = base.interval_cv(random.exponential(10, (50, 4000)), axis=-1)
    assert abs(found.mean() - 1) < 5 * found.std(ddof=1) / 50**0.5


def test_regularity_leaves_out_intervals_that_are_not_there() -> None:
    intervals = numpy.array([[1.0, 2.0, 4.0, numpy.nan], [3.0, numpy.nan, numpy.nan, numpy.nan]])
    found = base.interval_cv(intervals, axis=-1)
    assert found[0] == pytest.approx(statistics.pstdev([1, 2, 4]) / statistics.fmean([1, 2, 4]))
    assert numpy.isnan(found[1])


def test_spikes_are_counted_in_the_bin_where_exact_arithmetic_puts_them() -> None:
    times = numpy.arange(100) * 0.1
    found = base.spike_counts(times, numpy.zeros(100, int), units=2, bin_ms=0.7, stop_ms=10.0)
    expected = [0] * 14
    for step in range(98):
        expected[step // 7] += 1
    assert found[0].tolist() == expected
    assert not found[1].any()
    assert found.shape == (2, 14)
    steps = numpy.arange(400)  # 86 · 0.1 / 0.2 is below 43
    fine = base.spike_counts(steps * 0.1, numpy.zeros(400, int), units=1, bin_ms=0.2, stop_ms=40.0)
    assert fine[0].tolist() == [2.0] * 200
    later = base.spike_counts(times, numpy.zeros(100, int), units=1, bin_ms=0.7, start_ms=0.7, stop_ms=10.0)
    assert later[0].tolist() == expected[1:]


def test_fano_factors_equal_a_slow_reference_and_leave_out_silent_units() -> None:
    counts = numpy.random.default_rng(0).poisson(2.0, (3, 5, 40)).astype(float)
    counts[:, 2] = 0
    expected, together = [], []
    for replica in counts.tolist():
        ratios = [statistics.variance(row) / statistics.fmean(row) for row in replica if any(row)]
        expected.append(statistics.fmean(ratios))
        sums = [sum(column) for column in zip(*replica, strict=True)]
        together.append(statistics.variance(sums) / statistics.fmean(sums))
    numpy.testing.assert_allclose(base.fano_factor(counts), expected, rtol=1e-12)
    numpy.testing.assert_allclose(base.population_fano(counts), together, rtol=1e-12)
    assert numpy.isnan(base.fano_factor(numpy.zeros((4, 10))))
    assert numpy.isnan(base.population_fano(numpy.zeros((4, 10))))


def test_correlation_is_the_mean_over_pairs_of_units_that_vary() -> None:
    random = numpy.random.default_rng(0)
    shared = random.poisson(1.0, (2, 1, 60))
    counts = (random.poisson(2.0, (2, 5, 60)) + shared).astype(float)
    counts[:, 3] = 4.0
    for found, replica in zip(base.pairwise_correlation(counts), counts, strict=True):
        pairs = itertools.combinations([row for row in replica.tolist() if len(set(row)) > 1], 2)
        assert found == pytest.approx(statistics.fmean(statistics.correlation(a, b) for a, b in pairs), rel=1e-10)
    assert numpy.isnan(base.pairwise_correlation(counts[0, 3:4]))
    opposite = numpy.array([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]])
    assert base.pairwise_correlation(opposite) == pytest.approx(-1)


def test_the_population_sees_correlations_as_its_null_says() -> None:
    random = numpy.random.default_rng(3)
    units, share = 200, 0.1
    counts = random.poisson(0.9, (units, 4000)) + random.poisson(0.1, 4000)  # each pair shares a tenth
    assert base.pairwise_correlation(counts) == pytest.approx(share, abs=0.01)
    assert base.population_fano(counts) == pytest.approx(1 + (units - 1) * share, rel=0.1)


def test_distance_of_distributions_equals_a_slow_reference_with_ties_and_gaps() -> None:
    random = numpy.random.default_rng(0)
    x = random.integers(0, 8, (4, 11)).astype(float)
    y = random.integers(2, 9, (4, 7)).astype(float)
    x[0, 3], y[1, :2] = numpy.nan, numpy.nan
    for found, left, right in zip(base.ks_distance(x, y), x.tolist(), y.tolist(), strict=True):
        left, right = ([value for value in side if value == value] for side in (left, right))
        shares = [
            abs(sum(a <= t for a in left) / len(left) - sum(b <= t for b in right) / len(right)) for t in left + right
        ]
        assert found == pytest.approx(max(shares), rel=1e-12)
    assert base.ks_distance(x[2], x[2]) == pytest.approx(0, abs=1e-12)
    assert base.ks_distance([1.0, 2.0], [3.0]) == pytest.approx(1)
    assert numpy.isnan(base.ks_distance([numpy.nan], [3.0]))
