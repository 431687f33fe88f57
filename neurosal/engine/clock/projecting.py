"""Synapses of one projection, all replicas as one list of edges: spikes that travel, arrive, and change what they pass.

Letters: R replicas, S synapses of all replicas, L spikes, E synapses concerned in a step. Units are numbered through
all replicas: ``replica * units + unit``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.texts import assigned, function
from neurosal.graph import Program
from neurosal.graph.dynamics import names_in
from neurosal.lower.spiking import Edges

State = Mapping[str, Mapping[str, Tensor]]


class Projecting:
    """The synapses of a projection.

    Args:
        edges: of each replica.
        program: what happens at a synapse.
        variables: first values of synapses beside weights, of each replica.
        ends: populations (source, target).
        units: how many each has.
        dt_ms: time step.
    """

    def __init__(self, edges: Sequence[Edges], program: Program, variables: Sequence[Mapping[str, Any]],
                 ends: tuple[str, str], units: tuple[int, int], dt_ms: float, dtype: torch.dtype,
                 device: torch.device) -> None:  # fmt: skip
        self.program, self.ends, self.units, self.dt_ms = program, ends, units, dt_ms
        self.counts = [len(entry) for entry in edges]
        whole: dict[str, Any] = {"dtype": torch.int64, "device": device}
        self.pre = torch.cat([torch.as_tensor(e.pre, **whole) + r * units[0] for r, e in enumerate(edges)])
        self.post = torch.cat([torch.as_tensor(e.post, **whole) + r * units[1] for r, e in enumerate(edges)])
        self.values: dict[str, Tensor] = {"w": self._joined([e.weight for e in edges], dtype, device)}
        for name in program.variables:
            self.values[name] = self._joined([entry[name] for entry in variables], dtype, device)
        self._last = torch.zeros(len(self.pre), dtype=torch.int64, device=device) if program.decays else None
        self._first = _offsets(self.pre, len(edges) * units[0])
        if program.on_post:
            self._by_post = torch.sort(self.post, stable=True).indices
            self._first_post = _offsets(self.post[self._by_post], len(edges) * units[1])
        self._delay, self._delays = self._delayed(edges, device)
        longest = max(self._delays) if self._delays is not None else self._delay
        self._queue: deque[Tensor] = deque(maxlen=longest + 1)
        self._arrive = self._compiled((*program.before, f"transmitted = {program.transmits}", *program.on_pre),
                                      ["transmitted"])  # fmt: skip
        self._fired = self._compiled(program.on_post, [])
        self._passed = self._compiled(program.each_step, [])
        self._renewed = self._compiled(program.at_intervals, [])
        self._apart = program.steps_apart(dt_ms)

    @staticmethod
    def _joined(parts: Sequence[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.cat([torch.as_tensor(np.asarray(part), dtype=dtype, device=device) for part in parts])

    def _delayed(
        self, edges: Sequence[Edges], device: torch.device
    ) -> tuple[int, dict[int, tuple[Tensor, Tensor]] | None]:
        """One delay for all; or for each delay the synapses that have it, and where those of each unit begin."""
        if all(isinstance(e.delay, int) for e in edges):
            (delay,) = {int(e.delay) for e in edges}
            return delay, None
        steps = torch.cat([torch.as_tensor(np.broadcast_to(e.delay, len(e)).copy(), dtype=torch.int64) for e in edges])
        found = {}
        for delay in steps.unique().tolist():
            place = torch.nonzero(steps == delay)[:, 0].to(device)
            found[delay] = (place, _offsets(self.pre[place], len(edges) * self.units[0]))
        return 0, found

    def _compiled(self, statements: Sequence[str], also: list[str]) -> tuple[Callable[..., Any], list[str], list[str]]:
        """The statements as a function, names that it takes and names that it changes."""
        reads = sorted(frozenset().union(*map(names_in, statements))) if statements else []
        own = {*self.values}
        changed = [name for name in assigned(statements) if name in own]
        taken = [name for name in reads if name in own or "." in name or name in ("sum_in", "count_in")]
        arguments = [name.replace(".", "__") for name in taken]
        constants = {**self.program.constants, "dt_ms": self.dt_ms}
        return function("program", arguments, statements, [*also, *changed], constants), taken, changed

    # One step --------------------------------------------------------------------------------------------------------

    def arrivals(self, sent: Tensor) -> Tensor | None:
        """The synapses at which spikes arrive in this step.

        Args:
            sent: the source's spikes of this step, [L].
        """
        self._queue.appendleft(sent)
        if self._delays is None:
            return self._expanded(self._queue[self._delay], self._first) if len(self._queue) > self._delay else None
        found = []
        for delay, (place, first) in self._delays.items():
            if len(self._queue) > delay and (some := self._expanded(self._queue[delay], first)) is not None:
                found.append(place[some])
        return torch.cat(found) if found else None

    @staticmethod
    def _expanded(spikes: Tensor, first: Tensor) -> Tensor | None:
        """The synapses of some units, [E]."""
        if len(spikes) == 0:
            return None
        begin = first[spikes]
        counts = first[spikes + 1] - begin
        ends = counts.cumsum(0)
        total = int(ends[-1])
        if total == 0:
            return None
        return torch.arange(total, device=spikes.device) + torch.repeat_interleave(
            begin - ends + counts, counts, output_size=total
        )

    def arrive(self, edges: Tensor, step: int, state: State, target: Tensor, open_: Tensor | None) -> None:
        """What spikes do that arrive now.

        Args:
            edges: synapses, [E].
            target: the variable that they change, of all units [R * units].
            open_: which units take what arrives, or None where all do.
        """
        run, taken, changed = self._arrive
        if self.program.plastic:
            transmitted = self._run(run, taken, changed, edges, step, state)[0]
        else:
            transmitted = self.values["w"][edges]
        post = self.post[edges]
        if open_ is not None:
            transmitted = transmitted * open_[post]
        target.index_add_(0, post, transmitted)

    def fire(self, spikes: Tensor, step: int, state: State) -> None:
        """What happens at the synapses of units that spike now."""
        if self.program.on_post and (some := self._expanded(spikes, self._first_post)) is not None:
            self._run(*self._fired, self._by_post[some], step, state)

    def pass_step(self, step: int, state: State) -> None:
        """What happens at every synapse in every step."""
        if self.program.each_step:
            self._run(*self._passed, torch.arange(len(self.pre), device=self.pre.device), step, state)
        if self.program.at_intervals and step % self._apart == 0:
            self._run(*self._renewed, torch.arange(len(self.pre), device=self.pre.device), step, state)

    def _incoming(self, name: str) -> Tensor:
        """``sum_in``, the sum of w over the synapses that end at the same unit, or ``count_in``, how many; [S]."""
        share = self.values["w"] if name == "sum_in" else torch.ones_like(self.values["w"])
        total = share.new_zeros(len(self.counts) * self.units[1]).index_add_(0, self.post, share)
        return total[self.post]

    def _run(self, run: Callable[..., Any], taken: list[str], changed: list[str], edges: Tensor, step: int,
             state: State) -> tuple[Any, ...]:  # fmt: skip
        given = {}
        for name in taken:
            if "." in name:
                end, variable = name.split(".")
                units = self.pre if end == "pre" else self.post
                given[name] = state[self.ends[end == "post"]][variable].reshape(-1)[units[edges]]
            elif name in ("sum_in", "count_in"):
                given[name] = self._incoming(name)
            else:
                given[name] = self.values[name][edges]
        if self._last is not None:
            elapsed_ms = (step - self._last[edges]).to(self.values["w"].dtype) * self.dt_ms
            for name, decay in self.program.decays.items():
                rest = self.program.constants[decay.rest] if isinstance(decay.rest, str) else decay.rest
                value = given.get(name, self.values[name][edges])
                value = rest + (value - rest) * torch.exp(-elapsed_ms / self.program.constants[decay.tau])
                given[name] = value
                self.values[name][edges] = value
            self._last[edges] = step
        results = run(*(given[name] for name in taken))
        for name, value in zip(changed, results[len(results) - len(changed) :], strict=True):
            self.values[name][edges] = value
        return results

    def summed(self, signal: Tensor) -> Tensor:
        """``Σ w x`` at each unit of the target, [R * units]."""
        replicas = len(self.counts)
        total = signal.new_zeros(replicas * self.units[1])
        return total.index_add_(0, self.post, self.values["w"] * signal.reshape(-1)[self.pre])

    def state_dict(self) -> dict[str, Tensor]:
        """All that changes: variables of synapses, when they were last looked at, and spikes on their way."""
        queue = list(self._queue)
        empty = torch.empty(0, dtype=torch.int64, device=self.pre.device)
        found = {f"values.{name}": value for name, value in self.values.items()}
        found |= {} if self._last is None else {"last": self._last}
        return found | {
            "queue": torch.cat([empty, *queue]),
            "queue_counts": torch.tensor([len(spikes) for spikes in queue], dtype=torch.int64),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """What `state_dict` gave."""
        for name, value in self.values.items():
            value.copy_(state[f"values.{name}"])
        if self._last is not None:
            self._last.copy_(state["last"])
        self._queue.clear()
        queue = state["queue"].to(self.pre.device, copy=True)
        self._queue.extend(queue.split(state["queue_counts"].tolist()))

    def of_replica(self, name: str, replica: int, step: int | None = None) -> Tensor:
        """A variable of one replica's synapses, in the order of its edges.

        Args:
            step: at the start of which; None leaves variables that decay as they were at the last event.
        """
        values, decay = self.values[name], self.program.decays.get(name)
        if step is not None and decay is not None and self._last is not None:
            rest = self.program.constants[decay.rest] if isinstance(decay.rest, str) else decay.rest
            elapsed_ms = (step - self._last).to(values.dtype) * self.dt_ms
            values = rest + (values - rest) * torch.exp(-elapsed_ms / self.program.constants[decay.tau])
        return values.split(self.counts)[replica]


def _offsets(units: Tensor, count: int) -> Tensor:
    """Where the synapses of each unit begin in a list sorted by unit, [count + 1]."""
    found = torch.zeros(count + 1, dtype=torch.int64, device=units.device)
    found[1:] = torch.bincount(units, minlength=count).cumsum(0)
    return found
