"""Sums over the entries of forward weights and feedback, from which all vector-like measures of symmetry follow.

One pass over blocks that stay in cache, float64 throughout: what is read from memory is the weights, once, in the type
in which they are stored. A full float64 copy of both and a pass for each measure would move some 20 times as much.

Letters: M matrices (replica, area), O post, I pre.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy

from neurosal.stats.base.arrays import Axis, namespace, wide

BLOCK = 1 << 16  # entries: three float64 blocks are 1.5 MB


@dataclass(frozen=True)
class Sums:
    """Sums over n entries. `agreement` is Σ s_w s_b of the signs s (0 where either weight is zero), `signed` the count
    of places where neither is zero, `w_signs` and `b_signs` the sums of the signs there."""

    n: Any
    w: Any
    b: Any
    ww: Any
    bb: Any
    wb: Any
    agreement: Any
    signed: Any
    w_signs: Any
    b_signs: Any

    def over(self, axis: Axis) -> Sums:
        """Sums of these sums."""
        return Sums(*(getattr(self, entry.name).sum(axis) for entry in fields(self)))

    @property
    def centred(self) -> tuple[Any, Any, Any]:
        """Σ(w − w̄)², Σ(b − b̄)², Σ(w − w̄)(b − b̄)."""
        return (
            self.ww - self.w * self.w / self.n,
            self.bb - self.b * self.b / self.n,
            self.wb - self.w * self.b / self.n,
        )


def sums(w: Any, b: Any, *, axis: Axis) -> Sums:
    """Sums over `axis`, as they are defined: whole arrays at a time."""
    w, b = wide(w), wide(b)
    functions = namespace(w)
    w, b = (functions.broadcast_tensors if functions is not numpy else numpy.broadcast_arrays)(w, b)
    s_w, s_b = functions.sign(w), functions.sign(b)
    both = s_w * s_b
    with numpy.errstate(all="ignore"):
        parts = (functions.ones_like(w), w, b, w * w, b * b, w * b, both, both * both, both * s_b, both * s_w)
        return Sums(*(part.sum(axis) for part in parts))


def row_sums(w: Any, b: Any) -> Sums:
    """Sums over the last axis of [..., post, pre], block by block."""
    matrices_w, matrices_b, lead = _matrices(w, b)
    functions = namespace(matrices_w)
    rows = [_empty(matrices_w, matrices_w.shape[:2]) for _ in range(9)]
    buffer_w, buffer_b, product = (_empty(matrices_w, (_buffer(matrices_w),)) for _ in range(3))
    for chosen, some, block_w, block_b in _blocks(matrices_w, matrices_b):
        wide_w, wide_b = _filled(buffer_w, block_w), _filled(buffer_b, block_b)
        spare = product[: _size(block_w)].reshape(wide_w.shape)
        found = [wide_w.sum(-1), wide_b.sum(-1)]
        for one, other in ((wide_w, wide_w), (wide_b, wide_b), (wide_w, wide_b)):
            found.append(functions.multiply(one, other, out=spare).sum(-1))
        functions.sign(wide_w, out=wide_w)
        functions.sign(wide_b, out=wide_b)
        functions.multiply(wide_w, wide_b, out=spare)
        found.append(spare.sum(-1))
        functions.multiply(wide_w, spare, out=wide_w)  # the sign of b where w is not zero
        functions.multiply(wide_b, spare, out=wide_b)
        functions.multiply(spare, spare, out=spare)
        found += [spare.sum(-1), wide_b.sum(-1), wide_w.sum(-1)]
        for row, part in zip(rows, found, strict=True):
            row[chosen, some] = part
    shaped = [row.reshape(lead) for row in rows]
    return Sums(functions.full_like(shaped[0], float(w.shape[-1])), *shaped)


def row_gaps(w: Any, b: Any, *, shift: tuple[Any, Any], scale: tuple[Any, Any]) -> tuple[Any, Any]:
    """Σ(u − v)² and Σ(u + v)² over the last axis of [..., post, pre], with u = (w − shift) / scale and v so of b.

    Args:
        shift, scale: for w and b, [...] up to [..., post].
    """
    matrices_w, matrices_b, lead = _matrices(w, b)
    functions = namespace(matrices_w)
    shape = matrices_w.shape[:2]
    own = [_spread(entry, matrices_w, lead) for entry in (*shift, *scale)]
    apart, along = _empty(matrices_w, shape), _empty(matrices_w, shape)
    buffer_w, buffer_b, product = (_empty(matrices_w, (_buffer(matrices_w),)) for _ in range(3))
    for chosen, some, block_w, block_b in _blocks(matrices_w, matrices_b):
        wide_w, wide_b = _filled(buffer_w, block_w), _filled(buffer_b, block_b)
        shift_w, shift_b, scale_w, scale_b = (entry[chosen, some][..., None] for entry in own)
        wide_w -= shift_w
        wide_w /= scale_w
        wide_b -= shift_b
        wide_b /= scale_b
        spare = product[: _size(block_w)].reshape(wide_w.shape)
        functions.subtract(wide_w, wide_b, out=spare)
        apart[chosen, some] = functions.multiply(spare, spare, out=spare).sum(-1)
        functions.add(wide_w, wide_b, out=spare)
        along[chosen, some] = functions.multiply(spare, spare, out=spare).sum(-1)
    return apart.reshape(lead), along.reshape(lead)


def _matrices(w: Any, b: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Both as [M, O, I] of one shape, without a copy where their strides allow, and the leading shape with O."""
    if w.shape != b.shape:
        functions = namespace(w)
        w, b = (functions.broadcast_tensors if functions is not numpy else numpy.broadcast_arrays)(w, b)
    lead = tuple(w.shape[:-1])
    shape = (-1, *w.shape[-2:])
    return w.reshape(shape), b.reshape(shape), lead


