"""The clock: all populations and projections of a circuit, step by step.

A step has slots, in this order: continuous sums, state update, threshold (and sources), arrivals, what synapses do when
their target spikes, reset, what synapses do in every step. docs/spiking.md says each exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from neurosal.engine.clock.integrating import update_of
from neurosal.engine.clock.projecting import Projecting
from neurosal.engine.clock.texts import assigned, function, lowered
from neurosal.graph import Dynamics, Timed
from neurosal.lower.spiking import Realised
from neurosal.lower.spiking.realising import BLOCK

NEVER = -(2**40)  # step of the last spike of a unit that has not spiked


class Clock:
    """A circuit in continuous time, all replicas as one tensor program.

    Args:
        realised: one for each replica, of the same circuit and time step.
        dtype: of state and weights.
        device: where they live.

    Attributes:
        step_number: of the step that comes next; the time is that times dt.
        state: population → variable → [R, units].
        projections: by name, see `Projecting`.

    Example:
        >>> from neurosal.graph import Circuit, LIF, Population
        >>> from neurosal.lower.spiking import realise
        >>> cells = Population(size=2, model=LIF(bias_mv=30.0))
        >>> clock = Clock([realise(Circuit(populations={"cells": cells}), seed=0, dt_ms=0.1)])
        >>> step, replica, unit = clock.run(1000)["cells"]
        >>> unit.tolist()[:4]
        [0, 1, 0, 1]
    """

    def __init__(self, realised: Sequence[Realised], *, dtype: torch.dtype = torch.float64,
                 device: str | torch.device = "cpu") -> None:  # fmt: skip
        self.realised, self.replicas = list(realised), len(realised)
        self.circuit, self.dt_ms = realised[0].circuit, realised[0].dt_ms
        self.dtype, self.device = dtype, torch.device(device)
        self.step_number = 0
        self.units = {name: realised[0].units(name) for name in self.circuit.populations}
        self.state: dict[str, dict[str, Tensor]] = {}
        self.projections = {name: self._projecting(name) for name in self.circuit.projections}
        self._populations = {
            name: _Population(self, name, entry.dynamics)
            for name, entry in realised[0].populations.items()
            if entry.dynamics is not None
        }
        self._sources = [name for name, entry in realised[0].populations.items() if entry.dynamics is None]
        self._blocks: dict[str, tuple[int, list[Tensor]]] = {}

    def _projecting(self, name: str) -> Projecting:
        edge = self.circuit.projections[name]
        ends = (edge.source, edge.target)
        return Projecting(
            [entry.edges[name] for entry in self.realised],
            self.realised[0].programs[name],
            [entry.variables[name] for entry in self.realised],
            ends,
            (self.units[edge.source], self.units[edge.target]),
            self.dt_ms,
            self.dtype,
            self.device,
        )

    def step(self) -> dict[str, Tensor]:
        """One step; the spikes of every population, as ``replica * units + unit``, sorted."""
        now = self.step_number
        sums = {name: self._sums(name) for name in self._populations}
        for name, population in self._populations.items():
            population.update(now, sums[name])
        spikes = {name: self._emitted(name, now) for name in self._sources}
        for name, population in self._populations.items():
            spikes[name] = population.fire(now)
        for name, projecting in self.projections.items():
            source, target = projecting.ends
            if source not in spikes or self.realised[0].populations[target].hears.get(name):
                continue
            if (edges := projecting.arrivals(spikes[source])) is not None:
                variable = self.realised[0].populations[target].lands[name]
                open_ = self._populations[target].open if variable in self._populations[target].held else None
                projecting.arrive(edges, now, self.state, self.state[target][variable].view(-1), open_)
        for projecting in self.projections.values():
            if projecting.program.on_post:
                projecting.fire(spikes[projecting.ends[1]], now, self.state)
        for name, population in self._populations.items():
            population.reset(spikes[name])
        for projecting in self.projections.values():
            projecting.pass_step(now, self.state)
        self.step_number = now + 1
        return spikes

    def run(self, steps: int) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        """Some steps; for every population its spikes as (step [L], replica [L], unit [L])."""
        found: dict[str, list[tuple[int, Tensor]]] = {name: [] for name in self.units}
        for _ in range(steps):
            now = self.step_number
            for name, spikes in self.step().items():
                if len(spikes):
                    found[name].append((now, spikes))
        result = {}
        for name, entries in found.items():
            spikes = torch.cat([some for _, some in entries]) if entries else torch.empty(0, dtype=torch.int64)
            counts = torch.tensor([len(some) for _, some in entries], dtype=torch.int64)
            step = torch.repeat_interleave(torch.tensor([now for now, _ in entries], dtype=torch.int64), counts)
            result[name] = (step, spikes // self.units[name], spikes % self.units[name])
        return result

    def state_dict(self) -> dict[str, Tensor]:
        """All that a simulation goes on from: state of units and synapses, refractory time, spikes on their way. Not
        copied, but for spikes on their way. Sources need nothing: their spikes follow from seed and step."""
        found = {"step_number": torch.tensor(self.step_number)}
        for name, population in self._populations.items():
            for variable, value in {**population.state, **population.kept}.items():
                found[f"populations.{name}.{variable}"] = value
        for name, projecting in self.projections.items():
            found |= {f"projections.{name}.{key}": value for key, value in projecting.state_dict().items()}
        return found

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` gave, to the same bits."""
        self.step_number = int(state["step_number"])
        for name, population in self._populations.items():
            for variable, value in {**population.state, **population.kept}.items():
                value.copy_(state[f"populations.{name}.{variable}"])
        for name, projecting in self.projections.items():
            start = f"projections.{name}."
            projecting.load_state_dict({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})

    def _sums(self, population: str) -> dict[str, Tensor]:
        """What a population hears all the time, from the state at the start of the step."""
        found = {}
        assembled = self.realised[0].populations[population]
        for name, variable in assembled.hears.items():
            projecting = self.projections[name]
            total = projecting.summed(self.state[projecting.ends[0]][variable])
            found[assembled.lands[name]] = total.view(self.replicas, -1)
        return found

    def _emitted(self, source: str, now: int) -> Tensor:
        """The spikes of a source in this step."""
        block, place = divmod(now, BLOCK)
        if self._blocks.get(source, (-1, []))[0] != block:
            steps, spikes = [], []
            for replica, realised in enumerate(self.realised):
                step_L, unit_L = realised.spikes(source, block)
                steps.append(torch.as_tensor(step_L) - block * BLOCK)
                spikes.append(torch.as_tensor(unit_L) + replica * self.units[source])
            step, order = torch.sort(torch.cat(steps), stable=True)
            counts = torch.bincount(step, minlength=BLOCK).tolist()
            self._blocks[source] = block, list(torch.cat(spikes)[order].to(self.device).split(counts))
        return self._blocks[source][1][place]


