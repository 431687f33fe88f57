"""The scripts below docs/examples are run as a reader would run them, with warnings as errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SAYS = {
    "compare_rules": ("shallow − bp", "report.html", "results.pdf"),
    "train_and_look": ("angle of feedback to forward weights", "report.html"),
    "ways_out": ("loaded again, the same outputs: True", "['replica', 'area', 'hidden1', 'input']", "def forward"),
}
LEAVES = {
    "compare_rules": ("runs/compare_rules/report.html", "runs/compare_rules/figures/circuit-1.svg"),
    "train_and_look": ("runs/train_and_look/curves.png", "runs/train_and_look/symmetry.pdf"),
}
RUN_ELSEWHERE = {"brian2_stdp": "tests/record/test_brian2.py"}  # which compares what it records with Brian2's own
SCRIPTS = [script for script in sorted(EXAMPLES.glob("*.py")) if script.stem not in RUN_ELSEWHERE]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_runs_and_says_what_it_promises(script: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(script), str(tmp_path / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    for text in SAYS.get(script.stem, ()):
        assert text in done.stdout
    for path in LEAVES.get(script.stem, ()):
        assert (tmp_path / path).stat().st_size > 1000
    if script.stem == "ways_out":
        gaps = [float(gap) for gap in re.findall(r"^largest difference of .*: (\S+)$", done.stdout, flags=re.MULTILINE)]
        assert len(gaps) == 2
        assert max(gaps) < 1e-5
        (before, after), (kept_before, kept_after) = losses(done.stdout)
        assert after < before
        assert kept_before == kept_after


def losses(said: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of the copy that torch trained on and of the other one: loss before and after."""
    found = re.search(r"before: \[(\S+), (\S+)\] after: \[(\S+), (\S+)\]", said)
    assert found is not None
    first, second, first_after, second_after = map(float, found.groups())
    return (second, second_after), (first, first_after)


def test_every_script_that_is_promised_is_there() -> None:
    assert {script.stem for script in EXAMPLES.glob("*.py")} >= SAYS.keys() | RUN_ELSEWHERE.keys()
