"""Two engines side by side: each runs the same numbers, and says its spikes, state and synapses at a step.

Only edges, spikes of sources and the first state are shared. Letters: L spikes, U units, S synapses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from neurosal.graph import Program
from neurosal.graph.dynamics import names_in
from neurosal.lower.brian2.quiet import quiet
from neurosal.lower.spiking import Realised

Array = np.ndarray[Any, Any]
Spikes = Mapping[str, tuple[Array, Array]]  # population → steps [L] and units [L], sorted by step, then unit
Values = Mapping[str, Mapping[str, Array]]  # population or projection → variable → values


class Side(Protocol):
    """An engine with one replica of a circuit.

    Attributes:
        name: of the engine.
        seconds: that it took to build and to simulate.
    """

    name: str
    seconds: dict[str, float]

    def advance(self, steps: int) -> None:
        """Simulate so many steps more."""

    def spikes(self) -> Spikes:
        """All spikes so far."""

    def state(self) -> Values:
        """State variables of populations at the start of the step that comes next."""

    def synapses(self) -> Values:
        """Weights and other variables of projections at the start of the step that comes next."""


class OnTorch:
    """The clock on torch, in float64 on the CPU."""

    name = "torch"

    def __init__(self, realised: Realised) -> None:
        from neurosal.engine.clock import Clock

        start = perf_counter()
        self._realised, self._clock = realised, Clock([realised])
        self._found: dict[str, list[tuple[Array, Array]]] = {name: [] for name in realised.populations}
        self.seconds = {"build": perf_counter() - start, "simulate": 0.0}

    def advance(self, steps: int) -> None:
        start = perf_counter()
        for name, (step, _, unit) in self._clock.run(steps).items():
            self._found[name].append((step.numpy(), unit.numpy()))
        self.seconds["simulate"] += perf_counter() - start

    def spikes(self) -> Spikes:
        return {
            name: _ordered(*(np.concatenate([entry[end] for entry in some]) for end in (0, 1)))
            for name, some in self._found.items()
        }

    def state(self) -> Values:
        return {
            name: {variable: values[0].numpy().copy() for variable, values in state.items()}
            for name, state in self._clock.state.items()
        }

    def synapses(self) -> Values:
        step = self._clock.step_number
        return {
            name: {
                variable: self._clock.projections[name].of_replica(variable, 0, step).numpy().copy()
                for variable in ("w", *program.variables)
            }
            for name, program in self._realised.programs.items()
        }


class OnBrian2:
    """Brian2's runtime.

    Args:
        realised: the numbers.
        steps: how many there will be in all.
        target: of Brian2's code, "numpy" or "cython".
        watched: (population, unit) whose state is seen between the update and the threshold of every step.
    """

    name = "brian2"

    @quiet()
    def __init__(
        self, realised: Realised, steps: int, target: str = "numpy", watched: tuple[str, int] | None = None
    ) -> None:
        from neurosal.lower.brian2 import build

        start = perf_counter()
        self._realised, self._target, self._steps = realised, target, 0
        with code_target(target):
            self._built = build(realised, sources="shared", duration_ms=steps * realised.dt_ms, spikes=True)
            self._watch = None if watched is None else self._watching(*watched)
        self.seconds = {"build": perf_counter() - start, "simulate": 0.0}

    def _watching(self, population: str, unit: int) -> Any:
        import brian2

        group = self._built.groups[self._group(population).name]
        names = [self._group(population).names[variable] for variable in self._realised.state[population]]
        monitor = brian2.StateMonitor(group, names, record=[unit], when="after_groups", clock=self._built.clock)
        self._built.network.add(monitor)
        return monitor

    def _group(self, population: str) -> Any:
        description = self._built.description
        return description.groups[description.group_of[population]]

    @quiet()
    def advance(self, steps: int) -> None:
        import brian2

        start = perf_counter()
        with code_target(self._target):
            self._built.network.run(steps * self._realised.dt_ms * brian2.ms, namespace={})
        self._steps += steps
        self.seconds["simulate"] += perf_counter() - start

    def spikes(self) -> Spikes:
        nothing = np.empty(0, "int64")
        found = {}
        for name in self._realised.populations:
            monitor = self._built.spikes.get(self._built.description.group_of[name])
            if monitor is None:
                found[name] = nothing, nothing
                continue
            step_L = np.rint(np.asarray(monitor.t_) * 1e3 / self._realised.dt_ms).astype("int64")
            found[name] = _ordered(step_L, np.asarray(monitor.i, "int64") % self._realised.units(name))
        return found

    def state(self) -> Values:
        from neurosal.lower.brian2.naming import unit

        found: dict[str, dict[str, Array]] = {}
        for name, state in self._realised.state.items():
            group = self._group(name)
            values = self._built.groups[group.name]
            found[name] = {
                variable: np.array(getattr(values, f"{group.names[variable]}_")[:]) / unit(variable).size
                for variable in state
            }
        return found

    def watch_state(self) -> Callable[[], Mapping[tuple[str, str], Array]]:
        """Record all state from here on; what is given says it afterwards: (population, variable) → [steps, units], at
        the start of each step."""
        import brian2

        from neurosal.lower.brian2.naming import unit

        monitors = {}
        for population in self._realised.state:
            group = self._group(population)
            names = [group.names[variable] for variable in self._realised.state[population]]
            monitors[population] = brian2.StateMonitor(
                self._built.groups[group.name], names, record=True, clock=self._built.clock
            )
        self._built.network.add(*monitors.values())
        return lambda: {
            (population, variable): np.array(
                getattr(monitors[population], f"{self._group(population).names[variable]}_")
            ).T
            / unit(variable).size
            for population, variables in self._realised.state.items()
            for variable in variables
        }

    def before_threshold(self, population: str) -> Mapping[str, float]:
        """State of the watched unit in the last step, after the update and before the threshold."""
        from neurosal.lower.brian2.naming import unit

        assert self._watch is not None
        names = self._group(population).names
        return {
            variable: float(getattr(self._watch, f"{names[variable]}_")[0, -1] / unit(variable).size)
            for variable in self._realised.state[population]
        }

    def synapses(self) -> Values:
        return {
            name: {variable: self._value(name, variable, program) for variable in ("w", *program.variables)}
            for name, program in self._realised.programs.items()
        }

    def _value(self, projection: str, variable: str, program: Program) -> Array:
        if projection not in self._built.synapses:  # none was drawn
            return np.empty(0)
        made, start, stop = self._built.synapses[projection]
        (joint,) = [joint for joint in self._built.description.joints if projection in joint.projections]
        if variable == "w" and joint.weight is not None:
            return np.full(stop - start, joint.weight)
        values = np.array(getattr(made, joint.names[variable])[start:stop], "float64")
        late = program.each_step or program.at_intervals  # what these read is kept up to date in every step
        if variable not in program.decays or any(variable in names_in(text) for text in late):
            return values
        now_ms = self._steps * self._realised.dt_ms
        return decayed(values, program, variable, now_ms - np.array(made.lastupdate_[start:stop]) * 1e3)


@contextmanager
def code_target(target: str) -> Iterator[None]:
    """Brian2 makes its code for this target inside, and as before afterwards."""
    import brian2

    before = brian2.prefs.codegen.target
    brian2.prefs.codegen.target = target
    try:
        yield
    finally:
        brian2.prefs.codegen.target = before


def decayed(values: Array, program: Program, variable: str, elapsed_ms: Array) -> Array:
    """A variable of synapses as it is some time after its last event."""
    decay = program.decays.get(variable)
    if decay is None:
        return values
    rest = program.constants[decay.rest] if isinstance(decay.rest, str) else decay.rest
    return rest + (values - rest) * np.exp(-elapsed_ms / program.constants[decay.tau])


def _ordered(step_L: Array, unit_L: Array) -> tuple[Array, Array]:
    order = np.lexsort((unit_L, step_L))
    return step_L[order], unit_L[order]
