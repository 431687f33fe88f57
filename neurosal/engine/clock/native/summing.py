"""Sums of how a population fires, by the program: each replica's in one pass, while they are in the cache.

Letters: R replicas, L spikes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from neurosal.engine.clock.native import layout

Array = np.ndarray[Any, Any]
FEW = 10_000  # spikes that one thread sums up while another would be told to
_UNIT = [("last", "i8"), ("intervals", "i8"), ("sum", "f8"), ("squares", "f8")]  # side by side
_SUMS = ("pending", "counts", "products", "population_squares")


class Summing:
    """What `neurosal.record.firing.Firing` sums up, in its tensors, which it changes in place.

    Args:
        program: of a circuit, of any.
        units: `last`, `intervals`, `sum` and `squares` of each unit of all replicas, side by side.
        tensors: other sums, by name.
        place: in the sample, of each unit; -1 for others.
        bin, settle: steps.
    """

    def __init__(self, program: ctypes.CDLL, units: Array, tensors: Mapping[str, Array], place: Array, bin: int,  # noqa: A002 - their name
                 settle: int) -> None:  # fmt: skip
        sums = [tensors[name] for name in _SUMS]
        assert (units.dtype, place.dtype, {one.dtype for one in sums}) == (_UNIT, "int64", {np.dtype("float64")})
        assert all(one.flags.c_contiguous for one in (units, place, *sums))
        self._program, self._held, self._replicas = program, (units, sums, place), len(tensors["pending"])
        self._structure = layout.Firing(len(place), tensors["products"].shape[1], bin, settle, place.ctypes.data,
                                        units.ctypes.data, *(one.ctypes.data for one in sums))  # fmt: skip
        self._address = ctypes.addressof(self._structure)
        self._threads: ThreadPoolExecutor | None = None

    def __call__(self, first: int, full: int, step: Array, unit: Array, begin: Array) -> None:
        """Spikes of some steps, replica by replica, in order of steps in each.

        Args:
            first: step of the bin that was not full.
            full: how many bins are by now.
            step, unit: [L].
            begin: of each replica's spikes, and the end of the last ones, [R + 1].
        """
        step_L, unit_L = np.ascontiguousarray(step, "int64"), np.ascontiguousarray(unit, "int32")
        begin_R = np.ascontiguousarray(begin, "int64")
        given = (first, full, step_L.ctypes.data, unit_L.ctypes.data, begin_R.ctypes.data)

        def some(part: tuple[int, int]) -> None:
            self._program.sum_up(self._address, *part, *given)

        self._spread(some, len(step_L))

    def _spread(self, some: Callable[[tuple[int, int]], None], spikes: int) -> None:
        threads = min(torch.get_num_threads(), self._replicas)
        if threads == 1 or spikes < FEW:
            some((0, self._replicas))
            return
        self._threads = self._threads or ThreadPoolExecutor(threads, "neurosal")
        ends = np.linspace(0, self._replicas, threads + 1).round().astype(int).tolist()
        list(self._threads.map(some, pairwise(ends)))
