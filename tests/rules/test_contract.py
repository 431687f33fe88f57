"""The contract that every rule of the table keeps, whatever feedback it adds."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import neurosal as ns
from neurosal.graph import Circuit
from tests.reference.batches import Batch, batch_for, batches_for
from tests.reference.copying import array
from tests.rules.table import TABLE, Case, chain_of

CHAIN = chain_of(4, 5, 7, 3, activation="tanh")
EVERY = pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
MOMENTUM = ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.01)


def network_of(case: Case, seeds: Any = (0, 1), dtype: str = "float64", chain: Circuit = CHAIN) -> Any:
    return ns.compile(case.make(chain), seeds=seeds, device="cpu", dtype=dtype)


def state_of(network: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@EVERY
def test_it_learns_and_changes_hidden_weights_only_if_it_brings_them_error(case: Case) -> None:
    network = network_of(case)
    start = {
        name: array(network.weights[name]) for name in ("input_to_hidden1", "hidden1_to_hidden2", "hidden2_to_output")
    }
    batch = batch_for(CHAIN, samples=12)
    network.fit_routers(batch.x)
    optimizer = ns.SGD(lr=0.5 / 12 if "sum" in case.name else 0.5)
    losses = [network.step(batch.x, batch.y, optimizer=optimizer) for _ in range(60)]
    assert bool((losses[-1] < 0.95 * losses[0]).all())
    moved = {name: bool((array(network.weights[name]) != value).any()) for name, value in start.items()}
    assert moved == {
        "input_to_hidden1": case.learns_below,
        "hidden1_to_hidden2": case.learns_below,
        "hidden2_to_output": True,
    }


@EVERY
def test_all_rules_start_from_the_same_forward_weights(case: Case) -> None:
    plain, network = network_of(TABLE[0], seeds=(7, 8)), network_of(case, seeds=(7, 8))
    for name in CHAIN.projections:
        assert torch.equal(network.weights[name][:, :1], plain.weights[name])
        assert not torch.equal(network.weights[name][0], network.weights[name][1])


def poison(network: Any) -> None:
    """Forward weights become NaN where they stand."""
    for name in CHAIN.projections:
        network.weights[name].fill_(float("nan"))


@EVERY
def test_own_feedback_never_reads_forward_weights(case: Case) -> None:
    network, batch = network_of(case), batch_for(CHAIN)
    swept = network.forward(batch.x)
    network.backward(swept, batch.y)
    expected = {name: entry["error"].clone() for name, entry in network.signals_of(swept).items() if "error" in entry}
    changes = {name: value.clone() for name, value in network.changes(swept).items()}
    again = network.forward(batch.x)
    poison(network)
    network.backward(again, batch.y)
    found = {name: entry["error"] for name, entry in network.signals_of(again).items() if "error" in entry}
    assert expected.keys() == found.keys()
    if case.transports:
        # So the test sees a read when there is one. The sign of what is no number is 0.
        assert any(not torch.equal(found[name], error) for name, error in expected.items())
        return
    for name, error in expected.items():
        assert torch.equal(found[name], error), name
    for name, change in network.changes(again).items():
        assert torch.equal(change, changes[name]), name


@EVERY
def test_a_step_moves_feedback_the_same_when_forward_weights_vanish_after_the_forward_pass(case: Case) -> None:
    if case.transports:
        return
    clean, poisoned, batch = network_of(case), network_of(case), batch_for(CHAIN)
    lose = poisoned._sweep.lose

    def poisoned_lose(*args: Any) -> Any:
        poison(poisoned)
        return lose(*args)

    poisoned._sweep.lose = poisoned_lose  # the first thing after the forward sweep
    for network in (clean, poisoned):
        network.step(batch.x, batch.y, optimizer=MOMENTUM)
    for name, weight in poisoned.parameters("feedback").items():
        assert torch.equal(weight, clean.weights[name]), name
    assert bool(poisoned.weights["hidden2_to_output"].isnan().any())


@EVERY
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_a_replica_among_eight_with_different_rates_is_that_replica_alone(case: Case, optimizer: str) -> None:
    if optimizer != "sgd" and case.name not in ("kp", "pfa", "sal_kp", "sal_area_pfa", "sal_attract"):
        return
    rates = tuple(0.02 * (1 + s) for s in range(8))
    make = {
        "sgd": lambda lr: ns.SGD(lr=lr, weight_decay=0.01),
        "momentum": lambda lr: ns.SGD(lr=lr, momentum=0.9, weight_decay=0.01),
        "adam": lambda lr: ns.Adam(lr=lr, weight_decay=0.01),
    }[optimizer]
    together = network_of(case, seeds=range(8))
    alone = {s: network_of(case, seeds=[s]) for s in (0, 5)}
    for batch in batches_for(CHAIN, 50, replicas=8):
        together.step(batch.x, batch.y, optimizer=make(rates))
        for s, network in alone.items():
            network.step(batch.replica(s).x, batch.replica(s).y, optimizer=make(rates[s]))
    for s, network in alone.items():
        for name, mine in network.parameters().items():
            assert (together.parameters()[name][s] - mine[0]).abs().max() < 1e-10, name
        for name, router in network.routers.items():
            assert all((together.routers[name][key][s] - router[key][0]).abs().max() < 1e-10 for key in router)


@EVERY
def test_the_order_of_samples_in_a_batch_does_not_matter(case: Case) -> None:
    straight, turned = network_of(case), network_of(case)
    for batch in batches_for(CHAIN, 3):
        straight.step(batch.x, batch.y, optimizer=MOMENTUM)
        other = batch.ordered([3, 0, 5, 1, 4, 2])
        turned.step(other.x, other.y, optimizer=MOMENTUM)
    for name, tensor in state_of(straight).items():
        assert (tensor.double() - turned.state_dict()[name].double()).abs().max() < 1e-12, name


@EVERY
def test_signals_come_in_the_order_of_the_samples(case: Case) -> None:
    network, batch = network_of(case), batch_for(CHAIN)
    order = [3, 0, 5, 1, 4, 2]
    straight, turned = (network.signals(each.x, each.y) for each in (batch, batch.ordered(order)))
    for name, entry in straight.items():
        for kind, value in entry.items():
            assert (value[:, order].double() - turned[name][kind].double()).abs().max() < 1e-12, (name, kind)


@EVERY
def test_a_step_builds_no_autograd_graph(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("autograd was asked for a gradient")

    for owner, name in ((torch.Tensor, "backward"), (torch.autograd, "grad"), (torch.autograd, "backward")):
        monkeypatch.setattr(owner, name, refuse)
    network, batch = network_of(case), batch_for(CHAIN)
    x = batch.x.requires_grad_()  # any operation that records would now record
    with torch.autograd.graph.saved_tensors_hooks(refuse, refuse):
        loss = network.step(x, batch.y, optimizer=MOMENTUM)
        changes = network.updates(x, batch.y)
    tensors = {"loss": loss, **changes, **network.state_dict()}
    assert all(tensor.grad_fn is None and not tensor.requires_grad for tensor in tensors.values())


class Launches(TorchDispatchMode):
    """Counts the kernels that are launched."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def launches(case: Case, replicas: int, optimizer: Any) -> Counter[str]:
    network, batch = (
        network_of(case, seeds=range(replicas), dtype="float32"),
        batch_for(CHAIN, replicas=replicas, samples=16),
    )
    x = batch.x.float()
    network.step(x, batch.y, optimizer=optimizer)
    with Launches() as counted:
        network.step(x, batch.y, optimizer=optimizer)
    return counted.counts


