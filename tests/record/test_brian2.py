"""A simulation in Brian2 is recorded through the same recorder as training, without loss, and opens beside it."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import neurosal as ns
from neurosal import rules
from neurosal.errors import NeurosalError
from neurosal.record import Recorder, dense_weights, schema, spikes_between
from neurosal.record.doctor import examine
from neurosal.record.following import Follower
from neurosal.record.monitors import Simulation
from neurosal.record.pack import pack

pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated(,| -) use:DeprecationWarning")  # how Brian2 parses
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "brian2_stdp.py"
WINDOWS, WINDOW_MS = 5, 100.0  # of the example as it is run from the command line


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("brian2_stdp", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(example: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, said = tmp_path_factory.mktemp("spiking") / "run", io.StringIO()
    with contextlib.redirect_stdout(said):
        example.main(str(folder))
    for text in ("(event: ", "rate in the second half", "(excitatory: 20, input: 100)"):
        assert text in said.getvalue()
    return ns.open_run(folder)


@pytest.fixture(scope="module")
def whole(example: Any) -> dict[str, Any]:
    """The same simulation in one piece, with monitors that nobody empties."""
    made: dict[str, Any] = example.build(0, example.SETTINGS)
    weights = example.brian2.StateMonitor(made["synapses"], "w", record=True, dt=WINDOW_MS * example.brian2.ms)
    made["network"].add(weights)
    made["network"].run(WINDOWS * WINDOW_MS * example.brian2.ms)
    return {**made, "weights": weights}


@pytest.mark.parametrize(("population", "monitor"), [("input", "input_spikes"), ("excitatory", "spikes")])
def test_every_spike_is_in_the_record(run: Any, whole: dict[str, Any], population: str, monitor: str) -> None:
    found = run.tree[f"spikes/{population}"].to_dataset()
    expected = whole[monitor]
    assert found.sizes["event"] == expected.num_spikes > 50
    steps = np.rint(np.array(expected.t_) / 1e-4).astype(int)
    order = np.lexsort((expected.i, steps))
    assert np.array_equal(np.rint(found.time_ms.values / 0.1).astype(int), steps[order])
    assert np.array_equal(found.unit.values, np.array(expected.i)[order])
    assert (found.replica_index == 0).all()
    assert abs(found.time_ms.values - np.array(expected.t_)[order] * 1e3).max() < 1e-9
    assert np.array_equal(np.bincount(found.unit.values, minlength=len(expected.count)), expected.count)


def test_every_sample_of_the_trace_is_in_the_record(run: Any, whole: dict[str, Any]) -> None:
    found = run.tree["traces/excitatory/every_10"].to_dataset()
    assert found.v_mv.dims == ("replica", "sample", "excitatory")
    assert found.excitatory.values.tolist() == [0, 3]
    assert np.array_equal(found.v_mv.values[0], np.array(whole["potential"].v_).T / 1e-3)
    assert np.array_equal(found.step.values, np.arange(0, WINDOWS * 1000, 10))
    assert np.allclose(found.time_ms.values, np.arange(WINDOWS * 100))


def test_every_weight_is_in_the_record_before_and_after_each_window(run: Any, whole: dict[str, Any]) -> None:
    group = run.tree["projections/input_to_excitatory/every_window"].to_dataset()
    recorded = np.array(whole["weights"].w_).T  # at the beginning of each window, not yet at the end of the last
    assert np.array_equal(group.weight.values[0, :-1], recorded)
    assert np.array_equal(group.weight.values[0, -1], np.array(whole["synapses"].w_))
    assert np.array_equal(group.pre.values, np.array(whole["synapses"].i))
    assert np.array_equal(group.post.values, np.array(whole["synapses"].j))
    assert not np.array_equal(recorded[0], recorded[-1])
    assert group.time_ms.values.tolist() == [window * WINDOW_MS for window in range(WINDOWS + 1)]
    dense = dense_weights(group)
    for synapse in (0, 17, 200):
        post, pre = int(group.post[synapse]), int(group.pre[synapse])
        assert np.array_equal(dense.values[0, :, post, pre], group.weight.values[0, :, synapse])


def test_windows_say_what_was_recorded_and_stretches_of_time_are_read_by_them(run: Any, whole: dict[str, Any]) -> None:
    index = run.tree["windows/excitatory"].to_dataset()
    assert index.stop_ms.values.tolist() == [(window + 1) * WINDOW_MS for window in range(WINDOWS)]
    assert index.events.values.sum() == whole["spikes"].num_spikes
    steps = np.rint(np.array(whole["spikes"].t_) / 1e-4)
    found = spikes_between(run.tree, "excitatory", 150, 330)
    assert found.sizes["event"] == ((steps >= 1500) & (steps < 3300)).sum()


def test_monitors_hold_no_more_than_one_window(example: Any, tmp_path: Path) -> None:
    made = example.build(1, example.SETTINGS)
    seen = []
    with Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [1]}) as recorder:
        simulation = Simulation(recorder, dt_ms=0.1)
        simulation.spikes("excitatory", made["spikes"])
        simulation.trace("excitatory", made["potential"], {"v_mv": ("v", example.brian2.mV, "membrane potential")})
        for window in range(1, 4):
            made["network"].run(20 * example.brian2.ms)
            seen.append((len(made["spikes"].t_), len(made["potential"].t_)))
            simulation.drain(20.0 * window)
            assert made["spikes"].num_spikes == len(made["spikes"].t_) == len(made["potential"].t_) == 0
    assert [samples for _, samples in seen] == [20, 20, 20]
    total = ns.open_run(tmp_path / "run").tree["spikes/excitatory"].sizes["event"]
    assert total == sum(spikes for spikes, _ in seen) == sum(made["spikes"].count)


def test_it_opens_beside_a_trained_circuit_with_plain_xarray_and_as_a_run(run: Any, tmp_path: Path) -> None:
    network = ns.compile(rules.kp(ns.circuits.mlp(6, 8, 3)), seeds=(0, 1), device="cpu")
    random = np.random.default_rng(0)
    data = ns.data.from_arrays(random.normal(size=(60, 6)), random.integers(3, size=60))
    record = [ns.probe("weight", "input_to_hidden1", epochs=1)]
    ns.train(network, data, epochs=1, optimizer=ns.SGD(lr=0.1), record=record, store=tmp_path / "run")
    trained = ns.open_run(tmp_path / "run")
    both = xarray.DataTree(children={"spiking": run.tree, "trained": trained.tree})
    assert both["spiking/spikes/excitatory"].unit.dims == ("event",)
    assert both["trained/projections/input_to_hidden1/epochs_1"].weight.dims[:2] == ("replica", "snapshot")
    plain = xarray.open_datatree(run.folder / schema.STORE, engine="zarr")
    assert plain["graph"].model.values.tolist() == ["poisson", "lif"]
    assert plain["spikes/excitatory"].to_dataset().identical(run.tree["spikes/excitatory"].to_dataset())
    for group in ("spikes/input", "windows/input", "traces/excitatory/every_10"):
        with xarray.open_dataset(run.folder / schema.STORE, group=group, engine="zarr") as alone:
            assert alone.identical(run.tree[group].to_dataset())
    assert (run.status.state, run.status.step) == ("done", WINDOWS * 1000)
    assert run.settings["rate_hz"] == 20.0
    assert "done at step 5000" in repr(run)
    with pytest.raises(NeurosalError):  # it has no such curves, and says so
        run.plot("learning_curves")


def test_what_looks_after_records_takes_it_as_any_other(run: Any, tmp_path: Path) -> None:
    assert examine(run.folder).healthy
    assert Follower(run.folder).look()
    shutil.copytree(run.folder, tmp_path / "packed")
    pack(tmp_path / "packed")
    assert examine(tmp_path / "packed").healthy
    packed = ns.open_run(tmp_path / "packed").tree
    for node in run.tree.subtree:
        if node.variables:
            assert packed[node.path].to_dataset(inherit=False).identical(node.to_dataset(inherit=False)), node.path


@pytest.mark.parametrize(("pre_ms", "post_ms", "change"), [(10, 20, 0.42846), (20, 10, -0.20290)])
def test_a_pair_of_spikes_changes_a_weight_as_the_equations_say(
    example: Any, pre_ms: float, post_ms: float, change: float, tmp_path: Path
) -> None:
    brian2 = example.brian2
    brian2.prefs.codegen.target = "numpy"
    brian2.defaultclock.dt = 0.1 * brian2.ms
    ends = [brian2.SpikeGeneratorGroup(1, [0], [time] * brian2.ms) for time in (pre_ms, post_ms)]
    settings = {**example.SETTINGS, "w_max_mv": 1.0, "a_plus": 0.777, "a_minus": 0.273}
    synapses = example.stdp_synapses(*ends, settings, transmits="")
    synapses.connect()
    synapses.w = 0.5
    network = brian2.Network(*ends, synapses)
    with Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0]}) as recorder:
        simulation = Simulation(recorder, dt_ms=0.1)
        simulation.weights("pre_to_post", synapses, "w", pre="pre", post="post", schedule="every_window")
        simulation.snapshot()
        network.run(40 * brian2.ms)
        simulation.drain(40.0)
        simulation.snapshot()
    weights = dense_weights(ns.open_run(tmp_path / "run").tree["projections/pre_to_post/every_window"].to_dataset())
    assert weights.dims == ("replica", "snapshot", "post_units", "pre_units")
    assert float(weights[0, 1, 0, 0] - weights[0, 0, 0, 0]) == pytest.approx(change, abs=5e-6)
