"""Run circuits in continuous time on Brian2: window by window with its runtime targets, or once as C++ standalone.

What Brian2 keeps for a whole process (its device, preferences, random numbers) is as it was when a run ends.
Letters: L events, T times, U units, S synapses.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from neurosal.errors import ExperimentError, Problem
from neurosal.lower.brian2 import Built, build
from neurosal.lower.brian2.building import laned
from neurosal.lower.brian2.naming import unit
from neurosal.lower.brian2.quiet import quiet
from neurosal.lower.spiking import Realised
from neurosal.record.monitors import drain_spikes, drain_trace, steps_of
from neurosal.runner.garbage import rarely_swept

Array = np.ndarray[Any, Any]
Spikes = dict[str, tuple[Array, Array]]
Target = Literal["numpy", "cython"]


@dataclass(frozen=True)
class Trace:
    """State to record: variables of some units at an interval.

    Args:
        variables: as the circuit names them.
        every: steps.
        units: which; None for all.
    """

    variables: tuple[str, ...]
    every: int = 1
    units: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Ran:
    """What a run, or a window of one, came to.

    Attributes:
        spikes: population → steps [L] and units [L], sorted by step, then unit.
        traces: population → steps [T] and, by variable, values [T, U] at the start of those steps.
        state: population → variable → [U], at the end.
        weights: projection → [S], at the end, in the order of its edges.
        variables: projection → variable → [S], as they are at the end (relaxed until then).
        seconds: part of the work ("build", "compile", "simulate", "read") → time. Brian2 writes code before every
            window; that is counted as "compile", as is compiling what no cache has.
    """

    spikes: Spikes
    traces: Mapping[str, tuple[Array, dict[str, Array]]]
    state: Mapping[str, Mapping[str, Array]]
    weights: Mapping[str, Array]
    variables: Mapping[str, Mapping[str, Array]]
    seconds: Mapping[str, float] = field(default_factory=dict)


class Running:
    """A circuit on a runtime target of Brian2, which can go on from window to window.

    Args:
        realised: the circuit with its numbers.
        steps: how many there will be at most.
        target: "cython", which compiles each kind of code once a machine, or "numpy".
        spikes: populations whose spikes are recorded; None for all.
        traces: state to record, by population.
        merge: whether populations of the same equations share a group.

    Attributes:
        step_number: of the step that comes next.

    Example:
        >>> from neurosal.graph import Circuit, LIF, Population
        >>> from neurosal.lower.spiking import realise
        >>> cells = Population(size=2, model=LIF(bias_mv=30.0))
        >>> running = Running(realise(Circuit(populations={"cells": cells}), seed=0, dt_ms=0.1), steps=1000)
        >>> running.run(500).spikes["cells"][1].tolist()
        [0, 1, 0, 1]
    """

    @quiet()
    def __init__(self, realised: Realised, steps: int, *, target: Target = "numpy", spikes: Iterable[str] | None = None,
                 traces: Mapping[str, Trace] | None = None, merge: bool = True) -> None:  # fmt: skip
        self.realised, self.step_number, self._target = realised, 0, target
        began = time.perf_counter()
        with _runtime(target):
            self._recorded = _Recorded.of(realised, steps, "fed", spikes, traces, merge)
        self.built = self._recorded.built
        self._build_s = time.perf_counter() - began

    @quiet()
    def run(self, steps: int) -> Ran:
        """Some more steps; what was recorded in them, and the state after them."""
        import brian2

        began = time.perf_counter()
        first, told = self.step_number, [began]

        def tell(*_: Any) -> None:
            """Brian2 calls it before the first step, when all code was made, and after the last."""
            told.append(time.perf_counter())

        with _runtime(self._target):
            self.built.feed(first, steps)
            duration = steps * self.realised.dt_ms * brian2.ms
            with rarely_swept():
                self.built.network.run(duration, report=tell, report_period=1e6 * brian2.second, namespace={})
            self.step_number += steps
            ended = time.perf_counter()
            starts = told[min(1, len(told) - 1)]
            seconds = {"build": self._build_s, "compile": starts - began, "simulate": ended - starts}
            self._build_s = 0.0
            return self._recorded.read(first, self.step_number, seconds)


@quiet()
def run_standalone(realised: Realised, steps: int, *, spikes: Iterable[str] | None = None,
                   traces: Mapping[str, Trace] | None = None, merge: bool = True, threads: int = 0,
                   folder: str | None = None,
                   also: Callable[[Built], Callable[[], None]] | None = None) -> Ran:  # fmt: skip
    """The whole simulation as a program in C++, which Brian2 writes, compiles and runs. It cannot go on afterwards, and
    all that it records is in memory when it ends.

    Args:
        realised, steps, spikes, traces, merge: as of `Running`.
        threads: of OpenMP; 0 for a program without.
        folder: for the program; None for a temporary one.
        also: is given the objects before they run; what it gives is called when they have run and can still be read.
    """
    import brian2

    with tempfile.TemporaryDirectory(prefix="brian2_") as temporary, standalone(threads):
        began = time.perf_counter()
        recorded = _Recorded.of(realised, steps, "shared", spikes, traces, merge)
        look = None if also is None else also(recorded.built)
        with rarely_swept():
            recorded.built.network.run(steps * realised.dt_ms * brian2.ms, namespace={})
        building = time.perf_counter() - began
        seconds = _run_program(folder or temporary)
        if look is not None:
            look()
        return recorded.read(0, steps, {**seconds, "build": building + seconds["build"]})


def _run_program(directory: str) -> dict[str, float]:
    """Write, compile and run what was built on the device for programs in C++.

    Returns:
        Part of the work ("build", "compile", "simulate") → seconds.
    """
    import brian2

    marks = [time.perf_counter()]
    brian2.device.build(directory=directory, compile=False, run=False, debug=False, with_output=False)
    marks.append(time.perf_counter())
    compiler, _ = brian2.codegen.cpp_prefs.get_compiler_and_args()
    with brian2.utils.filetools.in_directory(directory):
        brian2.device.compile_source(directory, compiler, debug=False, clean=False)
    marks.append(time.perf_counter())
    brian2.device.run(directory, with_output=False)
    marks.append(time.perf_counter())
    return {part: marks[k + 1] - marks[k] for k, part in enumerate(("build", "compile", "simulate"))}


def run_brian2(realised: Realised, steps: int, *, mode: Literal["runtime", "standalone"] = "runtime",
               target: Target = "numpy", **options: Any) -> Ran:  # fmt: skip
    """A whole simulation on Brian2.

    Args:
        mode: "runtime", or "standalone" for C++.
        target: of runtime.
        options: see `Running` and `run_standalone`.
    """
    if mode == "standalone":
        return run_standalone(realised, steps, **options)
    return Running(realised, steps, target=target, **options).run(steps)


@contextmanager
def _runtime(target: Target) -> Iterator[None]:
    """Brian2 with a target of its runtime device."""
    import brian2
    from brian2.devices.device import get_device, reset_device, runtime_device, set_device

    before = brian2.prefs.codegen.target
    other = get_device() is not runtime_device
    if other:
        set_device(runtime_device)
    brian2.prefs.codegen.target = target
    try:
        yield
    except Exception:
        if target == "cython":  # not asked before: a cache may have all of the code
            refuse_no_compiler(target)
        raise
    finally:
        brian2.prefs.codegen.target = before
        if other:
            reset_device()


@contextmanager
def standalone(threads: int = 0) -> Iterator[None]:
    """Brian2 with its device for programs in C++, empty before and after."""
    import brian2
    from brian2.devices.device import all_devices, reset_device, set_device

    refuse_no_compiler("standalone")
    preferences = brian2.prefs.devices.cpp_standalone
    before, make = preferences.openmp_threads, preferences.extra_make_args_unix
    device = all_devices["cpp_standalone"]
    device.reinit()
    set_device(device, build_on_run=False)
    preferences.openmp_threads = threads
    if make == ["-j"]:  # Brian2's default: a compiler for every file at once, hundreds of them in a large circuit
        preferences.extra_make_args_unix = [f"-j{os.cpu_count() or 1}"]
    try:
        yield
    finally:
        preferences.openmp_threads, preferences.extra_make_args_unix = before, make
        device.reinit()
        reset_device()


def refuse_no_compiler(mode: str) -> None:
    """Refuse a mode whose code is compiled where no compiler is.

    Raises:
        ExperimentError: naming the compiler.
    """
    compiler = (os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")).split()[0]
    if sys.platform != "win32" and shutil.which(compiler) is None:
        raise ExperimentError(
            Problem(place="mode", expected=f"the C++ compiler {compiler}, with which Brian2 compiles for {mode}",
                    found="none", remedy="Install it (for another one set CXX), or take the mode numpy.")
        )  # fmt: skip


@dataclass(frozen=True)
class _Recorded:
    """Objects of Brian2, and what is wanted of them."""

    built: Built
    wanted: tuple[str, ...]
    traces: Mapping[str, tuple[Any, Trace]]

    @classmethod
    def of(cls, realised: Realised, steps: int, sources: str, spikes: Iterable[str] | None,
           traces: Mapping[str, Trace] | None, merge: bool) -> _Recorded:  # fmt: skip
        import brian2

        spiking = [name for name, entry in realised.populations.items()
                   if entry.dynamics is None or entry.dynamics.threshold]  # fmt: skip
        wanted = tuple(name for name in spiking if spikes is None or name in set(spikes))
        # What sources send is known without them.
        monitored = [name for name in wanted if realised.populations[name].dynamics is not None]
        built = build(realised, sources=sources, duration_ms=steps * realised.dt_ms, merge=merge, spikes=monitored)
        made = {}
        for name, trace in (traces or {}).items():
            group = built.description.groups[built.description.group_of[name]]
            start, stop = group.populations[name]
            units = range(stop - start) if trace.units is None else trace.units
            monitor = brian2.StateMonitor(
                built.groups[group.name], [group.names[variable] for variable in trace.variables],
                record=np.asarray(units) + start, dt=trace.every * realised.dt_ms * brian2.ms,
            )  # fmt: skip
            built.network.add(monitor)
            made[name] = (monitor, trace)
        return cls(built, wanted, made)

    def read(self, first: int, stop: int, seconds: Mapping[str, float]) -> Ran:
        """All that is wanted of the steps from `first` to `stop`; monitors of runtime targets are empty afterwards."""
        began = time.perf_counter()
        built, dt_ms = self.built, self.built.realised.dt_ms
        raw = {name: _drained(monitor, dt_ms) for name, monitor in built.spikes.items()}
        spikes = {}
        for name in self.wanted:
            group = built.description.groups.get(built.description.group_of[name])
            if group is None:
                spikes[name] = sent(built.realised, name, first, stop)
                continue
            step_L, unit_L = raw[group.name]
            low, high = group.populations[name]
            if len(group.populations) > 1:
                here = (unit_L >= low) & (unit_L < high)
                step_L, unit_L = step_L[here], unit_L[here] - low
            spikes[name] = (step_L, unit_L.astype("int64"))
        traces = {}
        for name, (monitor, trace) in self.traces.items():
            names = built.description.groups[built.description.group_of[name]].names
            step_T, values = _drained_trace(monitor, dt_ms, {names[v]: unit(v).size for v in trace.variables})
            traces[name] = (step_T, {v: values[names[v]] for v in trace.variables})
        found = (_state(built), *_synapses(built, stop))
        return Ran(spikes, traces, *found, {**seconds, "read": time.perf_counter() - began})


def sent(realised: Realised, population: str, first: int, stop: int) -> tuple[Array, Array]:
    """What a source sends in some steps: steps [L] and units [L]."""
    step_L, unit_L, lanes = laned(realised, population, stop - first, first)
    unit_L = unit_L % realised.units(population)
    order = np.lexsort((unit_L, step_L)) if lanes > 1 else slice(None)
    return step_L[order], unit_L[order]


def _fixed(monitor: Any) -> bool:
    """Whether a monitor belongs to a program that has ended, whose records cannot be emptied."""
    from brian2.devices.device import get_device, runtime_device

    return get_device() is not runtime_device


def _drained(monitor: Any, dt_ms: float) -> tuple[Array, Array]:
    return (steps_of(monitor, dt_ms), np.array(monitor.i)) if _fixed(monitor) else drain_spikes(monitor, dt_ms)


def _drained_trace(monitor: Any, dt_ms: float, scales: Mapping[str, float]) -> tuple[Array, dict[str, Array]]:
    if not _fixed(monitor):
        return drain_trace(monitor, dt_ms, scales)
    values = {name: np.array(getattr(monitor, f"{name}_")).T / scale for name, scale in scales.items()}
    return steps_of(monitor, dt_ms), values


def _state(built: Built) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    for group in built.description.groups.values():
        for variable in group.state:
            values = np.array(getattr(built.groups[group.name], f"{group.names[variable]}_")) / unit(variable).size
            for population, (start, stop) in group.populations.items():
                found.setdefault(population, {})[variable] = values[start:stop]
    return found


def _synapses(built: Built, stop: int) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """Weights, and variables as they are at the start of step `stop`."""
    weights = {name: edges.weight for name, edges in built.realised.edges.items()}
    variables: dict[str, dict[str, Array]] = {name: {} for name in weights}
    for joint in built.description.joints:
        for name in joint.projections:
            if name not in built.synapses:
                continue
            synapses, first, last = built.synapses[name]
            if joint.plastic:
                weights[name] = np.array(synapses.w)[first:last]
            for variable in joint.variables:
                values = np.array(getattr(synapses, joint.names[variable]))[first:last]
                if variable in joint.eventual:
                    elapsed = (
                        stop * built.realised.dt_ms - np.array(synapses.lastupdate_)[first:last] / unit("_ms").size
                    )
                    decay = joint.decays[variable]
                    rest = joint.constant(decay.rest) if isinstance(decay.rest, str) else decay.rest
                    values = rest + (values - rest) * np.exp(-elapsed / joint.constant(decay.tau))
                variables[name][variable] = values
    return weights, variables
