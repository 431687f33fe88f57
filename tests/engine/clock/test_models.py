"""Neuron models against closed forms, and against loops of numpy that share nothing with the engines."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from typing import Any

import numpy as np
import pytest
import torch

from neurosal.engine.clock import Clock
from neurosal.errors import CircuitError
from neurosal.graph import (
    LIF,
    AdaptiveLIF,
    AdEx,
    Circuit,
    Constant,
    Continuous,
    Dynamical,
    Dynamics,
    EdgeList,
    Izhikevich,
    Jump,
    LeakyIntegrator,
    LeakyRate,
    OneToOne,
    Own,
    Population,
    Projection,
    Ramp,
    Samples,
    SpikeTrain,
    Steps,
    Uniform,
)
from neurosal.lower.spiking import realise
from neurosal.runner.brian2_running import Running, Trace

pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated(,| -) use:DeprecationWarning")  # how Brian2 parses

Array = np.ndarray[Any, Any]


def alone(model: Dynamical, size: int = 1) -> Circuit:
    return Circuit(populations={"cells": Population(size=size, model=model)})


on_both = pytest.mark.parametrize("engine", ["torch", "brian2"])


def course(
    circuit: Circuit, steps: int, dt_ms: float = 0.1, engine: str = "torch"
) -> tuple[dict[str, Array], list[tuple[int, int]]]:
    """State of "cells" at the end of every step, [steps, units], and its spikes as (step, unit)."""
    if engine == "brian2":
        realised = realise(circuit, 0, dt_ms)
        variables = tuple(realised.state["cells"])
        # Brian2 shows state at the start of a step, which is that at the end of the one before.
        ran = Running(realised, steps + 1, traces={"cells": Trace(variables)}).run(steps + 1)
        step_L, unit_L = ran.spikes.get("cells", (np.empty(0, int),) * 2)
        spikes = [(int(step), int(unit)) for step, unit in zip(step_L, unit_L, strict=True) if step < steps]
        return {name: ran.traces["cells"][1][name][1:] for name in variables}, spikes
    clock = Clock([realise(circuit, 0, dt_ms)])
    states: dict[str, list[Array]] = {name: [] for name in clock.state["cells"]}
    spikes = []
    for step in range(steps):
        spikes += [(step, int(unit)) for unit in clock.step()["cells"]]
        for name, value in clock.state["cells"].items():
            states[name].append(value[0].numpy().copy())
    return {name: np.array(rows) for name, rows in states.items()}, spikes


def test_what_is_true_counts_one_in_the_precision_of_all_numbers() -> None:
    class Switched(Dynamical):
        kind = "switched_in_tests"  # type: ignore[assignment]

        def dynamics(self) -> Dynamics:
            return Dynamics(equations={"a": "0.3 * (a < 5)", "b": "minimum(0.7, not a > 5)"}, method="euler")

    state, _ = course(alone(Switched()), 1)
    assert state["a"][0, 0] == 0.1 * 0.3
    assert state["b"][0, 0] == 0.1 * 0.7


# Linear membranes ----------------------------------------------------------------------------------------------------


@on_both
@pytest.mark.parametrize("model", [LIF, LeakyIntegrator])
def test_a_step_of_current_charges_the_membrane_and_its_end_lets_it_decay(
    model: Callable[..., Dynamical], engine: str
) -> None:
    pulse = Steps(times_ms=(5.0, 25.0), values=(100.0, 0.0))
    states, _ = course(
        alone(model(tau_m_ms=10.0, capacitance_pf=200.0, e_leak_mv=-70.0, injected_pa=pulse)), 500, engine=engine
    )
    time = (np.arange(500) + 1) * 0.1
    height = 100.0 * 10.0 / 200.0  # R I
    charged = height * (1 - np.exp(-(np.clip(time, 5, 25) - 5) / 10))
    expected = -70 + charged * np.exp(-np.maximum(time - 25, 0) / 10)
    np.testing.assert_allclose(states["v_mv"][:, 0], expected, rtol=0, atol=1e-12)


@on_both
def test_drive_of_single_units_reaches_these_units(engine: str) -> None:
    drives = Samples(values=((0.0, 3.0), (6.0, 0.0)), every_ms=10.0)
    states, _ = course(
        alone(LIF(tau_m_ms=20.0, injected_mv=drives, e_leak_mv=0.0, v_threshold_mv=50.0), 2), 300, engine=engine
    )
    first = 6 * (1 - exp(-20 / 20))
    second = 3 * (1 - exp(-10 / 20)) * exp(-20 / 20)
    np.testing.assert_allclose(states["v_mv"][-1], [first, second], rtol=0, atol=1e-12)


@on_both
def test_a_ramp_is_a_staircase_of_which_every_stair_charges_exactly(engine: str) -> None:
    ramp = Ramp(first=0.0, last=8.0, end_ms=4.0, every_ms=1.0)
    states, _ = course(alone(LeakyIntegrator(tau_m_ms=10.0, e_leak_mv=0.0, injected_mv=ramp)), 60, engine=engine)
    v = 0.0
    for drive in (0.0, 2.0, 4.0, 6.0, 8.0, 8.0):
        v = drive + (v - drive) * exp(-1 / 10)
    assert states["v_mv"][-1, 0] == pytest.approx(v, rel=1e-12)


@on_both
def test_spikes_under_constant_drive_come_at_the_analytic_times(engine: str) -> None:
    cell = LIF(tau_m_ms=20.0, e_leak_mv=-70.0, v_threshold_mv=-50.0, v_reset_mv=-60.0, refractory_ms=2.0, bias_mv=30.0)
    _, spikes = course(alone(cell), 2000, engine=engine)
    # Charged for n steps from a reset (or from rest), v exceeds the threshold in the first whole step that is enough.
    rising, first = (int(20 * log(gap / 10) / 0.1) + 1 for gap in (20, 30))
    expected = [first - 1]
    while expected[-1] < 2000:
        # The step of the spike is n; steps n + 1 ... n + 19 are refractory (20 steps from n on, which is the first).
        expected.append(expected[-1] + 19 + rising)
    assert [step for step, _ in spikes] == expected[:-1]


def test_each_unit_has_its_own_constants() -> None:
    cell = LIF(e_leak_mv=Uniform(low=-70, high=-60), v_threshold_mv=Uniform(low=-55, high=-50), bias_mv=25.0)
    realised = realise(alone(cell, 5), 0, 0.1)
    clock = Clock([realised])
    first = torch.full((5,), -1.0)
    for step in range(600):
        for unit in clock.step()["cells"].tolist():
            first[unit] = step if first[unit] < 0 else first[unit]
    own = realised.constants["cells"]
    rest, threshold = own["e_leak_mv"], own["v_threshold_mv"]
    assert np.array_equal(realised.state["cells"]["v_mv"], rest)
    expected = [int(20 * log(25 / (e + 25 - t)) / 0.1) for e, t in zip(rest, threshold, strict=True)]
    assert first.tolist() == expected
    assert len(set(expected)) > 1


@on_both
def test_a_refractory_unit_that_is_not_clamped_goes_on_and_only_withholds_its_spikes(engine: str) -> None:
    cell = LIF(tau_m_ms=10.0, e_leak_mv=0.0, v_threshold_mv=10.0, v_reset_mv=0.0, refractory_ms=5.0, bias_mv=40.0,
               clamped=False)  # fmt: skip
    states, spikes = course(alone(cell), 120, engine=engine)
    rising = int(10 * log(40 / 30) / 0.1)  # 28 steps to the threshold, fewer than the 50 of refractory time
    assert [step for step, _ in spikes] == [rising, rising + 50]
    since = states["v_mv"][rising + 1 : rising + 50, 0]
    np.testing.assert_allclose(since, 40 * (1 - np.exp(-np.arange(1, 50) * 0.1 / 10)), rtol=1e-12)


@on_both
def test_a_reset_by_subtraction_keeps_what_exceeded_the_threshold(engine: str) -> None:
    cell = LIF(tau_m_ms=20.0, e_leak_mv=0.0, v_threshold_mv=0.4, v_reset_mv=0.0, refractory_ms=0.0, reset="subtract",
               injected_mv=Samples(values=(20.0, 0.0), every_ms=1.0))  # fmt: skip
    states, spikes = course(alone(cell), 3, dt_ms=1.0, engine=engine)
    charged = 20 * (1 - exp(-1 / 20))
    assert spikes == [(0, 0), (1, 0)]
    assert states["v_mv"][0, 0] == pytest.approx(charged - 0.4, rel=1e-12)
    assert states["v_mv"][1, 0] == pytest.approx((charged - 0.4) * exp(-1 / 20) - 0.4, rel=1e-12)


# Adaptation ----------------------------------------------------------------------------------------------------------


def forced(model: Dynamical, times_ms: tuple[float, ...]) -> Circuit:
    """A cell that jumps over its threshold at these times."""
    return Circuit(
        populations={
            "input": Population(size=1, model=SpikeTrain(times_ms=times_ms, units=(0,) * len(times_ms))),
            "cells": Population(size=1, model=model),
        },
        projections={
            "input_to_cells": Projection(source="input", target="cells", wiring=OneToOne(), synapse=Jump(),
                                         weights=Own(init=Constant(value=500.0)))
        },
    )  # fmt: skip


@on_both
def test_a_threshold_rises_with_each_spike_and_decays_in_refractory_time_too(engine: str) -> None:
    cell = AdaptiveLIF(threshold_step_mv=1.5, tau_threshold_ms=80.0, refractory_ms=5.0)
    states, spikes = course(forced(cell, (1.0, 10.0)), 200, engine=engine)
    assert [step for step, _ in spikes] == [11, 101]
    after = np.arange(1, 200)
    one = np.where(after >= 11, 1.5 * np.exp(-(after - 11) * 0.1 / 80), 0)
    two = np.where(after >= 101, 1.5 * np.exp(-(after - 101) * 0.1 / 80), 0)
    np.testing.assert_allclose(states["adaptation_mv"][1:, 0], one + two, rtol=1e-12)


def test_the_adapted_threshold_is_what_a_spike_must_exceed() -> None:
    cell = AdaptiveLIF(tau_m_ms=10.0, e_leak_mv=0.0, v_threshold_mv=2.0, v_reset_mv=0.0, refractory_ms=0.0,
                       threshold_step_mv=3.0, tau_threshold_ms=1e12, bias_mv=20.0)  # fmt: skip
    _, spikes = course(alone(cell), 600)
    steps, threshold = [-1], 2.0
    while threshold < 20:
        steps.append(steps[-1] + int(10 * log(20 / (20 - threshold)) / 0.1) + 1)
        threshold += 3.0
    assert [step for step, _ in spikes] == [step for step in steps[1:] if step < 600]


@on_both
def test_spike_triggered_current_decays_and_pulls_the_membrane_down(engine: str) -> None:
    cell = AdaptiveLIF(threshold_step_mv=0.0, current_step_pa=40.0, tau_current_ms=50.0, tau_m_ms=20.0,
                       capacitance_pf=100.0, e_leak_mv=0.0, v_threshold_mv=20.0, v_reset_mv=0.0,
                       refractory_ms=0.0)  # fmt: skip
    assert "adaptation_mv" not in cell.dynamics().equations
    states, spikes = course(forced(cell, (1.0,)), 300, engine=engine)
    assert [step for step, _ in spikes] == [11]
    since = np.arange(0, 289) * 0.1
    w = 40 * np.exp(-since / 50)
    v = -40 / 100 * 50 * 20 / (50 - 20) * (np.exp(-since / 50) - np.exp(-since / 20))
    np.testing.assert_allclose(states["w_pa"][11:, 0], w, rtol=1e-12)
    np.testing.assert_allclose(states["v_mv"][11:, 0], v, atol=1e-12)


@on_both
def test_subthreshold_coupling_is_a_linear_system_that_is_solved_exactly(engine: str) -> None:
    cell = AdaptiveLIF(coupling_ns=6.0, current_step_pa=0.0, tau_current_ms=30.0, tau_m_ms=10.0, capacitance_pf=100.0,
                       e_leak_mv=-70.0, v_threshold_mv=1e3, bias_pa=50.0, threshold_step_mv=0.0)  # fmt: skip
    states, _ = course(alone(cell), 500, dt_ms=0.5, engine=engine)
    # Two eigenvalues of the membrane and the current, by hand.
    matrix = np.array([[-1 / 10, -1 / 100], [6 / 30, -1 / 30]])
    rest = -np.linalg.solve(matrix, [50 / 100, 0])
    values, vectors = np.linalg.eig(matrix)
    weights = np.linalg.solve(vectors, -rest)
    time = (np.arange(500) + 1) * 0.5
    both = rest + ((vectors * weights) @ np.exp(np.outer(values, time))).T.real
    np.testing.assert_allclose(states["v_mv"][:, 0] + 70, both[:, 0], atol=1e-11)
    np.testing.assert_allclose(states["w_pa"][:, 0], both[:, 1], atol=1e-10)


# Spikes that grow out of equations -----------------------------------------------------------------------------------


def izhikevich_loop(a: float, b: float, c: float, d: float, current: float, steps: int, dt: float) -> list[int]:
    v, u, spikes = -65.0, b * -65.0, []
    for step in range(steps):
        v, u = v + dt * (0.04 * v * v + 5 * v + 140 - u + current), u + dt * a * (b * v - u)
        if v >= 30:
            spikes.append(step)
            v, u = c, u + d
    return spikes


@on_both
@pytest.mark.parametrize(
    ("name", "constants"),
    [("regular_spiking", (0.02, 0.2, -65, 8)), ("intrinsically_bursting", (0.02, 0.2, -55, 4)),
     ("chattering", (0.02, 0.2, -50, 2)), ("fast_spiking", (0.1, 0.2, -65, 2)),
     ("low_threshold", (0.02, 0.25, -65, 2))],
)  # fmt: skip
def test_izhikevich_neurons_spike_as_a_loop_with_the_published_numbers(
    name: str, constants: tuple[float, ...], engine: str
) -> None:
    _, spikes = course(alone(Izhikevich.published(name, bias_pa=10.0)), 1000, dt_ms=0.5, engine=engine)
    expected = izhikevich_loop(*constants, current=10.0, steps=1000, dt=0.5)
    assert len(expected) > 10
    first = 40 if engine == "brian2" else None  # its numbers are in SI units: rounding moves a later spike by a step
    assert [step for step, _ in spikes][:first] == expected[:first]


def test_regular_spiking_adapts_and_fast_spiking_is_faster() -> None:
    regular, fast = (
        [step for step, _ in course(alone(Izhikevich.published(name, bias_mv=10.0)), 1000, 0.5)[1]]
        for name in ("regular_spiking", "fast_spiking")
    )
    assert len(fast) > 2 * len(regular)
    assert regular[1] - regular[0] < regular[-1] - regular[-2]


def adex_loop(model: AdEx, steps: int, dt: float) -> tuple[list[int], list[float]]:
    c, g, e, t, slope, a, tau, b, reset, current = (
        float(getattr(model, name))  # type: ignore[arg-type]
        for name in ("capacitance_pf", "g_leak_ns", "e_leak_mv", "v_rheobase_mv", "slope_mv", "coupling_ns", "tau_w_ms",
                     "current_step_pa", "v_reset_mv", "bias_pa")
    )  # fmt: skip
    v, w, spikes, course = e, 0.0, [], []
    for step in range(steps):
        rise = g * slope * exp((v - t) / slope)
        v, w = v + dt * (-g * (v - e) + rise - w + current) / c, w + dt * (a * (v - e) - w) / tau
        if v > 20:
            spikes.append(step)
            v, w = reset, w + b
        course.append(v)
    return spikes, course


@on_both
@pytest.mark.parametrize("name", [*AdEx.sets])
def test_adex_neurons_spike_as_a_loop_that_shares_no_code(name: str, engine: str) -> None:
    model = AdEx.published(name)
    model = model.replace(bias_pa=800.0) if model.bias_pa == 0.0 else model
    states, spikes = course(alone(model), 3000, engine=engine)
    expected, v = adex_loop(model, 3000, 0.1)
    assert len(expected) > (name != "transient")
    first = 12 if (engine, name) == ("brian2", "irregular") else None  # chaotic, and rounding differs in SI units
    assert [step for step, _ in spikes][:first] == expected[:first]
    until = expected[min(1, len(expected) - 1)]
    np.testing.assert_allclose(states["v_mv"][:until, 0], v[:until], rtol=1e-9)


def test_adex_without_its_upswing_is_stable_below_the_rheobase() -> None:
    states, spikes = course(alone(AdEx(bias_pa=300.0, method="rk4")), 8000)
    assert spikes == []
    # Fixed point: g_L (E_L - v) + g_L Δ_T exp(...) - a (v - E_L) + I = 0.
    v = states["v_mv"][-1, 0]
    balance = 30 * (-70.6 - v) + 60 * exp((v + 50.4) / 2) - 4 * (v + 70.6) + 300
    assert abs(balance) < 0.5


def test_adex_stays_finite_by_runge_kutta() -> None:
    states, spikes = course(alone(AdEx(bias_pa=2000.0, method="rk4")), 2000)
    assert len(spikes) > 5
    assert np.isfinite(states["v_mv"]).all()


# Rates ---------------------------------------------------------------------------------------------------------------

RESPONSES: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0.0),
    "tanh": lambda x: float(np.tanh(x)),
    "sigmoid": lambda x: 1 / (1 + exp(-x)),
}


@pytest.mark.parametrize("activation", [*RESPONSES])
@pytest.mark.parametrize("bias", [0.7, -1.3])
def test_a_rate_relaxes_to_its_response_whatever_the_step(activation: Any, bias: float) -> None:
    unit = LeakyRate(tau_ms=15.0, activation=activation, bias=bias, start=0.4)
    for dt_ms in (0.5, 3.0):
        states, _ = course(alone(unit), 30, dt_ms)
        aim = RESPONSES[activation](bias)
        time = (np.arange(30) + 1) * dt_ms
        np.testing.assert_allclose(states["r"][:, 0], aim + (0.4 - aim) * np.exp(-time / 15), rtol=1e-12, atol=1e-14)


@on_both
def test_rates_hear_each_other_from_the_start_of_a_step(engine: str) -> None:
    edges = ((0, 1, 0.5), (1, 0, -2.0))
    circuit = Circuit(
        populations={"cells": Population(size=2, model=LeakyRate(tau_ms=10.0, activation="tanh", bias=1.0))},
        projections={
            f"edge{k}": Projection(source="cells", target="cells", pathway="lateral", synapse=Continuous(),
                                   wiring=EdgeList(edges=((pre, post),)), weights=Own(init=Constant(value=w)))
            for k, (pre, post, w) in enumerate(edges)
        },
    )  # fmt: skip
    states, _ = course(circuit, 50, 1.0, engine=engine)
    r = np.zeros(2)
    for row in states["r"]:
        aim = np.tanh([1 - 2 * r[1], 1 + 0.5 * r[0]])
        r = aim + (r - aim) * exp(-1 / 10)
        np.testing.assert_allclose(row, r, rtol=1e-12)


@pytest.mark.parametrize("field", ["tau_threshold_ms", "tau_current_ms"])
def test_constants_with_which_no_step_can_be_computed_are_refused(field: str) -> None:
    for short_ms in (1e-308, 1e-309):  # of the second not even the rate is a number
        model = AdaptiveLIF(coupling_ns=1.0, **{field: short_ms})
        with pytest.raises(CircuitError, match=r"an exact step of 0\.1 ms that is not finite"):
            Clock([realise(alone(model), 0, 0.1)])
