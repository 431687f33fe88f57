"""Sources of spikes: their statistics at fixed seeds, their exact times, and waveforms."""

from __future__ import annotations

from math import pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from neurosal.errors import CircuitError
from neurosal.graph import (
    Circuit,
    Emitter,
    InhomogeneousPoisson,
    PoissonSource,
    Population,
    Ramp,
    RegularTrain,
    Samples,
    Sine,
    SpikeTrain,
    Steps,
    Waveform,
)
from neurosal.lower.spiking import realise

Array = np.ndarray[Any, Any]


def sent(model: Emitter, units: int, steps: int, dt_ms: float = 0.1, seed: int = 0) -> tuple[Array, Array]:
    """All spikes of a source, through the blocks in which engines ask for them."""
    circuit = Circuit(populations={"source": Population(size=units, model=model)})
    return realise(circuit, seed, dt_ms).all_spikes("source", steps)


@pytest.mark.parametrize(
    ("rate_hz", "merged"), [(20.0, 1), ((20.0,) * 100, 1), (400.0, 1), (2.0, 10), ((40.0,) * 100, 10)]
)
def test_poisson_counts_have_the_mean_and_variance_of_their_rate(rate_hz: Any, merged: int) -> None:
    rate = (rate_hz if isinstance(rate_hz, float) else rate_hz[0]) * merged
    step, unit = sent(PoissonSource(rate_hz=rate_hz, merged=merged), 100, 40_000)
    counts = np.bincount(unit, minlength=100)
    mean = rate * 4.0
    assert abs(counts.mean() - mean) < 4 * (mean / 100) ** 0.5
    windows = np.bincount(unit * 40 + step // 1000, minlength=4000)  # of 100 ms, in which a step is nearly nothing
    chance = rate / merged * 1e-4
    fano = windows.var() / windows.mean()
    assert abs(fano - (1 - chance)) < 4 * (2 / 4000) ** 0.5
    assert np.all(np.diff(step * 100 + unit) >= (merged == 1))


@pytest.mark.parametrize(
    "model",
    [
        PoissonSource(rate_hz=2.0, merged=300),
        PoissonSource(rate_hz=(800.0,) * 7, merged=5),
        PoissonSource(rate_hz=40.0),
        InhomogeneousPoisson(rate_hz=Sine(mean=900.0, amplitude=300.0, frequency_hz=20.0), merged=4),
        RegularTrain(interval_ms=0.3),
        SpikeTrain(times_ms=(1.0, 2.0, 1.0, 1.0, 0.5), units=(3, 0, 3, 2, 6)),
        PoissonSource(rate_hz=0.0, merged=3),
    ],
)
def test_spikes_that_are_counted_are_the_spikes_one_by_one(model: Emitter) -> None:
    circuit = Circuit(populations={"source": Population(size=7, model=model)})
    realised = realise(circuit, 5, 0.1)
    most = 0
    for block in range(3):
        step_L, unit_L = realised.spikes("source", block)
        step_K, unit_K, times = realised.counted("source", block)
        assert np.all(np.diff(step_K * 7 + unit_K) > 0)
        times = np.ones(len(step_K), int) if times is None else times
        np.testing.assert_array_equal(np.repeat(step_K, times), step_L)
        np.testing.assert_array_equal(np.repeat(unit_K, times), unit_L)
        most = max(most, times.max(initial=0))
    several = getattr(model, "merged", 1) > 1 or isinstance(model, SpikeTrain)
    assert most >= 2 if several and getattr(model, "rate_hz", 1) != 0.0 else most <= 1


@pytest.mark.parametrize("rate_hz", [50.0, (50.0,) * 40])
def test_intervals_of_poisson_trains_are_exponential(rate_hz: Any) -> None:
    step, unit = sent(PoissonSource(rate_hz=rate_hz), 40, 100_000)
    order = np.lexsort((step, unit))
    gaps = np.diff(step[order])[np.diff(unit[order]) == 0]
    smooth = gaps - np.random.default_rng(1).random(len(gaps))  # within its step, a spike may be anywhere
    chance = 50.0 * 1e-4
    assert len(gaps) > 10_000
    assert scipy.stats.kstest(smooth, "expon", args=(0, -1 / np.log1p(-chance))).pvalue > 0.001


def test_units_have_rates_of_their_own_and_are_independent() -> None:
    step, unit = sent(PoissonSource(rate_hz=(10.0, 0.0, 200.0)), 3, 100_000)
    counts = np.bincount(unit, minlength=3)
    assert counts[1] == 0
    assert abs(counts[0] - 100) < 40
    assert abs(counts[2] - 2000) < 4 * 2000**0.5
    one, two = (np.bincount(step[unit == u] // 100, minlength=1000) for u in (0, 2))
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.1


def test_seeds_and_blocks_draw_apart_and_the_same_again() -> None:
    source = PoissonSource(rate_hz=100.0)
    one, again, other = (sent(source, 10, 512, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one[0][:20], other[0][:20])
    first, second = one[0][one[0] < 256], one[0][one[0] >= 256] - 256
    assert not np.array_equal(first[:20], second[:20])


@pytest.mark.parametrize("waveform", [Sine(mean=60.0, amplitude=50.0, frequency_hz=4.0, phase=0.5),
                                      Samples(values=(10.0, 100.0, 0.0, 80.0, 40.0), every_ms=50.0)])  # fmt: skip
def test_a_changing_rate_is_followed_step_by_step(waveform: Waveform) -> None:
    steps, units = 2500, 2000
    step, _ = sent(InhomogeneousPoisson(rate_hz=waveform), units, steps)
    time = np.arange(steps) * 0.1
    if isinstance(waveform, Sine):
        rate = 60 + 50 * np.sin(2 * pi * 4 * time / 1000 + 0.5)
    else:
        rate = np.repeat([10.0, 100.0, 0.0, 80.0, 40.0], 500)
    expected = np.add.reduceat(rate, np.arange(0, steps, 50)) * 1e-4 * units
    found = np.bincount(step // 50, minlength=50)
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected) + 1e-9)
    chi = ((found - expected)[expected > 0] ** 2 / expected[expected > 0]).sum()
    assert scipy.stats.chi2.sf(chi, (expected > 0).sum()) > 0.001


def test_a_table_of_rates_is_one_column_a_unit() -> None:
    _, unit = sent(
        InhomogeneousPoisson(rate_hz=Samples(values=((0.0, 100.0), (300.0, 0.0)), every_ms=500.0)), 2, 10_000
    )
    counts = np.bincount(unit, minlength=2)
    assert abs(counts - [150, 50]).max() < 50
    step, unit = sent(InhomogeneousPoisson(rate_hz=Samples(values=((0.0, 9e3), (9e3, 0.0)), every_ms=5.0)), 2, 100)
    assert set(unit[step < 50]) == {1}
    assert set(unit[step >= 50]) == {0}


def test_a_regular_train_keeps_its_times_over_blocks() -> None:
    step, unit = sent(RegularTrain(interval_ms=(3.3, 10.0), start_ms=(0.0, 4.0)), 2, 2000)
    assert step[unit == 0].tolist() == [round(k * 33.0) for k in range(61)]
    assert step[unit == 1].tolist() == list(range(40, 2000, 100))


def test_given_spikes_come_in_the_nearest_step_also_at_the_edge_of_a_block() -> None:
    times = (25.6, 25.549, 25.551, 0.0, 25.6)
    step, unit = sent(SpikeTrain(times_ms=times, units=(1, 2, 0, 0, 1)), 3, 600)
    assert step.tolist() == [0, 255, 256, 256, 256]
    assert unit.tolist() == [0, 2, 0, 1, 1]


def test_spikes_are_read_from_a_file_and_from_arrays(tmp_path: Path) -> None:
    times, units = np.array([3.0, 1.0]), np.array([0, 4])
    np.savez(tmp_path / "some.npz", times_ms=times, units=units)
    expected = [[10, 30], [4, 0]]
    for model in (SpikeTrain(path=str(tmp_path / "some.npz")), SpikeTrain(times_ms=times, units=units)):
        assert [ends.tolist() for ends in sent(model, 5, 100)] == expected
        assert type(model).from_dict(model.to_dict()) == model


def test_wrong_sources_say_what_is_wrong(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", times=np.zeros(3))
    for model, message in (
        (PoissonSource(rate_hz=(1.0, 2.0)), "one for each of 3 units"),
        (PoissonSource(rate_hz=2e4), "at most 10000 Hz"),
        (InhomogeneousPoisson(rate_hz=Samples(values=((1.0, 2.0),), every_ms=1.0)), "one for each of 3 units"),
        (RegularTrain(interval_ms=(1.0,)), "one for each of 3 units"),
        (SpikeTrain(times_ms=(1.0,), units=(3,)), "units 0 to 2"),
        (SpikeTrain(path=str(tmp_path / "none.npz")), "no such file"),
        (SpikeTrain(path=str(tmp_path / "other.npz")), "arrays times_ms and units"),
    ):
        with pytest.raises(CircuitError, match=message):
            sent(model, 3, 10)
    for kind, fields in (
        (SpikeTrain, {"times_ms": (1.0,), "units": ()}),
        (SpikeTrain, {"times_ms": (-1.0,), "units": (0,)}),
        (PoissonSource, {"rate_hz": -1.0}),
        (RegularTrain, {"interval_ms": 0.0}),
        (Steps, {"times_ms": (2.0, 1.0), "values": (1.0, 2.0)}),
        (Samples, {"values": ((1.0,), (1.0, 2.0)), "every_ms": 1.0}),
        (Ramp, {"last": 1.0, "start_ms": 2.0, "end_ms": 2.0}),
    ):
        with pytest.raises(CircuitError):
            kind(**fields)


@pytest.mark.parametrize(
    "waveform",
    [Steps(times_ms=(0.0, 7.5, 20.0), values=(1.0, -2.0, 4.0)), Ramp(first=1.0, last=3.0, start_ms=2.0, end_ms=9.7),
     Samples(values=((1.0, 2.0), (3.0, 4.0)), every_ms=2.5), Sine(frequency_hz=10.0, until_ms=50.0, every_ms=0.5)],
)  # fmt: skip
def test_a_waveform_and_its_staircase_agree_and_travel_through_files(waveform: Waveform) -> None:
    staircase = waveform.timed()
    times = np.arange(len(staircase.values)) * staircase.every_ms
    values = np.asarray(staircase.values).reshape(len(times), -1)
    np.testing.assert_allclose(waveform.at(times), values, rtol=0, atol=1e-12)
    assert Waveform.from_dict(waveform.to_dict()) == waveform


def test_steps_hold_from_their_time_on() -> None:
    steps = Steps(times_ms=(2.5, 10.0), values=(3.0, 1.0))
    assert steps.at([0.0, 2.4, 2.5, 9.9, 10.0, 1e4]).ravel().tolist() == [0, 0, 3, 3, 1, 1]
    assert steps.timed().every_ms == 2.5
