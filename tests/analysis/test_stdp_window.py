"""The window of a plasticity, measured from a record: lags from spikes and delay, changes from weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neurosal as ns
from neurosal import analysis, circuits
from neurosal.errors import ExperimentError
from neurosal.plasticity import STDP, TripletSTDP

RECORDED = ("spikes", ns.record_weights("pre_to_post", every_ms=1.0))
LAGS = (-30.0, -10.0, 0.0, 5.0, 10.0)


def test_the_window_of_pair_stdp(tmp_path: Path) -> None:
    circuit = circuits.spike_pairs(lags_ms=LAGS, dt_ms=0.5)
    late = circuit.projections["pre_to_post"].replace(delay_ms=2.0)
    for name, chosen in (("plain", circuit), ("late", circuit.with_projections(pre_to_post=late))):
        ns.simulate(chosen, 90, 0.5, seeds=(0, 1), record=RECORDED, store=tmp_path / name)
    found = analysis.stdp_window(tmp_path / "plain")
    assert found["lag"].values.tolist() == list(LAGS)
    lags = np.array(LAGS)
    expected = np.where(lags >= 0, 0.777 * np.exp(-lags / 16.8), -0.273 * np.exp(lags / 33.7))
    assert abs(found["change"].values[0] - expected).max() < 1e-12
    table = analysis.stdp_window.table(found).markdown()
    assert "+0.42846" in table
    assert "-0.20290" in table
    assert analysis.stdp_window(tmp_path / "late")["lag"].values.tolist() == [lag - 2 for lag in LAGS]
    figure = analysis.stdp_window.figure(found)
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 2]
    assert np.concatenate([line.get_ydata() for line in lines]) == pytest.approx(expected[2:])


def test_pairs_that_come_again_and_other_rules(tmp_path: Path) -> None:
    rule = TripletSTDP(w_min=None)
    circuit = circuits.spike_pairs(rule, lags_ms=(10.0,), pairs=2, every_ms=50.0, dt_ms=1.0)
    ns.simulate(circuit, 120, 1.0, record=RECORDED, store=tmp_path / "run")
    found = analysis.stdp_window(tmp_path / "run")
    assert int(found["pairs"][0]) == 2
    # The second post spike finds two arrivals and the slow trace of the first; the second arrival finds one post spike.
    grown = 6.5e-3 * (np.exp(-10 / 16.8) + np.exp(-60 / 16.8)) * np.exp(-50 / 114)
    assert float(found["change"][0, 0]) == pytest.approx(grown - 7.1e-3 * np.exp(-40 / 33.7), abs=1e-13)


def test_records_without_pairs_say_what_to_do(tmp_path: Path) -> None:
    circuit = circuits.spike_pairs(STDP(), lags_ms=(10.0,), dt_ms=1.0)
    ns.simulate(circuit, 15, 1.0, record=RECORDED, store=tmp_path / "short")
    with pytest.raises(ExperimentError, match="spike_pairs"):
        analysis.stdp_window(tmp_path / "short")


def test_what_cannot_be_paired_is_refused() -> None:
    for fields in ({"lags_ms": ()}, {"pairs": 0}, {"dt_ms": 0.0}, {"pairs": 2, "every_ms": 150.0}):
        with pytest.raises(ns.CircuitError):
            circuits.spike_pairs(**fields)
