"""Runs whose step is one graph: recorded as such, gone on with to the same bits, and held where a replica diverges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.engine import compiled
from neurosal.errors import ExperimentError, StoreError
from neurosal.runner.training import DivergedWarning
from neurosal.settings.schedules import Cosine
from tests.runner.making import CHAIN, data_of, must_be_equal, must_hold_the_same, network_of, sal, trained
from tests.runner.test_resuming import Stop

MOMENTUM = ns.SGD(lr=0.1, momentum=0.9, weight_decay=1e-3, schedule=Cosine())


@pytest.fixture(autouse=True)
def _without_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    yield
    torch._dynamo.reset()


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    """Stopped within an epoch, after its checkpoint: the last batch of each epoch is smaller."""
    settings: dict[str, Any] = {
        "epochs": 2, "checkpoint_every_steps": 4, "optimizer": MOMENTUM, "step": "compiled",
        "record": [ns.probe("angle", every=3)],
    }  # fmt: skip
    whole, expected = trained(sal(), tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        trained(sal(), tmp_path / "run", progress=Stop(6), **settings)
    network, run = trained(sal(), tmp_path / "run", resume=True, **settings)
    must_be_equal(network, whole)
    must_hold_the_same(run, expected)
    assert run.settings["training"]["step"] == "compiled"
    with pytest.raises(StoreError, match=r"training\.step"):
        trained(sal(), tmp_path / "run", resume=True, **(settings | {"step": "eager"}))


def test_a_replica_that_diverges_stands_still_and_the_others_go_on(tmp_path: Path) -> None:
    rates = (0.05, 1e200, 0.1)
    settings: dict[str, Any] = {
        "seeds": range(3), "optimizer": ns.SGD(lr=rates, momentum=0.9), "replicas": {"lr": list(rates)}, "epochs": 3,
    }  # fmt: skip
    with pytest.warns(DivergedWarning, match="replica 1"):
        eager, _ = trained(rules.kp(CHAIN), tmp_path / "eager", **settings)
    with pytest.warns(DivergedWarning, match="replica 1"):
        other, run = trained(rules.kp(CHAIN), tmp_path / "compiled", step="compiled", **settings)
    for name, tensor in eager.parameters().items():
        np.testing.assert_allclose(other.parameters()[name], tensor, rtol=1e-10, atol=1e-12, err_msg=name)
    assert run.status.state == "diverged"


def test_phases_learn_by_the_way_of_their_network(tmp_path: Path) -> None:
    phases = [
        ns.Phase(name="all", epochs=1),
        ns.Phase(name="held", epochs=1, frozen=("output_to_hidden2",)),
    ]
    ends = []
    for step in ("eager", "compiled"):
        network = network_of(rules.kp(CHAIN), step=step)
        ns.train(
            network, data_of(), store=tmp_path / step, phases=phases, batch_size=12, dtype="float64", step=step,
            optimizer=MOMENTUM,
        )  # fmt: skip
        ends.append(network.parameters())
    for name, tensor in ends[0].items():
        np.testing.assert_allclose(ends[1][name], tensor, rtol=1e-10, atol=1e-12, err_msg=name)


def test_training_may_not_ask_for_another_way_than_the_network_has() -> None:
    with pytest.raises(ExperimentError, match=r"(?s)training.step.*step='compiled'"):
        ns.train(network_of(CHAIN), data_of(), step="compiled", dtype="float64")


def test_a_way_that_is_not_there_is_told_apart_by_near_names() -> None:
    with pytest.raises(ExperimentError, match="Did you mean 'compiled'"):
        ns.Training.from_dict({"step": "compild"})
