"""How evenly the areas of a population are used, and what they know of the classes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy
import xarray

from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import lift


@statistic(
    of="usage",
    array=base.usage_entropy,
    title="relative entropy of the use of areas",
    formula="−Σ p_k log₂ p_k / log₂ K",
    range=(0, 1),
    null="1 − (K − 1)/(2 n ln K) for n samples thrown evenly",
)
def usage_entropy(usage: xarray.DataArray, *, dim: Hashable = "area", relative: bool = True) -> xarray.DataArray:
    """Entropy of the share of samples that each area takes, ``H = −Σ p_k log₂ p_k``; relative: ``H / log₂ K``.

    Range 0 (one area takes all) to 1 (all alike), or to log₂ K bits with ``relative=False``; ``2**bits`` is the number
    of areas in effective use.
    There is no chance level: n samples thrown evenly at random give 1 − (K − 1)/(2 n ln K) on average. Areas that are
    NaN do not exist (populations with fewer areas are padded); NaN where no area was used and, when relative, for a
    single area. Cost: one pass.

    Args:
        usage: share or count of samples; shares are taken of their sum.
        dim: the dimension of areas.
        relative: divide by the largest possible entropy.

    Raises:
        NeurosalError: when the dimension is missing (with near names).

    Reference: Shannon, A mathematical theory of communication, Bell System Technical Journal 27 (1948).
    """
    attrs = {
        "long_name": "relative usage entropy" if relative else "usage entropy",
        "units": "1" if relative else "bit",
    }
    return lift(base.usage_entropy, usage, dim=dim, name="usage_entropy", attrs=attrs, relative=relative)


@statistic(
    of="usage",
    array=base.dead_areas,
    title="areas that take less than a tenth of the even share",
    formula="#{k: p_k K < 0.1}",
    range=(0, numpy.inf),
    null="0 for even chances and many samples",
)
def dead_areas(usage: xarray.DataArray, *, dim: Hashable = "area", below: float = 0.1) -> xarray.DataArray:
    """Number of areas that take less than `below` of the even share: ``#{k: p_k K < below}``.

    Range 0 to K − 1. Null level 0: with even chances and many samples none is dead. The limit is not zero because
    usage is often a running mean, which never gets there. Areas that are NaN do not exist; NaN where no area was used.
    Cost: one pass.

    Args:
        usage: share or count of samples; shares are taken of their sum.
        dim: the dimension of areas.
        below: share of the even share 1/K under which an area counts as dead.

    Raises:
        NeurosalError: when the dimension is missing (with near names).

    Reference: none; the count of experts without work, as reported for mixtures of experts (Shazeer et al. 2017, arXiv
        1701.06538).
    """
    return lift(
        base.dead_areas, usage, dim=dim, name="dead_areas", attrs={"long_name": "dead areas", "units": "1"}, below=below
    )


def label_counts(area: Any, label: Any, *, areas: int, labels: int) -> numpy.ndarray[Any, Any]:
    """How many samples of each label each area took, ``C[..., k, c] = #{n: area_n = k, label_n = c}``.

    Cost: one pass.

    Args:
        area: selected area of each sample, int [..., N].
        label: class of each sample, int [N].
        areas, labels: how many there are.

    Returns:
        int64 [..., areas, labels]; counts of parts of a data set add up.

    Example:
        >>> label_counts([0, 0, 1], [2, 2, 0], areas=2, labels=3).tolist()
        [[0, 0, 2], [1, 0, 0]]
    """
    area, label = numpy.asarray(area, numpy.int64), numpy.asarray(label, numpy.int64)
    rows = area.reshape(-1, area.shape[-1])
    cell = (numpy.arange(len(rows))[:, None] * areas + rows) * labels + label
    counts = numpy.bincount(cell.ravel(), minlength=len(rows) * areas * labels)
    return counts.reshape(*area.shape[:-1], areas, labels)


def vote_accuracy(seen: Any, asked: Any) -> numpy.ndarray[Any, Any]:
    """Accuracy of answering with the commonest label of the area that a sample takes:
    ``Σ_k asked[k, argmax_c seen[k, c]] / Σ asked``.

    It is what routing alone knows of the classes: a network with areas that is not better than this has learned nothing
    within them. Range 0 to 1. Chance level: the share of the commonest label of all, which is what an area without a
    sample in `seen` answers. Of equally common labels the smallest is taken. Cost: one pass.

    Args:
        seen: samples of the training part by area and label, [..., K, C], from `label_counts`.
        asked: those of the part that is judged, [..., K, C].

    Returns:
        float64 [...]; NaN where nothing is asked.

    Example:
        >>> float(vote_accuracy([[0, 5], [3, 1]], [[1, 3], [4, 0]]))
        0.875

    Reference: none; the purity of a clustering (Manning, Raghavan, Schütze, Introduction to Information Retrieval,
        2008), with labels assigned on other samples.
    """
    seen, asked = numpy.asarray(seen), numpy.asarray(asked, numpy.float64)
    commonest = seen.sum(-2, keepdims=True).argmax(-1)
    answer = numpy.where(seen.any(-1), seen.argmax(-1), commonest)
    right = numpy.take_along_axis(asked, answer[..., None], -1)[..., 0].sum(-1)
    total = asked.sum((-2, -1))
    return numpy.divide(right, total, out=numpy.full_like(right, numpy.nan), where=total > 0)
