"""Dropout: masks by stream, error where activity was, and nothing of it while judging."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.engine.dropping import speaking
from neurosal.errors import ExperimentError
from neurosal.graph import BatchNorm, Circuit, Population, Rate
from tests.reference.batches import batch_for


def dropping(*sizes: int, rule: Any = rules.bp, **options: Any) -> Circuit:
    circuit = circuits.mlp(*sizes)
    options = {"activation": "tanh", "dropout": 0.4} | options
    hidden = {name: p.replace(model=Rate(**options)) for name, p in circuit.populations.items() if "hidden" in name}
    circuit = circuit.with_populations(**hidden)
    made: Circuit = rule(circuit)
    return made


CHAIN = dropping(5, 40, 30, 3)


def network_of(circuit: Circuit = CHAIN, seeds: Any = (0,), **options: Any) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64", **options)


def learned(network: Any, steps: range, replicas: int) -> None:
    for step in steps:
        batch = batch_for(network.circuit, step, replicas=replicas, samples=8)
        network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1, momentum=0.9))


def same(one: Any, other: Any) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


def test_the_share_of_silent_units_is_as_asked_and_the_others_make_up_for_them() -> None:
    network, batch = network_of(seeds=(0, 1)), batch_for(CHAIN, 0, replicas=2, samples=400)
    judged, learning = (network.signals(batch.x, y)["hidden1"]["activity"] for y in (None, batch.y))
    silent = learning == 0
    assert abs(float(silent.double().mean()) - 0.4) < 0.01
    assert (learning[~silent] - judged[~silent] / 0.6).abs().max() < 1e-14
    assert abs(float(silent[0].double().mean(0).std()) - (0.24 / 400) ** 0.5) < 0.01  # each unit for itself
    assert not torch.equal(silent[0], silent[1])


@pytest.mark.parametrize("share", [0.003, 0.25, 0.5, 0.9, 0.99])
def test_entries_speak_with_the_share_asked_for_and_each_for_itself(share: float) -> None:
    found = speaking((1000, 3, 401), share, torch.Generator().manual_seed(5)).double()
    spread = (share * (1 - share) / found.numel()) ** 0.5
    assert abs(float(found.mean()) - share) < 5 * spread + 2.0**-17
    centred = found.flatten() - found.mean()
    for apart in (1, 2, 3, 4, 8):
        assert abs(float((centred[apart:] * centred[:-apart]).mean())) < 5 * share * (1 - share) / found.numel() ** 0.5


@pytest.mark.parametrize("activation", ["relu", "linear", "tanh", "gelu"])
@pytest.mark.parametrize("norm", [None, BatchNorm()])
def test_the_error_passes_where_activity_did_as_autograd_says(activation: str, norm: Any) -> None:
    circuit = dropping(5, 8, 3, activation=activation, norm=norm, gain=0.5)
    network, batch = network_of(circuit), batch_for(circuit, 0, replicas=1, samples=7)
    found, seen = network.updates(batch.x, batch.y), network.signals(batch.x, batch.y)["hidden1"]["activity"][0]
    weight = network.weights["input_to_hidden1"][0, 0].clone().requires_grad_()
    a = batch.x[0] @ weight.T
    a = a if norm is None else torch.nn.functional.batch_norm(a, None, None, training=True)
    value = {"linear": lambda a: a, "relu": torch.relu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu}[
        activation
    ](a)
    mask = ((seen != 0) | (value.detach() == 0)).double()
    rows = (value * mask * 0.5 / 0.6) @ network.weights["hidden1_to_output"][0, 0].T
    assert (value.detach() * mask * 0.5 / 0.6 - seen).abs().max() < 1e-12
    torch.nn.functional.cross_entropy(rows, batch.y[0]).backward()
    assert weight.grad is not None
    assert (found["input_to_hidden1"][0, 0] - weight.grad).abs().max() < 1e-12


def test_each_step_has_masks_of_its_own_and_looking_shows_those_of_the_next() -> None:
    network, batch = network_of(), batch_for(CHAIN, 0, replicas=1)
    before = {name: tensor.clone() for name, tensor in network.weights.full.items()}
    proposed = network.updates(batch.x, batch.y)
    again = network.updates(batch.x, batch.y)
    assert all(torch.equal(tensor, again[name]) for name, tensor in proposed.items())
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.5))
    name = "input_to_hidden1"
    assert (network.weights[name] - (before[name] - 0.5 * proposed[name])).abs().max() < 1e-13
    first = network.signals(batch.x, batch.y)["hidden1"]["activity"] == 0
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.0))
    assert not torch.equal(first, network.signals(batch.x, batch.y)["hidden1"]["activity"] == 0)


def test_a_replica_alone_draws_what_it_draws_among_others() -> None:
    together, alone = network_of(seeds=(3, 4)), network_of(seeds=(4,))
    for step in range(4):
        batch = batch_for(CHAIN, step, replicas=2)
        together.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
        alone.step(batch.x[1], batch.y[1], optimizer=ns.SGD(lr=0.1))
    for name, weight in alone.weights.items():
        assert (weight[0] - together.weights[name][1]).abs().max() < 1e-12


def test_a_sweep_done_again_and_a_network_loaded_draw_the_same(tmp_path: Any) -> None:
    deep = dropping(5, 8, 9, 8, 7, 3)
    whole, again = network_of(deep, seeds=(0, 1)), network_of(deep, seeds=(0, 1), recompute=3)
    learned(whole, range(3), 2)
    learned(again, range(3), 2)
    assert same(whole, again)
    resumed = ns.load(whole.save(tmp_path / "network"), device="cpu")
    learned(whole, range(3, 5), 2)
    learned(resumed, range(3, 5), 2)
    assert same(whole, resumed)


def test_silence_follows_the_sample_where_areas_put_samples_in_order() -> None:
    circuit = rules.sal(circuits.mlp(5, 8, 3), areas=3)
    hidden = circuit.populations["hidden1"]
    model = Rate(activation="tanh", dropout=0.5)
    circuit = circuit.with_populations(hidden1=hidden.replace(model=model))
    network, batch = network_of(circuit), batch_for(circuit, 0, replicas=1, samples=12)
    first = network.signals(batch.x, batch.y)["hidden1"]
    last = int(first["area"][0].argmax())  # goes to the first area, and then those between move on by a place
    turned = batch.x.clone()
    turned[:, last] = batch.x[:, int(first["area"][0].argmin())]
    second = network.signals(turned, batch.y)["hidden1"]
    assert not torch.equal(first["area"], second["area"])
    others = [sample for sample in range(12) if sample != last]
    assert torch.equal(first["activity"][0, others] == 0, second["activity"][0, others] == 0)


def test_a_step_that_is_one_graph_cannot_draw_masks() -> None:
    with pytest.raises(ExperimentError, match="dropout in hidden1, hidden2"):
        network_of(step="compiled")


def test_noise_that_drives_a_population_is_not_silenced() -> None:
    network = network_of(dropping(5, 8, 7, 3, rule=rules.wm))
    mirror = network.twin(network.circuit.driven_at("hidden1"))
    batch = mirror.forward({"hidden1": torch.randn(6, 8, dtype=torch.float64)}, training=True)
    assert bool((batch.activity["hidden2"] != 0).all())


def test_dropout_is_written_to_files_only_where_there_is_any() -> None:
    assert "dropout" not in Population(size=3).to_dict()["model"]
    population = Population(size=3, model=Rate(dropout=0.5))
    assert Population.from_dict(population.to_dict()) == population
