"""A real training run, killed at any moment, resumes to the same bits; also from the command line.

``NEUROSAL_TRAINING_KILLS`` sets how many times training is killed (default 10).
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pytest

from neurosal.record import Recorder, faults, open_run, schema
from neurosal.record.store import ROOT
from tests.record import recording

KILLS = int(os.environ.get("NEUROSAL_TRAINING_KILLS", "10"))
HOUSE = Path(__file__).parents[2]

EXPERIMENT = """\
name: pair
data: {name: digits}
seeds: [0, 1]
training:
  {epochs: 3, batch_size: 128, checkpoint_every: 1, record: [{what: angle, every: 2}, {what: weight, every: 5}]}
analyses: [learning_curves]
arms:
  bp: {recipe: {circuit: mlp, arguments: {sizes: [64, 16, 10]}, rule: bp}}
  kp: {recipe: {circuit: mlp, arguments: {sizes: [64, 16, 10]}, rule: kp}}
"""


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["tests.record.training", "tests.record.recording"])
    return found


def train_in(
    context: ForkServerContext, folder: Path, fault: tuple[str, int] | None = None, kill_after: float | None = None
) -> int | None:
    """Exit status of a training in a process of its own."""
    process = context.Process(target=_train, args=(str(folder), fault))
    process.start()
    if kill_after is not None:
        time.sleep(kill_after)
        process.kill()
    process.join(120)
    return process.exitcode


def _train(folder: str, fault: tuple[str, int] | None) -> None:
    from tests.record import training  # torch comes with it: only processes that train need it

    training.train(folder, fault)


@pytest.fixture(scope="module")
def reference(context: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The training that nobody killed, and how long it took."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    assert train_in(context, folder.with_name("first")) == 0  # starts the server
    start = time.monotonic()
    assert train_in(context, folder) == 0
    return folder, time.monotonic() - start


def must_be_its_beginning(folder: Path, reference: Path) -> None:
    """Every array that plain xarray shows is the beginning of the same array in the uninterrupted run."""
    if not (folder / schema.STORE / ROOT).exists():
        return
    whole = recording.contents(reference)
    dims = {
        f"{node.path.strip('/')}/{name}": variable.dims
        for node in open_run(reference).tree.subtree
        for name, variable in node.variables.items()
    }
    for path, found in recording.contents(folder).items():
        axis = next((axis for axis, dim in enumerate(dims[path]) if dim in schema.GROWING), None)
        expected = whole[path] if axis is None else whole[path].take(range(found.shape[axis]), axis)
        assert equal(found, expected), path


def must_be_the_same(folder: Path, reference: Path) -> None:
    found, whole = recording.contents(folder), recording.contents(reference)
    assert found.keys() == whole.keys()
    assert [path for path in found if not equal(found[path], whole[path])] == []
    assert recording.final_state(folder) == recording.final_state(reference)
    status = Recorder.status(folder)
    assert status is not None
    assert status.state == "done"


def equal(found: np.ndarray, expected: np.ndarray) -> bool:
    if found.dtype.kind in "OT":
        return found.tolist() == expected.tolist()
    return found.dtype == expected.dtype and found.shape == expected.shape and found.tobytes() == expected.tobytes()


def test_the_uninterrupted_training_records_every_topic(reference: tuple[Path, float]) -> None:
    found = recording.lengths(recording.contents(reference[0]))
    topics = {"/".join(path.split("/")[:2]) for path in found}
    assert {"metrics/train", "metrics/eval", "stats/symmetry", "stats/routing", "stats/credit"} <= topics
    assert {"projections/input_to_hidden1", "probes/hidden1"} <= topics
    assert all(length >= 3 for length in found.values()), found


def test_training_killed_at_random_moments_resumes_to_the_same_bits(
    context: ForkServerContext, reference: tuple[Path, float], tmp_path: Path
) -> None:
    folder, seconds = reference
    moments = random.Random(0)
    killed = run = 0
    while killed < KILLS // 2:
        here = tmp_path / str(run)
        if train_in(context, here, kill_after=moments.uniform(0.2, 0.8) * seconds) == 0:
            must_be_the_same(here, folder)
            run += 1  # it was faster than the moment; the next one begins anew
            assert run <= 2 * KILLS, "training ends before it can be killed"
        else:
            killed += 1
            must_be_its_beginning(here, folder)
    assert train_in(context, tmp_path / str(run)) == 0
    must_be_the_same(tmp_path / str(run), folder)


def test_training_killed_inside_a_write_resumes_to_the_same_bits(
    context: ForkServerContext, reference: tuple[Path, float], tmp_path: Path
) -> None:
    counts = random.Random(1)
    farthest = {faults.BLOCK_WRITE: 300, faults.COMMIT: 30, faults.TRIM: 20}
    for index in range(KILLS - KILLS // 2):
        point = faults.POINTS[index % len(faults.POINTS)]
        train_in(context, tmp_path / "run", fault=(point, counts.randint(1, farthest.get(point, 2))))
        must_be_its_beginning(tmp_path / "run", reference[0])
    assert train_in(context, tmp_path / "run") == 0
    must_be_the_same(tmp_path / "run", reference[0])


def command(folder: Path, *options: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", faults.VARIABLE: fault}
    arguments = ["run", str(folder.parent / "pair.yaml"), "--store", str(folder), "--device", "cpu", *options]
    return subprocess.run(
        [sys.executable, "-m", "neurosal", *arguments],
        capture_output=True, text=True, timeout=240, env=environment, cwd=HOUSE,
    )  # fmt: skip


def test_an_experiment_killed_on_the_command_line_resumes_to_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "pair.yaml").write_text(EXPERIMENT)
    whole = command(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    # The first arm writes three checkpoints at most: the fourth is the second arm's.
    for fault in (f"{faults.BLOCK_WRITE}:40", f"{faults.CHECKPOINT_WRITTEN}:4"):
        ended = command(tmp_path / "killed", "--resume", fault=fault)
        # Commits go by the clock: on a slow machine the first kill comes late, and little is left for the second.
        finished = fault.endswith(":4") and ended.returncode == 0
        assert finished or ended.returncode == -signal.SIGKILL, ended.stderr
        for arm in open_run(tmp_path / "killed").arms:
            must_be_its_beginning(tmp_path / "killed/arms" / arm, tmp_path / "whole/arms" / arm)
    refused = command(tmp_path / "killed")  # without --resume
    assert (refused.returncode, "--resume" in refused.stderr) == (4, True), refused.stderr
    done = command(tmp_path / "killed", "--resume")
    assert done.returncode == 0, done.stderr
    for arm in ("bp", "kp"):
        must_be_the_same(tmp_path / "killed/arms" / arm, tmp_path / "whole/arms" / arm)
    before = recording.contents(tmp_path / "killed/arms/kp")
    again = command(tmp_path / "killed", "--resume")
    assert again.returncode == 0, again.stderr
    assert recording.contents(tmp_path / "killed/arms/kp").keys() == before.keys()
