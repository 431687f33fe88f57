"""Areas of convolutional populations: each sample goes through the kernels of its own area, there and back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit, Conv2d, MaxPool2d, Population, Projection, Rate, Source
from neurosal.plasticity import Fixed
from tests.engine.test_narrowing import batch_of, residual

AREAS = 3


def routed() -> Circuit:
    """Backpropagation where every sample has a route."""
    return rules.sal(residual(), areas=AREAS, feedback="bp", init="independent")


def routes(network: Any, x: Tensor) -> dict[str, Tensor]:
    """The area of each sample, [R, N], by population."""
    batch = network.batch_of(x)
    for step in network._sweep.forward:
        step(batch)
    return {name: batch.groups[router].area_RN for name, router in network.plan.routes.items()}


def by_hand(weights: dict[str, Tensor], areas: dict[str, Tensor], x: Tensor) -> Tensor:
    """The forward pass of one sample of one replica with the weights of its areas."""

    def own(name: str, population: str) -> Tensor:
        tensor = weights[name]
        return tensor[int(areas[population]) if tensor.shape[0] > 1 else 0]

    stem = functional.conv2d(x, own("input_to_stem", "stem"), own("stem.bias", "stem"), padding=1).relu()
    inner = functional.conv2d(
        stem, own("stem_to_inner", "inner").flatten(0, 1), own("inner.bias", "inner"), padding=1, groups=2
    )
    total = (stem + inner).relu()
    wider = functional.conv2d(total, own("sum_to_wider", "wider"), own("wider.bias", "wider"), stride=2, padding=1)
    wider = (wider + functional.pad(total[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))).relu()
    flat = functional.max_pool2d(wider, 2).mean((2, 3))
    return functional.linear(flat, own("read", "output"), own("output.bias", "output"))


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_changes_are_those_of_autograd_sample_by_sample(seeds: tuple[int, ...]) -> None:
    network = ns.compile(routed(), seeds=seeds, device="cpu", dtype="float64")
    x, y = batch_of()
    x = x.double()
    areas = routes(network, x)
    assert all(len(area.unique()) > 1 for area in areas.values())
    for bias in network.biases.values():
        bias.normal_(generator=torch.Generator().manual_seed(3))
    leaves = {
        name: tensor.clone().requires_grad_()
        for name, tensor in (*network.weights.items(), *network.biases.items())
        if network.circuit.projections.get(name) is None or network.circuit.projections[name].pathway == "feedforward"
    }
    loss = torch.zeros((), dtype=torch.float64)
    for replica in range(len(seeds)):
        mine = {name: leaf[replica] for name, leaf in leaves.items()}
        for sample in range(len(x)):
            chosen = {name: area[replica, sample] for name, area in areas.items()}
            logits = by_hand(mine, chosen, x[sample : sample + 1])
            loss = loss + functional.cross_entropy(logits, y[sample : sample + 1]) / len(x)
    loss.backward()  # type: ignore[no-untyped-call]
    changes = network.updates(x, y)
    assert changes.keys() <= leaves.keys()
    for name, change in changes.items():
        torch.testing.assert_close(change, leaves[name].grad, rtol=1e-9, atol=1e-9)


def test_what_is_pooled_goes_back_to_the_winners_of_its_own_sample() -> None:
    """Where two populations have routes of their own, samples stand in another order before and behind the pooling."""
    shape, read = (3, 4, 4), Projection(source="behind", target="output")
    pool = Projection(source="before", target="behind", wiring=MaxPool2d(kernel=2), plasticity=Fixed())
    convolved = Conv2d(kernel=3, padding=1)
    populations = {
        "input": Population(shape=(3, 4, 4), model=Source()),
        "before": Population(shape=shape, model=Rate(activation="tanh")),
        "behind": Population(shape=(3, 2, 2), model=Rate(activation="tanh")),
        "output": Population(size=5, model=Rate(activation="linear")),
    }
    projections = {
        "in": Projection(source="input", target="before", wiring=convolved),
        "direct": Projection(source="input", target="behind", wiring=convolved.replace(stride=2)),
        "pool": pool,
        "read": read,
    }
    circuit = Circuit(populations=populations, projections=projections)
    circuit = rules.sal(circuit, areas=AREAS, feedback="bp", route="population", readout="shared")
    network = ns.compile(circuit, device="cpu", dtype="float64")
    assert network.plan.orders["before"] != network.plan.orders["behind"]
    x, y = (tensor.double() if tensor.is_floating_point() else tensor for tensor in batch_of())
    x = x[:, :, :4, :4]
    # All areas start alike: as long as nothing has changed, the way is that of a net without areas.
    weights = {name: network.weights[name][0, 0].clone().requires_grad_() for name in ("in", "direct", "read")}
    before = functional.conv2d(x, weights["in"], padding=1).tanh()
    behind = functional.conv2d(x, weights["direct"], stride=2, padding=1) + functional.max_pool2d(before, 2)
    logits = functional.linear(behind.tanh().flatten(1), weights["read"].view(5, -1))
    functional.cross_entropy(logits, y).backward()  # type: ignore[no-untyped-call]
    changes = network.updates(x, y)
    torch.testing.assert_close(changes["in"].sum((0, 1)), weights["in"].grad, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(changes["direct"].sum((0, 1)), weights["direct"].grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("optimizer", [ns.SGD(lr=0.1, weight_decay=0.1), ns.SGD(lr=0.1, momentum=0.9), ns.Adam()])
def test_an_area_that_no_sample_chose_keeps_every_bit(optimizer: Any) -> None:
    network = ns.compile(routed(), seeds=(0, 1), device="cpu")
    x, y = batch_of(2)
    before = {name: weight.clone() for name, weight in network.weights.items()}
    areas = routes(network, x)
    network.step(x, y, optimizer=optimizer)
    idle = 0
    for name, weight in network.weights.items():
        edge = network.circuit.projections[name]
        if edge.target not in areas or edge.pathway != "feedforward":
            continue
        for replica in range(2):
            for area in range(AREAS):
                if area not in areas[edge.target][replica]:
                    idle += 1
                    assert torch.equal(weight[replica, area], before[name][replica, area]), name
                else:
                    assert not torch.equal(weight[replica, area], before[name][replica, area]), name
    assert idle > 3
