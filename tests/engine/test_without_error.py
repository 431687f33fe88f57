"""Learning with the loss "none": no error, and only what needs none changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.errors import ExperimentError
from neurosal.graph import Plasticity
from neurosal.settings.training import Training
from tests.reference.batches import batch_for, batches_for
from tests.rules.table import chain_of


class Correlation(Plasticity):
    """What needs no error: the product of activities."""

    kind = "correlation_of_a_test"
    needs = frozenset({"post_activity", "pre_activity"})
    product = ("post_activity", "pre_activity")


CHAIN = rules.fa(chain_of(4, 5, 3))
LOWER = CHAIN.projections["input_to_hidden1"].replace(plasticity=Correlation())
MIXED = CHAIN.with_projections(input_to_hidden1=LOWER)
OPTIMIZERS = [ns.SGD(lr=0.1, weight_decay=0.1), ns.SGD(lr=0.1, momentum=0.9), ns.Adam(lr=0.1), ns.SGD(lr=0.1, clip=1.0)]


def network_of(circuit: Any, seeds: Any = (0, 1)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_only_what_needs_no_error_changes_and_as_it_does_beside_an_error(optimizer: Any) -> None:
    without, beside, batch = network_of(MIXED), network_of(MIXED), batch_for(MIXED)
    before = {name: tensor.clone() for name, tensor in without.parameters().items()}
    loss = without.step(batch.x, None, loss="none", optimizer=optimizer)
    assert loss.shape == (2,)
    assert bool(loss.isnan().all())
    assert without.steps == 1
    moved = {name for name, tensor in without.parameters().items() if not torch.equal(tensor, before[name])}
    assert moved == {"input_to_hidden1"}
    if optimizer.clip is None:
        beside.step(batch.x, batch.y, optimizer=optimizer)
        assert torch.equal(beside.weights["input_to_hidden1"], without.weights["input_to_hidden1"])


def test_beside_an_error_the_rest_of_the_circuit_learns_from_it() -> None:
    network, batch = network_of(MIXED), batch_for(MIXED)
    assert set(network.updates(batch.x, batch.y)) == {"input_to_hidden1", "hidden1_to_output", "output.bias"}


def test_updates_and_signals_need_no_target() -> None:
    network, batch = network_of(MIXED), batch_for(MIXED)
    changes = network.updates(batch.x, loss="none")
    assert set(changes) == {"input_to_hidden1"}
    assert torch.equal(changes["input_to_hidden1"], network.updates(batch.x, batch.y)["input_to_hidden1"])
    signals = network.signals(batch.x, batch.y, loss="none")
    assert all("error" not in entry for entry in signals.values())
    assert network.score(network.forward(batch.x), batch.y, loss="none") == {}


def test_a_circuit_in_which_nothing_would_change_is_refused() -> None:
    network, batch = network_of(CHAIN), batch_for(CHAIN)
    for circuit, found in (
        (CHAIN, "delta, which learns from an error"),
        (rules.wm(chain_of(4, 5, 3)), "weight_mirror"),
    ):
        with pytest.raises(ExperimentError, match=f"no error .the loss is none.*{found}"):
            network_of(circuit).step(batch.x, loss="none", optimizer=ns.SGD())
    assert network.steps == 0
    with pytest.raises(ExperimentError, match="the loss is none"):
        ns.train(network, ns.data.from_arrays(batch.arrays["input"][0], batch.targets[0]), loss="none", store="nowhere")
    assert not Path("nowhere").exists()


def test_a_router_that_learns_is_enough() -> None:
    circuit = rules.sal(chain_of(4, 5, 3), areas=3, rank=3, router="attract")
    network, batch = network_of(circuit), batch_for(circuit)
    before = network.routers["route_hidden1"]["weight"].clone()
    network.step(batch.x, loss="none", optimizer=ns.SGD(lr=1.0))
    assert not torch.equal(network.routers["route_hidden1"]["weight"], before)


def test_training_without_a_loss_records_none_and_resumes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data = ns.data.from_arrays(random.normal(size=(40, 4)), random.integers(3, size=40)).split(train=0.8, test=0.2)
    settings = {"epochs": 2, "batch_size": 8, "optimizer": ns.SGD(lr=0.01), "loss": "none"}
    record = [ns.probe("update"), ns.probe("weight", "input_to_hidden1"), ns.probe("activity")]
    network = network_of(MIXED)
    run = ns.train(network, data, **settings, record=record, store=tmp_path / "run")
    assert run.status.state == "done"
    assert bool(run.tree["metrics/train"].loss.isnull().all())
    assert "eval" not in run.tree["metrics"]
    assert set(run.tree["projections"]) == {"input_to_hidden1"}
    assert network.evaluate(data, loss="none") == {}
    with pytest.raises(ExperimentError, match=r"record\.error.*found nothing"):
        ns.train(network_of(MIXED), data, **settings, record=[ns.probe("error")], store=tmp_path / "other")
    assert Training.from_dict(Training(loss="none").to_dict()).loss == "none"


def test_a_replica_learns_without_an_error_as_it_does_alone() -> None:
    together, alone = network_of(MIXED, seeds=range(3)), network_of(MIXED, seeds=[2])
    for batch in batches_for(MIXED, 4, replicas=3):
        together.step(batch.x, loss="none", optimizer=OPTIMIZERS[1])
        alone.step(batch.replica(2).x, loss="none", optimizer=OPTIMIZERS[1])
    assert (together.weights["input_to_hidden1"][2] - alone.weights["input_to_hidden1"][0]).abs().max() < 1e-12
