"""Rates in the diffusion approximation, against what they must be and against neurons that are followed in time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurosal import stats
from neurosal.errors import NeurosalError

CELL = {"tau_m_ms": 20.0, "threshold_mv": 20.0, "reset_mv": 10.0, "refractory_ms": 2.0}
SMALL = {**CELL, "reset_mv": 0.0}
J = 0.1 * 5**0.5


def test_the_integral_is_that_of_its_definition() -> None:
    for mean, deviation in [(12.0, 6.0), (20.0, 3.0), (30.0, 9.0)]:
        low, high = (10 - mean) / deviation, (20 - mean) / deviation
        grid = np.linspace(low, high, 40_001)
        values = np.exp(grid**2) * (1 + np.array([math.erf(u) for u in grid]))
        area = float(((values[1:] + values[:-1]) / 2).sum() * (grid[1] - grid[0]))
        expected = 1e3 / (2 + 20 * math.sqrt(math.pi) * area)
        assert float(stats.siegert_rate(mean, deviation, **CELL)) == pytest.approx(expected, rel=1e-7)


def test_without_noise_the_rate_is_that_of_a_neuron_that_is_driven_to_threshold() -> None:
    mean = np.array([21.0, 25.0, 60.0, 300.0])
    expected = 1e3 / (2 + 20 * np.log((mean - 10) / (mean - 20)))
    np.testing.assert_allclose(stats.siegert_rate(mean, 1e-3, **CELL), expected, rtol=1e-6)


def test_a_unit_far_below_threshold_is_silent_and_not_a_number_that_overflows() -> None:
    assert float(stats.siegert_rate(-100.0, 1.0, **CELL)) == 0


def test_a_neuron_in_white_noise_fires_at_that_rate() -> None:
    """Euler–Maruyama with a threshold that is crossed between steps as often as it should be: shifted by .5826 σ √dt
    (Broadie, Glasserman & Kou 1997)."""
    random, dt, units = np.random.default_rng(0), 0.02, 2000
    mean, deviation, rest = 15.0, 7.0, np.zeros(units)
    v, count, step = np.full(units, 10.0), 0, deviation * math.sqrt(dt / 20)
    for now in range(15_000):
        free = rest <= now
        v = np.where(free, v + dt * (mean - v) / 20 + step * random.standard_normal(units), v)
        fired = v > 20 - 0.5826 * step
        v[fired], rest[fired] = 10, now + round(2 / dt)
        count += int(fired.sum()) if now >= 5000 else 0
    found = count / units / (10_000 * dt) * 1e3
    assert found == pytest.approx(float(stats.siegert_rate(mean, deviation, **CELL)), rel=0.02)


def small(drive: float = 2.0) -> np.ndarray:
    return stats.diffusion_rates(
        [[200, 50], [200, 50]], np.array([[J, -5 * J], [J, -5 * J]]), **SMALL,
        external_rate_hz=200 * drive * 20 / (J * 200 * 20) * 1e3, external_weight_mv=J,
    )  # fmt: skip


def test_the_small_brunel_network_fires_at_45_7_hz_in_theory() -> None:
    np.testing.assert_allclose(small(), [45.668, 45.668], atol=0.001)


def test_rates_reproduce_themselves_through_mean_and_variance_written_out() -> None:
    rate = float(small(3.0)[0])
    outside = 3 * 20 / (J * 200 * 20) * 1e3  # of each of the 200
    mean = 20e-3 * J * 200 * (outside + rate - 0.25 * 5 * rate)
    variance = 20e-3 * J**2 * 200 * (outside + rate + 0.25 * 25 * rate)
    assert float(stats.siegert_rate(mean, variance**0.5, **SMALL)) == pytest.approx(rate, rel=1e-8)


def test_populations_that_differ_get_rates_of_their_own() -> None:
    rates = stats.diffusion_rates(
        np.zeros((2, 2)), np.zeros((2, 2)), **CELL, external_rate_hz=1000.0, external_weight_mv=[0.9, 1.1]
    )
    expected = [stats.siegert_rate(20 * w, (20 * w**2) ** 0.5, **CELL) for w in (0.9, 1.1)]
    np.testing.assert_allclose(rates, expected, rtol=1e-8)


def test_a_network_that_runs_away_ends_at_the_rate_that_refractory_time_allows() -> None:
    rates = stats.diffusion_rates([[1000.0]], [[1.0]], **CELL, external_rate_hz=5000.0, external_weight_mv=0.5)
    assert 400 < float(rates[0]) < 500


def test_no_solution_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosal.stats import diffusion

    monkeypatch.setattr(diffusion, "siegert_rate", lambda mean, deviation, **_: np.asarray(mean) * 1e3 + 1)
    with pytest.raises(NeurosalError, match="rates that sustain themselves"):
        stats.diffusion_rates([[1.0]], [[1.0]], **CELL, external_rate_hz=1.0, external_weight_mv=1.0)
