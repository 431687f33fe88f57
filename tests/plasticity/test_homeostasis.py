"""Homeostasis in closed form: sums of weights that are kept, rates that are sought, several plasticities at once."""

from __future__ import annotations

import numpy as np
import pytest

import neurosal as ns
from neurosal.graph import LIF, Circuit, EdgeList, Jump, Own, Population, Projection, Uniform
from neurosal.lower.spiking import realise
from neurosal.plasticity import STDP, Combined, Delta, Gated, Hebbian, Normalised, Oja, SynapticScaling
from tests.plasticity.protocols import ENGINES, Protocol, weights_after
from tests.reference.numerics import Array

ENGINE = pytest.mark.parametrize("engine", ENGINES)
EDGES = ((0, 0), (0, 1), (1, 1), (2, 1), (2, 2), (3, 3))
POST = np.array([post for _, post in EDGES])


def circuit_of(plasticity: object, low: float = 1.0, high: float = 2.0, **fields: object) -> Circuit:
    edge = Projection(source="a", target="b", synapse=Jump(), wiring=EdgeList(edges=EDGES),
                      weights=Own(init=Uniform(low=low, high=high)), plasticity=plasticity, **fields)  # type: ignore[arg-type] # fmt: skip
    cells = Population(size=4, model=LIF())
    return Circuit(populations={"a": cells, "b": cells}, projections={"a_to_b": edge})


def summed(weight: Array) -> Array:
    return np.array([weight[unit == POST].sum() for unit in range(4)])


@ENGINE
@pytest.mark.parametrize("sign", [1, -1])
def test_weights_that_arrive_at_a_unit_are_made_to_sum_up(engine: str, sign: int) -> None:
    circuit = circuit_of(Normalised(total=7.0 * sign, every_ms=1.0), *((1, 2) if sign > 0 else (-2, -1)))
    first = realise(circuit, 0, 0.1).edges["a_to_b"].weight
    found = weights_after(engine, circuit, "a_to_b", steps=15)
    assert abs(summed(found) - 7 * sign).max() < 1e-12
    assert abs(found / first - (7 * sign / summed(first))[POST]).max() < 1e-12


@ENGINE
def test_an_equal_amount_keeps_differences(engine: str) -> None:
    circuit = circuit_of(Normalised(total=7.0, every_ms=1.0, by="amount"))
    first = realise(circuit, 0, 0.1).edges["a_to_b"].weight
    found = weights_after(engine, circuit, "a_to_b", steps=3)
    expected = first + ((7 - summed(first)) / np.bincount(POST))[POST]
    assert abs(found - expected).max() < 1e-12


@ENGINE
def test_a_unit_without_weights_is_left_alone(engine: str) -> None:
    assert not weights_after(engine, circuit_of(Normalised(total=7.0), 0.0, 1e-320), "a_to_b", steps=2).round(9).any()


@ENGINE
def test_scaling_follows_the_rate_that_is_averaged(engine: str) -> None:
    """Two spikes at 20 and 60 ms: w is multiplied by 1 + β T (ρ₀ - ρ) at every interval, with ρ from its kernel."""
    rule = SynapticScaling(target_hz=10.0, beta_per_hz_s=0.5, tau_ms=40.0, every_ms=25.0)
    protocol = Protocol(rule, arrivals=[[5], []], fired=[[20, 60], []], steps=130)
    expected = np.full(2, 0.5)
    for now in range(0, 130, 25):
        rate = [sum(1000 / 40 * np.exp(-(now - f) / 40) for f in spikes if f <= now) for spikes in ([20, 60], [])]
        rate = np.array(rate) + 10 * np.exp(-now / 40)  # the average begins at the target
        expected = expected * (1 + 0.5 * 0.025 * (10 - rate))
    assert abs(getattr(protocol, engine)()["w"] - expected).max() < 1e-12
    assert expected[0] < 0.5 < expected[1]


@ENGINE
def test_learning_beside_normalisation_and_scaling(engine: str) -> None:
    """Pair STDP between intervals, the sum made 2 at each: one synapse a unit, so w is 2 after each interval."""
    parts = (STDP(a_plus=0.1, a_minus=0.1), Normalised(total=2.0, every_ms=50.0),
             SynapticScaling(target_hz=0.0, beta_per_hz_s=0.0, every_ms=50.0))  # fmt: skip
    protocol = Protocol(Combined(parts=parts), arrivals=[[10, 70]], fired=[[20, 75]], steps=90)
    expected = 2 + 0.1 * (np.exp(-5 / 20) + np.exp(-65 / 20)) - 0.1 * np.exp(-50 / 20)
    assert getattr(protocol, engine)()["w"][0] == pytest.approx(expected, abs=1e-13)


@ENGINE
def test_a_gate_lets_changes_through_and_leaves_traces_alone(engine: str) -> None:
    """The gate is open by what a modulation brings: 1 at 30 ms, fading with 10 ms."""
    protocol = Protocol(Gated(of=STDP(a_plus=0.1, a_minus=0.3, w_min=None), signal="reward"), arrivals=[[10, 42]],
                        fired=[[20, 35]], steps=60, reward=((30,), 10.0))  # fmt: skip
    grown = 0.1 * np.exp(-5 / 10) * np.exp(-25 / 20)
    shrunk = 0.3 * np.exp(-12 / 10) * (np.exp(-22 / 20) + np.exp(-7 / 20))
    assert getattr(protocol, engine)()["w"][0] == pytest.approx(0.5 + grown - shrunk, abs=1e-13)


def test_what_cannot_act_together_is_refused() -> None:
    with pytest.raises(ns.CircuitError, match=r"intervals of 10\.0 and of 20\.0 ms"):
        Combined(parts=(Normalised(total=1.0, every_ms=10), Normalised(total=1.0, every_ms=20)))
    for make in (
        lambda: Combined(parts=(STDP(), Delta())),
        lambda: Gated(of=Delta()),
        lambda: Gated(of=Hebbian(centred=True)),
    ):
        with pytest.raises(ns.CircuitError, match="continuous time"):
            make()


def test_a_rate_is_a_gate_for_all_parts() -> None:
    assert Combined(parts=(Oja(),), rate=0.5).program().each_step[0].startswith("w += 0.5 * (")
    assert Gated(of=Oja(), rate=0.5).program().each_step[0].startswith("w += 0.5 * post.gate * (")
    nested = Combined(parts=(Gated(of=STDP(), signal="reward"), Normalised(total=1.0)))
    assert Combined.from_dict(nested.to_dict()) == nested
