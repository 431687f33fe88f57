"""Input for every statistic, by what it is computed from: two cases that are not square."""

from __future__ import annotations

from typing import Any

import numpy
import xarray

from neurosal.stats.catalogue import SOURCES

CASES: tuple[dict[str, int], ...] = (
    {
        "replica": 3,
        "area": 2,
        "post": 4,
        "pre": 7,
        "sample": 12,
        "other_sample": 12,
        "unit": 5,
        "other_unit": 6,
        "after": 3,
        "task": 3,
        "interval": 8,
        "bin": 20,
    },
    {
        "replica": 2,
        "area": 1,
        "post": 9,
        "pre": 5,
        "sample": 10,
        "other_sample": 10,
        "unit": 14,
        "other_unit": 3,
        "after": 4,
        "task": 4,
        "interval": 5,
        "bin": 30,
    },
)
LABELS = 3


def shapes(of: str, sizes: dict[str, int]) -> list[tuple[str, ...]]:
    """Dims of each argument, with a leading `replica` where the statistic does not reduce it."""
    lead = () if of == "replicas" else ("replica",)
    return [(*lead, *dims) for dims in SOURCES[of].dims]


def plain(of: str, sizes: dict[str, int], seed: int = 0) -> list[numpy.ndarray[Any, Any]]:
    """Arrays [replica, ...] for a statistic of this source."""
    generator = numpy.random.default_rng(seed)
    made: list[numpy.ndarray[Any, Any]] = []
    for argument, dims in zip(SOURCES[of].arguments, shapes(of, sizes), strict=True):
        shape = [sizes[dim] for dim in dims]
        match of, argument:
            case "usage", _:
                made.append(generator.dirichlet(numpy.ones(shape[-1]), shape[0]))
            case "tasks", _:
                made.append(generator.uniform(size=shape))
            case (("kernels" | "kernel_labels"), ("kernel" | "before")):
                rows = generator.standard_normal((*shape[:-1], sizes["unit"]))
                made.append(rows @ rows.swapaxes(-1, -2))
            case "intervals", _:
                made.append(generator.exponential(10.0, shape))
                made[-1][..., -1] = numpy.nan  # trains are of unequal length
            case "counts", _:
                made.append(generator.poisson(1.5, shape).astype(float))
            case "graph", _:
                shape[-2] = shape[-1]
                made.append((generator.uniform(size=shape) < 0.4).astype(float))
            case (("routes" | "routes_labels"), ("before" | "now" | "area")):
                made.append(generator.integers(0, 4, shape))
            case (("sample_changes" | "area_changes"), "area"):
                made.append(generator.integers(0, 2, shape))
            case _, ("labels" | "label"):
                made.append(generator.integers(0, LABELS, shape))
            case _:
                made.append(generator.standard_normal(shape))
    return made


def labelled(of: str, sizes: dict[str, int], seed: int = 0) -> list[xarray.DataArray]:
    """The same with labels."""
    return [
        xarray.DataArray(array, dims=dims)
        for array, dims in zip(plain(of, sizes, seed), shapes(of, sizes), strict=True)
    ]
