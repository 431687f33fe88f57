"""Many steps of one replica after the other: its state stays in the cache, and threads do not wait for each other.

For circuits in which nothing happens but what `Units` and `Adding` do, and sources. Letters: R replicas, L spikes, K
units that spike in a step, however often.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
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
Found = tuple[Array, Array]  # steps from the first on, and numbers of units, [L], in order of steps, then of replicas


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
        blocks: in order.
        sources: first and units of the populations that are sources; None without.
        wires: what adds weights, and the group whose spikes it follows; groups are blocks, then sources.
        longest: of each group: how many steps back its spikes are asked for.
        replicas: how many.
    """

    def __init__(self, program: ctypes.CDLL, blocks: Sequence[Units],
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
        self._threads: ThreadPoolExecutor | None = None

    def run(self, start: int, steps: int, histories: Sequence[Sequence[Tensor]], sent: Sent | None) -> list[Found]:
        """What each block does in some steps.

        Args:
            start: the first.
            steps: how many, 32,767 at most.
            histories: of each group the spikes of the step before, of the one before that, ….
            sent: by sources.
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

        def some(part: tuple[int, int]) -> list[Found]:
            return self._taken(self._program.run_some(
                ctypes.addressof(self._plan), ctypes.addressof(known), *part, start, steps
            ))  # fmt: skip

        threads = min(torch.get_num_threads(), self._replicas)
        if threads == 1:
            found = [some((0, self._replicas))]
        else:
            self._threads = self._threads or ThreadPoolExecutor(threads, "neurosal")
            found = list(self._threads.map(some, self._parts(PARTS * threads)))
        return [_in_order([part[block] for part in found]) for block in range(self._blocks)]

    def _parts(self, count: int) -> list[tuple[int, int]]:
        ends = np.linspace(0, self._replicas, min(count, self._replicas) + 1).round().astype(int).tolist()
        return list(pairwise(ends))

    def _taken(self, records: int) -> list[Found]:
        found = []
        for block in range(self._blocks):
            count = self._program.recorded(records, block)
            step, number = np.empty(count, "int16"), np.empty(count, "int64")
            self._program.take(records, block, step.ctypes.data, number.ctypes.data)
            found.append((step, number))
        self._program.done(records)
        return found


def _in_order(parts: Sequence[Found]) -> Found:
    """Of all replicas, by step."""
    step, number = (np.concatenate(some) for some in zip(*parts, strict=True))
    order = np.argsort(step, kind="stable")
    return step[order], number[order]
