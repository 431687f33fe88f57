"""Synapses that never change: those of all projections from one block as one list of edges.

An edge is 4 bytes for where it ends and one weight; nothing is said twice for a unit that it leaves. Where few units
spike their edges are looked up and added. Where every unit is joined to every other, see `Products`.

Letters: E edges at which spikes arrive, S synapses of all replicas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.outlets import Outlets, Part
from neurosal.lower.spiking import Edges


@dataclass(frozen=True)
class Wire:
    """A projection whose synapses never change.

    Args:
        first: number of the first unit of its source, within its block.
        units: of source and target in one replica.
        lands: place of the first unit of the target in the variable that spikes change.
        edges: of each replica.
    """

    first: int
    units: tuple[int, int]
    lands: int
    edges: Sequence[Edges]


class Wires:
    """Projections from one block.

    Args:
        units: of the block.
        wires: projections by name.
        state: all state there is, where spikes land.
        open: as long as state, 0 where what arrives is lost; None where nothing ever is.

    Attributes:
        weights: projection → [S], replica by replica, in the order of its edges.
    """

    def __init__(self, units: int, wires: Mapping[str, Wire], state: Tensor, open_: Tensor | None) -> None:
        self._state, self._open = state, open_
        total = sum(len(edges) for wire in wires.values() for edges in wire.edges)
        post_S = np.empty(total, "int32")
        self._weight = torch.empty(total, dtype=state.dtype)
        parts, self.weights, at = [], {}, 0
        for name, wire in wires.items():
            start = at
            for replica, edges in enumerate(wire.edges):
                here = slice(at, at + len(edges))
                np.add(edges.post, wire.lands + replica * wire.units[1], out=post_S[here], casting="unsafe")
                self._weight[here] = torch.from_numpy(np.ascontiguousarray(edges.weight))
                at += len(edges)
            self.weights[name] = slice(start, at)
            parts.append(part_of(wire.first, wire.units[0], wire.edges, start))
        self._weight = self._weight.to(state.device)
        self._post = torch.from_numpy(post_S).to(state.device)
        self._outlets = Outlets(units, parts, total, state.device)
        self.longest = self._outlets.longest

    def weights_of(self, name: str) -> Tensor:
        """Weights of a projection, [S], replica by replica; to be changed in place."""
        return self._weight[self.weights[name]]

    def arrive(self, history: Sequence[Tensor]) -> None:
        """What spikes do that arrive now.

        Args:
            history: spikes of the block of this step, of the one before, ….
        """
        edges = self._outlets.edges(history)
        if edges is None:
            return
        target = self._post.index_select(0, edges)
        sent = self._weight.index_select(0, edges)
        if self._open is not None:
            sent *= self._open.index_select(0, target)
        self._state.index_add_(0, target, sent)


def part_of(first: int, units: int, edges: Sequence[Edges], start: int) -> Part:
    """The edges of a projection, replica by replica.

    Args:
        first: number of the first unit that they leave.
        units: in one replica.
        start: place of the first edge.
    """
    begins, at = [], start
    for entry in edges:
        begins.append(at + np.searchsorted(entry.pre, np.arange(units, dtype=entry.pre.dtype)))
        at += len(entry)
    delay: Any = edges[0].delay
    if not all(isinstance(entry.delay, int) and entry.delay == delay for entry in edges):
        delay = np.concatenate([np.broadcast_to(entry.delay, len(entry)) for entry in edges])
    return Part(first, np.concatenate([*begins, [at]]), delay)
