"""Joined hops over a relay: the numbers of the long way, whatever else a step does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import neurosal as ns
from neurosal import circuits, rules
from neurosal.engine import compiled, contraction
from neurosal.engine.network import Network
from neurosal.graph import Circuit, Conv1d, GlobalAvgPool, Population, Projection, Source
from neurosal.lower.plan import Backward
from neurosal.settings.optimizers import SGD, Adam, AdamW
from neurosal.settings.schedules import WarmUp
from tests.rules.convolutional import RESIDUAL, plain, to

CHAIN = circuits.mlp(6, 5, 4, 3)
LENGTH = Circuit(
    name="length",
    populations={
        "input": Population(shape=(2, 9), model=Source()),
        "hidden1": plain(4, 4, activation="tanh", bias=True),
        "hidden2": plain(6, 4, activation="tanh"),
        "mean": plain(6),
        "output": plain(3, bias=True),
    },
    projections={
        **to("input", "hidden1", Conv1d(kernel=3, stride=2)),
        **to("hidden1", "hidden2", Conv1d(kernel=3, padding=2, dilation=2, groups=2)),
        **to("hidden2", "mean", GlobalAvgPool()),
        "mean_to_output": Projection(source="mean", target="output"),
    },
)
FLAT = LENGTH.without(["mean"]).with_projections(out=Projection(source="hidden2", target="output"))
RELAYS = rules.pfa(CHAIN, expansion=2.5)
CIRCUITS = {
    "pfa": RELAYS,
    "to inputs": rules.pfa(CHAIN, expansion=2, to_input=True),
    "orthogonal": rules.pfa_o(CHAIN),
    "sparse": rules.pfa(CHAIN, expansion=3, density=0.5),
    "residual": rules.pfa(circuits.residual_mlp(6, 5, 3, blocks=2), expansion=2),
    "rates": RELAYS.with_projections(
        **{
            name: edge.replace(plasticity=edge.plasticity.replace(rate=rate))
            for name, rate in (("relay_hidden2_to_output_to_hidden2", 0.5), ("hidden1_to_hidden2", 0.25))
            for edge in [RELAYS.projections[name]]
        }
    ),
    "sums": RELAYS.with_projections(
        **{
            name: edge.replace(plasticity=edge.plasticity.replace(reduction="sum"))
            for name, edge in RELAYS.projections.items()
            if hasattr(edge.plasticity, "reduction")
        }
    ),
}
SPACE = rules.pfa(RESIDUAL, expansion=2.5)
SPATIAL = {
    "convolutions": SPACE,
    "orthogonal convolutions": rules.pfa_o(RESIDUAL),
    "sparse convolutions": rules.pfa(RESIDUAL, expansion=3, density=0.5),
    "a length": rules.pfa(LENGTH, expansion=2, to_input=True),
    "a dense relay to channels": rules.pfa(FLAT, expansion=3),
}
OPTIMIZERS = {
    "plain": SGD(lr=0.1),
    "decay": SGD(lr=0.1, weight_decay=0.1, schedule=WarmUp(steps=3)),
    "momentum": SGD(lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": SGD(lr=0.1, momentum=0.9, nesterov=True),
    "adam": Adam(lr=0.01, weight_decay=0.1),
    "adamw": AdamW(lr=0.01),
    "clipped": SGD(lr=0.1, clip=0.05),
}
EACH = {
    "one rate a replica": SGD(lr=(0.1, 0.2, 0.3), weight_decay=(0.0, 0.1, 0.2)),
    "one momentum a replica": SGD(lr=0.1, momentum=(0.0, 0.5, 0.9)),
    "one Adam a replica": Adam(lr=(0.01, 0.02, 0.03), beta1=(0.9, 0.5, 0.0)),
}


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The second hops that were joined, one entry for each error that came that way."""
    found: list[str] = []
    made = contraction.Joined.error

    def error(self: Any, rows: Tensor) -> Tensor:
        found.append(self.name)
        return made(self, rows)

    monkeypatch.setattr(contraction.Joined, "error", error)
    return found


def network_of(circuit: Circuit, replicas: int = 1, *, least: int | None = 1, **options: Any) -> Network:
    """A network that joins hops from `least` samples on, or never."""
    network = ns.compile(circuit, seeds=range(replicas), **({"device": "cpu", "dtype": "float64"} | options))
    known = network.plan.contractions if least is not None else ()
    network._sweep.plan = replace(network.plan, contractions=tuple(replace(c, least=least) for c in known))
    return network


def batch(samples: int = 7, seed: int = 1, extent: tuple[int, ...] = (6,)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, *extent, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (samples,), generator=generator)


def must_agree(one: Network, other: Network, atol: float = 1e-12) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        torch.testing.assert_close(
            tensor, theirs[name], rtol=0, atol=atol, msg=lambda text, name=name: f"{name} {text}"
        )


