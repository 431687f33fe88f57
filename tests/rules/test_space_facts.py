"""What is exact about rules along convolutions, tested as exact.

Letters: R replica, K area, g group, o and i channels of the target and the source of a forward projection, m those of
the relay.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit, Conv1d, Conv2d, Convolution, Dense, Population, Projection, Rate, Source
from tests.reference.batches import batch_for
from tests.rules.convolutional import RESIDUAL, to

RATE, DECAY = 0.1, 0.2
PLAIN = ns.SGD(lr=RATE, weight_decay=DECAY)
MOMENTUM = ns.SGD(lr=RATE, momentum=0.8, weight_decay=DECAY)
CONVOLUTIONS: dict[str, Convolution] = {
    "same": Conv2d(kernel=3, padding=1),
    "strided": Conv2d(kernel=3, stride=2, padding=1),
    "dilated": Conv2d(kernel=(3, 2), dilation=2),
    "grouped": Conv2d(kernel=3, padding=1, groups=2),
    "mirrored": Conv2d(kernel=3, padding=1, padding_mode="reflect"),
    "around": Conv2d(kernel=(1, 3), padding=(0, 1), padding_mode="circular", stride=(2, 1)),
    "pointwise": Conv2d(kernel=1),
    "whole": Conv2d(kernel=(5, 6)),
    "line": Conv1d(kernel=3, stride=2, padding=1, groups=2),
}
EVERY = pytest.mark.parametrize("wiring", CONVOLUTIONS.values(), ids=CONVOLUTIONS)


def circuit_with(wiring: Convolution, channels: tuple[int, int, int] = (2, 4, 6), classes: int = 3) -> Circuit:
    """input, hidden and top with space, and a dense output; the convolution asked for goes from hidden to top."""
    places = (5, 6) if isinstance(wiring, Conv2d) else (9,)
    below, hidden, top = channels
    first = type(wiring)(kernel=3, padding=1)
    return Circuit(
        populations={
            "input": Population(shape=(below, *places), model=Source()),
            "hidden": Population(shape=(hidden, *places), model=Rate(activation="tanh")),
            "top": Population(shape=wiring.output((hidden, *places), top), model=Rate(activation="tanh")),
            "output": Population(size=classes, model=Rate(activation="linear")),
        },
        projections={
            **to("input", "hidden", first),
            **to("hidden", "top", wiring),
            "top_to_output": Projection(source="top", target="output", wiring=Dense()),
        },
    )


def network_of(circuit: Circuit, seeds: Any = (0, 1), dtype: str = "float64") -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype=dtype)


def train(network: Any, optimizer: Any, steps: int = 10, samples: int = 5, first: int = 0) -> None:
    for step in range(first, first + steps):
        batch = batch_for(network.circuit, step, replicas=network.replicas, samples=samples)
        network.step(batch.x.to(network.dtype), batch.y, optimizer=optimizer)


def gap(first: Any, second: Any) -> float:
    forward = first.circuit.select(pathway="feedforward")
    return max(float((first.weights[name] - second.weights[name]).abs().max()) for name in forward)


def grouped(weight: Tensor, wiring: Convolution) -> Tensor:
    """A weight [R, K, (g,) post, pre, ...] with its groups, one where it has none."""
    return weight if wiring.groups > 1 else weight.unsqueeze(2)


def parts(network: Any) -> tuple[Tensor, Tensor, Tensor]:
    """W [R, K, g, o, i, ...], B [R, K, g, m, o] and R [R, K, g, m, i, ...] of the way back from top to hidden."""
    wiring = network.circuit.projections["hidden_to_top"].wiring
    first = grouped(network.weights["top_to_relay_hidden_to_top"], wiring).flatten(5).squeeze(5)
    second = grouped(network.weights["relay_hidden_to_top_to_hidden"], wiring).transpose(3, 4)
    return grouped(network.weights["hidden_to_top"], wiring), first, second


def through(first: Tensor, weight: Tensor) -> Tensor:
    """Bᵀ∘W of the papers: [R, K, g, m, i, ...]."""
    return torch.einsum("rkgmo,rkgoi...->rkgmi...", first, weight)


def relay_mismatch(network: Any) -> Tensor:
    weight, first, second = parts(network)
    return second - through(first, weight)


def mismatch(network: Any) -> Tensor:
    wiring = network.circuit.projections["hidden_to_top"].wiring
    forward, back = (grouped(network.weights[name], wiring) for name in ("hidden_to_top", "top_to_hidden"))
    return forward - back.transpose(3, 4)


# Differences that only decay ------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("rule", ["kp", "pfa", "pfa_o"])
def test_the_mismatch_shrinks_by_one_minus_rate_times_decay_a_step_and_knows_nothing_else(
    wiring: Convolution, rule: str
) -> None:
    options = {"expansion": 2} if rule == "pfa" else {}
    measure = mismatch if rule == "kp" else relay_mismatch
    network = network_of(getattr(rules, rule)(circuit_with(wiring), **options))
    start = measure(network)
    assert start.abs().max() > 0.1
    before = network.weights["hidden_to_top"].clone()
    for step in range(1, 9):
        train(network, PLAIN, steps=1, first=step)
        assert (measure(network) - (1 - RATE * DECAY) ** step * start).abs().max() < 1e-13
    assert (network.weights["hidden_to_top"] - before).abs().max() > 1e-3


def test_with_momentum_the_mismatch_follows_a_linear_recursion() -> None:
    network = network_of(rules.pfa(circuit_with(CONVOLUTIONS["strided"]), expansion=2))
    expected, velocity = relay_mismatch(network), torch.zeros(())
    for step in range(8):
        train(network, MOMENTUM, steps=1, first=step)
        velocity = 0.8 * velocity + DECAY * expected
        expected = expected - RATE * velocity
        assert (relay_mismatch(network) - expected).abs().max() < 1e-13


@pytest.mark.parametrize("name", ["same", "grouped", "line"])
def test_with_masks_the_mismatch_decays_where_there_are_synapses_and_the_others_stay_absent(name: str) -> None:
    network = network_of(rules.pfa(circuit_with(CONVOLUTIONS[name]), expansion=4, density=0.4))
    _, first, second = parts(network)
    present = second != 0
    for weight in (first, second):
        assert 0.2 < float((weight != 0).double().mean()) < 0.6
    assert bool((present[0] != present[1]).any())  # each replica has its own
    start = relay_mismatch(network) * present
    for step in range(1, 6):
        train(network, PLAIN, steps=1, first=step)
        assert (relay_mismatch(network) * present - (1 - RATE * DECAY) ** step * start).abs().max() < 1e-13
        assert torch.equal(parts(network)[2] != 0, present)


# Equivalences ---------------------------------------------------------------------------------------------------------


@EVERY
def test_pfa_with_an_identity_first_hop_is_kp(wiring: Convolution) -> None:
    circuit = circuit_with(wiring)
    kp = network_of(rules.kp(circuit))
    pfa = network_of(rules.pfa(circuit, expansion=1))
    for start, end in (("hidden", "top"), ("top", "output")):
        first = pfa.weights[f"{end}_to_relay_{start}_to_{end}"]
        *lead, post, pre = first.shape if start == "top" else parts(pfa)[1].shape
        first.copy_(torch.eye(post, pre, dtype=torch.float64).expand(*lead, post, pre).reshape(first.shape))
        pfa.weights[f"relay_{start}_to_{end}_to_{start}"].copy_(kp.weights[f"{end}_to_{start}"])
    for network in (kp, pfa):
        train(network, PLAIN)
    assert gap(kp, pfa) < 1e-13


@EVERY
def test_pfa_o_with_its_second_hop_at_the_transpose_is_bp(wiring: Convolution) -> None:
    circuit = circuit_with(wiring)
    bp, pfa = network_of(rules.bp(circuit)), network_of(rules.pfa_o(circuit))
    weight, first, second = parts(pfa)
    ones = torch.eye(first.shape[-1], dtype=torch.float64)
    assert (first.mT @ first - ones).abs().max() < 1e-5  # drawn in single precision
    stored = pfa.weights["top_to_relay_hidden_to_top"]
    stored.copy_(torch.linalg.qr(first).Q.reshape(stored.shape))
    second.copy_(through(parts(pfa)[1], weight))
    dense = pfa.weights["output_to_relay_top_to_output"]
    dense.copy_(torch.linalg.qr(dense).Q)
    pfa.weights["relay_top_to_output_to_top"].copy_((dense @ pfa.weights["top_to_output"]).mT)
    for network in (bp, pfa):
        train(network, MOMENTUM)
    assert gap(bp, pfa) < 1e-12


@EVERY
def test_kp_from_a_tied_start_is_bp(wiring: Convolution) -> None:
    circuit = circuit_with(wiring)
    bp, tied = network_of(rules.bp(circuit)), network_of(rules.kp_tied(circuit))
    for network in (bp, tied):
        train(network, MOMENTUM)
    assert gap(bp, tied) < 1e-13
    assert mismatch(tied).abs().max() < 1e-14


# Products of a random first hop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("expansion", "density"), [(1, 1.0), (10, 1.0), (10, 0.25)])
def test_the_first_hop_is_drawn_with_identity_second_moment(groups: int, expansion: float, density: float) -> None:
    circuit = circuit_with(Conv2d(kernel=3, padding=1, groups=groups))
    network = network_of(rules.pfa(circuit, expansion=expansion, density=density), seeds=range(300))
    first = parts(network)[1][:, 0].flatten(0, 1)
    moment = torch.einsum("rmo,rmp->rop", first, first)
    error = moment.std(0) / math.sqrt(len(moment))
    assert bool(((moment.mean(0) - torch.eye(6 // groups)).abs() < 5 * error).all())
    assert float(error.max()) < 0.12


@pytest.mark.parametrize(
    ("groups", "expansion", "density"), [(1, 10, 1.0), (1, 3, 1.0), (2, 10, 1.0), (1, 10, 0.5)], ids=str
)
def test_the_path_of_pfa_converges_to_its_angle_and_norm(groups: int, expansion: float, density: float) -> None:
    wiring = Conv2d(kernel=3, padding=1, groups=groups)
    circuit = circuit_with(wiring, (2, 8, 48), classes=10)
    network = network_of(rules.pfa(circuit, expansion=expansion, density=density), seeds=range(4), dtype="float32")
    batch = batch_for(circuit, 0, replicas=4, samples=10)
    for _ in range(110):  # ηλ = .04 a step leaves .012 of the mismatch, while the task keeps the weights up
        network.step(batch.x.float(), batch.y, optimizer=ns.SGD(lr=0.4, weight_decay=0.1))
    weight, first, second = parts(network)
    path = torch.einsum("rkgmi...,rkgmo->rkgoi...", second, first)
    norms = path.flatten(1).norm(dim=1), weight.flatten(1).norm(dim=1)
    angles = ((path * weight).flatten(1).sum(1) / norms[0] / norms[1]).arccos().rad2deg()
    # Exactly these where channels are many; ours are few enough to scatter by a degree or two.
    assert float(angles.mean()) == pytest.approx(math.degrees(math.atan((density * expansion) ** -0.5)), abs=2.5)
    if density == 1:
        assert float((norms[0] / norms[1]).mean()) == pytest.approx(math.sqrt(1 + 1 / expansion), abs=0.05)


# Direct feedback ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [(3,), (3, 4)], ids=["single", "batched"])
@pytest.mark.parametrize("name", ["same", "grouped", "line"])
@pytest.mark.parametrize("space", ["units", "broadcast", "transposed"])
def test_direct_feedback_arrives_at_places_as_it_is_written_by_hand(space: Any, name: str, seeds: Any) -> None:
    network = network_of(rules.dfa(circuit_with(CONVOLUTIONS[name]), space=space, kernel=2), seeds)
    batch = batch_for(network.circuit, replicas=len(seeds))
    signals = network.signals(batch.x, batch.y)
    for population in ("hidden", "top"):
        extent = network.circuit.populations[population].extent
        for r in range(len(seeds)):
            delta, h = signals["output"]["error"][r], signals[population]["activity"][r]
            if space == "transposed":
                first = network.weights[f"output_to_relay_{population}"][r, 0]
                second = network.weights[f"relay_{population}_to_{population}"][r, 0].transpose(0, 1)
                e = laid_side_by_side(delta @ first.mT, second, extent)
            else:
                e = delta @ network.weights[f"output_to_{population}"][r, 0].mT
                e = e.view(-1, *extent) if space == "units" else e.view(*e.shape, *(1 for _ in extent[1:])).expand_as(h)
            assert (signals[population]["error"][r] - e * (1 - h**2)).abs().max() < 1e-12


def laid_side_by_side(rows: Tensor, kernels: Tensor, extent: tuple[int, ...]) -> Tensor:
    """Each kernel [m, c, ...] times its row, one beside the other over the places, what lies outside cut off evenly."""
    tile = torch.einsum("nm,mc...->nc...", rows, kernels)
    for axis, size in enumerate(extent[1:]):
        length = tile.shape[axis + 2]
        count = -(-size // length)
        tile = torch.cat([tile] * count, axis + 2).narrow(axis + 2, -(-(count * length - size) // 2), size)
    return tile


def test_what_dense_feedback_brings_to_places_lies_there_with_its_channels_last() -> None:
    for seeds in ((0,), (0, 1)):
        network = network_of(rules.dfa(circuit_with(CONVOLUTIONS["same"])), seeds)
        batch = batch_for(network.circuit, replicas=len(seeds))
        swept = network.forward(batch.x)
        network.backward(swept, batch.y)
        for kind in (swept.activity, swept.error):
            assert kind["hidden"].stride(-3) == 1


# Weight mirrors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["same", "strided", "grouped", "around", "line"])
def test_noise_turns_the_feedback_of_a_convolution_to_its_kernel(name: str) -> None:
    wiring = CONVOLUTIONS[name]
    network = network_of(rules.wm(circuit_with(wiring)), dtype="float32")
    forward = {name: weight.clone() for name, weight in network.parameters("feedforward").items()}
    assert bool((kernel_angle(network) > 45).all())
    mirror = network.twin(network.circuit.driven_at("hidden"))
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        noise = 0.5 * torch.randn(2, 100, network.circuit.populations["hidden"].units, generator=generator)
        mirror.step(noise, loss="none", optimizer=ns.SGD(lr=0.5))
    # Weights that reach over a border see fewer places than those in the middle of the kernel, so an angle remains.
    assert bool((kernel_angle(network) < (18 if name == "strided" else 12)).all())
    for label, weight in network.parameters("feedforward").items():
        assert torch.equal(weight, forward[label]), label


def kernel_angle(network: Any) -> Tensor:
    wiring = network.circuit.projections["hidden_to_top"].wiring
    forward = grouped(network.weights["hidden_to_top"], wiring).flatten(1)
    back = grouped(network.weights["top_to_hidden"], wiring).transpose(3, 4).flatten(1)
    return torch.nn.functional.cosine_similarity(forward, back, dim=1).arccos().rad2deg()


def test_noise_is_answered_without_norms_and_leaves_their_statistics_alone() -> None:
    network = ns.compile(rules.wm(RESIDUAL), seeds=(0, 1), device="cpu", dtype="float32")
    weight = network.weights["stem_to_hidden1"]
    weight.mul_(torch.tensor([0.1, 0.5, 2, 5]).view(-1, 1, 1, 1))  # a norm would hide how strong each channel is
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    mirror = network.twin(network.circuit.driven_at("stem"))
    generator = torch.Generator().manual_seed(0)
    for _ in range(60):
        noise = 0.5 * torch.randn(2, 100, 4 * 36, generator=generator)
        mirror.step(noise, loss="none", optimizer=ns.SGD(lr=0.5))
    back = network.weights["hidden1_to_stem"].transpose(2, 3).flatten(1)
    angle = torch.nn.functional.cosine_similarity(weight.flatten(1), back, dim=1).arccos().rad2deg()
    assert bool((angle < 10).all())
    for name, tensor in network.state_dict().items():
        changed = not torch.equal(tensor, state[name]) if name in state else False
        assert not changed or name == "weights/hidden1_to_stem" or not tensor.dim(), name
