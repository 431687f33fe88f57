"""Brian2 by itself against closed forms: membranes, synapses, delays, refractory time, the order of a step.

What arrives in step s is there at the start of step s + 1, so a response at the start of step n has had
``(n - s - 1) dt``. Letters: T times, U units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest

from neurosal.graph import (
    LIF,
    AdaptiveLIF,
    AlphaConductance,
    AlphaCurrent,
    Circuit,
    Constant,
    Continuous,
    Decay,
    EdgeList,
    ExponentialConductance,
    ExponentialCurrent,
    ExponentialDrive,
    Jump,
    LeakyIntegrator,
    LeakyRate,
    Modulation,
    OneToOne,
    Own,
    Plasticity,
    PoissonSource,
    Population,
    Program,
    Projection,
    Samples,
    SpikeTrain,
    Steps,
    Synapse,
    Uniform,
)
from neurosal.lower.spiking import realise
from neurosal.runner.brian2_running import Ran, Trace, run_brian2

pytest.importorskip("brian2")
pytestmark = pytest.mark.filterwarnings("ignore:.* deprecated(,| -) use:DeprecationWarning")  # how Brian2 parses

DT, STEPS, AT, DELAY = 0.1, 400, 7, 13  # ms, steps, step of the spike, steps of delay
E_LEAK, TAU_M, CAPACITANCE = -70.0, 20.0, 200.0
AFTER = np.maximum(np.arange(STEPS) - AT - DELAY - 1, 0) * DT  # ms since the arrival, [T]
HERE = np.arange(STEPS) > AT + DELAY
ONE_SPIKE = Population(size=1, model=SpikeTrain(times_ms=(AT * DT,), units=(0,)))


def run(populations: Mapping[str, Population], projections: Mapping[str, Projection], *, steps: int = STEPS,
        dt_ms: float = DT, **traces: str) -> Ran:  # fmt: skip
    circuit = Circuit(populations=populations, projections=projections)
    wanted = {name: Trace(tuple(variables.split())) for name, variables in traces.items()}
    return run_brian2(realise(circuit, seed=0, dt_ms=dt_ms), steps, traces=wanted)


def to(target: str, synapse: Synapse, weight: float = 1.0, source: str = "input", **fields: Any) -> Projection:
    fields = {"delay_ms": DELAY * DT, **fields}
    return Projection(source=source, target=target, synapse=synapse, weights=Own(init=Constant(value=weight)), **fields)


def two_rates(a: float, b: float, t: np.ndarray) -> np.ndarray:
    """∫ exp(-a (t - s)) exp(-b s) ds from 0 to t; rates that differ by less than 1e-6 count as equal."""
    return t * np.exp(-a * t) if abs(a - b) < 1e-6 else (np.exp(-b * t) - np.exp(-a * t)) / (a - b)


def alpha_response(a: float, b: float, t: np.ndarray) -> np.ndarray:
    """∫ exp(-a (t - s)) s exp(-b s) ds from 0 to t."""
    k = b - a
    return t**2 / 2 * np.exp(-a * t) if abs(k) < 1e-6 else (np.exp(-a * t) - np.exp(-b * t) * (1 + k * t)) / k**2


@pytest.mark.parametrize("tau_ms", [5.0, TAU_M, TAU_M * (1 + 1e-7)])
def test_single_events_move_a_membrane_as_their_closed_forms_say(tau_ms: float) -> None:
    """Also where the time constants of synapse and membrane are equal, or nearly so."""
    synapses: dict[str, Synapse] = {
        "jump": Jump(), "drive": ExponentialDrive(tau_ms=tau_ms), "current": ExponentialCurrent(tau_ms=tau_ms),
        "alpha": AlphaCurrent(tau_ms=tau_ms),
    }  # fmt: skip
    weights = {"jump": 3.0, "drive": 8.0, "current": 90.0, "alpha": 40.0}
    ran = run(
        {"input": ONE_SPIKE, **{name: Population(size=1, model=LIF(start_mv=-65.0)) for name in synapses}},
        {f"to_{name}": to(name, synapse, weights[name]) for name, synapse in synapses.items()},
        **dict.fromkeys(synapses, "v_mv"),
    )
    a, b = 1 / TAU_M, 1 / tau_ms
    expected = {
        "jump": weights["jump"] * np.exp(-AFTER / TAU_M),
        "drive": weights["drive"] / TAU_M * two_rates(a, b, AFTER),
        "current": weights["current"] / CAPACITANCE * two_rates(a, b, AFTER),
        "alpha": weights["alpha"] / CAPACITANCE * np.e / tau_ms * alpha_response(a, b, AFTER),
    }
    decay_T = 5.0 * np.exp(-np.arange(STEPS) * DT / TAU_M)
    precision = 1e-12 if tau_ms in (5.0, TAU_M) else 1e-7
    for name in synapses:
        v_T = ran.traces[name][1]["v_mv"][:, 0] - E_LEAK - decay_T
        assert np.abs(v_T).max() > 0.1
        np.testing.assert_allclose(v_T, HERE * expected[name], rtol=0, atol=precision * 70, err_msg=name)


def test_conductances_and_signals_decay_as_their_closed_forms_say() -> None:
    model = LIF(method="exponential_euler", v_threshold_mv=0.0)
    ran = run(
        {"input": ONE_SPIKE, "g": Population(size=1, model=model), "a": Population(size=1, model=model)},
        {
            "to_g": to("g", ExponentialConductance(tau_ms=5.0), 6.0),
            "to_a": to("a", AlphaConductance(tau_ms=5.0), 6.0),
            "reward": to("g", Modulation(variable="reward", tau_ms=50.0), 0.25),
        },
        g="v_mv g_to_g_ns reward", a="v_mv g_to_a_ns",
    )  # fmt: skip
    g, a = ran.traces["g"][1], ran.traces["a"][1]
    np.testing.assert_allclose(g["g_to_g_ns"][:, 0], HERE * 6.0 * np.exp(-AFTER / 5.0), rtol=1e-12)
    np.testing.assert_allclose(g["reward"][:, 0], HERE * 0.25 * np.exp(-AFTER / 50.0), rtol=1e-12)
    # By exponential Euler the second stage of an alpha function sees the first as it is at the start of a step.
    x, conductance, v_mv = 0.0, 0.0, E_LEAK
    for step in range(STEPS):
        assert a["v_mv"][step, 0] == pytest.approx(v_mv, rel=1e-12)
        assert a["g_to_a_ns"][step, 0] == pytest.approx(conductance, rel=1e-12, abs=1e-15)
        rate = 1 / TAU_M + conductance / CAPACITANCE
        rest = (E_LEAK / TAU_M) / rate
        v_mv = rest + (v_mv - rest) * np.exp(-rate * DT)
        conductance = np.e * x + (conductance - np.e * x) * np.exp(-DT / 5.0)
        x = x * np.exp(-DT / 5.0) + (6.0 if step == AT + DELAY else 0.0)


def test_a_current_step_charges_a_membrane_as_its_closed_form_says() -> None:
    """Bias, waveforms for all units and for each, a drawn rest."""
    start, stop = 50, 170
    pulse = Steps(times_ms=(start * DT, stop * DT), values=(150.0, 0.0))
    each = Samples(values=((0.0, 0.0), (30.0, -60.0)), every_ms=start * DT)
    model = {"e_leak_mv": Uniform(low=-75, high=-65)}
    ran = run(
        {
            "bias": Population(size=2, model=LIF(bias_pa=120.0, **model)),
            "pulse": Population(size=2, model=LIF(injected_pa=pulse, **model)),
            "each": Population(size=2, model=LeakyIntegrator(injected_pa=each, **model)),
        },
        {}, bias="v_mv", pulse="v_mv", each="v_mv",
    )  # fmt: skip
    time_T1 = np.arange(STEPS)[:, None] * DT
    charge = TAU_M / CAPACITANCE

    def since(step: int) -> np.ndarray:
        return 1 - np.exp(-np.maximum(time_T1 - step * DT, 0) / TAU_M)

    expected = {
        "bias": 120.0 * charge * since(0),
        "pulse": 150.0 * charge * (since(start) - since(stop)),
        "each": np.array([30.0, -60.0]) * charge * since(start),
    }
    for name, rise in expected.items():
        v_TU = ran.traces[name][1]["v_mv"]
        assert v_TU[0, 0] != v_TU[0, 1]
        np.testing.assert_allclose(v_TU - v_TU[0], np.broadcast_to(rise, v_TU.shape), rtol=0, atol=1e-12 * 70)


def test_a_membrane_that_pulls_at_its_own_current_oscillates_as_its_eigenvalues_say() -> None:
    """v and w drive each other: a damped oscillation, which Brian2's exact method refuses."""
    model = AdaptiveLIF(coupling_ns=80.0, tau_current_ms=25.0, threshold_step_mv=0.0, start_mv=-66.0, v_threshold_mv=0)
    ran = run({"cells": Population(size=1, model=model)}, {}, cells="v_mv w_pa")
    matrix = np.array([[-1 / TAU_M, -1 / CAPACITANCE], [80.0 / 25.0, -1 / 25.0]])
    values, vectors = np.linalg.eig(matrix)
    assert np.abs(values.imag).min() > 0
    parts = np.linalg.solve(vectors, np.array([4.0, 0.0]))
    expected = (vectors * parts) @ np.exp(np.outer(values, np.arange(STEPS) * DT))
    trace = ran.traces["cells"][1]
    np.testing.assert_allclose(trace["v_mv"][:, 0] - E_LEAK, expected[0].real, rtol=0, atol=1e-12 * 70)
    np.testing.assert_allclose(trace["w_pa"][:, 0], expected[1].real, rtol=0, atol=1e-12 * 70)