def must_step_alike(
    circuit: Circuit, optimizer: Any, replicas: int = 1, change: Callable[[Network], Any] | None = None, **options: Any
) -> None:
    joined, long = network_of(circuit, replicas, **options), network_of(circuit, replicas, least=None, **options)
    first = {name: tensor.clone() for name, tensor in joined.weights.items()}
    extent = circuit.populations["input"].extent
    for step in range(4):
        if step == 2 and change is not None:
            for network in (joined, long):
                change(network)
        for network in (joined, long):
            network.step(*batch(seed=step, extent=extent), optimizer=optimizer)
    must_agree(joined, long)
    plastic = [name for name in first if circuit.learns(name)]
    assert all(not torch.equal(joined.weights[name], first[name]) for name in plastic)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("name", "replicas"), [("pfa", 1), *((name, 2) for name in CIRCUITS)])
def test_joined_hops_change_everything_as_the_relay_does(
    name: str, replicas: int, optimizer: str, joins: list[str]
) -> None:
    must_step_alike(CIRCUITS[name], OPTIMIZERS[optimizer], replicas)
    relays = [entry for entry in CIRCUITS[name].populations if entry.startswith("relay")]
    assert len(joins) == 4 * len(relays)


@pytest.mark.parametrize("optimizer", ["plain", "momentum", "adam", "clipped"])
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("name", SPATIAL)
def test_hops_over_kernels_are_joined_to_one_kernel(name: str, replicas: int, optimizer: str, joins: list[str]) -> None:
    must_step_alike(SPATIAL[name], OPTIMIZERS[optimizer], replicas)
    relays = [entry for entry in SPATIAL[name].populations if entry.startswith("relay")]
    assert len(joins) == 4 * len(relays) > 0


def test_a_kernel_with_lesions_is_joined_as_it_is(joins: list[str]) -> None:
    def hurt(network: Network) -> None:
        network.mask("branch1_to_relay_hidden1_to_branch1", torch.arange(2).view(-1, 1, 1) > 0)
        network.mask("relay_pooled1_to_hidden2_to_pooled1", torch.arange(9).view(3, 3) % 2 == 0)
        network.silence("pooled1", torch.arange(100) % 3 > 0)
        network.silence("relay_hidden2_to_branch2", torch.arange(135) % 3 > 0)

    must_step_alike(SPACE, OPTIMIZERS["momentum"], replicas=2, change=hurt)
    counts = {name: joins.count(name) for name in joins}
    assert counts.pop("relay_hidden2_to_branch2_to_hidden2") == 2
    assert set(counts.values()) == {4}


@pytest.mark.parametrize("rates", EACH)
def test_rates_may_differ_between_replicas(rates: str, joins: list[str]) -> None:
    must_step_alike(RELAYS, EACH[rates], replicas=3)
    assert joins


LESIONS: dict[str, Callable[[Network], Any]] = {
    "first hop": lambda n: n.mask("output_to_relay_hidden2_to_output", torch.arange(8).view(-1, 1) % 3 > 0),
    "second hop": lambda n: n.mask("relay_hidden2_to_output_to_hidden2", torch.arange(8) % 3 > 0),
    "forward": lambda n: n.mask("hidden2_to_output", torch.tensor([True, False, True, True])),
    "source": lambda n: n.silence("hidden2", torch.tensor([True, False, True, True])),
    "output": lambda n: n.silence("output", torch.tensor([True, False, True])),
    "relay": lambda n: n.silence("relay_hidden2_to_output", torch.arange(8) % 3 > 0),
}


@pytest.mark.parametrize("optimizer", ["plain", "momentum", "adam", "clipped"])
@pytest.mark.parametrize("lesion", LESIONS)
def test_lesions_leave_out_what_they_leave_out_of_the_relay(lesion: str, optimizer: str, joins: list[str]) -> None:
    must_step_alike(RELAYS, OPTIMIZERS[optimizer], replicas=2, change=LESIONS[lesion])
    assert joins.count("relay_hidden2_to_output_to_hidden2") == (2 if lesion == "relay" else 4)
    assert joins.count("relay_hidden1_to_hidden2_to_hidden1") == 4


def test_hops_are_joined_again_when_a_relay_is_whole_again(joins: list[str]) -> None:
    network = network_of(RELAYS)
    LESIONS["relay"](network)
    network.step(*batch(), optimizer=OPTIMIZERS["plain"])
    network.restore("relay_hidden2_to_output")
    network.step(*batch(), optimizer=OPTIMIZERS["plain"])
    assert joins.count("relay_hidden2_to_output_to_hidden2") == 1


def test_what_is_computed_again_is_the_same(joins: list[str]) -> None:
    must_step_alike(rules.pfa(circuits.mlp(6, 5, 5, 5, 3), expansion=2), OPTIMIZERS["momentum"], recompute=2)
    assert joins


