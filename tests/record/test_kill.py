"""Killed at any moment, a recording leaves a store that opens at a commit, and that resumes to the same bits.

``NEUROSAL_KILLS`` sets how many times recordings are killed (default 40); ``python -m tests.record.kills`` is the long
form.
"""

from __future__ import annotations

import os
import signal
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from neurosal.record import faults
from tests.record import recording
from tests.record.kills import (
    KILLS_A_RUN,
    Reference,
    kill_at_random,
    kill_inside,
    must_be_at_a_commit,
    must_be_the_same_run,
    reference_of,
    run_in,
    start,
)

KILLS = int(os.environ.get("NEUROSAL_KILLS", "40"))
ROUNDS = max(1, KILLS // 2 // KILLS_A_RUN // len(recording.CASES))
FAULTS_A_POINT = max(1, KILLS // 2 // len(faults.POINTS))
CASE_OF = dict(zip(faults.POINTS, [*recording.CASES] * 2, strict=False))


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    return start()


@pytest.fixture(scope="module")
def references(context: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reference]:
    folder = tmp_path_factory.mktemp("reference")
    return {case: reference_of(context, case, folder / case) for case in recording.CASES}


@pytest.mark.parametrize("case", recording.CASES)
def test_the_uninterrupted_run_holds_every_entry(case: str, references: dict[str, Reference]) -> None:
    expected = {group.path: recording.STEPS // every for every, group in recording.CASES[case].groups.items()}
    assert recording.lengths(references[case].arrays) == expected


@pytest.mark.parametrize("case", recording.CASES)
def test_killed_at_random_moments_it_stands_at_a_commit_and_resumes_to_the_same_bits(
    case: str, context: ForkServerContext, references: dict[str, Reference], tmp_path: Path
) -> None:
    for number in range(ROUNDS):
        kill_at_random(context, references[case], tmp_path / str(number), number, KILLS_A_RUN)


@pytest.mark.parametrize("point", faults.POINTS)
def test_killed_inside_a_write_it_stands_at_a_commit_and_resumes_to_the_same_bits(
    point: str, context: ForkServerContext, references: dict[str, Reference], tmp_path: Path
) -> None:
    killed, _ = kill_inside(context, references[CASE_OF[point]], tmp_path, point, FAULTS_A_POINT)
    assert killed, "the point was never reached"


def test_a_fault_is_read_from_the_environment(
    tmp_path: Path, references: dict[str, Reference], monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess
    import sys

    monkeypatch.setenv(faults.VARIABLE, f"{faults.COMMIT}:5")
    code = f"from tests.record.recording import record; record({str(tmp_path / 'run')!r})"
    done = subprocess.run([sys.executable, "-c", code], timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    # The first commit is that of the beginning, so the fifth never came to be: four steps a commit, and one at step 15.
    assert must_be_at_a_commit(tmp_path / "run", references["asked"])["metrics/train"] == 12


def test_the_disk_is_slow_and_a_step_is_never_halved(
    context: ForkServerContext, references: dict[str, Reference], tmp_path: Path
) -> None:
    """The wide entries of a step are written while the next ones wait; a commit takes all of a step or nothing."""
    reference = references["full"]
    assert run_in(context, tmp_path / "run", "full", fault=(faults.COMMITTED, 9)) == -signal.SIGKILL
    found = must_be_at_a_commit(tmp_path / "run", reference)
    assert 0 < found["metrics/train"] < recording.STEPS
    assert run_in(context, tmp_path / "run", "full") == 0
    must_be_the_same_run(tmp_path / "run", reference)
