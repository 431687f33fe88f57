"""Weights of one projection, as plain arrays; see `neurosal.stats.weights`."""

from __future__ import annotations

from typing import Any

import numpy

from neurosal.stats.base.arrays import Axis, kept, namespace, norm, wide

MODELS = ("lognormal", "gamma", "exponential", "half_normal", "normal")
NEWTON_STEPS = 12


def singular_values(w: Any) -> Any:
    """Singular values of [..., post, pre], descending; NaN for a matrix that is not finite."""
    w = wide(w)
    functions = namespace(w)
    finite = functions.isfinite(w).all(-1).all(-1)[..., None]
    values = functions.linalg.svdvals(functions.where(finite[..., None], w, 0.0))
    return functions.where(finite, values, functions.nan)


def effective_rank(w: Any) -> Any:
    """Exponential of the entropy of singular values of [..., post, pre]; see `neurosal.stats.effective_rank`."""
    values = singular_values(w)
    functions = namespace(values)
    total = values.sum(-1)
    share = values / functions.where(total > 0, total, functions.nan)[..., None]
    safe = functions.where(share > 0, share, 1.0)  # NaN is not above 0: it comes back with the total
    return functions.exp(-(safe * functions.log(safe)).sum(-1)) + 0 * share.sum(-1)


def stable_rank(w: Any) -> Any:
    """Squared Frobenius norm over squared largest singular value; see `neurosal.stats.stable_rank`."""
    values = singular_values(w)
    functions = namespace(values)
    top = values[..., :1]
    share = values / functions.where(top > 0, top, functions.nan)
    return (share * share).sum(-1)


def drift(now: Any, start: Any, *, axis: Axis) -> Any:
    """Norm of the change since the start over the norm then; see `neurosal.stats.drift`."""
    return _relative(wide(now) - wide(start), start, axis)


def update_size(update: Any, w: Any, *, axis: Axis) -> Any:
    """Norm of the proposed change over that of the weights; see `neurosal.stats.update_size`."""
    return _relative(wide(update), w, axis)


def turnover(now: Any, start: Any, *, axis: Axis, threshold: float = 0.1) -> Any:
    """Share of synapses that came or went; see `neurosal.stats.turnover`."""
    here, there, valid = _present(now, start, axis, threshold)
    functions = namespace(valid)
    total = wide(here.sum(axis) + there.sum(axis))
    changed = wide((here ^ there).sum(axis))
    return functions.where(valid, changed / functions.where(total > 0, total, functions.nan), functions.nan)


def survival(now: Any, start: Any, *, axis: Axis, threshold: float = 0.1) -> Any:
    """Share of the first synapses that are still there; see `neurosal.stats.survival`."""
    here, there, valid = _present(now, start, axis, threshold)
    functions = namespace(valid)
    first = wide(there.sum(axis))
    left = wide((here & there).sum(axis))
    return functions.where(valid, left / functions.where(first > 0, first, functions.nan), functions.nan)


def hoyer(w: Any, *, axis: Axis) -> Any:
    """Hoyer's sparsity of magnitudes; see `neurosal.stats.hoyer`."""
    size, ratio = _one_to_two(w, axis)
    return (size**0.5 - ratio) / (size**0.5 - 1) if size > 1 else ratio * float("nan")


def treves_rolls(w: Any, *, axis: Axis) -> Any:
    """Treves and Rolls' sparsity of magnitudes, 0 to 1; see `neurosal.stats.treves_rolls`."""
    size, ratio = _one_to_two(w, axis)
    return (1 - ratio * ratio / size) / (1 - 1 / size) if size > 1 else ratio * float("nan")


