"""Kernels between samples, and how far learning moves them, of plain arrays; see `neurosal.stats.kernels`."""

from __future__ import annotations

from typing import Any

from neurosal.stats.base.activity import counted, over, rows, scaled
from neurosal.stats.base.arrays import kept, namespace, wide
from neurosal.stats.base.groups import members
from neurosal.stats.base.similarity import linear_cka, shared


def activity_kernel(activity: Any) -> Any:
    """``K = h hᵀ / units``, [..., sample, sample]; see `neurosal.stats.activity_kernel`."""
    activity = wide(activity)
    return activity @ activity.mT / activity.shape[-1]


def tangent_kernel(jacobian: Any, activity: Any) -> Any:
    """``Σ_o (J_o J_oᵀ) ∘ (h hᵀ)`` of one projection, [..., sample, sample]; see `neurosal.stats.tangent_kernel`."""
    jacobian, activity = wide(jacobian), wide(activity)
    return (jacobian @ jacobian.mT).sum(-3) * (activity @ activity.mT)


def kernel_distance(kernel: Any, before: Any) -> Any:
    """``1 − ⟨K, K₀⟩ / (‖K‖ ‖K₀‖)``; see `neurosal.stats.kernel_distance`."""
    kernel, before, _ = _existing(kernel, before)
    return _distance(kernel, before)


def activity_kernel_distance(activity: Any, before: Any) -> Any:
    """`kernel_distance` of the activity kernels; see `neurosal.stats.activity_kernel_distance`."""
    one, other = (scaled(rows(entry)[0]) for entry in shared(activity, before))
    return _distance(one @ one.mT, other @ other.mT)


def _distance(kernel: Any, before: Any) -> Any:
    # Not 1 − cosine: a lazy network moves its kernel by less than the rounding of 1.
    return ((_direction(kernel) - _direction(before)) ** 2).sum((-2, -1)) / 2


def _direction(kernel: Any) -> Any:
    kernel = scaled(kernel)
    return over(kernel, kept((kernel * kernel).sum((-2, -1)) ** 0.5, (-2, -1)))


def _existing(kernel: Any, other: Any) -> tuple[Any, Any, Any]:
    """Both in float64, 0 in rows and columns of samples that one of them lacks (NaN throughout), and which exist."""
    kernel, other = wide(kernel), wide(other)
    functions = namespace(kernel)
    exists = ~(functions.isnan(kernel).all(-1) | functions.isnan(other).all(-1))
    both = kept(exists, -1) & kept(exists, -2)
    finite = (functions.where(functions.isfinite(entry), entry, functions.nan) for entry in (kernel, other))
    kernel, other = (functions.where(both, entry, 0.0) for entry in finite)
    return kernel, other, exists


def target_alignment(activity: Any, label: Any, *, debiased: bool = False) -> Any:
    """`linear_cka` with the one-hot labels; see `neurosal.stats.target_alignment`."""
    return linear_cka(activity, one_hot(label, activity), debiased=debiased)


def debiased_target_alignment(activity: Any, label: Any) -> Any:
    """`debiased_cka` with the one-hot labels; see `neurosal.stats.debiased_target_alignment`."""
    return target_alignment(activity, label, debiased=True)


def kernel_target_alignment(kernel: Any, label: Any) -> Any:
    """``⟨K_c, Y Yᵀ⟩ / (‖K_c‖ ‖Y_c Y_cᵀ‖)``; see `neurosal.stats.kernel_target_alignment`."""
    target = one_hot(label, kernel)
    kernel, target, exists = _existing(kernel, target @ target.mT)
    one, other = (_direction(_centred(entry, exists)) for entry in (kernel, target))
    return (one * other).sum((-2, -1))


def _centred(kernel: Any, exists: Any) -> Any:
    """``H K H`` over the samples that exist, 0 in the others."""
    functions = namespace(kernel)
    count = counted(exists)
    kernel = scaled(kernel)
    for axis in (-1, -2):
        mean = kernel.sum(axis) / kept(count, -1)
        kernel = kernel - kept(mean, axis)
        kernel = functions.where(kept(exists, -1) & kept(exists, -2), kernel, 0.0)
    return kernel


def one_hot(label: Any, like: Any) -> Any:
    """[..., sample, class] of labels; NaN for a negative one, which is no sample."""
    hot = members(label, like)
    return namespace(hot).where(hot.sum(-1)[..., None] > 0, hot, namespace(hot).nan)