@EVERY
def test_kernel_launches_do_not_grow_with_replicas(case: Case) -> None:
    for optimizer in (ns.SGD(lr=0.01), MOMENTUM):
        two, eight = launches(case, 2, optimizer), launches(case, 8, optimizer)
        assert two == eight
        assert sum(two.values()) > 5


@EVERY
def test_a_replica_that_stops_being_finite_leaves_the_others_as_they_are(case: Case) -> None:
    clean, sick = network_of(case, seeds=range(3)), network_of(case, seeds=range(3))
    for weights in (sick.weights["hidden1_to_hidden2"], sick.weights["hidden2_to_output"]):
        weights[1] = float("nan")
    for batch in batches_for(CHAIN, 4, replicas=3):
        for network in (clean, sick):
            network.step(batch.x, batch.y, optimizer=MOMENTUM)
    for name, tensor in state_of(clean).items():
        if tensor.dim():
            # With areas the sick replica's routes may lead elsewhere, and with them the shape of a kernel that all
            # share: last bits may differ.
            gap = (tensor[[0, 2]] - sick.state_dict()[name][[0, 2]]).abs().max()
            assert gap <= (1e-12 if case.areas > 1 else 0), name


@EVERY
@pytest.mark.parametrize(
    "optimizer", [ns.SGD(lr=0.1, weight_decay=0.01), MOMENTUM, ns.Adam(lr=0.01)], ids=["sgd", "momentum", "adam"]
)
def test_a_frozen_replica_keeps_its_state_while_the_others_go_on(case: Case, optimizer: Any) -> None:
    free, frozen = network_of(case, seeds=range(3)), network_of(case, seeds=range(3))
    batches = batches_for(CHAIN, 4, replicas=3)
    for network in (free, frozen):
        network.step(batches[0].x, batches[0].y, optimizer=optimizer)
    frozen.freeze_replicas([1])
    before = state_of(frozen)
    for batch in batches[1:]:
        for network in (free, frozen):
            network.step(batch.x, batch.y, optimizer=optimizer)
    after = frozen.state_dict()
    for name, tensor in before.items():
        if tensor.dim() and name != "alive":
            assert torch.equal(after[name][1], tensor[1]), name
            assert (after[name][[0, 2]] - free.state_dict()[name][[0, 2]]).abs().max() < 1e-12, name


@EVERY
def test_single_precision_follows_double_precision(case: Case) -> None:
    double, single = network_of(case), network_of(case, dtype="float32")
    batches: list[Batch] = batches_for(CHAIN, 4)
    for network in (double, single):
        network.fit_routers(batches[0].x)
    for batch in batches:
        double.step(batch.x, batch.y, optimizer=MOMENTUM)
        single.step(batch.x.float(), batch.y, optimizer=MOMENTUM)
    for name, tensor in double.parameters().items():
        assert (tensor - single.parameters()[name].double()).abs().max() < 1e-4, name


@EVERY
def test_a_copy_goes_on_with_the_same_bits(case: Case) -> None:
    network = network_of(case)
    first, second = batches_for(CHAIN, 2)
    network.step(first.x, first.y, optimizer=MOMENTUM)
    twin = copy.deepcopy(network)
    for each in (network, twin):
        each.step(second.x, second.y, optimizer=MOMENTUM)
    assert network.state_dict().keys() == twin.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, twin.state_dict()[name]), name
