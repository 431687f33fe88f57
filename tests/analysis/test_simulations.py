"""Figures and numbers of simulations: what they say of spikes, state and weights that are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosal.analysis import intervals, raster, rates, states, weight_distribution
from neurosal.analysis.contract import Analysis
from neurosal.errors import ExperimentError
from neurosal.graph import LIF, Circuit, ExponentialConductance, Jump, Population, Projection
from neurosal.record import Recorder, SpikeRecord, schema

UNITS, REPLICAS, STOP_MS = 12, 2, 400.0
EVERY = (raster, rates, intervals, states, weight_distribution)


def clocks() -> tuple[np.ndarray[Any, Any], ...]:
    """Unit u of replica r spikes every 10 + u + 3 r ms; the last unit once."""
    found = []
    for replica in range(REPLICAS):
        for unit in range(UNITS):
            wait = 10.0 + unit + 3 * replica if unit < UNITS - 1 else 300.0
            found += [(time, unit, replica) for time in np.arange(wait, STOP_MS, wait)]
    time, unit, replica = (np.array(column) for column in zip(*sorted(found), strict=True))
    return time, unit, replica


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record as a simulation leaves it, of two populations, of which one is silent."""
    folder = tmp_path_factory.mktemp("runs") / "clocks"
    population = Population(size=UNITS, model=LIF())
    joined = Projection(source="quiet", target="cells", synapse=ExponentialConductance())
    circuit = Circuit(
        name="clocks", populations={"cells": population, "quiet": population}, projections={"a_to_b": joined}
    )
    settings = {"simulation": {"dt_ms": 1.0, "duration_ms": STOP_MS, "seeds": [4, 5], "backend": "torch"}}
    with Recorder.create(folder, circuit=circuit.to_dict(), settings=settings, replicas={"seed": [4, 5]}) as recorder:
        records = {name: SpikeRecord(recorder, name, UNITS) for name in ("cells", "quiet")}
        traces = schema.traces("cells", "every_2", units=(0, 3), variables={"v_mv": "v", "g_ns": "g"})
        pairs = (np.arange(40) % UNITS, np.arange(40) % 5)
        synapses = schema.synapses("a_to_b", "every_100", post=("cells", UNITS), pre=("quiet", UNITS), pairs=pairs)
        recorder.declare(traces)
        recorder.declare(synapses)
        time, unit, replica = clocks()
        for start in np.arange(0.0, STOP_MS, 100.0):
            here = (time >= start) & (time < start + 100)
            step = int(start) + 100
            records["cells"].put(
                start, start + 100, step=step, time_ms=time[here], unit=unit[here], replica=replica[here]
            )
            records["quiet"].put(start, start + 100, step=step, time_ms=[], unit=[])
            moments = start + 2.0 * np.arange(50)
            v_mv = np.broadcast_to(moments[None, :, None], (REPLICAS, 50, 2))
            along = {"step": moments.astype(int), "time_ms": moments}
            recorder.extend(traces.path, {"v_mv": v_mv, "g_ns": -v_mv, **along})
            # Half of the synapses go to the bottom, half to the top.
            share = start / 300
            weight = 0.5 + np.where(np.arange(40) % 2, 0.5, -0.5) * share
            values = np.broadcast_to(weight, (REPLICAS, 1, 40))
            recorder.extend(synapses.path, {"weight": values, "step": [int(start)], "time_ms": [start]})
    return folder


@pytest.mark.parametrize("analysis", EVERY, ids=lambda analysis: analysis.name)
def test_figure_table_and_numbers_of_a_simulation_are_written(analysis: Analysis, run: Path, tmp_path: Path) -> None:
    dataset = analysis(run)
    assert {path.suffix for path in analysis.save(dataset, tmp_path)} == {".zarr", ".png", ".svg", ".md"}
    assert str(analysis.table(dataset)).startswith("clocks")


def test_rates_are_spikes_by_units_and_time_and_clocks_are_regular(run: Path) -> None:
    time, _, replica = clocks()
    found = rates(run, bin_ms=50.0)
    assert found["label"].values.tolist() == ["cells", "quiet"]
    assert found["seed"].values.tolist() == [4, 5]
    counts = np.bincount(replica, minlength=2)
    np.testing.assert_allclose(found["rate_hz"][0], counts / UNITS / (STOP_MS * 1e-3))
    np.testing.assert_allclose(found["course_hz"].mean("time")[0], found["rate_hz"][0])
    second = ((time >= 50) & (time < 100) & (replica == 1)).sum() / UNITS / 0.05
    assert float(found["course_hz"][0, 1, 1]) == pytest.approx(second)
    np.testing.assert_allclose(found["interval_cv"][0], 0, atol=1e-9)
    assert float(found["rate_hz"][1].max()) == 0
    assert np.isnan(found["interval_cv"][1]).all()
    late = rates(run, settle_ms=200.0)
    expected = [((time >= 200) & (replica == one)).sum() / UNITS / 0.2 for one in (0, 1)]
    np.testing.assert_allclose(late["rate_hz"][0], expected)


