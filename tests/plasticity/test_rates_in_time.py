"""Rates in continuous time: rules of trained layers as programs, in closed form where rates stand still."""

from __future__ import annotations

import numpy as np
import pytest

from neurosal.engine.clock import Clock
from neurosal.graph import (
    Circuit,
    Constant,
    Continuous,
    ContinuousModulation,
    LeakyRate,
    Own,
    Plasticity,
    Population,
    Projection,
    Samples,
    Uniform,
)
from neurosal.lower.spiking import realise
from neurosal.plasticity import BCM, AntiHebbian, Gated, Hebbian, Oja
from tests.plasticity.protocols import ENGINES, weights_after

ENGINE = pytest.mark.parametrize("engine", ENGINES)
X, Y, ETA, W0, DT, N = 0.7, 1.6, 0.02, 0.3, 0.5, 60


def steady(plasticity: Plasticity, gate: float | None = None) -> Circuit:
    """Rates x and y that stand still, and a synapse between them that moves neither."""

    def still(rate: float) -> Population:
        return Population(size=1, model=LeakyRate(bias=rate, start=rate))

    one = Own(init=Constant(value=1.0))
    edge = Projection(source="x", target="y", synapse=ContinuousModulation(variable="heard"),
                      weights=Own(init=Constant(value=W0)), plasticity=plasticity)  # fmt: skip
    circuit = Circuit(populations={"x": still(X), "y": still(Y)}, projections={"x_to_y": edge})
    if gate is None:
        return circuit
    opens = Projection(source="g", target="y", pathway="modulatory", weights=one,
                       synapse=ContinuousModulation(variable="gate", tau_ms=1e-3))  # fmt: skip
    return circuit.replace(populations={**circuit.populations, "g": still(gate)}).with_projections(g_to_y=opens)


def after(engine: str, circuit: Circuit, gate: float = 0.0) -> float:
    found = weights_after(engine, circuit, "x_to_y", steps=N, dt_ms=DT, pre={"r": X}, post={"r": Y, "gate": gate})
    return float(found[0])


@ENGINE
def test_hebb_with_decay_relaxes_to_the_product(engine: str) -> None:
    rest = X * Y / 0.4
    expected = rest + (W0 - rest) * (1 - ETA * DT * 0.4) ** N
    assert after(engine, steady(Hebbian(rate=ETA, decay=0.4))) == pytest.approx(expected, abs=1e-13)
    assert after(engine, steady(Hebbian(rate=ETA))) == pytest.approx(W0 + N * ETA * DT * X * Y, abs=1e-12)


@ENGINE
def test_oja_relaxes_to_the_ratio_of_rates(engine: str) -> None:
    expected = X / Y + (W0 - X / Y) * (1 - ETA * DT * Y**2) ** N
    assert after(engine, steady(Oja(rate=ETA))) == pytest.approx(expected, abs=1e-13)


@ENGINE
def test_anti_hebb_moves_away_from_the_product(engine: str) -> None:
    expected = W0 - N * ETA * DT * (X * Y - 0.25)
    assert after(engine, steady(AntiHebbian(rate=ETA, target=0.5))) == pytest.approx(expected, abs=1e-12)


@ENGINE
def test_bcm_has_the_square_of_a_steady_rate_as_its_threshold(engine: str) -> None:
    expected = W0 + N * ETA * DT * Y * (Y - Y**2) * X
    assert after(engine, steady(BCM(rate=ETA, time_constant=20))) == pytest.approx(expected, abs=1e-12)


@ENGINE
def test_a_signal_gates_learning_of_rates(engine: str) -> None:
    circuit = steady(Gated(of=Hebbian(rate=ETA)), gate=0.25)
    assert after(engine, circuit, gate=0.25) == pytest.approx(W0 + 0.25 * N * ETA * DT * X * Y, abs=1e-9)
    closed = steady(Gated(of=Hebbian(rate=ETA)), gate=0.0)
    assert after(engine, closed) == W0


def test_the_threshold_of_bcm_is_the_mean_so_far_and_then_a_running_one() -> None:
    from tests.reference.by_event import ByEvent

    program = BCM(time_constant=4.0, rate=0.0).program()
    synapse = ByEvent(program, [0], [0], 1.0, {"w": [1.0], "threshold": [0.0], "elapsed": [0.0]})
    rates, seen = [1.0, 2.0, 0.5, 3.0, 1.5, 0.1], []
    for rate in rates:
        synapse.step(pre=[{"r": 1.0}], post=[{"r": rate}])
        seen.append(synapse.now("threshold")[0])
    expected = [np.mean(np.square(rates[: k + 1])) for k in range(4)]
    for rate in rates[4:]:
        expected.append(expected[-1] + (rate**2 - expected[-1]) / 4)
    assert seen == pytest.approx(expected, abs=1e-14)


def test_oja_finds_the_first_component_of_rates_that_change() -> None:
    """Three inputs of unequal, mixed variances onto one linear unit, replica by replica from other weights. A unit
    answers what its inputs were a step ago: of inputs that hold for five steps it hears the present ones in four, and
    so comes to the length √(4/5)."""
    random = np.random.default_rng(5)
    turned, _ = np.linalg.qr(random.normal(size=(3, 3)))
    values = random.normal(size=(600, 3)) * (1.5, 0.5, 0.3) @ turned.T
    values -= values.mean(0)
    given = Samples(every_ms=5.0, values=tuple(map(tuple, values.tolist())))
    populations = {
        "input": Population(size=3, model=LeakyRate(tau_ms=0.01, injected=given)),
        "output": Population(size=1, model=LeakyRate(tau_ms=0.01)),
    }
    edge = Projection(source="input", target="output", synapse=Continuous(), plasticity=Oja(rate=0.003),
                      weights=Own(init=Uniform(low=-0.5, high=0.5)))  # fmt: skip
    circuit = Circuit(populations=populations, projections={"input_to_output": edge})
    clock = Clock([realise(circuit, seed, 1.0) for seed in range(3)])
    clock.run(3000)
    first = np.linalg.eigh(values.T @ values)[1][:, -1]
    for replica in range(3):
        w = clock.projections["input_to_output"].of_replica("w", replica).numpy()
        assert abs(w @ first) / np.linalg.norm(w) > np.cos(np.radians(5))
        assert w @ w == pytest.approx(0.8, abs=0.1)
