"""Convolutional circuits in bfloat16: what is narrow, and how far it may be from float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import neurosal as ns
from neurosal import rules
from neurosal.engine.routing import Groups
from neurosal.graph import (
    Broadcast,
    Circuit,
    Constant,
    Conv2d,
    Flatten,
    GlobalAvgPool,
    MaxPool2d,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    Shortcut,
    Source,
    Wiring,
)
from neurosal.plasticity import Fixed
from tests.engine.test_precision import must_be_narrow

UNIT = 2.0**-8


def to(source: str, target: str, wiring: Wiring, **fields: Any) -> dict[str, Projection]:
    if wiring.weightless or isinstance(wiring, OneToOne):
        fields |= {"plasticity": Fixed()}
    return {f"{source}_to_{target}": Projection(source=source, target=target, wiring=wiring, **fields)}


def skip(source: str, target: str) -> dict[str, Projection]:
    return to(source, target, OneToOne(), weights=Own(init=Constant()))


def residual() -> Circuit:
    """Two blocks with both kinds of skip, pooling, and a read-out."""

    def rate(*shape: int, activation: str = "relu", bias: bool = False) -> Population:
        return Population(shape=shape, model=Rate(activation=activation, bias=bias))

    linear = Rate(activation="linear", bias=False)
    populations = {
        "input": Population(shape=(3, 8, 8), model=Source()),
        "stem": rate(4, 8, 8, bias=True),
        "inner": rate(4, 8, 8, activation="linear", bias=True),
        "sum": rate(4, 8, 8),
        "wider": rate(8, 4, 4, bias=True),
        "pooled": rate(8, 2, 2, activation="linear"),
        "flat": Population(size=8, model=linear),
        "output": Population(size=5, model=Rate(activation="linear")),
    }
    projections = {
        **to("input", "stem", Conv2d(kernel=3, padding=1)),
        **to("stem", "inner", Conv2d(kernel=3, padding=1, groups=2)),
        **skip("inner", "sum"),
        **skip("stem", "sum"),
        **to("sum", "wider", Conv2d(kernel=3, stride=2, padding=1)),
        "shortcut": Projection(source="sum", target="wider", wiring=Shortcut(stride=2), plasticity=Fixed()),
        **to("wider", "pooled", MaxPool2d(kernel=2)),
        **to("pooled", "flat", GlobalAvgPool()),
        "read": Projection(source="flat", target="output"),
    }
    return Circuit(populations=populations, projections=projections)


def batch_of(samples: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(samples, 3, 8, 8, generator=generator), torch.randint(5, (samples,), generator=generator)


@pytest.mark.parametrize("form", ["single", "batched", "grouped"])
def test_convolutions_are_rounded_in_their_factors_and_once_when_written(form: str) -> None:
    seeds = (0,) if form == "single" else (0, 1)
    circuit = rules.sal(residual(), areas=3, init="independent") if form == "grouped" else rules.bp(residual())
    network, exact_one = (
        ns.compile(circuit, seeds=seeds, device="cpu", **options)
        for options in ({"compute": "bfloat16"}, {"dtype": "float64"})
    )
    name, random = "sum_to_wider", torch.Generator().manual_seed(1)
    kernel, wide = (each.weights.kernel(name) for each in (network, exact_one))
    weight = network.weights.internal(name)
    lead = () if form == "single" else (2,)
    x, g = (torch.randn(*lead, 6, *extent, generator=random) for extent in ((4, 8, 8), (8, 4, 4)))
    groups = Groups(torch.tensor([[0, 0, 0, 2, 2, 2], [0, 1, 1, 1, 2, 2]]), 3) if form == "grouped" else None
    narrow = [tensor.bfloat16().double() for tensor in (weight, x, g)]
    exact = [tensor.double() for tensor in (weight, x, g)]
    size = [tensor.abs() for tensor in exact]
    for found, function, terms in (
        (kernel.apply(weight, x, groups), lambda w, x, g: wide.apply(w, x, groups), 36),
        (kernel.pull(weight, g, groups), lambda w, x, g: wide.pull(w, g, groups), 72),
        (kernel.correlate(g, x, groups), lambda w, x, g: wide.correlate(g, x, groups), 96),
    ):
        must_be_narrow(found.double(), function(*exact), function(*narrow), function(*size), terms, UNIT)
    rates = torch.tensor([0.5, -2.0])[: len(seeds)]
    alpha: Any = rates if len(seeds) > 1 else 0.5
    moved, change = weight.clone(), kernel.correlate(g, x, groups)
    kernel.accumulate_([(moved, alpha, 0.9)], g, x, groups)
    each = rates.repeat_interleave(len(weight) // 2).view(-1, 1, 1, 1, 1) if len(seeds) > 1 else 0.5
    kept = 0.9 if groups is None else torch.where(groups.active_RK.view(-1, 1, 1, 1, 1), 0.9, 1.0)
    torch.testing.assert_close(moved, kept * weight + each * change, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_all_populations_with_space_are_narrow_and_what_is_learned_is_not(seeds: tuple[int, ...]) -> None:
    network = ns.compile(rules.bp(residual()), seeds=seeds, device="cpu", compute="bfloat16")
    x, y = batch_of()
    for optimizer in (ns.SGD(lr=0.1), ns.SGD(lr=0.1, momentum=0.9, weight_decay=1e-3), ns.Adam(lr=0.01)):
        network.step(x, y, optimizer=optimizer)
    assert all(tensor.dtype is torch.float32 for tensor in (*network.weights.values(), *network.biases.values()))
    assert all(not network._parameters.precision.stored(name) for name in ("input", "output"))
    narrow = {"stem", "inner", "sum", "wider", "pooled", "flat"}
    assert all(network._parameters.precision.stored(name) is torch.bfloat16 for name in narrow)
    batch = network.batch_of(x)
    for step in network._sweep.forward:
        step(batch)
    found = {name: rows.dtype for name, rows in batch.activity.items()}
    assert found == {name: torch.bfloat16 if name in narrow else torch.float32 for name in found}


@pytest.mark.parametrize("rule", [rules.bp, rules.dfa, rules.kp, rules.pfa])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_changes_are_those_of_float32_but_for_rounding(rule: Any, seeds: tuple[int, ...]) -> None:
    circuit = rule(residual())
    x, y = batch_of()
    wide, narrow = (ns.compile(circuit, seeds=seeds, device="cpu", compute=kind) for kind in (None, "bfloat16"))
    changes, found = wide.updates(x, y), narrow.updates(x, y)
    for name, change in changes.items():
        error = float((found[name] - change).norm() / change.norm())
        # A unit at the threshold of a relu, or the runner-up of a field, may change sides: more than rounding alone.
        assert error < 0.1, name
    assert any(float((found[name] - change).abs().max()) > 0 for name, change in changes.items())


def test_replicas_are_narrow_as_each_alone() -> None:
    circuit = rules.kp(residual())
    x, y = batch_of()
    both, alone = (ns.compile(circuit, seeds=seeds, device="cpu", compute="bfloat16") for seeds in ((0, 1), (1,)))
    for network in (both, alone):
        for _ in range(3):
            network.step(x, y, optimizer=ns.SGD(lr=0.1, momentum=0.9))
    for name, weight in alone.weights.items():
        torch.testing.assert_close(both.weights[name][1], weight[0], rtol=1e-3, atol=1e-4)


def test_a_broadcast_and_a_flat_row_are_narrow_too() -> None:
    populations = {
        "input": Population(shape=(1, 4, 4), model=Source()),
        "hidden": Population(shape=(3, 4, 4), model=Rate(activation="tanh")),
        "flat": Population(size=48, model=Rate(activation="tanh", bias=False)),
        "output": Population(size=5, model=Rate(activation="linear")),
    }
    projections = {
        **to("input", "hidden", Conv2d(kernel=3, padding="same")),
        **to("hidden", "flat", Flatten()),
        "read": Projection(source="flat", target="output"),
        "back": Projection(source="output", target="flat", pathway="feedback"),
        "direct": Projection(source="output", target="hidden", pathway="feedback", wiring=Broadcast()),
    }
    circuit = Circuit(populations=populations, projections=projections)
    wide, narrow = (ns.compile(circuit, seeds=(0, 1), device="cpu", compute=kind) for kind in (None, "bfloat16"))
    x, y = batch_of()[0][:, :1, :4, :4], batch_of()[1]
    changes, found = wide.updates(x, y), narrow.updates(x, y)
    for name, change in changes.items():
        assert float((found[name] - change).norm() / change.norm()) < 0.02, name
