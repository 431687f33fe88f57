"""The contract that every rule keeps on a residual convolutional circuit with batch norm."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import neurosal as ns
from neurosal import rules
from tests.reference.batches import batch_for, batches_for
from tests.rules.convolutional import PLASTIC, RESIDUAL, SPATIAL, made
from tests.rules.table import Case

EVERY = pytest.mark.parametrize("case", SPATIAL, ids=lambda case: case.name)
SOME = pytest.mark.parametrize(
    "case",
    [case for case in SPATIAL if case.name in ("bp", "brsf_half", "kp", "pfa", "dkp_transposed", "sal_pfa")],
    ids=lambda case: case.name,
)
NORMED = ("stem", "hidden1", "branch1", "hidden2", "branch2")
MOMENTUM = ns.SGD(lr=0.05, momentum=0.9, weight_decay=0.01)


def network_of(case: Case, seeds: Any = (0, 1), dtype: str = "float64") -> Any:
    return ns.compile(made(case), seeds=seeds, device="cpu", dtype=dtype)


@EVERY
def test_it_trains_the_circuit_and_changes_what_lies_below_the_read_out_only_if_it_brings_error(case: Case) -> None:
    network = network_of(case, dtype="float32")
    start = {name: network.weights[name].clone() for name in PLASTIC}
    scale = {name: tensor.clone() for name, tensor in network.biases.items() if name.endswith((".scale", ".shift"))}
    learned = {f"{name}.{key}" for name in NORMED for key in ("scale", "shift")}
    assert set(scale) == (learned if case.areas == 1 else set())
    batch = batch_for(RESIDUAL, samples=12)
    x = batch.x.float()
    # Direct feedback sums over places errors that agree at all of them, so that it takes a smaller rate.
    direct = case.name.removeprefix("sal_")[:2] in ("df", "dk", "dr")
    rate = (0.02 if direct else 0.05) if case.areas > 1 else 0.005 if direct else 0.2
    losses = [network.step(x, batch.y, optimizer=ns.SGD(lr=rate)) for _ in range(40 if direct else 25)]
    assert bool((losses[-1] < 0.9 * losses[0]).all())
    for name, weight in start.items():
        assert bool((network.weights[name] != weight).any()) == (case.learns_below or name == "mean_to_output"), name
    for name, tensor in scale.items():
        assert bool((network.biases[name] != tensor).any()) == case.learns_below, name


def test_bp_is_the_gradient_of_the_same_network_in_torch() -> None:
    """Reference: the network written out with torch.nn.functional, and its gradient by autograd."""
    network = ns.compile(rules.bp(RESIDUAL), seeds=(0, 1), device="cpu", dtype="float64")
    batch = batch_for(RESIDUAL, samples=5)
    generator = torch.Generator().manual_seed(0)
    for tensor in network.biases.values():
        tensor.add_(torch.randn(tensor.shape, dtype=torch.float64, generator=generator), alpha=0.3)
    found = network.updates(batch.x, batch.y)
    for r in range(2):
        leaves = {
            name: tensor[r, 0].clone().requires_grad_()
            for name, tensor in {**{name: network.weights[name] for name in PLASTIC}, **network.biases}.items()
        }
        x = batch.x[r].view(-1, 2, 6, 6)
        functional.cross_entropy(written_out(leaves, x), batch.y[r]).backward()
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            assert (found[name][r, 0] - leaf.grad).abs().max() < 1e-12, name
            assert leaf.grad.abs().max() > 1e-4, name


def written_out(leaves: dict[str, Tensor], x: Tensor) -> Tensor:
    """`residual` in torch, for one replica."""

    def normed(rows: Tensor, name: str) -> Tensor:
        return functional.batch_norm(rows, None, None, leaves[f"{name}.scale"], leaves[f"{name}.shift"], training=True)

    stem = normed(functional.conv2d(x, leaves["input_to_stem"], padding=1), "stem").relu()
    hidden1 = normed(functional.conv2d(stem, leaves["stem_to_hidden1"], padding=1), "hidden1").relu()
    kernel = leaves["hidden1_to_branch1"].flatten(0, 1)
    branch1 = normed(functional.conv2d(hidden1, kernel, padding=1, groups=2), "branch1")
    pooled = functional.max_pool2d((branch1 + stem).relu(), 2, 1)
    hidden2 = normed(functional.conv2d(pooled, leaves["pooled1_to_hidden2"], padding=1, stride=2), "hidden2").relu()
    around = functional.pad(hidden2, (1, 1, 1, 1), mode="circular")
    branch2 = normed(functional.conv2d(around, leaves["hidden2_to_branch2"]), "branch2")
    short = functional.pad(pooled[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))
    mean = (branch2 + short).relu().mean((2, 3))
    return functional.linear(mean, leaves["mean_to_output"], leaves["output.bias"])


@EVERY
def test_all_rules_start_from_the_same_forward_weights(case: Case) -> None:
    plain, network = network_of(SPATIAL[0], seeds=(7, 8)), network_of(case, seeds=(7, 8))
    for name in PLASTIC:
        assert torch.equal(network.weights[name][:, :1], plain.weights[name])
        assert not torch.equal(network.weights[name][0], network.weights[name][1])


@EVERY
def test_own_feedback_never_reads_forward_weights(case: Case) -> None:
    clean, poisoned, batch = network_of(case), network_of(case), batch_for(RESIDUAL)
    swept, lost = (network.forward(batch.x, training=True) for network in (clean, poisoned))
    for name in PLASTIC:
        poisoned.weights[name].fill_(float("nan"))
    for network, one in ((clean, swept), (poisoned, lost)):
        network.backward(one, batch.y)
    expected, found = clean.signals_of(swept), poisoned.signals_of(lost)
    equal = {
        name: torch.equal(entry["error"], found[name]["error"]) for name, entry in expected.items() if "error" in entry
    }
    assert all(equal.values()) != case.transports
    if not case.transports:
        changes = clean.changes(swept)
        for name, change in poisoned.changes(lost).items():
            assert torch.equal(change, changes[name]), name


@EVERY
def test_a_replica_among_three_with_different_rates_is_that_replica_alone(case: Case) -> None:
    rates = (0.02, 0.04, 0.06)
    together = network_of(case, seeds=range(3))
    alone = {s: network_of(case, seeds=[s]) for s in (0, 2)}

    def optimizer(lr: Any) -> Any:
        return ns.SGD(lr=lr, momentum=0.9, weight_decay=0.01)

    for batch in batches_for(RESIDUAL, 3, replicas=3):
        together.step(batch.x, batch.y, optimizer=optimizer(rates))
        for s, network in alone.items():
            network.step(batch.replica(s).x, batch.replica(s).y, optimizer=optimizer(rates[s]))
    whole = together.state_dict()
    for s, network in alone.items():
        for name, mine in network.state_dict().items():
            if mine.dim() and len(whole[name]) == 3:  # running statistics too
                assert (whole[name][s].double() - mine[0].double()).abs().max() < 1e-10, name


@EVERY
def test_a_step_builds_no_autograd_graph(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("autograd was asked for a gradient")

    for owner, name in ((torch.Tensor, "backward"), (torch.autograd, "grad"), (torch.autograd, "backward")):
        monkeypatch.setattr(owner, name, refuse)
    network, batch = network_of(case), batch_for(RESIDUAL)
    x = batch.x.requires_grad_()  # any operation that records would now record
    with torch.autograd.graph.saved_tensors_hooks(refuse, refuse):
        loss = network.step(x, batch.y, optimizer=MOMENTUM)
        changes = network.updates(x, batch.y)
    tensors = {"loss": loss, **changes, **network.state_dict()}
    assert all(tensor.grad_fn is None and not tensor.requires_grad for tensor in tensors.values())


@SOME
def test_the_order_of_samples_in_a_batch_does_not_matter(case: Case) -> None:
    straight, turned = network_of(case), network_of(case)
    for batch in batches_for(RESIDUAL, 2):
        straight.step(batch.x, batch.y, optimizer=MOMENTUM)
        other = batch.ordered([3, 0, 5, 1, 4, 2])
        turned.step(other.x, other.y, optimizer=MOMENTUM)
    for name, tensor in straight.state_dict().items():
        assert (tensor.double() - turned.state_dict()[name].double()).abs().max() < 1e-11, name


@SOME
def test_a_step_does_what_updates_propose(case: Case) -> None:
    network, batch = network_of(case), batch_for(RESIDUAL)
    proposed = {name: change.clone() for name, change in network.updates(batch.x, batch.y).items()}
    before = {name: tensor.clone() for name, tensor in {**network.weights, **network.biases}.items()}
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
    for name, change in proposed.items():
        now = network.weights[name] if name in network.weights else network.biases[name]
        assert (now - (before[name] - 0.1 * change)).abs().max() < 1e-12, name


@pytest.mark.parametrize("case", [case for case in SPATIAL if case.areas > 1], ids=lambda case: case.name)
@pytest.mark.parametrize("optimizer", [ns.SGD(lr=0.1, weight_decay=0.1), MOMENTUM], ids=["sgd", "momentum"])
def test_areas_without_samples_keep_kernels_bit_for_bit(case: Case, optimizer: Any) -> None:
    circuit = made(case)
    network = ns.compile(circuit, seeds=[0, 1], device="cpu", dtype="float64")
    resting = moving = 0
    for step in range(3):
        batch = batch_for(RESIDUAL, step, samples=2)
        before = {name: network.weights[name].clone() for name in network.weights}
        areas = {name: entry["area"] for name, entry in network.signals(batch.x, batch.y).items() if "area" in entry}
        network.step(batch.x, batch.y, optimizer=optimizer)
        for name, old in before.items():
            edge = circuit.projections[name]
            population = edge.source if edge.pathway == "feedback" else edge.target
            for r in range(2):
                for k in range(old.shape[1]) if population in areas and old.shape[1] > 1 else ():
                    same = torch.equal(network.weights[name][r, k], old[r, k])
                    if not bool((areas[population][r] == k).any()):
                        assert same, (name, k)
                        resting += 1
                    else:
                        moving += not same
    assert min(resting, moving) > 10
