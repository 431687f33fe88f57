"""Symmetry of plain arrays; see `neurosal.stats.symmetry`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy

from neurosal.stats.base.arrays import DEGREES, Axis, direction, kept, namespace, norm, root_of_squares, wide
from neurosal.stats.base.sums import Sums, row_residuals, row_sums, sums
from neurosal.stats.base.taps import Hop, kernels_both_ways

# An angle from sums is off by about 1e-16 / sin², so that below this sin² (0.06°) it is taken from what one vector has
# beside the other.
NEARLY_PARALLEL = 1e-6
TINY, HUGE = 1e-200, 1e200  # between them squares keep their precision


def angle(w: Any, b: Any, *, axis: Axis) -> Any:
    """Angle in degrees between two arrays of one orientation, seen as vectors over `axis`; see
    `neurosal.stats.angle`."""
    u, v = direction(wide(w), axis), direction(wide(b), axis)
    functions = namespace(u)
    # Not arccos of the cosine: its rounding is up to 1e-6 degrees off near 0 and 180, where learned symmetry ends.
    return 2 * DEGREES * functions.arctan2(root_of_squares(u - v, axis), root_of_squares(u + v, axis))


def centred_angle(w: Any, b: Any, *, axis: Axis) -> Any:
    """The angle after the mean over `axis` is taken off each; see `neurosal.stats.centred_angle`."""
    return angle(_centred(w, axis), _centred(b, axis), axis=axis)


def unit_angle(w: Any, b: Any, *, axis: Axis) -> Any:
    """The angle of each unit's weights; see `neurosal.stats.unit_angle`."""
    return angle(w, b, axis=axis)


def centred_unit_angle(w: Any, b: Any, *, axis: Axis) -> Any:
    """The centred angle of each unit's weights; see `neurosal.stats.centred_unit_angle`."""
    return centred_angle(w, b, axis=axis)


def norm_ratio(w: Any, b: Any, *, axis: Axis) -> Any:
    """``‖b‖ / ‖w‖`` over `axis`; see `neurosal.stats.norm_ratio`."""
    functions = namespace(w)
    below, above = norm(w, axis=axis), norm(b, axis=axis)
    return above / functions.where((below > 0) & (below < functions.inf), below, functions.nan)


def unit_norm_ratio(w: Any, b: Any, *, axis: Axis) -> Any:
    """The norm ratio of each unit's weights; see `neurosal.stats.unit_norm_ratio`."""
    return norm_ratio(w, b, axis=axis)


def sign_concordance(w: Any, b: Any, *, axis: Axis) -> Any:
    """Share of equal signs over `axis`, among the places where neither is zero; see
    `neurosal.stats.sign_concordance`."""
    return _concordance(sums(w, b, axis=axis))


def sign_kappa(w: Any, b: Any, *, axis: Axis) -> Any:
    """Agreement of signs over `axis` beyond chance; see `neurosal.stats.sign_kappa`."""
    return _kappa(sums(w, b, axis=axis))


def slope(w: Any, b: Any, *, axis: Axis) -> Any:
    """Slope of the regression of b on w over `axis`; see `neurosal.stats.slope`."""
    w, b = _centred(w, axis), _centred(b, axis)
    functions = namespace(w)
    below = (w * w).sum(axis)
    with numpy.errstate(all="ignore"):
        return (w * b).sum(axis) / functions.where(below > 0, below, functions.nan)


def path(*weights: Any) -> Any:
    """``weights[-1] @ ... @ weights[0]``: the effective matrix of a route through [..., post, pre] matrices; see
    `neurosal.stats.path`."""
    product = wide(weights[0])
    for weight in weights[1:]:
        product = wide(weight) @ product
    return product


