"""Use of areas, of plain arrays; see `neurosal.stats.routing`."""

from __future__ import annotations

from typing import Any

from neurosal.stats.base.arrays import kept, namespace, wide


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
