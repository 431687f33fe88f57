"""Lazy or rich: how far learning moves the kernel between samples, and towards what. Two kernels are in question.

The *activity kernel* ``h hᵀ`` of a population is what its read-out sees, and needs nothing but recorded activity. The
*tangent kernel* of the network is the inner product of its output's gradients, projection by projection; a network
whose tangent kernel does not move learns as a linear model of it (lazy), one whose kernel moves learns features (rich).
Weight movement relative to the start is `drift`.

Samples that are NaN throughout do not exist and are left out.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import xarray

from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import lift_matrix
from neurosal.stats.similarity import BOTH, sides

LABELLED = {"dim": ("sample", "unit")}


def activity_kernel(activity: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """Inner products of the activity of samples, ``K_nm = ⟨h_n, h_m⟩ / units``: the tangent kernel of the read-out.

    Not centred: `linear_cka` and `target_alignment` centre. Cost: samples² · units.

    Args:
        activity: labelled array.
        dim: the dimensions (sample, unit).

    Returns:
        Kernel with the dimensions ``<sample>`` and ``other_<sample>`` last.

    Raises:
        NeurosalError: when a dimension is missing (with near names).

    Reference: Cho and Saul, Kernel methods for deep learning (2009), NeurIPS.
    """
    keep = [dim[0], f"other_{dim[0]}"]
    attrs = {"long_name": "activity kernel", "units": "1"}
    return lift_matrix(base.activity_kernel, activity, dims=[dim], name="activity_kernel", attrs=attrs, keep=keep)


def tangent_kernel(
    jacobian: xarray.DataArray, activity: xarray.DataArray, *, dim: Sequence[Hashable]
) -> xarray.DataArray:
    """The part of the empirical tangent kernel that belongs to the weights W [post, pre] of one dense projection,
    ``K_nm = Σ_o ⟨∂f_o(n)/∂W, ∂f_o(m)/∂W⟩ = Σ_o ⟨J_on, J_om⟩ ⟨h_n, h_m⟩``, summed over the network's outputs o.

    The parts of all projections add up to the network's kernel; for biases take an activity of ones. Cost: samples² ·
    (outputs · post + pre), far below that of per-sample gradients.

    Args:
        jacobian: J = ∂f_o/∂a of the target's total input, [..., output, sample, post].
        activity: of the source, [..., sample, pre].
        dim: the dimensions (output, sample, post, pre).

    Returns:
        Kernel with the dimensions ``<sample>`` and ``other_<sample>`` last.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Jacot, Gabriel and Hongler, Neural tangent kernel (2018), arXiv 1806.07572.
    """
    output, sample, post, pre = dim
    attrs = {"long_name": "tangent kernel", "units": "1"}
    return lift_matrix(
        base.tangent_kernel,
        jacobian,
        activity,
        dims=[[output, sample, post], [sample, pre]],
        name="tangent_kernel",
        attrs=attrs,
        keep=[sample, f"other_{sample}"],
    )


@statistic(
    of="kernels",
    array=base.kernel_distance,
    title="distance of a kernel from another time's",
    formula="1 − ⟨K, K₀⟩ / (‖K‖ ‖K₀‖)",
    range=(0, 1),
    null="0 for a lazy network; 1 − U/(n + U + 1) for activity kernels of U independent Gaussian units, n samples",
    form="matrix",
    cost="products",
)
def kernel_distance(kernel: xarray.DataArray, before: xarray.DataArray, *, dim: Sequence[Hashable]) -> xarray.DataArray:
    """How far a kernel moved, ``1 − ⟨K, K₀⟩ / (‖K‖ ‖K₀‖)``, whatever its scale.

    Range 0 to 1 for kernels (positive semi-definite). Null level 0: a lazy network does not move its tangent kernel.
    Kernels of independent features are *not* at 1, since all share a diagonal: two of U Gaussian units each over n
    samples are at ``1 − U/(n + U + 1)``. The probe takes the tangent kernel of a projection between the first training
    samples, now and at the start. Computed from the difference of unit vectors, so that small moves keep their
    precision. NaN for a zero kernel. Cost: a few passes over samples².

    Args:
        kernel, before: labelled arrays, e.g. from `tangent_kernel` or `activity_kernel`.
        dim: the two dimensions of samples.

    Returns:
        Distance, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Example:
        >>> import numpy, xarray
        >>> k = xarray.DataArray(numpy.eye(3), dims=("trial", "other_trial"))
        >>> float(kernel_distance(5 * k, k, dim=("trial", "other_trial")))
        0.0

    Reference: Fort et al., Deep learning versus kernel learning (2020), arXiv 2010.15110.
    """
    attrs = {"long_name": "kernel distance", "units": "1"}
    return lift_matrix(base.kernel_distance, kernel, before, dims=[dim, dim], name="kernel_distance", attrs=attrs)


@statistic(
    of="activities",
    array=base.activity_kernel_distance,
    title="distance between activity kernels",
    formula="1 − ⟨h hᵀ, h₀ h₀ᵀ⟩ / (‖h hᵀ‖ ‖h₀ h₀ᵀ‖)",
    range=(0, 1),
    null="0 for a lazy network; 1 − U/(n + U + 1) for U independent Gaussian units and n samples",
    form="matrix",
    cost="products",
    labels=BOTH,
)
def activity_kernel_distance(
    activity: xarray.DataArray, before: xarray.DataArray, *, dim: Sequence[Hashable]
) -> xarray.DataArray:
    """How far the activity kernel ``h hᵀ`` of a population moved between two times,
    ``1 − ⟨K, K₀⟩ / (‖K‖ ‖K₀‖)``, both over the same samples.

    Range 0 to 1. Null level 0 for a lazy network; independent Gaussian activity of U units and n samples is at
    ``1 − U/(n + U + 1)``, and activity with a mean (ReLU) much lower. Not centred; ``1 − linear_cka`` is the centred
    form. Rotation and scale of either change nothing. NaN for a silent population. Cost: samples² · units.

    Args:
        activity, before: labelled arrays over the same samples.
        dim: the dimensions (sample, unit) of both, or (sample, unit, unit of `before`).

    Returns:
        Distance, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Fort et al. (2020), arXiv 2010.15110, of the tangent kernel.
    """
    attrs = {"long_name": "activity kernel distance", "units": "1"}
    name = "activity_kernel_distance"
    return lift_matrix(base.activity_kernel_distance, activity, before, dims=sides(dim), name=name, attrs=attrs)


@statistic(
    of="activity_labels",
    array=base.target_alignment,
    title="alignment of the activity kernel with the classes",
    formula="⟨K_c, YYᵀ⟩ / (‖K_c‖ ‖(YYᵀ)_c‖), centred, Y one-hot",
    range=(0, 1),
    null="√(U (C − 1)/(n (n + U + 1))) for U independent Gaussian units, C even classes and n + 1 samples",
    form="matrix",
    cost="products",
    labels=LABELLED,
)
def target_alignment(
    activity: xarray.DataArray, label: xarray.DataArray, *, dim: Sequence[Hashable]
) -> xarray.DataArray:
    """Centred alignment of the activity kernel ``K = h hᵀ`` with the ideal one of the classes ``Y Yᵀ``, Y one-hot:
    ``⟨K_c, YYᵀ⟩ / (‖K_c‖ ‖(YYᵀ)_c‖)``. It rises where features come to serve the task.

    Range 0 to 1; 1 when every class is one point and the points are a simplex. Chance level: U independent Gaussian
    units, C even classes and n + 1 samples have ``√(U (C − 1)/(n (n + U + 1)))``; `debiased_target_alignment` has 0.
    Rotation, scale and shift change nothing. Labels below 0 are samples that do not exist. NaN where nothing varies or
    there is one class. Cost: as `linear_cka` of the activity and the one-hot classes.

    Args:
        activity: labelled array.
        label: class of each sample, int.
        dim: the dimensions (sample, unit).

    Returns:
        Alignment, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Cristianini et al., On kernel-target alignment (2001), NeurIPS; centred by Cortes, Mohri and Rostamizadeh
        (2012), arXiv 1203.0550.
    """
    attrs = {"long_name": "alignment of the activity kernel with the classes", "units": "1"}
    dims = [dim, [dim[0]]]
    return lift_matrix(base.target_alignment, activity, label, dims=dims, name="target_alignment", attrs=attrs)


@statistic(
    of="activity_labels",
    array=base.debiased_target_alignment,
    title="alignment of the activity kernel with the classes, without bias",
    formula="HSIC₁(H, Y) / √(HSIC₁(H, H) HSIC₁(Y, Y)), Y one-hot",
    range=(-1, 1),
    null="about 0 for activity that knows nothing of the classes",
    form="matrix",
    cost="products",
    labels=LABELLED,
)
def debiased_target_alignment(
    activity: xarray.DataArray, label: xarray.DataArray, *, dim: Sequence[Hashable]
) -> xarray.DataArray:
    """`target_alignment` from estimates without bias, ``debiased_cka(H, Y)`` with the one-hot classes Y.

    Range −1 to 1. Chance level about 0 for activity that knows nothing of the classes, whatever the counts of units and
    samples. Cost: as `target_alignment`.

    Args:
        activity, label, dim: as for `target_alignment`.

    Returns:
        Alignment, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Murphy, Zylberberg and Fyshe (2024), arXiv 2405.01012; Cortes et al. (2012), arXiv 1203.0550.
    """
    attrs = {"long_name": "debiased alignment of the activity kernel with the classes", "units": "1"}
    name = "debiased_target_alignment"
    return lift_matrix(base.debiased_target_alignment, activity, label, dims=[dim, [dim[0]]], name=name, attrs=attrs)


@statistic(
    of="kernel_labels",
    array=base.kernel_target_alignment,
    title="alignment of a kernel with the classes",
    formula="⟨K_c, YYᵀ⟩ / (‖K_c‖ ‖(YYᵀ)_c‖), centred, Y one-hot",
    range=(-1, 1),
    null="that of `target_alignment` for kernels of independent features",
    form="matrix",
    labels={"dim": ("sample", "other_sample")},
    cost="products",
)
def kernel_target_alignment(
    kernel: xarray.DataArray, label: xarray.DataArray, *, dim: Sequence[Hashable]
) -> xarray.DataArray:
    """`target_alignment` of any kernel, e.g. a `tangent_kernel`: ``⟨K_c, YYᵀ⟩ / (‖K_c‖ ‖(YYᵀ)_c‖)``, centred.

    Range 0 to 1 for kernels, which are positive. Null level as there; the probe takes the tangent kernel of a
    projection. Labels below 0 are samples that do not exist. Cost: a few passes over samples².

    Args:
        kernel: labelled array.
        label: class of each sample, int, over the first of the two dimensions.
        dim: the two dimensions of samples.

    Returns:
        Alignment, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Cortes, Mohri and Rostamizadeh (2012), arXiv 1203.0550.
    """
    attrs = {"long_name": "alignment of a kernel with the classes", "units": "1"}
    name = "kernel_target_alignment"
    return lift_matrix(base.kernel_target_alignment, kernel, label, dims=[dim, [dim[0]]], name=name, attrs=attrs)