def test_rates_hear_all_the_time_what_was_at_the_start_of_the_step() -> None:
    """The middle population is one step late in what it hands on: explicit in the sums, exact within a step."""
    ran = run(
        {
            "first": Population(size=2, model=LeakyRate(bias=0.7, start=0.7)),
            "second": Population(size=1, model=LeakyRate(tau_ms=20.0)),
            "third": Population(size=1, model=LeakyRate(tau_ms=5.0, activation="tanh")),
        },
        {
            "a": to("second", Continuous(), 1.5, source="first", delay_ms=0.0),
            "b": to("third", Continuous(), 0.5, source="second", delay_ms=0.0),
        },
        second="r", third="r",
    )  # fmt: skip
    second = 2 * 1.5 * 0.7 * (1 - np.exp(-np.arange(STEPS) * DT / 20.0))
    np.testing.assert_allclose(ran.traces["second"][1]["r"][:, 0], second, rtol=1e-12, atol=1e-14)
    r = 0.0
    for step in range(STEPS):
        assert ran.traces["third"][1]["r"][step, 0] == pytest.approx(r, rel=1e-12, abs=1e-15)
        heard = np.tanh(0.5 * second[step])
        r = heard + (r - heard) * np.exp(-DT / 5.0)


# Delays, sources ------------------------------------------------------------------------------------------------------


