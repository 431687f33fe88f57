"""Recorded statistics of all arms as one array; what was not recorded is told once, with the probe to add."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import xarray

from neurosal.analysis.contenders import Contender
from neurosal.analysis.decimation import thinned
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import epochs_of, stacked
from neurosal.analysis.tables import listed
from neurosal.errors import ExperimentError, Problem
from neurosal.record import schema


def gather(shown: Sequence[Contender], topic: str, variable: str) -> tuple[xarray.DataArray, xarray.DataArray] | None:
    """A recorded variable as [arm, seed, step, ...] with the epochs of its steps [arm, step], of the contenders that
    have it; None if none has.

    Dimensions without labels (areas) are numbered. Long records are thinned (see `decimation.thinned`).
    """
    return gather_each(shown, lambda contender: contender.arm.finest(topic, variable))


def gather_each(
    shown: Sequence[Contender], array_of: Callable[[Contender], xarray.DataArray | None]
) -> tuple[xarray.DataArray, xarray.DataArray] | None:
    """The same of what `array_of` finds of each contender, [replica, step, ...]."""
    arrays: dict[str, xarray.DataArray] = {}
    epochs: dict[str, xarray.DataArray] = {}
    for contender in shown:
        array = array_of(contender)
        if array is None:
            continue
        array = thinned(array, dim=schema.STEP)
        part = contender.of(array)
        arrays[contender.name] = part.assign_coords(
            {dim: range(part.sizes[dim]) for dim in part.dims if dim not in part.coords}
        )
        epochs[contender.name] = epochs_of(array)
    return (stacked(arrays), stacked(epochs)) if arrays else None


def nothing_recorded(arms: Sequence[ArmRecord], topic: str, what: str, remedy: str) -> ExperimentError:
    """The error for a run in which no arm has what an analysis needs."""
    return ExperimentError(
        Problem(
            place=listed([arm.place for arm in arms], limit=3),
            expected=f"a record of {what} (group {topic})",
            found="none",
            remedy=remedy,
        )
    )


def missing_arms(arms: Sequence[ArmRecord], shown: Sequence[Contender], names: Sequence[str]) -> list[str]:
    """Titles of the arms of which nothing in `names` is shown."""
    there = {contender.arm.name for contender in shown if contender.name in names}
    return [arm.title for arm in arms if arm.name not in there]


def not_compared(arms: Sequence[ArmRecord]) -> list[str]:
    """What records say could not be compared, and why."""
    said: dict[str, list[str]] = {}
    for arm in arms:
        for _, record in arm.schedules(schema.SYMMETRY):
            reason = record[schema.PAIR].attrs.get(schema.LEFT_OUT) if schema.PAIR in record else None
            if reason and arm.title not in said.setdefault(str(reason), []):
                said[str(reason)].append(arm.title)
    return [f"Not compared in {listed(who)}: {reason}." for reason, who in said.items()]
