"""Which synapses spikes arrive at: from the units that spiked to places in a list of edges.

Edges of one unit lie side by side, so that a spike is a range of places. Delays differ from projection to projection or
from synapse to synapse; every delay has a table of ranges of its own, and is asked for the spikes of that many steps
ago. What arrives is looked up when it arrives: nothing is held back but the spikes themselves.

Letters: L spikes, S synapses of all replicas, E those at which spikes arrive, J ranges of a unit, U units.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Part:
    """Edges of one projection.

    Args:
        first: number of the first unit that they leave.
        begins: where the edges of each unit begin in the list, and where those of the last one end, [units + 1].
        delay: steps, one number or one for each edge, [S].
    """

    first: int
    begins: Array
    delay: int | Array


class Outlets:
    """Edges by the unit that they leave and their delay.

    Args:
        units: how many units there are, U.
        parts: edges; no two with the same delay overlap in the list.
        edges: how long the list is.

    Attributes:
        longest: delay, in steps.
    """

    def __init__(self, units: int, parts: Iterable[Part], edges: int, device: torch.device) -> None:
        self._place: Tensor | None = None
        place: Array | None = None
        layers: dict[int, list[tuple[Array, Array, set[int]]]] = {}

        def put(delay: int, first: int, begin: Array, count: Array) -> None:
            here = layers.setdefault(delay, [])
            layer = next((entry for entry in here if first not in entry[2]), None)
            if layer is None:
                layer = (np.zeros(units, "int32"), np.zeros(units, "int32"), set())
                here.append(layer)
            layer[0][first : first + len(begin)], layer[1][first : first + len(count)] = begin, count
            layer[2].add(first)

        for part in parts:
            if isinstance(part.delay, int):
                put(part.delay, part.first, part.begins[:-1], np.diff(part.begins))
                continue
            if place is None:
                place = np.arange(edges, dtype="int32")
            start, size = int(part.begins[0]), len(part.begins) - 1
            place[start : int(part.begins[-1])] = start + np.argsort(part.delay, kind="stable")
            delays, which = np.unique(part.delay, return_inverse=True)
            unit_S = np.repeat(np.arange(size), np.diff(part.begins))
            counts = np.bincount(which * size + unit_S, minlength=len(delays) * size)
            begins = start + np.cumsum(counts) - counts
            for row, delay in enumerate(delays.tolist()):
                here = slice(row * size, (row + 1) * size)
                put(delay, part.first, begins[here], counts[here])
        self._delays = sorted(layers)
        ordered = [layer for delay in self._delays for layer in layers[delay]]
        self.longest = max(self._delays, default=0)
        self._rows = [len(layers[delay]) for delay in self._delays]
        self._last_row = np.cumsum(self._rows).tolist()

        def stacked(rows: Sequence[Array]) -> Tensor:
            return torch.from_numpy(np.stack(rows) if rows else np.zeros((0, units), "int32")).to(device)

        self._begin, self._count = stacked([layer[0] for layer in ordered]), stacked([layer[1] for layer in ordered])
        if place is not None:
            self._place = torch.from_numpy(place).to(device)
        self._ages = self._by_age(device) if len(self._delays) > 3 else None

    def _by_age(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """For every age of a spike the first row of its delay, and how many rows."""
        first, rows = np.zeros(self.longest + 1, "int64"), np.zeros(self.longest + 1, "int64")
        rows[self._delays] = self._rows
        first[self._delays] = np.array(self._last_row) - self._rows
        return torch.from_numpy(first).to(device), torch.from_numpy(rows).to(device)

    def edges(self, history: Sequence[Tensor]) -> Tensor | None:
        """The edges at which spikes arrive now, int32 [E]; None for none.

        Args:
            history: spikes of this step, of the one before, ….
        """
        if self._ages is None:
            begins, counts = [], []
            row = 0
            for delay, rows in zip(self._delays, self._rows, strict=True):
                if delay < len(history) and len(spikes := history[delay]):
                    here = slice(row, row + rows)
                    begins.append(self._begin[here].index_select(1, spikes).view(-1))
                    counts.append(self._count[here].index_select(1, spikes).view(-1))
                row += rows
            if not begins:
                return None
            begin, count = (begins[0], counts[0]) if len(begins) == 1 else (torch.cat(begins), torch.cat(counts))
        else:
            past = list(history)[: self.longest + 1]
            if not any(len(some) for some in past):
                return None
            recent, (first, rows_of) = torch.cat(past), self._ages
            age = torch.repeat_interleave(torch.tensor([len(some) for some in past], device=recent.device))
            many = rows_of.index_select(0, age)
            row_of = ranges(first.index_select(0, age), many)
            if row_of is None:
                return None
            unit = torch.repeat_interleave(recent, many, output_size=len(row_of))
            place = unit + row_of * self._begin.shape[1]
            begin, count = self._begin.view(-1).index_select(0, place), self._count.view(-1).index_select(0, place)
        found = ranges(begin, count)
        return found if found is None or self._place is None else self._place.index_select(0, found)


def ranges(begin: Tensor, count: Tensor) -> Tensor | None:
    """All numbers of some ranges, one after the other; None for none.

    Args:
        begin, count: first number of each, and how many.
    """
    ends = torch.cumsum(count, 0, dtype=begin.dtype)
    total = int(ends[-1])
    if total == 0:
        return None
    found = torch.repeat_interleave(begin + count - ends, count, output_size=total)
    return found.add_(torch.arange(total, dtype=begin.dtype, device=begin.device))
