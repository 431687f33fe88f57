"""Analyses work on a machine that has neither torch nor Brian2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.analysis.synthetic import evaluation, routing, stored, symmetry

SCRIPT = """
import sys
sys.modules["torch"] = None
sys.modules["brian2"] = None
from neurosal.analysis import areas, learning_curves, symmetry
assert "matplotlib" not in sys.modules, "drawing alone needs it"
for analysis in (learning_curves, symmetry, areas):
    dataset = analysis(sys.argv[1])
    print(analysis.table(dataset))
    analysis.save(dataset, sys.argv[2])
"""


def test_analyses_compute_tabulate_and_draw_with_torch_and_brian2_absent_and_matplotlib_only_for_drawing(
    tmp_path: Path,
) -> None:
    groups = [
        evaluation([0, 10], 2),
        symmetry([0, 10], 2, {"hidden1_to_output": 30}),
        routing([0, 10], 2, {"hidden1": 4}),
    ]
    folder = stored(tmp_path / "run", *groups, replicas={"seed": [0, 1]})
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(folder), str(tmp_path / "figures")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "hidden1_to_output" in done.stdout
    assert len(list((tmp_path / "figures").iterdir())) == 12
