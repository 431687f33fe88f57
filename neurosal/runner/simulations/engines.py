"""Engines behind one interface: some steps at a time, and all that was to be seen in them.

Letters: R replicas, U units, S synapses, L events, T times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from neurosal.lower.spiking import Realised
from neurosal.record.firing import ordered
from neurosal.runner.simulations.planning import Plan, Snapshots, Watched

Array = np.ndarray[Any, Any]


@dataclass
class Seen:
    """What was to be seen in some steps.

    Attributes:
        spikes: population → steps, replicas and units [L], replica by replica, in order of steps and of units.
        states: for each `Watched`, steps [T] and variable → [R, T, U].
        snapshots: for each `Snapshots`, steps [T] and variable ("w" too) → each replica's [T, S].
        finite: which replicas' state is, [R].
    """

    spikes: dict[str, tuple[Array, Array, Array]]
    states: dict[Watched, tuple[Array, dict[str, Array]]] = field(default_factory=dict)
    snapshots: dict[Snapshots, tuple[Array, dict[str, list[Array]]]] = field(default_factory=dict)
    finite: Array = field(default_factory=lambda: np.ones(0, bool))


class Engine(Protocol):
    """A simulation in the making.

    Attributes:
        seconds: of building, compiling and simulating so far.
        realised: circuits with their numbers, one a replica.
        piece: steps that are best made together: whole windows, or all.
        summing: what sums up how populations fire faster than numpy; None for nothing.
    """

    seconds: dict[str, float]
    realised: Sequence[Realised]
    piece: int
    summing: Callable[..., Any] | None

    def advance(self, steps: int) -> Seen:
        """Some steps more."""

    def state_dict(self) -> dict[str, Any] | None:
        """Tensors that `load_state_dict` of another engine goes on from; None where it cannot."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


class OnTorch:
    """All replicas as one tensor program; what is seen stays on the device until the end of a window."""

    def __init__(self, realised: Sequence[Realised], plan: Plan, *, dtype: str, device: Any, compiled: bool) -> None:
        import torch

        from neurosal.engine.clock import Clock

        self.realised, self._plan, self.piece = realised, plan, plan.window
        began = time.perf_counter()
        more = {"compiled": True} if compiled else {}
        self.clock = Clock(realised, dtype=getattr(torch, dtype), device=device, **more)
        self.summing = self.clock.summing
        compiling = self.clock.compile_seconds
        self.seconds = {"build": time.perf_counter() - began - compiling, "compile": compiling, "simulate": 0.0}
        self._units = {watched: torch.tensor(watched.units, device=self.clock.device) for watched in plan.states}

    def advance(self, steps: int) -> Seen:
        """Some steps more, in pieces that end where state is to be looked at."""
        import torch

        began = time.perf_counter()
        clock, plan = self.clock, self._plan
        start = clock.step_number
        end = start + steps
        spikes: dict[str, list[Any]] = {name: [] for name in plan.spiking}
        states: dict[Watched, list[tuple[int, list[Any]]]] = {watched: [] for watched in plan.states}
        snapshots: dict[Snapshots, list[tuple[int, dict[str, list[Array]]]]] = {one: [] for one in plan.snapshots}
        while (now := clock.step_number) < end:
            self._look(now, states, snapshots)
            intervals = [*(one.every for one in plan.states), *(one.every for one in plan.snapshots)]
            ahead = [(now // every + 1) * every for every in intervals]
            for name, found in clock.events(min([end, *ahead]) - now, plan.spiking).items():
                spikes[name].append(found)
        for one in plan.snapshots if end == plan.steps else ():
            self._snapshot(end, one, snapshots)
        seen = Seen({
            name: by_replica(*(_joined(parts) for parts in zip(*found, strict=True))) for name, found in spikes.items()
        })  # fmt: skip
        for watched, rows in states.items():
            values = torch.stack([torch.stack(values) for _, values in rows]).cpu().numpy() if rows else None
            seen.states[watched] = (
                np.array([step for step, _ in rows], "int64"),
                {name: _laid(values, place, watched, clock.replicas) for place, name in enumerate(watched.variables)},
            )
        for one, kept in snapshots.items():
            stacked = {
                name: [np.stack([values[name][r] for _, values in kept]) for r in range(clock.replicas)]
                for name in ("w", *one.variables)
            } if kept else {}  # fmt: skip
            seen.snapshots[one] = np.array([step for step, _ in kept], "int64"), stacked
        seen.finite = self._finite()
        self.seconds["simulate"] += time.perf_counter() - began
        return seen

    def _look(self, now: int, states: Any, snapshots: Any) -> None:
        for watched, rows in states.items():
            if now % watched.every == 0:
                state = self.clock.state[watched.population]
                rows.append((now, [state[name][:, self._units[watched]].double() for name in watched.variables]))
        for one in snapshots:
            if one.due(now):
                self._snapshot(now, one, snapshots)

    def _snapshot(self, now: int, one: Snapshots, snapshots: Any) -> None:
        projecting = self.clock.projections[one.projection]
        values = {
            name: [
                np.array(projecting.of_replica(name, replica, now).detach().double().cpu().numpy())
                for replica in range(self.clock.replicas)
            ]
            for name in ("w", *one.variables)
        }
        snapshots[one].append((now, values))

    def _finite(self) -> Array:
        import torch

        values = [value for state in self.clock.state.values() for value in state.values()]
        if self.clock.device.type == "cpu":
            known = [_finite_rows(value.numpy()) for value in values]
            return np.logical_and.reduce(known) if known else np.ones(self.clock.replicas, bool)
        every = [torch.isfinite(value).all(-1) for value in values]
        found: Array = torch.stack(every).all(0).cpu().numpy() if every else np.ones(self.clock.replicas, bool)
        return found

    def state_dict(self) -> dict[str, Any] | None:
        """All that the clock goes on from."""
        return dict(self.clock.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        import torch

        self.clock.load_state_dict({name: torch.as_tensor(np.array(value)) for name, value in state.items()})


def _finite_rows(values: Array) -> Array:
    """Whether all of a row are: a sum of them is not if one of them is not, and to add up is faster than to look."""
    with np.errstate(all="ignore"):
        found: Array = np.isfinite(values.sum(-1))
    if not found.all():
        found = np.asarray(np.isfinite(values).all(-1))
    return found


def by_replica(step_L: Array, replica_L: Array, unit_L: Array) -> tuple[Array, Array, Array]:
    """Spikes replica by replica, of each as they were."""
    if bool((replica_L[1:] >= replica_L[:-1]).all()):
        return step_L, replica_L, unit_L
    order = ordered(replica_L)
    return step_L[order], replica_L[order], unit_L[order]


def _joined(parts: Sequence[Any]) -> Array:
    """On a device, parts are joined before they are brought from there."""
    if len(parts) > 1 and parts[0].device.type != "cpu":
        import torch

        parts = [torch.cat([*parts])]
    found: Array = parts[0].cpu().numpy() if len(parts) == 1 else np.concatenate([part.numpy() for part in parts])
    return found


def _laid(values: Any, place: int, watched: Watched, replicas: int) -> Array:
    """[R, T, U] of one variable out of [T, V, R, U]."""
    if values is None:
        return np.empty((replicas, 0, len(watched.units)))
    found: Array = values[:, place].swapaxes(0, 1)
    return found
