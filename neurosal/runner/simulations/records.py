"""From what an engine saw into a record, window by window, and how the network fired so far."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosal.record import schema
from neurosal.record.firing import Firing
from neurosal.record.spiking import SpikeRecord
from neurosal.runner.simulations.engines import Engine, Seen
from neurosal.runner.simulations.planning import Plan, Snapshots, Watched
from neurosal.settings import Simulation

Array = np.ndarray[Any, Any]
USUAL_HZ, FEW = 1.0, 8192  # spikes a second of a unit, and spikes below which a record is taken for short
ABSENT = -1  # unit at the ends of synapses that a replica has not


class Records:
    """Everything that is recorded of a simulation.

    Args:
        recorder: a `Recorder`, or a `HeldRecorder`.
        engine: that is looked at.

    Attributes:
        seconds: that recording took here.
    """

    def __init__(self, recorder: Any, plan: Plan, simulation: Simulation, engine: Engine) -> None:
        self._recorder, self._plan, self.dt_ms = recorder, plan, simulation.dt_ms
        began = time.perf_counter()
        realised = engine.realised
        count = len(realised)
        windows = -(-plan.steps // plan.window)
        self._spikes = {name: self._record_of(recorder, name, plan, count) for name in plan.recorded}
        self._firing = {
            name: Firing(count, plan.populations[name], dt_ms=simulation.dt_ms, bin_ms=simulation.bin_ms,
                         settle_ms=simulation.settle_ms, window_ms=simulation.window_ms, summing=engine.summing)
            for name in plan.spiking
        }  # fmt: skip
        self._judged = [*plan.spiking, *(n for n in realised[0].state if n not in plan.spiking)]
        recorder.declare(schema.firing(self._judged), expected=min(windows, 100))
        self._not_finite = np.full(count, np.nan)
        self._paths: dict[Watched | Snapshots, str] = {}
        self._rows: dict[Snapshots, Array | None] = {}
        for watched in plan.states:
            group = schema.traces(
                watched.population, f"every_{watched.every}", units=watched.units,
                variables={name: f"{name} of {watched.population}" for name in watched.variables},
            )  # fmt: skip
            recorder.declare(group, expected=-(-plan.steps // watched.every))
            self._paths[watched] = group.path
        for one in plan.snapshots:
            group, self._rows[one] = _synapses(one, realised)
            recorder.declare(group, expected=plan.steps // one.every + 2)
            self._paths[one] = group.path
        self.seconds = time.perf_counter() - began

    def _record_of(self, recorder: Any, name: str, plan: Plan, replicas: int) -> SpikeRecord:
        """How many spikes there will be nobody knows; few files and many small ones differ by more than that guess."""
        units = plan.populations[name]
        expected = round(USUAL_HZ * plan.steps * self.dt_ms * 1e-3 * units * replicas)
        return SpikeRecord(recorder, name, units, expected=expected if expected > FEW else None)

    @property
    def broken(self) -> Array:
        """Which replicas' state is not finite."""
        return np.isfinite(self._not_finite)

    def put(self, start: int, stop: int, seen: Seen) -> None:
        """What was seen from one step up to another."""
        began = time.perf_counter()
        for first in range(start, stop, self._plan.window):
            self._window(first, min(first + self._plan.window, stop), seen, whole=stop - start <= self._plan.window)
        for watched, (step_T, values) in seen.states.items():
            if len(step_T):
                self._recorder.extend(self._paths[watched], {**values, **self._clock(step_T)})
        for one, (step_T, kept) in seen.snapshots.items():
            if len(step_T):
                rows = {
                    schema.WEIGHT if name == "w" else name: self._listed(one, parts) for name, parts in kept.items()
                }
                self._recorder.extend(self._paths[one], {**rows, **self._clock(step_T)})
        if len(seen.finite):
            fresh = ~seen.finite & ~self.broken
            self._not_finite[fresh] = stop * self.dt_ms
        self._recorder.reached(step=stop, epoch=0.0)
        self._recorder.maybe_commit()
        self.seconds += time.perf_counter() - began

    def _window(self, start: int, stop: int, seen: Seen, *, whole: bool) -> None:
        for name, (step_L, replica_L, unit_L) in seen.spikes.items():
            if not whole:
                part = np.flatnonzero((step_L >= start) & (step_L < stop))
                step_L, replica_L, unit_L = step_L[part], replica_L[part], unit_L[part]
            self._firing[name].add(start, stop, step_L, replica_L, unit_L)
            if name in self._spikes:
                self._spikes[name].put(
                    start * self.dt_ms, stop * self.dt_ms, step=stop, time_ms=step_L * self.dt_ms, unit=unit_L,
                    replica=replica_L, in_order=True,
                )  # fmt: skip

    def sum_up(self, step: int) -> None:
        """Record how the network fired so far."""
        began = time.perf_counter()
        nothing = np.full(len(self._not_finite), np.nan)
        columns = {
            name: {
                **dict.fromkeys(schema.FIRING, nothing),
                **(self._firing[name].result() if name in self._firing else {}),
            }
            for name in self._judged
        }
        values = {key: np.stack([columns[name][key] for name in self._judged], -1)[:, None] for key in schema.FIRING}
        values[schema.NOT_FINITE_MS] = np.repeat(self._not_finite[:, None, None], len(self._judged), -1)
        self._recorder.extend(f"{schema.FIRING_STATS}/so_far", {**values, **self._clock(np.array([step]))})
        self._recorder.maybe_commit()
        self.seconds += time.perf_counter() - began

    def _listed(self, one: Snapshots, parts: list[Array]) -> Array:
        """[R, T, S], NaN where a replica has no synapse."""
        rows = self._rows[one]
        if rows is None:
            return np.stack(parts)
        found = np.full((len(parts), parts[0].shape[0], int(rows.max())), np.nan)
        for replica, part in enumerate(parts):
            found[replica, :, : part.shape[1]] = part
        return found

    def _clock(self, step_T: Array) -> dict[str, Array]:
        return {schema.STEP: step_T, schema.TIME_MS: step_T * self.dt_ms}

    # Going on --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """What a resumed simulation needs of the sums."""
        found = {
            f"firing.{name}.{key}": value for name, one in self._firing.items() for key, value in one.state().items()
        }
        return {**found, "not_finite": self._not_finite}

    def take_up(self, state: Mapping[str, Any], step: int) -> None:
        """What `state` gave."""
        for name, one in self._firing.items():
            start = f"firing.{name}."
            one.take_up({key.removeprefix(start): value for key, value in state.items() if key.startswith(start)})
        self._not_finite[:] = state["not_finite"]
        for record in self._spikes.values():
            record.go_on(step * self.dt_ms)


