"""Packing: the same values, read through time; killed at any moment, the old record opens or the new one."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal import analysis
from neurosal.errors import StoreError
from neurosal.record import ExperimentFolder, Recorder, faults, open_run, schema
from neurosal.record import pack as module
from neurosal.record.doctor import examine
from neurosal.record.pack import BLOCK_BYTES, SERIES_BYTES, SHARD_BYTES, layout, pack
from neurosal.record.repair import repair
from neurosal.record.root import ROOT, read_root
from tests.cli.invoking import invoke, small
from tests.record import recording


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    recording.record(str(folder))
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def must_hold_the_same(found: Path, expected: Path) -> None:
    values, reference = recording.contents(found), recording.contents(expected)
    assert values.keys() == reference.keys()
    for path, entry in values.items():
        assert entry.dtype == reference[path].dtype, path
        assert same(entry, reference[path]), path


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    if found.dtype.kind in "OT":
        return found.tolist() == expected.tolist()
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


def packed(folder: Path) -> bool:
    return read_root(folder / schema.STORE / ROOT).packed


def test_a_packed_run_holds_the_same_values_and_verifies_itself(run: Path, whole: Path) -> None:
    [done] = pack(run)
    must_hold_the_same(run, whole)
    assert packed(run)
    assert done.after < done.before
    assert "projections/wide/every_15/weight" in done.compressed
    assert examine(run).healthy
    root, before = read_root(run / schema.STORE / ROOT), read_root(whole / schema.STORE / ROOT)
    assert root.attributes == before.attributes
    for path, node in root.nodes.items():
        same_of = ("node_type", "shape", "data_type", "attributes", "dimension_names", "fill_value")
        assert {key: node.get(key) for key in same_of} == {key: before.nodes[path].get(key) for key in same_of}, path
        if node["node_type"] == "array":
            assert "crc32c" in str(node["codecs"]), path
    left = [path.name for path in run.rglob("*") if path.name.startswith("c.") or "packing" in path.name]
    assert left == []
    assert not (run / f"{schema.STORE}.checksums").exists(), "zarr's own are in its place"
    # Without the consolidated metadata it opens as well.
    array = zarr.open_array(run / schema.STORE / "projections/wide/every_15/weight", mode="r")
    assert array.shape == (3, 4, 1, 300, 300)


def test_packing_again_changes_nothing(run: Path) -> None:
    pack(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert pack(run) == []
    assert before == {path: path.read_bytes() for path in before}
    assert "packed already" in invoke("pack", run)[0]


class Killed(BaseException):
    """Stands for the end of the process: nothing in between may catch it."""


def dying(moment: int) -> Callable[[str], None]:
    """A handler that ends it when it comes to a step of packing for the n-th time."""
    count = 0

    def handler(point: str) -> None:
        nonlocal count
        count += point == faults.PACK
        if count == moment:
            raise Killed

    return handler


ARRAYS = 30
COMMIT = ARRAYS + 2  # after the writing, and each array's move
STEPS = COMMIT + ARRAYS  # each is tidied up


@pytest.mark.parametrize("moment", [1, 2, 14, COMMIT - 1, COMMIT, COMMIT + 1, 41, STEPS])
def test_killed_at_any_moment_the_old_record_opens_or_the_new_one(moment: int, run: Path, whole: Path) -> None:
    with faults.installed(dying(moment)), pytest.raises(Killed):
        pack(run)
    assert packed(run) == (moment >= COMMIT)
    must_hold_the_same(run, whole)
    assert examine(run).healthy
    assert examine(run).left_over
    if moment % 2:
        repaired = repair(run)
        assert repaired.lost == ()
        assert not repaired.after.left_over
    else:
        pack(run)
        assert packed(run)
    must_hold_the_same(run, whole)
    assert not [path for path in run.rglob("*") if "packing" in path.name]
    assert not list(run.rglob("c.*" if packed(run) else "c"))


def test_no_step_of_packing_is_missed(run: Path) -> None:
    with faults.installed(dying(STEPS + 1)):
        pack(run)
    assert packed(run)


def test_a_copy_is_packed_and_the_original_left_alone(run: Path, whole: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    out, _ = invoke("pack", run, "--out", tmp_path / "copy")
    assert "packed to" in out
    assert before == {path: path.read_bytes() for path in before}
    assert not packed(run)
    must_hold_the_same(tmp_path / "copy", whole)
    assert examine(tmp_path / "copy").healthy
    _, err = invoke("pack", run, "--out", tmp_path / "copy", code=4)
    assert "a new or empty folder" in err


def test_a_run_that_is_written_or_not_at_its_end_is_refused(tmp_path: Path) -> None:
    recorder = Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0]})
    recorder.declare(schema.training_metrics())
    recorder.append("metrics/train", step=1, epoch=0, values={"loss": np.ones(1)})
    recorder.commit()
    for options in ((), ("--out", tmp_path / "copy")):
        _, err = invoke("pack", tmp_path / "run", *options, code=4)
        assert "a run that no process writes" in err
    recorder.close("interrupted")
    _, err = invoke("pack", tmp_path / "run", code=4)
    assert "could not be resumed any more" in err
    invoke("pack", tmp_path / "run", "--out", tmp_path / "copy")
    assert float(open_run(tmp_path / "copy").tree["metrics/train"].loss[0, 0]) == 1.0
    with pytest.raises(StoreError, match="expected a record that can grow, found one that was packed"):
        Recorder.resume(tmp_path / "copy")


def test_a_damaged_run_is_not_packed(run: Path) -> None:
    [file] = (run / schema.STORE).glob("metrics/train/loss/c.*")
    raw = file.read_bytes()
    file.write_bytes(b"\1" + raw[1:])
    with pytest.raises(StoreError, match=r"not the values that were recorded\. See neurosal doctor"):
        pack(run)
    assert file.exists()
    assert not packed(run)


def test_values_that_do_not_come_back_stop_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = module._read
    monkeypatch.setattr(module, "_read", lambda source, region: np.array(read(source, region), dtype=source.dtype))
    written = zarr.Array.__setitem__

    def spoilt(self: zarr.Array, region: object, values: np.ndarray) -> None:
        written(self, region, values + 1)

    monkeypatch.setattr(zarr.Array, "__setitem__", spoilt)
    with pytest.raises(StoreError, match="the values that were packed"):
        pack(run)
    monkeypatch.undo()
    assert not packed(run)
    assert examine(run).healthy


def test_a_finished_experiment_is_packed_analysed_and_resumed(tmp_path: Path) -> None:
    store = tmp_path / "pair"
    invoke("run", small(tmp_path), "--store", store)
    before, _ = invoke("analyse", "learning_curves", store)
    out, _ = invoke("pack", store)
    assert out.count("packed to") == 2
    assert all(packed(store / "arms" / arm) for arm in ("bp", "sal"))
    assert invoke("analyse", "learning_curves", store)[0].splitlines()[:6] == before.splitlines()[:6]
    assert "Recorded in" in invoke("run", small(tmp_path), "--store", store, "--resume")[0]
    assert "whole" in invoke("doctor", store)[0]
    assert analysis.learning_curves(open_run(store)).sizes["arm"] == 2


def test_an_arm_that_is_written_stops_the_packing_of_all(tmp_path: Path, whole: Path) -> None:
    folder = ExperimentFolder.create(tmp_path / "pair", experiment={"name": "pair", "arms": {"a": {}, "b": {}}})
    shutil.copytree(whole, folder.arm("a"))
    with Recorder.create(folder.arm("b"), circuit={}, settings={}, replicas={"seed": [0]}):
        with pytest.raises(StoreError, match="a run that no process writes"):
            pack(tmp_path / "pair")
        assert not packed(folder.arm("a"))
    folder.close()
    assert len(pack(tmp_path / "pair")) == 2


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    axis=st.integers(0, 1),
    itemsize=st.sampled_from([1, 4, 8]),
    length=st.integers(0, 10**6),
    last=st.booleans(),
)
def test_chunks_and_shards_stay_within_their_bounds(
    shape: list[int], axis: int, itemsize: int, length: int, last: bool
) -> None:
    axis = min(axis, len(shape) - 1)
    shape[axis] = length
    chunk, shard = layout(shape, axis, itemsize, last=last and len(shape) > axis + 2)
    assert all(whole % part == 0 for whole, part in zip(shard, chunk, strict=True))
    assert math.prod(chunk) * itemsize <= SERIES_BYTES
    assert math.prod(shard) * itemsize <= SHARD_BYTES
    row = math.prod(shape[:axis] + shape[axis + 1 :]) * itemsize
    if row * module.ROWS > SERIES_BYTES:
        assert math.prod(chunk) * itemsize <= BLOCK_BYTES
        assert chunk[axis] == max(1, min(length, module.ROWS))
