"""A step of several processes is the step of one, in float64 to 1e-10 after 20 steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.processes.together import ended, start
from tests.processes.worker import CHECKS

WORKER = Path(__file__).with_name("worker.py")
LARGEST_GAP = 1e-10


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes found, started once for all tests."""
    path = tmp_path_factory.mktemp("together") / "found.json"
    for code, _, errors in ended(start([WORKER, path])):
        assert code == 0, errors
    return dict(json.loads(path.read_text()))


@pytest.mark.parametrize("check", CHECKS)
def test_two_processes_take_the_steps_of_one(found: dict[str, Any], check: str) -> None:
    for process in found[check]:
        assert process["start"] == 0
        assert process["moved"] > 1e-4
        assert process["gap"] <= LARGEST_GAP
        assert process["loss"] <= LARGEST_GAP
