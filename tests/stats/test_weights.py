"""Weights of a projection: measures against references that share no code, their invariances, and what chance gives."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import scipy.linalg
import scipy.stats
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal import stats
from neurosal.stats import base
from neurosal.stats.base.weights import MODELS
from neurosal.stats.catalogue import catalogue

SHAPES = ((4, 9), (7, 5))
SEEDS = st.integers(0, 2**32 - 1)


def normal(*shape: int, seed: int = 0) -> Any:
    return numpy.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_ranks_follow_from_the_eigenvalues_of_the_gram_matrix(shape: tuple[int, int]) -> None:
    w = normal(*shape)
    gram = w @ w.T if shape[0] < shape[1] else w.T @ w
    values = numpy.sqrt(scipy.linalg.eigvalsh(gram))
    expected = math.exp(scipy.stats.entropy(values))  # of shares of their sum, in nats
    assert base.effective_rank(w) == pytest.approx(expected, rel=1e-9)
    assert base.stable_rank(w) == pytest.approx(numpy.trace(gram) / values.max() ** 2, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_drift_size_of_updates_and_synapses_that_come_and_go_equal_slow_references(shape: tuple[int, int]) -> None:
    start, other = normal(3, *shape), normal(3, *shape, seed=1)
    start[abs(start) < 0.3] = 0
    now = 0.7 * start + 0.2 * other
    found = {
        name: catalogue()[name].measure(now[:, None], start[:, None]) for name in ("drift", "turnover", "survival")
    }
    size = base.update_size(now, start, axis=(-2, -1))
    for r in range(3):
        before, after = start[r].ravel().tolist(), now[r].ravel().tolist()
        length = math.sqrt(math.fsum(w * w for w in before))
        assert found["drift"][r] == pytest.approx(math.dist(after, before) / length, rel=1e-12)
        assert size[r] == pytest.approx(math.hypot(*after) / length, rel=1e-12)
        limit = 0.1 * length / math.sqrt(len(before))
        there = {place for place, w in enumerate(before) if abs(w) > limit}
        here = {place for place, w in enumerate(after) if abs(w) > limit}
        assert 0 < len(there) < len(before)
        assert found["turnover"][r] == pytest.approx(len(there ^ here) / (len(there) + len(here)))
        assert found["survival"][r] == pytest.approx(len(there & here) / len(there))


@pytest.mark.parametrize("shape", SHAPES)
def test_sparsities_equal_slow_references(shape: tuple[int, int]) -> None:
    w = normal(*shape)
    entries = [abs(x) for x in w.ravel().tolist()]
    n, one, two = len(entries), math.fsum(entries), math.fsum(x * x for x in entries)
    assert base.hoyer(w, axis=(0, 1)) == pytest.approx((math.sqrt(n) - one / math.sqrt(two)) / (math.sqrt(n) - 1))
    share = (one / n) ** 2 / (two / n)
    assert base.treves_rolls(w, axis=(0, 1)) == pytest.approx((1 - share) / (1 - 1 / n))


@pytest.mark.parametrize(
    ("draw", "best"),
    [
        (lambda g, n: g.lognormal(-3, 1, n), "lognormal"),
        (lambda g, n: g.gamma(3.0, 0.2, n), "gamma"),
        (lambda g, n: g.exponential(5.0, n), "exponential"),
        (lambda g, n: g.normal(0, 0.01, n), "half_normal"),
        (lambda g, n: g.normal(5, 0.5, n), "normal"),
    ],
)
def test_aic_equals_that_of_scipys_fits_and_finds_where_weights_are_from(draw: Any, best: str) -> None:
    w = draw(numpy.random.default_rng(1), 1500) * numpy.random.default_rng(2).choice([-1, 1], 1500)
    size = abs(w)
    fits = {
        "lognormal": (scipy.stats.lognorm, {"floc": 0}, 2),
        "gamma": (scipy.stats.gamma, {"floc": 0}, 2),
        "exponential": (scipy.stats.expon, {"floc": 0}, 1),
        "half_normal": (scipy.stats.halfnorm, {"floc": 0}, 1),
        "normal": (scipy.stats.norm, {}, 2),
    }
    expected = {
        name: 2 * count - 2 * law.logpdf(size, *law.fit(size, **options)).sum()
        for name, (law, options, count) in fits.items()
    }
    found = dict(zip(MODELS, base.akaike(w, axis=0).tolist(), strict=True))
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=0.05), name
    assert min(found, key=found.__getitem__) == best
    labelled = stats.magnitude_fits(xarray.DataArray(w.reshape(30, 50), dims=("post", "pre")), dim=("post", "pre"))
    assert dict(zip(labelled.model.values.tolist(), labelled.values.tolist(), strict=True)) == pytest.approx(found)
    others = min(value for name, value in found.items() if name != "lognormal")
    assert base.lognormality(w, axis=0) == pytest.approx(others - found["lognormal"])


# Properties -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.floats(1e-100, 1e100))
def test_scale_and_order_change_no_rank_sparsity_or_form(seed, scale) -> None:
    w = normal(5, 8, seed=seed)
    generator = numpy.random.default_rng(seed)
    mixed = w[generator.permutation(5)][:, generator.permutation(8)]
    for name in ("effective_rank", "stable_rank", "hoyer", "treves_rolls", "lognormality"):
        measure = catalogue()[name].measure
        plain = measure(w[None, None])
        assert measure(scale * w[None, None]) == pytest.approx(plain, rel=1e-9, abs=1e-9), name
        assert measure(-mixed[None, None]) == pytest.approx(plain, rel=1e-9, abs=1e-9), name
    start = normal(5, 8, seed=seed // 2)
    for name in ("drift", "turnover", "survival", "update_size"):
        measure = catalogue()[name].measure
        plain = measure(w[None, None], start[None, None])
        assert measure(scale * w[None, None], scale * start[None, None]) == pytest.approx(plain, rel=1e-9), name


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_rotations_on_either_side_change_no_rank_and_ranks_keep_their_order(seed) -> None:
    w = normal(5, 8, seed=seed)
    left, right = (numpy.linalg.qr(normal(n, n, seed=seed // 3))[0] for n in (5, 8))
    for function in (base.effective_rank, base.stable_rank):
        assert function(left @ w @ right) == pytest.approx(function(w), rel=1e-9)
    assert 1 <= base.stable_rank(w) <= base.effective_rank(w) <= 5


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_ranks_of_equal_singular_values_are_their_count(rank: int) -> None:
    left, right = numpy.linalg.qr(normal(6, 6))[0], numpy.linalg.qr(normal(9, 9))[0]
    w = left[:, :rank] @ right[:rank]
    assert base.effective_rank(w) == pytest.approx(rank)
    assert base.stable_rank(w) == pytest.approx(rank)


def test_ends_of_the_ranges_are_reached() -> None:
    equal, alone = numpy.ones(16), numpy.eye(1, 16)[0]
    for function in (base.hoyer, base.treves_rolls):
        assert function(equal, axis=0) == pytest.approx(0, abs=1e-12)
        assert function(alone, axis=0) == pytest.approx(1)
    assert base.turnover(equal, alone, axis=0) == 15 / 17
    assert base.survival(equal, alone, axis=0) == 1
    assert base.turnover(1 - alone, alone, axis=0) == 1
    assert base.survival(1 - alone, alone, axis=0) == 0
    assert base.drift(alone, alone, axis=0) == base.turnover(equal, equal, axis=0) == 0


def test_what_has_no_answer_is_nan_without_a_warning() -> None:
    zero, one = numpy.zeros((3, 4)), numpy.ones((3, 4))
    for spoilt in (math.nan, math.inf, -math.inf):
        bad = one.copy()
        bad[1, 2] = spoilt
        for name, entry in catalogue("weights").items():
            arrays = [bad[None, None], one[None, None]][: len(entry.source.arguments)]
            found = entry.measure(*arrays)
            assert not numpy.isfinite(found).any(), name
    for name in ("effective_rank", "stable_rank", "hoyer", "treves_rolls", "lognormality"):
        assert numpy.isnan(catalogue()[name].measure(zero[None, None])).all(), name
    for name in ("drift", "survival", "update_size"):
        assert numpy.isnan(catalogue()[name].measure(one[None, None], zero[None, None])).all(), name
    assert base.turnover(one, zero, axis=(0, 1)) == 1  # all of them came
    assert math.isnan(base.turnover(zero, zero, axis=(0, 1)))
    assert math.isnan(base.lognormality(one, axis=(0, 1)))  # all alike


# Chance ---------------------------------------------------------------------------------------------------------------


def test_levels_that_the_registry_states_for_independent_weights_hold() -> None:
    w, other = normal(300, 300), normal(300, 300, seed=1)
    assert base.effective_rank(w) / 300 == pytest.approx(0.8, abs=0.01)
    assert base.stable_rank(w) == pytest.approx(75, rel=0.05)
    wide = normal(100, 400)
    assert base.stable_rank(wide) == pytest.approx(100 * 400 / (10 + 20) ** 2, rel=0.05)
    assert base.hoyer(w, axis=(0, 1)) == pytest.approx(1 - math.sqrt(2 / math.pi), abs=0.01)
    assert base.treves_rolls(w, axis=(0, 1)) == pytest.approx(1 - 2 / math.pi, abs=0.01)
    assert base.drift(w, other, axis=(0, 1)) == pytest.approx(math.sqrt(2), abs=0.01)
    present = 2 * scipy.stats.norm.sf(0.1)
    assert base.survival(w, other, axis=(0, 1)) == pytest.approx(present, abs=0.01)
    assert base.turnover(w, other, axis=(0, 1)) == pytest.approx(1 - present, abs=0.01)
    assert present == pytest.approx(0.92, abs=0.001)
    assert base.lognormality(w, axis=(0, 1)) < -100
    heavy = numpy.random.default_rng(0).lognormal(sigma=1.2, size=10_000)
    assert base.lognormality(heavy, axis=0) > 100
    assert base.treves_rolls(heavy, axis=0) == pytest.approx(1 - math.exp(-1.44), abs=0.05)
    uniform = numpy.random.default_rng(0).uniform(-1, 1, 10_000)
    assert base.hoyer(uniform, axis=0) == pytest.approx(1 - math.sqrt(3) / 2, abs=0.01)
