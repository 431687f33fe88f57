"""Use of areas, of plain arrays; see `neurosal.stats.routing`."""

from __future__ import annotations

import math
from typing import Any

import numpy

from neurosal.stats.base.arrays import Axis, kept, namespace, wide
from neurosal.stats.base.groups import members
from neurosal.stats.base.symmetry import angle


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
    dead = exists & (share * kept(count, axis) < below)
    return dead.sum(axis) + 0 * count


def _shares(usage: Any, axis: int) -> tuple[Any, Any, Any]:
    """Shares that add up to 1 over `axis`, which areas exist, and how many (NaN where nothing was used, so that there
    are no shares)."""
    usage = wide(usage)
    functions = namespace(usage)
    exists = ~functions.isnan(usage)
    known = functions.where(exists, usage, 0.0)
    total = known.sum(axis)
    count = functions.where(total > 0, wide(exists.sum(axis)), functions.nan)
    return known / kept(functions.where(total > 0, total, functions.nan), axis), exists, count


def usage_peak(usage: Any, *, axis: int) -> Any:
    """Share of the most used area over the even share, over `axis`; see `neurosal.stats.usage_peak`."""
    share, _, count = _shares(usage, axis)
    return namespace(share).amax(share, axis) * count


def switch_rate(before: Any, now: Any, *, axis: Axis) -> Any:
    """Share of samples over `axis` whose area is another; see `neurosal.stats.switch_rate`."""
    functions = namespace(before)
    if functions is numpy:
        before, now = numpy.asarray(before), numpy.asarray(now)
    known = (before >= 0) & (now >= 0)
    count = wide(known.sum(axis))
    return wide((known & (before != now)).sum(axis)) / functions.where(count > 0, count, functions.nan)


def mutual_information(area: Any, label: Any, *, axis: int, corrected: bool = False) -> Any:
    """Bits that areas and classes of samples over `axis` share; see `neurosal.stats.mutual_information`."""
    area, label = (members(namespace(one).moveaxis(one, axis, -1), area) for one in (area, label))
    return shared_bits(area.mT @ label, corrected=corrected)


def corrected_information(area: Any, label: Any, *, axis: int) -> Any:
    """`mutual_information` less its bias; see `neurosal.stats.corrected_information`."""
    return mutual_information(area, label, axis=axis, corrected=True)


def shared_bits(counts: Any, *, corrected: bool = False) -> Any:
    """Mutual information of rows and columns of counts over the last two axes; see
    `neurosal.stats.shared_bits`."""
    counts = wide(counts)
    functions = namespace(counts)
    total = counts.sum((-2, -1))
    total = functions.where(total > 0, total, functions.nan)
    rows, columns = counts.sum(-1), counts.sum(-2)
    taken = counts > 0
    even = kept(rows, -1) * kept(columns, -2) / kept(total, (-2, -1))
    ratio = functions.where(taken, counts, 1.0) / functions.where(taken, even, 1.0)
    bits = (counts * functions.log2(ratio)).sum((-2, -1)) / total
    bits = functions.where(bits < 0, 0.0, bits)  # rounding may leave −1e-17 where there is none
    if not corrected:
        return bits
    freedom = (wide((rows > 0).sum(-1)) - 1) * (wide((columns > 0).sum(-1)) - 1)
    return bits - freedom / (2 * total * math.log(2))


def shuffled_bits(counts: Any, *, draws: int = 100, seed: int = 0) -> numpy.ndarray[Any, Any]:
    """`shared_bits` of random counts with the same margins, [draws, ...]; see `neurosal.stats.shuffled_bits`."""
    from scipy.stats import random_table

    counts = numpy.asarray(counts, numpy.int64)
    generator = numpy.random.default_rng(seed)
    drawn = numpy.empty((draws, *counts.shape))
    for index in numpy.ndindex(*counts.shape[:-2]):
        table = random_table(counts[index].sum(-1), counts[index].sum(-2))
        drawn[:, *index] = table.rvs(size=draws, random_state=generator)
    found: numpy.ndarray[Any, Any] = shared_bits(drawn)
    return found


def area_angle(w: Any, b: Any, *, axis: Axis) -> Any:
    """The angle of each area's weights; see `neurosal.stats.area_angle`."""
    return angle(w, b, axis=axis)
