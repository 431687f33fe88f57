"""Spikes, traces and sparse weights in a record: what was put there is what is read."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

import neurosal as ns
from neurosal.errors import DataError, StoreError
from neurosal.record import Recorder, SpikeRecord, dense_weights, faults, growing, open_run, schema, spikes_between
from neurosal.record.repair import repair
from tests.record import spiking
from tests.record.recording import contents


def recorded(folder: Path, windows: list[tuple[float, float, Any]], seeds: int = 2, units: int = 10) -> Any:
    """The tree of a record with these windows: (start, stop, rows of time, unit, replica)."""
    with Recorder.create(folder, circuit={}, settings={}, replicas={"seed": list(range(seeds))}) as recorder:
        spikes = SpikeRecord(recorder, "cells", units)
        for start, stop, rows in windows:
            time_ms, unit, replica = np.reshape(rows, (-1, 3)).T
            spikes.put(start, stop, step=round(stop), time_ms=time_ms, unit=unit, replica=replica)
    return open_run(folder).tree


def rows_of(events: xarray.Dataset) -> set[tuple[float, int, int]]:
    return set(zip(events.time_ms.values.tolist(), events.unit.values.tolist(), events.replica_index.values.tolist(),
                   strict=True))  # fmt: skip


WINDOWS = st.lists(
    st.tuples(
        st.booleans(),
        st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9), st.integers(0, 1)), max_size=8, unique=True),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(windows=WINDOWS, asked=st.tuples(st.integers(0, 60), st.integers(1, 60)))
def test_every_spike_is_read_from_any_stretch_of_time(
    windows: list[tuple[bool, list[tuple[int, int, int]]]],
    asked: tuple[int, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Windows are 10 ms; each is recorded or left out, and spikes come in any order."""
    present = [
        (10.0 * n, 10.0 * n + 10, [(10 * n + t / 10, unit, replica) for t, unit, replica in rows])
        for n, (there, rows) in enumerate(windows)
        if there
    ]
    tree = recorded(tmp_path_factory.mktemp("run"), present)
    every = {(float(t), u, r) for _, _, rows in present for t, u, r in rows}
    assert rows_of(tree["spikes/cells"].to_dataset()) == every
    index = tree["windows/cells"].to_dataset()
    assert index.events.values.sum() == len(every)
    start, stop = asked[0], asked[0] + asked[1]
    whole = all(any(a <= t < b for a, b, _ in present) for t in range(start, stop))
    if not whole:
        with pytest.raises(DataError, match="times that were recorded"):
            spikes_between(tree, "cells", start, stop)
        return
    for replica in (None, 0, 1):
        found = spikes_between(tree, "cells", start, stop, replica=replica)
        assert rows_of(found) == {row for row in every if start <= row[0] < stop and replica in (None, row[2])}


def test_events_of_a_window_and_replica_are_one_slice_sorted_by_time_and_unit(tmp_path: Path) -> None:
    tree = recorded(tmp_path, [(0, 10, [(5, 1, 1), (5, 0, 1), (1, 9, 1), (7, 2, 0)]), (10, 20, [(12, 3, 1)])])
    events, index = tree["spikes/cells"].to_dataset(), tree["windows/cells"].to_dataset()
    for window in (0, 1):
        for replica in (0, 1):
            first = int(index.first_event[replica, window])
            part = events.isel(event=slice(first, first + int(index.events[replica, window])))
            assert (part.replica_index == replica).all()
            assert list(part.time_ms) == sorted(part.time_ms)
            assert ((part.time_ms >= index.start_ms[window]) & (part.time_ms < index.stop_ms[window])).all()
    assert events.unit.values.tolist() == [2, 9, 0, 1, 3]


def test_reading_a_window_reads_only_its_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = [(10.0 * n, 10.0 * n + 10, [(10 * n + t / 1000, t % 10, 0) for t in range(9000)]) for n in range(8)]
    recorded(tmp_path, windows)
    store = tmp_path / schema.STORE
    chunks = sorted((store / "spikes/cells/time_ms").glob("c.*"))
    assert len(chunks) > 5
    for far in chunks[4:]:
        far.unlink()  # zarr would read what is absent as NaN
    found = spikes_between(open_run(tmp_path).tree, "cells", 10, 20)
    assert found.time_ms.values.tolist() == [row[0] for row in windows[1][2]]


@pytest.mark.parametrize("wrong", [{"time_ms": [10.0]}, {"time_ms": [-0.1]}, {"unit": [10]}, {"unit": [-1]},
                                   {"replica": 2}, {"stop": 0.0}])  # fmt: skip
