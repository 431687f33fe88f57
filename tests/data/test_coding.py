"""Images as spikes: rates, latencies, order, labels; and recordings by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosal import data
from neurosal.data import LatencyCoded, RateCoded, RecordedSpikes
from neurosal.errors import DataError
from neurosal.graph import Circuit, Emitter, Model, Population
from neurosal.lower.spiking import realise


def sent(model: Emitter, steps: int, dt_ms: float = 0.5, units: int = 64) -> tuple[np.ndarray, np.ndarray]:
    circuit = Circuit(populations={"source": Population(size=units, model=model)})
    return realise(circuit, 0, dt_ms).all_spikes("source", steps)


@pytest.fixture(scope="module")
def digits() -> data.Part:
    return data.load("digits", scaling="unit").train


def test_pixels_spike_at_rates_in_proportion_to_their_brightness(digits: data.Part) -> None:
    source = RateCoded(data="digits", max_rate_hz=200.0, duration_ms=2000.0, pause_ms=500.0)
    step, unit = sent(source, 10_000)
    sample, within = step // 5000, step % 5000
    assert within.max() < 4000  # nothing in the pause
    for k in (0, 1):
        counts = np.bincount(unit[sample == k], minlength=64)
        expected = digits.x[k] * 400.0
        assert counts[expected == 0].sum() == 0
        assert np.all(np.abs(counts - expected) < 4.5 * np.sqrt(expected) + 1e-9)


def test_samples_come_in_order_from_the_first_on_and_round_again(digits: data.Part) -> None:
    source = RateCoded(data="digits", first=5, count=3)
    assert source.samples == 3
    assert source.labels(7).tolist() == digits.y[[5, 6, 7, 5, 6, 7, 5]].tolist()
    np.testing.assert_array_equal(source.inputs(np.array([4])), digits.x[[6]])
    shuffled = RateCoded(data="digits", order="shuffled", order_seed=3)
    assert sorted(shuffled.labels().tolist()) == sorted(digits.y.tolist())
    assert not np.array_equal(shuffled.labels(), digits.y)


@pytest.mark.parametrize("coding", ["linear", "logarithmic"])
def test_brighter_pixels_spike_earlier_at_the_times_of_the_code(coding: str, digits: data.Part) -> None:
    source = LatencyCoded(data="digits", coding=coding, threshold=0.2, tau_ms=10.0, latest_ms=30.0, duration_ms=40.0,
                          pause_ms=10.0)  # fmt: skip
    step, unit = sent(source, 200, dt_ms=0.5)
    for k in (0, 1):
        x = digits.x[k].astype(float)
        bright = np.nonzero(x > 0.2)[0]
        if coding == "linear":
            time = (1 - x[bright]) / 0.8 * 30
        else:
            time = 10 * np.log(x[bright] / (x[bright] - 0.2))
        np.testing.assert_allclose(source.times_ms(x[bright]), time, rtol=1e-12)
        due = np.rint(time / 0.5).astype(int)
        kept = due < 80
        here = step // 100 == k
        expected = sorted(zip(due[kept] + 100 * k, bright[kept], strict=True))
        assert list(zip(step[here], unit[here], strict=True)) == expected
        assert len(expected) > 10


def test_sources_of_images_travel_through_files() -> None:
    source = RateCoded(data=data.DataSpec(name="digits", subset={"train": 10}), max_rate_hz=10.0)
    assert Model.from_dict(source.to_dict()) == source
    text = "size: 64\nmodel: {kind: latency_coded, data: {name: digits}, coding: logarithmic, threshold: 0.2}\n"
    assert isinstance(Population.from_yaml(text).model, LatencyCoded)


def test_recordings_are_found_by_name_in_the_folder_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "retina.npz", times_ms=[2.0, 1.0], units=[1, 0])
    monkeypatch.setenv("NEUROSAL_DATA", str(tmp_path))
    for name in ("retina", str(tmp_path / "retina.npz")):
        step, unit = sent(RecordedSpikes(name=name), 10)
        assert (step.tolist(), unit.tolist()) == ([2, 4], [0, 1])
    with pytest.raises(DataError, match=r"a file cochlea\.npz"):
        sent(RecordedSpikes(name="cochlea"), 10)


def test_sources_that_do_not_fit_say_so() -> None:
    for source, message in (
        (RateCoded(data="digits", max_rate_hz=4000.0), "at most 2000 Hz"),
        (RateCoded(data=data.DataSpec(name="digits", scaling="standardise")), "inputs between 0 and 1"),
        (RateCoded(data="digits", first=10_000), "samples"),
        (LatencyCoded(data="digits", duration_ms=0.1), "at least a step"),
    ):
        with pytest.raises(DataError, match=message):
            sent(source, 300)
    with pytest.raises(DataError, match="as many inputs as units, 10"):
        sent(RateCoded(data="digits"), 10, units=10)
