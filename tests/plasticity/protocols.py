"""Spikes at given steps onto one synapse each, run by any engine or by the slow reference: what weights come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neurosal.engine.clock import Clock
from neurosal.graph import (
    LIF,
    Circuit,
    Constant,
    ExponentialDrive,
    Modulation,
    OneToOne,
    Own,
    Plasticity,
    Population,
    Projection,
    ShortTerm,
    SpikeTrain,
)
from neurosal.lower.brian2 import build
from neurosal.lower.spiking import program_of, realise
from tests.reference.by_event import ByEvent
from tests.reference.numerics import Array

Steps = Sequence[Sequence[int]]  # for each synapse, steps of spikes


@dataclass(frozen=True)
class Protocol:
    """Synapse k from source unit k to target unit k.

    Attributes:
        arrivals: steps in which spikes arrive, after their delay.
        fired: steps in which the target spikes, from 1 on.
        steps: how many there are.
        weight: first one.
        v_mv: the target's rest and reset, between spikes nothing moves it; None for what does not read it.
        reward: (steps at which a reward of 1 reaches all targets, its time constant in ms); none where empty.
    """

    plasticity: Plasticity
    arrivals: Steps
    fired: Steps
    steps: int
    dt_ms: float = 1.0
    weight: float = 0.5
    delay: int = 0
    sign: str | None = None
    short_term: ShortTerm | None = None
    reward: tuple[tuple[int, ...], float] = ((), 200.0)
    v_mv: float | None = None

    @property
    def edge(self) -> Projection:
        """The plastic projection. What it transmits moves no membrane."""
        return Projection(
            source="pre", target="post", wiring=OneToOne(), synapse=Modulation(variable="heard", tau_ms=1e300),
            weights=Own(init=Constant(value=self.weight)), delay_ms=self.delay * self.dt_ms, plasticity=self.plasticity,
            sign=self.sign, short_term=self.short_term,
        )  # fmt: skip

    @property
    def _cell(self) -> LIF:
        if self.v_mv is None:
            return LIF(refractory_ms=0.0)
        return LIF(refractory_ms=0.0, e_leak_mv=self.v_mv, v_reset_mv=self.v_mv)

    @property
    def circuit(self) -> Circuit:
        """Every unit of the target is made to spike by one of `drive`, a step after it."""
        units = len(self.arrivals)

        def train(spikes: Steps, earlier: int) -> SpikeTrain:
            pairs = sorted((step - earlier, unit) for unit, steps in enumerate(spikes) for step in steps)
            return SpikeTrain(times_ms=tuple(step * self.dt_ms for step, _ in pairs), units=tuple(u for _, u in pairs))

        # A drive so short that it makes one spike, in the step after it arrived, and outlives a reset of v.
        kick, pulse = Own(init=Constant(value=1e6)), ExponentialDrive(tau_ms=self.dt_ms / 50)
        projections = {
            "a_kick": Projection(source="drive", target="post", wiring=OneToOne(), synapse=pulse, weights=kick),
            "pre_to_post": self.edge,
        }
        populations = {
            "pre": Population(size=units, model=train(self.arrivals, self.delay)),
            "drive": Population(size=units, model=train(self.fired, 1)),
            "post": Population(size=units, model=self._cell),
        }
        if self.reward[0]:
            times_ms = tuple(step * self.dt_ms for step in self.reward[0])
            populations["giver"] = Population(size=1, model=SpikeTrain(times_ms=times_ms, units=(0,) * len(times_ms)))
            one, tau_ms = Own(init=Constant(value=1.0)), self.reward[1]
            projections["reward"] = Projection(source="giver", target="post", pathway="modulatory", weights=one,
                                               synapse=Modulation(variable="reward", tau_ms=tau_ms))  # fmt: skip
        return Circuit(populations=populations, projections=projections)

    def by_event(self) -> dict[str, Array]:
        """The slow reference; reward in closed form."""
        units, program = len(self.arrivals), program_of("pre_to_post", self.edge)
        first = {name: [float(value)] * units for name, value in program.variables.items()}  # type: ignore[arg-type]
        synapses = ByEvent(program, range(units), range(units), self.dt_ms, {**first, "w": [self.weight] * units})
        given, tau_ms = self.reward
        for step in range(self.steps):
            reward = float(sum(np.exp(-(step - at) * self.dt_ms / tau_ms) for at in given if at <= step))
            arrived, fired = ([k for k in range(units) if step in spikes[k]] for spikes in (self.arrivals, self.fired))
            synapses.step(arrived, fired, None, [{"reward": reward, "v_mv": self.v_mv or 0.0}] * units)
        return {name: np.array(synapses.now(name)) for name in ("w", *program.variables)}

    def transmitted(self, engine: str) -> Array:
        """The sum of all that each target unit heard."""
        if engine == "by_event":
            units, program = len(self.arrivals), program_of("pre_to_post", self.edge)
            first = {name: [float(value)] * units for name, value in program.variables.items()}  # type: ignore[arg-type]
            synapses = ByEvent(program, range(units), range(units), self.dt_ms, {**first, "w": [self.weight] * units})
            heard = np.zeros(units)
            for step in range(self.steps):
                arrived, fired = (
                    [k for k in range(units) if step in spikes[k]] for spikes in (self.arrivals, self.fired)
                )
                for k, sent in synapses.step(arrived, fired).items():
                    heard[k] += sent
            return heard
        realised = realise(self.circuit, 0, self.dt_ms)
        if engine == "on_torch":
            clock = Clock([realised])
            clock.run(self.steps)
            return clock.state["post"]["heard"][0].numpy().copy()
        import brian2

        brian2.prefs.codegen.target = "numpy"
        built = build(realised, duration_ms=self.steps * self.dt_ms, spikes=False)
        built.network.run(self.steps * self.dt_ms * brian2.ms)
        return np.array(built.groups["post"].heard[:])

    def on_torch(self) -> dict[str, Array]:
        """The clock."""
        clock = Clock([realise(self.circuit, 0, self.dt_ms)])
        fired = clock.run(self.steps)["post"]
        assert sorted(zip(fired[2].tolist(), fired[0].tolist(), strict=True)) == sorted(
            (unit, step) for unit, steps in enumerate(self.fired) for step in steps if step < self.steps
        )
        projecting = clock.projections["pre_to_post"]
        return {name: projecting.of_replica(name, 0, self.steps).numpy().copy() for name in projecting.values}

    def on_brian2(self) -> dict[str, Array]:
        """Brian2, with code in numpy."""
        import brian2

        brian2.prefs.codegen.target = "numpy"
        duration_ms = self.steps * self.dt_ms
        built = build(realise(self.circuit, 0, self.dt_ms), duration_ms=duration_ms, spikes=False)
        built.network.run(duration_ms * brian2.ms)
        (joint,) = [joint for joint in built.description.joints if joint.name == "pre_to_post"]
        made = built.synapses["pre_to_post"][0]
        found = {name: np.array(getattr(made, joint.names[name])[:]) for name in ("w", *joint.variables)}
        for name in joint.eventual:
            decay = joint.decays[name]
            rest = joint.constant(decay.rest) if isinstance(decay.rest, str) else decay.rest
            gone_ms = duration_ms - np.array(made.lastupdate[:] / brian2.ms)
            found[name] = rest + (found[name] - rest) * np.exp(-gone_ms / joint.constant(decay.tau))
        return found


ENGINES = ("by_event", "on_torch")  # and "on_brian2", see test_on_brian2: it takes a second each time


def weights_after(engine: str, circuit: Circuit, projection: str, *, steps: int, dt_ms: float = 0.1,
                  arrivals: Sequence[int] = (), pre: Mapping[str, float] | None = None,
                  post: Mapping[str, float] | None = None) -> Array:  # fmt: skip
    """The weights of a projection after some steps.

    Args:
        arrivals: steps in which spikes arrive at all synapses, for the slow reference.
        pre, post: what it finds at all units, which stands still.
    """
    realised = realise(circuit, 0, dt_ms)
    edges, program = realised.edges[projection], realised.programs[projection]
    if engine == "by_event":
        first = {"w": edges.weight, **realised.variables[projection]}
        synapses = ByEvent(program, edges.pre, edges.post, dt_ms, first)
        ends = [None if there is None else [there] * 9 for there in (pre, post)]
        for step in range(steps):
            synapses.step(range(len(edges)) if step in arrivals else (), (), *ends)
        return np.array(synapses.now("w"))
    if engine == "on_torch":
        clock = Clock([realised])
        clock.run(steps)
        return clock.projections[projection].of_replica("w", 0).numpy().copy()
    import brian2

    brian2.prefs.codegen.target = "numpy"
    built = build(realised, duration_ms=steps * dt_ms, spikes=False)
    built.network.run(steps * dt_ms * brian2.ms)
    return np.array(built.synapses[projection][0].w[:])
