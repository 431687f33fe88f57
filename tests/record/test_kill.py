"""Killed at any moment, a recording leaves a store that opens at a commit, and that resumes to the same bits.

``NEUROSAL_KILLS`` sets how many times recordings are killed (default 40).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pytest

from neurosal.record import Recorder, faults, schema
from neurosal.record.checkpoint import newest
from neurosal.record.store import ROOT
from tests.record import recording

KILLS = int(os.environ.get("NEUROSAL_KILLS", "40"))
KILLS_A_RUN = 4
CHAINS = range(max(1, KILLS // 2 // KILLS_A_RUN))
FAULTS_A_POINT = max(1, KILLS // 2 // len(faults.POINTS))


@dataclass(frozen=True)
class Reference:
    """The run that nobody killed."""

    folder: Path
    arrays: dict[str, np.ndarray]
    commits: list[dict[str, int]]
    seconds: float


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.record.recording"])  # each child then starts in milliseconds
    return found


@pytest.fixture(scope="module")
def reference(context: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder = tmp_path_factory.mktemp("reference")
    commits: list[dict[str, int]] = []
    recording.record(str(folder / "here"), commits=commits)
    assert run_in(context, folder / "first") == 0  # starts the server
    start = time.monotonic()
    assert run_in(context, folder / "timed") == 0
    seconds = time.monotonic() - start
    return Reference(folder / "here", recording.contents(folder / "here"), commits, seconds)


def run_in(
    context: ForkServerContext, folder: Path, fault: tuple[str, int] | None = None, kill_after: float | None = None
) -> int | None:
    """Exit status of a recording in a process of its own, killed after that many seconds where they are given."""
    process = context.Process(target=recording.record, args=(str(folder), fault))
    process.start()
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    process.join(60)
    return process.exitcode


def must_be_at_a_commit(folder: Path, reference: Reference) -> dict[str, int]:
    """What plain xarray shows is the reference as it was at one of its commits. Returns the lengths."""
    if not (folder / schema.STORE / ROOT).exists():
        assert Recorder.status(folder) is None, "a run without a store"
        return {}
    arrays = recording.contents(folder)
    lengths = recording.lengths(arrays)
    if lengths:
        assert {**dict.fromkeys(reference.commits[0], 0), **lengths} in [
            dict.fromkeys(reference.commits[0], 0),
            *reference.commits,
        ], f"{lengths} is no commit of the reference"
    for path, found in arrays.items():
        expected = reference.arrays[path]
        assert found.dtype == expected.dtype, path
        variable = recording_variable(path)
        axis = next((axis for axis, dim in enumerate(variable) if dim in schema.GROWING), None)
        if axis is not None:
            expected = expected.take(range(found.shape[axis]), axis)
        assert same(found, expected), path
    committed = lengths.get(schema.TRAIN, 0)
    kept = newest(folder / schema.CHECKPOINTS)
    # A checkpoint is written after the commit of its step, and older ones go only once it is there.
    before = (committed - 1) // recording.CHECKPOINT_EVERY * recording.CHECKPOINT_EVERY
    assert (kept.meta["step"] if kept else 0) >= before, "a checkpoint was lost"
    return lengths


def recording_variable(path: str) -> tuple[str, ...]:
    """Dimensions of an array of the recording; () for what does not grow."""
    group, _, name = path.rpartition("/")
    declared = next((entry for entry in recording.GROUPS.values() if entry.path == group), None)
    if declared is None:
        return ()
    if name in (schema.STEP, schema.EPOCH):
        return (declared.growing,)
    return declared.variables[name].dims if name in declared.variables else ()


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    if found.dtype.kind in "OT":
        return found.tolist() == expected.tolist()
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


def must_be_the_same_run(folder: Path, reference: Reference) -> None:
    found = recording.contents(folder)
    assert found.keys() == reference.arrays.keys()
    for path, entry in found.items():
        assert same(entry, reference.arrays[path]), path
    assert recording.final_state(folder) == recording.final_state(reference.folder)
    status = Recorder.status(folder)
    assert status is not None
    assert status.state == "done"
    left = [path.name for path in folder.rglob("*.partial")]
    assert left == [], "unfinished files stay behind"


def test_the_uninterrupted_run_holds_every_entry(reference: Reference) -> None:
    expected = {group.path: recording.STEPS // every for every, group in recording.GROUPS.items()}
    assert recording.lengths(reference.arrays) == expected


@pytest.mark.parametrize("chain", CHAINS)
def test_killed_at_random_moments_it_stands_at_a_commit_and_resumes_to_the_same_bits(
    chain: int, context: ForkServerContext, reference: Reference, tmp_path: Path
) -> None:
    moments = random.Random(chain)
    killed = run = 0
    while killed < KILLS_A_RUN:
        here = tmp_path / str(run)
        if run_in(context, here, kill_after=moments.uniform(0, reference.seconds)) == 0:
            must_be_the_same_run(here, reference)
            run += 1  # it was faster than the moment; the next one begins anew
            assert run <= 10 * KILLS_A_RUN, "recording ends before it can be killed"
        else:
            killed += 1
            must_be_at_a_commit(here, reference)
    assert run_in(context, tmp_path / str(run)) == 0
    must_be_the_same_run(tmp_path / str(run), reference)


@pytest.mark.parametrize("point", faults.POINTS)
def test_killed_inside_a_write_it_stands_at_a_commit_and_resumes_to_the_same_bits(
    point: str, context: ForkServerContext, reference: Reference, tmp_path: Path
) -> None:
    counts = random.Random(point)
    farthest = {faults.BLOCK_WRITE: 400, faults.COMMIT: 20, faults.TRIM: 18}.get(point, 4)
    run = 0
    for _ in range(FAULTS_A_POINT):
        status = run_in(context, tmp_path / str(run), fault=(point, counts.randint(1, farthest)))
        must_be_at_a_commit(tmp_path / str(run), reference)
        if status == 0:
            must_be_the_same_run(tmp_path / str(run), reference)
            run += 1
        else:
            assert status == -signal.SIGKILL
    assert run_in(context, tmp_path / str(run)) == 0
    must_be_the_same_run(tmp_path / str(run), reference)


@pytest.mark.parametrize("point", faults.POINTS)
def test_every_point_is_reached(point: str, context: ForkServerContext, reference: Reference, tmp_path: Path) -> None:
    assert run_in(context, tmp_path / "run", fault=(point, 1)) == -signal.SIGKILL
    must_be_at_a_commit(tmp_path / "run", reference)
    assert run_in(context, tmp_path / "run") == 0
    must_be_the_same_run(tmp_path / "run", reference)


def test_a_fault_is_read_from_the_environment(
    tmp_path: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    monkeypatch.setenv(faults.VARIABLE, f"{faults.COMMIT}:5")
    code = f"from tests.record.recording import record; record({str(tmp_path / 'run')!r})"
    done = subprocess.run([sys.executable, "-c", code], timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    # The first commit is that of the beginning, so the fifth never came to be: four steps a commit, and one at step 15.
    assert must_be_at_a_commit(tmp_path / "run", reference)["metrics/train"] == 12
