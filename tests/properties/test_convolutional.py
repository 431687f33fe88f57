"""Backpropagation as a feedback graph equals torch autograd on random circuits with space, and replicas do not meet."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import neurosal as ns
from neurosal import rules
from neurosal.checks import check
from neurosal.errors import DataError
from neurosal.graph import BatchNorm, Circuit
from tests.properties.convolutional import spatial_circuits
from tests.reference.batches import LOSSES, Batch, batch_for
from tests.reference.spatial import loss_of, outcome

EXACT = 1e-9


def moved(network: Any, seed: int) -> dict[str, Tensor]:
    """A copy of the network's parameters, in which what starts at 0 or 1 is moved, so that it counts."""
    for index, value in enumerate(network.biases.values()):
        value += 0.3 * torch.randn(value.shape, generator=torch.Generator().manual_seed(seed + index)).double()
    return {name: value.clone() for name, value in (*network.weights.items(), *network.biases.items())}


def gradients(circuit: Circuit, state: dict[str, Tensor], batch: Batch, loss: str, replica: int) -> Any:
    """Loss and gradients of one replica by autograd, by the names of `network.updates`."""
    extents = {name: population.extent for name, population in circuit.populations.items()}
    back = circuit.select(pathway="feedback")
    own = {name: value for name, value in state.items() if name not in back}
    leaves = {name: value[replica, 0].clone().requires_grad_() for name, value in own.items()}
    x = {name: torch.from_numpy(rows[replica]).unflatten(-1, extents[name]) for name, rows in batch.arrays.items()}
    found = loss_of(outcome(circuit.to_dict(), leaves, x, extents), batch.y[replica], loss)
    gradient = torch.autograd.grad(found, list(leaves.values()), allow_unused=True)
    return found, dict(zip(leaves, gradient, strict=True))


def single(circuit: Circuit, samples: int) -> bool:
    """Whether some channel has one value in a batch, where a norm of batches would have nothing to norm by."""
    models = [(getattr(each.model, "norm", None), each.extent) for each in circuit.populations.values()]
    return any(isinstance(norm, BatchNorm) and samples * prod(extent[1:]) == 1 for norm, extent in models)


def compare(circuit: Circuit, loss: str, seed: int, replicas: int, samples: int) -> int:
    """How many changes were compared with autograd's gradients; all of them must agree."""
    learns = rules.bp(check(circuit))
    network = ns.compile(learns, seeds=[seed + each for each in range(replicas)], device="cpu", dtype="float64")
    state = moved(network, seed)
    batch, compared = batch_for(circuit, seed, loss=loss, replicas=replicas, samples=samples), 0
    x, y = (batch.x, batch.y) if replicas > 1 else (batch.x[0], batch.y[0])
    if single(circuit, samples):
        with pytest.raises(DataError, match="more than one value a channel"):
            network.updates(x, y, loss=loss)
        return 1
    found = network.updates(x, y, loss=loss)
    losses = network.step(x, y, loss=loss, optimizer=ns.SGD(lr=1e-3))
    for replica in range(replicas):
        expected_loss, expected = gradients(learns, state, batch, loss, replica)
        assert abs(losses[replica] - expected_loss) < EXACT
        for name, change in found.items():
            gap = change[replica, 0] - (0 if expected[name] is None else expected[name])
            assert gap.abs().max() < EXACT, name
            compared += 1
    plastic = {name for name, edge in circuit.projections.items() if edge.plasticity.plastic}
    assert plastic <= found.keys()
    return compared


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    circuit=spatial_circuits(), loss=st.sampled_from(LOSSES), seed=st.integers(0, 1000), replicas=st.integers(1, 3),
    samples=st.integers(1, 4),
)  # fmt: skip
def test_bp_equals_autograd_on_random_circuits_with_space(
    circuit: Circuit, loss: str, seed: int, replicas: int, samples: int
) -> None:
    assert compare(circuit, loss, seed, replicas, samples)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    circuit=spatial_circuits(), rule=st.sampled_from(["bp", "fa", "kp", "usf", "dfa", "pfa"]), seed=st.integers(0, 99)
)
def test_a_replica_alone_is_what_it_is_beside_others(circuit: Circuit, rule: str, seed: int) -> None:
    learns = getattr(rules, rule)(circuit)
    together = ns.compile(learns, seeds=[seed, seed + 1, seed + 2], device="cpu", dtype="float64")
    alone = ns.compile(learns, seeds=[seed + 1], device="cpu", dtype="float64")
    optimizer = ns.SGD(lr=0.05, momentum=0.9, weight_decay=1e-3)
    for step in range(2):
        batch = batch_for(circuit, step, replicas=3, samples=3)
        together.step(batch.x, batch.y, optimizer=optimizer)
        alone.step(batch.x[1], batch.y[1], optimizer=optimizer)
    state = together.state_dict()
    for name, value in alone.state_dict().items():
        if value.dim():  # how many steps there were is one number for all
            assert torch.allclose(value[0], state[name][1], rtol=0, atol=1e-10), name
    assert torch.allclose(alone.predict(batch.x[1])[0], together.predict(batch.x)[1], rtol=0, atol=1e-10)