def _synapses(one: Snapshots, realised: Any) -> tuple[schema.Group, Array | None]:
    """The group of a projection's synapses; and how many each replica has, where they are not wired alike."""
    circuit, edges = realised[0].circuit, [entry.edges[one.projection] for entry in realised]
    edge = circuit.projections[one.projection]
    ends = tuple((name, realised[0].units(name)) for name in (edge.target, edge.source))
    first = edges[0]
    alike = all(
        (other.pre is first.pre and other.post is first.post)
        or (np.array_equal(other.pre, first.pre) and np.array_equal(other.post, first.post))
        for other in edges[1:]
    )
    counts = None if alike else np.array([len(entry) for entry in edges])
    pairs: tuple[Any, Any] = (edges[0].post, edges[0].pre)
    if counts is not None:
        post, pre = (np.full((len(edges), int(counts.max())), ABSENT, "int32") for _ in range(2))
        for replica, entry in enumerate(edges):
            post[replica, : len(entry)], pre[replica, : len(entry)] = entry.post, entry.pre
        pairs = (post, pre)
    what = {schema.WEIGHT: "synaptic weights", **{name: f"{name} of synapses" for name in one.variables}}
    group = schema.synapses(one.projection, f"every_{one.every}", post=ends[0], pre=ends[1], pairs=pairs, what=what)
    return group, counts
