"""Over seeds: what is said of a result that chance had a part in."""

from __future__ import annotations

from collections.abc import Hashable

import numpy
import xarray

from neurosal.errors import NeurosalError, Problem, near
from neurosal.stats import base
from neurosal.stats.base.seeds import CENTRES, METHODS
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import Dims, lift, names, require


@statistic(
    of="replicas",
    array=base.mean_and_deviation,
    title="mean, sample standard deviation and count over seeds",
    formula="x̄ = Σ x / n, √(Σ(x − x̄)² / (n − 1)), n",
    range=(-numpy.inf, numpy.inf),
    null="none: the mean of n seeds is known to deviation/√n",
    results=("mean", "deviation", "count"),
)
def mean_and_deviation(values: xarray.DataArray, *, dim: Dims = "replica") -> xarray.Dataset:
    """Mean, sample standard deviation ``√(Σ(x − x̄)² / (n − 1))`` and count n over `dim`.

    Entries that are not finite are left out and not counted, so the count tells how many there were: show it. The
    deviation describes single seeds; the mean of n seeds is known to deviation/√n. Range: that of the values. NaN: the
    mean of none, the deviation of one. Cost: two passes in float64.

    Args:
        values: labelled array.
        dim: dimensions to summarise, usually of seeds.

    Returns:
        Dataset with `mean`, `deviation` and `count`, in the units of `values`.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import xarray
        >>> summary = mean_and_deviation(xarray.DataArray([1.0, 3.0, float("nan")], dims="replica"))
        >>> [float(summary[name]) for name in ("mean", "deviation", "count")]
        [2.0, 1.4142135623730951, 2.0]

    Reference: Bessel's correction; any text on statistics.
    """
    dims = names(dim)
    require("mean_and_deviation", [values], dims)
    axis: tuple[int, ...] = tuple(range(-len(dims), 0))
    results = xarray.apply_ufunc(
        base.mean_and_deviation, values, input_core_dims=[dims], output_core_dims=[[], [], []], kwargs={"axis": axis}
    )
    unit: dict[Hashable, str] = {"units": values.attrs["units"]} if "units" in values.attrs else {}
    mean, deviation, count = results
    return xarray.Dataset({"mean": mean.assign_attrs(unit), "deviation": deviation.assign_attrs(unit), "count": count})


@statistic(
    of="replicas",
    array=base.interquartile_mean,
    title="mean of the middle half of the seeds",
    formula="mean of what is left without the lowest and the highest ⌊n/4⌋",
    range=(-numpy.inf, numpy.inf),
    null="none: the mean of the values, where they are symmetric",
)
def interquartile_mean(values: xarray.DataArray, *, dim: Dims = "replica") -> xarray.DataArray:
    """Mean of the middle half, ``mean x_(⌊n/4⌋+1 .. n−⌊n/4⌋)`` of the sorted values over `dim`.

    One seed that fails moves it little, while more seeds count than for the median. Entries that are not finite are
    left out. Range: that of the values; no chance level, but for few seeds (n < 4) it is the mean. NaN of none. Cost: a
    sort.

    Args:
        values: labelled array.
        dim: dimensions to summarise, usually of seeds.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import xarray
        >>> float(interquartile_mean(xarray.DataArray([0.0, 0.5, 0.75, 9.0], dims="replica")))
        0.625

    Reference: Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice (2021), arXiv
        2108.13264.
    """
    attrs = {"long_name": "interquartile mean", "units": str(values.attrs.get("units", "1"))} if _is(values) else {}
    return lift(base.interquartile_mean, values, dim=dim, name="interquartile_mean", attrs=attrs)


@statistic(
    of="replicas",
    array=base.bootstrap_interval,
    title="bootstrap interval of the mean over seeds",
    formula="quantiles of the mean of n seeds drawn with replacement",
    range=(-numpy.inf, numpy.inf),
    null="holds the mean of all seeds in a share of cases below the level where n is small",
    cost="repeats",
    results=("low", "high"),
)
def bootstrap_interval(
    values: xarray.DataArray,
    *,
    dim: Dims = "replica",
    centre: str = "mean",
    level: float = 0.95,
    resamples: int = 9999,
    method: str = "percentile",
    seed: int = 0,
) -> xarray.Dataset:
    """Interval of a centre over seeds from resamples, ``quantiles of centre(x*)`` with x* drawn with replacement.

    Range: that of the values. Entries that are not finite are left out; NaN of fewer than two. With n seeds the
    percentile interval is about √((n − 1)/n) of what it should be, and a few seeds cannot show rare failures: at n = 5
    a nominal 95 % holds the truth in about 83 % of cases. There is no chance level. Cost: `resamples` times n for each
    value.

    Args:
        values: labelled array.
        dim: dimensions to summarise, usually of seeds.
        centre: "mean", "median" or "interquartile_mean".
        level: nominal share of cases in which the interval holds the truth.
        resamples: how many; seed: of their draws, the same for all columns, so that curves stay smooth.
        method: "percentile", or "bca" (bias-corrected and accelerated), NaN where all resamples are alike.

    Returns:
        Dataset with ``low`` and ``high``, in the units of `values`.

    Raises:
        NeurosalError: when a dimension is missing, or centre or method is unknown (with near names).

    Example:
        >>> import xarray
        >>> found = bootstrap_interval(xarray.DataArray([1.0, 2.0, 3.0, 4.0], dims="replica"))
        >>> bool(1 < found.low < 2.5 < found.high < 4)
        True

    Reference: Efron & Tibshirani, An introduction to the bootstrap (1993); Efron, Better bootstrap confidence
        intervals,
        JASA 82 (1987), doi 10.1080/01621459.1987.10478410.
    """
    dims = names(dim)
    require("bootstrap_interval", [values], dims)
    problems = [
        Problem(place=f"stats.bootstrap_interval, {place}", expected=f"one of {', '.join(known)}", found=repr(given),
                remedy=near(given, known))
        for place, given, known in (("centre", centre, CENTRES), ("method", method, METHODS))
        if given not in known
    ]  # fmt: skip
    if problems:
        raise NeurosalError(problems)
    options = {"centre": centre, "level": level, "resamples": resamples, "method": method, "seed": seed}
    low, high = xarray.apply_ufunc(
        base.bootstrap_interval, values, input_core_dims=[dims], output_core_dims=[[], []],
        kwargs={"axis": tuple(range(-len(dims), 0)), **options},
    )  # fmt: skip
    unit: dict[Hashable, str] = {"units": values.attrs["units"]} if "units" in values.attrs else {}
    return xarray.Dataset({"low": low.assign_attrs(unit), "high": high.assign_attrs(unit)}, attrs=options)


def _is(values: object) -> bool:
    return isinstance(values, xarray.DataArray)
