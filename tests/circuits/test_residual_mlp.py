"""The residual perceptron: what it computes, and what rules make of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import neurosal as ns
from neurosal import circuits, rules
from neurosal.errors import CircuitError
from neurosal.graph import Circuit, Constant, Rate, RMSNorm, XavierUniform
from tests.reference.batches import batch_for
from tests.reference.copying import array

EXACT = 1e-9


def rms(a: Tensor) -> Tensor:
    return a * torch.rsqrt(a.pow(2).mean(-1, keepdim=True) + 1e-5)


def by_hand(network: Any, x: Tensor, replica: int, *, scale: float, norm: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """The logits of one replica as a few lines of torch, with each sample's area where there are areas; and the leaves
    that autograd gives gradients to."""
    leaves: dict[str, Tensor] = {}
    found = network.signals(x)

    def leaf(name: str, values: Tensor) -> Tensor:
        leaves[name] = values[replica].detach().clone().requires_grad_()
        return leaves[name]

    def dense(source: str, target: str, rows: Tensor) -> Tensor:
        name = f"{source}_to_{target}"
        weight, bias = leaf(name, network.weights[name]), leaf(f"{target}.bias", network.biases[f"{target}.bias"])
        area = found[target].get("area", torch.zeros(replica + 1, len(rows), dtype=torch.int64))[replica].clone()
        return torch.einsum("noi,ni->no", weight[area], rows) + bias[area]

    h = dense("input", "stream0", x[replica])
    for block in range(1, sum(name.startswith("hidden") for name in network.circuit.populations) + 1):
        hidden = scale * torch.relu(rms(h) if norm else h)
        h = h + dense(f"hidden{block}", f"stream{block}", hidden)
    last = "final" if norm else f"stream{block}"
    return dense(last, "output", rms(h) if norm else h), leaves


@pytest.mark.parametrize(("norm", "scale"), [("rms", 0.4), (None, 0.4), (None, 1.0)])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("make", [rules.bp, rules.kp_tied, lambda c: rules.sal(c, areas=3, rank=2, feedback="bp")])
def test_backpropagation_through_skips_and_norms_is_autograds(
    make: Any, replicas: int, norm: Any, scale: float
) -> None:
    circuit = make(circuits.residual_mlp(5, 6, 4, blocks=4, branch_scale=scale, norm=norm))
    network = ns.compile(circuit, seeds=range(replicas), device="cpu", dtype="float64")
    for name, bias in network.biases.items():
        bias.copy_(torch.linspace(-1, 1, bias.numel(), dtype=bias.dtype).view(bias.shape) * len(name) / 20)
    batch = batch_for(circuit, 3, replicas=replicas, samples=9)
    x, y = batch.x, batch.y
    found = network.updates(x, y)
    for replica in range(replicas):
        logits, leaves = by_hand(network, x, replica, scale=scale, norm=norm == "rms")
        assert (network.predict(x)[replica] - logits).abs().max() < EXACT
        torch.nn.functional.cross_entropy(logits, y[replica]).backward()
        assert len(leaves) == 12
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            assert abs(array(found[name][replica]) - array(leaf.grad)).max() < EXACT, name
    network.step(x, y, optimizer=ns.SGD(lr=0.1))
    fresh = ns.compile(circuit, seeds=range(replicas), device="cpu", dtype="float64")
    for name in fresh.weights:
        if network.circuit.projections[name].pathway == "feedforward" and name in found:
            assert torch.allclose(network.weights[name], fresh.weights[name] - 0.1 * found[name], rtol=0, atol=1e-12)


def test_every_arm_of_a_study_of_depth_compiles_and_learns_where_it_should() -> None:
    plain = circuits.residual_mlp(5, 6, 4, blocks=3)
    past_blocks = [name for name in plain.projections if "hidden" not in name]
    streams = {"stream0", "stream1", "stream2", "stream3"}
    arms = {
        "sal": (rules.sal(plain, areas=2, rank=2), streams),
        "kp": (rules.kp(plain, init=XavierUniform(gain=0.1)), streams),
        "pfa": (rules.pfa(plain), streams),
        "pfa_o": (rules.pfa_o(plain), streams),
        "usf": (rules.usf(plain), streams),
        "fa": (rules.fa(plain), streams),
        "dfa": (rules.dfa(plain), streams),
        "shallow": (rules.shallow(plain), set()),
        "skips-only": (rules.kp(plain, only=past_blocks), streams),
        "bp": (rules.bp(plain), streams),
    }
    batch = batch_for(plain, 1, samples=8)
    for name, (circuit, learning) in arms.items():
        network = ns.compile(circuit, seeds=(0, 1), device="cpu", dtype="float64")
        before = {key: tensor.clone() for key, tensor in network.parameters("feedforward").items()}
        network.step(batch.x, batch.y, optimizer=ns.SGD(lr=0.1))
        moved = {
            key for key, tensor in network.parameters("feedforward").items() if not torch.equal(tensor, before[key])
        }
        targets = {circuit.projections[key].target for key in moved if key in circuit.projections}
        assert targets == learning | {"output"}, name
        assert {key.removesuffix(".bias") for key in moved if key.endswith(".bias")} == learning | {"output"}, name


def test_direct_rules_reach_streams_and_nothing_else() -> None:
    feedback = rules.dfa(circuits.residual_mlp(5, 6, 4, blocks=2)).select(pathway="feedback")
    assert [edge.target for edge in feedback.values()] == ["stream0", "stream1", "stream2"]


def test_streams_and_output_have_areas_and_samples_are_sorted_once() -> None:
    circuit = rules.sal(circuits.residual_mlp(5, 6, 4, blocks=3), areas=4)
    network = ns.compile(circuit, device="cpu")
    assert {name for name, entry in circuit.populations.items() if entry.areas == 4} == {
        "stream0",
        "stream1",
        "stream2",
        "stream3",
        "output",
    }
    orders = network.plan.orders
    assert {orders[name] for name in circuit.populations if name != "input"} == {"route_stream0"}
    batch = network.forward(torch.randn(10, 5, generator=torch.Generator().manual_seed(0)))
    network.backward(batch, torch.zeros(10, dtype=torch.int64))
    assert len(batch.memo) == 1  # the input


def test_initial_scales_are_those_asked_for() -> None:
    circuit = circuits.residual_mlp(
        5, 6, 4, blocks=2, branch_init=XavierUniform(gain=0.1), readout_init=Constant(value=0)
    )
    inits = {name: edge.weights.init for name, edge in circuit.projections.items()}  # type: ignore[attr-defined]
    assert inits["input_to_stream0"] == XavierUniform()
    assert inits["hidden1_to_stream1"] == inits["hidden2_to_stream2"] == XavierUniform(gain=0.1)
    assert inits["final_to_output"] == Constant(value=0)
    assert circuit.populations["hidden1"].model == Rate(bias=False, norm=RMSNorm(), gain=0.3)


def test_the_graph_goes_through_every_door_and_back() -> None:
    circuit = rules.kp(circuits.residual_mlp(5, 6, 4, blocks=2))
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    assert Circuit.from_dict(circuit.to_dict()) == circuit
    assert Circuit.from_networkx(circuit.to_networkx()) == circuit
    network = ns.compile(circuit, seeds=(0, 1), device="cpu", dtype="float64")
    x = batch_for(circuit, 2).x[1]
    module = network.to_module(replica=1)
    assert torch.allclose(module(x), network.predict(x)[1], rtol=0, atol=1e-12)
    other = ns.compile(circuit, seeds=(5,), device="cpu", dtype="float64")
    other.load_module(module)
    assert torch.allclose(other.predict(x)[0], network.predict(x)[1], rtol=0, atol=1e-12)


def test_what_cannot_be_built_is_refused_all_at_once() -> None:
    with pytest.raises(CircuitError) as refused:
        circuits.residual_mlp(0, 6, 4, blocks=1.5, branch_scale=0, norm="batch")  # type: ignore[arg-type]
    assert [problem.place for problem in refused.value.problems] == ["inputs", "blocks", "branch_scale", "norm"]
