"""How alike two representations of the same samples are, of plain arrays [..., sample, unit]; see
`neurosal.stats.similarity`."""

from __future__ import annotations

from typing import Any

import numpy

from neurosal.stats.base.activity import centred, product_squared, rows
from neurosal.stats.base.arrays import kept, namespace, wide

METRICS = ("correlation", "cosine", "euclidean")
DIGITS = 10  # of the largest dissimilarity, to which ranks tell two apart
COMPARISONS = ("spearman", "kendall", "pearson", "cosine")


def linear_cka(x: Any, y: Any, *, debiased: bool = False) -> Any:
    """Linear centred kernel alignment; see `neurosal.stats.linear_cka`."""
    x, y = shared(x, y)
    (x, count), (y, _) = centred(x), centred(y)
    functions = namespace(x)
    if x.shape[-2] < max(x.shape[-1], y.shape[-1]):  # two Gram matrices are less work than three products of features
        k, j = x @ x.mT, y @ y.mT
        products = [(one * other).sum((-2, -1)) for one, other in ((k, j), (k, k), (j, j))]
    else:
        products = [product_squared(one, other) for one, other in ((x, y), (x, x), (y, y))]
    if debiased:
        sides = ((x, y), (x, x), (y, y))
        products = [_unbiased(product, *side, count) for product, side in zip(products, sides, strict=True)]
    # A length that is not positive has no direction; estimates without bias may be negative.
    first, second = (functions.where(length > 0, length, functions.nan) for length in products[1:])
    return products[0] / first**0.5 / second**0.5


def debiased_cka(x: Any, y: Any) -> Any:
    """Linear centred kernel alignment without bias; see `neurosal.stats.debiased_cka`."""
    return linear_cka(x, y, debiased=True)


def _unbiased(product: Any, x: Any, y: Any, count: Any) -> Any:
    """Inner product of the U-centred Gram matrices of centred x and y from that of the Gram matrices, up to a factor
    that depends on `count` alone."""
    functions = namespace(x)
    count = functions.where(count > 3, count, functions.nan)
    x_N, y_N = (x * x).sum(-1), (y * y).sum(-1)
    diagonal, traces = (x_N * y_N).sum(-1), x_N.sum(-1) * y_N.sum(-1)
    return product - count / (count - 2) * diagonal + traces / ((count - 1) * (count - 2))


def procrustes_distance(x: Any, y: Any) -> Any:
    """``min_Q ‖x − y Q‖`` of centred representations of norm 1; see `neurosal.stats.procrustes_distance`."""
    narrow, broad = sorted((_compact(centred(one)[0]) for one in shared(x, y)), key=lambda one: one.shape[-1])
    functions = namespace(narrow)
    lengths = [(one * one).sum((-2, -1)) ** 0.5 for one in (narrow, broad)]
    undefined = ~((lengths[0] > 0) & (lengths[1] > 0))
    # A decomposition refuses NaN for all replicas because of one.
    narrow, broad = (
        functions.where(kept(undefined, (-2, -1)), 0.0, one / kept(functions.where(undefined, 1.0, length), (-2, -1)))
        for one, length in zip((narrow, broad), lengths, strict=True)
    )
    u, _, v = functions.linalg.svd(broad.mT @ narrow, full_matrices=False)
    turned = broad @ u
    # Not 2 − 2 Σσ: near 0 its rounding is 1e-8, and identical representations lie there.
    square = ((narrow - turned @ v) ** 2).sum((-2, -1)) + ((broad - turned @ u.mT) ** 2).sum((-2, -1))
    return functions.where(undefined, functions.nan, square**0.5)


def _compact(matrix: Any) -> Any:
    """[..., sample, unit] with at most as many units as samples, and the same Gram matrix."""
    if matrix.shape[-1] <= matrix.shape[-2]:
        return matrix
    functions = namespace(matrix)
    undefined = kept(functions.isnan(matrix).any(-1).any(-1), (-2, -1))
    _, triangle = functions.linalg.qr(functions.where(undefined, 0.0, matrix).mT)
    return functions.where(undefined, functions.nan, triangle.mT)


