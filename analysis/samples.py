"""Which samples a record holds: the same ones at two times, told by their inputs, and their classes, told by the error
at the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import xarray

from neurosal.analysis.measured import spaced
from neurosal.analysis.offline import SNAPSHOTS, activities_of, along, labelled
from neurosal.analysis.sources import ArmRecord
from neurosal.record import schema

FEWEST = 16  # samples that two records must share to be compared
SHARED = (
    f'records share fewer than {FEWEST} samples, or no ns.probe("activity", "input") beside ns.probe("activity") says '
    "which"
)
Array = numpy.ndarray[Any, Any]


def since_start(
    arm: ArmRecord, statistic: Callable[[Array, Array], Any], snapshots: int = SNAPSHOTS
) -> xarray.DataArray | None:
    """A statistic of each population's activity now and at the first record, over the samples that both hold.

    Samples are the same where their recorded inputs are the same bits.

    Args:
        statistic: (activity [sample, unit] at the start, now) → a number.
        snapshots: at most so many are compared.

    Returns:
        [replica, step, population], NaN where records share too few samples; None where no two of them share enough,
        or activities or inputs were not recorded.
    """
    recorded = activities_of(arm)
    inputs = [name for name in recorded if arm.circuit is not None and name in arm.circuit.inputs]
    if not inputs:
        return None
    drive, columns = recorded[inputs[0]], {}
    for name, array in recorded.items():
        known = array[schema.STEP].values.tolist()
        steps = sorted(set(known) & set(drive[schema.STEP].values.tolist()))
        if name in inputs or len(steps) < 2:
            continue
        chosen = [steps[place] for place in spaced(len(steps), snapshots)]
        first, given = at(array, steps[0]), at(drive, steps[0])
        rows = []
        for step in chosen:
            now, seen = at(array, step), at(drive, step)
            rows.append(
                numpy.array([_compared(statistic, *both) for both in zip(first, given, now, seen, strict=True)])
            )
        columns[name] = along(array, [known.index(step) for step in chosen], rows)
    if not columns:
        return None
    joined = labelled(columns, schema.POPULATION)
    return joined if numpy.isfinite(joined.isel({schema.STEP: slice(1, None)}).values).any() else None


def at(array: xarray.DataArray, step: float) -> Array:
    """One recorded step."""
    return numpy.asarray(array.sel({schema.STEP: step}).values)


def classes(output_error: Array) -> Array:
    """Classes of samples from the error at the output [..., sample, unit], where it is lowest: softmax less one-hot has
    no other negative entry. −1 for samples that do not exist."""
    exists: Array = numpy.asarray(numpy.isfinite(output_error).all(-1))
    return numpy.where(exists, numpy.where(exists[..., None], output_error, 0).argmin(-1), -1)


def _compared(statistic: Callable[[Array, Array], Any], first: Array, given: Array, now: Array, seen: Array) -> float:
    exists: Array = numpy.asarray(numpy.isfinite(given).all(-1))
    place = {row.tobytes(): number for number, row in enumerate(given) if exists[number]}
    pairs = [(place[key], number) for number, row in enumerate(seen) if (key := row.tobytes()) in place]
    if len(pairs) < FEWEST:
        return numpy.nan
    before, after = (list(side) for side in zip(*pairs, strict=True))
    return float(statistic(first[before], now[after]))
