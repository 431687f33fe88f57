"""Memory told beforehand: against what torch allocates."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import circuits, rules
from neurosal.graph import BatchNorm, GroupNorm, LayerNorm, Rate
from tests.reference.batches import batch_for
from tests.reference.storage import peak_bytes

DEEP = circuits.residual_mlp(8, 32, 6, blocks=6)
CHAIN = circuits.mlp(8, 32, 32, 32, 6, activation="gelu")
SAL = {"areas": 2, "rank": 2}
SMALL: dict[str, Any] = {"shape": (3, 12, 12), "width": 4}
CASES: list[Any] = [
    (rules.kp(circuits.resnet20(**SMALL)), 2, {}, 0.03),
    (rules.pfa(circuits.resnet20(**SMALL)), 1, {}, 0.03),
    (rules.bp(circuits.resnet20(**SMALL, shortcut="B", activation="gelu", norm=GroupNorm(groups=2))), 2, {}, 0.05),
    (rules.bp(circuits.lenet5(shape=(2, 28, 28), pooling="max")), 1, {}, 0.1),
    (rules.kp(DEEP), 1, {}, 0.01),
    (rules.kp(DEEP), 3, {"recompute": 3}, 0.01),
    (rules.dfa(DEEP), 3, {}, 0.01),
    (rules.pfa_o(DEEP), 1, {}, 0.01),
    (rules.bp(CHAIN), 3, {}, 0.01),
    (rules.kp(CHAIN), 1, {"recompute": 2}, 0.01),
    (rules.sal(DEEP, **SAL), 1, {}, 0.15),
    (rules.sal(DEEP, **SAL), 3, {"recompute": 2}, 0.15),
]


def modelled(activation: Any, **options: Any) -> Any:
    """A chain with norms and dropout in its hidden populations."""
    model = Rate(activation=activation, **options)
    hidden = {name: p.replace(model=model) for name, p in CHAIN.populations.items() if name.startswith("hidden")}
    return rules.bp(CHAIN.with_populations(**hidden))


CASES += [
    (modelled("relu", norm=BatchNorm()), 1, {}, 0.02),
    (modelled("relu", norm=BatchNorm(), bias=False), 3, {"recompute": 2}, 0.02),
    (modelled("gelu", norm=BatchNorm()), 1, {}, 0.1),
    (modelled("tanh", norm=LayerNorm()), 1, {}, 0.02),
    (modelled("tanh", dropout=0.5), 3, {}, 0.02),
]


@pytest.mark.parametrize(("circuit", "replicas", "options", "tolerance"), CASES)
def test_the_peak_is_what_a_step_allocates(
    circuit: Any, replicas: int, options: dict[str, Any], tolerance: float
) -> None:
    network = ns.compile(circuit, seeds=range(replicas), device="cpu", **options)
    batch = batch_for(circuit, 1, replicas=replicas, samples=160)
    x, y, optimizer = batch.x.float(), batch.y, ns.SGD(lr=0.1)
    x = x[0] if replicas == 1 else x
    y = y[0] if replicas == 1 else y
    network.step(x, y, optimizer=optimizer)
    measured = peak_bytes(lambda: network.step(x, y, optimizer=optimizer))
    assert network.memory(batch_size=160).signals == pytest.approx(measured, rel=tolerance)


def test_what_is_computed_again_in_large_steps_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    network = ns.compile(rules.kp(DEEP), device="cpu")
    batch = batch_for(DEEP, 1, replicas=1, samples=160)
    x, y, optimizer = batch.x.float()[0], batch.y[0], ns.SGD(lr=0.1)
    peaks = []
    for large in (1 << 25, 1):
        monkeypatch.setattr("neurosal.lower.holding.LARGE", large)
        monkeypatch.setattr("neurosal.engine.stepping.LARGE", large)
        network.step(x, y, optimizer=optimizer)
        peaks.append(peak_bytes(lambda: network.step(x, y, optimizer=optimizer)))
        assert network.memory(batch_size=160).signals == pytest.approx(peaks[-1], rel=0.01)
    assert peaks[1] < 0.7 * peaks[0]


def test_what_is_always_there_is_counted_as_it_is() -> None:
    network = ns.compile(rules.kp(DEEP), seeds=(0, 1), device="cpu")
    found = network.memory(8)
    assert found.fixed["weights"] == 4 * sum(tensor.numel() for tensor in network.weights.full.values())
    assert found.fixed["optimizer"] == 0
    network.step(torch.zeros(4, 8), torch.zeros(4, dtype=torch.int64), optimizer=ns.Adam(lr=0.1))
    plastic = [name for name, edge in network.circuit.projections.items() if edge.plasticity.plastic]
    numbers = sum(network.weights[name].numel() for name in plastic) + sum(
        each.numel() for each in network.biases.values()
    )
    assert network.memory(8).fixed["optimizer"] >= 2 * 4 * numbers
    assert found.peak == sum(found.fixed.values()) + found.signals


def test_it_prints_a_line_a_phase() -> None:
    lines = str(ns.compile(rules.kp(DEEP), device="cpu").memory(8)).splitlines()
    assert lines[2].split()[2:5] == ["forward", "stream0", "from"]
    assert lines[-1].startswith("peak ")


@pytest.mark.parametrize("replicas", [1, 3])
def test_relays_that_are_joined_hold_no_rows(replicas: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosal.lower.contraction.CALLS", 0)
    circuit = rules.pfa(CHAIN)
    network = ns.compile(circuit, seeds=range(replicas), device="cpu")
    batch = batch_for(circuit, 1, replicas=replicas, samples=160)
    x, y, optimizer = batch.x.float(), batch.y, ns.SGD(lr=0.1)
    x = x[0] if replicas == 1 else x
    y = y[0] if replicas == 1 else y
    network.step(x, y, optimizer=optimizer)
    measured = peak_bytes(lambda: network.step(x, y, optimizer=optimizer))
    assert network.memory(batch_size=160).signals == pytest.approx(measured, rel=0.01)
    assert network.memory(batch_size=8).signals > network.memory(batch_size=160).signals * 8 / 160
