"""Recordings that are killed, and what must hold then: the harness of the kill tests, and its long form as a command.

``python -m tests.record.kills --kills 200`` kills recordings of every case, at random moments and inside every kind of
write, and prints what came of it; the first thing that does not hold ends it with status 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np

from neurosal.record import Recorder, faults, schema
from neurosal.record.checkpoint import newest
from neurosal.record.store import ROOT
from tests.record import recording

KILLS_A_RUN = 4
FARTHEST = {faults.BLOCK_WRITE: 400, faults.COMMIT: 20, faults.COMMITTED: 20, faults.GROW: 40, faults.TRIM: 18}


@dataclass(frozen=True)
class Reference:
    """The run that nobody killed. `commits` are the lengths at which a store may stand."""

    case: str
    folder: Path
    arrays: dict[str, np.ndarray]
    commits: list[dict[str, int]]
    seconds: float


def start() -> ForkServerContext:
    """Processes that start in milliseconds, each without anything of this one."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.record.recording"])
    first = found.Process(target=int)  # starts the server, which takes as long as all imports
    first.start()
    first.join()
    return found


def reference_of(context: ForkServerContext, case: str, folder: Path) -> Reference:
    """Record a case without killing it, here and in a process of its own."""
    commits: list[dict[str, int]] = []
    begun = time.monotonic()
    assert run_in(context, folder / "here", case) == 0
    seconds = time.monotonic() - begun
    groups = recording.CASES[case].groups
    for step in range(1, recording.STEPS + 1):
        asked = step % recording.COMMIT_EVERY == 0 or step % recording.CHECKPOINT_EVERY == 0
        if asked or step == recording.STEPS or recording.CASES[case].timed:
            commits.append({group.path: step // every for every, group in groups.items()})
    return Reference(case, folder / "here", recording.contents(folder / "here"), commits, seconds)


def run_in(
    context: ForkServerContext,
    folder: Path,
    case: str,
    fault: tuple[str, int] | None = None,
    kill_after: float | None = None,
) -> int | None:
    """Exit status of a recording in a process of its own, killed after that many seconds where they are given."""
    process = context.Process(target=recording.record, args=(str(folder), fault, None, case))
    process.start()
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    process.join(120)
    return process.exitcode


def must_be_at_a_commit(folder: Path, reference: Reference) -> dict[str, int]:
    """What plain xarray shows is the reference as it was at one of its commits. Returns the lengths."""
    if not (folder / schema.STORE / ROOT).exists():
        assert Recorder.status(folder) is None, "a run without a store"
        return {}
    arrays = recording.contents(folder)
    lengths = recording.lengths(arrays)
    if lengths:
        nothing = dict.fromkeys(reference.commits[0], 0)
        assert {**nothing, **lengths} in [nothing, *reference.commits], f"{lengths} is no commit of the reference"
    for path, found in arrays.items():
        expected = reference.arrays[path]
        assert found.dtype == expected.dtype, path
        dims = recording.dimensions(path, reference.case)
        axis = next((axis for axis, dim in enumerate(dims) if dim in schema.GROWING), None)
        if axis is not None:
            expected = expected.take(range(found.shape[axis]), axis)
        assert same(found, expected), path
    committed = lengths.get(schema.TRAIN, 0)
    kept = newest(folder / schema.CHECKPOINTS)
    # A checkpoint is written after the commit of its step, and older ones go only once it is there.
    before = (committed - 1) // recording.CHECKPOINT_EVERY * recording.CHECKPOINT_EVERY
    assert (kept.meta["step"] if kept else 0) >= before, "a checkpoint was lost"
    return lengths


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two arrays hold the same bits."""
    if found.dtype.kind in "OT":
        return found.tolist() == expected.tolist()
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


def must_be_the_same_run(folder: Path, reference: Reference) -> None:
    """Finished, and every bit as if nobody had killed it."""
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


def kill_at_random(context: ForkServerContext, reference: Reference, folder: Path, seed: int, kills: int) -> int:
    """Kill recordings at random moments, each going on where the last one was killed; a new one when one ends.

    Returns:
        How many of them came to their end and were compared with the reference.
    """
    moments, killed, run = random.Random(seed), 0, 0
    while killed < kills:
        here = folder / str(run)
        if run_in(context, here, reference.case, kill_after=moments.uniform(0, reference.seconds)) == 0:
            must_be_the_same_run(here, reference)
            run += 1  # it was faster than the moment
            assert run <= 10 * kills, "recording ends before it can be killed"
        else:
            killed += 1
            must_be_at_a_commit(here, reference)
    assert run_in(context, folder / str(run), reference.case) == 0
    must_be_the_same_run(folder / str(run), reference)
    return run + 1


def kill_inside(
    context: ForkServerContext, reference: Reference, folder: Path, point: str, kills: int, seed: int = 0
) -> tuple[int, int]:
    """Kill recordings inside a kind of write, each going on where the last one was killed.

    Returns:
        How many were killed (a resumed one may end before it comes to the point), and how many were compared.
    """
    counts, run, killed = random.Random(f"{point} {seed}"), 0, 0
    for attempt in range(kills):
        count = 1 if attempt == 0 else counts.randint(1, FARTHEST.get(point, 4))
        status = run_in(context, folder / str(run), reference.case, fault=(point, count))
        must_be_at_a_commit(folder / str(run), reference)
        if status == 0:
            must_be_the_same_run(folder / str(run), reference)
            run += 1
        else:
            assert status == -signal.SIGKILL, f"ended with {status}"
            killed += 1
    assert run_in(context, folder / str(run), reference.case) == 0
    must_be_the_same_run(folder / str(run), reference)
    return killed, run + 1


def main() -> None:
    """The long form."""
    parser = argparse.ArgumentParser(prog="python -m tests.record.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many recordings are killed (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    context, begun = start(), time.monotonic()
    killed: Counter[str] = Counter()
    compared = round_ = 0
    folder = Path(tempfile.mkdtemp(prefix="kills"))
    references = {case: reference_of(context, case, folder / case) for case in recording.CASES}
    while sum(killed.values()) < options.kills:
        for case, reference in references.items():
            seed = options.seed * 1000 + round_
            here = folder / f"{case}_{round_}"
            compared += kill_at_random(context, reference, here / "random", seed, KILLS_A_RUN)
            killed[f"{case}, at a random moment"] += KILLS_A_RUN
            point = faults.POINTS[(round_ + len(case)) % len(faults.POINTS)]
            count, whole = kill_inside(context, reference, here / "inside", point, KILLS_A_RUN, seed)
            killed[f"{case}, inside: {point}"] += count
            compared += whole
            shutil.rmtree(here)
            if sum(killed.values()) >= options.kills:
                break
        round_ += 1
        print(f"{sum(killed.values())} kills, {time.monotonic() - begun:.0f} s", flush=True)
    shutil.rmtree(folder)
    for name, count in sorted(killed.items()):
        print(f"{count:5d}  {name}")
    print(
        f"{sum(killed.values())} kills: every store opened with plain xarray at a commit, every committed value equal "
        f"to the uninterrupted run's; {compared} runs resumed to the same bits ({time.monotonic() - begun:.0f} s)"
    )


if __name__ == "__main__":
    main()
