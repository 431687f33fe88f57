"""Arms with common seeds compared pair by pair: tests of the differences, and what so few seeds can show at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]
ROUNDING = 1e-6  # of the mean: differences of accuracies that are the same differ by less, in 32 bits too


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """What tests say of the differences of two arms over common seeds.

    Args:
        count: of differences.
        low, high: interval of their mean, by Student's t: it assumes that differences are normal.
        t: two-sided p of the paired t test.
        wilcoxon: two-sided p of the signed-rank test, exact where it can be.
        smallest: the smallest p that the signed-rank test could give with so many differences.
    """

    count: int
    low: float
    high: float
    t: float
    wilcoxon: float
    smallest: float


def paired_test(differences: Array, confidence: float = 0.95) -> PairedTest:
    """Tests of whether paired differences are about zero.

    ``t = d̄ √n / s`` with n − 1 degrees of freedom, interval ``d̄ ± t* s / √n``; Wilcoxon's W, the sum of the ranks of
    \\|d\\| with d > 0, whose null gives each d either sign: with n differences no p is below 2 / 2ⁿ. Differences of
    exactly zero have no sign and are left out of it (Wilcoxon 1945). Where all are the same but for rounding, nothing
    is known of how they spread: p by t is 1 for zeros, and NaN for others, whose interval is NaN too.

    Args:
        differences: [seed]; what is not finite is left out.
        confidence: of the interval.

    Example:
        >>> paired_test(numpy.array([1.0, 2.0, 3.0])).smallest
        0.25

    Reference: Wilcoxon (1945), doi 10.2307/3001968; Student (1908), doi 10.2307/2331554.
    """
    from scipy import stats

    differences = differences[numpy.isfinite(differences)]
    count = differences.size
    signed = int((differences != 0).sum())
    smallest = min(1.0, 2.0 ** (1 - signed))
    if count < 2:
        return PairedTest(count=count, low=math.nan, high=math.nan, t=math.nan, wilcoxon=math.nan, smallest=smallest)
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(count)
    if error <= ROUNDING * abs(mean):
        error = 0.0
    half = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * error if error or not signed else math.nan
    t = math.nan if signed else 1.0
    if error > 0:
        t = float(2 * stats.t.sf(abs(mean) / error, count - 1))
    return PairedTest(
        count=count, low=mean - half, high=mean + half, t=t, wilcoxon=_signed_rank(differences), smallest=smallest
    )


def _signed_rank(differences: Array) -> float:
    """Two-sided p; every way to give signs is counted for as long as that is few."""
    from scipy import stats

    differences = differences[differences != 0]
    if not differences.size:
        return 1.0
    tied = numpy.unique(numpy.abs(differences)).size < differences.size
    if differences.size <= 13 and tied:
        method: Any = stats.PermutationMethod(n_resamples=2**13)
    else:
        method = "exact" if not tied and differences.size <= 50 else "asymptotic"
    return float(stats.wilcoxon(differences, method=method).pvalue)


def holm(probabilities: Sequence[float] | Array) -> Array:
    """Probabilities corrected for how many there are, so that one of them is below α by chance in a share of α at most.

    ``p̃_(i) = max_{j ≤ i} min(1, (m − j + 1) p_(j))`` of the m in rising order; NaN is no test and stays.

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]

    Reference: Holm, A simple sequentially rejective multiple test procedure (1979), www.jstor.org/stable/4615733.
    """
    probabilities = numpy.asarray(probabilities, numpy.float64)
    corrected = numpy.full(probabilities.shape, numpy.nan)
    there = numpy.flatnonzero(numpy.isfinite(probabilities))
    order = there[numpy.argsort(probabilities[there], kind="stable")]
    factors = numpy.arange(len(order), 0, -1)
    corrected[order] = numpy.maximum.accumulate(numpy.minimum(factors * probabilities[order], 1.0))
    return corrected


def seeds_needed(pairs: int, level: float) -> int:
    """How many common seeds the signed-rank test needs before it can go below `level` for the best of `pairs` pairs.

    Example:
        >>> seeds_needed(1, 0.05), seeds_needed(3, 0.05)
        (6, 7)
    """
    return math.ceil(1 + math.log2(max(pairs, 1) / level))
