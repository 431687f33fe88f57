"""The thread that writes: training waits only for a full queue, nothing is halved, and every end is a clean one."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray

from neurosal.errors import StoreError
from neurosal.record import Recorder, background, clock, faults, schema
from neurosal.record.lock import locked
from neurosal.record.writer import DroppedWarning
from tests.record.stuck import BIG, ROW_BYTES, add_big, add_small, create, declare, stuck, wait_for

HOUSE = Path(__file__).parents[2]


def steps(folder: Path, path: str) -> list[int]:
    """Steps of a group that a reader sees; every array of it must be as long."""
    with xarray.open_dataset(folder / schema.STORE, group=path, engine="zarr") as found:
        assert {variable.sizes[dim] for variable in found.variables.values() for dim in variable.dims
                if dim in schema.GROWING} == {found.sizes["step" if "step" in found.sizes else "snapshot"]}  # fmt: skip
        name = "weight" if "weight" in found else "loss"
        values = found[name].values.reshape(2, len(found.step), -1)
        assert (values == found.step.values[:, None]).all(), "values of another step"
        return found.step.values.tolist()


# The queue -----------------------------------------------------------------------------------------------------------


def test_recording_goes_on_while_the_disk_stands_still_until_the_queue_is_full(tmp_path: Path) -> None:
    with create(tmp_path / "run", queue_bytes=4 * ROW_BYTES + 100) as recorder, stuck() as disk:
        add_big(recorder, 0)
        assert disk.waiting.wait(60)
        add_big(recorder, 1, 2, 3)  # none of them waits, or this test would hang
        fifth = threading.Thread(target=add_big, args=(recorder, 4))
        fifth.start()
        fifth.join(0.3)
        assert fifth.is_alive(), "more is held than the queue may take"
        disk.go()
        fifth.join(60)
        assert not fifth.is_alive()
    assert steps(tmp_path / "run", BIG.path) == [0, 1, 2, 3, 4]


def test_tensors_are_copied_when_they_are_given_wherever_they_are(tmp_path: Path) -> None:
    import torch

    class Away(torch.Tensor):
        """As if it was on a device: nothing but torch may copy it."""

        device = property(lambda _: SimpleNamespace(type="cuda"))  # type: ignore[assignment]

        def __array__(self, *_: object, **__: object) -> np.ndarray:
            raise TypeError("not on this side")

    with create(tmp_path / "run") as recorder, stuck():
        for step, kind in enumerate((torch.Tensor, Away)):
            live = torch.full((2, 1, 256, 512), float(step), dtype=torch.float64).as_subclass(kind)
            recorder.append(BIG.path, step=step, epoch=0, values={"weight": live})
            live += 7
    assert steps(tmp_path / "run", BIG.path) == [0, 1]


def test_a_row_larger_than_the_queue_goes_through_alone(tmp_path: Path) -> None:
    with create(tmp_path / "run", queue_bytes=1000) as recorder:
        add_big(recorder, 0, 1)
    assert steps(tmp_path / "run", BIG.path) == [0, 1]


def test_small_rows_that_fill_the_queue_are_written_before_their_block_is_full(tmp_path: Path) -> None:
    with create(tmp_path / "run", queue_bytes=1000) as recorder:
        add_small(recorder, *range(200))
        assert recorder._background._put_bytes - recorder._background._written_bytes <= 1000
    assert steps(tmp_path / "run", schema.TRAIN) == list(range(200))


def test_what_does_not_fit_is_dropped_and_counted_where_that_is_asked_for(tmp_path: Path) -> None:
    recorder = create(tmp_path / "run", queue_bytes=2 * ROW_BYTES + 100, when_full="drop")
    with stuck():
        add_big(recorder, 0, 1, 2, 3)
        add_small(recorder, 0, 1, 2, 3)  # never dropped: they are next to nothing
    recorder.checkpoint({"w": np.zeros(1)}, {})
    recorder.commit()  # waits until there is room again
    add_big(recorder, 4)
    recorder.commit()
    status = Recorder.status(tmp_path / "run")
    assert status is not None
    assert status.dropped == {BIG.path: 2}
    assert recorder.dropped == {BIG.path: 2}
    with pytest.warns(DroppedWarning, match=f"2 of {BIG.path}"):
        recorder.close("interrupted")
    assert steps(tmp_path / "run", BIG.path) == [0, 1, 4]
    assert steps(tmp_path / "run", schema.TRAIN) == [0, 1, 2, 3]
    resumed, _, _ = Recorder.resume(tmp_path / "run")
    assert resumed.dropped == {BIG.path: 2}, "the count goes on from the checkpoint"
    with pytest.warns(DroppedWarning):
        resumed.close()


# Commits and checkpoints ---------------------------------------------------------------------------------------------


def test_a_checkpoint_holds_the_lengths_and_tensors_of_its_moment(tmp_path: Path) -> None:
    recorder = create(tmp_path / "run")
    live = np.arange(3.0)
    with stuck() as disk:
        add_big(recorder, 0)
        assert disk.waiting.wait(60)
        add_small(recorder, 0)
        recorder.checkpoint({"w": live}, {"step": 0})
        live[:] = -1
        add_big(recorder, 1)
        add_small(recorder, 1)
        recorder.maybe_commit()
    recorder.close("interrupted")
    resumed, tensors, _ = Recorder.resume(tmp_path / "run")
    assert tensors is not None
    assert tensors["w"].tolist() == [0, 1, 2]
    assert steps(tmp_path / "run", BIG.path) == steps(tmp_path / "run", schema.TRAIN) == [0]
    resumed.close()


def test_a_commit_comes_although_the_disk_never_catches_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "COMMIT_SECONDS", 0.05)
    shown: set[int] = set()
    with create(tmp_path / "run", queue_bytes=2 * ROW_BYTES) as recorder:
        for step in range(40):
            add_small(recorder, step)  # is written while the big one waits for room
            add_big(recorder, step)
            recorder.maybe_commit()
            if (tmp_path / "run" / schema.STORE / "metrics").exists():
                with xarray.open_datatree(tmp_path / "run" / schema.STORE, engine="zarr") as tree:
                    if BIG.path in tree.groups or f"/{BIG.path}" in tree.groups:
                        found = tree[BIG.path].sizes["snapshot"]
                        assert found == tree[schema.TRAIN].sizes["step"], "half a step"
                        shown.add(found)
    assert len(shown) > 2, "no commits while the queue was full"


def test_the_status_beats_while_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert background.BEAT_SECONDS == 5
    monkeypatch.setattr(background, "BEAT_SECONDS", 0.05)
    file = tmp_path / "run" / schema.STATUS_FILE
    with create(tmp_path / "run") as recorder:
        recorder.commit()
        root = (tmp_path / "run" / schema.STORE / "zarr.json").stat()
        seen = {file.stat().st_mtime_ns}
        wait_for(lambda: seen.add(file.stat().st_mtime_ns) or len(seen) > 3)
        assert (tmp_path / "run" / schema.STORE / "zarr.json").stat().st_ino == root.st_ino, "nothing new to commit"


def test_a_clock_set_back_skips_no_commit_and_turns_no_time_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = create(tmp_path / "run")
    add_small(recorder, 1)
    recorder.commit()
    before = Recorder.status(tmp_path / "run")
    assert before is not None
    monkeypatch.setattr(clock, "now", lambda: "2001-01-01T00:00:00+00:00")
    monkeypatch.setattr(time, "time", lambda: 1e9)
    monkeypatch.setattr(background, "COMMIT_SECONDS", 0.05)
    add_small(recorder, 2)
    recorder.maybe_commit()
    wait_for(lambda: steps(tmp_path / "run", schema.TRAIN) == [1, 2])
    recorder.close("interrupted")
    resumed, _, _ = Recorder.resume(tmp_path / "run")
    resumed.close()
    after = Recorder.status(tmp_path / "run")
    assert after is not None
    assert after.started <= before.updated <= after.updated


# Errors --------------------------------------------------------------------------------------------------------------


def give_up(point: str) -> None:
    if point == faults.BLOCK_WRITE:
        raise OSError(28, os.strerror(28))


@pytest.mark.parametrize("then", ["append", "maybe_commit", "commit", "checkpoint", "declare", "close"])
def test_an_error_of_the_thread_is_told_by_whatever_comes_next(then: str, tmp_path: Path) -> None:
    recorder = create(tmp_path / "run")
    add_small(recorder, 1)
    recorder.commit()
    acts = {
        "append": lambda: add_small(recorder, 3),
        "maybe_commit": recorder.maybe_commit,
        "commit": recorder.commit,
        "checkpoint": lambda: recorder.checkpoint({}, {}),
        "declare": lambda: recorder.declare(BIG),
        "close": recorder.close,
    }
    add_small(recorder, 2)
    add_big(recorder, 2)
    wait_for(lambda: recorder._rows[BIG.path].taken == 1)
    with faults.installed(give_up):
        add_big(recorder, 3)
        wait_for(lambda: recorder._background._error is not None)
        missing = 2 * ROW_BYTES + 2 * 8 + 16  # with what was written, and is in no commit
        text = f"{missing} bytes that were recorded are missing; the last commit is of step 1"
        with pytest.raises(StoreError, match=text):
            acts[then]()
    recorder.close()  # who was told is not told again
    status = Recorder.status(tmp_path / "run")
    assert status is not None
    assert (status.state, status.alive) == ("failed", False)
    assert "missing" in status.message
    assert steps(tmp_path / "run", schema.TRAIN) == [1]
    resumed, _, _ = Recorder.resume(tmp_path / "run")
    declare(resumed)
    add_small(resumed, 1)
    resumed.close()


def test_who_waits_for_room_is_told_of_an_error(tmp_path: Path) -> None:
    recorder = create(tmp_path / "run", queue_bytes=2 * ROW_BYTES)
    with faults.installed(give_up), pytest.raises(StoreError, match="Free some space"):
        add_big(recorder, *range(50))
    recorder.close("failed")
    assert not locked(tmp_path / "run")


# Ends ----------------------------------------------------------------------------------------------------------------

SCRIPT = """\
import os, sys, time
from pathlib import Path
from tests.record.stuck import *
folder = Path(sys.argv[1])
recorder = create(folder, queue_bytes=3 * ROW_BYTES)
add_small(recorder, 1, 2)
add_big(recorder, 1, 2)
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT + code, str(folder)], capture_output=True, text=True, timeout=120, cwd=HOUSE
    )