def both_ways(
    forward: Sequence[Sequence[str]],
    feedback: Sequence[Sequence[str]],
    weights: Mapping[str, Any],
    hops: Mapping[str, Hop] | None = None,
) -> tuple[Any, Any]:
    """Effective weights of a forward path and of the feedback that returns along it, both [..., area, post, pre] of the
    forward path.

    Args:
        forward, feedback: routes as names of projections in travel order; several add up.
        weights: by name, [..., area, post, pre], or [..., area, unit] of one-to-one projections. A single route of one
            projection is given back as it is, in its own type.
        hops: of projections that are convolutions; where there are any all are, and the result is
            [..., area, post channel, pre channel · taps], as of `kernels_both_ways`.
    """
    if hops:
        there, back = kernels_both_ways(forward, feedback, weights, hops)
        return _alike(there, back)
    there, back = _effective(forward, weights), _effective(feedback, weights).swapaxes(-1, -2)
    return _alike(there, back)


def _effective(routes: Sequence[Sequence[str]], weights: Mapping[str, Any]) -> Any:
    if len(routes) == 1 and len(routes[0]) == 1:
        return _square(weights[routes[0][0]])
    first, *others = (path(*(_square(weights[name]) for name in route)) for route in routes)
    return sum(others, start=first)


def _square(weight: Any) -> Any:
    """[R, K, post, pre]; one-to-one weights [R, K, unit] as diagonal matrices."""
    if weight.ndim > 3:
        return weight
    if namespace(weight) is not numpy:
        return weight.diag_embed()
    return weight[..., None] * numpy.eye(weight.shape[-1], dtype=weight.dtype)


def principal_angles(w: Any, b: Any, *, rank: int = 10) -> Any:
    """Angles in degrees between the leading row spaces of [..., post, pre] matrices, ascending; see
    `neurosal.stats.principal_angles`."""
    one, other = _row_space(w, rank), _row_space(b, rank)
    functions = namespace(one)
    overlap = one @ other.swapaxes(-1, -2)
    cosines = functions.linalg.svdvals(overlap)
    # The sines come from what one space does not hold of the other: they are exact where cosines are 1 to rounding.
    sines = functions.flip(functions.linalg.svdvals(other - overlap.swapaxes(-1, -2) @ one), (-1,))
    angles = functions.where(
        cosines * cosines > 0.5,
        functions.arcsin(functions.clip(sines, -1, 1)),
        functions.arccos(functions.clip(cosines, -1, 1)),
    )
    usable = functions.isfinite(wide(w)).all(-1).all(-1) & functions.isfinite(wide(b)).all(-1).all(-1)
    return DEGREES * functions.where(usable[..., None], angles, functions.nan)


def subspace_angle(w: Any, b: Any, *, rank: int = 10) -> Any:
    """Mean principal angle of [..., post, pre] matrices; see `neurosal.stats.subspace_angle`."""
    return principal_angles(w, b, rank=rank).mean(-1)


def permuted_dots(w: Any, b: Any, *, axis: Axis, permutations: int, seed: int) -> Any:
    """Σ w b with the entries of b in random order, [..., permutations]: the same orders for all vectors."""
    w, b = (_vectors(wide(array), axis) for array in (w, b))
    functions = namespace(w)
    generator = numpy.random.default_rng(seed)
    found = []
    for _ in range(permutations):
        order = generator.permutation(int(w.shape[-1]))
        taken = order if functions is numpy else functions.from_numpy(order).to(w.device)
        found.append((w * b[..., taken]).sum(-1))
    return functions.stack(found, -1)


def alignment_p(w: Any, b: Any, *, axis: Axis, permutations: int = 199, seed: int = 0) -> Any:
    """Share of random orders of b that align as well; see `neurosal.stats.alignment_p`."""
    dots = permuted_dots(w, b, axis=axis, permutations=permutations, seed=seed)
    functions = namespace(dots)
    own = (wide(w) * wide(b)).sum(axis)
    slack = 1e-12 * norm(w, axis=axis) * norm(b, axis=axis)  # equal but for the order of summation
    above = wide((dots >= (own - slack)[..., None]).sum(-1))
    return functions.where(slack > 0, (1 + above) / (1 + permutations), functions.nan)


# All at once --------------------------------------------------------------------------------------------------------


