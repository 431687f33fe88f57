"""Sums over the entries of forward weights and feedback, from which all vector-like measures of symmetry follow.

One pass over blocks that stay in cache, float64 throughout: what is read from memory is the weights, once, in the type
in which they are stored. Full float64 copies and passes for each measure would move some 20 times as much.

Letters: M matrices (replica, area), O post, I pre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy

from neurosal.stats.base.arrays import Axis, namespace, wide

BLOCK = 1 << 16  # entries: three float64 blocks are 1.5 MB
SHARED = (1 << 15) - 1  # where threads share the blocks: torch shares out what is larger on its own
WORTH_THREADS = 1 << 19  # entries
Place = tuple[slice, slice]  # matrices, rows


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
    rows = [_empty(matrices_w, matrices_w.shape[:2]) for _ in range(9)]

    def one(place: Place, block_w: Any, block_b: Any, spare: Any) -> None:
        for row, part in zip(rows, _of_block(block_w, block_b, spare), strict=True):
            row[place] = part

    _for_blocks(matrices_w, matrices_b, one)
    shaped = [row.reshape(lead) for row in rows]
    return Sums(namespace(w).full_like(shaped[0], float(w.shape[-1])), *shaped)


def _of_block(w: Any, b: Any, spare: Any) -> tuple[Any, ...]:
    """The nine sums over the last axis, in the order of `Sums`; all three arrays are used up."""
    functions = namespace(w)
    plain = (w.sum(-1), b.sum(-1), _squares(w, spare), _squares(b, spare))
    dot = functions.multiply(w, b, out=spare).sum(-1)
    # Zeros are rare. Where the product has none (it may also be too small for a number), each sign counts.
    if int(functions.count_nonzero(spare)) == _size(spare):
        agreement = functions.sign(spare, out=spare).sum(-1)
        signed = functions.full_like(agreement, float(w.shape[-1]))
        w_signs, b_signs = functions.sign(w, out=w).sum(-1), functions.sign(b, out=b).sum(-1)
        return (*plain, dot, agreement, signed, w_signs, b_signs)
    functions.sign(w, out=w)
    functions.sign(b, out=b)
    agreement = functions.multiply(w, b, out=spare).sum(-1)
    functions.multiply(w, spare, out=w)  # the sign of b where w is not zero
    functions.multiply(b, spare, out=b)
    signed = functions.multiply(spare, spare, out=spare).sum(-1)
    return (*plain, dot, agreement, signed, b.sum(-1), w.sum(-1))


def _squares(wide: Any, spare: Any) -> Any:
    functions = namespace(wide)
    if functions is numpy:
        return numpy.multiply(wide, wide, out=spare).sum(-1)
    return functions.linalg.vector_norm(wide, dim=-1) ** 2  # one pass, where a product and its sum are two


def row_residuals(w: Any, b: Any, slope: Any) -> tuple[Any, Any, Any]:
    """Σr², Σr b and Σr over the last axis of [..., post, pre], with r = w − slope · b.

    Args:
        slope: [...] up to [..., post].
    """
    matrices_w, matrices_b, lead = _matrices(w, b)
    functions = namespace(matrices_w)
    slopes = _spread(slope, matrices_w, lead)
    rows = [_empty(matrices_w, matrices_w.shape[:2]) for _ in range(3)]

    def one(place: Place, block_w: Any, block_b: Any, spare: Any) -> None:
        functions.multiply(block_b, slopes[place][..., None], out=spare)
        block_w -= spare
        rows[1][place] = functions.multiply(block_w, block_b, out=spare).sum(-1)
        rows[2][place] = block_w.sum(-1)
        rows[0][place] = _squares(block_w, spare)

    _for_blocks(matrices_w, matrices_b, one)
    squares, products, plain = (row.reshape(lead) for row in rows)
    return squares, products, plain


def _for_blocks(w: Any, b: Any, one: Callable[[Place, Any, Any, Any], None]) -> None:
    """`one` for each block of [M, O, I] matrices: its place, both in float64, and room for a third.

    As many threads as torch may use share the blocks. Each block is smaller than what torch itself would share out: its
    threads meet after every operation, which is slow in small ones and ruinous where others want the processor too.
    """
    functions = namespace(w)
    threads = 1 if functions is numpy or w.is_cuda else functions.get_num_threads()
    if _size(w) < WORTH_THREADS:
        threads = 1
    most = SHARED if threads > 1 else BLOCK
    places = list(_places(w, most << 8 if functions is not numpy and w.is_cuda else most))

    def some(chosen: Sequence[Place]) -> None:
        if not chosen:
            return
        buffers = [_empty(w, (_size(w[chosen[0]]),)) for _ in range(3)]  # the first place is the largest
        for place in chosen:
            first, second = w[place], b[place]
            spare = buffers[2][: _size(first)].reshape(tuple(first.shape))
            one(place, _filled(buffers[0], first), _filled(buffers[1], second), spare)

    if threads < 2:
        some(places)
        return
    inference = functions.is_inference_mode_enabled()

    def alone(chosen: Sequence[Place]) -> None:
        with functions.inference_mode(inference), functions.no_grad():  # both are of the thread that sets them
            some(chosen)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(alone, (places[number::threads] for number in range(threads))))


def _matrices(w: Any, b: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Both as [M, O, I] of one shape, without a copy where their strides allow, and the leading shape with O."""
    if w.shape != b.shape:
        functions = namespace(w)
        w, b = (functions.broadcast_tensors if functions is not numpy else numpy.broadcast_arrays)(w, b)
    lead = tuple(w.shape[:-1])
    shape = (-1, *w.shape[-2:])
    return w.reshape(shape), b.reshape(shape), lead


def _places(matrices: Any, most: int) -> Iterator[Place]:
    """Parts of about `most` entries: several small matrices, or rows of a large one; the first is the largest."""
    count, posts, pres = matrices.shape
    if posts * pres <= most:
        several = max(1, most // max(1, posts * pres))
        yield from ((slice(start, start + several), slice(None)) for start in range(0, count, several))
        return
    rows = max(1, most // pres)
    for matrix in range(count):
        yield from ((slice(matrix, matrix + 1), slice(start, start + rows)) for start in range(0, posts, rows))


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
