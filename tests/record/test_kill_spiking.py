"""Killed at any moment, a record of spikes opens at the end of a window, and resumes to the same bits.

``NEUROSAL_KILLS`` sets how many times it is killed (default 20).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pytest

from neurosal.record import Recorder, faults, schema
from neurosal.record.store import ROOT
from tests.record import spiking
from tests.record.recording import contents

KILLS = int(os.environ.get("NEUROSAL_KILLS", "20"))
FAULTS_A_POINT = max(2, KILLS // 2 // len(faults.POINTS))


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.record.spiking"])
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("reference") / "run"
    spiking.record(str(folder))
    return contents(folder)


def run_in(
    context: ForkServerContext, folder: Path, fault: tuple[str, int] | None = None, kill_after: float | None = None
) -> int | None:
    """Exit status of a recording in a process of its own."""
    process = context.Process(target=spiking.record, args=(str(folder), fault))
    process.start()
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    process.join(60)
    return process.exitcode


def must_be_at_the_end_of_a_window(folder: Path, reference: dict[str, np.ndarray]) -> int:
    """What plain xarray shows is the reference's first so many windows, in all groups. Returns how many."""
    if not (folder / schema.STORE / ROOT).exists():
        return 0
    arrays = contents(folder)
    found = {path: array for path, array in arrays.items() if path in reference}
    assert found.keys() == arrays.keys()
    windows = len(arrays.get("windows/cells/start_ms", ()))
    for path, array in found.items():
        axis = 1 if array.ndim > 1 else 0
        if path.split("/")[-1] in ("seed", "pre", "post", "cells") or path.startswith("graph/"):
            assert np.array_equal(array, reference[path]), path
            continue
        expected = np.take(reference[path], range(array.shape[axis]), axis)
        assert array.tobytes() == expected.tobytes(), path
        if path.startswith("traces/"):
            assert array.shape[axis] == 5 * windows, path
        elif path.startswith("projections/"):
            assert array.shape[axis] == windows, path
    if windows:
        counted = arrays["windows/cells/events"].sum()
        assert len(arrays["spikes/cells/time_ms"]) == len(arrays["spikes/cells/unit"]) == counted
        assert windows % spiking.COMMIT_EVERY == 0 or windows == spiking.WINDOWS
    return windows


def must_be_whole(folder: Path, reference: dict[str, np.ndarray]) -> None:
    assert must_be_at_the_end_of_a_window(folder, reference) == spiking.WINDOWS
    assert contents(folder).keys() == reference.keys()
    status = Recorder.status(folder)
    assert status is not None
    assert (status.state, status.step) == ("done", 5 * spiking.WINDOWS)


def test_a_record_of_spikes_is_killed_again_and_again_and_ends_with_the_same_bits(
    context: ForkServerContext, reference: dict[str, np.ndarray], tmp_path: Path
) -> None:
    assert run_in(context, tmp_path / "first") == 0  # starts the server
    start = time.monotonic()
    assert run_in(context, tmp_path / "timed") == 0
    seconds = time.monotonic() - start
    moments = random.Random(0)
    killed = run = 0
    while killed < KILLS // 2 and run < 10 * KILLS:
        here = tmp_path / str(run)
        if run_in(context, here, kill_after=moments.uniform(0, seconds)) == 0:
            must_be_whole(here, reference)
            run += 1
        else:
            killed += 1
            must_be_at_the_end_of_a_window(here, reference)
    assert run_in(context, tmp_path / str(run)) == 0
    must_be_whole(tmp_path / str(run), reference)


@pytest.mark.parametrize("point", faults.POINTS)
def test_killed_inside_a_write_it_stands_at_the_end_of_a_window(
    point: str, context: ForkServerContext, reference: dict[str, np.ndarray], tmp_path: Path
) -> None:
    counts = random.Random(point)
    farthest = {faults.BLOCK_WRITE: 60, faults.COMMIT: 10, faults.TRIM: 8}.get(point, 3)
    for count in (1, *(counts.randint(2, farthest) for _ in range(FAULTS_A_POINT - 1))):
        status = run_in(context, tmp_path / "run", fault=(point, count))
        must_be_at_the_end_of_a_window(tmp_path / "run", reference)
        assert status in (-signal.SIGKILL, 0)
    assert run_in(context, tmp_path / "run") == 0
    must_be_whole(tmp_path / "run", reference)


def test_what_is_written_after_a_commit_is_dropped_when_the_run_goes_on(
    reference: dict[str, np.ndarray], tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spiking, "WINDOWS", 31)  # seven windows past the checkpoint
        spiking.record(str(tmp_path / "run"))
    recorder, _, meta = Recorder.resume(tmp_path / "run")
    assert meta == {"window": 24}
    for group in (schema.spikes("cells", spiking.UNITS), schema.spike_windows("cells"), spiking.TRACES):
        recorder.declare(group)
    assert recorder.lengths["windows/cells"] == 24
    assert recorder.lengths["spikes/cells"] == reference["windows/cells/events"][:, :24].sum()
    assert recorder.lengths[spiking.TRACES.path] == 5 * 24
    recorder.close()
    spiking.record(str(tmp_path / "run"))
    must_be_whole(tmp_path / "run", reference)