class _Population:
    """The units of one population with equations."""

    def __init__(self, clock: Clock, name: str, dynamics: Dynamics) -> None:
        self._clock, self._dynamics, self.held = clock, dynamics, dynamics.held
        self._summed = [clock.realised[0].populations[name].lands[edge]
                        for edge in clock.realised[0].populations[name].hears]  # fmt: skip
        self._free, self._resting, self._inputs = update_of(dynamics, self._summed, clock.dt_ms, f"populations.{name}")

        def stacked(rows: list[Any]) -> Tensor:
            return torch.stack([torch.as_tensor(row, dtype=clock.dtype) for row in rows]).to(clock.device)

        self.state = {v: stacked([entry.state[name][v] for entry in clock.realised]) for v in dynamics.equations}
        clock.state[name] = self.state
        self._single = {c: stacked([entry.constants[name][c] for entry in clock.realised])
                        for c in clock.realised[0].constants[name]}  # fmt: skip
        shape = (clock.replicas, clock.units[name])
        self._refractory = round(dynamics.refractory_ms / clock.dt_ms)
        self._last = torch.full(shape, NEVER, dtype=torch.int64, device=clock.device)
        self._ready = torch.ones(shape, dtype=torch.bool, device=clock.device)
        self._timed = {key: _table(entry, clock) for key, entry in dynamics.timed.items()}
        numbers = {key: float(v) for key, v in dynamics.constants.items() if isinstance(v, (int, float))}
        arguments = [*self.state, *self._single, *self._timed]
        self._threshold = dynamics.threshold and function("threshold", arguments,
            [f"fired = {lowered(dynamics.threshold)}"], ["fired"], numbers)  # fmt: skip
        self._changed = assigned(dynamics.reset)
        self._reset = function("reset", arguments, dynamics.reset, self._changed, numbers)
        self._now: dict[str, Any] = {}

    def update(self, now: int, sums: dict[str, Tensor]) -> None:
        """State from the start of the step to its end."""
        self._now = {key: table(now) for key, table in self._timed.items()}
        known = {**self._single, **self._now, **sums}
        inputs = [known[name] for name in self._inputs]
        fresh = self._free(*self.state.values(), *inputs)
        if self._refractory and self.held:
            self._ready = now - self._last >= self._refractory
            resting = self._resting(*self.state.values(), *inputs)
            fresh = tuple(torch.where(self._ready, new, old) for new, old in zip(fresh, resting, strict=True))
        elif self._refractory:
            self._ready = now - self._last >= self._refractory
        for name, value in zip(self.state, fresh, strict=True):
            self.state[name].copy_(value)

    def fire(self, now: int) -> Tensor:
        """Which units spike, as ``replica * units + unit``."""
        if not self._threshold:
            return torch.empty(0, dtype=torch.int64, device=self._last.device)
        (fired,) = self._threshold(*self.state.values(), *self._single.values(), *self._now.values())
        if self._refractory:
            fired = fired & self._ready
        spikes = torch.nonzero(fired.view(-1))[:, 0]
        self._last.view(-1)[spikes] = now
        self._spikes = spikes
        return spikes

    @property
    def kept(self) -> dict[str, Tensor]:
        """What else of the units lasts from step to step."""
        return {"last_spike_step": self._last}

    @property
    def open(self) -> Tensor:
        """Which units take what arrives at held variables: those not in refractory time that have not just spiked."""
        ready = self._ready.clone().view(-1)
        if self._refractory:
            ready[self._spikes] = False
        return ready

    def reset(self, spikes: Tensor) -> None:
        """State of units that have just spiked."""
        if not len(spikes) or not self._changed:
            return
        some = [tensor.view(-1)[spikes] for tensor in (*self.state.values(), *self._single.values())]
        timed = [value.expand(self._last.shape).reshape(-1)[spikes] if isinstance(value, Tensor) else value
                 for value in self._now.values()]  # fmt: skip
        for name, value in zip(self._changed, self._reset(*some, *timed), strict=True):
            self.state[name].view(-1)[spikes] = value


def _table(timed: Timed, clock: Clock) -> Any:
    """The value of a timed constant at a step."""
    every = round(timed.every_ms / clock.dt_ms)
    values = torch.tensor(timed.values, dtype=clock.dtype, device=clock.device)
    if values.ndim == 1:
        numbers = values.tolist()
        return lambda now: numbers[min(now // every, len(numbers) - 1)]
    return lambda now: values[min(now // every, len(values) - 1)]
