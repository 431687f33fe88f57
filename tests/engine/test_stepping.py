"""Doors of a network: forms of inputs, optimisers that follow each other, schedules, clipping, small batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.engine import grouped
from neurosal.errors import DataError, ExperimentError
from neurosal.graph import Circuit, Population, Projection, Source
from neurosal.settings.schedules import Cosine, Steps, WarmUp
from tests.reference.batches import batch_for, batches_for
from tests.reference.copying import distance, interpreter_of
from tests.rules.table import TABLE, chain_of, named

CHAIN = chain_of(4, 5, 3)
SGD = ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.01)


def network_of(circuit: Circuit, seeds: Any = (0, 1), dtype: str = "float64") -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype=dtype)


def gap(first: Any, second: Any) -> float:
    return max(float((tensor - second.parameters()[name]).abs().max()) for name, tensor in first.parameters().items())


def test_a_batch_without_replicas_is_the_same_batch_for_all() -> None:
    shared, spelled = network_of(rules.kp(CHAIN)), network_of(rules.kp(CHAIN))
    batch = batch_for(CHAIN, replicas=1)
    shared.step(batch.x[0], batch.y[0], optimizer=SGD)
    spelled.step(batch.x.expand(2, -1, -1), batch.y.expand(2, -1), optimizer=SGD)
    assert gap(shared, spelled) == 0
    assert shared.predict(batch.x[0]).shape == (2, 6, 3)


def test_arrays_lists_and_tensors_are_the_same_input() -> None:
    network, batch = network_of(rules.bp(CHAIN)), batch_for(CHAIN)
    expected = network.predict(batch.x)
    for given in (batch.arrays["input"], batch.arrays["input"].tolist(), {"input": batch.arrays["input"]}):
        assert torch.equal(network.predict(given), expected)
    assert torch.equal(
        network.updates(batch.x, batch.y.int())["output.bias"],
        network.updates(batch.x, batch.targets.tolist())["output.bias"],
    )


def test_several_inputs_are_given_by_name() -> None:
    circuit = rules.fa(
        CHAIN.with_populations(context=Population(size=2, model=Source())).with_projections(
            context_to_hidden1=Projection(source="context", target="hidden1")
        )
    )
    network, batch = network_of(circuit), batch_for(circuit)
    assert network.predict(batch.x).shape == (2, 6, 3)
    with pytest.raises(DataError, match="context"):
        network.predict({"input": batch.arrays["input"]})
    with pytest.raises(DataError, match="Did you mean 'context'"):
        network.predict({**batch.arrays, "contxt": batch.arrays["context"]})


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.zeros((6, 5)), np.zeros(6, int), r"x\['input'\]"),
        (np.zeros((3, 6, 4)), np.zeros(6, int), r"\[2, N, 4\]"),
        (np.zeros((6, 4)), np.zeros(5, int), r"labels \[6\]"),
        (np.zeros((6, 4)), np.zeros(6), "integer labels"),
        (np.zeros((0, 4)), np.zeros(0, int), "at least one"),
        (np.zeros((6, 4)), np.array([0, 1, 2, 3, 4, 99]), "labels from 0 to 2.*found 0 to 99"),
        (np.zeros((6, 4)), np.array([0, 1, 2, -1, 0, 0]), "labels from 0 to 2.*found -1 to 2"),
        (np.zeros((6, 4)), torch.full((6,), 3).expand(2, 6), "labels from 0 to 2"),
        (np.zeros((6, 4)), ["a"] * 6, "y: expected an array of numbers, found list"),
        (np.zeros((6, 4)), None, "y: expected an array of numbers, found NoneType"),
        ([[1.0, 2.0], [3.0]], np.zeros(2, int), r"x\['input'\]: expected an array of numbers"),
    ],
)
def test_data_that_does_not_fit_is_refused(x: Any, y: Any, expected: str) -> None:
    network = network_of(rules.bp(CHAIN))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(DataError, match=expected):
        network.step(x, y, optimizer=SGD)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_what_is_no_circuit_no_seed_no_data_and_no_optimiser_is_refused_in_words() -> None:
    network, batch = network_of(rules.bp(CHAIN)), batch_for(CHAIN)
    for seeds in (3, [0.5], "01", ["a"], [], [True]):
        with pytest.raises(ExperimentError, match="seeds: expected at least one seed, as whole numbers"):
            ns.compile(rules.bp(CHAIN), seeds=seeds)  # type: ignore[arg-type]
    with pytest.raises(ns.CircuitError, match="expected a Circuit, found str"):
        ns.compile("mlp")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="expected a Dataset, found ndarray"):
        network.evaluate(np.zeros((6, 4)))
    with pytest.raises(ExperimentError, match=r"found torch\.optim"):
        network.step(batch.x, batch.y, optimizer=torch.optim.SGD([torch.zeros(1)]))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="labels from 0 to 2"):
        network.score(network.forward(batch.x), np.full(6, 7))


@pytest.mark.parametrize("wrong", [1.0, -0.1, (0.5, 1.0)])
def test_averages_that_never_forget_are_refused(wrong: Any) -> None:
    with pytest.raises(ExperimentError, match=r"momentum: expected numbers from 0 to below 1"):
        ns.SGD(momentum=wrong)
    for name in ("beta1", "beta2"):
        with pytest.raises(ExperimentError, match=f"{name}: expected numbers from 0 to below 1"):
            ns.Adam(**{name: wrong})


def test_a_step_needs_an_optimiser_and_a_loss_that_exist_and_rates_for_every_replica() -> None:
    network, batch = network_of(rules.bp(CHAIN)), batch_for(CHAIN)
    with pytest.raises(ExperimentError, match="optimizer"):
        network.step(batch.x, batch.y)
    with pytest.raises(ExperimentError, match="Did you mean 'cross_entropy'"):
        network.step(batch.x, batch.y, loss="crossentropy", optimizer=SGD)
    with pytest.raises(ExperimentError, match=r"optimizer\.momentum.*one number, or 2"):
        network.step(batch.x, batch.y, optimizer=ns.SGD(momentum=(0.1, 0.2, 0.3)))


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (ns.SGD(lr=0.1, clip=1.0), ns.SGD(lr=0.1, momentum=0.9, clip=1.0)),
        (ns.SGD(lr=0.1), SGD),
        (SGD, ns.Adam(lr=0.01)),
        (ns.Adam(lr=0.01), SGD),
        (SGD, ns.SGD(lr=0.2)),
        (ns.AdamW(lr=0.01), ns.Adam(lr=0.01)),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_one_optimiser_follows_another_with_fresh_state(first: Any, then: Any) -> None:
    network = network_of(rules.sal(CHAIN, areas=3))
    one, two, three = batches_for(CHAIN, 3)
    network.step(one.x, one.y, optimizer=first)
    fresh = network_of(rules.sal(CHAIN, areas=3))
    for name, tensor in network.parameters().items():
        fresh.parameters()[name].copy_(tensor)
    for key, tensor in network.routers["route_hidden1"].items():
        fresh.routers["route_hidden1"][key].copy_(tensor)
    for batch in (two, three):
        for each in (network, fresh):
            each.step(batch.x, batch.y, optimizer=then)
    assert gap(network, fresh) == 0


def test_a_new_rate_keeps_the_momentum() -> None:
    network, steady = network_of(rules.bp(CHAIN)), network_of(rules.bp(CHAIN))
    one, two = batches_for(CHAIN, 2)
    for each in (network, steady):
        each.step(one.x, one.y, optimizer=SGD)
    steady.step(two.x, two.y, optimizer=SGD)
    network.step(two.x, two.y, optimizer=SGD.replace(lr=0.1 + 1e-9))
    assert 0 < gap(network, steady) < 1e-7


@pytest.mark.parametrize(
    "schedule", [Steps(at=(1, 2), factor_each=0.1), Cosine(), WarmUp(steps=5)], ids=lambda value: value.kind
)
def test_schedules_act_on_rate_and_decay_step_by_step(schedule: Any) -> None:
    scheduled, by_hand = network_of(rules.kp(CHAIN)), network_of(rules.kp(CHAIN))
    value = ns.SGD(lr=0.1, weight_decay=0.1, momentum=0.5, schedule=schedule, decay_schedule=schedule)
    for step, batch in enumerate(batches_for(CHAIN, 9)):
        epoch = step / 3
        scheduled.step(batch.x, batch.y, optimizer=value, epoch=epoch, epochs=3)
        factor = schedule.factor(step, epoch, 3)
        by_hand.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1 * factor, weight_decay=0.1 * factor, momentum=0.5))
    assert gap(scheduled, by_hand) < 1e-14


def test_clipping_bounds_each_replica_by_its_own_norm_as_torch_does() -> None:
    circuit = rules.bp(CHAIN)
    network, batch = network_of(circuit), batch_for(CHAIN, samples=12)
    changes = network.updates(batch.x, batch.y)
    names = [*CHAIN.projections, "hidden1.bias", "output.bias"]
    norms = [float(torch.cat([changes[name][r].flatten() for name in names]).norm()) for r in range(2)]
    clip = sum(norms) / 2
    assert min(norms) < clip < max(norms)
    before = {name: tensor.clone() for name, tensor in network.parameters().items() if name in names}
    network.step(batch.x, batch.y, optimizer=ns.SGD(lr=1.0, clip=clip))
    for r in range(2):
        parameters = [torch.nn.Parameter(before[name][r].clone()) for name in names]
        for name, parameter in zip(names, parameters, strict=True):
            parameter.grad = changes[name][r].clone()
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        for name, parameter in zip(names, parameters, strict=True):
            moved = torch.sub(parameter.detach(), parameter.grad)  # type: ignore[arg-type] # it has one
            assert (moved - network.parameters()[name][r]).abs().max() < 1e-12


@pytest.mark.parametrize("name", ["kp", "pfa", "sal_kp", "sal_area_pfa", "sal_per_population"])
def test_a_batch_of_one_sample_and_one_replica_is_no_special_case(name: str) -> None:
    circuit = named(name).make(chain_of(4, 5, 5, 3))
    network = network_of(circuit, seeds=[0])
    reference = interpreter_of(network, circuit, optimizer=SGD)
    for seed, samples in enumerate((1, 4, 1)):
        batch = batch_for(circuit, seed, replicas=1, samples=samples)
        reference.step(batch.arrays, batch.targets)
        network.step(batch.x, batch.y, optimizer=SGD)
        assert distance(network, reference) < 1e-12


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", [case for case in TABLE if case.areas > 1], ids=lambda case: case.name)
def test_both_ways_of_a_grouped_product_give_the_same_numbers(
    case: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = {}
    for padded in (True, False):
        monkeypatch.setattr(grouped, "pads", lambda *_, choice=padded: choice)
        networks[padded] = network_of(case.make(chain_of(4, 5, 7, 3)), seeds=range(3), dtype=dtype)
        for index, batch in enumerate(batches_for(CHAIN, 4, replicas=3, samples=5)):
            optimizer = SGD if index % 2 else ns.SGD(lr=0.1, weight_decay=0.1)
            networks[padded].step(batch.x.to(networks[padded].dtype), batch.y, optimizer=optimizer)
    assert gap(networks[True], networks[False]) < (1e-13 if dtype == "float64" else 1e-5)


def test_the_same_seed_twice_is_the_same_replica_twice() -> None:
    network = network_of(rules.sal(CHAIN, areas=3, feedback="pfa"), seeds=[4, 4, 5])
    batch = batch_for(CHAIN, replicas=1)
    network.step(batch.x[0], batch.y[0], optimizer=SGD)
    for name, tensor in network.parameters().items():
        assert (tensor[0] - tensor[1]).abs().max() < 1e-15
        assert not torch.equal(tensor[0], tensor[2]), name


def test_weights_are_live_and_oriented_along_their_own_projection() -> None:
    network, batch = network_of(rules.kp(CHAIN)), batch_for(CHAIN)
    assert {name: tuple(weight.shape) for name, weight in network.weights.items()} == {
        "input_to_hidden1": (2, 1, 5, 4),
        "hidden1_to_output": (2, 1, 3, 5),
        "output_to_hidden1": (2, 1, 5, 3),
    }
    held = network.weights["output_to_hidden1"]
    before = held.clone()
    network.step(batch.x, batch.y, optimizer=SGD)
    assert not torch.equal(held, before)
    held.zero_()
    assert not network.signals(batch.x, batch.y)["hidden1"]["error"].any()
