"""Activity of a population over samples: how many dimensions it has, and how sparse it is.

Samples that are NaN in every unit do not exist (records pad short batches so) and are left out; any other value that is
not finite makes the answer NaN.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy
import xarray

from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import lift_matrix


@statistic(
    of="activity",
    array=base.participation_ratio,
    title="participation ratio of activity",
    formula="(Σ λ)² / Σ λ², λ of the covariance over samples",
    range=(1, numpy.inf),
    null="(n U + 2)/(n + U + 1) for U independent Gaussian units of one variance and n + 1 samples",
    form="matrix",
    cost="products",
)
def participation_ratio(activity: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """Number of dimensions that activity fills, ``(Σ λ)² / Σ λ² = (tr C)² / tr C²`` with λ the eigenvalues of the
    covariance C over samples.

    Range 1 (all units move together) to the smaller of units and samples − 1 (the same variance in every direction).
    Chance level: U independent Gaussian units of one variance, seen in n + 1 samples, have ``(n U + 2)/(n + U + 1)`` on
    average, which is far below U for few samples: compare at the same count. Scale, shift and rotation change nothing.
    NaN where nothing varies. Cost: one product of the size units² · samples, or units · samples² where that is less; no
    decomposition.

    Args:
        activity: labelled array.
        dim: the dimensions (sample, unit).

    Returns:
        Count of dimensions, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import numpy, xarray
        >>> one = xarray.DataArray(numpy.outer([1.0, 2.0, 4.0], [3.0, 1.0]), dims=("trial", "hidden1"))
        >>> f"{float(participation_ratio(one, dim=('trial', 'hidden1'))):.6f}"
        '1.000000'

    Reference: Gao et al., A theory of multineuronal dimensionality, dynamics and measurement (2017), bioRxiv 214262.
    """
    attrs = {"long_name": "participation ratio of activity", "units": "1"}
    return lift_matrix(base.participation_ratio, activity, dims=[dim], name="participation_ratio", attrs=attrs)


@statistic(
    of="activity",
    array=base.dead_units,
    title="share of units that are never active",
    formula="mean_unit(max_sample |h| ≤ 0)",
    range=(0, 1),
    null="2⁻ⁿ for units that are active on half of n samples; 0 for activations that are never zero",
    form="matrix",
)
def dead_units(activity: xarray.DataArray, *, dim: Sequence[Hashable], above: float = 0.0) -> xarray.DataArray:
    """Share of units that are active on none of the samples, ``mean over units of [max over samples of |h| ≤ above]``.

    Range 0 to 1. Null level: a unit that is active on a share p of samples is silent on n of them with chance
    ``(1 − p)ⁿ``, so a few samples call live units dead; activations that are never zero (sigmoid) have 0. A dead unit
    has no gradient with ReLU, and stays so. Cost: one pass.

    Args:
        activity: labelled array.
        dim: the dimensions (sample, unit).
        above: size of activity from which a unit counts as active.

    Returns:
        Share, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Reference: Lu et al., Dying ReLU and initialization: theory and numerical examples (2019), arXiv 1903.06733.
    """
    attrs = {"long_name": "share of units that are never active", "units": "1"}
    return lift_matrix(base.dead_units, activity, dims=[dim], name="dead_units", attrs=attrs, above=above)


@statistic(
    of="activity",
    array=base.active_share,
    title="share of units that are active on a sample",
    formula="mean(|h| > 0)",
    range=(0, 1),
    null="1/2 for ReLU of a symmetric input",
    form="matrix",
)
def active_share(activity: xarray.DataArray, *, dim: Sequence[Hashable], above: float = 0.0) -> xarray.DataArray:
    """Share of units that are active on a sample, mean over samples, ``mean(|h| > above)``.

    Range 0 to 1. Chance level 1/2 for ReLU of an input that is symmetric about 0; 1 for activations that are never
    zero. Cost: one pass.

    Args:
        activity, dim, above: as for `dead_units`.

    Returns:
        Share, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Reference: Glorot, Bordes and Bengio, Deep sparse rectifier neural networks (2011), AISTATS, PMLR 15:315-323.
    """
    attrs = {"long_name": "share of units that are active", "units": "1"}
    return lift_matrix(base.active_share, activity, dims=[dim], name="active_share", attrs=attrs, above=above)


@statistic(
    of="activity",
    array=base.lifetime_sparsity,
    title="lifetime sparsity (Treves-Rolls over samples, mean over units)",
    formula="mean_unit[(1 − ⟨|h|⟩²/⟨h²⟩) / (1 − 1/n)], ⟨⟩ over n samples",
    range=(0, 1),
    null="1 − 2/π = 0.36 for a Gaussian, 1 − 1/π = 0.68 for ReLU of it",
    form="matrix",
)
def lifetime_sparsity(activity: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """How selective units are: Treves-Rolls sparsity of each over n samples, mean over units,
    ``(1 − (Σ|h|/n)² / (Σh²/n)) / (1 − 1/n)``.

    Range 0 (the same size on all samples) to 1 (active on one sample only). Chance level: Gaussian activity has
    ``1 − 2/π = 0.36``, ReLU of it ``1 − 1/π = 0.68``, for many samples. The scale of a unit changes nothing. Units that
    are never active are left out (`dead_units` counts them); NaN where all are. Cost: one pass.

    Args:
        activity: labelled array.
        dim: the dimensions (sample, unit).

    Returns:
        Sparsity, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Reference: Vinje and Gallant, Sparse coding and decorrelation in primary visual cortex during natural vision,
        Science 287 (2000); Treves and Rolls, Network 2 (1991).
    """
    attrs = {"long_name": "lifetime sparsity", "units": "1"}
    return lift_matrix(base.lifetime_sparsity, activity, dims=[dim], name="lifetime_sparsity", attrs=attrs)


@statistic(
    of="activity",
    array=base.population_sparsity,
    title="population sparsity (Treves-Rolls over units, mean over samples)",
    formula="mean_sample[(1 − ⟨|h|⟩²/⟨h²⟩) / (1 − 1/U)], ⟨⟩ over U units",
    range=(0, 1),
    null="1 − 2/π = 0.36 for a Gaussian, 1 − 1/π = 0.68 for ReLU of it",
    form="matrix",
)
def population_sparsity(activity: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """How few units speak for a sample: Treves-Rolls sparsity over U units, mean over samples,
    ``(1 − (Σ|h|/U)² / (Σh²/U)) / (1 − 1/U)``.

    Range 0 (all units alike) to 1 (one active unit a sample). Chance level as for `lifetime_sparsity`: 0.36 for
    Gaussian activity, 0.68 for ReLU of it. The scale of a sample changes nothing. Samples without any activity are left
    out; NaN where all are. Cost: one pass.

    Args:
        activity: labelled array.
        dim: the dimensions (sample, unit).

    Returns:
        Sparsity, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Reference: Willmore and Tolhurst, Characterizing the sparseness of neural codes, Network 12 (2001); Treves and
        Rolls, Network 2 (1991).
    """
    attrs = {"long_name": "population sparsity", "units": "1"}
    return lift_matrix(base.population_sparsity, activity, dims=[dim], name="population_sparsity", attrs=attrs)