def together(names: Sequence[str], w: Any, b: Any) -> dict[str, Any]:
    """Several vector-like statistics of [R, K, post, pre] weights from one pass over them (from two where some are
    nearly parallel): [R], or [R, post] of those for each unit. The same numbers as the functions above to 1e-9."""
    with numpy.errstate(all="ignore"):
        rows = row_sums(w, b)
        units, whole = rows.over(-2), rows.over((-2, -1))
        parts = {name: units if "unit" in name else whole for name in names}
        found: dict[str, Any] = {name: CLOSINGS[name](parts[name]) for name in names if name in CLOSINGS}
        angles = [_Angle(name, parts[name]) for name in names if name not in CLOSINGS]
        _sharpen(angles, units, w, b)
        found |= {one.name: _mended(one.found, one.wild, EXACT[one.name], w, b) for one in angles}
        for name in ("norm_ratio", "unit_norm_ratio"):
            if name in found:
                found[name] = _mended(found[name], _wild(parts[name]), norm_ratio, w, b)
        if "slope" in found:
            wild = _wild(whole) | (whole.centred[0] < NEARLY_PARALLEL * whole.ww)
            found["slope"] = _mended(found["slope"], wild, slope, w, b)
    return found


class _Angle:
    """An angle from sums, and where these have lost its digits: `wild`, or only `parallel`."""

    def __init__(self, name: str, part: Sums) -> None:
        self.name, self.part, self.per_unit = name, part, "unit" in name
        self.centred = "centred" in name
        self.ww, self.bb, self.wb = part.centred if self.centred else (part.ww, part.bb, part.wb)
        functions = namespace(self.ww)
        rest = functions.clip(self.ww * self.bb - self.wb * self.wb, 0, None)
        self.found = DEGREES * functions.arctan2(rest**0.5, self.wb)
        # Means that are large beside the spread leave no digits, nor do squares out of range; zero is one of them.
        self.wild = ~(_tame(self.ww) & _tame(self.bb))
        self.wild = self.wild | (self.ww < NEARLY_PARALLEL * part.ww) | (self.bb < NEARLY_PARALLEL * part.bb)
        self.parallel = ~self.wild & (rest < NEARLY_PARALLEL * self.ww * self.bb)

    @property
    def replicas(self) -> Any:
        """Which replicas have something nearly parallel."""
        return self.parallel.any(-1) if self.per_unit else self.parallel


def _sharpen(angles: Sequence[_Angle], units: Sums, w: Any, b: Any) -> None:
    """Nearly parallel angles anew, from the residual of each unit's weights: all kinds from one more pass.

    With r = w − a b at the slope a of a unit, the residual at another slope c is r + (a − c) b: its squares follow from
    Σr², Σr b and Σb² with nothing large to cancel, as long as the slopes are about the same.
    """
    chosen: Any = None
    for one in angles:
        chosen = one.replicas if chosen is None else chosen | one.replicas
    if chosen is None or not chosen.any():
        return
    functions = namespace(units.ww)
    known = _tame(units.bb) & _tame(units.ww)
    own = functions.where(known, units.wb / functions.where(known, units.bb, 1.0), 0.0)[chosen]
    w, b = _alike(w, b)
    if not chosen.all():  # a mask copies
        w, b = w[chosen], b[chosen]
    rows = row_residuals(w, b, own[:, None, :])
    squares, products, plain = (row.sum(-2) for row in rows)  # over areas: [R, post]
    for one in angles:
        slopes = (one.wb / functions.where(one.bb > 0, one.bb, functions.nan))[chosen]
        gap = own - (slopes if one.per_unit else slopes[:, None])
        left = squares + gap * gap * units.bb[chosen] + 2 * gap * products
        offset = plain + gap * units.b[chosen]
        if not one.per_unit:
            left, offset = left.sum(-1), offset.sum(-1)
        ww, bb, wb = (entry[chosen] for entry in (one.ww, one.bb, one.wb))
        beside = left - offset * offset / one.part.n[chosen] if one.centred else left
        closer = DEGREES * functions.arctan2((functions.clip(beside, 0, None) / ww) ** 0.5, wb / (ww * bb) ** 0.5)
        parallel = one.parallel[chosen]
        one.found[chosen] = functions.where(parallel, closer, one.found[chosen])
        # An offset between the two, or slopes of units that differ much, cancels digits here as well.
        large = squares if one.per_unit else squares.sum(-1)
        size = gap * gap * units.bb[chosen]
        large = large + (size if one.per_unit else size.sum(-1)) + offset * offset / one.part.n[chosen]
        one.wild[chosen] |= parallel & (beside < NEARLY_PARALLEL * large) & (large > 1e-26 * ww)