def test_what_cannot_be_is_not_recorded(wrong: dict[str, Any], tmp_path: Path) -> None:
    given = {"time_ms": [5.0], "unit": [3], "replica": 1, "stop": 10.0} | wrong
    with Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0, 1]}) as recorder:
        spikes = SpikeRecord(recorder, "cells", 10)
        with pytest.raises(AssertionError):
            spikes.put(0.0, given.pop("stop"), step=1, **given)
        spikes.put(0.0, 10.0, step=1, time_ms=[], unit=[])
        with pytest.raises(AssertionError, match="a window from 5"):
            spikes.put(5.0, 20.0, step=2, time_ms=[], unit=[])
    assert len(open_run(tmp_path / "run").tree["spikes/cells"].time_ms) == 0


def test_a_population_that_was_not_recorded_is_named(tmp_path: Path) -> None:
    tree = recorded(tmp_path, [(0, 10, [])])
    with pytest.raises(DataError, match=r"spikes/cell: .* Did you mean 'cells'"):
        spikes_between(tree, "cell")
    assert spikes_between(tree, "cells").sizes["event"] == 0


def test_many_entries_at_once_are_the_same_as_one_by_one(tmp_path: Path) -> None:
    group = schema.traces("cells", "every_10", units=(4, 7), variables={"v_mv": "potential", "g_ns": "conductance"})
    random = np.random.default_rng(0)
    values = {name: random.normal(size=(3, 500, 2)) for name in ("v_mv", "g_ns")}
    step = np.arange(500)
    for folder, lengths in (("at once", [500]), ("in parts", [1, 0, 99, 400]), ("one by one", [1] * 500)):
        with Recorder.create(tmp_path / folder, circuit={}, settings={}, replicas={"seed": [0, 1, 2]}) as recorder:
            recorder.declare(group)
            done = 0
            for length in lengths:
                part = slice(done, done + length)
                rows = {name: array[:, part] for name, array in values.items()}
                recorder.extend(group.path, {**rows, "step": step[part], "time_ms": step[part] * 0.1})
                done += length
                assert recorder.lengths[group.path] == done
        found = open_run(tmp_path / folder).tree[group.path].to_dataset()
        for name, array in values.items():
            assert found[name].dims == ("replica", "sample", "cells")
            assert np.array_equal(found[name].values, array)
        assert found.cells.values.tolist() == [4, 7]
        assert np.array_equal(found.time_ms.values, step * 0.1)
        assert np.array_equal(found.sel(cells=7).v_mv.values, values["v_mv"][:, :, 1])


@pytest.mark.parametrize("change", [{"v_mv": np.zeros((2, 4, 2))}, {"step": np.zeros(3)}, {"time_ms": None}])
def test_entries_that_do_not_fit_each_other_are_not_recorded(change: dict[str, Any], tmp_path: Path) -> None:
    group = schema.traces("cells", "every_10", units=(4, 7), variables={"v_mv": "potential"})
    rows = {"v_mv": np.zeros((1, 4, 2)), "step": np.zeros(4), "time_ms": np.zeros(4)} | change
    with Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0]}) as recorder:
        recorder.declare(group)
        with pytest.raises(AssertionError, match=group.path):
            recorder.extend(group.path, {name: values for name, values in rows.items() if values is not None})


def synapse_record(folder: Path, pairs: Any, weights_RTS: np.ndarray) -> xarray.Dataset:
    group = schema.synapses("a_to_b", "every_window", post=("b", 4), pre=("a", 3), pairs=pairs)
    seeds = list(range(len(weights_RTS)))
    with Recorder.create(folder, circuit={}, settings={}, replicas={"seed": seeds}) as recorder:
        recorder.declare(group)
        for snapshot, weight in enumerate(np.moveaxis(weights_RTS, 1, 0)):
            clock = {"step": [snapshot], "time_ms": [snapshot * 100.0]}
            recorder.extend(group.path, {"weight": weight[:, None], **clock})
        recorder.declare(group)
    return open_run(folder).tree[group.path].to_dataset()


def test_sparse_weights_become_matrices_that_every_statistic_takes(tmp_path: Path) -> None:
    pairs, weights = ([0, 2, 3, 3], [1, 0, 2, 2]), np.random.default_rng(0).normal(size=(2, 3, 4))
    found = dense_weights(synapse_record(tmp_path / "run", pairs, weights))
    assert found.dims == ("replica", "snapshot", "b", "a")
    assert found.time_ms.values.tolist() == [0, 100, 200]
    expected = np.zeros((2, 3, 4, 3))
    for synapse, (post, pre) in enumerate(zip(*pairs, strict=True)):
        expected[:, :, post, pre] += weights[:, :, synapse]
    assert np.array_equal(found.values, expected)
    back = found.isel(replica=0, snapshot=0, drop=True)
    assert float(ns.stats.angle(back, back.transpose("a", "b"), dim=("a", "b"))) == pytest.approx(0, abs=1e-5)


