"""Spikes: how regular, how variable and how much together; of plain arrays. See `neurosal.stats.spikes`.

Spike trains come as events (a time and a unit each); `rates`, `interval_cvs` and `spike_counts` read those. Letters: L
events, U units, B bins.
"""

from __future__ import annotations

from typing import Any

import numpy

from neurosal.stats.base.activity import over
from neurosal.stats.base.arrays import Axis, kept, namespace, wide


def rates(unit: Any, *, units: int, duration_ms: float) -> Any:
    """Spikes a second of each unit, [U] in Hz.

    Args:
        unit: of each spike, [L].
        units: how many there are.
        duration_ms: of what was seen.
    """
    return numpy.bincount(numpy.asarray(unit, "int64"), minlength=units) * (1e3 / duration_ms)


def interval_cvs(time_ms: Any, unit: Any, *, units: int, fewest: int = 3) -> Any:
    """Coefficient of variation of the intervals between spikes of each unit, ``sd / mean``, [U]; NaN for units with
    fewer than `fewest` spikes.

    Args:
        time_ms: of each spike, [L], in any order.
        unit: of each spike, [L].
        units: how many there are.
        fewest: spikes that a unit needs.
    """
    time_L, unit_L = numpy.asarray(time_ms, "float64"), numpy.asarray(unit, "int64")
    order = numpy.lexsort((time_L, unit_L))
    time_L, unit_L = time_L[order], unit_L[order]
    same = unit_L[1:] == unit_L[:-1]
    interval, of = numpy.diff(time_L)[same], unit_L[1:][same]
    count = numpy.bincount(of, minlength=units).astype("float64")
    mean = numpy.bincount(of, interval, minlength=units) / numpy.where(count > 0, count, numpy.nan)
    spread = numpy.bincount(of, (interval - mean[of]) ** 2, minlength=units) / numpy.where(count > 0, count, numpy.nan)
    return numpy.where(count >= max(fewest - 1, 1), spread**0.5 / numpy.where(mean > 0, mean, numpy.nan), numpy.nan)


def spike_counts(time_ms: Any, unit: Any, *, units: int, bin_ms: float, start_ms: float = 0.0, stop_ms: float) -> Any:
    """Spikes of each unit in equal bins of time from `start_ms` on, [U, B]; a last bin that is cut short is left out.

    Times that were made of whole steps lie in the bin where exact arithmetic puts them.
    """
    time_L, unit_L = numpy.asarray(time_ms, "float64"), numpy.asarray(unit, "int64")
    bins = int((stop_ms - start_ms) / bin_ms + 1e-6)
    place = numpy.floor((time_L - start_ms) / bin_ms + 1e-6).astype("int64")
    there = (place >= 0) & (place < bins)
    found = numpy.bincount(unit_L[there] * bins + place[there], minlength=units * bins)
    return found.reshape(units, bins).astype("float64")


def interval_cv(intervals: Any, *, axis: Axis) -> Any:
    """``sd / mean`` of intervals; see `neurosal.stats.interval_cv`."""
    intervals = wide(intervals)
    functions = namespace(intervals)
    exists = ~functions.isnan(intervals)
    count = wide(exists).sum(axis)
    known = functions.where(exists, intervals, 0.0)
    mean = over(known.sum(axis), count)
    away = functions.where(exists, known - kept(mean, axis), 0.0)
    cv = over(over((away * away).sum(axis), count) ** 0.5, mean)
    return functions.where(count > 1, cv, functions.nan)


def fano_factor(counts: Any) -> Any:
    """Variance over mean of each unit's counts, mean over units; see `neurosal.stats.fano_factor`."""
    counts = wide(counts)
    functions = namespace(counts)
    ratio = _dispersion(counts)
    some = counts.sum(-1) != 0  # NaN is: what diverged has no answer
    return over(functions.where(some, ratio, 0.0).sum(-1), wide(some).sum(-1))


def population_fano(counts: Any) -> Any:
    """Variance over mean of the count of all units together; see `neurosal.stats.population_fano`."""
    return _dispersion(wide(counts).sum(-2))


def _dispersion(counts: Any) -> Any:
    """Unbiased variance over mean along the last axis; NaN where that is zero or there is one count only."""
    mean = counts.mean(-1)
    away = counts - kept(mean, -1)
    functions = namespace(counts)
    return over((away * away).sum(-1), (counts.shape[-1] - 1) * mean) if counts.shape[-1] > 1 else mean * functions.nan


def pairwise_correlation(counts: Any) -> Any:
    """Pearson correlation of the counts of two units, mean over pairs; see `neurosal.stats.pairwise_correlation`."""
    counts = wide(counts)
    functions = namespace(counts)
    away = counts - kept(counts.mean(-1), -1)
    size = (away * away).sum(-1) ** 0.5
    varies = size != 0
    unit = functions.where(kept(varies, -1), away / kept(functions.where(varies, size, 1.0), -1), 0.0)
    together, count = unit.sum(-2), wide(varies).sum(-1)
    # Σ over pairs of zᵤ·zᵥ = |Σ z|² − Σ |z|²: no matrix of pairs is needed.
    return over((together * together).sum(-1) - count, count * (count - 1))


def ks_distance(x: Any, y: Any) -> Any:
    """Largest difference of two distribution functions; see `neurosal.stats.ks_distance`."""
    x, y = wide(x), wide(y)
    functions = namespace(x)
    both = functions.concatenate((x, y), -1)
    exists = wide(~functions.isnan(both))
    size = x.shape[-1]
    left, right = exists[..., :size], exists[..., size:]
    share = functions.concatenate(
        (over(left, kept(left.sum(-1), -1) + 0 * left), -over(right, kept(right.sum(-1), -1) + 0 * right)), -1
    )
    order = functions.argsort(both, -1)
    values, share = _along(both, order), _along(share, order)
    difference = functions.abs(functions.cumsum(share, -1))
    # Between equal values nothing is to be seen: only after the last of them. Those that are not there come last.
    last = functions.ones_like(difference) > 0
    last[..., :-1] = ~(values[..., 1:] == values[..., :-1])
    return functions.amax(functions.where(last, difference, 0.0 * difference), -1)


def _along(array: Any, order: Any) -> Any:
    return numpy.take_along_axis(array, order, -1) if namespace(array) is numpy else array.gather(-1, order)
