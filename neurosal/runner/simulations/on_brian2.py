"""Brian2 behind the interface of engines: one network a replica, one after the other."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neurosal.errors import ExperimentError, Problem
from neurosal.lower.brian2.quiet import quiet
from neurosal.lower.spiking import Realised
from neurosal.runner.brian2_running import Ran, Running, Trace, refuse_no_compiler, run_standalone
from neurosal.runner.simulations.engines import Array, Seen
from neurosal.runner.simulations.planning import Plan, Snapshots, Watched

WINDOWS = 10  # that are run in one piece: to begin a piece costs Brian2 much


class OnBrian2:
    """All replicas, each as a network of its own.

    Args:
        mode: "numpy", "cython" or "standalone".

    Raises:
        ExperimentError: for what C++ standalone cannot record. CircuitError: for what Brian2 cannot do.
    """

    def __init__(self, realised: Sequence[Realised], plan: Plan, *, mode: str) -> None:
        self.realised, self._plan, self._mode = realised, plan, mode
        self.summing: Callable[..., Any] | None = None
        self.step, alone = 0, mode == "standalone"
        self.piece = plan.steps if alone else WINDOWS * plan.window
        self.seconds = dict.fromkeys(("build", "compile", "simulate"), 0.0)
        self._traces = _traces(plan)
        if alone:
            _refuse_snapshots(plan)
            refuse_no_compiler(mode)
            return
        began = time.perf_counter()
        options: dict[str, Any] = {"target": mode, "spikes": plan.spiking, "traces": self._traces}
        with quiet():
            self._running = [Running(one, plan.steps, **options) for one in realised]
        self.seconds["build"] += time.perf_counter() - began

    def advance(self, steps: int) -> Seen:
        """Some steps more, of one replica after the other; in pieces that end where weights are to be looked at."""
        end = self.step + steps
        parts: list[tuple[int, list[Ran]]] = []
        snapshots: dict[Snapshots, list[tuple[int, dict[str, list[Array]]]]] = {one: [] for one in self._plan.snapshots}
        if self.step == 0:
            for one in snapshots:
                snapshots[one].append((0, self._first(one)))
        while self.step < end:
            stop = min([end, *((self.step // one.every + 1) * one.every for one in snapshots)])
            ran = self._run(stop - self.step)
            self.step = stop
            parts.append((stop, ran))
            for one in snapshots:
                if one.due(stop) or stop == self._plan.steps:
                    snapshots[one].append((stop, _of(one, ran)))
        return Seen(
            {name: _joined([ran for _, ran in parts], name) for name in self._plan.spiking},
            {one: _state(one, self._traces[one.population], [ran for _, ran in parts]) for one in self._plan.states},
            {one: _stacked(rows, len(self.realised)) for one, rows in snapshots.items()},
            np.array([_finite(one) for one in parts[-1][1]]),
        )

    def _run(self, steps: int) -> list[Ran]:
        with quiet():
            if self._mode == "standalone":
                options: dict[str, Any] = {"spikes": self._plan.spiking, "traces": self._traces}
                found = [run_standalone(one, steps, **options) for one in self.realised]
            else:
                found = [one.run(steps) for one in self._running]
        for ran in found:
            for part in self.seconds:
                # What objects cost to make was counted when they were made.
                if part != "build" or self._mode == "standalone":
                    self.seconds[part] += ran.seconds.get(part, 0.0)
            self.seconds["simulate"] += ran.seconds.get("read", 0.0)
        return found

    def _first(self, one: Snapshots) -> dict[str, list[Array]]:
        found = {"w": [entry.edges[one.projection].weight for entry in self.realised]}
        return found | {n: [entry.variables[one.projection][n] for entry in self.realised] for n in one.variables}

    def state_dict(self) -> dict[str, Any] | None:
        """None: Brian2 keeps spikes on their way, and in C++ everything, where nobody can ask for them."""
        return None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to go on from is ever kept."""
        raise AssertionError("Brian2 keeps no state to go on from")


def _refuse_snapshots(plan: Plan) -> None:
    expected = "an every_ms not below the duration: a program in C++ tells weights at the start and at the end only"
    problems = [
        Problem(place=f"record weights of {one.projection}", expected=expected,
                found=f"every {one.every} of {plan.steps} steps",
                remedy="Take the mode cython, or a longer every_ms.")
        for one in plan.snapshots if one.every < plan.steps
    ]  # fmt: skip
    if problems:
        raise ExperimentError(problems)


def _traces(plan: Plan) -> dict[str, Trace]:
    """One for each population, which sees all that is wanted of it."""
    found = {}
    for population in dict.fromkeys(watched.population for watched in plan.states):
        mine = [watched for watched in plan.states if watched.population == population]
        variables = dict.fromkeys(name for watched in mine for name in watched.variables)
        units = sorted({unit for watched in mine for unit in watched.units})
        found[population] = Trace(tuple(variables), math.gcd(*(watched.every for watched in mine)), tuple(units))
    return found


def _joined(parts: Sequence[Sequence[Ran]], population: str) -> tuple[Array, Array, Array]:
    """Spikes of all replicas, replica by replica in order of steps and units."""
    steps, replicas, units = [], [], []
    for ran in parts:
        for replica, one in enumerate(ran):
            step_L, unit_L = one.spikes[population]
            steps.append(step_L)
            units.append(unit_L)
            replicas.append(np.full(len(step_L), replica))
    step_L, replica_L, unit_L = (np.concatenate(entry).astype("int64") for entry in (steps, replicas, units))
    order = np.lexsort((unit_L, step_L, replica_L))
    return step_L[order], replica_L[order], unit_L[order]


def _state(watched: Watched, trace: Trace, parts: Sequence[Sequence[Ran]]) -> tuple[Array, dict[str, Array]]:
    """Steps [T] and variable → [R, T, U] of what was asked, out of what was seen."""
    columns = np.searchsorted(np.array(trace.units), watched.units)
    steps: list[Array] = []
    values: dict[str, list[Array]] = {name: [] for name in watched.variables}
    for ran in parts:
        step_T = ran[0].traces[watched.population][0]
        due = step_T % watched.every == 0
        steps.append(step_T[due])
        for name, rows in values.items():
            rows.append(np.stack([one.traces[watched.population][1][name][due][:, columns] for one in ran]))
    return np.concatenate(steps), {name: np.concatenate(rows, axis=1) for name, rows in values.items()}


def _of(one: Snapshots, ran: Sequence[Ran]) -> dict[str, list[Array]]:
    found = {"w": [np.array(entry.weights[one.projection]) for entry in ran]}
    return found | {name: [np.array(e.variables[one.projection][name]) for e in ran] for name in one.variables}


def _stacked(rows: Sequence[tuple[int, dict[str, list[Array]]]], replicas: int) -> tuple[Array, dict[str, list[Array]]]:
    names = rows[0][1] if rows else ()
    values = {name: [np.stack([found[name][r] for _, found in rows]) for r in range(replicas)] for name in names}
    return np.array([step for step, _ in rows], "int64"), values


def _finite(ran: Ran) -> bool:
    return all(bool(np.isfinite(value).all()) for state in ran.state.values() for value in state.values())
