"""The store: what readers see before, at and after a commit, for any sizes of chunks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurosal.errors import StoreError
from neurosal.record import schema
from neurosal.record import store as module
from neurosal.record.root import SUMS
from neurosal.record.store import ROOT, Store

SIZES = {schema.REPLICA: 2, "hidden": 3}
WEIGHT = schema.Variable(dims=(schema.REPLICA, schema.SAMPLE, "hidden"), dtype="float32")
STEP = schema.Variable(dims=(schema.SAMPLE,), dtype="int64")


def make(folder: Path, expected: int | None = None) -> Store:
    store = Store.create(folder, {})
    store.add_group("probes/hidden/every_1", {"coordinates": "step seed"})
    store.add_fixed("probes/hidden/every_1/seed", [4, 5], (schema.REPLICA,))
    store.add_growing("probes/hidden/every_1/activity", WEIGHT, SIZES, expected)
    store.add_growing("probes/hidden/every_1/step", STEP, SIZES, expected)
    return store


def rows(start: int, count: int) -> dict[str, np.ndarray]:
    steps = np.arange(start, start + count)
    activity = steps[None, :, None] * 10 + np.arange(2)[:, None, None] * 1000 + np.arange(3)
    return {"activity": activity.astype("float32"), "step": steps[None]}


def write(store: Store, start: int, count: int) -> None:
    store.write("probes/hidden/every_1", rows(start, count))


def seen(folder: Path) -> xarray.Dataset:
    with xarray.open_datatree(folder, engine="zarr") as tree:
        whole = tree["probes/hidden/every_1"].to_dataset().load()
    with xarray.open_dataset(folder, group="probes/hidden/every_1", engine="zarr") as alone:
        assert whole.identical(alone.load())
    return whole


def test_readers_see_what_was_committed_and_nothing_more(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    store.commit()
    assert seen(tmp_path / "s").sizes["sample"] == 0
    write(store, 0, 3)
    assert seen(tmp_path / "s").sizes["sample"] == 0
    store.commit()
    found = seen(tmp_path / "s")
    np.testing.assert_array_equal(found.activity, rows(0, 3)["activity"])
    np.testing.assert_array_equal(found.step, [0, 1, 2])
    assert found.activity.dims == WEIGHT.dims
    assert set(found.coords) == {"step", "seed"}


def test_an_open_reader_keeps_its_values_while_the_chunk_is_filled(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    write(store, 0, 3)
    store.commit()
    with xarray.open_dataset(tmp_path / "s", group="probes/hidden/every_1", engine="zarr") as early:
        write(store, 3, 4)
        store.commit()
        np.testing.assert_array_equal(early.activity, rows(0, 3)["activity"])
    np.testing.assert_array_equal(seen(tmp_path / "s").activity, rows(0, 7)["activity"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    chunk_bytes=st.sampled_from([1, 24, 100, 240, 10_000]),
    replica_bytes=st.sampled_from([1, 10_000]),
    expected=st.one_of(st.none(), st.integers(0, 30)),
    reopened=st.integers(0, 7),
)
def test_any_sequence_of_blocks_reads_back(
    counts: list[int], chunk_bytes: int, replica_bytes: int, expected: int | None, reopened: int,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(module, "UNKNOWN_BYTES", chunk_bytes)
    monkeypatch.setattr(module, "REPLICA_BYTES", replica_bytes)
    store, done = make(tmp_path / "s", expected), 0
    for index, count in enumerate(counts):
        write(store, done, count)
        done += count
        store.commit()
        if index == reopened:
            store = Store.open(tmp_path / "s")
        np.testing.assert_array_equal(seen(tmp_path / "s").activity, rows(0, done)["activity"])
    store.rewind({"probes/hidden/every_1": done // 2})
    write(store, done // 2, 1)
    store.commit()
    store.trim()
    np.testing.assert_array_equal(seen(tmp_path / "s").activity, rows(0, done // 2 + 1)["activity"])
    # Without the consolidated metadata the arrays' own shapes are the final ones, and no chunk lies past them.
    array = zarr.open_array(tmp_path / "s/probes/hidden/every_1/activity", mode="r")
    assert array.shape == (2, done // 2 + 1, 3)
    np.testing.assert_array_equal(array[:], rows(0, done // 2 + 1)["activity"])
    files = list((tmp_path / "s/probes/hidden/every_1/activity").glob("c.*"))
    assert len(files) == array.nchunks


def test_arrays_grow_by_doubling_and_are_trimmed_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNKNOWN_BYTES", 24)
    store = make(tmp_path / "s")
    path = tmp_path / "s/probes/hidden/every_1/activity" / ROOT
    lengths = []
    for index in range(20):
        write(store, index, 1)
        lengths.append(json.loads(path.read_text())["shape"][1])
    assert len(set(lengths)) == 6, lengths
    store.commit()
    store.trim()
    assert json.loads(path.read_text())["shape"] == [2, 20, 3]


def test_one_snapshot_of_weights_is_one_chunk(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", {})
    group = schema.projection("a_to_b", "every_1", post=("b", 512), pre=("a", 512), areas=2)
    store.add_group(group.path, {})
    store.add_growing(f"{group.path}/weight", group.variables["weight"], {**group.sizes, schema.REPLICA: 2})
    snapshot = np.ones((2, 1, 2, 512, 512), dtype="float32")
    for _ in range(3):
        store.write(group.path, {"weight": snapshot})
    files = sorted((tmp_path / "s" / group.path / "weight").glob("c.*"))
    assert [file.stat().st_size for file in files] == [snapshot.nbytes] * 3


@pytest.mark.parametrize(("expected", "size"), [(None, 65_520), (10, 240), (10**6, 1_048_560)])
def test_chunks_are_no_larger_than_what_is_expected(expected: int | None, size: int, tmp_path: Path) -> None:
    store = make(tmp_path / "s", expected)
    write(store, 0, 1)
    [file] = (tmp_path / "s/probes/hidden/every_1/activity").glob("c.*")
    assert file.stat().st_size == size


def test_labels_of_any_text_are_kept_without_a_warning(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", {})
    store.add_group("graph", {})
    names = ["a", "", "Prädikat → ü", "x" * 300]
    store.add_fixed("graph/projection", names, ("projection",))
    store.add_fixed("graph/plastic", [True, False, True, True], ("projection",))
    store.commit()
    with xarray.open_dataset(tmp_path / "s", group="graph", engine="zarr") as found:
        assert found.projection.values.tolist() == names
        assert found.plastic.values.tolist() == [True, False, True, True]


@pytest.mark.parametrize("length", [0, 1, 100, 5000])
def test_a_damaged_root_is_refused_by_name(length: int, tmp_path: Path) -> None:
    make(tmp_path / "s").commit()
    root = tmp_path / "s" / ROOT
    root.write_bytes(root.read_bytes()[:length] if length < 5000 else b'{"attributes": {"neurosal_schema": "1.0"}}')
    with pytest.raises(StoreError, match=r"zarr\.json: expected"):
        Store.open(tmp_path / "s")


def test_arrays_of_one_group_with_two_lengths_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "s").commit()
    root = tmp_path / "s" / ROOT
    content = json.loads(root.read_text())
    content["consolidated_metadata"]["metadata"]["probes/hidden/every_1/step"]["shape"] = [7]
    del content["consolidated_metadata"][SUMS]  # as an earlier release wrote it
    root.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="one length of all arrays in probes/hidden/every_1"):
        Store.open(tmp_path / "s")


@pytest.mark.parametrize("version", ["2.0", "1.7", "0.9", "", None, "one"])
def test_another_schema_is_refused(version: str | None, tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    store.attributes[schema.VERSION_ATTRIBUTE] = version
    store.commit()
    with pytest.raises(StoreError, match=r"expected (schema 1.0|a schema version)"):
        Store.open(tmp_path / "s")
