"""Tables of `Outlets`, read by the program."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from neurosal.engine.clock.native import layout


class Lookup:
    """Which edges spikes reach.

    Args:
        program: of the circuit.
        delays: in steps.
        rows: of each delay.
        tables: begin, count and, of a shared graph, how far replicas are apart; int32 [2 or 3, rows, units].
        place: of edges, int32; None where they are in the order of delays.
        shared: how many units a replica has, and the number of each, int32, or None (`Numbers`); None where replicas
            share nothing.
    """

    def __init__(self, program: ctypes.CDLL, delays: Sequence[int], rows: Sequence[int], tables: Tensor,
                 place: Tensor | None, shared: tuple[int, Tensor | None] | None) -> None:  # fmt: skip
        self.program, self._delays = program, list(delays)
        size, by_replica = (0, None) if shared is None else shared
        counted = layout.numbers(delays), layout.numbers(rows)
        begin, count, *apart = tables
        self.structure = layout.Outlets(
            len(delays), tables.shape[2], size, *map(ctypes.addressof, counted), begin.data_ptr(), count.data_ptr(),
            layout.address(apart[0]) if size else None, layout.address(by_replica), layout.address(place),
        )  # fmt: skip
        self._held = (tables, place, by_replica, counted)
        self._shared, self._address = shared is not None, ctypes.addressof(self.structure)
        self._spikes, self._counts = layout.addresses([None] * len(delays)), layout.numbers([0] * len(delays))
        self._pointed = ctypes.addressof(self._spikes), ctypes.addressof(self._counts)

    def point(self, history: Sequence[Tensor]) -> tuple[int, int] | None:
        """Where the program finds the spikes that arrive now, delay by delay; None where there are none.

        Args:
            history: spikes of this step, of the one before, ….
        """
        spikes, counts, some, known = self._spikes, self._counts, False, len(history)
        for k, delay in enumerate(self._delays):
            count = 0
            if delay < known and (count := len(here := history[delay])):
                spikes[k], some = here.data_ptr(), True
            counts[k] = count
        return self._pointed if some else None

    def edges(self, history: Sequence[Tensor]) -> tuple[Tensor, Tensor | None] | None:
        """The same as `Outlets.edges`."""
        pointed = self.point(history)
        if pointed is None or not (total := self.program.reached(self._address, *pointed)):
            return None
        found = torch.empty(total, dtype=torch.int32)
        away = torch.empty(total, dtype=torch.int32) if self._shared else None
        self.program.listed(self._address, *pointed, found.data_ptr(), layout.address(away))
        return found, away


class Adding:
    """Weights that spikes add to state.

    Args:
        lookup: of the edges that they reach.
        post: place in state of each edge, int32.
        weight: of each edge.
        open: as long as state, 0 where what arrives is lost; None where nothing is.
        state: all there is.
    """

    def __init__(self, lookup: Lookup, post: Tensor, weight: Tensor, open_: Tensor | None, state: Tensor) -> None:
        self._lookup, self._held = lookup, (post, weight, open_, state)
        self._addresses = tuple(map(layout.address, self._held))
        self._structure = self.of_group(0)
        self._address = ctypes.addressof(self._structure)

    def of_group(self, group: int) -> layout.Wires:
        """All that for the program, of edges that leave the units of a group."""
        return layout.Wires(self._lookup.structure, group, *self._addresses)

    def __call__(self, history: Sequence[Tensor]) -> None:
        """What spikes do that arrive now.

        Args:
            history: spikes of this step, of the one before, ….
        """
        if (pointed := self._lookup.point(history)) is not None:
            self._lookup.program.arrive_all(self._address, *pointed)
