"""How training hands its records over: what the queue holds, what is dropped, what may change when it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.errors import ExperimentError
from neurosal.record.writer import DroppedWarning
from neurosal.settings import Training
from tests.record.stuck import stuck
from tests.runner.making import CHAIN, trained
from tests.runner.test_resuming import Stop

# Rows of 2 seeds, 6 x 4 weights in float64, with step and epoch: above a thousandth of this queue, and two of them fit.
QUEUE_MB = 900 / 2**20
WEIGHTS = [ns.probe("weight", "input_to_hidden1", every=1)]


def test_training_drops_records_only_where_it_was_asked_to_and_learns_the_same(tmp_path: Path) -> None:
    whole, run = trained(rules.bp(CHAIN), tmp_path / "whole", record=WEIGHTS, queue_mb=QUEUE_MB)
    path = "projections/input_to_hidden1/every_1"
    assert run.tree[path].step.values.tolist() == list(range(11))
    assert run.status.dropped == {}
    with stuck() as disk:
        options: dict[str, Any] = {"queue_mb": QUEUE_MB, "when_full": "drop"}
        options["progress"] = lambda done, *_: disk.go() if done == 8 else None
        with pytest.warns(DroppedWarning, match=path):
            some, run = trained(rules.bp(CHAIN), tmp_path / "some", record=WEIGHTS, **options)
    dropped = run.status.dropped[path]
    assert 0 < dropped == 11 - run.tree[path].sizes["snapshot"]
    for name, weight in whole.weights.items():
        assert torch.equal(weight, some.weights[name])


def test_a_run_goes_on_with_another_queue(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(rules.bp(CHAIN), tmp_path / "run", progress=Stop(after=7))
    _, run = trained(rules.bp(CHAIN), tmp_path / "run", resume=True, queue_mb=1, when_full="drop")
    assert run.status.state == "done"


def test_a_queue_of_nothing_is_refused() -> None:
    with pytest.raises(ExperimentError, match="queue_mb"):
        Training(queue_mb=0)
    with pytest.raises(ExperimentError, match="when_full"):
        Training(when_full="wait")
