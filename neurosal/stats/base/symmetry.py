"""Symmetry of plain arrays; see `neurosal.stats.symmetry`."""

from __future__ import annotations

from typing import Any

from neurosal.stats.base.arrays import DEGREES, Axis, direction, namespace, norm, root_of_squares, wide


def angle(w: Any, b: Any, *, axis: Axis) -> Any:
    """Angle in degrees between two arrays of one orientation, seen as vectors over `axis`; see
    `neurosal.stats.angle`."""
    u, v = direction(wide(w), axis), direction(wide(b), axis)
    functions = namespace(u)
    # Not arccos of the cosine: its rounding is up to 1e-6 degrees off near 0 and 180, where learned symmetry ends.
    return 2 * DEGREES * functions.arctan2(root_of_squares(u - v, axis), root_of_squares(u + v, axis))


def norm_ratio(w: Any, b: Any, *, axis: Axis) -> Any:
    """``‖b‖ / ‖w‖`` over `axis`; see `neurosal.stats.norm_ratio`."""
    functions = namespace(w)
    below, above = norm(w, axis=axis), norm(b, axis=axis)
    return above / functions.where((below > 0) & (below < functions.inf), below, functions.nan)


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