def test_a_spike_arrives_after_its_delay_in_steps() -> None:
    """A delay of 0 acts in the step of the spike; delays are rounded to steps, one for all or each its own."""
    delays = (0.0, 0.1, 0.14, 0.26, 1.3, 2.0)
    cells = Population(size=1, model=LeakyIntegrator(e_leak_mv=0.0, start_mv=0.0))
    ran = run(
        {
            "input": ONE_SPIKE,
            **{f"p{k}": cells for k in range(len(delays))},
            "drawn": Population(size=30, model=cells.model),
        },
        {
            **{f"to_{k}": to(f"p{k}", Jump(), delay_ms=delay) for k, delay in enumerate(delays)},
            "to_drawn": to("drawn", Jump(), delay_ms=Uniform(low=0.0, high=3.0)),
        },
        steps=60, drawn="v_mv", **{f"p{k}": "v_mv" for k in range(len(delays))},
    )  # fmt: skip
    for k, delay in enumerate(delays):
        (arrived,) = np.nonzero(np.diff(ran.traces[f"p{k}"][1]["v_mv"][:, 0] > 0))
        assert arrived.tolist() == [AT + round(delay / DT)], delay
    circuit = Circuit(
        populations={"input": ONE_SPIKE, "drawn": Population(size=30, model=cells.model)},
        projections={"to_drawn": to("drawn", Jump(), delay_ms=Uniform(low=0.0, high=3.0))},
    )
    edges = realise(circuit, seed=0, dt_ms=DT).edges["to_drawn"]
    first_U = (ran.traces["drawn"][1]["v_mv"] > 0).argmax(0)
    assert len(np.unique(first_U)) > 5
    np.testing.assert_array_equal(first_U[edges.post], AT + edges.delay + 1)


