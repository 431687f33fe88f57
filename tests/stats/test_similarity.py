"""Similarity of representations against slow references and other libraries, its invariances and its null."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, spatial
from scipy import stats as scipy_stats

from neurosal import stats
from neurosal.errors import NeurosalError
from neurosal.stats import base

Array = numpy.ndarray[Any, Any]
SHAPES = [(15, 4, 6), (7, 12, 9)]  # samples, units of x, units of y
ALL = [base.linear_cka, base.debiased_cka, base.procrustes_distance, base.rsa]


def drawn(shape: tuple[int, ...], seed: int = 0) -> Array:
    return numpy.random.default_rng(seed).standard_normal(shape)


def pair(shape: tuple[int, int, int], seed: int = 0) -> tuple[Array, Array]:
    """Two representations that have something in common."""
    samples, one, other = shape
    common = drawn((samples, 3), seed)
    mixing = drawn((3, one + other), seed + 1)
    noise = 0.7 * drawn((samples, one + other), seed + 2)
    both = common @ mixing + noise + 2
    return both[:, :one], both[:, one:]


def rotation(units: int, seed: int = 0) -> Array:
    return numpy.linalg.qr(drawn((units, units), seed))[0]


def slow_hsic(k: Array, j: Array, debiased: bool) -> float:
    """Entry by entry, as the estimators are written in the papers."""
    n = len(k)
    if not debiased:
        centre = numpy.eye(n) - 1 / n
        return float(numpy.trace(k @ centre @ j @ centre))
    k, j = k.copy(), j.copy()
    for i in range(n):
        k[i, i] = j[i, i] = 0
    trace = math.fsum(float(k[a, b] * j[b, a]) for a in range(n) for b in range(n))
    sums = math.fsum(k.ravel().tolist()) * math.fsum(j.ravel().tolist())
    chain = math.fsum(float(k[a, b] * j[b, c]) for a in range(n) for b in range(n) for c in range(n))
    return (trace + sums / ((n - 1) * (n - 2)) - 2 * chain / (n - 2)) / (n * (n - 3))


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_cka_equals_its_estimators_entry_by_entry(shape: tuple[int, int, int], debiased: bool) -> None:
    x, y = pair(shape)
    k, j = x @ x.T, y @ y.T
    expected = slow_hsic(k, j, debiased) / math.sqrt(slow_hsic(k, k, debiased) * slow_hsic(j, j, debiased))
    assert base.linear_cka(x, y, debiased=debiased) == pytest.approx(expected, rel=1e-9)
    assert 0.05 < expected < 0.999


@pytest.mark.parametrize("shape", SHAPES)
def test_procrustes_distance_equals_that_of_scipy_after_padding(shape: tuple[int, int, int]) -> None:
    x, y = pair(shape)
    width = max(shape[1:])
    x_full, y_full = (numpy.pad(one - one.mean(0), ((0, 0), (0, width - one.shape[1]))) for one in (x, y))
    x_full, y_full = x_full / numpy.linalg.norm(x_full), y_full / numpy.linalg.norm(y_full)
    turn, _ = linalg.orthogonal_procrustes(y_full, x_full)
    expected = numpy.linalg.norm(x_full - y_full @ turn)
    for found in (base.procrustes_distance(x, y), base.procrustes_distance(y, x)):
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rsa_equals_scipys_distances_compared_by_scipy(shape: tuple[int, int, int], metric: str) -> None:
    x, y = pair(shape)
    first, second = (spatial.distance.pdist(one, metric) for one in (x, y))
    numpy.testing.assert_allclose(
        base.dissimilarity(x, metric=metric), spatial.distance.squareform(first), rtol=1e-9, atol=1e-12
    )
    expected = {
        "spearman": scipy_stats.spearmanr(first, second).statistic,
        "kendall": slow_kendall(first.tolist(), second.tolist()),
        "pearson": numpy.corrcoef(first, second)[0, 1],
        "cosine": first @ second / numpy.sqrt(first @ first * (second @ second)),
    }
    for compare, value in expected.items():
        assert base.rsa(x, y, metric=metric, compare=compare) == pytest.approx(value, rel=1e-9), compare


def slow_kendall(first: list[float], second: list[float]) -> float:
    def sign(a: float, b: float) -> int:
        return (a > b) - (a < b)

    places = [(i, j) for i in range(len(first)) for j in range(i)]
    one = [sign(first[i], first[j]) for i, j in places]
    other = [sign(second[i], second[j]) for i, j in places]
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.sqrt(sum(map(abs, one)) * sum(map(abs, other)))


def test_rsa_equals_that_of_the_rsatoolbox() -> None:
    rsatoolbox = pytest.importorskip("rsatoolbox", reason="the toolbox need not be installed: scipy is the check")
    x, y = pair((15, 4, 6))
    rdms = [rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(one), method="correlation") for one in (x, y)]
    for theirs, ours in (("spearman", "spearman"), ("corr", "pearson"), ("cosine", "cosine")):
        expected = rsatoolbox.rdm.compare(*rdms, method=theirs).item()
        assert base.rsa(x, y, compare=ours) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3), st.sampled_from(SHAPES))
def test_rotation_scale_and_shift_change_nothing(seed: int, scale: float, shape: tuple[int, int, int]) -> None:
    x, y = pair(shape, seed)
    turned = scale * x @ rotation(shape[1], seed) + drawn((1, shape[1]), seed)
    for function in (base.linear_cka, base.debiased_cka, base.procrustes_distance):
        assert function(turned, y) == pytest.approx(function(x, y), rel=1e-6, abs=1e-9)
        assert function(y, x) == pytest.approx(function(x, y), rel=1e-9)
    turned = scale * x @ rotation(shape[1], seed)
    for metric in ("cosine", "euclidean"):
        assert base.rsa(turned, y, metric=metric, compare="pearson") == pytest.approx(
            base.rsa(x, y, metric=metric, compare="pearson"), rel=1e-6, abs=1e-9
        )
    assert base.rsa(scale * x + 3, y) == pytest.approx(base.rsa(x, y), abs=1e-9)


def test_another_linear_map_is_seen_by_all() -> None:
    x, y = pair((15, 4, 6))
    stretched = x @ numpy.diag([9.0, 1.0, 0.1, 4.0])
    for function in ALL:
        assert abs(function(stretched, y) - function(x, y)) > 1e-3


@pytest.mark.parametrize("shape", [(40, 5), (10, 30)])
def test_a_turned_copy_is_as_alike_as_can_be_to_full_precision(shape: tuple[int, int]) -> None:
    x = drawn(shape)
    turned = 0.3 * x @ rotation(shape[1])
    assert base.linear_cka(x, turned) == pytest.approx(1, abs=1e-12)
    assert base.debiased_cka(x, turned) == pytest.approx(1, abs=1e-12)
    assert base.procrustes_distance(x, turned) < 1e-13
    assert base.rsa(x, turned, metric="euclidean", compare="pearson") == pytest.approx(1, abs=1e-12)


def test_a_small_difference_has_a_small_distance_of_the_right_size() -> None:
    x = drawn((50, 6))
    x = (x - x.mean(0)) / numpy.linalg.norm(x - x.mean(0))
    aside = drawn((50, 6), 1)
    aside -= aside.mean(0) + x * (aside * x).sum()
    for size in (1e-3, 1e-9):
        found = base.procrustes_distance(x, x + size * aside)
        assert 0.5 * size * numpy.linalg.norm(aside) < found <= 1.001 * size * numpy.linalg.norm(aside)


def test_procrustes_distance_keeps_the_triangle_inequality() -> None:
    shapes = [(20, 3), (20, 8), (20, 30)]
    for seed in range(10):
        a, b, c = (drawn(shape, 10 * seed + n) for n, shape in enumerate(shapes))
        d = base.procrustes_distance
        assert d(a, c) <= d(a, b) + d(b, c) + 1e-12


def test_independent_representations_have_the_chance_levels_that_are_stated() -> None:
    x, y = drawn((12, 128, 500)), drawn((12, 128, 500), 1)
    raw, debiased = base.linear_cka(x, y), base.debiased_cka(x, y)
    assert raw.mean() == pytest.approx(500 / (127 + 500 + 1), abs=0.003)
    assert raw.mean() == pytest.approx(0.80, abs=0.005)
    assert abs(debiased.mean()) < 0.006
    assert abs(debiased).max() < 0.04
    few = base.linear_cka(x[..., :20], y)
    assert few.mean() == pytest.approx(math.sqrt(20 * 500 / ((127 + 21) * (127 + 501))), rel=0.02)
    narrow = base.procrustes_distance(drawn((20, 1000, 10)), drawn((20, 1000, 10), 1))
    assert narrow.mean() == pytest.approx(math.sqrt(2 - 1.7 * math.sqrt(10 / 999)), rel=0.01)
    assert abs(base.rsa(x[:, :30, :20], y[:, :30, :20]).mean()) < 0.04


@pytest.mark.parametrize("statistic", ALL)
def test_samples_that_one_side_lacks_are_left_out_and_what_is_not_finite_has_no_answer(
    statistic: Callable[..., Any],
) -> None:
    x, y = (numpy.stack([one, one + 1, one * 2]) for one in pair((11, 5, 12)))
    some_x, some_y = x.copy(), y.copy()
    some_x[:, -1], some_y[:, -2] = numpy.nan, numpy.nan
    numpy.testing.assert_allclose(statistic(some_x, some_y), statistic(x[:, :-2], y[:, :-2]), rtol=1e-9)
    some_x[0, 2, 3], some_y[1, 3, 3] = numpy.nan, numpy.inf
    found = statistic(some_x, some_y)
    assert numpy.isnan(found[:2]).all()
    assert found[2] == pytest.approx(statistic(x[2, :-2], y[2, :-2]), rel=1e-9)
    assert numpy.isnan(statistic(numpy.zeros((6, 3)), numpy.ones((6, 3)) * drawn((6, 1))))
    assert numpy.isnan(statistic(x * numpy.nan, y)).all()


def test_few_samples_have_no_debiased_answer() -> None:
    assert numpy.isnan(base.debiased_cka(drawn((3, 5)), drawn((3, 5), 1)))
    assert numpy.isfinite(base.debiased_cka(drawn((6, 5)), drawn((6, 5))))


@pytest.mark.parametrize("function", [stats.linear_cka, stats.debiased_cka, stats.procrustes_distance, stats.rsa])
def test_labelled_representations_of_two_populations_and_of_one_at_two_times(function: Callable[..., Any]) -> None:
    x, y = pair((15, 4, 6))
    first = xarray.DataArray(numpy.stack([x, x + 1]), dims=("replica", "trial", "hidden1"))
    second = xarray.DataArray(y.T, dims=("hidden2", "trial"))
    found = function(first, second, dim=("trial", "hidden1", "hidden2"))
    assert found.dims == ("replica",)
    assert float(found[0]) == pytest.approx(float(getattr(base, function.__name__)(x, y)), rel=1e-9)
    alone = function(first[0], first[1], dim=("trial", "hidden1"))
    assert float(alone) == pytest.approx(0 if function is stats.procrustes_distance else 1, abs=1e-9)
    with pytest.raises(NeurosalError, match="Did you mean 'hidden2'"):
        function(first, second, dim=("trial", "hidden1", "hiden2"))


def test_labelled_distances_and_unknown_names() -> None:
    x = xarray.DataArray(drawn((2, 5, 4)), dims=("replica", "trial", "hidden1"))
    found = stats.dissimilarity(x, dim=("trial", "hidden1"), metric="cosine")
    assert found.dims == ("replica", "trial", "other_trial")
    numpy.testing.assert_allclose(found, numpy.swapaxes(found.values, 1, 2))
    assert (found.values >= 0).all()
    assert (found.values <= 2 + 1e-12).all()
    with pytest.raises(NeurosalError, match="Did you mean 'spearman'"):
        stats.rsa(x, x, dim=("trial", "hidden1"), compare="spaerman")
    with pytest.raises(NeurosalError, match="Did you mean 'euclidean'"):
        stats.dissimilarity(x, dim=("trial", "hidden1"), metric="euclidian")
    with pytest.raises(ValueError, match="metric is one of"):
        base.dissimilarity(x.values, metric="euclidian")
    with pytest.raises(ValueError, match="compare is one of"):
        base.rsa(x.values, x.values, compare="spaerman")


def test_shuffled_samples_are_a_null_that_a_seed_repeats_and_labels_do_not_undo() -> None:
    x, y = pair((25, 6, 6))
    first, second = (xarray.DataArray(one, dims=("trial", "hidden1")).assign_coords(trial=range(25)) for one in (x, y))
    null = stats.shuffled_samples(stats.debiased_cka, first, second, dim=("trial", "hidden1"), draws=60, seed=3)
    again = stats.shuffled_samples(stats.debiased_cka, first, second, dim=("trial", "hidden1"), draws=60, seed=3)
    xarray.testing.assert_identical(null, again)
    assert null.dims == ("draw",)
    assert abs(float(null.mean())) < 0.08
    assert float(null.max()) < float(stats.debiased_cka(first, second, dim=("trial", "hidden1")))
