"""What the weights of one projection are like: rank, sparsity, distribution, and how far they went from where they
began.

Sign conventions: sparsity, presence of a synapse and the form of the distribution are of magnitudes, excitatory and
inhibitory weights together; ranks, drift and update size are of the signed weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import xarray

from neurosal.stats import base
from neurosal.stats.base.weights import MODELS
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import Dims, disagreement, lift, lift_matrix, names, require

Pair = Sequence[str]


@statistic(
    of="weight",
    array=base.effective_rank,
    title="effective rank",
    formula="exp(−Σ p_i log p_i), p_i = σ_i / Σ σ",
    range=(1, numpy.inf),
    null="min(post, pre) for orthogonal rows; of independent entries, about 0.8 n for a square matrix of n",
    cost="decomposition",
    form="matrix",
)
def effective_rank(w: xarray.DataArray, *, dim: Pair) -> xarray.DataArray:
    """Exponential of the entropy of the singular values, ``exp(−Σ p_i log p_i)`` with ``p_i = σ_i / Σ σ``.

    Range 1 (one direction) to min(post, pre) (all singular values alike). Null level: a square matrix of n² independent
    entries has about 0.8 n. Neither scale nor a rotation on either side changes it. NaN for zero weights and for
    such that are not finite. Matrices are taken one by one: a probe gives the mean over areas. Cost: singular values,
    about min(post, pre)² max(post, pre).

    Args:
        w: labelled weights.
        dim: (post, pre).

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import numpy, xarray
        >>> w = xarray.DataArray(numpy.diag([1.0, 1.0, 1.0, 0.0]), dims=("post", "pre"))
        >>> round(float(effective_rank(w, dim=("post", "pre"))), 6)
        3.0

    Reference: Roy & Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO (2007).
    """
    attrs = {"long_name": "effective rank", "units": "1"}
    return lift_matrix(base.effective_rank, w, dims=[names(dim)], name="effective_rank", attrs=attrs)


@statistic(
    of="weight",
    array=base.stable_rank,
    title="stable rank",
    formula="‖W‖_F² / σ_max²",
    range=(1, numpy.inf),
    null="post · pre / (√post + √pre)² for independent entries",
    cost="decomposition",
    form="matrix",
)
def stable_rank(w: xarray.DataArray, *, dim: Pair) -> xarray.DataArray:
    """Squared Frobenius norm over squared spectral norm, ``‖W‖_F² / σ_max²``.

    Range 1 to the rank; small singular values hardly count. Null level: independent entries have about post · pre /
    (√post + √pre)², a quarter of n for a square matrix. Neither scale nor a rotation on either side changes it. NaN for
    zero weights and for such that are not finite. A probe gives the mean over areas. Cost: singular values.

    Args:
        w: labelled weights.
        dim: (post, pre).

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Reference: Rudelson & Vershynin, Sampling from large matrices, Journal of the ACM 54 (2007), arXiv math/0503442.
    """
    attrs = {"long_name": "stable rank", "units": "1"}
    return lift_matrix(base.stable_rank, w, dims=[names(dim)], name="stable_rank", attrs=attrs)


@statistic(
    of="change",
    array=base.drift,
    title="distance from the first weights over their norm",
    formula="‖W_t − W_0‖ / ‖W_0‖",
    range=(0, numpy.inf),
    null="0: nothing moved; √2 for weights drawn anew with the same norm",
)
def drift(now: xarray.DataArray, start: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """How far weights went from where they began, ``‖W_t − W_0‖ / ‖W_0‖`` over `dim`.

    Range 0 to ∞. Null levels: 0 where nothing moved, √2 for weights drawn anew with the same norm. Small where learning
    is lazy, about 1 and more where it is rich. NaN where the first weights are zero. Cost: a few passes.

    Args:
        now, start: labelled weights; `now` may have a dimension of time.
        dim: the dimensions that make up one vector.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Example:
        >>> import xarray
        >>> start = xarray.DataArray([3.0, 4.0], dims="pre")
        >>> float(drift(2 * start, start, dim="pre"))
        1.0

    Reference: Chizat, Oyallon & Bach, On lazy training in differentiable programming (2019), arXiv 1812.07956.
    """
    return lift(base.drift, now, start, dim=dim, name="drift", attrs={"long_name": "drift of weights", "units": "1"})


@statistic(
    of="update",
    array=base.update_size,
    title="norm of the proposed change over norm of the weights",
    formula="‖ΔW‖ / ‖W‖",
    range=(0, numpy.inf),
    null="0: nothing learns; times the learning rate, about 1e-3 is usual",
)
def update_size(update: xarray.DataArray, w: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """Size of the proposed change beside the weights, ``‖ΔW‖ / ‖W‖`` over `dim`.

    The change is that which goes to the optimiser, before its learning rate: times it, it is the relative size of a
    plain SGD step. Range 0 to ∞; null level 0. NaN where the weights are zero. Cost: a few passes.

    Args:
        update, w: labelled change and weights, matched by name.
        dim: the dimensions that make up one vector.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: You, Gitman & Ginsburg, Large batch training of convolutional networks (2017), arXiv 1708.03888.
    """
    attrs = {"long_name": "relative size of the update", "units": "1"}
    return lift(base.update_size, update, w, dim=dim, name="update_size", attrs=attrs)


@statistic(
    of="change",
    array=base.turnover,
    title="share of synapses that came or went since the start",
    formula="(gained + lost) / (N_t + N_0), a synapse: |w| > 0.1 rms(W_0)",
    range=(0, 1),
    null="1 − p for weights drawn anew of which a share p are synapses; 0: the same synapses",
)
def turnover(now: xarray.DataArray, start: xarray.DataArray, *, dim: Dims, threshold: float = 0.1) -> xarray.DataArray:
    """Share of synapses that came or went, ``(gained + lost) / (N_now + N_start)``.

    A synapse is there where ``|w| > threshold · rms(W_start)``: the same limit at both times, so that all weights that
    shrink count as lost. Range 0 (the same synapses) to 1 (none in common). Null level: 1 − p for weights drawn anew
    from the same distribution, of which a share p is above the limit (Gaussian weights: p = .92). NaN where there are
    none at either time. Cost: a few passes.

    Args:
        now, start: labelled weights; `now` may have a dimension of time.
        dim: the dimensions over which synapses are counted.
        threshold: share of the first root mean square.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Example:
        >>> import xarray
        >>> start, now = (xarray.DataArray(w, dims="pre") for w in ([1.0, 1.0, 0.0], [1.0, 0.0, 1.0]))
        >>> float(turnover(now, start, dim="pre"))
        0.5

    Reference: Holtmaat & Svoboda, Experience-dependent structural synaptic plasticity in the mammalian brain, Nature
        Reviews Neuroscience 10 (2009), doi 10.1038/nrn2699; for weights of models, with a limit: ours.
    """
    attrs = {"long_name": "turnover of synapses", "units": "1", "threshold": threshold}
    return lift(base.turnover, now, start, dim=dim, name="turnover", attrs=attrs, threshold=threshold)


@statistic(
    of="change",
    array=base.survival,
    title="share of the first synapses that are still there",
    formula="kept / N_0, a synapse: |w| > 0.1 rms(W_0)",
    range=(0, 1),
    null="p for weights drawn anew of which a share p are synapses; 1: all are left",
)
def survival(now: xarray.DataArray, start: xarray.DataArray, *, dim: Dims, threshold: float = 0.1) -> xarray.DataArray:
    """Share of the first synapses that are still there, ``kept / N_start``; a synapse as in `turnover`.

    Range 0 to 1. Null level: p for weights drawn anew from the same distribution, of which a share p is above the
    limit. NaN where there was none. Cost: a few passes.

    Args:
        now, start, dim, threshold: as for `turnover`.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: as for `turnover`.
    """
    attrs = {"long_name": "survival of synapses", "units": "1", "threshold": threshold}
    return lift(base.survival, now, start, dim=dim, name="survival", attrs=attrs, threshold=threshold)


@statistic(
    of="weight",
    array=base.hoyer,
    title="Hoyer's sparsity",
    formula="(√n − Σ|w| / √Σw²) / (√n − 1)",
    range=(0, 1),
    null="0 for equal magnitudes, 1 − √(2/π) = .20 for Gaussian weights, 1 for one alone",
)
def hoyer(w: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """Sparsity as the ratio of two norms, ``(√n − Σ|w| / √Σw²) / (√n − 1)`` over `dim`.

    Range 0 (all magnitudes alike) to 1 (one entry alone). Null level: many independent Gaussian weights have 1 − √(2/π)
    = .20, uniform ones about 1 − √3/2 = .13, both less by about 1/√n. Scale and signs change nothing. NaN for zeros,
    and for a single entry. Cost: two passes. Takes activity as well.

    Args:
        w: labelled.
        dim: the dimensions over which it is sparse or not.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Reference: Hoyer, Non-negative matrix factorization with sparseness constraints, JMLR 5 (2004), arXiv cs/0408058.
    """
    return lift(base.hoyer, w, dim=dim, name="hoyer", attrs={"long_name": "Hoyer's sparsity", "units": "1"})


@statistic(
    of="weight",
    array=base.treves_rolls,
    title="Treves and Rolls' sparsity",
    formula="(1 − (Σ|w|/n)² / (Σw²/n)) / (1 − 1/n)",
    range=(0, 1),
    null="0 for equal magnitudes, 1 − 2/π = .36 for Gaussian weights, 1 for one alone",
)
def treves_rolls(w: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """One less Treves and Rolls' share in use, ``(1 − (Σ|w|/n)² / (Σw²/n)) / (1 − 1/n)`` over `dim`.

    Range 0 (all magnitudes alike) to 1 (one entry alone), as scaled by Vinje and Gallant. Null level: Gaussian weights
    have 1 − 2/π = .36, log-normal ones 1 − exp(−σ²). Scale and signs change nothing. NaN for zeros, and for a single
    entry. Cost: two passes. Takes activity as well.

    Args:
        w: labelled.
        dim: the dimensions over which it is sparse or not.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Reference: Treves & Rolls, What determines the capacity of autoassociative memories in the brain?, Network 2 (1991),
        doi 10.1088/0954-898X_2_4_004; Vinje & Gallant, Science 287 (2000), doi 10.1126/science.287.5456.1273.
    """
    attrs = {"long_name": "Treves and Rolls' sparsity", "units": "1"}
    return lift(base.treves_rolls, w, dim=dim, name="treves_rolls", attrs=attrs)


@statistic(
    of="weight",
    array=base.lognormality,
    title="AIC by which magnitudes are log-normal rather than anything else",
    formula="min AIC(gamma, exponential, half-normal, normal) − AIC(log-normal)",
    range=(-numpy.inf, numpy.inf),
    null="below 0 for Gaussian weights (best: half-normal), above 0 for log-normal ones; grows with n",
)
def lognormality(w: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """By how much a log-normal describes the magnitudes better than the best of the other models does,
    ``min AIC(gamma, exponential, half-normal, normal) − AIC(log-normal)``.

    Range −∞ to ∞; above 10 the log-normal has it, below −10 another, in between nobody. Chance has no level of its own:
    independent Gaussian weights are half-normal in magnitude and give large negative values, and it grows with the
    number of weights. Scale and signs change nothing. NaN where fewer than two magnitudes differ. Cost: a few passes
    and a few Newton steps.

    Args:
        w: labelled weights; zeros are no synapses and left out.
        dim: the dimensions that make up one sample.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Reference: Akaike, A new look at the statistical model identification, IEEE Trans. Automatic Control 19 (1974), doi
        10.1109/TAC.1974.1100705; synapses: Buzsáki & Mizuseki, The log-dynamic brain, Nature Reviews Neuroscience 15
        (2014), doi 10.1038/nrn3687.
    """
    attrs = {"long_name": "evidence for log-normal weights", "units": "1"}
    return lift(base.lognormality, w, dim=dim, name="lognormality", attrs=attrs)


def magnitude_fits(w: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """AIC of each model of the magnitudes, ``2k − 2 log L`` at the greatest likelihood; the smallest is the best.

    Models of x = |w| > 0: lognormal, gamma, exponential (all from 0 on), half_normal (what Gaussian weights have as
    magnitudes) and normal. Cost: a few passes and a few Newton steps for the gamma's shape.

    Args:
        w: labelled weights; zeros are left out.
        dim: the dimensions that make up one sample.

    Returns:
        AIC with the new dimension ``model``.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Example:
        >>> import numpy, xarray
        >>> w = xarray.DataArray(numpy.random.default_rng(0).lognormal(size=1000), dims="synapse")
        >>> str(magnitude_fits(w, dim="synapse").idxmin("model").values)
        'lognormal'

    Reference: Akaike (1974), as for `lognormality`; the gamma's shape: Minka, Estimating a gamma distribution (2002).
    """
    dims = names(dim)
    require("magnitude_fits", [w], dims)
    axis: Any = tuple(range(-len(dims), 0))
    try:
        found = xarray.apply_ufunc(
            base.akaike, w, input_core_dims=[dims], output_core_dims=[["model"]], kwargs={"axis": axis}
        )
    except ValueError as error:
        raise disagreement("magnitude_fits", [w], error) from None
    attrs = {"long_name": "AIC", "units": "1"}
    return found.assign_coords(model=list(MODELS)).rename("magnitude_fits").assign_attrs(attrs)