def test_a_unit_that_spikes_several_times_in_a_step_sends_as_many_spikes() -> None:
    circuit = Circuit(
        populations={
            "input": Population(size=4, model=PoissonSource(rate_hz=40.0, merged=500)),
            "cells": Population(size=4, model=LeakyIntegrator()),
        },
        projections={"p": Projection(source="input", target="cells", wiring=OneToOne(), synapse=ExponentialDrive(),
                                     weights=Own(init=Uniform(low=1, high=2)), delay_ms=0.3)},
    )  # fmt: skip
    realised = realise(circuit, seed=1, dt_ms=DT)
    ran = run_brian2(realised, 200)
    step_L, unit_L = ran.spikes["input"]
    expected = np.zeros(4)
    np.add.at(expected, unit_L, (step_L + 3 < 200) * np.exp(-(200 - step_L - 3 - 1) * DT / 5.0))
    assert len(np.unique(step_L * 4 + unit_L)) < 0.8 * len(step_L)
    np.testing.assert_allclose(ran.state["cells"]["d_p_mv"], expected * realised.edges["p"].weight, rtol=1e-12)


# The order of a step --------------------------------------------------------------------------------------------------


def test_a_held_variable_loses_what_arrives_in_refractory_time_and_others_do_not() -> None:
    """From the step of the spike to the end of refractory time; what arrives at other variables stays."""
    times = (10, 11, 12, 30, 49, 50, 51)  # the first makes the unit spike in step 11: it arrives after the threshold
    refractory = 4.0
    cells = LIF(e_leak_mv=0.0, start_mv=0.0, v_threshold_mv=15.0, v_reset_mv=0.0, refractory_ms=refractory)
    ran = run(
        {"input": Population(size=1, model=SpikeTrain(times_ms=[step * DT for step in times], units=[0] * len(times))),
         "cells": Population(size=1, model=cells)},
        {"jump": to("cells", Jump(), 16.0, delay_ms=0.0),
         "drive": to("cells", ExponentialDrive(tau_ms=5.0), 1e-9, delay_ms=0.0)},
        steps=80, cells="v_mv d_drive_mv",
    )  # fmt: skip
    # Lost are those of step 11, in which it spikes, 12, 30, and 49 and 50, the last of the 40 steps 11 to 50.
    v, d, last, spikes = 0.0, 0.0, -(10**9), []
    for step in range(80):
        assert ran.traces["cells"][1]["v_mv"][step, 0] == pytest.approx(v, rel=1e-9, abs=1e-8), step
        assert ran.traces["cells"][1]["d_drive_mv"][step, 0] == pytest.approx(d, rel=1e-12, abs=1e-30), step
        free = step - last >= round(refractory / DT)
        v, d = (v * np.exp(-DT / TAU_M) if free else v), d * np.exp(-DT / 5.0)
        spiked = free and v > 15.0
        if spiked:
            last = step
            spikes.append(step)
        if step in times:
            d += 1e-9
            v += 16.0 if free and not spiked else 0.0
        v = 0.0 if spiked else v
    assert spikes == ran.spikes["cells"][0].tolist() == [11, 52]


@pytest.mark.parametrize(("refractory_ms", "steps"), [(0.0, 1), (0.3, 3), (0.34, 3), (0.36, 4), (2.0, 20)])
def test_refractory_time_is_rounded_to_steps(refractory_ms: float, steps: int) -> None:
    cells = LIF(bias_mv=1e6, refractory_ms=refractory_ms)
    ran = run({"cells": Population(size=1, model=cells)}, {}, steps=100)
    np.testing.assert_array_equal(ran.spikes["cells"][0], np.arange(0, 100, steps))


def test_a_population_that_never_spikes_sends_nothing() -> None:
    """Synapses of spikes may leave and reach it; they stay as they were made."""
    ran = run(
        {"quiet": Population(size=2, model=LeakyIntegrator(start_mv=30.0)), "cells": Population(size=2, model=LIF())},
        {
            "out": to("cells", Jump(), 5.0, source="quiet", plasticity=Watching()),
            "back": to("quiet", Jump(), 5.0, source="cells", delay_ms=Uniform(low=1, high=2), plasticity=Watching()),
        },
        steps=20,
    )
    assert (ran.state["cells"]["v_mv"] == E_LEAK).all()
    assert (ran.weights["out"] == 5.0).all()
    assert "quiet" not in ran.spikes


