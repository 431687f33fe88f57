"""Credit: how a change stands to that of backpropagation, what it does to the loss, and whether the changes that
different classes ask for help or hinder each other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy
import xarray

from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import Dims, disagreement, lift, lift_matrix, names, require

SAMPLES = {"dim": ("sample", "post", "pre")}


@statistic(
    of="credit",
    array=base.update_angle,
    title="angle between the change and that of backpropagation",
    formula="arccos(⟨Δ, g⟩ / (‖Δ‖ ‖g‖))",
    range=(0, 180),
    null="90° ± 57.3°/√n for a random direction; 90° and above does not lower the loss",
    units="degree",
)
def update_angle(update: xarray.DataArray, reference: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """Angle between the proposed change of a projection and that of backpropagation on the same state and batch,
    ``arccos(⟨Δ, g⟩ / (‖Δ‖ ‖g‖))``.

    Range 0° (backpropagation) to 180°. Chance level 90° ± 57.3°/√n for n weights. Below 90° a small enough step lowers
    the loss. NaN where either is zero. Cost: a few passes; while training a second backward pass.

    Args:
        update, reference: labelled arrays, matched by name.
        dim: the dimensions of one change, e.g. ``("area", "hidden1", "output")``.

    Returns:
        Degrees, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Lillicrap et al. (2016), arXiv 1411.0247.
    """
    attrs = {"long_name": "angle between the change and that of backpropagation", "units": "degree"}
    return lift(base.update_angle, update, reference, dim=dim, name="update_angle", attrs=attrs)


@statistic(
    of="step",
    array=base.realised_decrease,
    title="decrease of the loss by a step",
    formula="ℓ(W) − ℓ(W + step)",
    range=(-numpy.inf, numpy.inf),
    null="about −½ tr(H) ‖step‖²/n for a random direction: a random step does not help",
    cost="products",
)
def realised_decrease(
    gradient: xarray.DataArray,
    step: xarray.DataArray,
    before: xarray.DataArray,
    after: xarray.DataArray,
    *,
    dim: Dims,
) -> xarray.DataArray:
    """How much a step of one projection lowers the loss of the batch it was made from, ``ℓ(W) − ℓ(W + step)``.

    Range −∞ to ∞. Chance level: a random step lowers nothing on average to first order, and raises the loss by
    ``½ tr(H) ‖step‖²/n`` with H the Hessian over n weights. Cost: a forward pass for each projection.

    Args:
        gradient: of the loss, from backpropagation (not used here: all three statistics of a step read the same).
        step: what is added to the weights.
        before, after: mean loss of the same batch without and with the step.
        dim: the dimensions of the weights.

    Returns:
        Decrease in units of the loss, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: none; as the actual reduction of trust-region methods (Nocedal and Wright, Numerical Optimization, 2006).
    """
    return _of_step("realised_decrease", "decrease of the loss", gradient, step, before, after, dim)


@statistic(
    of="step",
    array=base.predicted_decrease,
    title="decrease of the loss that a step promises to first order",
    formula="−⟨g, step⟩",
    range=(-numpy.inf, numpy.inf),
    null="0 ± ‖g‖ ‖step‖/√n for a random direction",
    cost="products",
)
def predicted_decrease(
    gradient: xarray.DataArray,
    step: xarray.DataArray,
    before: xarray.DataArray,
    after: xarray.DataArray,
    *,
    dim: Dims,
) -> xarray.DataArray:
    """Decrease of the loss to first order in a step of one projection, ``−⟨g, step⟩``; with ``step = −η Δ`` it is
    ``η ⟨g, Δ⟩``.

    Range −∞ to ∞; negative beyond an `update_angle` of 90°. Chance level ``0 ± ‖g‖ ‖step‖/√n`` for a random direction
    of n weights. Cost: one pass; while training a second backward pass.

    Args:
        gradient, step, before, after, dim: as for `realised_decrease`.

    Returns:
        Decrease in units of the loss, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Taylor's theorem; Nocedal and Wright, Numerical Optimization (2006).
    """
    return _of_step("predicted_decrease", "predicted decrease of the loss", gradient, step, before, after, dim)


@statistic(
    of="step",
    array=base.decrease_ratio,
    title="realised over predicted decrease of the loss",
    formula="[ℓ(W) − ℓ(W + step)] / −⟨g, step⟩",
    range=(-numpy.inf, numpy.inf),
    null="1 for a step so small that the loss is linear, in whatever direction",
    cost="products",
)
def decrease_ratio(
    gradient: xarray.DataArray,
    step: xarray.DataArray,
    before: xarray.DataArray,
    after: xarray.DataArray,
    *,
    dim: Dims,
) -> xarray.DataArray:
    """Realised over predicted decrease of the loss, ``[ℓ(W) − ℓ(W + step)] / −⟨g, step⟩``: whether a change does what
    its direction promises.

    Range −∞ to ∞. Null level 1, for any direction, where the step is so small that the loss is linear. Below 1 the loss
    bends up along the step (½ at a quadratic's minimum: the step is as long as is useful), below 0 the loss rises
    though it should fall, or falls though it should rise. Read it beside `predicted_decrease`: near 90° to the gradient
    the prediction is near 0 and the ratio means nothing. NaN where nothing is predicted. Cost: a forward pass for each
    projection, and while training a second backward pass.

    Args:
        gradient, step, before, after, dim: as for `realised_decrease`.

    Returns:
        Ratio, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: none; the ratio that trust-region methods steer by (Nocedal and Wright, Numerical Optimization, 2006).
    """
    return _of_step("decrease_ratio", "realised over predicted decrease", gradient, step, before, after, dim)


def _of_step(
    name: str,
    title: str,
    gradient: xarray.DataArray,
    step: xarray.DataArray,
    before: xarray.DataArray,
    after: xarray.DataArray,
    dim: Dims,
) -> xarray.DataArray:
    dims = names(dim)
    require(name, [gradient, step], dims)
    try:
        found = xarray.apply_ufunc(
            getattr(base, name),
            gradient,
            step,
            before,
            after,
            input_core_dims=[dims, dims, [], []],
            join="exact",
            kwargs={"axis": tuple(range(-len(dims), 0))},
        )
    except ValueError as error:
        raise disagreement(name, [gradient, step, before, after], error) from None
    return found.rename(name).assign_attrs(long_name=title, units="1")


def gradient_products(error: Any, activity: Any) -> Any:
    """Inner products of the weight changes that single samples ask of a dense projection,
    ``⟨δ_n h_nᵀ, δ_m h_mᵀ⟩ = ⟨δ_n, δ_m⟩ ⟨h_n, h_m⟩``, without making any of them.

    Cost: samples² · (post + pre), against samples · post · pre and the memory of as many changes.

    Args:
        error: at the target, [..., sample, post]; array or tensor.
        activity: of the source, [..., sample, pre].

    Returns:
        [..., sample, sample].

    Example:
        >>> gradient_products(np.array([[1.0], [2.0]]), np.array([[3.0], [1.0]])).tolist()
        [[9.0, 6.0], [6.0, 4.0]]

    Reference: none; the identity is that of tangent kernels (Jacot et al. 2018, arXiv 1806.07572).
    """
    return base.gradient_products(error, activity)


def class_cosine(
    products: Any, label: Any, area: Any = None, *, relation: str = "whole", absolute: bool = False
) -> Any:
    """Mean cosine between what different groups of vectors add up to, ``mean over c ≠ d of ⟨G_c, G_d⟩ / (‖G_c‖ ‖G_d‖)``
    with ``G_c = Σ_{n in c} g_n``, from the inner products of the g_n alone.

    For vectors [..., item, entry] the products are ``g @ g.mT``; with a vector for each class, labels count up. Range
    −1/(C − 1) to 1 for C classes; null 0 ± 1/√(entries) for a pair. Vectors that are zero are left out; NaN where no
    pair is left.

    Args:
        products: ⟨g_n, g_m⟩, [..., item, item]; array or tensor.
        label: class of each item, int; below 0 none.
        area: area of each item, int. Its items lie in weights of their own.
        relation: "whole": all areas as one vector. "within": classes in the same area. "across": classes in different
            areas, their weights laid on each other.
        absolute: mean of the cosines' size.

    Returns:
        [...].

    Raises:
        ValueError: for an unknown relation, or one that needs areas.

    Example:
        >>> g = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
        >>> f"{class_cosine(g @ g.T, np.array([0, 1, 2])):.4f}"
        '0.4714'

    Reference: Riemer et al. (2019), arXiv 1810.11910.
    """
    return base.class_cosine(products, label, area, relation=relation, absolute=absolute)


@statistic(
    of="sample_changes",
    array=base.interference,
    title="mean cosine between the changes for different classes",
    formula="mean_{c ≠ d} cos(G_c, G_d), G_c = Σ_{n in c} δ_n h_nᵀ, areas apart",
    range=(-1, 1),
    null="0 ± 1/√n for independent directions of n weights; −1/(C − 1) for changes that cancel",
    form="matrix",
    cost="products",
    labels=SAMPLES,
)
def interference(
    error: xarray.DataArray,
    activity: xarray.DataArray,
    label: xarray.DataArray,
    area: xarray.DataArray,
    *,
    dim: Sequence[Hashable],
) -> xarray.DataArray:
    """Mean cosine between the changes that different classes ask of a projection, ``mean over c ≠ d of cos(G_c, G_d)``
    with ``G_c = Σ_{n in c} δ_n h_nᵀ``, all areas as one vector: below 0 classes undo each other's changes
    (interference), above 0 they share them.

    Range −1/(C − 1) (they cancel) to 1. Chance level 0 ± 1/√n for independent directions of n weights; a softmax output
    starts near −1/(C − 1), and shared mean activity raises it. Samples in different areas change different weights,
    which by itself brings it towards 0. Classes without a change are left out; NaN where no pair is left. Cost:
    samples² · (post + pre); no change of a single class is made.

    Args:
        error: at the target, [sample, post]; the circuit's own for its changes, backpropagation's for gradients.
        activity: of the source, [sample, pre].
        label: class of each sample, int; below 0 none.
        area: selected area of each sample at the target, int; zeros where there are none.
        dim: the dimensions (sample, post, pre).

    Returns:
        Cosine, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Riemer et al., Learning to learn without forgetting by maximizing transfer and minimizing interference
        (2019), arXiv 1810.11910.
    """
    return _between("interference", "mean cosine between classes", error, activity, label, area, dim)


@statistic(
    of="sample_changes",
    array=base.absolute_interference,
    title="mean size of the cosine between the changes for different classes",
    formula="mean_{c ≠ d} |cos(G_c, G_d)|, areas apart",
    range=(0, 1),
    null="√(2/(π n)) for independent directions of n weights",
    form="matrix",
    cost="products",
    labels=SAMPLES,
)
def absolute_interference(
    error: xarray.DataArray,
    activity: xarray.DataArray,
    label: xarray.DataArray,
    area: xarray.DataArray,
    *,
    dim: Sequence[Hashable],
) -> xarray.DataArray:
    """Mean size of the cosine between the changes of different classes, ``mean over c ≠ d of |cos(G_c, G_d)|``.

    Range 0 (they have nothing to do with each other) to 1. Chance level √(2/(π n)) for n weights: it falls with width
    alone, so compare at the same size. Cost: as `interference`.

    Args:
        error, activity, label, area, dim: as for `interference`.

    Returns:
        Size of the cosine, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Riemer et al. (2019), arXiv 1810.11910, for the cosine.
    """
    return _between("absolute_interference", "mean size of the cosine", error, activity, label, area, dim)


@statistic(
    of="area_changes",
    array=base.interference_within,
    title="mean cosine between the changes for different classes in the same area",
    formula="mean_k mean_{c ≠ d} cos(G_ck, G_dk)",
    range=(-1, 1),
    null="0 ± 1/√n for independent directions of n weights of an area",
    form="matrix",
    cost="products",
    labels=SAMPLES,
)
def interference_within(
    error: xarray.DataArray,
    activity: xarray.DataArray,
    label: xarray.DataArray,
    area: xarray.DataArray,
    *,
    dim: Sequence[Hashable],
) -> xarray.DataArray:
    """Mean cosine between the changes that different classes ask of the same area, ``mean of cos(G_ck, G_dk)`` over
    areas k and classes c ≠ d that both select k, each pair counted alike.

    Range −1 to 1. Chance level 0 ± 1/√n for n weights of an area. With one area it is `interference`. NaN where no area
    has two classes. Cost: as `interference`.

    Args:
        error, activity, label, area, dim: as for `interference`.

    Returns:
        Cosine, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Riemer et al. (2019), arXiv 1810.11910, for the cosine; by area ours.
    """
    return _between("interference_within", "mean cosine in the same area", error, activity, label, area, dim)


@statistic(
    of="area_changes",
    array=base.interference_across,
    title="mean cosine between the changes for different classes in different areas",
    formula="mean_{k ≠ l} mean_{c ≠ d} cos(G_ck, G_dl)",
    range=(-1, 1),
    null="0 ± 1/√n for independent directions of n weights of an area",
    form="matrix",
    cost="products",
    labels=SAMPLES,
)
def interference_across(
    error: xarray.DataArray,
    activity: xarray.DataArray,
    label: xarray.DataArray,
    area: xarray.DataArray,
    *,
    dim: Sequence[Hashable],
) -> xarray.DataArray:
    """Mean cosine between the changes of different classes in different areas, ``mean of cos(G_ck, G_dl)`` over k ≠ l
    and c ≠ d: what would interfere, did the areas share their weights. Nothing of it does: `interference`
    counts it as 0.

    Range −1 to 1. Chance level 0 ± 1/√n for n weights of an area. NaN with one area. Cost: as `interference`.

    Args:
        error, activity, label, area, dim: as for `interference`.

    Returns:
        Cosine, with all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Riemer et al. (2019), arXiv 1810.11910, for the cosine; by area ours.
    """
    return _between("interference_across", "mean cosine in different areas", error, activity, label, area, dim)


def _between(name: str, title: str, *arrays_and_dim: Any) -> xarray.DataArray:
    *arrays, dim = arrays_and_dim
    sample, post, pre = dim
    dims = [[sample, post], [sample, pre], [sample], [sample]]
    return lift_matrix(getattr(base, name), *arrays, dims=dims, name=name, attrs={"long_name": title, "units": "1"})
