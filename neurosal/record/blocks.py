"""Rows of a group on their way to the store: copied once, in blocks of about 1 MB, put by one thread, taken by another.

Letters: R replicas (1 for coordinates and for what has no such axis), L rows along the growing axis.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurosal.record.store import CHUNK_BYTES

FIRST_ROWS = 64  # in the first block of a group; then they double up to `CHUNK_BYTES`
SPARE_BLOCKS = 2  # kept of each group: memory that was used before costs no page faults

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Column:
    """Shape and type of one array of a group: [lead, L, *rest], with lead R or 1."""

    lead: int
    rest: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return self.lead * math.prod(self.rest) * np.dtype(self.dtype).itemsize


class Block:
    """Memory for some rows. `filled` is written by the thread that puts, `taken` by the one that takes."""

    def __init__(self, columns: Mapping[str, Column], capacity: int, *, pinned: bool) -> None:
        self.capacity = capacity
        self.columns = {
            name: _memory((column.lead, capacity, *column.rest), column.dtype, pinned=pinned)
            for name, column in columns.items()
        }
        self.filled = self.taken = 0


class Rows:
    """The rows of one group, in order. No locks: each count has one thread that changes it.

    Args:
        columns: by name.
        length: rows in the store.
    """

    def __init__(self, columns: Mapping[str, Column], length: int) -> None:
        self.columns = dict(columns)
        self.row_bytes = sum(column.row_bytes for column in columns.values())
        self.put_count = self.complete = length  # rows put, and those of them in blocks that are full
        self.taken = length
        self._capacity = 0
        self._filling: Block | None = None
        self._blocks: deque[Block] = deque()
        self._spare: deque[Block] = deque(maxlen=SPARE_BLOCKS)

    def put(self, values: Mapping[str, Any], count: int = 1) -> bool:
        """Copy rows. Whether a block became full with them.

        Args:
            values: [lead, count, ...] for each column: arrays, or tensors on any device.
            count: how many rows they are.
        """
        done, filled_one = 0, False
        while done < count:
            block = self._filling or self._fresh(any(_on_device(value) for value in values.values()))
            part = min(count - done, block.capacity - block.filled)
            for name, column in block.columns.items():
                value = values[name] if part == count else values[name][:, done : done + part]
                _fill(column[:, block.filled : block.filled + part], value)
            # Only now do the rows exist for the other thread, in all columns at once.
            block.filled += part
            self.put_count += part
            done += part
            if block.filled == block.capacity:
                self._filling, self.complete, filled_one = None, self.put_count, True
        return filled_one

    def take(self, limit: int) -> Iterator[dict[str, Array]]:
        """Columns [lead, L, ...] of the rows up to `limit`, block by block, to be used before the next is asked for."""
        while self.taken < limit:
            block = self._blocks[0]
            stop = min(block.filled, block.taken + limit - self.taken)
            yield {name: column[:, block.taken : stop] for name, column in block.columns.items()}
            self.taken += stop - block.taken
            block.taken = stop
            if stop == block.capacity:
                self._blocks.popleft()
                if stop == self._most:
                    self._spare.append(block)

    def forget(self) -> None:
        """Let go of all memory; nothing will be taken any more."""
        self._blocks.clear()
        self._spare.clear()

    @property
    def _most(self) -> int:
        return max(1, CHUNK_BYTES // max(self.row_bytes, 1))

    def _fresh(self, pinned: bool) -> Block:
        if self._spare:
            block = self._spare.popleft()
            block.filled = block.taken = 0
        else:
            self._capacity = min(self._most, 2 * self._capacity or FIRST_ROWS)
            block = Block(self.columns, self._capacity, pinned=pinned)
        self._blocks.append(block)
        self._filling = block
        return block


def _on_device(value: Any) -> bool:
    return getattr(getattr(value, "device", None), "type", "cpu") != "cpu"


def _memory(shape: tuple[int, ...], dtype: str, *, pinned: bool) -> Array:
    """Memory, pinned where values come from a GPU: it copies there at the full rate of the bus."""
    if not pinned:
        return np.empty(shape, dtype)
    import torch  # a tensor is at hand, so it is loaded

    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    array: Array = torch.empty(shape, dtype=kind, pin_memory=torch.cuda.is_available()).numpy()
    return array


def _fill(target: Array, value: Any) -> None:
    """Copy a value; a tensor on a device goes straight into the target."""
    if _on_device(value):
        import torch

        torch.from_numpy(target).copy_(value)  # waits for what computes it
    else:
        np.copyto(target, value, casting="unsafe")
