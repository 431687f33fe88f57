"""What a simulation gives and records, against the engine itself, whatever way it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import neurosal as ns
from neurosal.engine.clock import Clock
from neurosal.errors import CircuitError, DataError, ExperimentError, StoreError
from neurosal.lower.spiking import realise
from neurosal.record import Recorder
from neurosal.record.doctor import examine
from neurosal.record.simulated import Simulated
from neurosal.runner.simulating import NetworkWarning
from neurosal.runner.simulations.engines import _finite_rows
from neurosal.settings import Simulation
from tests.runner.spiking import DT, alone, driven, exploding

SEEDS = (0, 3)
RECORD = (
    ns.record_spikes(),
    ns.record_state("cells", "v_mv", every_ms=1.5, units=(7, 2)),
    ns.record_weights("cells_to_cells", "x", every_ms=40.0),
)


@pytest.fixture(scope="module")
def held() -> Simulated:
    return ns.simulate(driven(), 110.0, DT, seeds=SEEDS, record=RECORD, window_ms=30.0)


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """The same by the engine alone, step by step."""
    clock = Clock([realise(driven(), seed, DT) for seed in SEEDS])
    spikes: list[tuple[int, int, int]] = []
    state, weights = [], []
    for step in range(220):
        if step % 3 == 0:
            state.append(clock.state["cells"]["v_mv"][:, [2, 7]].numpy().copy())
        if step % 80 == 0:
            weights.append([clock.projections["cells_to_cells"].of_replica("x", r, step).numpy() for r in (0, 1)])
        for flat in clock.step()["cells"].tolist():
            spikes.append((flat // 12, step, flat % 12))
    weights.append([clock.projections["cells_to_cells"].of_replica("x", r, 220).numpy() for r in (0, 1)])
    return {"spikes": spikes, "state": np.stack(state, 1), "weights": weights, "clock": clock}


def test_every_spike_is_given_once_with_its_time_unit_and_replica(held: Simulated, seen: dict[str, Any]) -> None:
    events = held.spikes["cells"]
    found = [*zip(events.replica_index.values.tolist(), np.rint(events.time_ms.values / DT).astype(int).tolist(),
                  events.unit.values.tolist(), strict=True)]  # fmt: skip
    assert len(found) > 20
    assert sorted(found) == sorted(seen["spikes"])
    windows = [(int(step // 60), replica, step, unit) for replica, step, unit in found]
    assert windows == sorted(windows)


def test_state_is_given_at_its_interval_for_the_units_that_were_asked(held: Simulated, seen: dict[str, Any]) -> None:
    v_mv = held.state["cells"]["v_mv"]
    assert v_mv.dims == ("replica", "time_ms", "cells")
    assert v_mv.cells.values.tolist() == [2, 7]
    np.testing.assert_allclose(v_mv.time_ms, np.arange(0, 110, 1.5))
    assert np.array_equal(v_mv.values, seen["state"])


def test_synapses_are_given_at_the_start_at_each_interval_and_at_the_end(held: Simulated, seen: dict[str, Any]) -> None:
    x = held.synapses["cells_to_cells"]["x"]
    assert x.time_ms.values.tolist() == [0, 40, 80, 110]
    assert x.step.values.tolist() == [0, 80, 160, 220]
    edges = [realise(driven(), seed, DT).edges["cells_to_cells"] for seed in SEEDS]
    assert len(edges[0]) != len(edges[1])
    for replica, entry in enumerate(edges):
        here = x.post.values[replica] >= 0
        assert np.array_equal(x.pre.values[replica][here], entry.pre)
        assert np.array_equal(x.post.values[replica][here], entry.post)
        assert np.isnan(x.values[replica][:, ~here]).all()
        expected = np.stack([snapshot[replica] for snapshot in seen["weights"]])
        assert np.array_equal(x.values[replica][:, here], expected)
        weight = held.weights["cells_to_cells"]
        assert np.array_equal(weight.values[replica, -1][here], entry.weight)
    assert float(x.isel(time_ms=-1).min()) < 1


def test_a_store_holds_the_same_bits_as_memory_whatever_the_window(held: Simulated, tmp_path: Path) -> None:
    stored = ns.simulate(driven(), 110.0, DT, seeds=SEEDS, record=RECORD, window_ms=30.0, store=tmp_path / "run")
    compared = 0
    for path in held.tree.groups:
        one, other = (some.tree[path].to_dataset(inherit=False) for some in (held, stored))
        xarray.testing.assert_identical(one, other.load()) if one.data_vars else None
        compared += len(one.data_vars)
    assert compared >= 15
    assert examine(tmp_path / "run").healthy
    card = ns.open_run(tmp_path / "run")._repr_html_()
    rate = held.rates().sel(population="cells")
    assert f"cells {float(rate.mean()):.2f} ± {float(rate.std(ddof=1)):.2f} Hz" in card
    assert "epoch" not in card
    again = Simulated.of(tmp_path / "run")
    assert again.lines() == stored.lines()
    assert again.seconds.keys() == {"build", "compile", "simulate", "write"}
    assert again.seconds["simulate"] > 0
    assert again.seconds["write"] > 0
    other = ns.simulate(driven(), 110.0, DT, seeds=SEEDS, record=RECORD, window_ms=7.0)
    for name in ("input", "cells"):
        one, two = (some.spikes[name].sortby(["replica_index", "time_ms", "unit"]) for some in (held, other))
        xarray.testing.assert_identical(one, two)


def test_a_replica_of_a_batch_is_that_seed_alone(held: Simulated) -> None:
    alone = ns.simulate(driven(), 110.0, DT, seeds=(3,), record=RECORD, window_ms=30.0)
    events = held.spikes["cells"]
    mine = events.isel(event=events.replica_index.values == 1)
    assert np.array_equal(mine.time_ms, alone.spikes["cells"].time_ms)
    assert np.array_equal(mine.unit, alone.spikes["cells"].unit)
    assert np.array_equal(held.state["cells"]["v_mv"].values[1:], alone.state["cells"]["v_mv"].values)
    for name in ("rate_hz", "interval_cv", "correlation", "population_fano"):
        np.testing.assert_array_equal(held.summary[name].values[1:], alone.summary[name].values)


def test_rates_count_spikes_over_all_of_the_time_and_in_bins(held: Simulated) -> None:
    events = held.spikes["cells"]
    counts = np.bincount(events.replica_index.values, minlength=2)
    np.testing.assert_allclose(held.rates().sel(population="cells"), counts / 12 / 0.11)
    course = held.rates("cells", bin_ms=10.0)
    assert course.dims == ("replica", "time_ms")
    assert course.time_ms.values.tolist() == [5.0 + 10 * place for place in range(11)]
    np.testing.assert_allclose(course.mean("time_ms"), counts / 12 / 0.11)
    with pytest.raises(DataError, match="Did you mean 'cells'"):
        held.rates("cell")


def test_by_default_all_spikes_are_recorded_and_nothing_else() -> None:
    found = ns.simulate(driven(), 10.0, DT)
    assert list(found.spikes) == ["input", "cells"]
    assert not found.state
    assert not found.weights
    only = ns.simulate(driven(), 10.0, DT, record="spikes:cells")
    assert list(only.spikes) == ["cells"]
    assert only.summary.population.values.tolist() == ["input", "cells"]  # the summary is of all


# What is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("spikes:cell", "record.0.population: expected a population that spikes, found 'cell'. Did you mean 'cells'"),
        ("state:cells.v_m@1", "record.0.variables: expected state of 'cells', found 'v_m'. Did you mean 'v_mv'"),
        ("state:input.v_mv@1", "record.0.population: expected a population with state, found 'input'"),
        ("state:cells.v_mv@0.7", "record.0.every_ms: expected whole steps of 0.5 ms, found 0.7"),
        ("weights:cells_to_cell", "record.0.projection: expected a projection of the circuit, found 'cells_to_cell'"),
        (ns.record_weights("input_to_cells", "u"), "a variable of synapses of 'input_to_cells', found 'u'"),
        (ns.record_state("cells", "v_mv", units=(3, 12)), "record.0.units: expected units from 0 to 11"),
        ("spike:cells", "Did you mean 'spikes'"),
        ("state cells", "expected spikes:POPULATION, state:POPULATION.VARIABLE@MS or weights:PROJECTION@MS"),
    ],
)
def test_what_cannot_be_recorded_is_told_before_anything_is_written(record: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as error:
        ns.simulate(driven(), 10.0, DT, record=record, store=tmp_path / "run")
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"duration_ms": 10.2}, "dt_ms: expected a step of which duration_ms, 10.2, is a whole number"),
        ({"mode": "cython"}, "mode: expected 'eager' or 'compiled', a mode of torch"),
        ({"backend": "brian2", "dtype": "float32"}, "dtype: expected 'float64', which Brian2 computes in"),
        ({"seeds": ()}, "seeds"),
        ({"seeds": 5}, "seeds: expected a list, found 5"),
        ({"record": 3}, "record.0: expected a recording as a mapping with a kind, found 3"),
        ({"seeds": (1, 2, 1)}, "seeds: expected each seed once"),
        ({"seeds": (0, -1)}, "seeds: expected whole numbers from 0 on"),
        ({"settle_ms": 10.0}, "settle_ms: expected less than duration_ms, 10"),
        ({"backend": "brian"}, "Did you mean 'brian2'"),
        ({"backend": "brian2", "compiled": True}, "compiled: expected torch"),
        ({"windw_ms": 5}, "Did you mean 'window_ms'"),
        ({"simulation": 4}, "simulation: expected a Simulation, found 4. ns.Simulation(duration_ms=...) makes one"),
        ({"simulation": {"duration_ms": 5}}, "simulation: expected a Simulation, found {'duration_ms': 5}"),
        ({"store": 3}, "store: expected the path of a folder, found 3"),
        ({"store": ""}, "store: expected the path of a folder, found ''"),
        ({"progress": True}, "progress: expected a function, found True"),
        ({"store": 3, "simulation": 4}, "2 problems"),
    ],
)
def test_settings_that_do_not_fit_are_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError) as error:
        ns.simulate(driven(), **{"duration_ms": 10.0, "dt_ms": DT, **fields})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("duration_ms", "said"), [(10.05, "a whole number"), (0.05, "a whole number"), (1e300, "at most")]
)
def test_a_duration_that_does_not_fit_the_usual_step_is_told_too(duration_ms: float, said: str) -> None:
    with pytest.raises(
        ExperimentError, match=rf"dt_ms: expected a step of which duration_ms, .* is {said}.*, found 0\.1"
    ):
        ns.simulate(driven(), duration_ms)


@pytest.mark.parametrize(("duration_ms", "dt_ms"), [(1e300, 0.5), (10.0, 1e-320), (2.0**31, 1.0)])
def test_more_steps_than_engines_count_are_refused(duration_ms: float, dt_ms: float) -> None:
    # Of the value, not of a run: one that is not refused would not end.
    with pytest.raises(ExperimentError, match=r"dt_ms: expected a step of which duration_ms, .* at most 2,147,483,647"):
        Simulation(duration_ms=duration_ms, dt_ms=dt_ms)
    assert Simulation(duration_ms=2.0**31 - 1, dt_ms=1.0).steps == 2**31 - 1


def test_what_an_engine_refuses_leaves_no_run_behind(tmp_path: Path) -> None:
    for fields in ({"device": "tpu"}, {"seeds": (0,), "circuit": alone(refractory_ms=1e300)}):
        with pytest.raises((ExperimentError, CircuitError)):
            ns.simulate(**{"circuit": driven(), "duration_ms": 10.0, "dt_ms": DT, "store": tmp_path / "run", **fields})
    assert not (tmp_path / "run").exists()
    ns.simulate(driven(), 10.0, DT, store=tmp_path / "run")


def test_where_there_is_no_compiler_a_program_in_c_is_refused_before_there_is_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("brian2")
    monkeypatch.setenv("CXX", "/nowhere/c++")
    with pytest.raises(ExperimentError, match=r"the C\+\+ compiler /nowhere/c\+\+"):
        ns.simulate(driven(), 10.0, DT, backend="brian2", mode="standalone", store=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_circuits_without_time_are_sent_to_train() -> None:
    from neurosal import circuits

    with pytest.raises(CircuitError, match="train"):
        ns.simulate(circuits.mlp(4, 3, 2), 10.0)
    with pytest.raises(CircuitError, match="expected a Circuit, found str"):
        ns.simulate("cuba", 10.0)  # type: ignore[arg-type]


def test_a_store_that_holds_a_run_is_refused_and_another_simulation_is_not_resumed(tmp_path: Path) -> None:
    ns.simulate(alone(), 10.0, DT, store=tmp_path / "run")
    fields: dict[str, Any]
    for fields in ({}, {"device": "tpu"}):  # before anything is built, whatever is wrong with that
        with pytest.raises(StoreError, match="a new or empty folder"):
            ns.simulate(alone(), 10.0, DT, store=tmp_path / "run", **fields)
    with pytest.raises(StoreError, match="duration_ms"):
        ns.simulate(alone(), 20.0, DT, store=tmp_path / "run", resume=True)
    assert ns.simulate(alone(), 10.0, DT, store=tmp_path / "run", resume=True).state_of_run == "done"


# What is said of how it went ----------------------------------------------------------------------------------------


def test_a_network_that_never_spikes_says_so_in_summary_status_and_warning(tmp_path: Path) -> None:
    with pytest.warns(NetworkWarning, match="cells is silent: it never spiked in all replicas"):
        found = ns.simulate(alone(bias_mv=5.0), 200.0, DT, seeds=SEEDS, store=tmp_path / "run")
    assert "cells is silent: it never spiked in all replicas." in found.lines()
    status = Recorder.status(tmp_path / "run")
    assert status is not None
    assert (status.state, status.message) == ("done", "cells is silent: it never spiked in all replicas.")
    assert "never spiked" in ns.open_run(tmp_path / "run")._repr_html_()


def test_a_network_that_falls_silent_says_when() -> None:
    # Cells start above threshold, spike a few times while the first state decays, and stop.
    with pytest.warns(NetworkWarning, match=r"cells fell silent after [\d.]+ ms of 400 ms"):
        found = ns.simulate(alone(bias_mv=0.0, start_mv=-40.0), 400.0, DT)
    assert float(found.summary.last_spike_ms[0, 0]) < 10


def test_a_network_that_fires_as_fast_as_it_can_has_exploded() -> None:
    with pytest.warns(NetworkWarning, match="cells exploded: it fires at 500 Hz at the end, of 500 Hz"):
        ns.simulate(alone(bias_mv=900.0), 100.0, DT)


def test_a_replica_whose_state_is_not_finite_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    starts = [float(realise(exploding(), seed, DT).state["cells"]["x"][0]) for seed in range(8)]
    up, down = starts.index(max(starts)), starts.index(min(starts))
    assert min(starts) < 0 < max(starts)
    said = f"cells exploded: state is not finite from 100 ms on at the latest \\(seed {up}\\)"
    with pytest.warns(NetworkWarning, match=said):
        found = ns.simulate(exploding(), 300.0, DT, seeds=(down, up), store=tmp_path / "run", record="state:cells.x@1")
    assert found.state_of_run == "diverged"
    x = found.state["cells"]["x"]
    assert x.sizes["time_ms"] == 300
    assert np.isfinite(x.values[0]).all()
    assert not np.isfinite(x.values[1, -1]).any()


def test_state_is_finite_where_each_of_its_numbers_is() -> None:
    large = float(np.finfo("float32").max)
    rows = np.array([
        [1.0, 2.0, 3.0], [large, large, large], [-large, large, 0.0], [1.0, np.nan, 1.0], [0.0, 1.0, np.inf],
        [np.inf, -np.inf, 0.0], [-np.inf, 0.0, 0.0],
    ], "float32")  # fmt: skip
    assert _finite_rows(rows).tolist() == [True, True, True, False, False, False, False]
    assert _finite_rows(rows[:1]).tolist() == [True]
    assert _finite_rows(rows[4:5]).tolist() == [False]


def test_a_run_stops_where_no_replica_is_left() -> None:
    starts = [float(realise(exploding(), seed, DT).state["cells"]["x"][0]) for seed in range(8)]
    with pytest.warns(NetworkWarning, match="from 100 ms on at the latest"):
        found = ns.simulate(exploding(), 300.0, DT, seeds=(starts.index(max(starts)),))
    assert found.tree["windows/cells"].sizes["window"] == 1


# Brian2 -------------------------------------------------------------------------------------------------------------


def test_brian2_leaves_the_same_record_as_torch(tmp_path: Path) -> None:
    record = (
        "spikes", ns.record_state("cells", "v_mv", every_ms=1.5, units=(7, 2)), "state:cells.v_mv@4",
        "weights:cells_to_cells.x@20",
    )  # fmt: skip
    options: dict[str, Any] = {"seeds": (3, 5), "record": record, "window_ms": 15.0}
    one = ns.simulate(driven(), 40.0, DT, **options)
    other = ns.simulate(driven(), 40.0, DT, **options, backend="brian2", mode="numpy", store=tmp_path / "run")
    assert len(one.spikes["cells"].event) > 3
    compared = 0
    for path in one.tree.groups:
        mine, theirs = (some.tree[path].to_dataset(inherit=False) for some in (one, other))
        assert set(mine.variables) == set(theirs.variables)
        for name in mine.data_vars:
            np.testing.assert_allclose(theirs[name], mine[name], rtol=1e-9, atol=1e-9, err_msg=f"{path}/{name}")
            compared += 1
    assert compared >= 15
    assert other.seconds["build"] > 0
