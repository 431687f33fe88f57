"""The scripts below docs/examples are run as a reader would run them, with warnings as errors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SAYS = {
    "brian2_stdp": ("event", "rate in the second half", "(excitatory: 20, input: 100)"),
    "ways_out": ("loaded again, the same outputs: True", "['replica', 'area', 'hidden1', 'input']", "def forward"),
}
# What Brian2 itself calls by an old name.
ALLOWED = ("-W", "ignore::DeprecationWarning")


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda script: script.stem)
def test_a_script_runs_and_says_what_it_promises(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", *ALLOWED, str(script), str(tmp_path / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    for text in SAYS.get(script.stem, ()):
        assert text in done.stdout


def test_every_script_that_is_promised_is_there() -> None:
    assert {script.stem for script in EXAMPLES.glob("*.py")} >= SAYS.keys()
