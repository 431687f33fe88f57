"""Lesions: absent synapses are exactly 0 for good, silenced units take no part, and nothing at their synapses
changes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import neurosal as ns
from neurosal import rules
from neurosal.errors import CircuitError
from neurosal.graph import Circuit, SignOf
from tests.reference.batches import batch_for, batches_for
from tests.rules.table import chain_of

CHAIN = chain_of(4, 6, 5, 3, activation="tanh")
SKIPPING = CHAIN.with_projections(skip=ns.Projection(source="hidden1", target="output"))
OPTIMIZERS = {
    "sgd": ns.SGD(lr=0.1, weight_decay=0.1),
    "rates": ns.SGD(lr=(0.1, 0.2), weight_decay=0.1),
    "momentum": ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "clip": ns.SGD(lr=0.1, weight_decay=0.1, clip=0.01),
    "adam": ns.Adam(lr=0.01, weight_decay=0.1),
    "adamw": ns.AdamW(lr=0.01, weight_decay=0.1),
}
CIRCUITS = {
    "bp": rules.bp(SKIPPING),
    "kp": rules.kp(SKIPPING),
    "dfa": rules.dfa(SKIPPING),
    "pfa": rules.pfa(SKIPPING, expansion=2),
    "sal_kp": rules.sal(CHAIN, areas=3),
    "sal_area_pfa": rules.sal(CHAIN, areas=3, feedback="pfa", reduction="area", route="population"),
}
EVERY_CIRCUIT = pytest.mark.parametrize("circuit", CIRCUITS.values(), ids=CIRCUITS)
EVERY_OPTIMIZER = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
GONE = [1, 4]  # units of hidden1 that are silenced
KEEP = torch.tensor([True, False, True, True, False, True])


def network_of(circuit: Circuit, seeds: Any = (0, 1), dtype: str = "float64") -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype=dtype)


def train(network: Any, optimizer: Any, steps: int = 4, seed: int = 0) -> None:
    for batch in batches_for(CHAIN, steps + seed)[seed:]:
        network.step(batch.x, batch.y, optimizer=optimizer)


def some_of(weight: Tensor, seed: int = 0) -> Tensor:
    return torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed)) < 0.5


def lesioned(circuit: Circuit) -> tuple[Any, dict[str, Tensor]]:
    """A network in which every projection has lost about half of its synapses."""
    network = network_of(circuit)
    # The synapses of a tie are those of its owner, which is masked once.
    keeps = {name: some_of(network.weights[name]) for name in network.weights if not circuit.projections[name].tied_to}
    for name, keep in keeps.items():
        network.mask(name, keep)
    return network, keeps


@EVERY_CIRCUIT
@EVERY_OPTIMIZER
def test_masked_synapses_stay_exactly_zero(circuit: Circuit, optimizer: Any) -> None:
    network, keeps = lesioned(circuit)
    before = {name: network.weights[name].clone() for name in keeps}
    train(network, optimizer)
    batch = batch_for(CHAIN)
    updates = network.updates(batch.x, batch.y)
    for name, keep in keeps.items():
        weight = network.weights[name]
        assert not weight[~keep].any(), name
        assert torch.equal(network.masks[name], keep)
        if name in updates:
            assert not updates[name][~keep].any(), name
            assert updates[name][keep].any(), name
            assert bool((weight[keep] != before[name][keep]).any()), name
    for name, tensor in network.state_dict().items():
        if name.startswith("optimizer/") and name.split("/")[1] in keeps and tensor.dim() == 4:
            edge = circuit.projections[name.split("/")[1]]
            stored = keeps[name.split("/")[1]]
            assert not tensor[~(stored.mT if edge.pathway == "feedback" else stored)].any(), name


@EVERY_OPTIMIZER
def test_a_mask_in_the_middle_of_training_ends_momentum_too(optimizer: Any) -> None:
    network = network_of(CIRCUITS["kp"])
    train(network, optimizer)
    keep = some_of(network.weights["output_to_hidden2"])
    network.mask("output_to_hidden2", keep)
    train(network, optimizer, seed=4)
    assert not network.weights["output_to_hidden2"][~keep].any()


def test_what_is_left_learns_as_autograd_says_of_a_masked_net() -> None:
    circuit = rules.bp(CHAIN)
    network, keeps = lesioned(circuit)
    names = list(CHAIN.projections)
    weights = [network.weights[name][1, 0].clone().requires_grad_() for name in names]
    optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.1)
    for batch in batches_for(CHAIN, 5):
        h, y = batch.replica(1).x[0], batch.replica(1).y[0]
        for index, (name, weight) in enumerate(zip(names, weights, strict=True)):
            h = h @ (weight * keeps[name][1, 0]).T
            h = h if index == len(names) - 1 else h.tanh()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(h, y).backward()
        optimizer.step()
        network.step(batch.x, batch.y, optimizer=OPTIMIZERS["momentum"])
        for bias in network.biases.values():
            bias.zero_()
    for name, weight in zip(names, weights, strict=True):
        expected = (weight * keeps[name][1, 0]).detach()
        assert (network.weights[name][1, 0] - expected).abs().max() < 1e-12, name


# Units ---------------------------------------------------------------------------------------------------------------


def smaller(circuit: Circuit, network: Any) -> Any:
    """The network without the silenced units, with the weights of the rest."""
    small = network_of(circuit.with_populations(hidden1=circuit.populations["hidden1"].replace(size=4)))
    for name in small.weights:
        edge, weight = circuit.projections[name], network.weights[name]
        if edge.target == "hidden1":
            weight = weight[:, :, KEEP]
        if edge.source == "hidden1":
            weight = weight[..., KEEP]
        if not edge.tied_to:
            small.weights[name].copy_(weight)
    for name, router in network.routers.items():
        for key, tensor in router.items():
            if key in ("weight", "mean") and circuit.projections[name].source == "hidden1":
                tensor = tensor[..., KEEP]
            small.routers[name][key].copy_(tensor)
    return small


@EVERY_CIRCUIT
@EVERY_OPTIMIZER
def test_the_rest_learns_as_if_silenced_units_were_not_there(circuit: Circuit, optimizer: Any) -> None:
    network = network_of(circuit)
    small = smaller(circuit, network)
    network.silence("hidden1", KEEP)
    batches = batches_for(CHAIN, 5)
    for batch in batches:
        losses = [each.step(batch.x, batch.y, optimizer=optimizer) for each in (network, small)]
        assert (losses[0] - losses[1]).abs().max() < 1e-12
    again = smaller(circuit, network)
    for name in small.weights:
        assert (again.weights[name] - small.weights[name]).abs().max() < 1e-11, name


@EVERY_CIRCUIT
@EVERY_OPTIMIZER
def test_silenced_units_carry_nothing_and_nothing_at_their_synapses_changes(circuit: Circuit, optimizer: Any) -> None:
    network = network_of(circuit)
    train(network, optimizer)
    network.silence("hidden1", KEEP)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    batch = batch_for(CHAIN, 9)
    signals = network.signals(batch.x, batch.y)["hidden1"]
    for kind in ("activity", "error"):
        assert not signals[kind][..., GONE].any()
        assert signals[kind][..., KEEP].any()
    updates = network.updates(batch.x, batch.y)
    train(network, optimizer, seed=4)
    after = network.state_dict()
    for name in network.weights:
        edge = circuit.projections[name]
        if edge.tied_to or "hidden1" not in (edge.target, edge.source):
            continue
        for part in (f"weights/{name}", f"optimizer/{name}/momentum", f"optimizer/{name}/first"):
            if part in before:
                old, new = (state[part] if edge.pathway != "feedback" else state[part].mT for state in (before, after))
                where = (slice(None), slice(None), GONE) if edge.target == "hidden1" else (..., GONE)
                assert torch.equal(old[where], new[where]), part
        if name in updates:
            gone = updates[name][:, :, GONE] if edge.target == "hidden1" else updates[name][..., GONE]
            assert not gone.any(), name
    assert torch.equal(before["biases/hidden1.bias"][..., GONE], after["biases/hidden1.bias"][..., GONE])
    assert not torch.equal(before["biases/hidden1.bias"][..., KEEP], after["biases/hidden1.bias"][..., KEEP])


def test_inputs_outputs_and_relays_may_be_silenced() -> None:
    network = network_of(rules.pfa(CHAIN, expansion=2))
    batch = batch_for(CHAIN)
    network.silence("input", [0, 1, 1, 1])
    other = batch.x.clone()
    other[..., 0] = 7.0
    assert torch.equal(network.predict(batch.x), network.predict(other))
    network.silence("output", [[1, 1, 0], [1, 1, 1]])
    network.silence("relay_hidden2_to_output", torch.zeros(1, 6))
    signals = network.signals(batch.x, batch.y)
    assert not network.predict(batch.x)[0, :, 2].any()
    assert network.predict(batch.x)[1, :, 2].any()
    assert not signals["output"]["error"][0, :, 2].any()
    assert signals["output"]["error"][1, :, 2].any()
    assert not signals["hidden2"]["error"].any()


def test_a_population_with_areas_is_silenced_for_every_order_of_samples() -> None:
    circuit = rules.sal(CHAIN, areas=3, route="population")
    network = network_of(circuit)
    network.silence("hidden1", torch.stack([KEEP, ~KEEP]))
    batch = batch_for(CHAIN)
    activity = network.signals(batch.x, batch.y)["hidden1"]["activity"]
    assert not activity[0][:, ~KEEP].any()
    assert not activity[1][:, KEEP].any()
    assert activity[0][:, KEEP].all()


# Reading, lifting, state ---------------------------------------------------------------------------------------------


def test_masks_multiply_and_broadcast_and_can_be_lifted() -> None:
    network = network_of(rules.kp(CHAIN))
    assert network.masks == network.silenced == {}
    network.mask("input_to_hidden1", torch.tensor([[1], [0], [1], [1], [1], [1]]))
    network.mask("input_to_hidden1", torch.tensor([True, True, False, True]))
    expected = torch.ones(2, 1, 6, 4, dtype=torch.bool)
    expected[:, :, 1] = expected[..., 2] = False
    assert torch.equal(network.masks["input_to_hidden1"], expected)
    network.silence("hidden1", KEEP)
    network.silence("hidden1", torch.tensor([[1], [0]]))
    assert torch.equal(network.silenced["hidden1"], torch.stack([~KEEP, torch.ones(6, dtype=torch.bool)]))
    network.restore("input_to_hidden1")
    network.restore("hidden1")
    assert network.masks == network.silenced == {}
    train(network, OPTIMIZERS["momentum"])
    assert network.weights["input_to_hidden1"].all()  # they grow again


def test_silenced_units_come_back_with_the_synapses_they_had() -> None:
    network = network_of(rules.kp(CHAIN))
    batch = batch_for(CHAIN)
    before = network.predict(batch.x)
    network.silence("hidden1", KEEP)
    assert not torch.equal(network.predict(batch.x), before)
    network.restore("hidden1")
    assert torch.equal(network.predict(batch.x), before)


def test_a_tie_shares_its_mask_and_sign_symmetric_feedback_does_not() -> None:
    tied, signed = (
        network_of(rules.bp(CHAIN)),
        network_of(
            CHAIN.with_projections(
                back=ns.Projection(
                    source="output", target="hidden2", pathway="feedback", weights=SignOf(of="hidden2_to_output")
                )
            )
        ),
    )
    keep = torch.tensor([1, 0, 1])
    tied.mask("output_to_hidden2", keep)
    assert not tied.weights["hidden2_to_output"][:, :, 1].any()
    assert torch.equal(tied.masks["hidden2_to_output"].mT, tied.masks["output_to_hidden2"])
    signed.mask("back", keep)
    assert signed.weights["hidden2_to_output"].all()
    assert not signed.weights["back"][..., 1].any()
    batch = batch_for(CHAIN)
    signals = signed.signals(batch.x, batch.y)
    delta, e = signals["output"]["error"], signals["hidden2"]["error"]
    expected = (delta @ signed.weights["back"][:, 0].mT) * (1 - signals["hidden2"]["activity"] ** 2)
    assert (e - expected).abs().max() < 1e-12
    signed.mask("hidden2_to_output", torch.tensor([1, 1, 0])[:, None])  # no synapse, no sign
    assert not signed.weights["back"][..., 2].any()


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_lesions_are_saved_and_go_on_to_the_same_bits(optimizer: str, tmp_path: Path) -> None:
    network, _ = lesioned(CIRCUITS["kp"])
    network.silence("hidden2", [1, 1, 0, 1, 1])
    train(network, OPTIMIZERS[optimizer])
    copies = [ns.load(network.save(tmp_path / "network"), device="cpu"), copy.deepcopy(network)]
    for each in (network, *copies):
        train(each, OPTIMIZERS[optimizer], seed=4)
    for each in copies:
        assert each.masks.keys() == network.masks.keys()
        assert each.state_dict().keys() == network.state_dict().keys()
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, each.state_dict()[name]), name


def test_an_earlier_state_without_lesions_lifts_them() -> None:
    network = network_of(rules.kp(CHAIN))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.mask("input_to_hidden1", 0)
    network.silence("hidden2", 0)
    network.load_state_dict(state)
    assert network.masks == network.silenced == {}
    train(network, OPTIMIZERS["sgd"])
    assert network.weights["input_to_hidden1"].all()


def test_a_twin_has_the_same_lesions_whichever_came_first() -> None:
    network = network_of(rules.kp(CHAIN))
    early = network.twin(rules.bp(CHAIN))
    network.mask("hidden2_to_output", torch.tensor([1, 0, 1])[:, None])
    network.silence("hidden1", KEEP)
    late = network.twin(rules.bp(CHAIN))
    batch = batch_for(CHAIN)
    for twin in (early, late):
        updates = twin.updates(batch.x, batch.y)
        assert not updates["hidden2_to_output"][:, :, 1].any()
        assert not updates["input_to_hidden1"][:, :, GONE].any()
        assert torch.equal(twin.predict(batch.x), network.predict(batch.x))


def test_a_replica_with_a_lesion_of_its_own_is_that_replica_alone() -> None:
    together, alone = network_of(CIRCUITS["pfa"], seeds=range(3)), network_of(CIRCUITS["pfa"], seeds=[1])
    keep = some_of(together.weights["hidden1_to_hidden2"])
    together.mask("hidden1_to_hidden2", keep)
    alone.mask("hidden1_to_hidden2", keep[1:2])
    together.silence("hidden1", torch.stack([KEEP, ~KEEP, KEEP]))
    alone.silence("hidden1", ~KEEP)
    for batch in batches_for(CHAIN, 5, replicas=3):
        together.step(batch.x, batch.y, optimizer=OPTIMIZERS["momentum"])
        alone.step(batch.replica(1).x, batch.replica(1).y, optimizer=OPTIMIZERS["momentum"])
    for name, tensor in alone.parameters().items():
        assert (together.parameters()[name][1] - tensor[0]).abs().max() < 1e-10, name


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("mask", ("hiden1_to_hidden2", 1), "Did you mean 'hidden1_to_hidden2'"),
        ("mask", ("hidden1", 1), "expected a projection with weights, found 'hidden1'"),
        ("mask", ("hidden1_to_hidden2", 0.5), "1 and 0, found values from 0.5 to 0.5"),
        ("mask", ("hidden1_to_hidden2", float("nan")), "expected true and false, or 1 and 0"),
        ("mask", ("hidden1_to_hidden2", torch.ones(7)), r"\[R, K, post, pre\] = \[2, 1, 5, 6\], found \[7\]"),
        ("mask", ("hidden1_to_hidden2", "none"), "expected true and false, or 1 and 0, found str"),
        ("silence", ("hiden1", 1), "Did you mean 'hidden1'"),
        ("silence", ("hidden1", torch.ones(2, 5)), r"\[R, units\] = \[2, 6\], found \[2, 5\]"),
        ("restore", ("nothing",), "expected a projection with weights or a population"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(verb: str, arguments: tuple[Any, ...], message: str) -> None:
    network = network_of(rules.kp(CHAIN))
    with pytest.raises(CircuitError, match=message):
        getattr(network, verb)(*arguments)
    assert network.masks == network.silenced == {}
