"""The page on a simulation: its axis is time, and one moment is no curve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurosal import circuits, rules
from neurosal.analysis import report
from neurosal.graph import (
    LIF,
    Circuit,
    ExponentialConductance,
    Jump,
    PoissonSource,
    Population,
    Projection,
    Uniform,
)
from neurosal.record import Recorder, SpikeRecord, schema
from tests.analysis.reporting.making import Read

DT_MS, WINDOW_MS = 0.1, 100.0


def simulated(folder: Path, windows: int, circuit: Circuit | None = None) -> Path:
    """A record of one population that is summed up after every window."""
    circuit = circuit or Circuit(name="cells", populations={"cells": Population(size=4, model=LIF())})
    settings = {"simulation": {"dt_ms": DT_MS, "duration_ms": windows * WINDOW_MS, "seeds": [0, 1]}}
    with Recorder.create(folder, circuit=circuit.to_dict(), settings=settings, replicas={"seed": [0, 1]}) as recorder:
        spikes = SpikeRecord(recorder, "cells", 4)
        recorder.declare(schema.firing(["cells"]))
        for window in range(windows):
            start, stop = window * WINDOW_MS, (window + 1) * WINDOW_MS
            step = round(stop / DT_MS)
            spikes.put(start, stop, step=step, time_ms=[start + 1.0, start + 2.0], unit=[0, 1], replica=[0, 1])
            values = {name: np.full((2, 1, 1), float(window)) for name in schema.FIRING}
            recorder.extend(f"{schema.FIRING_STATS}/so_far", {**values, "step": [step], "time_ms": [stop]})
            recorder.reached(step=step, epoch=0.0)
    return folder


def test_how_a_simulation_fired_is_drawn_over_time_and_not_over_training_steps(tmp_path: Path) -> None:
    read = Read(report([simulated(tmp_path / "run", 3)]).html)
    assert "training step" not in read.text + str(read.numbers)
    assert "time steps" in read.text
    charts = [chart for chart in read.numbers["charts"] if "lines" in chart]
    assert {chart["x"]["label"] for chart in charts} == {"time (ms)"}
    _, rate = [chart for chart in charts if chart["y"]["label"] == "rate (Hz)"]  # the first is of single windows
    assert rate["lines"][0].get("x", rate.get("along")) == pytest.approx([100, 200, 300])
    assert rate["lines"][0]["y"] == pytest.approx([0, 1, 2])


def test_what_was_summed_up_once_is_in_a_table_and_in_no_chart(tmp_path: Path) -> None:
    read = Read(report([simulated(tmp_path / "run", 1)]).html)
    assert [chart["name"] for chart in read.numbers["charts"] if "lines" in chart] == ["rate-0-cells"]
    assert "Firing" in read.text


def test_circuits_in_time_are_shown_with_their_models_synapses_and_delays(tmp_path: Path) -> None:
    cells = Population(size=4, model=LIF())
    edge = Projection(source="cells", target="cells", synapse=ExponentialConductance(), delay_ms=1.5)
    later = edge.replace(synapse=Jump(), delay_ms=Uniform(low=1.0, high=2.0))
    circuit = Circuit(name="cells", populations={"cells": cells}, projections={"soon": edge, "later": later})
    read = Read(report([simulated(tmp_path / "run", 1, circuit)]).html)
    for said in ("delay (ms)", "exponential_conductance", "jump", "each its own (uniform)", "delay 1.5 ms",
                 "cells: 4 units, lif"):  # fmt: skip
        assert said in read.text, said
    sent = circuit.with_populations(given=Population(size=2, model=PoissonSource(rate_hz=5.0)))
    boxes = [box["class"] for box in Read(report([simulated(tmp_path / "sent", 1, sent)]).html).all("rect")]
    assert sorted(str(box) for box in boxes) == ["box rate", "box source"]
    plain = Read(report([simulated(tmp_path / "plain", 1)]).html)
    assert "delay (ms)" not in plain.text
    eprop = rules.eprop(circuits.row_reader(units=5), feedback="random")
    eprop = eprop.with_populations(cells=cells)
    read = Read(report([simulated(tmp_path / "eprop", 1, eprop)]).html)
    for said in ("hidden: 5 units, adaptive_lif", "input: 8 units, timed_source", "output: 10 units, timed_readout"):
        assert said in read.text, said