def _mended(found: Any, wild: Any, exact: Callable[..., Any], w: Any, b: Any) -> Any:
    """`found` with the entries `wild` computed as they are defined."""
    chosen = wild.any(-1) if wild.ndim > 1 else wild
    if chosen.any():
        functions = namespace(found)
        axis = (-3, -1) if wild.ndim > 1 else (-3, -2, -1)
        w, b = (array[chosen] for array in _alike(w, b))
        found[chosen] = functions.where(wild[chosen], exact(w, b, axis=axis), found[chosen])
    return found


def _alike(w: Any, b: Any) -> tuple[Any, Any]:
    functions = namespace(w)
    first, second = (functions.broadcast_tensors if functions is not numpy else numpy.broadcast_arrays)(w, b)
    return first, second


def _tame(squares: Any) -> Any:
    return (squares > TINY) & (squares < HUGE)


def _wild(part: Sums) -> Any:
    return ~(_tame(part.ww) & _tame(part.bb))


def _ratio(part: Sums) -> Any:
    functions = namespace(part.ww)
    return (part.bb / functions.where(part.ww > 0, part.ww, functions.nan)) ** 0.5


def _concordance(part: Sums) -> Any:
    return 0.5 + 0.5 * part.agreement / _counted(part)


def _kappa(part: Sums) -> Any:
    """With shares of positive signs (1 + m) / 2 the agreement by chance is (1 + m_w m_b) / 2."""
    functions, count = namespace(part.signed), _counted(part)
    by_chance = part.w_signs * part.b_signs / (count * count)
    return (part.agreement / count - by_chance) / functions.where(by_chance < 1, 1 - by_chance, functions.nan)


def _counted(part: Sums) -> Any:
    """How many pairs have signs; NaN for none, and where a weight is NaN (whose sign torch takes for 0)."""
    functions = namespace(part.signed)
    known = (part.signed > 0) & ~functions.isnan(part.ww) & ~functions.isnan(part.bb)
    return functions.where(known, part.signed, functions.nan)


def _slope(part: Sums) -> Any:
    functions = namespace(part.ww)
    below, _, both = part.centred
    return both / functions.where(below > 0, below, functions.nan)


EXACT: dict[str, Callable[..., Any]] = {
    "angle": angle,
    "centred_angle": centred_angle,
    "unit_angle": unit_angle,
    "centred_unit_angle": centred_unit_angle,
}
CLOSINGS: dict[str, Callable[[Sums], Any]] = {
    "norm_ratio": _ratio,
    "unit_norm_ratio": _ratio,
    "sign_concordance": _concordance,
    "sign_kappa": _kappa,
    "slope": _slope,
}


def _centred(array: Any, axis: Axis) -> Any:
    array = wide(array)
    with numpy.errstate(all="ignore"):  # infinite weights have no mean
        return array - kept(array.mean(axis), axis)


def _row_space(matrix: Any, rank: int) -> Any:
    """Orthonormal rows that span the leading row space; of a matrix that is not finite, of zeros."""
    matrix = wide(matrix)
    functions = namespace(matrix)
    finite = functions.isfinite(matrix).all(-1).all(-1)[..., None, None]
    _, _, rows = functions.linalg.svd(functions.where(finite, matrix, 0.0), full_matrices=False)
    return rows[..., :rank, :]


def _vectors(array: Any, axis: Axis) -> Any:
    """[..., n] with `axis` as the last one."""
    functions = namespace(array)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    moved = functions.moveaxis(array, axes, tuple(range(-len(axes), 0)))
    return moved.reshape((*moved.shape[: moved.ndim - len(axes)], -1))
