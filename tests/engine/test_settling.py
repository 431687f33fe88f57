"""Lateral projections: activity settles, error is gated where it has, and units do not hear themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import neurosal as ns
from neurosal import rules
from neurosal.graph import Circuit, Constant, Normal, OneToOne, Own, Projection, Rate, Transpose
from neurosal.graph.models import Activation
from neurosal.lower.plan import plan
from neurosal.plasticity import Fixed
from tests.reference.batches import batch_for, batches_for
from tests.reference.copying import distance, interpreter_of
from tests.rules.table import chain_of

ACTIVATIONS: tuple[Activation, ...] = ("linear", "relu", "tanh", "sigmoid", "gelu", "elu", "softplus")


def lateral(population: str = "hidden1", **fields: Any) -> Projection:
    given = {"weights": Own(init=Normal(std=0.2)), **fields}
    return Projection(source=population, target=population, pathway="lateral", **given)


def circuit_of(activation: Activation = "linear", *, rule: Any = rules.fa, edge: Any = None, **model: Any) -> Circuit:
    chain = chain_of(4, 5, 3)
    hidden = chain.populations["hidden1"].replace(model=Rate(activation=activation, **model))
    circuit: Circuit = rule(chain.with_populations(hidden1=hidden))
    return circuit.with_projections(hidden1_to_hidden1=lateral() if edge is None else edge)


def network_of(circuit: Circuit, seeds: Any = (0, 1)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_linear_population_settles_at_the_inverse_of_one_minus_its_lateral_weights(seeds: Any) -> None:
    network = network_of(circuit_of(settle_steps=150), seeds)
    network.biases["hidden1.bias"].normal_()
    x = batch_for(network.circuit, replicas=len(seeds)).x
    weights, bias = network.weights, network.biases["hidden1.bias"]
    drive = x @ weights["input_to_hidden1"][:, 0].mT + bias
    expected = torch.linalg.solve(torch.eye(5, dtype=torch.float64) - weights["hidden1_to_hidden1"][:, 0], drive.mT).mT
    assert (network.signals(x)["hidden1"]["activity"] - expected).abs().max() < 1e-12


def test_it_settles_for_as_many_steps_as_the_model_says_from_what_comes_from_below() -> None:
    for steps in (1, 2, 7):
        network = network_of(circuit_of("tanh", settle_steps=steps, settle_rate=0.3))
        x = batch_for(network.circuit).x
        drive = x @ network.weights["input_to_hidden1"][:, 0].mT
        h = drive.tanh()
        for _ in range(steps):
            h = h + 0.3 * ((drive + h @ network.weights["hidden1_to_hidden1"][:, 0].mT).tanh() - h)
        assert (network.signals(x)["hidden1"]["activity"] - h).abs().max() < 1e-14


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("areas", [1, 3])
def test_steps_are_those_of_the_slow_reference_with_the_gate_at_the_settled_state(
    activation: Activation, areas: int
) -> None:
    def rule(circuit: Circuit) -> Circuit:
        return rules.sal(circuit, areas=areas, rank=3, feedback="kp")

    circuit = circuit_of(activation, rule=rule, settle_steps=6)  # the lateral weights learn by delta, as is usual
    network = network_of(circuit)
    optimizer = ns.SGD(lr=0.1, momentum=0.9, weight_decay=0.01)
    reference = interpreter_of(network, circuit, optimizer=optimizer)
    before = network.weights["hidden1_to_hidden1"].clone()
    for batch in batches_for(circuit, 4):
        expected = reference.step(batch.arrays, batch.targets)
        assert abs(network.step(batch.x, batch.y, optimizer=optimizer).numpy() - expected).max() < 1e-11
        assert distance(network, reference) < 1e-11
    assert not torch.equal(network.weights["hidden1_to_hidden1"], before)


@pytest.mark.parametrize(
    "optimizer", [ns.SGD(lr=0.1), ns.SGD(lr=0.1, momentum=0.9), ns.Adam(lr=0.1), ns.SGD(lr=0.1, clip=1.0)], ids=repr
)
def test_dense_lateral_projections_join_no_unit_to_itself(optimizer: Any) -> None:
    network = network_of(circuit_of("tanh"))
    for batch in batches_for(network.circuit, 3):
        network.step(batch.x, batch.y, optimizer=optimizer)
        weight = network.weights["hidden1_to_hidden1"]
        assert bool((weight.diagonal(dim1=-2, dim2=-1) == 0).all())
        assert bool((weight != 0).any())
    assert bool((network.updates(batch.x, batch.y)["hidden1_to_hidden1"].diagonal(dim1=-2, dim2=-1) == 0).all())


def test_one_to_one_lateral_weights_are_what_a_unit_says_to_itself() -> None:
    edge = lateral(wiring=OneToOne(), weights=Own(init=Constant(value=0.5)), plasticity=Fixed())
    network = network_of(circuit_of(edge=edge, settle_steps=200))
    x = batch_for(network.circuit).x
    drive = x @ network.weights["input_to_hidden1"][:, 0].mT
    assert (network.signals(x)["hidden1"]["activity"] - 2 * drive).abs().max() < 1e-12


def test_parallel_lateral_projections_add_and_a_tie_makes_them_symmetric() -> None:
    circuit = circuit_of(edge=lateral(weights=Own(init=Normal(std=0.1))), settle_steps=150).with_projections(
        back=lateral(weights=Transpose(of="hidden1_to_hidden1"), plasticity=Fixed())
    )
    network = network_of(circuit)
    x = batch_for(circuit).x
    one = network.weights["hidden1_to_hidden1"][:, 0]
    assert torch.equal(network.weights["back"][:, 0], one.mT)
    drive = x @ network.weights["input_to_hidden1"][:, 0].mT
    expected = torch.linalg.solve(torch.eye(5, dtype=torch.float64) - one - one.mT, drive.mT).mT
    assert (network.signals(x)["hidden1"]["activity"] - expected).abs().max() < 1e-9


def test_no_error_travels_along_lateral_projections() -> None:
    network, batch = network_of(circuit_of()), batch_for(circuit_of())
    arrived = network.signals(batch.x, batch.y)["hidden1"]["error"]
    sent = network.signals(batch.x, batch.y)["output"]["error"]
    assert (arrived - sent @ network.weights["output_to_hidden1"][:, 0].mT).abs().max() < 1e-14


def test_silenced_units_are_silent_while_the_others_settle() -> None:
    network = network_of(circuit_of(settle_steps=150))
    keep = torch.tensor([1.0, 0, 1, 1, 0])
    network.silence("hidden1", keep)
    x = batch_for(network.circuit).x
    h = network.signals(x)["hidden1"]["activity"]
    on = keep.bool()
    assert bool((h[..., ~on] == 0).all())
    drive = (x @ network.weights["input_to_hidden1"][:, 0].mT)[..., on]
    among = network.weights["hidden1_to_hidden1"][:, 0][:, on][:, :, on]
    expected = torch.linalg.solve(torch.eye(3, dtype=torch.float64) - among, drive.mT).mT
    assert (h[..., on] - expected).abs().max() < 1e-12


def test_the_plan_says_who_settles() -> None:
    assert "forward  hidden1 from input_to_hidden1, settling along hidden1_to_hidden1" in str(plan(circuit_of()))


def test_settings_of_settling_are_written_where_they_are_not_the_usual_ones() -> None:
    circuit = circuit_of(settle_steps=7)
    assert Circuit.from_yaml(circuit.to_yaml()) == circuit
    assert "settle_steps: 7" in circuit.to_yaml()
    assert "settle" not in circuit_of().to_yaml()
    for wrong in ({"settle_steps": 0}, {"settle_rate": 0.0}, {"settle_rate": 1.5}):
        with pytest.raises(ns.CircuitError, match=next(iter(wrong))):
            Rate(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("edge", "expected"),
    [
        (
            Projection(source="hidden1", target="output", pathway="lateral"),
            r"projections\.side\.target.*'hidden1'.*one population after the other.*found 'output'",
        ),
        (lateral("input"), r"projections\.side\.source.*the input 'input'"),
        (lateral("relay_hidden1_to_output"), r"projections\.side.*the error relay"),
    ],
)
def test_lateral_projections_elsewhere_are_refused_with_the_reason(edge: Projection, expected: str) -> None:
    circuit = rules.pfa(chain_of(4, 5, 3)).with_projections(side=edge.replace(plasticity=Fixed()))
    with pytest.raises(ns.CircuitError, match=f"(?s){expected}"):
        ns.check(circuit)
