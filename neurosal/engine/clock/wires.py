"""Synapses that never change: those of all projections from one block as one list of edges.

An edge is 4 bytes for where it ends and one weight; nothing is said twice for a unit that it leaves. Replicas of one
graph share one list. Where few units spike their edges are looked up and added. Where every unit is joined to every
other, see `Products`.

Letters: E edges at which spikes arrive, S synapses of all replicas, or, of a shared graph, of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ctypes import CDLL
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.native import Adding
from neurosal.engine.clock.outlets import Numbers, Outlets, Part
from neurosal.lower.spiking import Edges


@dataclass(frozen=True)
class Wire:
    """A projection whose synapses never change.

    Args:
        source: population.
        first: number of the first unit of its source, within its block.
        units: of source and target in one replica.
        lands: place of the first unit of the target in the variable that spikes change.
        edges: of each replica.
    """

    source: str
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
        numbers: of the block's units, where replicas share the edges of all these projections; None where each has its
            own.
        program: that adds them up; None for torch.

    Attributes:
        weights: projection → [S], replica by replica, in the order of its edges.
        adding: what the program does, or None.
    """

    def __init__(self, units: int, wires: Mapping[str, Wire], state: Tensor, open_: Tensor | None,
                 numbers: Numbers | None = None, program: CDLL | None = None) -> None:  # fmt: skip
        self._state, self._open = state, open_
        lists = {name: wire.edges if numbers is None else wire.edges[:1] for name, wire in wires.items()}
        total = sum(len(edges) for some in lists.values() for edges in some)
        post_S = np.empty(total, "int32")
        self._weight = torch.empty(total, dtype=state.dtype)
        parts, self.weights, at = [], {}, 0
        for name, wire in wires.items():
            start = at
            for replica, edges in enumerate(lists[name]):
                here = slice(at, at + len(edges))
                np.add(edges.post, wire.lands + replica * wire.units[1], out=post_S[here], casting="unsafe")
                self._weight[here] = torch.from_numpy(np.ascontiguousarray(edges.weight))
                at += len(edges)
            self.weights[name] = slice(start, at)
            first = wire.first if numbers is None else numbers.first[wire.source]
            parts.append(part_of(first, wire.units[0], lists[name], start, apart=wire.units[1]))
        self._weight = self._weight.to(state.device)
        self._post = torch.from_numpy(post_S).to(state.device)
        self._outlets = Outlets(units if numbers is None else numbers.size, parts, total, state.device, numbers,
                                 program)  # fmt: skip
        self.longest = self._outlets.longest
        lookup = self._outlets.lookup
        self.adding = None if lookup is None else Adding(lookup, self._post, self._weight, open_, state)

    def weights_of(self, name: str) -> Tensor:
        """Weights of a projection, [S], replica by replica; to be changed in place."""
        return self._weight[self.weights[name]]

    def arrive(self, history: Sequence[Tensor]) -> None:
        """What spikes do that arrive now.

        Args:
            history: spikes of the block of this step, of the one before, ….
        """
        if self.adding is not None:
            self.adding(history)
            return
        found = self._outlets.edges(history)
        if found is None:
            return
        edges, away = found
        target = self._post.index_select(0, edges)
        if away is not None:
            target += away
        sent = self._weight.index_select(0, edges)
        if self._open is not None:
            sent *= self._open.index_select(0, target)
        self._state.index_add_(0, target, sent)


def part_of(first: int, units: int, edges: Sequence[Edges], start: int, apart: int = 0) -> Part:
    """The edges of a projection, replica by replica.

    Args:
        first: number of the first unit that they leave.
        units: in one replica.
        start: place of the first edge.
        apart: see `Part`.
    """
    begins, at = [], start
    for entry in edges:
        begins.append(at + np.searchsorted(entry.pre, np.arange(units, dtype=entry.pre.dtype)))
        at += len(entry)
    delay: Any = edges[0].delay
    if len(edges) > 1 and not all(isinstance(entry.delay, int) and entry.delay == delay for entry in edges):
        delay = np.concatenate([np.broadcast_to(entry.delay, len(entry)) for entry in edges])
    return Part(first, np.concatenate([*begins, [at]]), delay, apart)


def one_graph(edges: Sequence[Edges]) -> bool:
    """Whether replicas have the same arrays of ends and delays: not equal ones, which takes long to tell."""
    first = edges[0]
    return all(
        entry.pre is first.pre and entry.post is first.post
        and (entry.delay is first.delay or (isinstance(entry.delay, int) and entry.delay == first.delay))
        for entry in edges
    )  # fmt: skip


def one_weight(edges: Sequence[Edges]) -> bool:
    """Whether replicas have the same array of weights."""
    return all(entry.weight is edges[0].weight for entry in edges)


def bytes_of(things: Iterable[Any], others: Iterable[Tensor]) -> int:
    """Bytes of the tensors that things hold, or what they are made of, each once.

    Args:
        others: whose bytes do not count.
    """
    apart = {one.untyped_storage().data_ptr() for one in others}
    found: dict[int, int] = {}
    seen: set[int] = set()
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, Tensor):
            found[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
        elif id(thing) not in seen:
            seen.add(id(thing))
            if isinstance(thing, Mapping):
                waiting += thing.values()
            elif isinstance(thing, (list, tuple)):
                waiting += thing
            elif type(thing).__module__.startswith("neurosal.engine.clock"):
                waiting += vars(thing).values()
    return sum(size for place, size in found.items() if place not in apart)