def akaike(w: Any, *, axis: Axis) -> Any:
    """AIC of `MODELS` for the magnitudes of what is not zero, [..., model]; see `neurosal.stats.magnitude_fits`."""
    size = abs(wide(w))
    functions = namespace(size)
    counted = (size > 0) & functions.isfinite(size)
    n = wide(counted.sum(axis))
    spoilt = (~functions.isfinite(size)).sum(axis) > 0
    n = functions.where((n > 1) & ~spoilt, n, functions.nan)
    # In units of the mean magnitude: sums of squares and logarithms keep their digits for weights of any scale.
    known = functions.where(counted, size, 0.0)
    scale = (known / kept(n, axis)).sum(axis)
    x = functions.where(counted, size / kept(scale, axis), 1.0)
    logs = functions.log(x)
    mean_log = logs.sum(axis) / n
    var_log = (functions.where(counted, logs - kept(mean_log, axis), 0.0) ** 2).sum(axis) / n
    square = functions.where(counted, x * x, 0.0).sum(axis) / n
    variance = functions.where(counted, x - 1, 0.0)
    variance = (variance * variance).sum(axis) / n
    shape = _gamma_shape(-mean_log)
    positive = functions.where(var_log > 0, var_log, functions.nan)
    circle = float(numpy.log(2 * numpy.pi))
    spread = functions.where(variance > 0, variance, functions.nan)
    # Mean log-likelihood of an entry, in the order of MODELS; the mean of x is 1.
    found = (
        -mean_log - 0.5 * (circle + functions.log(positive)) - 0.5,
        (shape - 1) * mean_log - shape + shape * functions.log(shape) - _log_gamma(shape),
        0 * mean_log - 1,
        0.5 * (float(numpy.log(2 / numpy.pi)) - functions.log(square)) - 0.5,
        -0.5 * (circle + functions.log(spread)) - 0.5,
    )
    parameters = (2, 2, 1, 1, 2)
    back = 2 * n * functions.log(scale)  # from units of the mean to those of the weights
    return functions.stack([2 * k - 2 * n * entry + back for k, entry in zip(parameters, found, strict=True)], -1)


def lognormality(w: Any, *, axis: Axis) -> Any:
    """AIC of the best other model less that of the log-normal; see `neurosal.stats.lognormality`."""
    found = akaike(w, axis=axis)
    functions = namespace(found)
    return functions.amin(found[..., 1:], -1) - found[..., 0]


def _relative(change: Any, w: Any, axis: Axis) -> Any:
    functions = namespace(change)
    below = norm(w, axis=axis)
    return norm(change, axis=axis) / functions.where((below > 0) & (below < functions.inf), below, functions.nan)


def _present(now: Any, start: Any, axis: Axis, threshold: float) -> tuple[Any, Any, Any]:
    """Which synapses are there now and at the start: larger than a share of the first root mean square."""
    now, start = abs(wide(now)), abs(wide(start))
    functions = namespace(now)
    count = numpy.prod([start.shape[position] for position in ((axis,) if isinstance(axis, int) else axis)])
    limit = threshold * norm(start, axis=axis) / float(count) ** 0.5
    line = kept(limit, axis)
    finite = functions.isfinite(now).sum(axis) == float(count)
    return now > line, start > line, finite & functions.isfinite(limit)


def _one_to_two(w: Any, axis: Axis) -> tuple[float, Any]:
    """Number of entries, and Σ|w| / √(Σ w²)."""
    w = wide(w)
    functions = namespace(w)
    length = norm(w, axis=axis)
    size = float(numpy.prod([w.shape[position] for position in ((axis,) if isinstance(axis, int) else axis)]))
    below = functions.where((length > 0) & (length < functions.inf), length, functions.nan)
    return size, (abs(w) / kept(below, axis)).sum(axis)


def _gamma_shape(gap: Any) -> Any:
    """Most likely shape k of a gamma distribution, log k − ψ(k) = log of the mean − mean of the logs (Minka 2002)."""
    functions = namespace(gap)
    gap = functions.where(gap > 1e-12, gap, functions.nan)  # all alike: no shape is the most likely one
    k = (3 - gap + ((gap - 3) ** 2 + 24 * gap) ** 0.5) / (12 * gap)
    for _ in range(NEWTON_STEPS):
        k = 1 / (1 / k + (functions.log(k) - _digamma(k) - gap) / (k - k * k * _trigamma(k)))
    return k


def _log_gamma(k: Any) -> Any:
    functions = namespace(k)
    if functions is numpy:
        from scipy.special import gammaln

        return gammaln(k)
    return functions.special.gammaln(k)


def _digamma(k: Any) -> Any:
    functions = namespace(k)
    if functions is numpy:
        from scipy.special import digamma

        return digamma(k)
    return functions.special.digamma(k)


def _trigamma(k: Any) -> Any:
    functions = namespace(k)
    if functions is numpy:
        from scipy.special import polygamma

        return polygamma(1, k)
    return functions.special.polygamma(1, k)