class Watching(Plasticity):
    """Remembers what it saw, and when: a program for these tests."""

    kind: ClassVar[str] = "watching_brian2"

    def program(self) -> Program:
        return Program(
            variables={"arrived": 0.0, "fired": 0.0, "trace": 1.0, "seen": -1.0, "v_seen": 0.0},
            decays={"trace": Decay("tau_ms", "rest")},
            constants={"tau_ms": 4.0, "rest": 0.5},
            on_pre=("arrived += 1", "v_seen = post.v_mv"),
            on_post=("fired += 1", "seen = arrived"),
        )


def test_arrivals_come_before_what_happens_when_the_target_spikes_and_in_the_order_of_the_circuit() -> None:
    """A pre spike that arrives in the step in which its target spikes is handled first; a projection named to come
    later by name, but listed earlier, has arrived already; reset comes last."""
    model = LIF(e_leak_mv=0.0, start_mv=0.0, v_threshold_mv=1.0, v_reset_mv=-9.0, refractory_ms=1.0, clamped=False)
    inputs = SpikeTrain(times_ms=(1.0, 1.1), units=(0, 1))
    edge = {"wiring": EdgeList(edges=((1, 0),)), "delay_ms": 0.0, "plasticity": Watching()}
    ran = run(
        {"input": Population(size=2, model=inputs), "cells": Population(size=1, model=model)},
        {
            "make": to("cells", Jump(), 2.0, delay_ms=0.0, wiring=EdgeList(edges=((0, 0),))),
            "zeta": to("cells", Jump(), 0.25, **edge),
            "alpha": to("cells", Jump(), 0.5, **edge),
        },
        steps=40,
    )  # fmt: skip
    assert ran.spikes["cells"][0].tolist() == [11]
    seen = ran.variables
    v_mv = 2.0 * np.exp(-DT / TAU_M)  # of the step in which the target spikes, before its reset
    assert seen["zeta"]["seen"][0] == seen["alpha"]["seen"][0] == 1.0
    assert seen["zeta"]["v_seen"][0] == pytest.approx(v_mv + 0.25, rel=1e-12)
    assert seen["alpha"]["v_seen"][0] == pytest.approx(v_mv + 0.75, rel=1e-12)
    assert seen["zeta"]["trace"][0] == pytest.approx(0.5 + 0.5 * np.exp(-40 * DT / 4.0), rel=1e-12)


class Counting(Plasticity):
    """Adds up a trace at the end of every step, and the sum of weights at its target at intervals."""

    kind: ClassVar[str] = "counting_brian2"

    def program(self) -> Program:
        return Program(
            variables={"trace": 0.0, "total": 0.0, "times": 0.0, "inputs": 0.0, "sums": 0.0},
            decays={"trace": Decay("tau_ms")},
            constants={"tau_ms": 4.0},
            on_pre=("trace += 1",),
            each_step=("total += trace * dt_ms",),
            at_intervals=("times += 1", "inputs = count_in", "sums = sum_in"),
            every_ms=0.7,
        )


def test_statements_of_every_step_and_of_intervals_run_at_its_end() -> None:
    """A trace counts from the step in which its spike arrives, with its value of that step."""
    ran = run(
        {"input": Population(size=3, model=SpikeTrain(times_ms=(AT * DT,), units=(0,))),
         "cells": Population(size=2, model=LeakyIntegrator())},
        {"p": to("cells", Jump(), 2.0, wiring=EdgeList(edges=((0, 0), (1, 0), (2, 0), (2, 1))), plasticity=Counting())},
        steps=100,
    )  # fmt: skip
    seen = ran.variables["p"]
    since = np.arange(100 - AT - DELAY)
    assert seen["total"][0] == pytest.approx((DT * np.exp(-since * DT / 4.0)).sum(), rel=1e-12)
    assert seen["trace"][0] == pytest.approx(np.exp(-(100 - AT - DELAY) * DT / 4.0), rel=1e-12)
    np.testing.assert_array_equal(seen["times"], 15)  # steps 0, 7, ... 98
    np.testing.assert_array_equal(seen["inputs"], [3, 3, 3, 1])
    np.testing.assert_array_equal(seen["sums"], [6, 6, 6, 2])
