"""Routers over many steps: the running mean's rate, usage, and routes shared with populations elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit, Own, Population, Projection, Router, Source
from neurosal.plasticity import Attract, Fixed, OnlineBalanced
from tests.reference.batches import batch_for, batches_for
from tests.reference.copying import distance, interpreter_of
from tests.rules.table import chain_of

CHAIN = chain_of(4, 5, 5, 3, activation="tanh")


def with_router(circuit: Circuit, **changes: Any) -> Circuit:
    """The circuit with fields of its first router changed."""
    name = next(iter(circuit.select(pathway="modulatory")))
    return circuit.with_projections(**{name: circuit.projections[name].replace(**changes)})


@pytest.mark.parametrize("centre_rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(
    "plasticity", [Fixed(), Attract(rate=1.0), OnlineBalanced(step=0.2)], ids=lambda value: value.kind
)
def test_a_router_follows_its_equations_beyond_the_first_steps(centre_rate: float, plasticity: Any) -> None:
    routed = rules.sal(CHAIN, areas=3, feedback="fa")
    circuit = with_router(routed, wiring=Router(rank=3, centre_rate=centre_rate), plasticity=plasticity)
    network = ns.compile(circuit, seeds=[0, 1], device="cpu", dtype="float64")
    optimizer = ns.SGD(lr=(0.05, 0.1))
    reference = interpreter_of(network, circuit, optimizer=optimizer)
    for batch in batches_for(circuit, 12):
        reference.step(batch.arrays, batch.targets)
        network.step(batch.x, batch.y, optimizer=optimizer)
        assert distance(network, reference) < 1e-10
    mean = network.routers["route_hidden1"]["mean"]
    assert bool(mean.any()) == (centre_rate > 0)


def test_usage_is_the_running_share_of_samples() -> None:
    network = ns.compile(rules.sal(CHAIN, areas=4, router="frozen"), seeds=[0, 1], device="cpu", dtype="float64")
    usage = network.routers["route_hidden1"]["usage"].clone()
    assert (usage - 0.25).abs().max() < 1e-7
    for batch in batches_for(CHAIN, 5, samples=10):
        area = network.signals(batch.x, batch.y)["hidden2"]["area"]
        share = torch.nn.functional.one_hot(area, 4).double().mean(1)
        usage += 0.01 * (share - usage)
        network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
    assert (network.routers["route_hidden1"]["usage"] - usage).abs().max() < 1e-14


def test_balance_spreads_samples_over_areas() -> None:
    network = ns.compile(
        rules.sal(chain_of(8, 6, 3), areas=8, router=OnlineBalanced(step=0.1, usage_rate=0.1)),
        seeds=range(4),
        dtype="float64",
        device="cpu",
    )
    wide = chain_of(8, 6, 3)
    data = batch_for(wide, 99, replicas=4, samples=400)

    def entropy() -> float:
        area = network.signals(data.x, data.y)["hidden1"]["area"]
        share = torch.nn.functional.one_hot(area, 8).double().mean(1)
        return float(-(share * share.clamp(min=1e-9).log()).sum(1).mean())

    before = entropy()
    for step in range(150):
        batch = batch_for(wide, step, replicas=4, samples=20)
        network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.01))
    assert entropy() > before + 0.05
    assert entropy() > 0.9 * torch.tensor(8.0).log()


def test_routes_read_the_chosen_input_and_ignore_the_other() -> None:
    two = CHAIN.with_populations(context=Population(size=2, model=Source())).with_projections(
        context_to_hidden1=Projection(source="context", target="hidden1", weights=Own())
    )
    network = ns.compile(rules.sal(two, areas=4, route_from="context"), seeds=[0, 1], device="cpu", dtype="float64")
    batch, other = batch_for(two, 0), batch_for(two, 1)
    areas = network.signals(batch.x)["hidden2"]["area"]
    assert torch.equal(network.signals({**batch.x, "input": other.x["input"]})["hidden2"]["area"], areas)
    assert not torch.equal(network.signals({**batch.x, "context": other.x["context"]})["hidden2"]["area"], areas)


def test_routes_do_not_change_while_nothing_learns() -> None:
    network = ns.compile(rules.sal(CHAIN, areas=4, route="population"), seeds=[0, 1], device="cpu", dtype="float64")
    batch = batch_for(CHAIN)
    first = {name: entry["area"] for name, entry in network.signals(batch.x).items() if "area" in entry}
    assert first.keys() == {"hidden1", "hidden2", "output"}
    network.predict(batch.x)
    network.updates(batch.x, batch.y)
    for name, area in first.items():
        assert torch.equal(network.signals(batch.x)[name]["area"], area)


@pytest.mark.parametrize("route", ["shared", "population"])
@pytest.mark.parametrize("feedback", ["kp", "pfa", "dfa"])
@pytest.mark.parametrize(
    "optimizer", [ns.SGD(lr=0.05, weight_decay=0.1), ns.SGD(lr=0.05, momentum=0.9)], ids=["sgd", "momentum"]
)
def test_a_population_without_areas_may_hear_from_several_routes(route: Any, feedback: Any, optimizer: Any) -> None:
    skips = CHAIN.with_projections(
        late=Projection(source="input", target="output"), middle=Projection(source="hidden1", target="output")
    )
    circuit = rules.sal(skips, areas=3, rank=3, readout="shared", route=route, feedback=feedback)
    for seeds in ([0], [0, 1]):
        network = ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")
        reference = interpreter_of(network, circuit, optimizer=optimizer)
        for batch in batches_for(circuit, 3, replicas=len(seeds)):
            reference.step(batch.arrays, batch.targets)
            network.step(batch.x, batch.y, optimizer=optimizer)
            assert distance(network, reference) < 1e-10
