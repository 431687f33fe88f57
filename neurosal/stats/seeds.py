"""Over seeds: what is said of a result that chance had a part in."""

from __future__ import annotations

from collections.abc import Hashable

import numpy
import xarray

from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import Dims, names, require


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
