"""Activity [..., sample, unit] of one population, of plain arrays; see `neurosal.stats.activity`."""

from __future__ import annotations

from typing import Any

from neurosal.stats.base.arrays import kept, namespace, wide


def rows(activity: Any) -> tuple[Any, Any]:
    """`activity` in float64 with 0 in samples that do not exist (NaN in every unit: records pad short batches so), and
    which exist [..., sample]. What is not finite elsewhere becomes NaN: a replica that diverged has no answer."""
    activity = wide(activity)
    functions = namespace(activity)
    exists = ~functions.isnan(activity).all(-1)
    finite = functions.where(functions.isfinite(activity), activity, functions.nan)
    return functions.where(kept(exists, -1), finite, 0.0), exists


def centred(activity: Any) -> tuple[Any, Any]:
    """`activity` less each unit's mean over the samples that exist, up to one factor (its squares are in range), 0 in
    samples that do not exist; and how many exist, NaN for none."""
    known, exists = rows(activity)
    known, count = scaled(known), counted(exists)
    functions = namespace(known)
    # Twice: the first mean is rounded to the size of the activity, the second to that of what is left.
    for _ in range(2):
        mean = known.sum(-2) / kept(count, -1)
        known = functions.where(kept(exists, -1), known - kept(mean, -2), 0.0)
    return scaled(known), count


def counted(exists: Any) -> Any:
    """How many samples exist, NaN for none."""
    count = wide(exists.sum(-1))
    functions = namespace(count)
    return functions.where(count > 0, count, functions.nan)


def scaled(matrix: Any) -> Any:
    """`matrix` [..., sample, unit] divided by its largest entry: its squares are in range. Zero matrices stay."""
    functions = namespace(matrix)
    top = functions.amax(functions.abs(matrix), (-2, -1))
    return matrix / kept(functions.where(top > 0, top, 1.0), (-2, -1))


def product_squared(left: Any, right: Any) -> Any:
    """``‖leftᵀ right‖²``, the inner product of the Gram matrices of [..., sample, unit] matrices, the cheaper way."""
    if left.shape[-2] < max(left.shape[-1], right.shape[-1]):
        return ((left @ left.mT) * (right @ right.mT)).sum((-2, -1))
    product = left.mT @ right
    return (product * product).sum((-2, -1))


def over(above: Any, below: Any) -> Any:
    """``above / below``, NaN over zero."""
    functions = namespace(below)
    return above / functions.where(below == 0, functions.nan, below)


def participation_ratio(activity: Any) -> Any:
    """``(Σλ)² / Σλ²`` of the covariance over samples; see `neurosal.stats.participation_ratio`."""
    known, _ = centred(activity)
    return over((known * known).sum((-2, -1)) ** 2, product_squared(known, known))


def dead_units(activity: Any, *, above: float = 0.0) -> Any:
    """Share of units that are never active; see `neurosal.stats.dead_units`."""
    active, count = _active(activity, above)
    return wide(~active.any(-2)).mean(-1) + 0 * count


def active_share(activity: Any, *, above: float = 0.0) -> Any:
    """Share of units that are active on a sample, mean over samples; see `neurosal.stats.active_share`."""
    active, count = _active(activity, above)
    return wide(active).sum((-2, -1)) / (count * active.shape[-1])


def _active(activity: Any, above: float) -> tuple[Any, Any]:
    """Which units are active on which samples, and how many samples there are, NaN where there is no answer."""
    known, exists = rows(activity)
    functions = namespace(known)
    count = functions.where(functions.isnan(known).any(-1).any(-1), functions.nan, counted(exists))
    return functions.abs(known) > above, count


def lifetime_sparsity(activity: Any) -> Any:
    """Treves-Rolls sparsity of each unit over samples, mean over units; see `neurosal.stats.lifetime_sparsity`."""
    known, exists = rows(activity)
    return _mean_sparsity(known, -2, kept(counted(exists), -1))


def population_sparsity(activity: Any) -> Any:
    """Treves-Rolls sparsity over units, mean over samples; see `neurosal.stats.population_sparsity`."""
    known, _ = rows(activity)
    return _mean_sparsity(known, -1, float(known.shape[-1]))


def _mean_sparsity(values: Any, axis: int, count: Any) -> Any:
    """Mean of ``(1 − (Σ|x|)² / (n Σx²)) / (1 − 1/n)`` of the vectors along `axis` that are not zero. Of n = `count`
    entries; more are there, and 0, where samples do not exist."""
    functions = namespace(values)
    values = functions.abs(scaled(values))
    squares = (values * values).sum(axis)
    some = squares != 0  # NaN is: what diverged has no answer
    uneven = 1 - values.sum(axis) ** 2 / functions.where(some, squares * count, functions.nan)
    sparsity = over(uneven, 1 - 1 / (count + 0 * squares))
    return over(functions.where(some, sparsity, 0.0).sum(-1), wide(some).sum(-1))
