"""Tensor functions of broadcasts over space, and of any wiring that is run backwards with weights of its own shape."""

from __future__ import annotations

from torch import Tensor

from neurosal.engine.routing import Groups
from neurosal.engine.space import empty_space
from neurosal.engine.wiring import Kernel, Steps, make_kernel, register_wiring
from neurosal.graph import Broadcast, Dense
from neurosal.graph import Reversed as ReversedWiring
from neurosal.graph.wiring import Extent


class BroadcastRows(Kernel):
    """A dense product with one row a sample, the same at every place: rows [.., N, C, H, W] after, [.., N, I] before.

    Args:
        dense: from units to channels.  post: extent of the population with space.
    """

    def __init__(self, dense: Kernel, post: Extent) -> None:
        self.dense, self.post = dense, post
        self.space = tuple(range(1 - len(post), 0))

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.spread(self.dense.apply(weight, pre, groups))

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return self.dense.pull(weight, self.total(post), groups)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.dense.correlate(self.total(post), pre, groups)

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        self.dense.accumulate_(steps, self.total(post), pre, groups)

    def spread(self, rows: Tensor) -> Tensor:
        """[.., C] at every place."""
        out = empty_space(tuple(rows.shape[:-1]), self.post, rows)
        return out.copy_(rows[(..., *[None] * len(self.space))])

    def total(self, rows: Tensor) -> Tensor:
        """Sums over all places, [.., C]."""
        return rows.sum(self.space)


class Turned(Kernel):
    """A wiring run backwards, whose weights have its own post-synaptic axis first.

    Args:
        forward: the functions of the wiring that is reversed.
        axes: post- and pre-synaptic axis of a stored weight; None without weights.
    """

    def __init__(self, forward: Kernel, axes: tuple[int, int] | None) -> None:
        self.forward, self.axes = forward, axes

    def turn(self, weight: Tensor) -> Tensor:
        """A weight, or a change of one, in the other orientation; a view."""
        return weight if self.axes is None else weight.transpose(*self.axes)

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.forward.pull(self.turn(weight), pre, groups)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return self.forward.apply(self.turn(weight), post, groups)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.turn(self.forward.correlate(pre, post, groups))


def make_broadcast(wiring: Broadcast, post: Extent, pre: Extent, form: str) -> Kernel:
    """The functions of a broadcast in one form."""
    return BroadcastRows(make_kernel(Dense(), post[:1], pre, form), post)


def make_reversed(wiring: ReversedWiring, post: Extent, pre: Extent, form: str) -> Kernel:
    """The functions of a wiring run backwards, in one form."""
    lead = form != "single"
    axes = None if wiring.weightless else (wiring.axes[0] + lead, wiring.axes[1] + lead)
    return Turned(make_kernel(wiring.wiring, pre, post, form), axes)


register_wiring("broadcast", make=make_broadcast)
register_wiring("reversed", make=make_reversed)
