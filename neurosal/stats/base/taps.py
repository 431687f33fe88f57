"""Effective kernels of routes through convolutions.

Away from the border a route of convolutions is one convolution: its kernel sums over the channels in between, and over
the ways in which the taps of its parts add up to an offset. All is brought to one form, read off the side of the
source: ``post[z] = Σ_t M_t pre[stride · z + t]`` with a matrix M_t [post channel, pre channel] for each tap t.

Kernels are [..., group, post, pre, *taps], with as many axes of taps as there are of space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd
from typing import Any

import numpy

from neurosal.stats.base.arrays import namespace, wide

Numbers = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Hop:
    """How the weights of one projection act over space: ``post[z] = Σ_k W[k] pre[stride·z + dilation·k − padding]``.

    Args:
        stride, dilation, padding: one number for each axis of space.
        groups: of channels; where there are several, weights are [..., group, post, pre, *taps].
        backwards: the projection runs the other way, ``post[stride·z + dilation·k − padding] += W[k] pre[z]``: its
            weights are still [post, pre] of itself.
    """

    stride: Numbers
    dilation: Numbers
    padding: Numbers
    groups: int = 1
    backwards: bool = False


@dataclass(frozen=True, kw_only=True)
class Taps:
    """A kernel [..., group, post, pre, *taps] and where its taps lie: at ``first + step · place`` on each axis."""

    kernel: Any
    first: Numbers
    step: Numbers
    stride: Numbers

    @property
    def counts(self) -> Numbers:
        """Taps along each axis."""
        return tuple(int(count) for count in self.kernel.shape[-len(self.stride) :])

    @property
    def groups(self) -> int:
        """Of channels."""
        return int(self.kernel.shape[-3 - len(self.stride)])


Routes = Sequence[Sequence[str]]


def same_places(forward: Routes, feedback: Routes, hops: Mapping[str, Hop]) -> bool:
    """Whether these routes through convolutions are kernels that can be laid on each other: each is one convolution,
    all with the same stride."""
    return _oriented(forward, feedback, hops) is not None


def kernels_both_ways(
    forward: Routes, feedback: Routes, weights: Mapping[str, Any], hops: Mapping[str, Hop]
) -> tuple[Any, Any]:
    """Effective kernels of a forward path and of the feedback that returns along it, both
    [..., post channel, pre channel of its group · taps] of the forward path.

    Args:
        forward, feedback: routes as names of projections in travel order; several add up.
        weights: by name, [..., post, pre, *taps], or [..., group, post, pre, *taps]. Where both paths are one
            convolution they come back in their own type, without a copy where their order in memory allows.
        hops: of each projection.

    Raises:
        ValueError: where `same_places` says no.
    """
    along = _oriented(forward, feedback, hops)
    if along is None:
        raise ValueError("these routes are no kernels that can be laid on each other")
    there = _sum([_effective(route, weights, hops, against=not along) for route in forward])
    back = _sum([_effective(route, weights, hops, against=along) for route in feedback])
    there, back = _on_each_other(there, back)
    first, second = (_matrix(taps, swapped=not along) for taps in (there, back))
    return first, second


def kernel_rows(weight: Any, hop: Hop) -> Any:
    """Weights of one convolution as a matrix: [..., post channel, pre channel of its group · taps] of
    [..., post, pre, *taps], or [..., group, post, pre, *taps]."""
    axes, lead = len(hop.stride) + 2, weight.ndim - len(hop.stride) - (3 if hop.groups > 1 else 2)
    posts = int(weight.shape[-axes]) * hop.groups
    return weight.reshape((*weight.shape[:lead], posts, -1))


def _oriented(forward: Routes, feedback: Routes, hops: Mapping[str, Hop]) -> bool | None:
    """Whether both ways are convolutions seen from the source (True) or from the target (False); None if neither."""
    for along in (True, False):
        strides = {_stride(route, hops, against=not along) for route in forward}
        strides |= {_stride(route, hops, against=along) for route in feedback}
        if len(strides) == 1 and None not in strides:
            return along
    return None


def _stride(route: Sequence[str], hops: Mapping[str, Hop], *, against: bool) -> Numbers | None:
    """Of a whole route that is one convolution; None for one that is none."""
    total: Numbers | None = None
    for name in route:
        hop = hops[name]
        if not _gathers(hop, against) and any(entry != 1 for entry in hop.stride):
            return None  # it spreads what it hears: where it lands between depends on the place
        total = hop.stride if total is None else tuple(a * b for a, b in zip(total, hop.stride, strict=True))
    return total


def _gathers(hop: Hop, against: bool) -> bool:
    """Whether a projection is of the form of `Taps`, or its transpose where it is passed against its direction."""
    return hop.backwards == against


def _effective(route: Sequence[str], weights: Mapping[str, Any], hops: Mapping[str, Hop], *, against: bool) -> Taps:
    """A route as one convolution; passed against its direction as the transpose of what it does."""
    several = [_taps(weights[name], hops[name], against=against) for name in route]
    first, *others = reversed(several) if against else several
    for other in others:
        first = _composed(first, other)
    return first


def _taps(weight: Any, hop: Hop, *, against: bool) -> Taps:
    axes = len(hop.stride)
    kernel = weight if hop.groups > 1 else _with_axis(weight, -2 - axes)
    if against:
        kernel = kernel.swapaxes(-2 - axes, -1 - axes)
    if _gathers(hop, against):
        first = tuple(-entry for entry in hop.padding)
    else:  # the transpose of a convolution without stride is the convolution with the mirrored kernel
        counts = kernel.shape[-axes:]
        kernel = namespace(kernel).flip(kernel, tuple(range(-axes, 0)))
        reach = (step * (int(count) - 1) for step, count in zip(hop.dilation, counts, strict=True))
        first = tuple(padding - entry for padding, entry in zip(hop.padding, reach, strict=True))
    return Taps(kernel=kernel, first=first, step=hop.dilation, stride=hop.stride)


def _composed(lower: Taps, upper: Taps) -> Taps:
    """What `upper` makes of what `lower` makes: ``M_t = Σ U_u L_l`` over ``t = stride of lower · u + l``."""
    axes = len(lower.stride)
    groups = gcd(lower.groups, upper.groups)
    below, above = wide(_regrouped(lower, groups)), wide(_regrouped(upper, groups))
    steps, counts, near, far = [], [], [], []
    for axis in range(axes):
        one = lower.step[axis] if lower.counts[axis] > 1 else 0
        other = lower.stride[axis] * upper.step[axis] if upper.counts[axis] > 1 else 0
        step = gcd(one, other) or 1
        reach = (lower.counts[axis] - 1) * one + (upper.counts[axis] - 1) * other
        steps.append(step)
        counts.append(reach // step + 1)
        near.append(one // step)
        far.append(other // step)
    lead = below.shape[: -1 - axes]
    flat = below.reshape((*lead, -1))  # [..., group, middle, pre · taps]
    posts, pres = int(above.shape[-2 - axes]), int(below.shape[-1 - axes])
    found: Any = None
    for place in product(*(range(count) for count in upper.counts)):
        part = above[(..., *place)] @ flat
        part = part.reshape((*part.shape[:-2], posts, pres, *lower.counts))
        if set(upper.counts) == {1}:
            found = part  # nothing to shift: a kernel of one tap, as fixed hops to relays have
            break
        if found is None:
            found = _zeros(part, (*part.shape[: part.ndim - axes], *counts))
        found[(..., *_places(place, lower.counts, near, far))] += part
    first = tuple(s * u + low for s, u, low in zip(lower.stride, upper.first, lower.first, strict=True))
    stride = tuple(a * b for a, b in zip(lower.stride, upper.stride, strict=True))
    return Taps(kernel=found, first=first, step=tuple(steps), stride=stride)


def _places(place: Numbers, counts: Numbers, near: Sequence[int], far: Sequence[int]) -> Iterator[slice]:
    """Where the taps of `lower` lie for one of `upper`."""
    for index, count, step, start in zip(place, counts, near, far, strict=True):
        step = step or 1  # of one tap alone
        yield slice(index * start, index * start + (count - 1) * step + 1, step)


def _regrouped(taps: Taps, groups: int) -> Any:
    """The kernel in fewer groups: zero between channels of different ones."""
    kernel, has, axes = taps.kernel, taps.groups, len(taps.stride)
    if has == groups:
        return kernel
    several = has // groups
    posts, pres = (int(kernel.shape[place - axes]) for place in (-2, -1))
    lead, end = tuple(kernel.shape[: -3 - axes]), taps.counts
    parts = kernel.reshape((*lead, groups, several, posts, pres, *end))
    whole = _zeros(kernel, (*lead, groups, several, posts, several, pres, *end))
    all_, rest = slice(None), (slice(None),) * axes
    for block in range(several):
        whole[(..., block, all_, block, all_, *rest)] = parts[(..., block, all_, all_, *rest)]
    return whole.reshape((*lead, groups, several * posts, several * pres, *end))


def _sum(several: Sequence[Taps]) -> Taps:
    first, *others = several
    for other in others:
        one, two = _on_each_other(first, other)
        first = Taps(kernel=wide(one.kernel) + wide(two.kernel), first=one.first, step=one.step, stride=one.stride)
    return first


def _on_each_other(one: Taps, other: Taps) -> tuple[Taps, Taps]:
    """Both with the same groups and the same taps; zero where one has none."""
    groups = gcd(one.groups, other.groups)
    first, steps, counts = [], [], []
    for axis in range(len(one.stride)):
        starts = (one.first[axis], other.first[axis])
        ends = [taps.first[axis] + (taps.counts[axis] - 1) * taps.step[axis] for taps in (one, other)]
        step = abs(starts[0] - starts[1])
        for taps in (one, other):
            step = gcd(step, taps.step[axis] if taps.counts[axis] > 1 else 0)
        step = step or 1
        first.append(min(starts))
        steps.append(step)
        counts.append((max(ends) - min(starts)) // step + 1)
    placed = [_placed(taps, groups, tuple(first), tuple(steps), tuple(counts)) for taps in (one, other)]
    return placed[0], placed[1]


def _placed(taps: Taps, groups: int, first: Numbers, steps: Numbers, counts: Numbers) -> Taps:
    kernel = _regrouped(taps, groups)
    if taps.counts != counts:
        whole = _zeros(kernel, (*kernel.shape[: kernel.ndim - len(counts)], *counts))
        own = (step // grid for step, grid in zip(taps.step, steps, strict=True))
        starts = ((mine - low) // grid for mine, low, grid in zip(taps.first, first, steps, strict=True))
        where = tuple(
            slice(start, start + (count - 1) * (step or 1) + 1, step or 1)
            for start, count, step in zip(starts, taps.counts, own, strict=True)
        )
        whole[(..., *where)] = kernel
        kernel = whole
    return Taps(kernel=kernel, first=first, step=steps, stride=taps.stride)


def _matrix(taps: Taps, *, swapped: bool) -> Any:
    """[..., post channel, pre channel of its group · taps] of the forward path."""
    kernel, axes = taps.kernel, len(taps.stride)
    if swapped:
        kernel = kernel.swapaxes(-2 - axes, -1 - axes)
    lead, posts = tuple(kernel.shape[: -3 - axes]), int(kernel.shape[-2 - axes])
    return kernel.reshape((*lead, taps.groups * posts, -1))


def _zeros(like: Any, shape: Sequence[int]) -> Any:
    if namespace(like) is numpy:
        return numpy.zeros(tuple(shape), like.dtype)
    return like.new_zeros(tuple(shape))


def _with_axis(array: Any, place: int) -> Any:
    """With an axis of length 1 before the axis `place` (negative)."""
    functions = namespace(array)
    position = array.ndim + place
    return functions.unsqueeze(array, position) if functions is not numpy else numpy.expand_dims(array, position)
