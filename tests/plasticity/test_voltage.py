"""Voltage-based STDP under a potential that stands still, where filters and sums have closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import neurosal as ns
from neurosal.graph import LIF, Circuit, Constant, Modulation, OneToOne, Own, Population, Projection, SpikeTrain
from neurosal.plasticity import VoltageSTDP
from tests.plasticity.protocols import ENGINES, Protocol, weights_after

ENGINE = pytest.mark.parametrize("engine", ENGINES)


def circuit_at(potential_mv: float, rule: VoltageSTDP, arrival: int, dt_ms: float) -> Circuit:
    """One synapse at which one spike arrives, onto a cell that stays where it is and never spikes."""
    cell = LIF(e_leak_mv=potential_mv, v_threshold_mv=1e3)
    edge = Projection(source="pre", target="post", wiring=OneToOne(), synapse=Modulation(variable="heard"),
                      weights=Own(init=Constant(value=0.5)), plasticity=rule)  # fmt: skip
    source = SpikeTrain(times_ms=(arrival * dt_ms,), units=(0,))
    populations = {"pre": Population(size=1, model=source), "post": Population(size=1, model=cell)}
    return Circuit(populations=populations, projections={"pre_to_post": edge})


@ENGINE
@pytest.mark.parametrize("potential_mv", [-75.0, -60.0, -40.0])
def test_a_steady_potential(engine: str, potential_mv: float) -> None:
    dt, arrival, steps = 0.5, 20, 100
    rule = VoltageSTDP(start_mv=-65.0, a_ltp_per_mv_mv=2e-4, w_min=None)
    circuit = circuit_at(potential_mv, rule, arrival, dt)
    found = weights_after(engine, circuit, "pre_to_post", steps=steps, dt_ms=dt,
                          arrivals=(arrival,), post={"v_mv": potential_mv})  # fmt: skip

    def filtered(step: np.ndarray | int, tau: float) -> np.ndarray:
        """At the end of how many updates."""
        return potential_mv + (-65 - potential_mv) * np.exp(-np.asarray(step) * dt / tau)

    lost = 14e-5 * max(filtered(arrival, 10.0) + 70.6, 0)
    later = np.arange(arrival, steps)
    trace = np.exp(-(later - arrival) * dt / 15) / 15
    room = max(potential_mv + 45.3, 0) * np.maximum(filtered(later, 7.0) + 70.6, 0)
    assert found[0] == pytest.approx(0.5 - lost + 2e-4 * dt * (trace * room).sum(), abs=1e-13)


@ENGINE
def test_spikes_without_a_shape_count_as_time_at_their_peak(engine: str) -> None:
    """A pair 5 ms apart on a cell at rest below every threshold: change comes from the spike alone."""
    rule = VoltageSTDP(start_mv=-70.0, theta_minus_mv=-70.6, spike_mv=20.0, spike_ms=1.0, w_min=None)
    protocol = Protocol(rule, arrivals=[[20], []], fired=[[25], [25]], steps=26, dt_ms=1.0, v_mv=-70.0)
    gate = np.exp(-5 / 15) / 15 * 0.6  # the filters are at rest, 0.6 mV above θ₋
    grown = 8e-5 * 1.0 * (20 + 45.3) * gate
    assert getattr(protocol, engine)()["w"] == pytest.approx([0.5 - 14e-5 * 0.6 + grown, 0.5], abs=1e-10)


def test_a_peak_below_the_threshold_of_growth_is_refused() -> None:
    with pytest.raises(ns.CircuitError, match="spike_mv above theta_plus_mv"):
        VoltageSTDP(spike_mv=-50.0)
