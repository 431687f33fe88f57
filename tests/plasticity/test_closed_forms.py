"""Closed forms: what local plasticity comes to, and how fast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal.graph import Circuit, Constant, Own, Plasticity, Population, Projection, Rate, Source
from neurosal.graph.models import Activation
from neurosal.plasticity import BCM, AntiHebbian, Delta, Hebbian, Oja
from neurosal.stats import base


def layer(
    plasticity: Plasticity,
    inputs: int = 5,
    outputs: int = 1,
    *,
    lateral: Plasticity | None = None,
    activation: Activation = "linear",
    **model: Any,
) -> Circuit:
    """One linear layer, with lateral synapses that start at zero where a plasticity is given for them."""
    circuit = Circuit(
        populations={
            "input": Population(size=inputs, model=Source()),
            "output": Population(size=outputs, model=Rate(activation=activation, bias=False, **model)),
        },
        projections={"input_to_output": Projection(source="input", target="output", plasticity=plasticity)},
    )
    if lateral is None:
        return circuit
    edge = Projection(
        source="output", target="output", pathway="lateral", weights=Own(init=Constant(value=0.0)), plasticity=lateral
    )
    return circuit.with_projections(output_to_output=edge)


def network_of(circuit: Circuit, seeds: Any = (0, 1)) -> Any:
    return ns.compile(circuit, seeds=seeds, device="cpu", dtype="float64")


def samples(count: int, units: int, seed: int = 0) -> torch.Tensor:
    """Normal inputs of mean zero whose directions have different variances, none along an axis."""
    random = np.random.default_rng(seed)
    turned, _ = np.linalg.qr(np.random.default_rng(99).normal(size=(units, units)))
    x = random.normal(size=(count, units)) * np.linspace(2.0, 0.5, units) @ turned.T
    return torch.from_numpy(x - x.mean(0))


def components(x: torch.Tensor) -> torch.Tensor:
    """Eigenvectors of the correlations, the first one first, as rows."""
    return torch.linalg.eigh(x.T @ x / len(x))[1].T.flip(0)


def test_hebb_grows_along_the_eigenvectors_of_the_correlations_exactly_at_each_step() -> None:
    x, eta = samples(40, 5), 0.05
    network = network_of(layer(Hebbian(), outputs=3))
    start, correlations = network.weights["input_to_output"][:, 0].clone(), x.T @ x / len(x)
    values, vectors = torch.linalg.eigh(correlations)
    for step in range(1, 31):
        network.step(x, loss="none", optimizer=ns.SGD(lr=eta))
        expected = start @ vectors @ torch.diag((1 + eta * values) ** step) @ vectors.T
        found = network.weights["input_to_output"][:, 0]
        assert (found - expected).abs().max() < 1e-12 * expected.abs().max() * step


def test_hebb_with_decay_settles_nowhere_but_shrinks_what_grows_slower_than_it_decays() -> None:
    x, eta, decay = samples(40, 5), 0.05, 0.5
    network = network_of(layer(Hebbian(decay=decay)))
    start = network.weights["input_to_output"][:, 0].clone()
    step = torch.eye(5, dtype=torch.float64) * (1 - eta * decay) + eta * x.T @ x / len(x)
    for _ in range(20):
        network.step(x, loss="none", optimizer=ns.SGD(lr=eta))
    expected = start @ torch.linalg.matrix_power(step, 20)
    assert (network.weights["input_to_output"][:, 0] - expected).abs().max() < 1e-10


def test_centred_hebb_sees_the_covariance_and_not_the_mean() -> None:
    x = samples(40, 5) + 3.0
    network = network_of(layer(Hebbian(centred=True)))
    change = network.updates(x, loss="none")["input_to_output"][:, 0]
    expected = -network.weights["input_to_output"][:, 0] @ torch.cov(x.T, correction=0)
    assert (change - expected).abs().max() < 1e-12


@pytest.mark.parametrize("optimizer", [ns.SGD(lr=0.05), ns.SGD(lr=0.01, momentum=0.8)], ids=repr)
def test_oja_comes_to_the_first_principal_component_at_length_one(optimizer: Any) -> None:
    x = samples(500, 5)
    network = network_of(layer(Oja(), outputs=2))
    for step in range(600):
        network.step(x[(step * 50) % 500 :][:50], loss="none", optimizer=optimizer)
    for _ in range(300):
        network.step(x, loss="none", optimizer=optimizer)
    weights = network.weights["input_to_output"][:, 0].flatten(0, 1)
    assert (weights.norm(dim=-1) - 1).abs().max() < 1e-6
    first = components(x)[0].expand_as(weights)
    angle = base.angle(weights, first, axis=1)
    assert bool((torch.minimum(angle, 180 - angle) < 1).all())


def test_oja_shrinks_long_weights_and_grows_short_ones_by_its_equation() -> None:
    x = samples(40, 5)
    network = network_of(layer(Oja()))
    w = network.weights["input_to_output"][:, 0, 0].clone()
    y = w @ x.T
    expected = -(y @ x / len(x) - (y**2).mean(1, keepdim=True) * w)
    assert (network.updates(x, loss="none")["input_to_output"][:, 0, 0] - expected).abs().max() < 1e-13


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_bcm_comes_to_answer_one_of_two_orthogonal_inputs_by_one_over_its_share(share: float) -> None:
    one, two = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
    first = round(8 * share)
    x = torch.from_numpy(np.array([one] * first + [two] * (8 - first)))
    network = network_of(layer(BCM(time_constant=10), inputs=2), seeds=range(6))
    weights = network.weights["input_to_output"]
    weights[:, 0, 0] = torch.rand(6, 2, generator=torch.Generator().manual_seed(1)) @ torch.tensor(
        [[0.6, 0.8], [-0.8, 0.6]]
    )
    for _ in range(2000):
        network.step(x, loss="none", optimizer=ns.SGD(lr=0.05))
    answers = weights[:, 0, 0] @ torch.from_numpy(np.stack([one, two], 1))
    chosen = answers.argmax(1)
    wins = torch.tensor([1 / share, 1 / (1 - share)], dtype=torch.float64)[chosen]
    assert (answers.max(1).values - wins).abs().max() < 1e-6
    assert answers.min(1).values.abs().max() < 1e-6
    threshold = network.state_dict()["plasticity/input_to_output/threshold"][:, 0, 0]
    assert (threshold - wins).abs().max() < 1e-5  # θ = p y² = 1/p: the answer stands at its threshold


def test_the_threshold_is_the_mean_at_first_and_then_a_running_one() -> None:
    network = network_of(layer(BCM(time_constant=3)), seeds=[0])
    squares, threshold = [], 0.0
    for step in range(6):
        x = samples(7, 5, seed=step)
        squares.append(float((network.predict(x) ** 2).mean()))
        network.step(x, loss="none", optimizer=ns.SGD(lr=0.01))
        threshold += (squares[-1] - threshold) / min(step + 1, 3)
        found = float(network.state_dict()["plasticity/input_to_output/threshold"])
        assert abs(found - threshold) < 1e-12
        if step < 3:
            assert abs(found - np.mean(squares)) < 1e-12


def covariance(network: Any, x: torch.Tensor) -> torch.Tensor:
    """[R, O, O] of the outputs."""
    return torch.stack([torch.cov(rows.T, correction=0) for rows in network.predict(x)])


def off_diagonal(matrices: torch.Tensor) -> torch.Tensor:
    return matrices - torch.diag_embed(matrices.diagonal(dim1=-2, dim2=-1))


@pytest.mark.parametrize(("below", "mean"), [(Hebbian(rate=0.0), 0.0), (Hebbian(rate=0.0), 2.0), (Oja(rate=0.2), 0.0)])
def test_anti_hebbian_lateral_inhibition_decorrelates_the_outputs(below: Plasticity, mean: float) -> None:
    x = samples(400, 5) + mean
    lateral_rule = AntiHebbian(centred=mean != 0)
    network = network_of(layer(below, outputs=3, lateral=lateral_rule))
    before = off_diagonal(covariance(network, x)).abs().amax((-1, -2))
    for _ in range(600):
        network.step(x, loss="none", optimizer=ns.SGD(lr=0.1))
    matrices = covariance(network, x)
    assert bool((before > 0.1).all())
    assert off_diagonal(matrices).abs().max() < 1e-3
    assert bool((matrices.diagonal(dim1=-2, dim2=-1) > 0.05).all())  # not by silence
    lateral = network.weights["output_to_output"][:, 0]
    assert bool((lateral.diagonal(dim1=-2, dim2=-1) == 0).all())


def test_with_lateral_inhibition_units_of_oja_span_the_first_components() -> None:
    x = samples(400, 5)
    network = network_of(layer(Oja(rate=0.2), outputs=2, lateral=AntiHebbian()))
    for _ in range(1000):
        network.step(x, loss="none", optimizer=ns.SGD(lr=0.1))
    lateral, forward = network.weights["output_to_output"][:, 0], network.weights["input_to_output"][:, 0]
    effective = torch.linalg.solve(torch.eye(2, dtype=torch.float64) - lateral, forward)
    first = components(x)[:2]
    outside = effective - effective @ first.T @ first
    assert (outside.norm(dim=(-1, -2)) / effective.norm(dim=(-1, -2))).max() < 0.02


def test_units_are_active_together_as_often_as_independent_ones_of_the_target_rate() -> None:
    x = samples(400, 5)
    rates = layer(Hebbian(rate=0.0), outputs=3, lateral=AntiHebbian(target=0.4), activation="sigmoid")
    network = network_of(rates)
    for _ in range(500):
        network.step(x, loss="none", optimizer=ns.SGD(lr=2.0))
    y = network.predict(x)
    together = y.mT @ y / len(x)
    assert (off_diagonal(together) - off_diagonal(torch.full((2, 3, 3), 0.16, dtype=torch.float64))).abs().max() < 1e-3


def test_local_plasticity_below_and_delta_above_learn_in_one_circuit() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(2, size=300)
    x = random.normal(size=(300, 6)) * 0.5
    x[:, :3] += (2 * labels[:, None] - 1) * 1.5  # the first component tells the classes apart
    circuit = layer(Oja(rate=0.1), inputs=6, outputs=2)
    circuit = circuit.with_populations(
        hidden=circuit.populations["output"], output=Population(size=2, model=Rate(activation="linear"))
    )
    circuit = Circuit(
        populations=circuit.populations,
        projections={
            "input_to_hidden": circuit.projections["input_to_output"].replace(target="hidden"),
            "hidden_to_output": Projection(source="hidden", target="output", plasticity=Delta()),
        },
    )
    network = network_of(circuit)
    for _ in range(200):
        network.step(torch.from_numpy(x), labels, optimizer=ns.SGD(lr=0.3))
    first = components(torch.from_numpy(x))[0]
    weights = network.weights["input_to_hidden"][:, 0].flatten(0, 1)
    angle = base.angle(weights, first.expand_as(weights), axis=1)
    assert bool((torch.minimum(angle, 180 - angle) < 1).all())
    scores = network.score(network.forward(torch.from_numpy(x)), labels)
    assert bool((scores["accuracy"] > 0.97).all())
