"""One circuit of small specimens, each for a few conventions of docs/spiking.md, traced on an engine step by step.

All of them stand in one circuit because building is what takes time. dt is 0.1 ms; step n begins at n · 0.1 ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    Continuous,
    Decay,
    Dense,
    EdgeList,
    ExponentialCurrent,
    Given,
    Jump,
    LeakyIntegrator,
    LeakyRate,
    Modulation,
    Own,
    Plasticity,
    Population,
    Program,
    Projection,
    Samples,
    SpikeTrain,
    TsodyksMarkram,
)
from neurosal.lower.spiking import realise
from neurosal.plasticity import STDP, RewardSTDP
from neurosal.runner.sides import OnBrian2, OnTorch

DT_MS, STEPS = 0.1, 60
KICK = 100.0  # mV: after it, a unit spikes in the next step
QUIET = LIF(tau_m_ms=1e9, v_threshold_mv=-20.0)  # holds what it is given, without a leak that could be seen
POST = LIF(tau_m_ms=10.0, refractory_ms=0.0)


class Watching(Plasticity):
    """Remembers what a synapse sees in each slot, and counts."""

    kind: ClassVar[str] = "watching_in_tests"

    def program(self) -> Program:
        return Program(
            variables={"seen_at_spike": 0.0, "ends": 0.0, "steps": 0.0, "intervals": 0.0, "steps_then": -1.0},
            on_post=("seen_at_spike = post.v_mv",),
            each_step=("ends += post.v_mv", "steps += 1"),
            at_intervals=("intervals += 1", "steps_then = steps"),
            every_ms=0.5,
        )


class Fading(Plasticity):
    """A trace that begins at 1 and falls to 0.25: what an arrival reads of it."""

    kind: ClassVar[str] = "fading_in_tests"

    def program(self) -> Program:
        return Program(
            variables={"x": 1.0, "read": 0.0},
            decays={"x": Decay("tau_ms", "floor")},
            constants={"tau_ms": 2.0, "floor": 0.25},
            on_pre=("read = x",),
        )


class Specimens:
    """A circuit that grows."""

    def __init__(self) -> None:
        self.populations: dict[str, Population] = {}
        self.projections: dict[str, Projection] = {}

    def source(self, name: str, *steps: float, units: tuple[int, ...] | None = None) -> None:
        """A source whose unit 0, or these, spikes in these steps."""
        units = units or (0,) * len(steps)
        model = SpikeTrain(times_ms=tuple(step * DT_MS for step in steps), units=units)
        self.populations[name] = Population(size=max(units) + 1, model=model)

    def cells(self, name: str, model: Any, size: int = 1) -> None:
        self.populations[name] = Population(size=size, model=model)

    def join(self, source: str, target: str, weight: float, synapse: Any = None, **fields: Any) -> None:
        name = fields.pop("name", f"{source}_to_{target}")
        self.projections[name] = Projection(
            source=source, target=target, synapse=synapse or Jump(),
            **{"wiring": Dense(), "weights": Own(init=Constant(value=weight)), **fields},
        )  # fmt: skip


def circuit() -> Circuit:
    """All specimens."""
    some = Specimens()
    some.source("ten", 10)  # a single spike in step 10
    _arrivals(some)
    _refractory(some)
    _learning(some)
    # Continuous time without spikes.
    wave = Samples(values=(1.0, 3.0), every_ms=1.0)
    some.cells("injected", LeakyIntegrator(e_leak_mv=0.0, tau_m_ms=2.0, injected_mv=wave))
    some.cells("leaky", LeakyIntegrator(e_leak_mv=0.0, tau_m_ms=5.0, bias_mv=8.0, start_mv=1.0))
    some.cells("spiking", LIF(tau_m_ms=10.0, e_leak_mv=-60.0, v_reset_mv=-60.0, bias_mv=40.0, refractory_ms=0.0))
    some.cells("falling", LeakyRate(tau_ms=1.0, start=1.0))
    some.cells("following", LeakyRate(tau_ms=4.0))
    some.join("falling", "following", 2.0, Continuous())
    return Circuit(name="specimens", populations=some.populations, projections=some.projections)


def _arrivals(some: Specimens) -> None:
    """Delays, and what arrives together."""
    for name, delay_ms in {"at_once": 0.0, "later": 0.5, "rounded": 0.26, "half": 0.25}.items():
        some.cells(name, QUIET)
        some.join("ten", name, 3.0, delay_ms=delay_ms)
    some.cells("spread", QUIET, 2)
    wiring = EdgeList(edges=((0, 0), (0, 1)))
    some.join("ten", "spread", 3.0, wiring=wiring, delay_ms=Given(values=(0.1, 0.7)))
    some.source("between", 10.4, 20.6)
    some.cells("nearest", QUIET)
    some.join("between", "nearest", 1.0)
    some.source("twice", 10, 10, 10, units=(0, 0, 1))
    some.cells("summing", QUIET)
    some.join("twice", "summing", 1.0)
    some.cells("charged", LIF(tau_m_ms=20.0, capacitance_pf=200.0, v_threshold_mv=1e3))
    some.join("ten", "charged", 50.0, ExponentialCurrent(tau_ms=2.0))
    some.cells("facilitated", QUIET)
    some.join("ten", "facilitated", 4.0, short_term=TsodyksMarkram(utilisation=0.25))


def _refractory(some: Specimens) -> None:
    """Kicked in step 10, these spike in step 11; refractory_ms 0.46 is 5 steps."""
    resting = LIF(tau_m_ms=5.0, e_leak_mv=-70.0, v_reset_mv=-60.0, refractory_ms=0.46)
    some.source("after", 11, 13, 15, 16)
    for name, model in {
        "held": resting,
        "moving": resting.replace(clamped=False),
        "losing": resting.replace(tau_m_ms=1e9),
        "taking": resting.replace(tau_m_ms=1e9, clamped=False),
        "without": resting.replace(tau_m_ms=1e9, refractory_ms=0.0, reset="subtract"),
    }.items():
        some.cells(name, model)
        some.join("ten", name, KICK)
        if name in ("losing", "taking", "without"):
            some.join("after", name, 1.0)
    some.join("after", "held", 30.0, ExponentialCurrent(tau_ms=1.0))
    some.cells("driven", LIF(tau_m_ms=5.0, bias_mv=500.0, refractory_ms=0.46))


def _learning(some: Specimens) -> None:
    """Pairs of spikes: the target is kicked in step k - 1, so that it spikes in step k."""
    rule = STDP(a_plus=0.3, a_minus=0.2, tau_plus_ms=2.0, tau_minus_ms=4.0, w_min=None)
    for name, pre, post in (("causal", 10, 30), ("reversed", 30, 10), ("together", 10, 10), ("delayed", 10, 20)):
        some.source(f"{name}_pre", pre)
        some.source(f"{name}_kick", post - 1)
        some.cells(name, POST)
        some.join(f"{name}_kick", name, KICK)
        delay_ms = 1.5 if name == "delayed" else 0.0  # arrives in step 25, after the spike of step 20
        some.join(f"{name}_pre", name, 0.0, plasticity=rule, delay_ms=delay_ms)
    # A reward that arrives in the same step as the pre spike (10), between two projections that learn by it.
    some.cells("rewarded", POST)
    some.source("rewarded_kick", 4)
    some.join("rewarded_kick", "rewarded", KICK)
    reward = RewardSTDP(nu=1.0, tau_eligibility_ms=None, w_min=None)
    some.join("ten", "rewarded", 0.0, plasticity=reward, name="before_reward")
    some.join("ten", "rewarded", 1.0, Modulation(tau_ms=1e9), name="reward", pathway="modulatory")
    some.join("ten", "rewarded", 0.0, plasticity=reward, name="after_reward")
    # The same where the target spikes in step 10: what it does at its synapses comes after all arrivals.
    some.cells("answering", POST)
    some.source("answering_kick", 9)
    some.source("answering_pre", 5)
    some.join("answering_pre", "answering", 0.0, plasticity=reward, name="waiting")
    some.join("answering_kick", "answering", KICK)
    some.join("ten", "answering", 1.0, Modulation(tau_ms=1e9), name="late_reward", pathway="modulatory")
    some.cells("watched", POST)
    some.source("watched_kick", 19)
    some.join("watched_kick", "watched", KICK, plasticity=Watching())
    some.cells("fading", POST)
    some.join("ten", "fading", 0.0, plasticity=Fading())


@dataclass(frozen=True)
class Traced:
    """What an engine did.

    Attributes:
        spikes: population → steps of unit 0.
        state: (population, variable) → [STEPS, units], at the start of each step, as records show it.
        synapses: projection → variable → [S], at the end.
    """

    spikes: Mapping[str, list[int]]
    state: Mapping[tuple[str, str], np.ndarray[Any, Any]]
    synapses: Mapping[str, Mapping[str, np.ndarray[Any, Any]]]

    def v(self, population: str, unit: int = 0) -> np.ndarray[Any, Any]:
        """The membrane potential, at the start of each step."""
        return self.state[population, "v_mv"][:, unit]

    def w(self, projection: str) -> float:
        """The weight of the first synapse, at the end."""
        return float(self.synapses[projection]["w"][0])


@cache
def traced(engine: str) -> Traced:
    """The specimens on an engine: "torch", "compiled", or "brian2"."""
    realised = realise(circuit(), seed=0, dt_ms=DT_MS)
    side: Any
    if engine != "brian2":
        side = OnTorch([realised], compiled=engine == "compiled")
        rows: dict[tuple[str, str], list[Any]] = {}
        for _ in range(STEPS):
            for population, variables in side.state().items():
                for variable, values in variables.items():
                    rows.setdefault((population, variable), []).append(values)
            side.advance(1)
        state = {key: np.array(some) for key, some in rows.items()}
    else:
        side = OnBrian2(realised, STEPS)
        watching = side.watch_state()
        side.advance(STEPS)
        state = watching()
    spikes = {name: step_L[unit_L == 0].tolist() for name, (step_L, unit_L) in side.spikes().items()}
    return Traced(spikes, state, side.synapses())