def test_replicas_may_be_wired_each_in_its_own_way(tmp_path: Path) -> None:
    pairs = (np.array([[0, 1, 2], [3, 3, -1]]), np.array([[0, 1, 2], [0, 1, -1]]))
    weights = np.array([[[1.0, 2.0, 3.0]], [[4.0, 5.0, np.nan]]])
    group = synapse_record(tmp_path / "run", pairs, weights)
    assert group.pre.dims == ("replica", "synapse")
    found = dense_weights(group).isel(snapshot=0).values
    assert np.array_equal(found[0], [[1, 0, 0], [0, 2, 0], [0, 0, 3], [0, 0, 0]])
    assert np.array_equal(found[1], [[0, 0, 0], [0, 0, 0], [0, 0, 0], [4, 5, 0]])


def test_other_synapses_are_refused_when_a_run_goes_on(tmp_path: Path) -> None:
    synapse_record(tmp_path / "run", ([0, 1], [0, 1]), np.ones((1, 1, 2)))
    recorder, _, _ = Recorder.resume(tmp_path / "run")
    with pytest.raises(StoreError, match="post: expected the stored values"):
        recorder.declare(schema.synapses("a_to_b", "every_window", post=("b", 4), pre=("a", 3), pairs=([0, 2], [0, 1])))
    recorder.close()


def test_windows_whose_events_were_dropped_say_so_and_are_not_taken_for_silence(tmp_path: Path) -> None:
    """Events of one window fill the queue while the disk stands still, so those of the next find no room."""
    begun, goes_on = threading.Event(), threading.Event()

    def stand_still(point: str) -> None:
        if point == faults.BLOCK_WRITE:
            begun.set()
            assert goes_on.wait(60)

    many = {"time_ms": np.linspace(0, 9, 50_000), "unit": np.zeros(50_000)}
    recorder = Recorder.create(
        tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0]}, queue_bytes=2**20, when_full="drop"
    )
    spikes = SpikeRecord(recorder, "cells", 10)
    with faults.installed(stand_still):
        spikes.put(0, 10, step=1, **many)
        recorder.maybe_commit()
        assert begun.wait(60)
        spikes.put(10, 20, step=2, time_ms=many["time_ms"] + 10, unit=many["unit"])
        goes_on.set()
        recorder.commit()
    spikes.put(20, 30, step=3, time_ms=[25.0], unit=[3])
    with pytest.warns(UserWarning, match="50000 of spikes/cells"):
        recorder.close()
    tree = open_run(tmp_path / "run").tree
    assert tree["windows/cells"].events.values.tolist() == [[50_000, -1, 1]]
    assert spikes_between(tree, "cells", 0, 10).sizes["event"] == 50_000
    assert rows_of(spikes_between(tree, "cells", 20, 30)) == {(25.0, 3, 0)}
    with pytest.raises(DataError, match="times that were recorded, found none from 10 to 20 ms"):
        spikes_between(tree, "cells", 5, 30)


# Damage --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "PAGE_BYTES", 240)  # so small that damage in the middle leaves something before it
        spiking.record(str(folder))
    return folder


@pytest.mark.parametrize("damaged", ["spikes/cells/time_ms", "spikes/cells/unit", "windows/cells/events",
                                     spiking.TRACES.path + "/v_mv"])  # fmt: skip
def test_a_repair_cuts_events_windows_and_traces_at_the_end_of_one_window(
    damaged: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PAGE_BYTES", 240)
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    before = {group: array.shape for group, array in contents(folder).items()}
    file = min((folder / schema.STORE / damaged).glob("c.*"))
    content = bytearray(file.read_bytes())
    content[np.prod(before[damaged]) * 4 // 2] ^= 1  # in the middle of what is there, or before it
    file.write_bytes(content)
    repaired = repair(folder)
    assert repaired.after.healthy
    arrays = contents(folder)
    windows, events = len(arrays["windows/cells/step"]), len(arrays["spikes/cells/unit"])
    assert 0 < windows < spiking.WINDOWS
    assert arrays["windows/cells/events"].sum() == events
    assert arrays["spikes/cells/time_ms"].max() < arrays["windows/cells/stop_ms"][-1]
    assert arrays[f"{spiking.TRACES.path}/step"].max() <= arrays["windows/cells/step"][-1] + 4
    whole_arrays = contents(whole)
    for name in ("time_ms", "unit", "replica_index"):
        assert np.array_equal(arrays[f"spikes/cells/{name}"], whole_arrays[f"spikes/cells/{name}"][:events])
    assert spikes_between(open_run(folder).tree, "cells").sizes["event"] == events


def test_events_that_are_fewer_than_windows_say_are_not_read_as_all(tmp_path: Path) -> None:
    tree = recorded(tmp_path, [(0, 10, [(5, 1, 1), (6, 0, 0)])])
    short = tree["spikes/cells"].to_dataset().isel(event=slice(0, 1))
    broken = xarray.DataTree.from_dict({"spikes/cells": short, "windows/cells": tree["windows/cells"].to_dataset()})
    with pytest.raises(DataError, match="expected 2 events, as its windows say, found 1"):
        spikes_between(broken, "cells", 0, 10)
