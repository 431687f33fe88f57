"""From values as published to what a network reads. Statistics come from the training part only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurosal.data.spec import MeanAndDeviation
from neurosal.errors import DataError, Problem

Array = np.ndarray[Any, Any]
CHUNK_SAMPLES = 4096


def scale(
    raw: Array, scaling: str | MeanAndDeviation, value_range: tuple[float, float] | None, train: Array, place: str = "x"
) -> Array:
    """`raw` [N, features...] as float32, scaled.

    ``unit`` (x − low) / (high − low); ``symmetric`` twice that − 1; ``standardise`` (x − mean) / std for each feature.
    Low and high are the format's range, or each feature's extremes over the training part where no range is known. A
    feature that never changes in the training part is only shifted.

    Args:
        train: the rows that statistics are taken from.

    Raises:
        DataError: means or deviations that do not fit the features, or a value that float32 cannot hold.
    """
    x = raw.astype(np.float32)
    if scaling == "none":
        return x
    if scaling == "standardise":
        mean, deviation = _statistics(raw, train)
        x -= mean
        x /= deviation
        return x
    explicit = scaling if isinstance(scaling, MeanAndDeviation) else None
    if explicit is None or explicit.of == "unit":
        low, span = _range(raw, value_range, train)
        x -= low
        x /= span
    if scaling == "symmetric":
        x *= 2
        x -= 1
    if explicit is not None:
        x -= _fitted(explicit.mean, raw.shape[1:], f"scaling.mean of {place}")
        x /= _fitted(explicit.std, raw.shape[1:], f"scaling.std of {place}")
    return x


def _range(raw: Array, value_range: tuple[float, float] | None, train: Array) -> tuple[Array, Array]:
    if value_range is not None:
        low, high = np.float32(value_range[0]), np.float32(value_range[1])
        return np.asarray(low), np.asarray(high - low)
    part = raw[train]
    low, high = part.min(axis=0).astype(np.float32), part.max(axis=0).astype(np.float32)
    return low, _nonzero(high - low)


def _statistics(raw: Array, train: Array) -> tuple[Array, Array]:
    """Mean and standard deviation of each feature, in chunks: a float64 copy of all images may not fit."""
    mean = np.zeros(raw.shape[1:])
    for start in range(0, len(train), CHUNK_SAMPLES):
        mean += raw[train[start : start + CHUNK_SAMPLES]].sum(axis=0, dtype=np.float64)
    mean /= len(train)
    variance = np.zeros(raw.shape[1:])
    for start in range(0, len(train), CHUNK_SAMPLES):
        variance += np.square(raw[train[start : start + CHUNK_SAMPLES]] - mean).sum(axis=0)
    deviation = np.sqrt(variance / len(train))
    return mean.astype(np.float32), _nonzero(deviation.astype(np.float32))


def channel_statistics(
    shape: tuple[int, ...], seen: Callable[[Array], Array], raw: Array, train: Array
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel over the rows of `train`; a channel that never changes has
    deviation 1.

    Args:
        shape: of a sample as it is `seen`, (channels, rows, columns) or (rows, columns).
        seen: what is made of raw values before they are scaled.
    """
    channels = shape[0] if len(shape) == 3 else 1
    count = len(train) * (np.prod(shape) / channels)
    total, squares = np.zeros(channels), np.zeros(channels)

    def chunk(start: int) -> Array:
        rows = seen(raw[train[start : start + CHUNK_SAMPLES]])
        return rows.reshape(len(rows), channels, -1)

    for start in range(0, len(train), CHUNK_SAMPLES):
        total += chunk(start).sum(axis=(0, 2), dtype=np.float64)
    mean = total / count
    for start in range(0, len(train), CHUNK_SAMPLES):
        squares += np.square(chunk(start) - mean[:, None]).sum(axis=(0, 2))
    deviation = _nonzero(np.sqrt(squares / count))
    return mean.tolist(), deviation.tolist()


def _nonzero(span: Array) -> Array:
    return np.where(span > 0, span, np.float32(1)).astype(np.float32)


def _fitted(statistic: float | tuple[float, ...], shape: tuple[int, ...], place: str) -> Array:
    array = np.asarray(statistic, np.float32)
    if array.ndim == 0:
        return array
    if len(shape) in (2, 3) and array.size == (shape[0] if len(shape) == 3 else 1):
        return array.reshape(-1, 1, 1) if len(shape) == 3 else array.reshape(())
    if array.size != int(np.prod(shape)):
        channels = f"each of {shape[0]} channels, or " if len(shape) == 3 else ""
        expected = f"one number, or one for {channels}each of {int(np.prod(shape))} features"
        raise DataError(Problem(place=place, expected=expected, found=f"{array.size} numbers"))
    return array.reshape(shape)