def test_a_relay_whose_second_hop_is_fixed_is_joined_too(joins: list[str]) -> None:
    fixed = rules.fa(CHAIN).projections["output_to_hidden2"].plasticity
    edge = RELAYS.projections["relay_hidden2_to_output_to_hidden2"].replace(plasticity=fixed)
    must_step_alike(RELAYS.with_projections(relay_hidden2_to_output_to_hidden2=edge), OPTIMIZERS["momentum"])
    assert "relay_hidden2_to_output_to_hidden2" in joins


ONE_GRAPH = [("pfa", 1, "plain"), ("pfa", 2, "decay"), ("sparse", 1, "adam"), ("a length", 1, "momentum")]


@pytest.mark.parametrize(("name", "replicas", "optimizer"), ONE_GRAPH)
def test_a_step_as_one_graph_joins_them_too(
    name: str, replicas: int, optimizer: str, joins: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    circuit = (CIRCUITS | SPATIAL)[name]
    joined, long = network_of(circuit, replicas, step="compiled"), network_of(circuit, replicas, least=None)
    for seed in range(3):
        for network in (joined, long):
            given = batch(seed=seed, extent=circuit.populations["input"].extent)
            network.step(*given, optimizer=OPTIMIZERS[optimizer])
    must_agree(joined, long)
    assert joins
    torch._dynamo.reset()


def test_a_batch_decides_by_its_size(joins: list[str]) -> None:
    network = network_of(RELAYS, least=6)
    for samples, count in ((5, 0), (6, 2), (7, 4), (5, 4)):
        network.step(*batch(samples), optimizer=OPTIMIZERS["plain"])
        assert len(joins) == count, samples


def test_records_have_the_error_of_the_relay_and_the_changes_of_the_step() -> None:
    joined, long = network_of(RELAYS, 2), network_of(RELAYS, 2, least=None)
    signals, expected = (network.signals(*batch()) for network in (joined, long))
    for name in RELAYS.populations:
        assert signals[name].keys() == expected[name].keys()
        for kind, tensor in signals[name].items():
            torch.testing.assert_close(tensor, expected[name][kind], rtol=0, atol=0)
    first_RKPO = joined.weights["output_to_relay_hidden2_to_output"]
    by_hand = signals["output"]["error"] @ first_RKPO[:, 0].mT
    torch.testing.assert_close(signals["relay_hidden2_to_output"]["error"], by_hand, rtol=0, atol=1e-14)
    before = {name: tensor.clone() for name, tensor in joined.weights.items()}
    updates = joined.updates(*batch())
    joined.step(*batch(), optimizer=SGD(lr=1.0))
    for name, tensor in before.items():
        moved = tensor - joined.weights[name]
        torch.testing.assert_close(moved, updates.get(name, torch.zeros_like(moved)), rtol=0, atol=1e-13)


def test_a_saved_network_goes_on_to_the_same_bits(tmp_path: Path, joins: list[str]) -> None:
    network = network_of(RELAYS, 2)
    for seed in range(3):
        network.step(*batch(seed=seed), optimizer=OPTIMIZERS["momentum"])
    network.save(tmp_path / "saved")
    other = ns.load(tmp_path / "saved", device="cpu")
    other._sweep.plan = network._sweep.plan
    for each in (network, other):
        for seed in range(3, 6):
            each.step(*batch(seed=seed), optimizer=OPTIMIZERS["momentum"])
    must_agree(network, other, atol=0)
    assert len(joins) == 18


@pytest.mark.parametrize(
    "circuit", [rules.pfa(circuits.mlp(64, 48, 32, 3), expansion=4), SPACE], ids=["dense", "space"]
)
def test_narrow_products_stay_as_close_as_they_are_without(circuit: Circuit, joins: list[str]) -> None:
    x, y = batch(256, extent=circuit.populations["input"].extent)
    x = x.float()

    def moved(least: int | None, compute: str | None) -> dict[str, Tensor]:
        network = network_of(circuit, 2, least=least, dtype="float32", compute=compute)
        before = {name: tensor.clone() for name, tensor in network.weights.items() if circuit.learns(name)}
        network.step(x, y, optimizer=SGD(lr=1.0))
        return {name: tensor - network.weights[name] for name, tensor in before.items()}

    exact, long, joined = moved(None, None), moved(None, "bfloat16"), moved(1, "bfloat16")
    assert joins
    for name, tensor in exact.items():
        far, near = (float((other[name] - tensor).norm() / tensor.norm()) for other in (joined, long))
        assert 1e-4 < far < 1.5 * near + 2**-8, (name, far, near)


def test_a_joined_relay_has_no_signal() -> None:
    network = network_of(RELAYS)
    made = network._sweep.plan_with(network._sweep.joined(7))
    assert not [phase for phase in made.backward if isinstance(phase, Backward) and phase.population.startswith("rel")]
