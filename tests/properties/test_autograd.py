"""Backpropagation as a feedback graph equals torch autograd on random circuits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit, Population, Projection, Rate, Relay
from neurosal.plasticity import Fixed, KolenPollack
from tests.properties.graphs import ACTIVATIONS, forward_circuits, tied_back
from tests.reference.autograd import gradients
from tests.reference.batches import LOSSES, batch_for
from tests.reference.copying import array, own_biases, own_weights
from tests.rules.table import chain_of, named

EXACT = 1e-10


def compare(circuit: Circuit, network: Any, loss: str, seed: int, *, routed: bool = False) -> int:
    """How many changes were compared with autograd's gradients; all of them must agree."""
    batch = batch_for(circuit, seed, loss=loss)
    areas = None
    if routed:
        areas = {
            name: entry["area"] for name, entry in network.signals(batch.x, batch.y, loss).items() if "area" in entry
        }
    weights = {name: torch.from_numpy(value) for name, value in own_weights(network, circuit).items()}
    biases = {name: torch.from_numpy(value) for name, value in own_biases(network).items()}
    x = {name: torch.from_numpy(value) for name, value in batch.arrays.items()}
    expected_loss, expected = gradients(circuit.to_dict(), weights, biases, x, batch.y, loss, areas)
    found = network.updates(batch.x, batch.y, loss=loss)
    for name in expected.keys() & network.masks.keys():
        expected[name] = expected[name] * network.masks[name]
    compared = 0
    for name, edge in circuit.select(pathway="feedforward").items():
        if edge.weights.kind == "own" and edge.plasticity.plastic:
            assert abs(array(found[name]) - array(expected[name])).max() < EXACT, name
            compared += 1
        elif not edge.plasticity.plastic:
            assert name not in found
    for population in own_biases(network):
        if any(edge.plasticity.plastic for edge in circuit.select(pathway="feedforward", target=population).values()):
            assert abs(array(found[f"{population}.bias"]) - array(expected[f"{population}.bias"])).max() < EXACT, (
                population
            )
            compared += 1
    before = network.state_dict()
    assert (
        abs(array(network.step(batch.x, batch.y, loss=loss, optimizer=ns.SGD(lr=1e-3))) - array(expected_loss)).max()
        < EXACT
    )
    assert before.keys() <= network.state_dict().keys()
    return compared


@settings(max_examples=120, deadline=None, derandomize=True)
@given(circuit=forward_circuits(), data=st.data(), loss=st.sampled_from(LOSSES), seed=st.integers(0, 1000))
def test_bp_equals_autograd_on_random_circuits(circuit: Circuit, data: st.DataObject, loss: str, seed: int) -> None:
    if data.draw(st.booleans(), label="nonlinear output") and loss != "cross_entropy":
        circuit = circuit.with_populations(output=circuit.populations["output"].replace(model=Rate(activation="tanh")))
    learns = (
        data.draw(tied_back(circuit), label="by hand")
        if data.draw(st.booleans(), label="with relays")
        else rules.bp(circuit)
    )
    network = ns.compile(learns, seeds=[seed, seed + 1], device="cpu", dtype="float64")
    assume(compare(circuit, network, loss, seed))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(circuit=forward_circuits(ties=False), data=st.data(), loss=st.sampled_from(LOSSES), seed=st.integers(0, 1000))
def test_the_routed_network_under_bp_or_tied_start_equals_autograd_with_routes_held_fixed(
    circuit: Circuit,
    data: st.DataObject,
    loss: str,
    seed: int,
) -> None:
    assume(any(edge.plasticity.plastic and edge.target != "output" for edge in circuit.projections.values()))
    choices = {
        "feedback": st.sampled_from(["bp", "kp_tied"]),
        "route": st.sampled_from(["shared", "population"]),
        "readout": st.sampled_from(["areas", "shared"]),
        "init": st.sampled_from(["same", "independent"]),
    }
    options: dict[str, Any] = {name: data.draw(choice, label=name) for name, choice in choices.items()}
    if options["feedback"] == "kp_tied":  # a fixed projection has fixed feedback of its own there
        circuit = circuit.with_projections(
            **{
                name: edge.replace(plasticity={"kind": "delta"})
                for name, edge in circuit.projections.items()
                if edge.wiring.kind == "dense"
            }
        )
    routed = rules.sal(circuit, areas=3, rank=2, **options)
    network = ns.compile(routed, seeds=[seed, seed + 1], device="cpu", dtype="float64")
    compare(routed, network, loss, seed, routed=True)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_relay_beside_the_way_back_changes_nothing(loss: str, replicas: int) -> None:
    circuit = (
        rules.bp(chain_of(4, 5, 5, 3, activation="gelu"))
        .with_populations(aside=Population(size=4, model=Relay()))
        .with_projections(
            first=Projection(source="output", target="aside", pathway="feedback", plasticity=Fixed()),
            second=Projection(source="aside", target="input", pathway="feedback", plasticity=KolenPollack()),
        )
    )
    network = ns.compile(circuit, seeds=range(replicas), device="cpu", dtype="float64")
    batch = batch_for(circuit, 3, loss=loss, replicas=replicas)
    weights = {name: torch.from_numpy(value) for name, value in own_weights(network, circuit).items()}
    biases = {name: torch.from_numpy(value) for name, value in own_biases(network).items()}
    _, expected = gradients(circuit.to_dict(), weights, biases, {"input": batch.x}, batch.y, loss)
    found = network.updates(batch.x, batch.y, loss=loss)
    for name in ("input_to_hidden1", "hidden1_to_hidden2", "hidden2_to_output", "hidden1.bias", "output.bias"):
        assert abs(array(found[name]) - array(expected[name])).max() < EXACT


def test_each_activation_is_differentiated_as_autograd_does() -> None:
    for activation in ACTIVATIONS:
        circuit = named("bp").make(chain_of(4, 6, 6, 3, activation=activation))  # type: ignore[arg-type]
        for seeds in ([0], [0, 1]):
            network = ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")
            batch = batch_for(circuit, 1, replicas=len(seeds))
            weights = {name: torch.from_numpy(value) for name, value in own_weights(network, circuit).items()}
            biases = {name: torch.from_numpy(value) for name, value in own_biases(network).items()}
            _, expected = gradients(circuit.to_dict(), weights, biases, {"input": batch.x}, batch.y, "cross_entropy")
            found = network.updates(batch.x, batch.y)
            assert all(abs(array(found[name]) - array(expected[name])).max() < EXACT for name in found)
