"""The clock: all populations and projections of a circuit, step by step.

A step has slots, in this order: continuous sums, state update, threshold (and sources), arrivals, what synapses do when
their target spikes, reset, what synapses do in every step. docs/spiking.md says each exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from ctypes import CDLL
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.blocks import Block, grouped
from neurosal.engine.clock.laws import law_of
from neurosal.engine.clock.native import Summing, Windows, built
from neurosal.engine.clock.outlets import Numbers
from neurosal.engine.clock.products import Products, complete
from neurosal.engine.clock.projecting import Projecting
from neurosal.engine.clock.sources import Sources
from neurosal.engine.clock.wires import Wire, Wires, bytes_of, one_graph, one_weight
from neurosal.engine.compiled import missing_compiler
from neurosal.errors import ExperimentError, Problem
from neurosal.graph.dynamics import names_in
from neurosal.lower.spiking import Realised
from neurosal.lower.spiking.realising import BLOCK

MANY = 8  # steps from which they are made at once: to begin costs as much as some steps
LONG = 4096  # steps of a piece at most: its spikes are kept until its end
Spikes = dict[str, tuple[Tensor, Tensor, Tensor]]


class Clock:
    """A circuit in continuous time, all replicas as one tensor program.

    Args:
        realised: one for each replica, of the same circuit and time step.
        dtype: of state and weights.
        device: where they live.
        compiled: whether a program in C++ makes the steps, or on a GPU a pass that torch compiles their update; either
            takes seconds, once.

    Attributes:
        step_number: of the step that comes next; the time is that times dt.
        state: population → variable → [R, units].
        projections: by name, see `Projecting`.
        compile_seconds: how long the compiler took.

    Raises:
        ExperimentError: where there is no compiler and one is asked for.

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
                 device: str | torch.device = "cpu", compiled: bool = False) -> None:  # fmt: skip
        self.realised, self.replicas = list(realised), len(realised)
        self.circuit, self.dt_ms = realised[0].circuit, realised[0].dt_ms
        self.dtype, self.device, self.compiled = dtype, torch.device(device), compiled
        if compiled and (missing := missing_compiler(self.device)):
            raise ExperimentError(Problem(place="compiled", expected=missing, found="none",
                                          remedy="Install it (for another C++ compiler set CXX), or leave "
                                                 "compiled=False."))  # fmt: skip
        self.step_number = 0
        self.units = {name: realised[0].units(name) for name in self.circuit.populations}
        self._assembled = realised[0].populations
        self.state: dict[str, dict[str, Tensor]] = {}
        self._offsets: dict[tuple[str, str], int] = {}  # of variables in all state
        self._opens: dict[str, Tensor] = {}  # of populations, [R * units]
        self._laws = {
            name: law_of(entry.dynamics, [entry.lands[edge] for edge in entry.hears], self.dt_ms, f"populations.{name}")
            for name, entry in self._assembled.items()
            if entry.dynamics is not None
        }
        self._blocks = self._lay()
        self._program, self.compile_seconds = self._compiled()
        names = [name for name, entry in self._assembled.items() if entry.dynamics is None]
        self._sources = [Sources(names, self.realised, self.device)] if names else []
        self._groups: list[Block | Sources] = [*self._blocks, *self._sources]
        self._home = {name: group for group in self._groups for name in group.first}
        self._numbers = {
            id(group): Numbers({name: self.units[name] for name in group.first}, self.replicas, self.device)
            for group in self._groups
        }
        self._wires: list[tuple[Wires, int]] = []  # and which group they leave
        self._carriers: list[Wires | Products | Projecting] = []
        self.projections: dict[str, Projecting] = {}
        self._arrivals = self._wired()
        self._on_post = [p for p in self.projections.values() if p.program.on_post]
        self._in_steps = [p for p in self.projections.values() if p.program.each_step or p.program.at_intervals]
        self._windows = self._alone()

    # What it is made of ----------------------------------------------------------------------------------------------

    def _lay(self) -> list[Block]:
        """Place all state in one tensor, block by block and variable by variable, and fill in first values."""
        alone = {
            name for name, entry in self._assembled.items() if entry.hears or (entry.dynamics and entry.dynamics.timed)
        }
        groups = grouped(self._laws, alone)
        sizes = [self.replicas * sum(self.units[name] for name in names) for names in groups]
        begins, total = [], 0
        for names, size in zip(groups, sizes, strict=True):
            begins.append(total)
            total += -(-size * self._laws[names[0]].form.states // 64) * 64
        self._everything = torch.zeros(total, dtype=self.dtype, device=self.device)
        for names, size, begin in zip(groups, sizes, begins, strict=True):
            first = 0
            for name in names:
                count = self.replicas * self.units[name]
                self.state[name] = {}
                for row, variable in enumerate(self._laws[name].state):
                    place = begin + row * size + first
                    here = self._everything[place : place + count].view(self.replicas, -1)
                    for replica, entry in enumerate(self.realised):
                        here[replica] = torch.as_tensor(entry.state[name][variable], dtype=self.dtype)
                    self._offsets[name, variable], self.state[name][variable] = place, here
                first += count
        return self._made(groups, sizes, begins)

    def _made(self, groups: list[list[str]], sizes: list[int], begins: list[int]) -> list[Block]:
        """The blocks of state that was laid."""
        kind = self.dtype if self.compiled else torch.bool
        lost = {(end, variable) for end, entry in self._assembled.items() for edge, variable in entry.lands.items()
                if edge not in entry.hears and entry.dynamics and variable in entry.dynamics.held
                and self._laws[end].form.refractory}  # fmt: skip
        self._gates = torch.ones(len(self._everything), dtype=kind, device=self.device) if lost else None
        blocks = []
        for names, size, begin in zip(groups, sizes, begins, strict=True):
            form = self._laws[names[0]].form
            rows = [begin + row * size for row in range(form.states)]
            opens = [self._gates[at : at + size] for row, at in enumerate(rows) if self._gates is not None
                     and any((name, self._laws[name].state[row]) in lost for name in names)]  # fmt: skip
            if form.refractory and not opens:
                opens = [torch.ones(size, dtype=kind, device=self.device)]
            state = self._everything[begin : begin + form.states * size].view(form.states, size)
            block = Block(
                {name: self._laws[name] for name in names},
                self.realised,
                state,
                opens,
                self.compiled and not self._on_processor,
            )
            for name, first in block.first.items() if opens else ():
                self._opens[name] = opens[0][first : first + self.replicas * self.units[name]]
            blocks.append(block)
        return blocks

    @property
    def _on_processor(self) -> bool:
        return self.device.type == "cpu"

    def _compiled(self) -> tuple[CDLL | None, float]:
        """The program for a processor, and the seconds that compiling took, on whatever device."""
        program, began = None, time.perf_counter()
        if not self.compiled:
            return None, 0.0
        if self._on_processor:
            program = built([block.equations for block in self._blocks], self.dtype)
            for law, block in enumerate(self._blocks):
                block.attach(program, law)
        for block in self._blocks:
            block.prepare()
        return program, time.perf_counter() - began

    def _alone(self) -> Windows | None:
        """What makes many steps at once, where nothing happens between them that the program does not do."""
        wires = [(wires.adding, group) for wires, group in self._wires]
        if self._program is None or self._on_post or self._in_steps or len(wires) < len(self._arrivals) \
                or any(entry.hears for entry in self._assembled.values()):  # fmt: skip
            return None
        sources = None
        if self._sources:
            first = self._sources[0].first
            sources = list(first.values()), [self.units[name] for name in first]
        names = [name for block in self._blocks for name in block.first]
        blocks = [block.native for block in self._blocks if block.native is not None]
        return Windows(self._program, names, blocks, sources,
                       [(adding, group) for adding, group in wires if adding is not None],
                       [group.history.maxlen or 1 for group in self._groups], self.replicas)  # fmt: skip

    def _wired(self) -> list[Callable[[int], None]]:
        """Make all projections; what is to be done in the slot of arrivals, in order.

        Synapses that never change are put together, block by block, unless something between them looks at what they
        do: programs that read the state of units see what projections before them did, and not what those behind did.
        """
        found: list[Callable[[int], None]] = []
        waiting: dict[str, Wire] = {}
        for name, edge in self.circuit.projections.items():
            program, ends = self.realised[0].programs[name], (edge.source, edge.target)
            if name in self._assembled[edge.target].hears:
                self._project(name, None)
            elif not program.plastic and program.transmits == "w":
                units = (self.units[ends[0]], self.units[ends[1]])
                lands = self._offsets[ends[1], self._assembled[ends[1]].lands[name]]
                edges = [entry.edges[name] for entry in self.realised]
                waiting[name] = Wire(ends[0], self._home[ends[0]].first[ends[0]], units, lands, edges)
            else:
                texts = (*program.before, program.transmits, *program.on_pre)
                if any("." in read for text in texts for read in names_in(text)):
                    found += self._joined(waiting)
                    waiting = {}
                found.append(self._arrival(self._project(name, None)))
        found += self._joined(waiting)
        self.projections = {name: self.projections[name] for name in self.circuit.projections}
        return found

    def _project(self, name: str, weights: Tensor | None) -> Projecting:
        edge = self.circuit.projections[name]
        ends = (edge.source, edge.target)
        self.projections[name] = made = Projecting(
            [entry.edges[name] for entry in self.realised], self.realised[0].programs[name],
            [entry.variables[name] for entry in self.realised], ends, (self.units[ends[0]], self.units[ends[1]]),
            self.dt_ms, self.dtype, self.device, weights, self._program,
        )  # fmt: skip
        if made.program.on_post:
            there = self._home[edge.target]
            made.connect_back(self._numbers[id(there)], there.first[edge.target], there.size)
        self._carriers.append(made)
        return made

    def _joined(self, waiting: Mapping[str, Wire]) -> Iterable[Callable[[int], None]]:
        """Projections whose synapses never change, one thing to do for each block that they leave."""
        for group in self._groups:
            mine = {
                name: wire for name, wire in waiting.items() if self.circuit.projections[name].source in group.first
            }
            if not mine:
                continue
            whole = {name: wire for name, wire in mine.items() if complete(wire)}
            others = {name: wire for name, wire in mine.items() if name not in whole}
            parts: list[tuple[Iterable[str], Wires | Products]] = [
                ((name,), Products(wire, self._everything, self._gates)) for name, wire in whole.items()
            ]
            if others:
                # All or none: what arrives at a unit is added up in the order of one list, whoever shares it.
                alike = self.replicas > 1 and all(one_graph(w.edges) and one_weight(w.edges) for w in others.values())
                numbers = self._numbers[id(group)] if alike else None
                wires_ = Wires(group.size, others, self._everything, self._gates, numbers, self._program)
                parts.append((others, wires_))
                self._wires.append((wires_, self._groups.index(group)))
            for names, wires in parts:
                self._carriers.append(wires)
                for name in names:
                    self._project(name, wires.weights_of(name))
                group.remember(wires.longest)
                yield lambda now, wires=wires, group=group: wires.arrive(group.history)  # type: ignore[misc]

    def _arrival(self, projecting: Projecting) -> Callable[[int], None]:
        """What a projection whose synapses change does with what arrives."""
        source, target = projecting.ends
        name = next(name for name, entry in self.projections.items() if entry is projecting)
        here = self._home[source]
        here.remember(projecting.connect(self._numbers[id(here)], here.first[source], here.size))
        assembled = self._assembled[target]
        variable = assembled.lands[name]
        lands = self.state[target][variable].view(-1)
        assert assembled.dynamics is not None
        open_ = self._opens.get(target) if variable in assembled.dynamics.held else None

        def arrive(now: int) -> None:
            repeats = isinstance(here, Sources) and here.repeats
            projecting.arrive(here.history, repeats, now, self.state, lands, open_)

        return arrive

    @property
    def synapse_bytes(self) -> int:
        """Bytes of everything that synapses are on the device: where they end, weights, what they remember, and what
        finds them. Where replicas share a graph, what never changes counts once, as it is there once. State of units
        does not count, nor their numbers."""
        units = [self._everything, *self._opens.values()]
        units += [known.by_replica for known in self._numbers.values() if known.by_replica is not None]
        return bytes_of(self._carriers, units)

    # One step --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def advance(self, steps: int) -> None:
        """Some steps of which nothing is kept but the state after them."""
        end = self.step_number + steps
        while self.step_number < end:
            piece = self._until(end)
            if self._windows is not None and piece >= MANY:
                self._at_once(self._windows, piece, ())
                continue
            for _ in range(piece):
                self._advance()

    def _advance(self) -> None:
        now = self.step_number
        sums = [self._sums(block) for block in self._blocks]
        for block, heard in zip(self._blocks, sums, strict=True):
            block.update(now, heard)
        for source in self._sources:
            source.update(now)
        for arrive in self._arrivals:
            arrive(now)
        for projecting in self._on_post:
            projecting.fire(self._home[projecting.ends[1]].history[0], now, self.state)
        for block in self._blocks:
            block.reset(now)
        for projecting in self._in_steps:
            projecting.pass_step(now, self.state)
        self.step_number = now + 1

    @torch.no_grad()
    def step(self) -> dict[str, Tensor]:
        """One step; the spikes of every population, as ``replica * units + unit``, sorted."""
        self._advance()
        found = {}
        for name in self.units:
            group, count = self._home[name], self.replicas * self.units[name]
            spikes, first = group.history[0], group.first[name]
            if len(group.first) > 1:
                spikes = spikes[(spikes >= first) & (spikes < first + count)]
            found[name] = spikes - first
        return found

    @torch.no_grad()
    def run(self, steps: int, of: Collection[str] | None = None) -> Spikes:
        """Some steps; for every population its spikes as (step [L], replica [L], unit [L]), in order of steps.

        Args:
            of: populations whose spikes are asked for; None for all. Sources may send very many.
        """
        start = self.step_number
        found = self.events(steps, of)
        if self._windows is None:
            return found
        kind = np.int16 if steps < 2**15 else np.int64  # numpy sorts small ones by digits
        orders = {name: np.argsort((step.numpy() - start).astype(kind), kind="stable")
                  for name, (step, _, _) in found.items()}  # fmt: skip
        return {name: tuple(column[orders[name]].long() for column in columns)  # type: ignore[misc]
                for name, columns in found.items()}  # fmt: skip

    @torch.no_grad()
    def events(self, steps: int, of: Collection[str] | None = None) -> Spikes:
        """The same in the order in which they are found: of each replica in order of steps, and of units in a step; of
        several replicas by steps, or replica by replica in pieces."""
        wanted = [name for name in self.units if of is None or name in of]
        pieces, end = [], self.step_number + steps
        while self.step_number < end:
            pieces.append(self._piece(self._until(end), wanted))
        result: Spikes = {}
        for name in wanted:
            columns = zip(*(piece[name] for piece in pieces), strict=True) if pieces else [()] * 3
            result[name] = tuple(map(self._joined_up, columns))  # type: ignore[assignment]
        return result

    def _until(self, end: int) -> int:
        """Steps that are made as one piece."""
        if self._windows is not None and not self._sources:
            return min(end - self.step_number, LONG)
        return min(end - self.step_number, BLOCK - self.step_number % BLOCK)

    def _joined_up(self, parts: Sequence[Tensor]) -> Tensor:
        """Columns, one after the other. On a processor as arrays of numpy: torch's threads go on for a while after an
        operation, looking for more to do, where others could make use of the core."""
        if len(parts) == 1:
            return parts[0]
        none = torch.empty(0, dtype=torch.int64, device=self.device)
        if not parts:
            return none
        if self._on_processor:
            return torch.from_numpy(np.concatenate([part.numpy() for part in parts]))
        return torch.cat([*parts])

    def _piece(self, steps: int, wanted: Collection[str]) -> Spikes:
        """Steps that lie in one `BLOCK`, where there are sources."""
        if self._windows is not None and steps >= MANY:
            return self._at_once(self._windows, steps, wanted)
        groups = [group for group in self._groups if not group.first.keys().isdisjoint(wanted)]
        found: list[list[tuple[int, Tensor]]] = [[] for _ in groups]
        for _ in range(steps):
            now = self.step_number
            self._advance()
            for entries, group in zip(found, groups, strict=True):
                if len(spikes := group.history[0]):
                    entries.append((now, spikes))
        result: Spikes = {}
        none = torch.empty(0, dtype=torch.int64, device=self.device)
        for entries, group in zip(found, groups, strict=True):
            counts = torch.tensor([len(some) for _, some in entries], dtype=torch.int64)
            step = torch.repeat_interleave(torch.tensor([now for now, _ in entries], dtype=torch.int64), counts)
            numbers = torch.cat([none, *(some for _, some in entries)])
            result |= self._parted(group, step.to(self.device), numbers, wanted)
        return result

    def _parted(self, group: Block | Sources, step: Tensor, number: Tensor, wanted: Collection[str]) -> Spikes:
        """Spikes of a group, by population."""
        result: Spikes = {}
        columns: tuple[Any, Any] = (step.numpy(), number.numpy()) if self._on_processor else (step, number)
        for name, first in group.first.items():
            if name not in wanted:
                continue
            units, (when, place) = self.units[name], columns
            if len(group.first) > 1:
                here = (place >= first) & (place < first + self.replicas * units)
                when, place = when[here], place[here]
            place = place - first
            replica = place // units
            found = (when, replica, place - replica * units)
            result[name] = tuple(map(torch.from_numpy, found)) if self._on_processor else found  # type: ignore[assignment]
        return result

    def _at_once(self, windows: Windows, steps: int, wanted: Collection[str]) -> Spikes:
        start = self.step_number
        sent = self._sources[0].sent(start, steps) if self._sources else None
        result, ends = windows.run(start, steps, [group.history for group in self._groups], sent, wanted)
        for source in self._sources:
            source.pass_over(start, steps)
            if not source.first.keys().isdisjoint(wanted):
                step_L, number_L = source.spikes(start, steps)
                result |= self._parted(source, torch.from_numpy(step_L), torch.from_numpy(number_L), wanted)
        for block, spikes in zip(self._blocks, ends, strict=True):
            block.history.extendleft(reversed(spikes))
        self.step_number = start + steps
        return result

    @property
    def summing(self) -> Callable[..., Summing] | None:
        """What sums up how populations fire, for `neurosal.record.firing.Firing`; None without a program."""
        return None if self._program is None else partial(Summing, self._program)

    def _sums(self, block: Block) -> dict[int, Tensor]:
        """What a block hears all the time, from the state at the start of the step, by number of its input."""
        found: dict[int, Tensor] = {}
        for population, law in block.laws.items():
            assembled = self._assembled[population]
            for name, variable in assembled.hears.items():
                projecting = self.projections[name]
                if assembled.lands[name] in law.inputs:
                    signal = self.state[projecting.ends[0]][variable]
                    found[law.inputs.index(assembled.lands[name])] = projecting.summed(signal)
        return found

    # Keeping ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """All that a simulation goes on from: state of units and synapses, refractory time, spikes on their way. Not
        copied, but for spikes on their way. Sources need nothing else: their spikes follow from seed and step."""
        found = {"step_number": torch.tensor(self.step_number)}
        for name, state in self.state.items():
            found |= {f"populations.{name}.{variable}": value for variable, value in state.items()}
        for name, projecting in self.projections.items():
            found |= {f"projections.{name}.{key}": value for key, value in projecting.state_dict().items()}
        for number, group in enumerate(self._groups):
            found |= {f"blocks.{number}.{key}": value for key, value in group.state_dict().items()}
        return found

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` gave, to the same bits."""
        self.step_number = int(state["step_number"])
        for name, values in self.state.items():
            for variable, value in values.items():
                value.copy_(state[f"populations.{name}.{variable}"])
        parts: list[tuple[str, Projecting | Block | Sources]] = [
            *((f"projections.{name}.", projecting) for name, projecting in self.projections.items()),
            *((f"blocks.{number}.", group) for number, group in enumerate(self._groups)),
        ]
        for start, part in parts:
            part.load_state_dict({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})