@pytest.mark.parametrize(("code", "status"), [("", 0), ("sys.exit(3)", 3), ("raise RuntimeError('no luck')", 1)])
def test_an_interpreter_that_ends_without_closing_keeps_what_was_recorded(
    code: str, status: int, tmp_path: Path
) -> None:
    assert run(code, tmp_path / "run").returncode == status
    assert steps(tmp_path / "run", schema.TRAIN) == steps(tmp_path / "run", BIG.path) == [1, 2]
    found = Recorder.status(tmp_path / "run")
    assert found is not None
    assert (found.state, found.message) == ("interrupted", background.ENDED)


def test_a_recorder_that_is_let_go_ends_by_itself(tmp_path: Path) -> None:
    recorder = create(tmp_path / "run")
    add_small(recorder, 1)
    del recorder
    gc.collect()
    wait_for(lambda: not locked(tmp_path / "run"))
    assert steps(tmp_path / "run", schema.TRAIN) == [1]


def test_interrupted_while_it_waits_for_the_disk_it_ends_cleanly(tmp_path: Path) -> None:
    code = """
with recorder, faults.installed(lambda point: sleep(0.05)):
    print("go", flush=True)
    for step in range(3, 10**6):
        add_big(recorder, step)
        recorder.maybe_commit()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + code, str(tmp_path / "run")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HOUSE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert "KeyboardInterrupt" in told
    found = Recorder.status(tmp_path / "run")
    assert found is not None
    assert found.state == "interrupted"
    assert (recorded := steps(tmp_path / "run", BIG.path)) == list(range(1, len(recorded) + 1))


def test_a_forked_child_writes_nothing_and_holds_nothing(tmp_path: Path) -> None:
    code = """
child = os.fork()
if child == 0:
    refused = 0
    for act in (lambda: add_small(recorder, 9), recorder.commit, recorder.maybe_commit,
                lambda: recorder.checkpoint({}, {}), lambda: recorder.declare(BIG)):
        try:
            act()
        except Exception as error:
            assert "a fork of it" in str(error), error
            refused += 1
    assert refused == 5
    recorder.close()
    time.sleep(60) if len(sys.argv) > 2 else sys.exit(7)  # the usual way out, with all that runs at exit
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
add_small(recorder, 3)
recorder.close()
"""
    done = run(code, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert steps(tmp_path / "run", schema.TRAIN) == [1, 2, 3]
    found = Recorder.status(tmp_path / "run")
    assert found is not None
    assert found.state == "done"


def test_a_child_that_outlives_its_parent_does_not_hold_the_run(tmp_path: Path) -> None:
    code = """
child = os.fork()
if child == 0:
    os.close(1), os.close(2)
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os._exit(0)  # as if it was killed
"""
    child = int(run(code, tmp_path / "run").stdout)
    try:
        resumed, _, _ = Recorder.resume(tmp_path / "run")
        resumed.close()
    finally:
        os.kill(child, signal.SIGKILL)
