"""How evenly the areas of a population are used, and what they know of the classes."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy
import xarray

from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import Dims, lift


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


@statistic(
    of="usage",
    array=base.usage_peak,
    title="use of the most used area over the even share",
    formula="K max_k p_k",
    range=(1, numpy.inf),
    null="between 1 and 1 + √(2 (K − 1) ln K / n) on average for n samples thrown evenly",
)
def usage_peak(usage: xarray.DataArray, *, dim: Hashable = "area") -> xarray.DataArray:
    """Largest share over the mean share, ``K max_k p_k``.

    Range 1 (all areas alike) to K (one takes all). Chance level: n samples thrown evenly give at most
    ``1 + √(2 (K − 1) ln K / n)`` on average, for large n/K. Areas that are NaN do not exist; NaN where no area was
    used. Cost: one pass.

    Args:
        usage: share or count of samples; shares are taken of their sum.
        dim: the dimension of areas.

    Raises:
        NeurosalError: when the dimension is missing (with near names).

    Reference: Fedus, Zoph and Shazeer, Switch transformers (2021), arXiv 2101.03961, where it bounds the capacity.
    """
    attrs = {"long_name": "use of the most used area over the even share", "units": "1"}
    return lift(base.usage_peak, usage, dim=dim, name="usage_peak", attrs=attrs)


@statistic(
    of="routes",
    array=base.switch_rate,
    title="share of samples that changed area",
    formula="mean(area_before ≠ area_now)",
    range=(0, 1),
    null="1 − Σ_k p_k q_k for independent choices with shares p and q: 1 − 1/K when even",
)
def switch_rate(before: xarray.DataArray, now: xarray.DataArray, *, dim: Dims = "trial") -> xarray.DataArray:
    """Share of samples whose selected area is another than before, ``mean over samples of [area_before ≠ area_now]``.

    Range 0 (a frozen route) to 1. Chance level: independent choices with shares p and q differ in ``1 − Σ_k p_k q_k``
    of the samples, which is ``1 − 1/K`` when they are even. Areas below 0 are samples that do not exist, and are left
    out; NaN where none is left. Cost: one pass.

    Args:
        before, now: selected area of the same samples, int.
        dim: the dimension of samples.

    Raises:
        NeurosalError: when the dimension is missing (with near names) or lengths disagree.

    Example:
        >>> before = xarray.DataArray([0, 1, 2, -1], dims="trial")
        >>> float(switch_rate(before, xarray.DataArray([0, 1, 1, 0], dims="trial")))
        0.3333333333333333

    Reference: none; as the fluctuation of routes of Dai et al., StableMoE (2022), arXiv 2204.08396.
    """
    attrs = {"long_name": "share of samples that changed area", "units": "1"}
    return lift(base.switch_rate, before, now, dim=dim, name="switch_rate", attrs=attrs)


@statistic(
    of="routes_labels",
    array=base.mutual_information,
    title="mutual information of area and class",
    formula="Σ p(k, c) log₂ [p(k, c) / (p(k) p(c))]",
    range=(0, numpy.inf),
    null="(K − 1)(C − 1)/(2 n ln 2) bits for n samples of independent areas and classes",
    units="bit",
    cost="passes",
)
def mutual_information(area: xarray.DataArray, label: xarray.DataArray, *, dim: Hashable = "trial") -> xarray.DataArray:
    """Bits that the selected area tells of the class, ``I = Σ p(k, c) log₂ [p(k, c) / (p(k) p(c))]`` of the counts.

    Range 0 to the smaller of the entropies of areas and classes. Chance level: the counts of n samples of independent
    areas and classes share about ``(K − 1)(C − 1)/(2 n ln 2)`` bits, K and C the areas and classes that occur;
    `corrected_information` takes it off, `shuffled_bits` draws the null itself. Areas and labels below 0 are samples
    that do not exist. NaN without samples. Cost: a product of samples · areas · classes.

    Args:
        area: selected area of each sample, int.
        label: class of each sample, int.
        dim: the dimension of samples.

    Returns:
        Bits, with all other dimensions kept.

    Raises:
        NeurosalError: when the dimension is missing (with near names) or lengths disagree.

    Example:
        >>> area = xarray.DataArray([0, 0, 1, 1], dims="trial")
        >>> float(mutual_information(area, xarray.DataArray([3, 3, 5, 5], dims="trial")))
        1.0

    Reference: Cover and Thomas, Elements of Information Theory (2006).
    """
    attrs = {"long_name": "mutual information of area and class", "units": "bit"}
    return lift(base.mutual_information, area, label, dim=dim, name="mutual_information", attrs=attrs)


@statistic(
    of="routes_labels",
    array=base.corrected_information,
    title="mutual information of area and class, less its bias",
    formula="I − (K − 1)(C − 1)/(2 n ln 2)",
    range=(-numpy.inf, numpy.inf),
    null="about 0 for independent areas and classes with many samples a cell",
    units="bit",
)
def corrected_information(
    area: xarray.DataArray, label: xarray.DataArray, *, dim: Hashable = "trial"
) -> xarray.DataArray:
    """`mutual_information` less what n samples of independent areas and classes have,
    ``I − (K − 1)(C − 1)/(2 n ln 2)``.

    Range: below 0 by at most the bias, to the smaller of the two entropies. Chance level about 0; with few samples a
    cell of the table (below 5) the correction is too large, and `shuffled_bits` is better. Cost: as
    `mutual_information`.

    Args:
        area, label, dim: as for `mutual_information`.

    Returns:
        Bits, with all other dimensions kept.

    Raises:
        NeurosalError: when the dimension is missing (with near names) or lengths disagree.

    Reference: Miller, Note on the bias of information estimates (1955); Panzeri and Treves, Network 7 (1996).
    """
    attrs = {"long_name": "mutual information of area and class, less its bias", "units": "bit"}
    return lift(base.corrected_information, area, label, dim=dim, name="corrected_information", attrs=attrs)


@statistic(
    of="pair",
    array=base.area_angle,
    title="angle between forward weights and feedback path of each area",
    formula="arccos(⟨W^k, B^k⟩ / (‖W^k‖ ‖B^k‖))",
    range=(0, 180),
    null="90° ± 57.3°/√n for independent weights of mean zero, n in an area",
    units="degree",
    form="unit",
    per=("area",),
)
def area_angle(w: xarray.DataArray, b: xarray.DataArray, *, dim: Dims) -> xarray.DataArray:
    """Angle of each area's own weights, ``arccos(⟨W^k, B^k⟩ / (‖W^k‖ ‖B^k‖))``: symmetry area by area. An area that was
    never selected stays where it started.

    Range 0° to 180°. Chance level 90° ± 57.3°/√n with n the weights of one area, as for `angle`, which sees all areas
    as one vector. Cost: as `angle`.

    Args:
        w, b: labelled arrays, matched by name.
        dim: the dimensions of one area's weights, e.g. ``("hidden1", "output")``.

    Returns:
        Degrees, with the areas and all other dimensions kept.

    Raises:
        NeurosalError: when a dimension is missing (with near names) or lengths disagree.

    Reference: Lillicrap et al. (2016), arXiv 1411.0247.
    """
    attrs = {"long_name": "angle of each area", "units": "degree"}
    return lift(base.area_angle, w, b, dim=dim, name="area_angle", attrs=attrs)


def shared_bits(counts: Any, *, corrected: bool = False) -> Any:
    """Mutual information of a table of counts [..., row, column], ``Σ p(r, c) log₂ [p(r, c) / (p(r) p(c))]``.

    As `mutual_information`, where counts were added up (`label_counts`). Null: (R − 1)(C − 1)/(2 n ln 2) bits.

    Args:
        counts: array or tensor.
        corrected: less the null.

    Returns:
        Bits [...]; NaN for a table without counts.

    Example:
        >>> float(shared_bits([[5, 0], [0, 5]]))
        1.0

    Reference: Cover and Thomas, Elements of Information Theory (2006).
    """
    return base.shared_bits(counts, corrected=corrected)


def shuffled_bits(counts: Any, *, draws: int = 100, seed: int = 0) -> numpy.ndarray[Any, Any]:
    """The permutation null of `shared_bits`: of random tables with the same margins, as labels in random order give.

    Cost: `draws` random tables.

    Args:
        counts: int [..., row, column].
        draws: how many.
        seed: of the tables.

    Returns:
        Bits [draws, ...].

    Example:
        >>> counts = label_counts([0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], areas=2, labels=2)
        >>> bool(shuffled_bits(counts).mean() < shared_bits(counts))
        True

    Reference: Patefield, Algorithm AS 159: generating random r × c tables, Applied Statistics 30 (1981).
    """
    return base.shuffled_bits(counts, draws=draws, seed=seed)


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
