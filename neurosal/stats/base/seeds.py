"""Over seeds, of plain arrays; see `neurosal.stats.seeds`."""

from __future__ import annotations

from typing import Any

from neurosal.stats.base.arrays import Axis, kept, namespace, wide


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
