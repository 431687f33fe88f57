"""What every plasticity without error keeps: the numbers of its equation, on feedforward and lateral projections, with
areas, replicas and any optimiser, alone and beside learning from an error.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit, OneToOne, Own, Projection, Uniform
from tests.plasticity.table import BY_HAND, TABLE, Case
from tests.reference.batches import Batch, batches_for
from tests.reference.copying import array, distance, interpreter_of
from tests.rules.table import chain_of

EVERY = pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
OPTIMIZERS = [
    ns.SGD(lr=0.05, weight_decay=0.05),
    ns.SGD(lr=(0.05, 0.02), momentum=0.9),
    ns.Adam(lr=0.01),
    ns.SGD(lr=0.1, clip=0.1),
]


def circuit_of(case: Case, *, areas: int = 1, wiring: Any = None) -> Circuit:
    """Local plasticity below, with lateral synapses; a read-out that learns from the error above."""
    circuit = rules.sal(chain_of(4, 4, 3, activation="tanh"), areas=areas, rank=3, feedback="fa")
    lateral = Projection(
        source="hidden1",
        target="hidden1",
        pathway="lateral",
        weights=Own(init=Uniform(low=-0.3, high=0.3)),
        plasticity=case.member,
    )
    below = circuit.projections["input_to_hidden1"].replace(plasticity=case.member)
    if wiring is not None:
        below, lateral = below.replace(wiring=wiring), lateral.replace(wiring=wiring)
    return circuit.with_projections(input_to_hidden1=below, hidden1_to_hidden1=lateral)


def network_of(circuit: Circuit, seeds: Any = (0, 1)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")


def small(batch: Batch) -> Batch:
    return Batch({name: 0.5 * value for name, value in batch.arrays.items()}, batch.targets)


@EVERY
@pytest.mark.parametrize("areas", [1, 3])
@pytest.mark.parametrize("loss", ["none", "cross_entropy"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda value: repr(value)[:30])
def test_it_gives_the_numbers_of_its_equation(case: Case, areas: int, loss: str, optimizer: Any) -> None:
    circuit = circuit_of(case, areas=areas)
    network = network_of(circuit)
    reference = interpreter_of(network, circuit, loss=loss, optimizer=optimizer, custom=BY_HAND)
    before = {name: array(tensor) for name, tensor in network.parameters().items()}
    for batch in map(small, batches_for(circuit, 4)):
        reference.step(batch.arrays, batch.targets)
        network.step(batch.x, batch.y, loss=loss, optimizer=optimizer)
        assert distance(network, reference) < 1e-11
    moved = {name for name, tensor in network.parameters().items() if (array(tensor) != before[name]).any()}
    error = {"hidden1_to_output", "output.bias"} if loss != "none" else set()
    assert moved - {"route_hidden1", "route_output"} == {"input_to_hidden1", "hidden1_to_hidden1", *error}


@EVERY
def test_it_works_unit_by_unit(case: Case) -> None:
    circuit = circuit_of(case, wiring=OneToOne())
    network = network_of(circuit)
    reference = interpreter_of(network, circuit, loss="none", optimizer=OPTIMIZERS[0], custom=BY_HAND)
    for batch in map(small, batches_for(circuit, 3)):
        reference.step(batch.arrays, batch.targets)
        network.step(batch.x, loss="none", optimizer=OPTIMIZERS[0])
    assert distance(network, reference) < 1e-12


@EVERY
@pytest.mark.parametrize("areas", [1, 3])
def test_a_replica_among_others_is_that_replica_alone(case: Case, areas: int) -> None:
    circuit = circuit_of(case, areas=areas)
    together, alone = network_of(circuit, seeds=range(4)), network_of(circuit, seeds=[2])
    for batch in map(small, batches_for(circuit, 5, replicas=4)):
        together.step(batch.x, loss="none", optimizer=OPTIMIZERS[0])
        alone.step(batch.replica(2).x, loss="none", optimizer=OPTIMIZERS[0])
    for name, tensor in alone.parameters().items():
        assert (together.parameters()[name][2] - tensor[0]).abs().max() < 1e-12, name


@EVERY
def test_a_copy_goes_on_with_the_same_bits(case: Case) -> None:
    network = network_of(circuit_of(case, areas=3))
    first, second, third = map(small, batches_for(network.circuit, 3))
    for batch in (first, second):
        network.step(batch.x, loss="none", optimizer=OPTIMIZERS[0])
    twin = copy.deepcopy(network)
    for each in (network, twin):
        each.step(third.x, loss="none", optimizer=OPTIMIZERS[0])
    assert network.state_dict().keys() == twin.state_dict().keys()
    assert all(torch.equal(tensor, twin.state_dict()[name]) for name, tensor in network.state_dict().items())


@EVERY
def test_proposing_a_change_moves_nothing(case: Case) -> None:
    network = network_of(circuit_of(case))
    one, two = map(small, batches_for(network.circuit, 2))
    network.step(one.x, loss="none", optimizer=OPTIMIZERS[0])
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    first, again = (network.updates(two.x, loss="none") for _ in range(2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@EVERY
def test_it_round_trips_and_says_what_is_wrong(case: Case) -> None:
    circuit = circuit_of(case)
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    with pytest.raises(ns.CircuitError, match="reduction"):
        case.member.replace(reduction="mean")
