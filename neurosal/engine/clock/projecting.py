"""Synapses of one projection, all replicas as one list of edges: spikes that travel, arrive and change what they pass.

Units are numbered through all replicas: ``replica * units + unit``. Where replicas share a graph, the list has the
edges of one only; what synapses remember is each replica's own all the same, and so are weights that something changes.

Letters: R replicas, S synapses of all replicas, G edges of the list, L spikes, E synapses concerned in a step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ctypes import CDLL
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.outlets import Numbers, Outlets, Part
from neurosal.engine.clock.texts import assigned, function
from neurosal.engine.clock.wires import one_graph, one_weight, part_of
from neurosal.graph import Program
from neurosal.graph.dynamics import names_in
from neurosal.graph.programs import changed_by
from neurosal.lower.spiking import Edges

State = Mapping[str, Mapping[str, Tensor]]
Run = tuple[Callable[..., Any], list[str], list[str]]


@dataclass(frozen=True)
class Reached:
    """Some synapses.

    Attributes:
        edge: their places in the list of edges, [E].
        place: their places among values, [E].
        replica: of each, where replicas share the list, [E].
    """

    edge: Tensor
    place: Tensor
    replica: Tensor | None

    def rounds(self) -> list[Reached]:
        """Of synapses of which some are there more than once: the first time of each, the second, …."""
        return [
            Reached(self.edge[mine], self.place[mine], None if self.replica is None else self.replica[mine])
            for mine in _rounds(self.place)
        ]


class Projecting:
    """The synapses of a projection.

    Args:
        edges: of each replica.
        program: what happens at a synapse.
        variables: first values of synapses beside weights, of each replica.
        ends: populations (source, target).
        units: how many each has.
        dt_ms: time step.
        weights: where they lie already, [S], or, where replicas have the same, [G]; None makes a place for them.
        clocked: the program that looks up edges; None for torch.

    Attributes:
        values: weights and the variables beside them, each [S], replica by replica in the order of its edges; weights
            that are the same in all replicas and that nothing changes are there once, [G].
        counts: how many synapses each replica has.
        shared: whether replicas share the list of edges.
    """

    def __init__(self, edges: Sequence[Edges], program: Program, variables: Sequence[Mapping[str, Any]],
                 ends: tuple[str, str], units: tuple[int, int], dt_ms: float, dtype: torch.dtype,
                 device: torch.device, weights: Tensor | None = None, clocked: CDLL | None = None) -> None:  # fmt: skip
        self.program, self.ends, self.units, self.dt_ms = program, ends, units, dt_ms
        self.counts = [len(entry) for entry in edges]
        self.shared = len(edges) > 1 and one_graph(edges)
        self._edges, self._device, self._clocked = edges[:1] if self.shared else edges, device, clocked
        if weights is None:
            once = self.shared and one_weight(edges) and "w" not in changed_by(program)
            weights = self._joined([entry.weight for entry in (edges[:1] if once else edges)], dtype, device)
        self._one_weight = self.shared and len(weights) == self.counts[0]
        self.values: dict[str, Tensor] = {"w": weights}
        for name in program.variables:
            self.values[name] = self._joined([entry[name] for entry in variables], dtype, device)
        self._last = torch.zeros(sum(self.counts), dtype=torch.int32, device=device) if program.decays else None
        self._outlets: Outlets | None = None
        self._inlets: Outlets | None = None
        self._by_post: Tensor | None = None
        self._arrive = self._compiled((*program.before, f"transmitted = {program.transmits}", *program.on_pre),
                                      ["transmitted"])  # fmt: skip
        self._fired = self._compiled(program.on_post, [])
        self._passed = self._compiled(program.each_step, [])
        self._renewed = self._compiled(program.at_intervals, [])
        self._apart = program.steps_apart(dt_ms)
        self._as_drawn = {name: self.values[name]._version for name in self.values.keys() - changed_by(program)}

    @staticmethod
    def _joined(parts: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.cat([torch.as_tensor(np.asarray(part), dtype=dtype, device=device) for part in parts])

    @cached_property
    def pre(self) -> Tensor:
        """The unit that each edge of the list leaves, int32 [G]."""
        return self._ends([entry.pre for entry in self._edges], self.units[0])

    @cached_property
    def post(self) -> Tensor:
        """The unit at which each edge of the list ends, int32 [G]."""
        return self._ends([entry.post for entry in self._edges], self.units[1])

    def _ends(self, parts: Sequence[Any], units: int) -> Tensor:
        joined = np.concatenate([part + np.int32(replica * units) for replica, part in enumerate(parts)])
        return torch.from_numpy(joined.astype("int32", copy=False)).to(self._device)

    def connect(self, source: Numbers, first: int, size: int) -> int:
        """Make what finds the synapses of units of the source that spike.

        Args:
            source: how units of its block are numbered, where replicas share a graph.
            first: its first unit in this block.
            size: how many units the block has.

        Returns:
            the longest delay, in steps.
        """
        if self.shared:
            first, size = source.first[self.ends[0]], source.size
        part = part_of(first, self.units[0], self._edges, 0, apart=1)
        count = sum(len(entry) for entry in self._edges)
        self._outlets = Outlets(size, [part], count, self._device, source if self.shared else None, self._clocked)
        return self._outlets.longest

    def connect_back(self, target: Numbers, first: int, size: int) -> None:
        """Make what finds the synapses of units of the target that spike.

        Args:
            target, first, size: as of `connect`.
        """
        if self.shared:
            first, size = target.first[self.ends[1]], target.size
        post = self.post.cpu().numpy()
        order = np.argsort(post, kind="stable")
        counts = np.bincount(post, minlength=len(self._edges) * self.units[1])
        part = Part(first, np.concatenate([[0], np.cumsum(counts)]), 0, apart=1)
        self._by_post = torch.from_numpy(order.astype("int32")).to(self._device)
        numbers = target if self.shared else None
        self._inlets = Outlets(size, [part], len(post), self._device, numbers, self._clocked)

    def _compiled(self, statements: Sequence[str], also: list[str]) -> Run:
        """The statements as a function, names that it takes and names that it changes."""
        reads = sorted(frozenset().union(*map(names_in, statements))) if statements else []
        own = {*self.values}
        changed = [name for name in assigned(statements) if name in own]
        taken = [name for name in reads if name in own or "." in name or name in ("sum_in", "count_in")]
        arguments = [name.replace(".", "__") for name in taken]
        constants = {**self.program.constants, "dt_ms": self.dt_ms}
        return function("program", arguments, statements, [*also, *changed], constants), taken, changed

    # One step --------------------------------------------------------------------------------------------------------

    def arrive(self, history: Sequence[Tensor], repeats: bool, step: int, state: State, target: Tensor,
               open_: Tensor | None) -> None:  # fmt: skip
        """What spikes do that arrive now.

        Args:
            history: spikes of the source's block of this step, of the one before, ….
            repeats: whether a unit may be there more than once in a step; its spikes then act one after the other.
            target: the variable that they change, of all units [R * units].
            open_: which units take what arrives, 0 or 1, or None where all do.
        """
        assert self._outlets is not None
        found = self._outlets.edges(history)
        if found is None:
            return
        reached = self._reached(*found)
        for some in reached.rounds() if repeats else [reached]:
            transmitted = self._run(*self._arrive, some, step, state)[0]
            post = self._units_at(1, some)
            if open_ is not None:
                transmitted = transmitted * open_.index_select(0, post)
            if not isinstance(transmitted, Tensor) or transmitted.ndim == 0:
                transmitted = target.new_full((len(post),), float(transmitted))
            target.index_add_(0, post, transmitted)

    def fire(self, spikes: Tensor, step: int, state: State) -> None:
        """What happens at the synapses of units that spike now.

        Args:
            spikes: of the target's block.
        """
        assert self._inlets is not None
        assert self._by_post is not None
        if (found := self._inlets.edges((spikes,))) is not None:
            edges, replica = found
            self._run(*self._fired, self._reached(self._by_post.index_select(0, edges), replica), step, state)

    def _reached(self, edges: Tensor, replica: Tensor | None) -> Reached:
        """Places in the list of edges, int32, and replicas as synapses."""
        place = edges.long()  # int32 does for reading only
        if replica is None:
            return Reached(place, place, None)
        return Reached(edges, place.add_(replica, alpha=self.counts[0]), replica)

    def _units_at(self, end: int, some: Reached) -> Tensor:
        """The units at one end of some synapses, int32 [E]."""
        units = (self.post if end else self.pre).index_select(0, some.edge)
        return units if some.replica is None else units.add_(some.replica, alpha=self.units[end])

    def pass_step(self, step: int, state: State) -> None:
        """What happens at every synapse in every step."""
        if self.program.each_step:
            self._run(*self._passed, None, step, state)
        if self.program.at_intervals and step % self._apart == 0:
            self._run(*self._renewed, None, step, state)

    def _incoming(self, name: str) -> Tensor:
        """``sum_in``, the sum of w over the synapses that end at the same unit, or ``count_in``, how many; [S], or
        [R, G] of a shared graph."""
        share = self._picked("w", None)
        share = share if name == "sum_in" else torch.ones_like(share)
        if self.shared:
            return columns(columns_added(share, self.post, self.units[1]), self.post)
        total = share.new_zeros(len(self.counts) * self.units[1]).index_add_(0, self.post, share)
        return total.index_select(0, self.post)

    def _picked(self, name: str, some: Reached | None) -> Tensor:
        """A variable of some synapses, [E], or, with None, of all: [S], or [R, G] of a shared graph."""
        values, once = self.values[name], name == "w" and self._one_weight
        if some is not None:
            return values.index_select(0, some.edge if once else some.place)
        return self._rows(values, once) if self.shared else values

    def _rows(self, values: Tensor, once: bool = False) -> Tensor:
        return values.view(1 if once else len(self.counts), -1)

    def _of_units(self, end: int, values: Tensor, some: Reached | None) -> Tensor:
        """State [R, units] of the units at one end of synapses, as `_picked` gives it."""
        if some is not None:
            return values.view(-1).index_select(0, self._units_at(end, some))
        units = self.post if end else self.pre
        return columns(values, units) if self.shared else values.view(-1).index_select(0, units)

    def _run(self, run: Callable[..., Any], taken: list[str], changed: list[str], some: Reached | None, step: int,
             state: State) -> tuple[Any, ...]:  # fmt: skip
        """Statements at some synapses, or, with None, at all."""
        given = {}
        for name in taken:
            if "." in name:
                end, variable = name.split(".")
                given[name] = self._of_units(end == "post", state[self.ends[end == "post"]][variable], some)
            elif name in ("sum_in", "count_in"):
                given[name] = self._incoming(name)
            else:
                given[name] = self._picked(name, some)
        if self._last is not None:
            last = self._last if some is None else self._last.index_select(0, some.place)
            elapsed = (step - (self._rows(last) if some is None and self.shared else last)).to(self.values["w"].dtype)
            for name in self.program.decays:
                value = self._decayed(name, given[name] if name in given else self._picked(name, some), elapsed)
                given[name] = value
                if name not in changed:
                    self._put(name, some, value)
            if some is None:
                self._last.fill_(step)
            else:
                self._last.index_fill_(0, some.place, step)
        results: tuple[Any, ...] = run(*(given[name] for name in taken))
        for name, value in zip(changed, results[len(results) - len(changed) :], strict=True):
            self._put(name, some, value)
        return results

    def _put(self, name: str, some: Reached | None, value: Any) -> None:
        values = self.values[name]
        if some is None:
            values = self._rows(values) if self.shared else values
            values.copy_(value) if isinstance(value, Tensor) else values.fill_(value)
        elif isinstance(value, Tensor) and value.ndim:
            values.index_copy_(0, some.place, value)
        else:
            values.index_fill_(0, some.place, value)

    def _decayed(self, name: str, value: Tensor, elapsed: Tensor) -> Tensor:
        """A variable after so many steps without events."""
        decay, constants = self.program.decays[name], self.program.constants
        rest = constants[decay.rest] if isinstance(decay.rest, str) else decay.rest
        factor = torch.exp(elapsed * (-self.dt_ms / constants[decay.tau]))
        return value * factor if rest == 0 else rest + (value - rest) * factor

    def summed(self, signal: Tensor) -> Tensor:
        """``Σ w x`` at each unit of the target, [R * units]."""
        replicas, (pre, post) = len(self.counts), self.units
        if self.complete:
            weight = self.values["w"].view(-1, pre, post)
            return torch.cat([torch.mv(weight[0 if self._one_weight else r].T, signal[r]) for r in range(replicas)])
        if self.shared:
            return columns_added(self._picked("w", None) * columns(signal, self.pre), self.post, post).view(-1)
        total = signal.new_zeros(replicas * post)
        return total.index_add_(0, self.post, self.values["w"] * signal.reshape(-1).index_select(0, self.pre))

    @cached_property
    def complete(self) -> bool:
        """Whether every unit of the source is joined to every unit of the target once: weights are a matrix."""
        every = np.arange(self.units[0] * self.units[1])
        return all(
            len(e) == len(every) and bool((e.pre * np.int64(self.units[1]) + e.post == every).all())
            for e in self._edges
        )

    def state_dict(self) -> dict[str, Tensor]:
        """All that changes: variables of synapses, and when they were last looked at. What no spike changes follows
        from the seed, unless somebody has put other numbers in its place."""
        found = {
            f"values.{name}": value for name, value in self.values.items() if self._as_drawn.get(name) != value._version
        }
        return found if self._last is None else found | {"last": self._last}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """What `state_dict` gave."""
        for name, value in self.values.items():
            if f"values.{name}" in state:
                value.copy_(state[f"values.{name}"])
        if self._last is not None:
            self._last.copy_(state["last"])

    def of_replica(self, name: str, replica: int, step: int | None = None) -> Tensor:
        """A variable of one replica's synapses, in the order of its edges.

        Args:
            step: at the start of which; None leaves variables that decay as they were at the last event.
        """
        values = self.values[name]
        if step is not None and name in self.program.decays and self._last is not None:
            values = self._decayed(name, values, (step - self._last).to(values.dtype))
        return values if name == "w" and self._one_weight else values.split(self.counts)[replica]


def columns(values: Tensor, places: Tensor) -> Tensor:
    """``values[:, places]``. On a processor row by row, which is three times as fast."""
    if values.is_cuda:
        return values.index_select(1, places)
    found = values.new_empty(len(values), len(places))
    for row, into in zip(values, found, strict=True):
        torch.index_select(row, 0, places, out=into)
    return found


def columns_added(values: Tensor, places: Tensor, count: int) -> Tensor:
    """So many columns, each the sum of those columns of values that have its place."""
    total = values.new_zeros(len(values), count)
    if values.is_cuda:
        return total.index_add_(1, places, values)
    for row, into in zip(values, total, strict=True):
        into.index_add_(0, places, row)
    return total


def _rounds(edges: Tensor) -> list[Tensor]:
    """Which of some places belong to each round, such that none is there twice in one: the first time of each, the
    second, …."""
    sorted_, order = torch.sort(edges, stable=True)
    place = torch.arange(len(edges), device=edges.device)
    begins = torch.ones(len(edges), dtype=torch.bool, device=edges.device)
    begins[1:] = sorted_[1:] != sorted_[:-1]
    time = torch.empty_like(place)
    time[order] = place - torch.cummax(torch.where(begins, place, 0), 0).values
    return [time == k for k in range(int(time.max()) + 1)]