def test_a_raster_shows_the_spikes_of_the_part_and_replica_that_were_asked(run: Path) -> None:
    time, unit, replica = clocks()
    found = raster(run, start_ms=100, stop_ms=200, replica=1, populations="cells")
    mine = (time >= 100) & (time < 200) & (replica == 1)
    shown = sorted(zip(found["time_ms"].values, found["unit"].values, strict=True))
    assert shown == sorted(zip(time[mine], unit[mine], strict=True))
    assert found.attrs["seed"] == 5
    few = raster(run, units_shown=3)
    assert few["shown"].values.tolist() == [3, 3]
    rows = {0: 0, 6: 1, 11: 2}  # the nearest to evenly spaced
    mine = (replica == 0) & np.isin(unit, list(rows))
    assert sorted(few["unit"].values.tolist()) == sorted(rows[one] for one in unit[mine].tolist())


def test_intervals_of_clocks_are_those_of_the_clocks(run: Path) -> None:
    found = intervals(run, populations="cells")
    assert float(found["intervals"].sum()) == pytest.approx(1)
    there = found["interval_ms"].values[found["intervals"].values[0] > 0]
    assert there.min() == pytest.approx(10, rel=0.05)
    assert there.max() == pytest.approx(23, rel=0.05)
    assert float(found["units"][0, 0]) == pytest.approx(1)  # all in the bin of no variation
    np.testing.assert_allclose(found["cv"], 0, atol=1e-9)


def test_weights_that_part_are_seen_at_the_bottom_and_at_the_top(run: Path) -> None:
    found = weight_distribution(run)
    assert found["time"].values.tolist() == [0, 100, 200, 300]
    np.testing.assert_allclose(found["mean"], 0.5)
    np.testing.assert_allclose(found["at_bottom"][0, :, 0], [0, 0, 0, 0.5])
    np.testing.assert_allclose(found["at_top"][0, :, 0], [0, 0, 0, 0.5])
    assert float(found["density"][0, -1, 0]) == 0.5
    assert float(found["density"][0, -1, -1]) == 0.5
    np.testing.assert_allclose(found["density"].sum("bin"), 1)
    wide = weight_distribution(run, top=10.0)
    assert float(wide["at_top"].max()) == 0


def test_weights_are_told_with_the_unit_of_what_they_are_added_to(run: Path) -> None:
    from neurosal.analysis.reporting.page import sections_of
    from neurosal.analysis.reporting.study import study_of
    from neurosal.analysis.simulations import weight_unit
    from neurosal.analysis.sources import arms_of

    found = weight_distribution(run)
    assert found["unit"].values.tolist() == ["nS"]
    axes = weight_distribution.figure(found).axes
    assert {axes[0].get_ylabel(), axes[1].get_xlabel()} == {"weight (nS)"}
    assert "0.5000 ± 0.0000 nS" in str(weight_distribution.table(found))
    section = next(one for one in sections_of(study_of(run)) if one.name == "weights")
    (chart,) = section.charts
    assert (chart.x.label, chart.y.label) == ("weight (nS)", "density (1/nS)")  # type: ignore[attr-defined]
    assert [line.name for line in chart.lines] == ["clocks, 0 ms", "clocks, 300 ms"]  # type: ignore[attr-defined]
    (arm,) = arms_of(run)
    for synapse, unit in ((Jump(), "mV"), (Jump(variable="reward"), ""), (None, "")):
        edge = arm.circuit.projections["a_to_b"].replace(synapse=synapse)
        other = replace(arm, circuit=arm.circuit.with_projections(a_to_b=edge))
        assert weight_unit(other, "a_to_b") == unit
    assert weight_unit(replace(arm, circuit=None), "a_to_b") == ""


def test_states_show_the_last_part_of_what_was_asked(run: Path) -> None:
    found = states(run, variables="g_ns", start_ms=300, stop_ms=350)
    assert found["name"].values.tolist() == ["g_ns"]
    assert found["value"]["time"].values.tolist() == list(range(300, 351, 2))
    np.testing.assert_allclose(found["value"][0, 0], -found["value"]["time"])


def test_what_was_not_recorded_is_told_with_what_to_add(run: Path) -> None:
    with pytest.raises(ExperimentError, match="Did you mean 'cells'"):
        raster(run, populations="cell")
    with pytest.raises(ExperimentError, match="a time before 400 ms"):
        raster(run, start_ms=500)
    with pytest.raises(ExperimentError, match="from 0 to 1"):
        raster(run, replica=2)
    with pytest.raises(ExperimentError, match="state that was recorded"):
        states(run, start_ms=900, stop_ms=950)


def test_several_stores_stand_side_by_side(run: Path, tmp_path: Path) -> None:
    import shutil

    other = shutil.copytree(run, tmp_path / "others")
    found = rates([run, other])
    assert found["label"].values.tolist() == ["clocks: cells", "clocks: quiet", "others: cells", "others: quiet"]
    rates.figure(found)


def test_the_report_draws_the_rate_of_each_population(run: Path) -> None:
    from neurosal.analysis.reporting.page import sections_of
    from neurosal.analysis.reporting.study import study_of

    section = next(one for one in sections_of(study_of(run)) if one.name == "spikes")
    assert [chart.title for chart in section.charts] == ["cells", "quiet"]
    time, _, replica = clocks()
    counts = [[((time >= s) & (time < s + 100) & (replica == r)).sum() for s in (0, 100, 200, 300)] for r in (0, 1)]
    (line,) = section.charts[0].lines  # type: ignore[attr-defined]
    np.testing.assert_allclose(line.x, [50, 150, 250, 350])
    np.testing.assert_allclose(line.y, np.mean(counts, axis=0) / UNITS / 0.1)
