"""Recorded weights and activities over training, one snapshot in memory at a time, and statistics of all arms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender
from neurosal.analysis.measured import measured, spaced
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import text
from neurosal.record import schema

SNAPSHOTS = 60  # of which statistics are computed; a record of more is read at as many, evenly spaced
Array = numpy.ndarray[Any, Any]


def over_snapshots(
    array: xarray.DataArray, measure: Callable[[Array], Mapping[str, Any]], snapshots: int = SNAPSHOTS
) -> dict[str, xarray.DataArray]:
    """Results of `measure` of [replica, ...] snapshots by name, each [replica, step, ...]."""
    places = spaced(array.sizes[schema.STEP], snapshots)
    rows = [measure(snapshot(array, place)) for place in places]
    return {name: along(array, places, [row[name] for row in rows]) for name in (rows[0] if rows else ())}


def along(array: xarray.DataArray, places: Sequence[int], rows: Sequence[Any]) -> xarray.DataArray:
    """Values [replica, ...] of some snapshots as [replica, step, ...], with the coordinates of replicas and steps."""
    part = array.isel({schema.STEP: list(places)}).coords
    kept = (schema.REPLICA,), (schema.STEP,)
    coords = {str(name): coord.variable for name, coord in part.items() if coord.dims in kept}
    values = numpy.stack(rows, axis=1)
    dims = (schema.REPLICA, schema.STEP, *(f"part_{axis}" for axis in range(values.ndim - 2)))
    return xarray.DataArray(values, dims=dims, coords=coords)


def weights_of(arm: ArmRecord) -> dict[str, xarray.DataArray]:
    """Recorded weights by projection, [replica, step, area, post, pre]; one-to-one projections are left out."""
    projections = arm.topics(schema.PROJECTIONS)
    found = {path.rpartition("/")[2]: arm.finest(path, schema.WEIGHT) for path in projections}
    return {name: array for name, array in found.items() if array is not None and array.ndim == 5}


def activities_of(arm: ArmRecord) -> dict[str, xarray.DataArray]:
    """Recorded activities by population, [replica, step, trial, unit]."""
    populations = arm.topics(schema.PROBES)
    found = {path.rpartition("/")[2]: arm.finest(path, schema.ACTIVITY) for path in populations}
    return {name: array for name, array in found.items() if array is not None}


def measures(
    shown: Sequence[Contender], names: Sequence[str], snapshots: int | None = SNAPSHOTS
) -> dict[str, dict[str, xarray.DataArray]]:
    """Statistics of all contenders, recorded or computed: name → contender's name → [replica, step, label], for
    `courses.gathered`."""
    found: dict[str, dict[str, xarray.DataArray]] = {name: {} for name in names}
    for contender in shown:
        for name in names:
            array = measured(contender.arm, name, snapshots=snapshots)
            if array is not None:
                found[name][contender.name] = array
    return {name: arrays for name, arrays in found.items() if arrays}


def snapshot(array: xarray.DataArray, place: int) -> Array:
    """One entry along the steps in float64, read alone."""
    return numpy.asarray(array.isel({schema.STEP: place}).values, numpy.float64)


def labelled(columns: Mapping[str, xarray.DataArray], dim: str) -> xarray.DataArray:
    """Arrays [replica, step] by label as one [replica, step, dim], NaN at steps that an array has not."""
    known: dict[float, float] = {}
    for array in columns.values():
        epochs = array.coords.get(schema.EPOCH, array[schema.STEP].astype(float) * numpy.nan)
        known |= dict(zip(array[schema.STEP].values.tolist(), epochs.values.tolist(), strict=True))
    steps = sorted(known)
    whole = [array.drop_vars(schema.EPOCH, errors="ignore").reindex({schema.STEP: steps}) for array in columns.values()]
    joined = xarray.concat(whole, dim=dim, coords="minimal", compat="override", join="exact")
    joined = joined.transpose(schema.REPLICA, schema.STEP, dim)
    return joined.assign_coords({dim: text(columns), schema.EPOCH: (schema.STEP, [known[step] for step in steps])})
