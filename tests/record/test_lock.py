"""One writer at a time: a second one is told who holds the run; a folder that was taken away is not written."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from neurosal.errors import StoreError
from neurosal.record import ExperimentFolder, Recorder, background, lock, schema
from neurosal.record.lock import LOCK_FILE, Lock, locked
from tests.record.stuck import add_small, create, wait_for

HOUSE = Path(__file__).parents[2]
HOLDER = """\
import sys, time
from pathlib import Path
from neurosal.record import ExperimentFolder, Recorder
folder = sys.argv[2]
if sys.argv[1] == "run":
    held = Recorder.create(folder, circuit={}, settings={}, replicas={"seed": [0]})
else:
    held = ExperimentFolder.create(folder, experiment={"name": "pair"})
print("held", flush=True)
sys.stdin.read()
held.close("interrupted")
"""


def create_run(folder: Path) -> Any:
    return Recorder.create(folder, circuit={}, settings={}, replicas={"seed": [0]})


def resume_run(folder: Path) -> Any:
    return Recorder.resume(folder)[0]


def create_experiment(folder: Path) -> Any:
    return ExperimentFolder.create(folder, experiment={"name": "pair"})


@pytest.mark.parametrize(
    ("kind", "begin", "again"),
    [("run", create_run, resume_run), ("experiment", create_experiment, ExperimentFolder.resume)],
)
def test_a_second_process_is_refused_and_told_who_holds_it(
    kind: str, begin: Callable[[Path], Any], again: Callable[[Path], Any], tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, kind, str(tmp_path / "run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HOUSE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    told = rf"found one that process {process.pid} \(since 20\d\d-\d\d-\d\dT[\d:]+\+00:00\) writes"
    for attempt in (begin, again):
        with pytest.raises(StoreError, match=told) as caught:
            attempt(tmp_path / "run")
        assert caught.value.exit_code == 4
    assert before == {path: path.read_bytes() for path in before}
    process.kill()  # the system gives the lock back, however the process ended
    process.communicate()
    resumed = again(tmp_path / "run")
    resumed.close()
    assert not locked(tmp_path / "run")


def test_the_same_process_is_told_that_it_is_itself(tmp_path: Path) -> None:
    with create(tmp_path / "run"), pytest.raises(StoreError, match="one that this process"):
        Recorder.resume(tmp_path / "run")


def test_another_machine_is_told_apart_and_no_machine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Lock(tmp_path)
    text = (tmp_path / LOCK_FILE).read_text()
    assert json.loads(text)["pid"] == os.getpid()
    for private in (socket.gethostname(), str(Path.home()), str(Path.cwd())):
        assert private not in text or len(private) < 3
    monkeypatch.setattr(lock, "_machine", lambda: "another")
    with pytest.raises(StoreError, match=f"process {os.getpid()} of another machine"):
        Lock(tmp_path)
    held.release()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": "many"}'])
def test_a_lock_that_says_nothing_refuses_all_the_same(content: str, tmp_path: Path) -> None:
    held = Lock(tmp_path)
    (tmp_path / LOCK_FILE).write_text(content)
    with pytest.raises(StoreError, match="another process"):
        Lock(tmp_path)
    held.release()


# The folder is taken away --------------------------------------------------------------------------------------------


def test_a_folder_that_vanishes_ends_the_run_with_what_is_missing(tmp_path: Path) -> None:
    recorder = create(tmp_path / "run")
    add_small(recorder, 1)
    recorder.commit()
    add_small(recorder, 2)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(StoreError, match=r"32 bytes that were recorded are missing.*moved or removed"):
        recorder.commit()
    recorder.close()
    assert not (tmp_path / "run").exists(), "it is not made anew without its beginning"


def test_a_folder_that_vanishes_while_nothing_is_recorded_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "BEAT_SECONDS", 0.05)
    recorder = create(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    wait_for(lambda: recorder._background._error is not None)
    with pytest.raises(StoreError, match="moved or removed"):
        add_small(recorder, 1)
    recorder.close()


def test_a_folder_in_which_another_run_was_begun_is_left_to_that_one(tmp_path: Path) -> None:
    first = create(tmp_path / "run")
    add_small(first, 1)
    first.commit()
    (tmp_path / "run").rename(tmp_path / "away")
    with create(tmp_path / "run") as second:
        add_small(second, 5)
        second.commit()
        add_small(first, 2)
        with pytest.raises(StoreError, match="another folder than the one that was written"):
            first.commit()
        first.close()
        add_small(second, 6)
    for name, expected in (("run", [5, 6]), ("away", [1])):
        with xarray.open_dataset(tmp_path / name / schema.STORE, group=schema.TRAIN, engine="zarr") as found:
            np.testing.assert_array_equal(found.step, expected)
    status = Recorder.status(tmp_path / "run")
    assert status is not None
    assert status.state == "done", "the first one's failure is none of the second"
