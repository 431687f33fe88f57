"""Two engines side by side: each runs the same numbers, and says its spikes, state and synapses at a step.

Only edges, spikes of sources and the first state are shared. Letters: L spikes, U units, S synapses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Protocol

import numpy as np

from neurosal.graph import Program
from neurosal.graph.dynamics import names_in
from neurosal.lower.brian2.quiet import quiet
from neurosal.lower.spiking import Realised
from neurosal.runner.brian2_running import run_standalone

Array = np.ndarray[Any, Any]
Spikes = Mapping[str, tuple[Array, Array]]  # population → steps [L] and units [L], sorted by step, then unit
Values = Mapping[str, Mapping[str, Array]]  # population or projection → variable → values


class Side(Protocol):
    """An engine with a circuit.

    Attributes:
        name: of the engine.
        seconds: that it took to build, to compile and to simulate.
    """

    name: str
    seconds: dict[str, float]

    def advance(self, steps: int) -> None:
        """Simulate so many steps more."""

    def spikes(self, replica: int = 0) -> Spikes:
        """All spikes so far."""

    def state(self, replica: int = 0) -> Values:
        """State variables of populations at the start of the step that comes next."""

    def synapses(self, replica: int = 0) -> Values:
        """Weights and other variables of projections at the start of the step that comes next."""


class OnTorch:
    """The clock on torch, in float64 on the CPU.

    Args:
        realised: the numbers of each replica.
        compiled: whether it is a program in C++ where that is possible.
    """

    name = "torch"

    def __init__(self, realised: Sequence[Realised], compiled: bool = False) -> None:
        from neurosal.engine.clock import Clock

        start = perf_counter()
        self._realised, self._clock = list(realised), Clock(realised, compiled=compiled)
        self._found: dict[str, list[tuple[Array, Array, Array]]] = {name: [] for name in realised[0].populations}
        compiling = self._clock.compile_seconds
        self.seconds = {"build": perf_counter() - start - compiling, "compile": compiling, "simulate": 0.0}

    def advance(self, steps: int) -> None:
        start = perf_counter()
        for name, (step, replica, unit) in self._clock.run(steps).items():
            self._found[name].append((step.numpy(), replica.numpy(), unit.numpy()))
        self.seconds["simulate"] += perf_counter() - start

    def spikes(self, replica: int = 0) -> Spikes:
        found = {}
        for name, some in self._found.items():
            step_L, of_L, unit_L = (np.concatenate([entry[end] for entry in some]) for end in range(3))
            found[name] = _ordered(step_L[of_L == replica], unit_L[of_L == replica])
        return found

    def state(self, replica: int = 0) -> Values:
        return {
            name: {variable: values[replica].numpy().copy() for variable, values in state.items()}
            for name, state in self._clock.state.items()
        }

    def synapses(self, replica: int = 0) -> Values:
        step = self._clock.step_number
        return {
            name: {
                variable: self._clock.projections[name].of_replica(variable, replica, step).numpy().copy()
                for variable in ("w", *program.variables)
            }
            for name, program in self._realised[replica].programs.items()
        }


class OnBrian2:
    """Brian2's runtime, one replica.

    Args:
        realised: the numbers.
        steps: how many there will be in all.
        target: of Brian2's code, "numpy" or "cython".
        watched: (population, unit) whose state is seen between the update and the threshold of every step.
        merge: whether populations of the same equations share a group, and sources are fed, as `ns.simulate` has it.
    """

    name = "brian2"

    @quiet()
    def __init__(self, realised: Realised, steps: int, target: str = "numpy", watched: tuple[str, int] | None = None,
                 merge: bool = False) -> None:  # fmt: skip
        from neurosal.lower.brian2 import build

        start = perf_counter()
        self._realised, self._target, self._fed, self._steps = realised, target, merge, 0
        sources, duration_ms = "fed" if merge else "shared", steps * realised.dt_ms
        with code_target(target):
            self._built = build(realised, sources=sources, duration_ms=duration_ms, spikes=True, merge=merge)
            self._watch = None if watched is None else self._watching(*watched)
        self.seconds = {"build": perf_counter() - start, "simulate": 0.0}

    def _watching(self, population: str, unit: int) -> Any:
        import brian2

        group, start, _ = self._group(population)
        names = [group.names[variable] for variable in self._realised.state[population]]
        monitor = brian2.StateMonitor(
            self._built.groups[group.name], names, record=[start + unit], when="after_groups", clock=self._built.clock
        )
        self._built.network.add(monitor)
        return monitor

    def _group(self, population: str) -> tuple[Any, int, int]:
        """The group that has a population, its first unit there, and the unit after its last."""
        description = self._built.description
        group = description.groups[description.group_of[population]]
        return group, *group.populations[population]

    @quiet()
    def advance(self, steps: int) -> None:
        import brian2

        start = perf_counter()
        with code_target(self._target):
            if self._fed:
                self._built.feed(self._steps, steps)
            self._built.network.run(steps * self._realised.dt_ms * brian2.ms, namespace={})
        self._steps += steps
        self.seconds["simulate"] += perf_counter() - start

    def spikes(self, replica: int = 0) -> Spikes:
        nothing = np.empty(0, "int64")
        found = {}
        for name, entry in self._realised.populations.items():
            monitor = self._built.spikes.get(self._built.description.group_of[name])
            if monitor is None:
                found[name] = nothing, nothing
                continue
            step_L = np.rint(np.asarray(monitor.t_) * 1e3 / self._realised.dt_ms).astype("int64")
            unit_L = np.asarray(monitor.i, "int64")
            if entry.dynamics is None:
                found[name] = _ordered(step_L, unit_L % self._realised.units(name))
                continue
            _, start, stop = self._group(name)
            mine = (unit_L >= start) & (unit_L < stop)
            found[name] = _ordered(step_L[mine], unit_L[mine] - start)
        return found

    def state(self, replica: int = 0) -> Values:
        from neurosal.lower.brian2.naming import unit

        found: dict[str, dict[str, Array]] = {}
        for name, state in self._realised.state.items():
            group, start, stop = self._group(name)
            made = self._built.groups[group.name]
            found[name] = {
                variable: self._array(made, group.names[variable])[start:stop] / unit(variable).size
                for variable in state
            }
        return found

    def _array(self, made: Any, name: str) -> Array:
        """A variable of a group or of synapses as it is now, in units of the SI."""
        return np.array(getattr(made, f"{name}_")[:], "float64")

    def watch_state(self) -> Callable[[], Mapping[tuple[str, str], Array]]:
        """Record all state from here on; what is given says it afterwards: (population, variable) → [steps, units], at
        the start of each step."""
        import brian2

        from neurosal.lower.brian2.naming import unit

        monitors = {}
        for population in self._realised.state:
            group, start, stop = self._group(population)
            names = [group.names[variable] for variable in self._realised.state[population]]
            monitors[population] = brian2.StateMonitor(
                self._built.groups[group.name], names, record=np.arange(start, stop), clock=self._built.clock
            )
        self._built.network.add(*monitors.values())
        return lambda: {
            (population, variable): np.array(
                getattr(monitors[population], f"{self._group(population)[0].names[variable]}_")
            ).T
            / unit(variable).size
            for population, variables in self._realised.state.items()
            for variable in variables
        }

    def before_threshold(self, population: str) -> Mapping[str, float]:
        """State of the watched unit in the last step, after the update and before the threshold."""
        from neurosal.lower.brian2.naming import unit

        assert self._watch is not None
        names = self._group(population)[0].names
        return {
            variable: float(getattr(self._watch, f"{names[variable]}_")[0, -1] / unit(variable).size)
            for variable in self._realised.state[population]
        }

    def synapses(self, replica: int = 0) -> Values:
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
        values = self._array(made, joint.names[variable])[start:stop]
        late = (*program.each_step, *program.at_intervals)  # what these read is kept up to date in every step
        if variable not in program.decays or any(variable in names_in(text) for text in late):
            return values
        now_ms = self._steps * self._realised.dt_ms
        return decayed(values, program, variable, now_ms - self._array(made, "lastupdate")[start:stop] * 1e3)


class OnStandalone(OnBrian2):
    """Brian2's program in C++, which runs to its end as it is made; `advance` only says which moment is looked at.

    Args:
        realised, watched, merge: as above.
        steps: how many there are.
        every: steps between two moments that can be looked at, beside the end.
        options: of `run_standalone`.

    Attributes:
        ran: what `run_standalone` gave.
    """

    @quiet()
    def __init__(self, realised: Realised, steps: int, every: int, watched: tuple[str, int] | None = None,
                 merge: bool = False, **options: Any) -> None:  # fmt: skip
        self._realised, self._every, self._last, self._steps = realised, every, steps, 0
        self._watched = watched
        self._monitors: dict[str, Any] = {}
        self._rows: dict[tuple[str, str], Array] = {}
        self._end: dict[tuple[str, str], Array] = {}
        self.ran = run_standalone(realised, steps, merge=merge, also=self._look, **options)
        self.seconds = {part: self.ran.seconds[part] for part in ("build", "compile", "simulate")}

    def _look(self, built: Any) -> Callable[[], None]:
        """Record what is to be looked at."""
        import brian2

        self._built = built
        for name, source in built.sources.items():
            built.spikes[name] = brian2.SpikeMonitor(source)
            built.network.add(built.spikes[name])
        if self._every < self._last:
            dt = self._every * self._realised.dt_ms * brian2.ms
            for made, names in self._wanted():
                self._monitors[made.name] = brian2.StateMonitor(made, names, record=True, dt=dt)
            built.network.add(*self._monitors.values())
        self._watch = None if self._watched is None else self._watching(*self._watched)
        return self._keep

    def _wanted(self) -> Iterator[tuple[Any, list[str]]]:
        """Groups and synapses, and which of their variables are looked at."""
        for group in self._built.description.groups.values():
            yield self._built.groups[group.name], [group.names[variable] for variable in group.state]
        for joint in self._built.description.joints:
            made = next((self._built.synapses[name][0] for name in joint.projections if name in self._built.synapses),
                        None)  # fmt: skip
            if made is None:
                continue
            names = [joint.names[variable] for variable in joint.variables]
            names += [joint.names["w"]] * (joint.weight is None) + ["lastupdate"] * ("lastupdate" in made.variables)
            if names:
                yield made, names

    def _keep(self) -> None:
        """Read all that may be asked for, before the program's files are gone."""
        for made, names in self._wanted():
            for name in names:
                self._end[made.name, name] = super()._array(made, name)
                if (monitor := self._monitors.get(made.name)) is not None:
                    self._rows[made.name, name] = np.array(getattr(monitor, f"{name}_")).T
        self._spikes = super().spikes()
        self._before = {} if self._watched is None else super().before_threshold(self._watched[0])

    def advance(self, steps: int) -> None:
        self._steps += steps

    def _array(self, made: Any, name: str) -> Array:
        if self._steps == self._last:
            return self._end[made.name, name]
        assert self._steps % self._every == 0
        return self._rows[made.name, name][self._steps // self._every]

    def spikes(self, replica: int = 0) -> Spikes:
        return self._spikes

    def before_threshold(self, population: str) -> Mapping[str, float]:
        return self._before


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
