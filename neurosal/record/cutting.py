"""Where to cut a record before damage, so that all its groups end at the same moment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.record import schema
from neurosal.record.checksums import DEFAULT, Checksum, Log
from neurosal.record.growing import GrowingArray
from neurosal.record.root import Root

Values = np.ndarray[Any, Any]


class Cutter:
    """Finds the lengths that the groups of a store have in common.

    Groups are compared by their `step`; a simulation's by their time, where one of two has no steps. Spikes follow the
    windows that say where they are.
    """

    def __init__(self, store: Path, root: Root, lengths: Mapping[str, int], readable: Mapping[str, int]) -> None:
        """Read what says the moments.

        Args:
            store: the zarr folder.
            root: its metadata.
            lengths: committed length of each group.
            readable: array → rows of it that are good, where those are fewer.
        """
        self._store, self._root, self._readable = store, root, readable
        self._lengths = dict(lengths)
        self.steps: dict[str, Values] = {}
        self._times: dict[str, Values] = {}
        self._windows: dict[str, str] = {}  # group of spikes → group of their windows
        for group in lengths:
            topic, _, population = group.partition("/")
            windows = f"{schema.WINDOWS}/{population}"
            if topic == schema.SPIKES and windows in lengths:
                self._windows[group] = windows
                continue
            for name, clocks in (
                (schema.STEP, self.steps), (schema.TIME_MS, self._times), (schema.STOP_MS, self._times),
            ):  # fmt: skip
                if f"{group}/{name}" in root.nodes:
                    clocks[group] = self._read(group, name)

    def common(self, good: Mapping[str, int]) -> dict[str, int]:
        """Lengths at which all groups are at the same moment, none longer than it is good for."""
        new = dict(good)
        self._follow(new)
        first = dict(new)
        for group in [group for group, length in first.items() if length < self._lengths[group]]:
            for clocks in (self.steps, self._times):
                if group not in clocks:
                    continue
                # A window's moment is its end: what came within one that is lost goes with it.
                known = clocks[group][: first[group]] if group in self._windows.values() else clocks[group]
                bound, side = _bound(known, first[group])
                for other, moments in clocks.items():
                    if clocks is self.steps or not (group in self.steps and other in self.steps):
                        new[other] = min(new[other], int(np.searchsorted(moments, bound, side=side)))
        self._follow(new)
        return new

    def last_step(self, lengths: Mapping[str, int]) -> int:
        """The newest step at those lengths."""
        return max((int(steps[lengths[group] - 1]) for group, steps in self.steps.items() if lengths[group]), default=0)

    def _follow(self, lengths: dict[str, int]) -> None:
        """Windows whose spikes are all there, and spikes that are in these windows."""
        for spikes, windows in self._windows.items():
            count = lengths[windows]
            firsts, counts = (self._read(windows, name)[..., :count] for name in (schema.FIRST_EVENT, schema.EVENTS))
            count = min(count, firsts.shape[-1], counts.shape[-1])
            ends = np.where(counts[..., :count] > 0, firsts[..., :count] + counts[..., :count], 0)
            ends = np.maximum.accumulate(ends.max(axis=0, initial=0)) if count else np.zeros(0, np.int64)
            kept = int(np.searchsorted(ends, lengths[spikes], side="right"))
            lengths[windows] = kept
            lengths[spikes] = int(ends[kept - 1]) if kept else 0

    def _read(self, group: str, name: str) -> Values:
        """The rows of an array that are good, along its last axis."""
        import zarr

        path = f"{group}/{name}"
        count = min(self._lengths[group], self._readable.get(path, self._lengths[group]))
        node = self._root.nodes[path]
        if not count:
            return np.zeros((*node["shape"][:-1], 0), np.int64)
        if self._root.packed:
            array: Any = zarr.open_group(self._store, mode="r", use_consolidated=True)[path]
            return np.asarray(array[..., :count])
        return rows(GrowingArray(self._store, path, node, Log(self._store, Checksum(DEFAULT, self._store))), count)


def _bound(moments: Values, first: int) -> tuple[Any, Any]:
    """What others keep: all before the first entry that is lost; where its moment is lost, up to the one before."""
    if first < len(moments):
        return moments[first], "left"
    return (moments[first - 1], "right") if first else (-np.inf, "right")


def rows(array: GrowingArray, count: int) -> Values:
    """The first rows of an array [row] or [replica, row], straight from its chunks."""
    parts = []
    for part in range(array.replica_chunks):
        found = [np.zeros((array.chunk_replicas, 0), array.dtype)]
        for chunk in range(-(-count // array.chunk_rows)):
            found.append(np.fromfile(array.chunk_file(part, chunk), array.dtype).reshape(array.chunk_replicas, -1))
        parts.append(np.concatenate(found, axis=1)[:, :count])
    whole = np.concatenate(parts)[: array.replicas]
    return whole if array.axis else whole[0]
