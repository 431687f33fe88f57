"""Fewer points of a long record: lowest, highest and mean value of each stretch, so that no extreme is lost.

A figure is some thousand points wide; a record may have a million. Stretches are as equal as can be; the first and the
last record are stretches of their own, so what is read off at the beginning and at the end is exact.
"""

from __future__ import annotations

from typing import Any

import numpy
import xarray

from neurosal.record import schema

POINTS = 2000  # about two for each pixel that a panel is wide
BLOCK_BYTES = 2**25  # read at a time: a record that is larger than memory is never held whole
LOW, HIGH, MEAN, FIRST_STEP = "low", "high", "mean", "first_step"


def stretches(length: int, points: int) -> numpy.ndarray[Any, Any]:
    """Where each of at most `points` stretches of `length` records begins; the first and the last have one record.

    Raises:
        ValueError: for less than 3 points.

    Example:
        >>> stretches(12, 4).tolist()
        [0, 1, 6, 11]
    """
    if points < 3:
        raise ValueError(f"at least 3 points (a first, a last and one between), found {points}")
    if length <= points:
        return numpy.arange(length)
    between = 1 + (length - 2) * numpy.arange(points - 2) // (points - 2)
    return numpy.array([0, *between.tolist(), length - 1])


def decimated(array: xarray.DataArray, *, dim: str | None = None, points: int = POINTS) -> xarray.Dataset:
    """Lowest, highest and mean value of each stretch of a record.

    NaN is left out; a stretch of NaN alone is NaN. The record is read block by block (32 MB), so a record that is
    larger than memory needs no dask. Cost: one pass of reading and a few of arithmetic, about 1 s for 50 million
    values.

    Args:
        array: with a growing dimension and any others.
        dim: the growing dimension; None finds it (`step`, `sample` or `snapshot`).
        points: at most so many stretches, 3 or more. A record that is not longer is returned as it is, three times.

    Returns:
        Dataset with ``low``, ``high`` and ``mean`` (float64) with the dimensions of `array`. Coordinates along `dim`
        are those of the last record of a stretch, and ``first_step`` is the step of its first one.

    Raises:
        ValueError: for an array without a growing dimension, and for less than 3 points.

    Example:
        >>> record = xarray.DataArray([5.0, 1.0, 9.0, 2.0, 4.0, 7.0], dims="step", coords={"step": range(6)})
        >>> short = decimated(record, points=4)
        >>> short["low"].values.tolist(), short["high"].values.tolist(), short["step"].values.tolist()
        ([5.0, 1.0, 2.0, 7.0], [5.0, 9.0, 4.0, 7.0], [0, 2, 4, 5])
    """
    dim = dim or next((str(name) for name in array.dims if name in schema.GROWING), None)
    if dim is None or dim not in array.dims:
        raise ValueError(f"an array with a growing dimension ({dim or ', '.join(sorted(schema.GROWING))}), found "
                         f"{tuple(array.dims)}")  # fmt: skip
    length = array.sizes[dim]
    starts = stretches(length, points)
    last = numpy.append(starts[1:], length)[: len(starts)] - 1
    low, high, mean = _reduced(array, dim, starts)
    coords = {name: coord.isel({dim: last}) if dim in coord.dims else coord for name, coord in array.coords.items()}
    if schema.STEP in array.coords:
        coords[FIRST_STEP] = xarray.Variable(dim, array.coords[schema.STEP].values[starts])
    values = {name: (array.dims, entry) for name, entry in ((LOW, low), (HIGH, high), (MEAN, mean))}
    return xarray.Dataset(values, coords=coords, attrs=array.attrs)


def thinned(array: xarray.DataArray, *, dim: str | None = None, points: int | None = POINTS) -> xarray.DataArray:
    """The means of `decimated`, for curves over seeds; the array itself where it is short, or `points` is None.

    The attribute ``records_per_point`` says how many records a point stands for, where more than one.
    """
    dim = dim or next((str(name) for name in array.dims if name in schema.GROWING), "")
    if points is None or array.sizes.get(dim, 0) <= points:
        return array
    mean = decimated(array, dim=dim, points=points)[MEAN].drop_vars(FIRST_STEP, errors="ignore")
    share = -(-array.sizes[dim] // points)
    return mean.rename(array.name).assign_attrs(array.attrs, records_per_point=share)


def _reduced(array: xarray.DataArray, dim: str, starts: numpy.ndarray[Any, Any]) -> tuple[Any, Any, Any]:
    """Low, high and mean of each stretch, block by block."""
    axis, length, shape = array.dims.index(dim), array.sizes[dim], list(array.shape)
    shape[axis] = len(starts)
    low, high, total = numpy.full(shape, numpy.nan), numpy.full(shape, numpy.nan), numpy.zeros(shape)
    count = numpy.zeros(shape, numpy.int64)
    rows = _rows(array, dim)
    for first in range(0, length, rows):
        past = min(first + rows, length)
        values = numpy.asarray(array.isel({dim: slice(first, past)}).values, numpy.float64)
        begin, end = numpy.searchsorted(starts, first, "right") - 1, numpy.searchsorted(starts, past)
        place = (slice(None),) * axis + (slice(int(begin), int(end)),)
        cuts = numpy.maximum(starts[begin:end] - first, 0)
        lowest, highest, sums, counts = _of_block(values, axis, cuts)
        low[place], high[place] = numpy.fmin(low[place], lowest), numpy.fmax(high[place], highest)
        total[place] += sums
        count[place] += counts
    return low, high, total / numpy.where(count > 0, count, numpy.nan)


def _of_block(values: numpy.ndarray[Any, Any], axis: int, cuts: numpy.ndarray[Any, Any]) -> tuple[Any, Any, Any, Any]:
    """Low, high, sum and count of the stretches of one block, each of which begins at a cut."""
    with numpy.errstate(invalid="ignore"):  # infinities of both signs have no sum
        low = numpy.minimum.reduceat(values, cuts, axis=axis)
        if not numpy.isnan(low).any():  # only a record with gaps pays for them
            high, sums = (function.reduceat(values, cuts, axis=axis) for function in (numpy.maximum, numpy.add))
            count = numpy.diff(numpy.append(cuts, values.shape[axis]))
            return low, high, sums, count.reshape([-1 if at == axis else 1 for at in range(values.ndim)])
        known = ~numpy.isnan(values)
        low, high = (function.reduceat(values, cuts, axis=axis) for function in (numpy.fmin, numpy.fmax))
        sums = numpy.add.reduceat(numpy.where(known, values, 0.0), cuts, axis=axis)
        return low, high, sums, numpy.add.reduceat(known, cuts, axis=axis, dtype=numpy.int64)


def _rows(array: xarray.DataArray, dim: str) -> int:
    """How many records a block holds: whole chunks of the store, so that none is read twice."""
    row = array.dtype.itemsize * (array.size // max(array.sizes[dim], 1))
    chunk = (array.encoding.get("preferred_chunks") or {}).get(dim, 1)
    return max(1, BLOCK_BYTES // max(row * chunk, 1)) * chunk