def _blocks(w: Any, b: Any) -> Iterator[tuple[slice, slice, Any, Any]]:
    """Parts of about `BLOCK` entries: several small matrices, or rows of a large one."""
    count, posts, pres = w.shape
    if posts * pres <= BLOCK:
        several = max(1, BLOCK // max(1, posts * pres))
        for start in range(0, count, several):
            chosen = slice(start, start + several)
            yield chosen, slice(None), w[chosen], b[chosen]
        return
    rows = max(1, BLOCK // pres)
    for matrix in range(count):
        for start in range(0, posts, rows):
            chosen, some = slice(matrix, matrix + 1), slice(start, start + rows)
            yield chosen, some, w[chosen, some], b[chosen, some]


def _buffer(matrices: Any) -> int:
    return max(BLOCK, int(matrices.shape[-1]))


def _size(block: Any) -> int:
    return int(block.shape[0]) * int(block.shape[1]) * int(block.shape[2])


def _filled(buffer: Any, block: Any) -> Any:
    """`block` in float64 and in the order of its axes, in the place of `buffer`."""
    taken = buffer[: _size(block)].reshape(tuple(block.shape))
    taken[...] = block
    return taken


def _empty(like: Any, shape: tuple[int, ...]) -> Any:
    functions = namespace(like)
    if functions is numpy:
        return numpy.empty(tuple(shape), numpy.float64)
    return like.new_empty(tuple(shape), dtype=functions.float64)


def _spread(entry: Any, matrices: Any, lead: tuple[int, ...]) -> Any:
    """[...] up to [..., post] as [M, O]."""
    while entry.ndim < len(lead):
        entry = entry[..., None]
    return (entry + 0 * _zeros(matrices, lead)).reshape(tuple(matrices.shape[:2]))


def _zeros(like: Any, shape: tuple[int, ...]) -> Any:
    functions = namespace(like)
    return numpy.zeros(shape) if functions is numpy else like.new_zeros(shape, dtype=functions.float64)
