"""How populations fire, summed up window by window, equals what the statistics say of all spikes at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosal.record import schema
from neurosal.record.firing import SAMPLE, Firing
from neurosal.stats import base

DT = 0.5
Array = np.ndarray[Any, Any]


def spikes(units: int, steps: int, replicas: int = 2, seed: int = 0) -> tuple[Array, Array, Array]:
    """Steps, replicas and units of spikes, replica by replica; some shared by all units, so that counts are
    correlated."""
    random = np.random.default_rng(seed)
    fired = random.random((steps, replicas, units)) < 0.02
    fired |= (random.random((steps, replicas, 1)) < 0.02) & (random.random((steps, replicas, units)) < 0.5)
    replica, step, unit = np.nonzero(fired.swapaxes(0, 1))
    return step, replica, unit


def summed(firing: Firing, found: tuple[Array, Array, Array], steps: int, window: int, start: int = 0) -> Firing:
    step, replica, unit = found
    for first in range(start, steps, window):
        here = (step >= first) & (step < min(first + window, steps))
        firing.add(first, min(first + window, steps), step[here], replica[here], unit[here])
    return firing


@pytest.mark.parametrize("settle_ms", [0.0, 87.5])
@pytest.mark.parametrize(("units", "window"), [(7, 64), (7, 1000), (130, 33)])
def test_sums_over_windows_equal_statistics_of_all_spikes(units: int, window: int, settle_ms: float) -> None:
    steps, bin_ms = 1000, 4.0
    found = spikes(units, steps)
    firing = Firing(2, units, dt_ms=DT, bin_ms=bin_ms, settle_ms=settle_ms, window_ms=window * DT)
    result = summed(firing, found, steps, window).result()
    sample = np.unique(np.linspace(0, units - 1, min(units, SAMPLE)).round().astype(int))
    for replica in range(2):
        mine = found[1] == replica
        assert result[schema.EVENTS][replica] == mine.sum()
        assert result[schema.LAST_SPIKE_MS][replica] == found[0][mine].max() * DT
        mine &= found[0] * DT >= settle_ms
        time, unit = found[0][mine] * DT, found[2][mine]
        rate = base.rates(unit, units=units, duration_ms=steps * DT - settle_ms).mean()
        assert result[schema.RATE_HZ][replica] == pytest.approx(rate, rel=1e-12)
        cv = np.nanmean(base.interval_cvs(time, unit, units=units))
        assert result[schema.INTERVAL_CV][replica] == pytest.approx(cv, rel=1e-9)
        span: dict[str, Any] = {"bin_ms": bin_ms, "start_ms": settle_ms, "stop_ms": steps * DT}
        counts = base.spike_counts(time, unit, units=units, **span)
        expected = base.pairwise_correlation(counts[sample])
        assert expected > 0.02
        assert result[schema.CORRELATION][replica] == pytest.approx(expected, rel=1e-9)
        assert result[schema.POPULATION_FANO][replica] == pytest.approx(base.population_fano(counts), rel=1e-9)


def test_spikes_in_another_order_are_not_summed_up() -> None:
    with pytest.raises(AssertionError, match="replica by replica"):
        Firing(2, 3, dt_ms=1.0).add(0, 10, np.array([1, 2]), np.array([1, 0]), np.array([0, 0]))


def test_the_rate_of_late_is_that_of_the_last_windows() -> None:
    firing = Firing(1, 2, dt_ms=1.0, window_ms=50.0)
    for first, count in ((0, 9), (50, 3), (100, 4)):
        step = first + np.arange(count)
        firing.add(first, first + 50, step, np.zeros(count, int), np.zeros(count, int))
    assert firing.result()[schema.RECENT_RATE_HZ].tolist() == [(3 + 4) / (2 * 0.1)]


def test_sums_go_on_from_what_they_kept_to_the_same_bits() -> None:
    found = spikes(9, 500)
    whole = summed(Firing(2, 9, dt_ms=DT, settle_ms=20.0), found, 500, 50)
    first, second = (Firing(2, 9, dt_ms=DT, settle_ms=20.0) for _ in range(2))
    summed(first, found, 200, 50)
    second.take_up({name: tensor.copy() for name, tensor in first.state().items()})
    summed(second, found, 500, 50, start=200)
    for name, values in whole.result().items():
        assert np.array_equal(values, second.result()[name], equal_nan=True), name


def test_without_spikes_there_is_no_regularity_and_no_last_spike() -> None:
    firing = Firing(1, 3, dt_ms=1.0)
    firing.add(0, 100, *(np.zeros(0, int),) * 3)
    result = firing.result()
    assert result[schema.RATE_HZ].tolist() == [0]
    for name in (schema.INTERVAL_CV, schema.CORRELATION, schema.POPULATION_FANO, schema.LAST_SPIKE_MS):
        assert np.isnan(result[name]).all(), name
