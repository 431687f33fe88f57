"""A run that records ten times as long takes the same memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
# Peak in kilobytes, after a record of so many steps. The queue is small, so that a slow disk does not show as memory.
SCRIPT = """\
import resource, sys
import numpy as np
from neurosal.record import Recorder, background, schema
background.COMMIT_SECONDS = 0.02
steps = int(sys.argv[2])
wide = schema.projection("wide", "every_10", post=("hidden", 64), pre=("hidden", 64))
angles = schema.symmetry("every_10", {"input_to_hidden": 12, "hidden_to_output": 6})
with Recorder.create(sys.argv[1], circuit={}, settings={}, replicas={"seed": range(4)}, queue_bytes=2**20) as recorder:
    for group in (schema.training_metrics(), wide, angles):
        recorder.declare(group, expected=None if group is angles else steps)
    for step in range(steps):
        recorder.append(schema.TRAIN, step=step, epoch=0, values={"loss": np.full(4, step)})
        if step % 10 == 0:
            recorder.append(wide.path, step=step, epoch=0, values={"weight": np.full((4, 1, 64, 64), step, "float32")})
            recorder.append(angles.path, step=step, epoch=0, values=dict.fromkeys(angles.variables, np.ones((4, 2))))
        recorder.maybe_commit()
        if step % (steps // 4) == 0:
            recorder.checkpoint({"w": np.zeros(2**16)}, {"step": step})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder: Path, steps: int) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(steps)], capture_output=True, text=True, timeout=200, cwd=HOUSE
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_ten_times_as_long_takes_the_same_memory(tmp_path: Path) -> None:
    short, long = peak(tmp_path / "short", 2000), peak(tmp_path / "long", 20_000)
    assert sum(file.stat().st_size for file in (tmp_path / "long").rglob("*") if file.is_file()) > 130 * 10**6
    assert long == pytest.approx(short, rel=0.05), f"{short} and {long} kB"
