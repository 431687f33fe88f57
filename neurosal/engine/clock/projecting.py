"""Synapses of one projection, all replicas as one list of edges: spikes that travel, arrive, and change what they pass.

Letters: R replicas, S synapses of all replicas, L spikes, E synapses concerned in a step. Units are numbered through
all replicas: ``replica * units + unit``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.outlets import Outlets, Part
from neurosal.engine.clock.texts import assigned, function
from neurosal.engine.clock.wires import part_of
from neurosal.graph import Program
from neurosal.graph.dynamics import names_in
from neurosal.lower.spiking import Edges

State = Mapping[str, Mapping[str, Tensor]]
Run = tuple[Callable[..., Any], list[str], list[str]]


class Projecting:
    """The synapses of a projection.

    Args:
        edges: of each replica.
        program: what happens at a synapse.
        variables: first values of synapses beside weights, of each replica.
        ends: populations (source, target).
        units: how many each has.
        dt_ms: time step.
        weights: where they lie already, [S]; None makes a place for them.

    Attributes:
        values: weights and the variables beside them, each [S], replica by replica in the order of its edges.
        counts: how many synapses each replica has.
    """

    def __init__(self, edges: Sequence[Edges], program: Program, variables: Sequence[Mapping[str, Any]],
                 ends: tuple[str, str], units: tuple[int, int], dt_ms: float, dtype: torch.dtype,
                 device: torch.device, weights: Tensor | None = None) -> None:  # fmt: skip
        self.program, self.ends, self.units, self.dt_ms = program, ends, units, dt_ms
        self.counts = [len(entry) for entry in edges]
        self._edges, self._device = edges, device
        self.values: dict[str, Tensor] = {
            "w": self._joined([e.weight for e in edges], dtype, device) if weights is None else weights
        }
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

    @staticmethod
    def _joined(parts: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.cat([torch.as_tensor(np.asarray(part), dtype=dtype, device=device) for part in parts])

    @cached_property
    def pre(self) -> Tensor:
        """The unit that each synapse leaves, int32 [S]."""
        return self._ends([entry.pre for entry in self._edges], self.units[0])

    @cached_property
    def post(self) -> Tensor:
        """The unit at which each synapse ends, int32 [S]."""
        return self._ends([entry.post for entry in self._edges], self.units[1])

    def _ends(self, parts: Sequence[Any], units: int) -> Tensor:
        joined = np.concatenate([part + np.int32(replica * units) for replica, part in enumerate(parts)])
        return torch.from_numpy(joined.astype("int32", copy=False)).to(self._device)

    def connect(self, source: tuple[int, int], target: tuple[int, int]) -> int:
        """Make what finds the synapses of units that spike.

        Args:
            source, target: the first unit of either end in its block, and how many units that block has.

        Returns:
            the longest delay, in steps.
        """
        part = part_of(source[0], self.units[0], self._edges, 0)
        self._outlets = Outlets(source[1], [part], sum(self.counts), self._device)
        if self.program.on_post:
            post = self.post.cpu().numpy()
            order = np.argsort(post, kind="stable")
            count = np.bincount(post, minlength=len(self._edges) * self.units[1])
            begins = np.concatenate([[0], np.cumsum(count)])
            self._by_post = torch.from_numpy(order.astype("int32")).to(self._device)
            self._inlets = Outlets(target[1], [Part(target[0], begins, 0)], len(order), self._device)
        return self._outlets.longest

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
        edges = self._outlets.edges(history)
        if edges is None:
            return
        edges = edges.long()  # int32 does for reading only
        for some in _rounds(edges) if repeats else [edges]:
            transmitted = self._run(*self._arrive, some, step, state)[0]
            post = self.post.index_select(0, some)
            if open_ is not None:
                transmitted = transmitted * open_.index_select(0, post)
            if not isinstance(transmitted, Tensor) or transmitted.ndim == 0:
                transmitted = target.new_full((len(some),), float(transmitted))
            target.index_add_(0, post, transmitted)

    def fire(self, spikes: Tensor, step: int, state: State) -> None:
        """What happens at the synapses of units that spike now.

        Args:
            spikes: of the target's block.
        """
        if self._inlets is not None and (some := self._inlets.edges((spikes,))) is not None:
            assert self._by_post is not None
            self._run(*self._fired, self._by_post.index_select(0, some).long(), step, state)

    def pass_step(self, step: int, state: State) -> None:
        """What happens at every synapse in every step."""
        if self.program.each_step:
            self._run(*self._passed, None, step, state)
        if self.program.at_intervals and step % self._apart == 0:
            self._run(*self._renewed, None, step, state)

    def _incoming(self, name: str) -> Tensor:
        """``sum_in``, the sum of w over the synapses that end at the same unit, or ``count_in``, how many; [S]."""
        share = self.values["w"] if name == "sum_in" else torch.ones_like(self.values["w"])
        total = share.new_zeros(len(self.counts) * self.units[1]).index_add_(0, self.post, share)
        return total.index_select(0, self.post)

    def _run(self, run: Callable[..., Any], taken: list[str], changed: list[str], edges: Tensor | None, step: int,
             state: State) -> tuple[Any, ...]:  # fmt: skip
        """Statements at some synapses, or, with None, at all."""

        def picked(values: Tensor, places: Tensor | None = edges) -> Tensor:
            return values if places is None else values.index_select(0, places)

        given = {}
        for name in taken:
            if "." in name:
                end, variable = name.split(".")
                units = picked(self.pre if end == "pre" else self.post)
                given[name] = state[self.ends[end == "post"]][variable].view(-1).index_select(0, units)
            elif name in ("sum_in", "count_in"):
                given[name] = self._incoming(name)
            else:
                given[name] = picked(self.values[name])
        if self._last is not None:
            elapsed = (step - picked(self._last)).to(self.values["w"].dtype)
            for name in self.program.decays:
                value = self._decayed(name, given[name] if name in given else picked(self.values[name]), elapsed)
                given[name] = value
                if name not in changed:
                    self._put(name, edges, value)
            if edges is None:
                self._last.fill_(step)
            else:
                self._last.index_fill_(0, edges, step)
        results: tuple[Any, ...] = run(*(given[name] for name in taken))
        for name, value in zip(changed, results[len(results) - len(changed) :], strict=True):
            self._put(name, edges, value)
        return results

    def _put(self, name: str, edges: Tensor | None, value: Any) -> None:
        values = self.values[name]
        if edges is None:
            values.copy_(value) if isinstance(value, Tensor) else values.fill_(value)
        elif isinstance(value, Tensor) and value.ndim:
            values.index_copy_(0, edges, value)
        else:
            values.index_fill_(0, edges, value)

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
            weight = self.values["w"].view(replicas, pre, post)
            return torch.cat([torch.mv(weight[r].T, signal[r]) for r in range(replicas)])
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
        """All that changes: variables of synapses, and when they were last looked at."""
        found = {f"values.{name}": value for name, value in self.values.items()}
        return found if self._last is None else found | {"last": self._last}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """What `state_dict` gave."""
        for name, value in self.values.items():
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
        return values.split(self.counts)[replica]


def _rounds(edges: Tensor) -> list[Tensor]:
    """Places in a list of which none is there twice in one round: the first time of each, the second, …."""
    sorted_, order = torch.sort(edges, stable=True)
    place = torch.arange(len(edges), device=edges.device)
    begins = torch.ones(len(edges), dtype=torch.bool, device=edges.device)
    begins[1:] = sorted_[1:] != sorted_[:-1]
    time = torch.empty_like(place)
    time[order] = place - torch.cummax(torch.where(begins, place, 0), 0).values
    return [edges[time == k] for k in range(int(time.max()) + 1)]