def shared(x: Any, y: Any) -> tuple[Any, Any]:
    """Both in float64, NaN in every sample that one of them does not have."""
    x, y = wide(x), wide(y)
    functions = namespace(x)
    missing = kept(functions.isnan(x).all(-1) | functions.isnan(y).all(-1), -1)
    return functions.where(missing, functions.nan, x), functions.where(missing, functions.nan, y)


def dissimilarity(activity: Any, *, metric: str = "correlation") -> Any:
    """Distances between samples, [..., sample, sample]; see `neurosal.stats.dissimilarity`."""
    known, exists = rows(activity)
    functions = namespace(known)
    if metric == "euclidean":
        known = _apart(known)
    elif metric in METRICS:
        known = known - kept(known.mean(-1), -1) if metric == "correlation" else known
        top = functions.amax(functions.abs(known), -1)
        known = known / kept(functions.where(top > 0, top, functions.nan), -1)
        known = known / kept((known * known).sum(-1) ** 0.5, -1)
        apart = 1 - known @ known.mT
        known = functions.where(apart < 0, 0.0, apart)
    else:
        raise ValueError(f"metric is one of {', '.join(METRICS)}, not {metric!r}")
    both = kept(exists, -1) & kept(exists, -2)
    return functions.where(both, known, functions.nan)


def _apart(points: Any) -> Any:
    """Euclidean distances between the samples, sample by sample: no difference of large squares."""
    functions = namespace(points)
    rows_ = [((points - points[..., n : n + 1, :]) ** 2).sum(-1) ** 0.5 for n in range(points.shape[-2])]
    return functions.stack(rows_, -2)


def rsa(x: Any, y: Any, *, metric: str = "correlation", compare: str = "spearman") -> Any:
    """Correlation of two dissimilarity matrices; see `neurosal.stats.rsa`."""
    if compare not in COMPARISONS:
        raise ValueError(f"compare is one of {', '.join(COMPARISONS)}, not {compare!r}")
    first, second = (host(dissimilarity(one, metric=metric)) for one in shared(x, y))
    first, second = numpy.broadcast_arrays(first, second)
    upper = numpy.triu_indices(first.shape[-1], 1)
    found = numpy.full(first.shape[:-2], numpy.nan)
    exist = [~numpy.isnan(host(wide(one))).all(-1) for one in (x, y)]
    there = numpy.broadcast_to(exist[0] & exist[1], first.shape[:-1])
    for index in numpy.ndindex(*found.shape):
        pairs = (there[index][:, None] & there[index])[upper]
        found[index] = _compared(first[index][upper][pairs], second[index][upper][pairs], compare)
    return back(found, x)


def _compared(first: Any, second: Any, compare: str) -> float:
    """One comparison of two vectors of dissimilarities; NaN where it has no answer."""
    from scipy.stats import kendalltau, rankdata

    if not first.size or not (numpy.isfinite(first).all() and numpy.isfinite(second).all()):
        return numpy.nan
    if compare in ("spearman", "kendall"):
        # Samples with few active units have equal distances, of which rounding must not make an order.
        first, second = (numpy.round(one / max(one.max(), 1e-300), DIGITS) for one in (first, second))
    if compare != "cosine" and ((first == first[0]).all() or (second == second[0]).all()):
        return numpy.nan
    if compare == "kendall":
        return float(kendalltau(first, second).statistic)
    if compare == "spearman":
        first, second = rankdata(first), rankdata(second)
    if compare != "cosine":
        first, second = first - first.mean(), second - second.mean()
    lengths = numpy.sqrt((first**2).sum()) * numpy.sqrt((second**2).sum())
    return float((first * second).sum() / lengths) if lengths > 0 else numpy.nan


def host(array: Any) -> numpy.ndarray[Any, Any]:
    """An array or a tensor as a numpy array."""
    return numpy.asarray(array) if namespace(array) is numpy else array.detach().cpu().numpy()


def back(values: Any, like: Any) -> Any:
    """`values` as the kind of array that `like` is."""
    functions = namespace(like)
    return values if functions is numpy else functions.as_tensor(values, device=like.device)
