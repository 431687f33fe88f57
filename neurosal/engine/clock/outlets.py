"""Which synapses spikes arrive at: from the units that spiked to places in a list of edges.

Edges of one unit lie side by side, so that a spike is a range of places. Delays differ from projection to projection or
from synapse to synapse; every delay has a table of ranges of its own, and is asked for the spikes of that many steps
ago. What arrives is looked up when it arrives: nothing is held back but the spikes themselves.

Where replicas share a graph, list and tables are those of one replica, for all of them: a spike is taken for that of a
unit and a replica, and what it reaches is the edges of the unit, moved to the replica.

Letters: L spikes, S synapses in the list, E those at which spikes arrive, J ranges of a unit, U units of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ctypes import CDLL
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.native import Lookup

Array = np.ndarray[Any, Any]
FEW = 3  # delays that are looked up one by one
AT_ONCE = 1_000_000  # edges that are counted together


@dataclass(frozen=True)
class Part:
    """Edges of one projection.

    Args:
        first: number of the first unit that they leave.
        begins: where the edges of each unit begin in the list, and where those of the last one end, [units + 1].
        delay: steps, one number or one for each edge, [S].
        apart: of a shared graph: how far what an edge stands for lies from the same of the next replica.
    """

    first: int
    begins: Array
    delay: int | Array
    apart: int = 0


class Numbers:
    """How units of a block are numbered: population by population, and then replica by replica; and how they would be
    replica by replica, which is all that is kept: 4 bytes a unit, none where there is one population.

    Args:
        units: population → how many it has in one replica, in order.
        replicas: how many.

    Attributes:
        first: population → number of its first unit in a replica alone.
        size: units of one replica.
        by_replica: the number that each unit would have, replica by replica.
    """

    def __init__(self, units: Mapping[str, int], replicas: int, device: torch.device) -> None:
        self.first, self.size = {}, 0
        for name, count in units.items():
            self.first[name] = self.size
            self.size += count
        self.by_replica: Tensor | None = None
        if len(units) > 1:  # a table: to tell populations apart takes eight operations, each of which takes its time
            numbers, begin = np.empty(self.size * replicas, "int32"), 0
            for name, count in units.items():
                own = np.arange(replicas)[:, None] * self.size + self.first[name] + np.arange(count)
                numbers[begin : begin + own.size] = own.ravel()
                begin += own.size
            self.by_replica = torch.from_numpy(numbers).to(device)

    def split(self, spikes: Tensor) -> tuple[Tensor, Tensor]:
        """The unit of each spike, numbered in a replica alone, and its replica, both [L].

        Example:
            >>> numbers = Numbers({"a": 3, "b": 2}, 4, torch.device("cpu"))
            >>> [part.tolist() for part in numbers.split(torch.tensor([0, 11, 12, 19]))]
            [[0, 2, 3, 4], [0, 3, 0, 3]]
        """
        number = spikes if self.by_replica is None else self.by_replica.index_select(0, spikes)
        return number % self.size, torch.div(number, self.size, rounding_mode="trunc")


class Outlets:
    """Edges by the unit that they leave and their delay.

    Args:
        units: how many units there are, U.
        parts: edges; no two with the same delay overlap in the list.
        edges: how long the list is.
        numbers: where all replicas share the list; None where each has edges of its own in it.
        program: that reads them; None for torch.

    Attributes:
        longest: delay, in steps.
        lookup: what that program reads, or None.
    """

    def __init__(self, units: int, parts: Iterable[Part], edges: int, device: torch.device,
                 numbers: Numbers | None = None, program: CDLL | None = None) -> None:  # fmt: skip
        self._place: Tensor | None = None
        self._numbers = numbers
        place: Array | None = None
        layers: dict[int, list[tuple[Array, set[int]]]] = {}

        def put(delay: int, part: Part, begin: Array, count: Array) -> None:
            here, first = layers.setdefault(delay, []), part.first
            layer = next((entry for entry in here if first not in entry[1]), None)
            if layer is None:
                layer = (np.zeros((2 if numbers is None else 3, units), "int32"), set())
                here.append(layer)
            for row, values in zip(layer[0], (begin, count, part.apart), strict=False):
                row[first : first + len(begin)] = values
            layer[1].add(first)

        for part in parts:
            if isinstance(part.delay, int):
                put(part.delay, part, part.begins[:-1], np.diff(part.begins))
                continue
            if place is None:
                place = np.arange(edges, dtype="int32")
            start, end = int(part.begins[0]), int(part.begins[-1])
            delays, counts = _by_delay(part.delay, part.begins - start)
            # numpy sorts 16 bits digit by digit, and more by comparing.
            narrow = part.delay.astype("uint16") if delays[-1:].max(initial=0) < 2**16 else part.delay
            np.add(np.argsort(narrow, kind="stable"), start, out=place[start:end], casting="unsafe")
            begins = start + np.cumsum(counts).reshape(counts.shape) - counts
            for delay, begin, count in zip(delays.tolist(), begins, counts, strict=True):
                put(delay, part, begin, count)
        self._delays = sorted(layers)
        tables = [table for delay in self._delays for table, _ in layers[delay]]
        self.longest = max(self._delays, default=0)
        self._rows = [len(layers[delay]) for delay in self._delays]
        none = np.zeros((3, 0, units), "int32")
        self._tables = torch.from_numpy(np.stack(tables, axis=1) if tables else none).to(device)
        self._begin, self._count = self._tables[0], self._tables[1]
        if place is not None:
            self._place = torch.from_numpy(place).to(device)
        self._delay_of = torch.from_numpy(np.repeat(np.array(self._delays, "int64"), self._rows)).to(device)
        self.lookup: Lookup | None = None
        if program is not None:
            shared = None if numbers is None else (numbers.size, numbers.by_replica)
            self.lookup = Lookup(program, self._delays, self._rows, self._tables, self._place, shared)

    def edges(self, history: Sequence[Tensor]) -> tuple[Tensor, Tensor | None] | None:
        """The edges at which spikes arrive now, int32 [E], and, of a shared graph, how far what each stands for lies
        from the same of the first replica, int32 [E]; None for none.

        Args:
            history: spikes of this step, of the one before, ….
        """
        if self.lookup is not None:
            return self.lookup.edges(history)
        found = self._few(history) if len(self._delays) <= FEW else self._many(history)
        if found is None:
            return None
        begin, count, away = found
        place, moved = ranges(begin, count, away)
        if place is None:
            return None
        return (place if self._place is None else self._place.index_select(0, place)), moved

    def _few(self, history: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Ranges of the spikes that arrive now, delay by delay."""
        begins, counts, away = [], [], []
        row = 0
        for delay, rows in zip(self._delays, self._rows, strict=True):
            if delay < len(history) and len(spikes := history[delay]):
                here = slice(row, row + rows)
                if self._numbers is None:
                    begins.append(self._begin[here].index_select(1, spikes).view(-1))
                    counts.append(self._count[here].index_select(1, spikes).view(-1))
                else:
                    unit, replica = self._numbers.split(spikes)
                    picked = self._tables[:, here].index_select(2, unit)
                    picked[2].mul_(replica)
                    begin, count, apart = picked.view(3, -1).unbind(0)
                    begins.append(begin)
                    counts.append(count)
                    away.append(apart)
            row += rows
        if not begins:
            return None
        if len(begins) == 1:
            return begins[0], counts[0], away[0] if away else None
        return torch.cat(begins), torch.cat(counts), torch.cat(away) if away else None

    def _many(self, history: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """The same, all delays at once."""
        past = [*history][: self.longest + 1]
        recent = torch.cat(past)
        if not len(recent):
            return None
        lengths = [len(some) for some in past] + [0] * (self.longest + 1 - len(past))
        counts = torch.tensor(lengths, device=recent.device)
        begins = torch.cumsum(counts, 0) - counts
        rows = torch.arange(len(self._delay_of), device=recent.device)
        spike, row = ranges(begins.index_select(0, self._delay_of), counts.index_select(0, self._delay_of), rows)
        if spike is None or row is None:
            return None
        replica = None
        if self._numbers is not None:
            recent, replica = self._numbers.split(recent)
        place = recent.index_select(0, spike).add_(row, alpha=self._begin.shape[1])
        found = [table.reshape(-1).index_select(0, place) for table in self._tables]
        if replica is not None:
            return found[0], found[1], found[2].mul_(replica.index_select(0, spike))
        return found[0], found[1], None


def _by_delay(delay_S: Array, begins: Array) -> tuple[Array, Array]:
    """Which delays there are, sorted, and how many edges of each unit have them, [delays, units]."""
    delays = np.flatnonzero(np.bincount(delay_S))
    row_of = np.zeros(int(delays[-1]) + 1 if len(delays) else 1, "int32")
    row_of[delays] = np.arange(len(delays))
    units = len(begins) - 1
    counts = np.zeros((len(delays), units), "int64")
    first = 0
    while first < units:  # some units at a time: what is between is small beside the list
        last = max(int(np.searchsorted(begins, begins[first] + AT_ONCE, side="right")) - 1, first + 1)
        some = last - first
        unit_S = np.repeat(np.arange(some), np.diff(begins[first : last + 1]))
        which = row_of[delay_S[begins[first] : begins[last]]] * np.int64(some) + unit_S
        counts[:, first:last] = np.bincount(which, minlength=len(delays) * some).reshape(-1, some)
        first = last
    return delays, counts


def ranges(begin: Tensor, count: Tensor, also: Tensor | None = None) -> tuple[Tensor | None, Tensor | None]:
    """All numbers of some ranges, one after the other; None for none. And for each number what belongs to its range.

    Args:
        begin, count: first number of each, and how many.
        also: what belongs to each.
    """
    ends = torch.cumsum(count, 0, dtype=begin.dtype)
    total = int(ends[-1])
    if total == 0:
        return None, None
    if also is None:
        found = torch.repeat_interleave(begin + count - ends, count, output_size=total)
    else:
        which = torch.repeat_interleave(count, output_size=total)
        found, also = (begin + count - ends).index_select(0, which), also.index_select(0, which)
    return found.add_(torch.arange(total, dtype=begin.dtype, device=begin.device)), also
