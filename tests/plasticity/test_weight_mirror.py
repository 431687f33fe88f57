"""The weight mirror: what noise teaches the feedback, and that nothing else moves it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit
from neurosal.stats import base
from tests.reference.batches import batches_for
from tests.reference.copying import array
from tests.rules.table import chain_of

CHAIN = chain_of(4, 6, 5, 3, activation="linear")


def network_of(circuit: Circuit, seeds: Any = (0, 1)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")


def noise(units: int, seed: int, *, samples: int = 500, replicas: int = 2, sd: float = 1.0) -> torch.Tensor:
    return sd * torch.randn(
        replicas, samples, units, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def mirror_of(network: Any, population: str) -> Any:
    return network.twin(network.circuit.driven_at(population))


def angle(network: Any, forward: str, back: str) -> torch.Tensor:
    w, b = network.weights[forward], network.weights[back].mT
    result: torch.Tensor = base.angle(w.flatten(1), b.flatten(1), axis=1)
    return result


def test_the_mean_change_of_a_linear_layer_is_the_transpose_times_the_variance() -> None:
    network = network_of(rules.wm(CHAIN, centred=False))
    network.biases["hidden2.bias"].normal_()  # zero-mean noise: a constant response averages out
    mirror = mirror_of(network, "hidden1")
    samples, sd = 200_000, 0.5
    change = mirror.updates(noise(6, 0, samples=samples, sd=sd), loss="none")["hidden2_to_hidden1"]
    expected = -(sd**2) * network.weights["hidden1_to_hidden2"].mT
    error = (change - expected).abs().max()
    assert error < 6 * sd * 4 / samples**0.5  # six deviations of a product of the noise and of a response below 4
    assert error > 0


@pytest.mark.parametrize("centred", [True, False])
def test_the_change_is_noise_times_response_by_hand(centred: bool) -> None:
    circuit = rules.wm(chain_of(4, 6, 5, 3, activation="sigmoid"), centred=centred, decay=0.2)
    network = network_of(circuit)
    x = noise(6, 3, samples=7)
    found = array(mirror_of(network, "hidden1").updates(x, loss="none")["hidden2_to_hidden1"])
    w, b = array(network.weights["hidden1_to_hidden2"]), array(network.weights["hidden2_to_hidden1"])
    for r in range(2):
        rows = array(x)[r]
        response = 1 / (1 + 2.718281828459045 ** -(rows @ w[r, 0].T))
        if centred:
            response = response - response.mean(0)
        expected = -sum(rows[n][:, None] * response[n][None, :] for n in range(7)) / 7 + 0.2 * b[r, 0]
        assert abs(found[r, 0] - expected).max() < 1e-12


@pytest.mark.parametrize("activation", ["linear", "sigmoid", "tanh", "relu"])
def test_noise_turns_feedback_to_the_transpose_through_two_hidden_layers_driven_in_turn(activation: Any) -> None:
    network = network_of(rules.wm(chain_of(4, 6, 5, 3, activation=activation)))
    assert bool((angle(network, "hidden1_to_hidden2", "hidden2_to_hidden1") > 45).all())
    forward = {name: tensor.clone() for name, tensor in network.parameters("feedforward").items()}
    for population, units in (("hidden1", 6), ("hidden2", 5)):
        mirror = mirror_of(network, population)
        for step in range(200):
            mirror.step(noise(units, step, sd=0.5), loss="none", optimizer=ns.SGD(lr=3.0))
    for pair in (("hidden1_to_hidden2", "hidden2_to_hidden1"), ("hidden2_to_output", "output_to_hidden2")):
        assert bool((angle(network, *pair) < 5).all()), pair
    for name, tensor in network.parameters("feedforward").items():
        assert torch.equal(tensor, forward[name]), name


def test_with_decay_the_weights_settle_at_the_transpose_times_variance_over_decay() -> None:
    network = network_of(rules.wm(CHAIN, decay=0.5))
    mirror = mirror_of(network, "hidden1")
    for step in range(400):
        mirror.step(noise(6, step, samples=2000), loss="none", optimizer=ns.SGD(lr=0.05))
    expected = network.weights["hidden1_to_hidden2"].mT / 0.5
    assert (network.weights["hidden2_to_hidden1"] - expected).abs().max() < 0.1


@pytest.mark.parametrize("optimizer", [ns.SGD(lr=0.1, weight_decay=0.1), ns.Adam(lr=0.1, weight_decay=0.1)], ids=repr)
def test_in_ordinary_training_feedback_stays_bit_for_bit(optimizer: Any) -> None:
    circuit = rules.wm(CHAIN)
    network = network_of(circuit)
    before = {name: tensor.clone() for name, tensor in network.parameters("feedback").items()}
    for batch in batches_for(circuit, 3):
        network.step(batch.x, batch.y, optimizer=optimizer)
    for name, tensor in network.parameters("feedback").items():
        assert torch.equal(tensor, before[name]), name
    assert not set(before) & set(network.updates(batch.x, batch.y))


def test_only_feedback_into_the_driven_population_changes() -> None:
    network = network_of(rules.wm(CHAIN))
    mirror = mirror_of(network, "hidden1")
    assert set(mirror.updates(noise(6, 0), loss="none")) == {"hidden2_to_hidden1"}
    before = network.weights["output_to_hidden2"].clone()
    mirror.step(noise(6, 0), loss="none", optimizer=ns.SGD(lr=0.1, weight_decay=0.1))
    assert torch.equal(network.weights["output_to_hidden2"], before)


def test_each_area_mirrors_the_forward_weights_of_its_own() -> None:
    circuit = rules.sal(chain_of(4, 6, 5, 3, activation="linear"), areas=3, rank=4, route="population", router="frozen",
                        feedback="fa", init="independent")  # fmt: skip
    feedback = circuit.projections["hidden2_to_hidden1"]
    mirrored = rules.wm(CHAIN).projections["hidden2_to_hidden1"].plasticity
    circuit = circuit.with_projections(
        hidden2_to_hidden1=feedback.replace(plasticity=mirrored.replace(reduction="area"))
    )
    network = network_of(circuit)
    mirror = mirror_of(network, "hidden1")
    for step in range(100):
        mirror.step(noise(6, step, samples=1000), loss="none", optimizer=ns.SGD(lr=0.3))
    w, b = network.weights["hidden1_to_hidden2"], network.weights["hidden2_to_hidden1"].mT
    own = base.angle(w.flatten(2), b.flatten(2), axis=2)
    other = base.angle(w.flatten(2), b.roll(1, dims=1).flatten(2), axis=2)
    assert bool((own < 30).all())  # noise that one area gets is not white: it lies around a prototype
    assert bool((own + 30 < other).all())


def test_a_mirror_on_a_projection_that_can_never_be_driven_is_refused() -> None:
    circuit = rules.wm(CHAIN)
    mirrored = circuit.projections["hidden2_to_hidden1"].plasticity
    forward = circuit.projections["hidden1_to_hidden2"].replace(plasticity=mirrored)
    with pytest.raises(ns.CircuitError, match="weight_mirror, which acts while noise drives its target"):
        ns.check(circuit.with_projections(hidden1_to_hidden2=forward))


def test_options_that_are_wrong_are_refused_by_name() -> None:
    with pytest.raises(ns.CircuitError, match=r"(?s)rules\.wm\.centred.*rules\.wm\.decay"):
        rules.wm(CHAIN, centred="yes", decay=-1)  # type: ignore[arg-type]
