"""Many steps of one replica after the other: its state stays in the cache, and threads do not wait for each other.

For circuits in which nothing happens but what `Units` and `Adding` do, and sources. Letters: R replicas, L spikes, K
units that spike in a step, however often.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.native import layout
from neurosal.engine.clock.native.lookup import Adding
from neurosal.engine.clock.native.units import Units

Array = np.ndarray[Any, Any]
PARTS = 4  # of the replicas for each thread: where one is held up, another takes the next
# Steps, replicas and units of spikes, [L], replica by replica, in order of steps and of units.
Events = tuple[Tensor, Tensor, Tensor]


class Sent(NamedTuple):
    """What sources send: units of all replicas, [K], replica by replica in order of steps, how many spikes each of
    these is, int32 [K] (None where each is one), and where those of each step begin and the last ones end,
    [R, steps + 1]."""

    units: Array
    times: Array | None
    begin: Array


class Windows:
    """A circuit that the program can run alone.

    Args:
        program: of the circuit.
        names: of the populations of blocks, in order.
        blocks: in order.
        sources: first and units of the populations that are sources; None without.
        wires: what adds weights, and the group whose spikes it follows; groups are blocks, then sources.
        longest: of each group: how many steps back its spikes are asked for.
        replicas: how many.
    """

    def __init__(self, program: ctypes.CDLL, names: Sequence[str], blocks: Sequence[Units],
                 sources: tuple[Sequence[int], Sequence[int]] | None, wires: Sequence[tuple[Adding, int]],
                 longest: Sequence[int], replicas: int) -> None:  # fmt: skip
        self._program, self._replicas, self._blocks = program, replicas, len(blocks)
        structures = [units.structure for units in blocks]
        groups, held = [structure.group for structure in structures], []
        if sources is not None:
            group, kept = layout.group_of(*sources, replicas)
            groups.append(group)
            held.append(kept)
        arrays = (
            layout.array(layout.Block, structures), layout.array(layout.Group, groups), layout.numbers(longest),
            layout.array(layout.Wires, [adding.of_group(group) for adding, group in wires]),
        )  # fmt: skip
        self._plan = layout.Plan(len(blocks), len(groups), len(wires), *map(ctypes.addressof, arrays))
        self._held = (arrays, held, blocks, wires)
        self._names = list(names)
        self._sizes, self._longest = [structure.size for structure in structures], list(longest)
        self._threads: ThreadPoolExecutor | None = None

    def run(self, start: int, steps: int, histories: Sequence[Sequence[Tensor]], sent: Sent | None,
            wanted: Collection[str]) -> tuple[dict[str, Events], list[list[Tensor]]]:  # fmt: skip
        """Some steps: what populations do, and of each block the spikes of the last step, of the
        one before, …, sorted, for as many steps as they are asked for.

        Args:
            start: the first.
            steps: how many, 2 ** 31 at most.
            histories: of each group the spikes of the step before, of the one before that, ….
            sent: by sources.
            wanted: populations; those that are sources are passed over.
        """
        ages = max([1, *map(len, histories)])
        lists = [[*history][:ages] for history in histories]
        spikes = layout.addresses(
            some[age].data_ptr() if age < len(some) else None for some in lists for age in range(ages)
        )
        counts = layout.numbers(len(some[age]) if age < len(some) else 0 for some in lists for age in range(ages))
        sent = sent or Sent(np.zeros(0, "int64"), None, np.zeros((self._replicas, steps + 1), "int64"))
        given = (None if array is None else array.ctypes.data for array in sent)
        known = layout.Known(ctypes.addressof(spikes), ctypes.addressof(counts), ages, *given)

        def some(part: tuple[int, int]) -> int:
            return int(self._program.run_some(
                ctypes.addressof(self._plan), ctypes.addressof(known), *part, start, steps, len(places) > 0
            ))  # fmt: skip

        places = [place for place, name in enumerate(self._names) if name in wanted]
        threads = min(torch.get_num_threads(), self._replicas)
        if threads == 1:
            parts = [(0, self._replicas)]
            made = [some(part) for part in parts]
        else:
            self._threads = self._threads or ThreadPoolExecutor(threads, "neurosal")
            parts = self._parts(PARTS * threads)
            made = list(self._threads.map(some, parts))
        found = {self._names[place]: self._events(place, start, made, parts) for place in places}
        late = [self._late(block, steps, made) for block in range(self._blocks)]
        for one in made:
            self._program.done(one)
        return found, late

    def _parts(self, count: int) -> list[tuple[int, int]]:
        ends = np.linspace(0, self._replicas, min(count, self._replicas) + 1).round().astype(int).tolist()
        return list(pairwise(ends))

    def _events(self, population: int, start: int, made: Sequence[int], parts: Sequence[tuple[int, int]]) -> Events:
        """Of a population, from all parts into one piece of memory."""
        ends = np.cumsum([0, *(self._program.recorded(one, population) for one in made)]).tolist()
        step, unit, count = np.empty(ends[-1], "int64"), np.empty(ends[-1], "int32"), np.empty(self._replicas, "int64")
        for one, (first, _), at in zip(made, parts, ends, strict=False):
            places = (step[at:].ctypes.data, unit[at:].ctypes.data, count[first:].ctypes.data)
            self._program.take(one, population, start, *places)
        replica = np.repeat(np.arange(self._replicas, dtype="int32"), count)
        return torch.from_numpy(step), torch.from_numpy(replica), torch.from_numpy(unit)

    def _late(self, block: int, steps: int, made: Sequence[int]) -> list[Tensor]:
        ends = np.cumsum([0, *(self._program.later(one, block) for one in made)]).tolist()
        key = np.empty(ends[-1], "int64")
        for one, at in zip(made, ends, strict=False):
            self._program.take_late(one, block, key[at:].ctypes.data)
        key.sort()
        size, last = self._sizes[block], min(steps, self._longest[block])
        begin = np.searchsorted(key, size * np.arange(steps - last, steps + 1)).tolist()
        number = torch.from_numpy(key % size)
        return [number[one:other] for one, other in pairwise(begin)][::-1]
