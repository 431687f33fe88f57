"""Spikes of populations: how regular, how variable, and how much together.

Counts are of units in equal bins of time, [unit, bin]; `neurosal.stats.base` makes them of events (`spike_counts`), and
has rates and regularity of every unit of a list of events (`rates`, `interval_cvs`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy
import xarray

from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import Dims, lift, lift_matrix


@statistic(
    of="intervals",
    array=base.interval_cv,
    title="coefficient of variation of intervals between spikes",
    formula="sd(Δt) / mean(Δt)",
    range=(0, numpy.inf),
    null="1 for a Poisson train of many spikes, less for one of few; 0 for a clock",
)
def interval_cv(intervals: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """How irregular a train is, ``sd(Δt) / mean(Δt)`` of the intervals between its spikes (sd over all, not unbiased).

    Range 0 (a clock) upwards. Null level: a Poisson train has 1, less where it has few spikes; bursts have more.
    Intervals that are NaN are not there; NaN with fewer than two. Cost: one pass.

    Args:
        intervals: labelled array, in any unit of time.
        dim: the dimension of intervals.

    Returns:
        Ratio, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import xarray
        >>> f"{float(interval_cv(xarray.DataArray([10.0, 30.0], dims='interval'), dim='interval')):.2f}"
        '0.50'

    Reference: Softky and Koch, The highly irregular firing of cortical cells is inconsistent with temporal integration
        of random EPSPs, J. Neurosci. 13 (1993).
    """
    attrs = {"long_name": "coefficient of variation of intervals", "units": "1"}
    return lift(base.interval_cv, intervals, dim=dim, name="interval_cv", attrs=attrs)


@statistic(
    of="counts",
    array=base.fano_factor,
    title="Fano factor of spike counts, mean over units",
    formula="mean_unit[var(n) / mean(n)]",
    range=(0, numpy.inf),
    null="1 for Poisson trains, whatever their rate; CV² for long bins of a renewal train",
    form="matrix",
)
def fano_factor(counts: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """How variable counts are, ``var(n) / mean(n)`` over bins (unbiased variance), mean over units that spike.

    Range 0 (the same count in every bin) upwards. Null level: 1 for Poisson trains. Depends on the length of bins. NaN
    where no unit spikes. Cost: two passes.

    Args:
        counts: labelled array of spikes in bins.
        dim: the dimensions (unit, bin).

    Returns:
        Ratio, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import xarray
        >>> float(fano_factor(xarray.DataArray([[1.0, 3.0, 2.0]], dims=("unit", "bin")), dim=("unit", "bin")))
        0.5

    Reference: Fano, Ionization yield of radiations II, Phys. Rev. 72 (1947); Churchland et al., Stimulus onset quenches
        neural variability, Nat. Neurosci. 13 (2010).
    """
    attrs = {"long_name": "Fano factor", "units": "1"}
    return lift_matrix(base.fano_factor, counts, dims=[dim], name="fano_factor", attrs=attrs)


@statistic(
    of="counts",
    array=base.population_fano,
    title="Fano factor of the count of all units together",
    formula="var(Σ_unit n) / mean(Σ_unit n)",
    range=(0, numpy.inf),
    null="1 for independent Poisson trains; 1 + (U − 1) c for trains with pairwise correlation c",
    form="matrix",
)
def population_fano(counts: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """How much a population fires together: ``var / mean`` over bins of the count of all its units.

    Range 0 upwards. Null level: independent Poisson trains have 1, and U Poisson trains with a pairwise correlation c
    have ``1 + (U − 1) c``, so that it sees correlations which are too small to see in a pair. NaN where nothing spikes.
    Cost: one pass.

    Args:
        counts, dim: as for `fano_factor`.

    Returns:
        Ratio, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import xarray
        >>> together = xarray.DataArray([[1.0, 0.0, 0.0, 1.0]] * 3, dims=("unit", "bin"))
        >>> float(population_fano(together, dim=("unit", "bin")))
        2.0

    Reference: Potjans and Diesmann, The cell-type specific cortical microcircuit, Cereb. Cortex 24 (2014).
    """
    attrs = {"long_name": "Fano factor of the population", "units": "1"}
    return lift_matrix(base.population_fano, counts, dims=[dim], name="population_fano", attrs=attrs)


@statistic(
    of="counts",
    array=base.pairwise_correlation,
    title="correlation of the counts of two units, mean over pairs",
    formula="mean_{u≠v} cov(n_u, n_v) / √(var(n_u) var(n_v))",
    range=(-1, 1),
    null="0 ± 1/√(B U (U − 1)/2) for U independent units in B bins",
    form="matrix",
)
def pairwise_correlation(counts: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """Pearson correlation over bins of the counts of two units, ``mean over pairs of cov(n_u, n_v) / √(var var)``.

    Range −1/(U − 1) for U units (all pairs against each other) to 1. Chance level: 0 for independent units, with a
    deviation of about ``1/√(B U (U − 1)/2)`` in B bins. Depends on the length of bins. Units whose count never changes
    are left out; NaN for fewer than two. Cost: two passes; no matrix of pairs.

    Args:
        counts, dim: as for `fano_factor`.

    Returns:
        Correlation, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import xarray
        >>> counts = xarray.DataArray([[0.0, 1.0, 2.0], [2.0, 4.0, 6.0]], dims=("unit", "bin"))
        >>> f"{float(pairwise_correlation(counts, dim=('unit', 'bin'))):.3f}"
        '1.000'

    Reference: Cohen and Kohn, Measuring and interpreting neuronal correlations, Nat. Neurosci. 14 (2011).
    """
    attrs = {"long_name": "pairwise correlation of counts", "units": "1"}
    return lift_matrix(base.pairwise_correlation, counts, dims=[dim], name="pairwise_correlation", attrs=attrs)


@statistic(
    of="samples",
    array=base.ks_distance,
    title="Kolmogorov-Smirnov distance of two samples",
    formula="max_t |F_x(t) − F_y(t)|",
    range=(0, 1),
    null="about 0.87 √((n + m)/(n m)) on average for two samples of one distribution; 1.36 √((n + m)/(n m)) at 5 %",
    form="matrix",
    labels={"dim": ("sample", "other_sample")},
)
def ks_distance(x: xarray.DataArray, y: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """How far two distributions are apart, ``max over t of |F_x(t) − F_y(t)|`` with F the shares of values up to t.

    Range 0 to 1. Null level: two samples of one distribution, of n and m values, have about ``0.87 √((n + m)/(n m))``
    on average and ``1.36 √((n + m)/(n m))`` at 5 %. Monotone changes of both alter nothing. Values that are NaN are not
    there; NaN where one sample is empty. Cost: one sort.

    Args:
        x, y: labelled arrays.
        dim: the dimension of samples of both, or of x and of y.

    Returns:
        Distance, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import xarray
        >>> x, y = xarray.DataArray([1.0, 2.0], dims="a"), xarray.DataArray([2.0, 3.0, 4.0, 5.0], dims="b")
        >>> float(ks_distance(x, y, dim=("a", "b")))
        0.75

    Reference: Massey, The Kolmogorov-Smirnov test for goodness of fit, J. Am. Stat. Assoc. 46 (1951).
    """
    first, second = (dim, dim) if isinstance(dim, str) else (dim[0], dim[-1])
    attrs = {"long_name": "Kolmogorov-Smirnov distance", "units": "1"}
    return lift_matrix(base.ks_distance, x, y, dims=[[first], [second]], name="ks_distance", attrs=attrs)
