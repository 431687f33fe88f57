"""How alike two representations of the same samples are, whatever the order and number of units.

Samples that are NaN in every unit of either representation are left out; any other value that is not finite makes the
answer NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy
import xarray

from neurosal.errors import NeurosalError, Problem, near
from neurosal.stats import base
from neurosal.stats.base.similarity import COMPARISONS, METRICS
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import lift_matrix

BOTH = {"dim": ("sample", "unit", "other_unit")}
ROOT_2 = float(numpy.sqrt(2))


def sides(dim: Sequence[Hashable]) -> list[list[Hashable]]:
    """Dims (sample, unit) of two representations, from (sample, unit) of both or (sample, unit of x, unit of y)."""
    return [[dim[0], dim[1]], [dim[0], dim[-1]]]


@statistic(
    of="activities",
    array=base.linear_cka,
    title="linear centred kernel alignment",
    formula="‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖), X and Y centred",
    range=(0, 1),
    null="√(U V / ((n + U + 1)(n + V + 1))) for independent Gaussian units, n + 1 samples: near 1 for few samples",
    form="matrix",
    cost="products",
    labels=BOTH,
)
def linear_cka(x: xarray.DataArray, y: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """Linear centred kernel alignment, ``‖XᵀY‖² / (‖XᵀX‖ ‖YᵀY‖)`` of representations [sample, unit] centred over
    samples.

    Range 0 to 1; 1 when one is a rotated and scaled copy of the other. **Chance is far from 0** where there are not
    many more samples than units: independent Gaussian representations of U and V units in n + 1 samples have
    ``√(U V / ((n + U + 1)(n + V + 1)))``, which is .80 for 500 units and 128 samples. Take `debiased_cka` there.
    Rotation, scale and shift of either change nothing; other linear maps do. NaN where nothing varies. Cost: products
    of the size samples · units², or samples² · units where that is less.

    Args:
        x, y: labelled arrays over the same samples.
        dim: the dimensions (sample, unit) of both, or (sample, unit of x, unit of y).

    Returns:
        Similarity, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Example:
        >>> import numpy, xarray
        >>> x = xarray.DataArray(numpy.random.default_rng(0).normal(size=(20, 5)), dims=("trial", "hidden1"))
        >>> y = xarray.DataArray(3 * x.values[:, ::-1], dims=("trial", "hidden2"))
        >>> f"{float(linear_cka(x, y, dim=('trial', 'hidden1', 'hidden2'))):.6f}"
        '1.000000'

    Reference: Kornblith et al., Similarity of neural network representations revisited (2019), arXiv 1905.00414.
    """
    attrs = {"long_name": "linear CKA", "units": "1"}
    return lift_matrix(base.linear_cka, x, y, dims=sides(dim), name="linear_cka", attrs=attrs)


@statistic(
    of="activities",
    array=base.debiased_cka,
    title="linear centred kernel alignment without bias",
    formula="HSIC₁(X, Y) / √(HSIC₁(X, X) HSIC₁(Y, Y)), Gram matrices U-centred",
    range=(-1, 1),
    null="about 0 for independent representations",
    form="matrix",
    cost="products",
    labels=BOTH,
)
def debiased_cka(x: xarray.DataArray, y: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """Linear centred kernel alignment from estimates without bias,
    ``HSIC₁(X, Y) / √(HSIC₁(X, X) HSIC₁(Y, Y))``, where HSIC₁ is the inner product of the U-centred Gram matrices
    ``K = XXᵀ``, ``L = YYᵀ`` without their diagonals,
    ``n(n−3) HSIC₁ = tr(K̃L̃) + (1ᵀK̃1)(1ᵀL̃1)/((n−1)(n−2)) − 2/(n−2) 1ᵀK̃L̃1``.

    Range −1 to 1; 1 when one is a rotated and scaled copy of the other. Chance level about 0 for independent
    representations, whatever their size. Rotation, scale and shift of either change nothing. NaN for fewer than 4
    samples, and where an estimate of a representation's own size is not positive. Cost: as `linear_cka`.

    Args:
        x, y, dim: as for `linear_cka`.

    Returns:
        Similarity, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Murphy, Zylberberg and Fyshe, Correcting biased centered kernel alignment measures in biological and
        artificial neural networks (2024), arXiv 2405.01012; HSIC₁ of Song et al., Feature selection via dependence
        maximization, JMLR 13 (2012).
    """
    attrs = {"long_name": "debiased linear CKA", "units": "1"}
    return lift_matrix(base.debiased_cka, x, y, dims=sides(dim), name="debiased_cka", attrs=attrs)


@statistic(
    of="activities",
    array=base.procrustes_distance,
    title="Procrustes distance",
    formula="min_Q ‖X/‖X‖ − (Y/‖Y‖) Q‖, X and Y centred, Q orthogonal",
    range=(0, ROOT_2),
    null="√(2 − 1.7 √(U/n)) for independent Gaussian units, U of them far below n + 1 samples",
    form="matrix",
    cost="decomposition",
    labels=BOTH,
)
def procrustes_distance(x: xarray.DataArray, y: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """Distance after the best rotation, ``min_Q ‖X − Y Q‖ = √(2 − 2 ‖YᵀX‖_*)`` of representations [sample, unit]
    that are centred and have Frobenius norm 1; Q is orthogonal, and ‖·‖_* is the sum of singular values. The one with
    fewer units is padded with silent ones.

    Range 0 (a rotated and scaled copy) to √2 (orthogonal in every direction). A metric: symmetric, and the triangle
    inequality holds. Chance level: independent Gaussian units, U of both and far fewer than the n + 1 samples, are at
    about ``√(2 − 1.7 √(U/n))``; `shuffled_samples` gives it for any representation. Rotation, scale and shift of either
    change nothing. NaN where nothing varies. Cost: a singular value decomposition of units × units (of samples ×
    samples where there are fewer).

    Args:
        x, y, dim: as for `linear_cka`.

    Returns:
        Distance, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Williams et al., Generalized shape metrics on neural representations (2021), arXiv 2110.14739.
    """
    attrs = {"long_name": "Procrustes distance", "units": "1"}
    return lift_matrix(base.procrustes_distance, x, y, dims=sides(dim), name="procrustes_distance", attrs=attrs)


@statistic(
    of="activities",
    array=base.rsa,
    title="representational similarity (Spearman, of correlation distances)",
    formula="rank correlation of the distances between samples in X and in Y",
    range=(-1, 1),
    null="0 for independent representations",
    form="matrix",
    cost="products",
    labels=BOTH,
)
def rsa(
    x: xarray.DataArray,
    y: xarray.DataArray,
    *,
    dim: Sequence[Hashable],
    metric: str = "correlation",
    compare: str = "spearman",
) -> xarray.DataArray:
    """Representational similarity analysis: how alike the dissimilarities between samples are,
    ``compare(d_X, d_Y)`` with ``d_X = [d(x_n, x_m) for n < m]``.

    Range −1 to 1 (cosine: 0 to 1, since distances are not negative). Chance level 0 for independent representations
    (cosine: near 1); pairs share samples, so its spread is not that of as many independent numbers: `shuffled_samples`
    gives it. Ranks take dissimilarities that agree to 10 digits of the largest as equal. Rotation (metrics cosine and
    euclidean), scale, and any change that keeps the order of dissimilarities (spearman, kendall) change nothing. NaN
    where one has only equal dissimilarities. Cost: samples² · units for the distances and samples² log samples for the
    ranks, replica by replica on the CPU.

    Args:
        x, y, dim: as for `linear_cka`.
        metric: of `dissimilarity`.
        compare: "spearman", "kendall" (tau-b), "pearson" or "cosine".

    Returns:
        Similarity, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing or a name is unknown (with near names), or lengths disagree.

    Reference: Kriegeskorte, Mur and Bandettini, Representational similarity analysis, Frontiers in Systems Neuroscience
        2 (2008).
    """
    _known("rsa", "compare", compare, COMPARISONS)
    _known("rsa", "metric", metric, METRICS)
    attrs = {"long_name": f"representational similarity ({compare}, {metric})", "units": "1"}
    return lift_matrix(base.rsa, x, y, dims=sides(dim), name="rsa", attrs=attrs, metric=metric, compare=compare)


def dissimilarity(
    activity: xarray.DataArray, *, dim: Sequence[Hashable], metric: str = "correlation"
) -> xarray.DataArray:
    """Distances between samples, ``d_nm``: correlation ``1 − corr(x_n, x_m)`` over units, cosine ``1 − cos(x_n, x_m)``,
    or euclidean ``‖x_n − x_m‖``.

    Range 0 to 2 (correlation, cosine) or to ∞. Null: 1 ± 1/√U for independent samples of U units with correlation.
    NaN for a sample without a direction. Cost: samples² · units.

    Args:
        activity: labelled array.
        dim: the dimensions (sample, unit).
        metric: "correlation", "cosine" or "euclidean".

    Returns:
        Distances, symmetric, with the dimensions (sample, other_sample) last, called ``<sample>`` and
        ``other_<sample>``.

    Raises:
        NeurosalError: when a dimension is missing or the metric is unknown (with near names).

    Reference: Kriegeskorte, Mur and Bandettini (2008), Frontiers in Systems Neuroscience 2.
    """
    _known("dissimilarity", "metric", metric, METRICS)
    attrs = {"long_name": f"{metric} distance", "units": "1"}
    sample = activity.dims[0] if not dim else dim[0]
    keep = [sample, f"other_{sample}"]
    return lift_matrix(
        base.dissimilarity, activity, dims=[dim], name="dissimilarity", attrs=attrs, keep=keep, metric=metric
    )


def shuffled_samples(
    statistic: Callable[..., Any],
    x: xarray.DataArray,
    y: xarray.DataArray,
    *,
    dim: Sequence[Hashable],
    draws: int = 100,
    seed: int = 0,
) -> xarray.DataArray:
    """The null of a statistic of two representations: its values with the samples of y in random order,
    ``s(X, P Y)`` for random permutations P.

    Cost: `draws` times the statistic.

    Args:
        statistic: of this module, e.g. `rsa`; options through `functools.partial`.
        x, y, dim: as for the statistic.
        draws: how many.
        seed: of the permutations.

    Returns:
        Values [draw, ...]. A p value is ``(1 + #(null ≥ observed)) / (1 + draws)``.

    Example:
        >>> import numpy, xarray
        >>> x = xarray.DataArray(numpy.random.default_rng(0).normal(size=(30, 5)), dims=("trial", "hidden1"))
        >>> null = shuffled_samples(rsa, x, x, dim=("trial", "hidden1"), draws=20)
        >>> bool(rsa(x, x, dim=("trial", "hidden1")) > null.max())
        True

    Reference: Kriegeskorte, Mur and Bandettini (2008), Frontiers in Systems Neuroscience 2.
    """
    generator = numpy.random.default_rng(seed)
    orders = [generator.permutation(y.sizes[dim[0]]) for _ in range(draws)]
    x, y = (array.drop_vars([dim[0]], errors="ignore") for array in (x, y))  # labels would undo the order
    return xarray.concat([statistic(x, y.isel({dim[0]: order}), dim=dim) for order in orders], "draw")


def _known(name: str, option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise NeurosalError(
            Problem(
                place=f"stats.{name}, {option}",
                expected=f"one of {', '.join(known)}",
                found=repr(value),
                remedy=near(value, known),
            )
        )
