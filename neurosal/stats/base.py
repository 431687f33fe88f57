"""Statistics of plain arrays, with `axis=`. `neurosal.stats` lifts them to labelled arrays with `dim=` and says what
each one means.

numpy arrays and torch tensors are taken alike (torch is never imported from here: a tensor brings its module along),
computed in float64 and returned as the same kind of array. What has no answer (a zero vector, no value at all) is NaN,
never a warning.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy

Axis = int | tuple[int, ...]
DEGREES = 180 / numpy.pi


def namespace(array: Any) -> Any:
    """The module whose functions take this array: torch for a tensor, else numpy."""
    root = type(array).__module__.partition(".")[0]
    return sys.modules["torch"] if root == "torch" else numpy


def wide(array: Any) -> Any:
    """`array` in float64, where angles and ratios are computed: at 10 bits of precision an angle is degrees off."""
    return array.double() if namespace(array) is not numpy else numpy.asarray(array, dtype=numpy.float64)


def angle(w: Any, b: Any, *, axis: Axis) -> Any:
    """Angle in degrees between two arrays of one orientation, seen as vectors over `axis`; see
    `neurosal.stats.angle`."""
    u, v = _direction(wide(w), axis), _direction(wide(b), axis)
    functions = namespace(u)
    # Not arccos of the cosine: its rounding is up to 1e-6 degrees off near 0 and 180, where learned symmetry ends.
    return 2 * DEGREES * functions.arctan2(_norm(u - v, axis), _norm(u + v, axis))


def norm_ratio(w: Any, b: Any, *, axis: Axis) -> Any:
    """``‖b‖ / ‖w‖`` over `axis`; see `neurosal.stats.norm_ratio`."""
    functions = namespace(w)
    below, above = norm(w, axis=axis), norm(b, axis=axis)
    return above / functions.where((below > 0) & (below < functions.inf), below, functions.nan)


def norm(array: Any, *, axis: Axis) -> Any:
    """Euclidean norm over `axis`, safe from overflow of the squares."""
    array = wide(array)
    functions = namespace(array)
    top = functions.amax(functions.abs(array), axis)
    scale = functions.where((top > 0) & (top < functions.inf), top, 1.0)
    return scale * _norm(array / _kept(scale, axis), axis)


def sign_concordance(w: Any, b: Any, *, axis: Axis) -> Any:
    """Share of equal signs over `axis`, among the places where neither is zero; see
    `neurosal.stats.sign_concordance`."""
    w, b = wide(w), wide(b)
    functions = namespace(w)
    # Signs first: the product of two small numbers can underflow to zero.
    product = functions.sign(w) * functions.sign(b)
    counted = functions.where(functions.isnan(product), functions.nan, abs(product)).sum(axis)
    return 0.5 + 0.5 * product.sum(axis) / functions.where(counted == 0, functions.nan, counted)


def path(*weights: Any) -> Any:
    """``weights[-1] @ ... @ weights[0]``: the effective matrix of a route through [..., post, pre] matrices; see
    `neurosal.stats.path`."""
    product = wide(weights[0])
    for weight in weights[1:]:
        product = wide(weight) @ product
    return product


def usage_entropy(usage: Any, *, axis: int, relative: bool = True) -> Any:
    """Entropy of shares over `axis`, NaN for areas that do not exist; see `neurosal.stats.usage_entropy`."""
    share, exists, count = _shares(usage, axis)
    functions = namespace(share)
    taken = exists & (share > 0)
    safe = functions.where(taken, share, 1.0)
    bits = -(safe * functions.log2(safe)).sum(axis) + 0 * count  # + 0 * count: NaN where there are no shares at all
    if not relative:
        return abs(bits)  # -0. for one area that takes all
    return abs(bits) / functions.log2(functions.where(count > 1, count, functions.nan))


def dead_areas(usage: Any, *, axis: int, below: float = 0.1) -> Any:
    """Number of areas over `axis` that take less than `below` of the even share; see `neurosal.stats.dead_areas`."""
    share, exists, count = _shares(usage, axis)
    dead = exists & (share * _kept(count, axis) < below)
    return dead.sum(axis) + 0 * count


def mean_and_deviation(values: Any, *, axis: Axis) -> tuple[Any, Any, Any]:
    """Mean, sample standard deviation and count of the finite entries over `axis`; see
    `neurosal.stats.mean_and_deviation`."""
    values = wide(values)
    functions = namespace(values)
    finite = functions.isfinite(values)
    count = finite.sum(axis)
    mean = functions.where(finite, values, 0.0).sum(axis) / functions.where(count > 0, wide(count), functions.nan)
    squares = functions.where(finite, values - _kept(mean, axis), 0.0) ** 2
    deviation = (squares.sum(axis) / functions.where(count > 1, wide(count) - 1, functions.nan)) ** 0.5
    return mean, deviation, count


def _direction(array: Any, axis: Axis) -> Any:
    """Unit vectors over `axis`; NaN for a vector that is zero or not finite."""
    functions = namespace(array)
    top = _kept(functions.amax(functions.abs(array), axis), axis)
    scaled = array / functions.where((top > 0) & (top < functions.inf), top, functions.nan)
    return scaled / _kept(_norm(scaled, axis), axis)


def _norm(array: Any, axis: Axis) -> Any:
    return (array * array).sum(axis) ** 0.5


def _kept(reduced: Any, axis: Axis) -> Any:
    """`reduced` with the axes over which it was reduced put back at length 1."""
    functions = namespace(reduced)
    axes = (axis,) if isinstance(axis, int) else axis
    for position in _in_order(axes, reduced.ndim + len(axes)):
        reduced = (
            functions.unsqueeze(reduced, position) if functions is not numpy else numpy.expand_dims(reduced, position)
        )
    return reduced


def _in_order(axes: tuple[int, ...], dimensions: int) -> list[int]:
    return sorted(position % dimensions for position in axes)


def _shares(usage: Any, axis: int) -> tuple[Any, Any, Any]:
    """Shares that add up to 1 over `axis`, which areas exist, and how many (NaN where nothing was used, so that there
    are no shares)."""
    usage = wide(usage)
    functions = namespace(usage)
    exists = ~functions.isnan(usage)
    known = functions.where(exists, usage, 0.0)
    total = known.sum(axis)
    count = functions.where(total > 0, wide(exists.sum(axis)), functions.nan)
    return known / _kept(functions.where(total > 0, total, functions.nan), axis), exists, count
