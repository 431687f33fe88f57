"""Over seeds, of plain arrays; see `neurosal.stats.seeds`."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy

from neurosal.stats.base.arrays import Axis, kept, namespace, wide

CENTRES = ("mean", "median", "interquartile_mean")
METHODS = ("percentile", "bca")
AT_ONCE = 1 << 22  # entries of resamples


def mean_and_deviation(values: Any, *, axis: Axis) -> tuple[Any, Any, Any]:
    """Mean, sample standard deviation and count of the finite entries over `axis`; see
    `neurosal.stats.mean_and_deviation`."""
    values = wide(values)
    functions = namespace(values)
    finite = functions.isfinite(values)
    count = finite.sum(axis)
    mean = functions.where(finite, values, 0.0).sum(axis) / functions.where(count > 0, wide(count), functions.nan)
    squares = functions.where(finite, values - kept(mean, axis), 0.0) ** 2
    deviation = (squares.sum(axis) / functions.where(count > 1, wide(count) - 1, functions.nan)) ** 0.5
    return mean, deviation, count


def interquartile_mean(values: Any, *, axis: Axis) -> Any:
    """Mean of the middle half of the finite entries over `axis`; see `neurosal.stats.interquartile_mean`."""
    rows, lead, back = _columns(values, axis)
    return back(_each(rows, lambda some: _centre(some, "interquartile_mean")).reshape(lead))


def bootstrap_interval(
    values: Any,
    *,
    axis: Axis,
    centre: str = "mean",
    level: float = 0.95,
    resamples: int = 9999,
    method: str = "percentile",
    seed: int = 0,
) -> tuple[Any, Any]:
    """Lower and upper bound of the centre of the finite entries over `axis`; see
    `neurosal.stats.bootstrap_interval`."""
    assert centre in CENTRES, centre
    assert method in METHODS, method
    rows, lead, back = _columns(values, axis)
    bounds = _each(rows, lambda some: _interval(some, centre, level, resamples, method, seed), results=2)
    return back(bounds[:, 0].reshape(lead)), back(bounds[:, 1].reshape(lead))


def _columns(values: Any, axis: Axis) -> tuple[numpy.ndarray[Any, Any], tuple[int, ...], Any]:
    """[column, entry] with all that is not `axis` as columns, their shape, and the way back to the kind of array."""
    functions = namespace(values)
    array = numpy.asarray(values.detach().cpu() if functions is not numpy else values, numpy.float64)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    moved = numpy.moveaxis(array, axes, tuple(range(-len(axes), 0)))
    lead = moved.shape[: moved.ndim - len(axes)]

    def back(found: numpy.ndarray[Any, Any]) -> Any:
        return found if functions is numpy else functions.from_numpy(numpy.ascontiguousarray(found)).to(values.device)

    return moved.reshape(int(numpy.prod(lead)), -1), lead, back


def _each(rows: numpy.ndarray[Any, Any], function: Any, results: int = 1) -> numpy.ndarray[Any, Any]:
    """`function` of the finite entries of each row: rows that lack the same entries are done together."""
    finite = numpy.isfinite(rows)
    found = numpy.full((len(rows), results), numpy.nan)
    patterns, which = numpy.unique(finite, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        chosen = numpy.flatnonzero(which.ravel() == number)
        if pattern.any():
            found[chosen] = numpy.asarray(function(rows[chosen][:, pattern])).reshape(results, -1).T
    return found if results > 1 else found[:, 0]


def _centre(values: numpy.ndarray[Any, Any], centre: str) -> numpy.ndarray[Any, Any]:
    """Of the last axis."""
    if centre == "mean":
        return numpy.asarray(values.mean(-1))
    if centre == "median":
        return numpy.asarray(numpy.median(values, -1))
    cut = values.shape[-1] // 4
    return numpy.asarray(numpy.sort(values, -1)[..., cut : values.shape[-1] - cut].mean(-1))


def _interval(
    rows: numpy.ndarray[Any, Any], centre: str, level: float, resamples: int, method: str, seed: int
) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]:
    """Bounds of each row."""
    count = rows.shape[1]
    if count < 2:
        return numpy.full(len(rows), numpy.nan), numpy.full(len(rows), numpy.nan)
    order = numpy.random.default_rng(seed).integers(0, count, (resamples, count))
    several = max(1, AT_ONCE // order.size)
    low, high = numpy.empty(len(rows)), numpy.empty(len(rows))
    for start in range(0, len(rows), several):
        some = rows[start : start + several]
        drawn = _centre(some[:, order], centre)  # [row, resample]
        shares = numpy.broadcast_to([(1 - level) / 2, (1 + level) / 2], (len(some), 2))
        if method == "bca":
            shares = _accelerated(some, drawn, centre, shares)
        for row, (lower, upper) in enumerate(shares):
            place = slice(start + row, start + row + 1)
            low[place], high[place] = _quantiles(drawn[row], (lower, upper))
    return low, high


def _quantiles(drawn: numpy.ndarray[Any, Any], shares: tuple[float, float]) -> numpy.ndarray[Any, Any]:
    if not numpy.isfinite(shares).all():
        return numpy.full(2, numpy.nan)
    return numpy.asarray(numpy.quantile(drawn, shares))


def _accelerated(
    rows: numpy.ndarray[Any, Any], drawn: numpy.ndarray[Any, Any], centre: str, shares: numpy.ndarray[Any, Any]
) -> numpy.ndarray[Any, Any]:
    """Shares of the bias-corrected and accelerated interval (Efron 1987); NaN where all resamples are alike."""
    normal, count = NormalDist(), rows.shape[1]
    own = _centre(rows, centre)[:, None]
    below = ((drawn < own).sum(1) + (drawn <= own).sum(1)) / (2 * drawn.shape[1])
    left_out = numpy.stack([_centre(numpy.delete(rows, place, axis=1), centre) for place in range(count)], 1)
    gaps = left_out.mean(1, keepdims=True) - left_out
    squares = (gaps**2).sum(1) ** 1.5
    corrected = numpy.full(shares.shape, numpy.nan)
    for row, share in enumerate(below):
        if not 0 < share < 1 or squares[row] == 0:
            continue
        bias, bend = normal.inv_cdf(share), (gaps[row] ** 3).sum() / (6 * squares[row])
        for side, nominal in enumerate(shares[row]):
            z = bias + normal.inv_cdf(nominal)
            corrected[row, side] = normal.cdf(bias + z / (1 - bend * z))
    return corrected
