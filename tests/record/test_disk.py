"""Full disks, disks that turn read-only, folders without permission: a committed store, and what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from neurosal.errors import StoreError
from neurosal.record import Recorder, open_run, schema
from tests.record import recording
from tests.record.stuck import BIG, ROW_BYTES, add_big, add_small, create, declare

HOUSE = Path(__file__).parents[2]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of that size; skips where this system lets nobody mount one."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, text=True
    ) if shutil.which("mount") and sys.platform == "linux" else None  # fmt: skip
    if made is None or made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip() if made else 'no mount command'}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def missing_bytes(text: str) -> int:
    found = re.search(r"(\d+) bytes that were recorded are missing", text)
    assert found is not None, text
    return int(found.group(1))


def test_a_full_disk_leaves_the_last_commit_and_resumes_once_there_is_space(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"0" * 2**20 * 10)
        recorder, committed = create(disk / "run"), 0
        recorder.checkpoint({"w": np.arange(3.0)}, {"step": 0})

        def go_on() -> None:
            nonlocal committed
            for step in range(1, 40):
                add_big(recorder, step)
                add_small(recorder, step)
                if step % 4 == 0:
                    recorder.commit()
                    committed = step

        with pytest.raises(StoreError, match="Free some space") as caught, recorder:
            go_on()
        assert caught.value.exit_code == 4
        assert 4 <= committed < 16
        # All from the last commit on, up to the row that came when the error was told.
        assert missing_bytes(str(caught.value)) % (ROW_BYTES + 32) in (0, ROW_BYTES)
        assert 0 < missing_bytes(str(caught.value)) <= 4 * (ROW_BYTES + 32)
        tree = open_run(disk / "run").tree
        assert tree[schema.TRAIN].step.values.tolist() == list(range(1, committed + 1))
        weights = tree[BIG.path].weight.values
        assert (weights == np.arange(1, committed + 1)[:, None, None, None]).all()
        status = Recorder.status(disk / "run")
        assert status is not None
        assert status.state == "failed", "the last word is written although the disk is full"
        assert "missing" in status.message
        ballast.unlink()
        resumed, tensors, meta = Recorder.resume(disk / "run")
        assert tensors is not None
        assert meta == {"step": 0}
        with resumed:
            declare(resumed)
            for step in range(1, 11):
                add_big(resumed, step)
                add_small(resumed, step)
        assert open_run(disk / "run").tree[BIG.path].sizes["snapshot"] == 10


def test_a_disk_that_turns_read_only_leaves_the_last_commit(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 16) as disk:
        recorder = create(disk / "run")
        add_small(recorder, 1)
        recorder.commit()
        add_small(recorder, 2)
        # Over itself, read-only: the disk itself is busy, as the lock is open.
        subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)
        with pytest.raises(StoreError, match=r"32 bytes.*are missing.*Give yourself the right to write there"):
            recorder.commit()
        recorder.close("failed")
        assert open_run(disk / "run").tree[schema.TRAIN].step.values.tolist() == [1]
        with pytest.raises(StoreError, match="Give yourself the right"):
            create(disk / "other")
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@contextmanager
def nobody() -> Iterator[None]:
    """Without the rights of root, who may write everywhere."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_folder_that_may_not_be_written_is_refused() -> None:
    place = Path(tempfile.mkdtemp())
    try:
        place.chmod(0o555)
        with nobody(), pytest.raises(StoreError, match="Give yourself the right"):
            create(place / "run")
        assert list(place.iterdir()) == []
    finally:
        place.chmod(0o755)
        shutil.rmtree(place)


EXPERIMENT = """\
name: full
data: {name: digits}
seeds: [0]
training: {epochs: 3, batch_size: 128, checkpoint_every: 1, record: [{what: weight, every: 1}]}
arms:
  bp: {recipe: {circuit: mlp, arguments: {sizes: [64, 100, 10]}, rule: bp}}
"""
# No file may grow past a limit: told by the system like a full disk, for where no file system can be mounted.
LIMITED = """\
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from neurosal.cli import main
main()
"""


def command(folder: Path, limit: int, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = ["run", str(folder / "full.yaml"), "--store", str(folder / "run"), "--device", "cpu", *options]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *arguments],
        capture_output=True, text=True, timeout=240, cwd=HOUSE, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_the_command_line_ends_with_4_and_says_how_many_bytes_are_missing(tmp_path: Path) -> None:
    (tmp_path / "full.yaml").write_text(EXPERIMENT)
    failed = command(tmp_path, 400_000)
    assert failed.returncode == 4, failed.stderr
    assert missing_bytes(failed.stderr) > 0
    assert "Free some space" in failed.stderr
    assert "Traceback" not in failed.stderr
    arm = tmp_path / "run/arms/bp"
    status = Recorder.status(arm)
    assert status is not None
    assert (status.state, status.alive) == ("failed", False)
    recording.contents(arm)  # opens
    done = command(tmp_path, -1, "--resume")
    assert done.returncode == 0, done.stderr
    found = open_run(arm)
    assert found.status.state == "done"
    recorded = found.tree["projections/input_to_hidden1/every_1"].step.values
    assert recorded.tolist() == list(range(found.status.step + 1)), "every step, and none twice"
