"""Statistics of plain arrays against slow references that share no code, and what must hold for any numbers."""

from __future__ import annotations

import math

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from neurosal.stats import base
from neurosal.stats.symmetry import chance_band

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: 0.0 if abs(value) < 1e-6 else value)
VECTORS = st.integers(2, 12).flatmap(
    lambda n: st.tuples(arrays.arrays(float, n, elements=NUMBERS), arrays.arrays(float, n, elements=NUMBERS))
)
PAIRS = VECTORS.filter(lambda pair: pair[0].any() and pair[1].any())


def slow_angle(w: list[float], b: list[float]) -> float:
    dot = math.fsum(x * y for x, y in zip(w, b, strict=True))
    lengths = math.sqrt(math.fsum(x * x for x in w)) * math.sqrt(math.fsum(y * y for y in b))
    return math.degrees(math.acos(max(-1.0, min(1.0, dot / lengths))))


def slow_blocks(w: numpy.ndarray, b: numpy.ndarray) -> list[tuple[list[float], list[float]]]:
    """For w, b [R, K, O, I]: the entries of each replica and area, one after the other."""
    blocks = []
    for r in range(w.shape[0]):
        for k in range(w.shape[1]):
            pairs = [(float(w[r, k, o, i]), float(b[r, k, o, i])) for o in range(w.shape[2]) for i in range(w.shape[3])]
            blocks.append(([x for x, _ in pairs], [y for _, y in pairs]))
    return blocks


@pytest.fixture
def weights() -> tuple[numpy.ndarray, numpy.ndarray]:
    generator = numpy.random.default_rng(3)
    return generator.standard_normal((2, 3, 4, 7)), generator.standard_normal((2, 3, 4, 7))


def test_angle_of_each_replica_and_area_equals_a_slow_reference_on_a_matrix_that_is_not_square(
    weights: tuple[numpy.ndarray, numpy.ndarray],
) -> None:
    w, b = weights
    expected = [slow_angle(x, y) for x, y in slow_blocks(w, b)]
    numpy.testing.assert_allclose(base.angle(w, b, axis=(-2, -1)).ravel(), expected, rtol=1e-9)


def test_norm_ratio_equals_a_slow_reference(weights: tuple[numpy.ndarray, numpy.ndarray]) -> None:
    w, b = weights
    expected = [
        math.sqrt(math.fsum(y * y for y in above) / math.fsum(x * x for x in below))
        for below, above in slow_blocks(w, b)
    ]
    numpy.testing.assert_allclose(base.norm_ratio(w, b, axis=(2, 3)).ravel(), expected, rtol=1e-12)


def test_sign_concordance_counts_only_places_where_neither_is_zero(
    weights: tuple[numpy.ndarray, numpy.ndarray],
) -> None:
    w, b = (numpy.where(abs(array) < 0.3, 0.0, array) for array in weights)
    expected = []
    for below, above in slow_blocks(w, b):
        both = [(x > 0) == (y > 0) for x, y in zip(below, above, strict=True) if x and y]
        expected.append(sum(both) / len(both))
    numpy.testing.assert_allclose(base.sign_concordance(w, b, axis=(-2, -1)).ravel(), expected, rtol=1e-12)
    assert math.isnan(base.sign_concordance(numpy.array([1.0, 0.0]), numpy.array([0.0, 1.0]), axis=0))


def test_path_multiplies_in_travel_order_area_by_area_and_repeats_what_all_areas_share() -> None:
    generator = numpy.random.default_rng(0)
    first, second = generator.standard_normal((2, 1, 5, 3)), generator.standard_normal((2, 4, 7, 5))
    product = base.path(first, second)
    assert product.shape == (2, 4, 7, 3)
    for r, k, post, pre in numpy.ndindex(*product.shape):
        assert product[r, k, post, pre] == pytest.approx(
            sum(second[r, k, post, m] * first[r, 0, m, pre] for m in range(5))
        )


def test_entropy_and_dead_areas_equal_slow_references_and_leave_out_areas_that_do_not_exist() -> None:
    usage = numpy.array(
        [[0.7, 0.2, 0.1, math.nan], [4.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.9, 0.055, 0.045, math.nan]]
    )
    bits = [
        -sum(p * math.log2(p) for p in (0.7, 0.2, 0.1)),
        0.0,
        2.0,
        -sum(p * math.log2(p) for p in (0.9, 0.055, 0.045)),
    ]
    numpy.testing.assert_allclose(base.usage_entropy(usage, axis=-1, relative=False), bits, atol=1e-12)
    relative = [bits[0] / math.log2(3), 0.0, 1.0, bits[3] / math.log2(3)]
    numpy.testing.assert_allclose(base.usage_entropy(usage, axis=-1), relative, atol=1e-12)
    numpy.testing.assert_array_equal(base.dead_areas(usage, axis=-1), [0, 3, 0, 0])
    numpy.testing.assert_array_equal(base.dead_areas(usage, axis=-1, below=0.17), [0, 3, 0, 2])


def test_mean_and_deviation_leave_out_what_is_not_finite() -> None:
    values = numpy.array([[1.0, 2.0, 4.0, math.nan], [5.0, math.nan, math.nan, math.inf], [math.nan] * 4])
    mean, deviation, count = base.mean_and_deviation(values, axis=1)
    numpy.testing.assert_allclose(mean, [7 / 3, 5.0, math.nan])
    numpy.testing.assert_allclose(
        deviation, [math.sqrt(((1 - 7 / 3) ** 2 + (2 - 7 / 3) ** 2 + (4 - 7 / 3) ** 2) / 2), math.nan, math.nan]
    )
    numpy.testing.assert_array_equal(count, [3, 1, 0])


def test_what_has_no_answer_is_nan_without_a_warning() -> None:
    zero, one = numpy.zeros(4), numpy.ones(4)
    answers = [
        base.angle(zero, one, axis=0),
        base.angle(one, zero, axis=0),
        base.angle(one, one * math.inf, axis=0),
        base.norm_ratio(zero, one, axis=0),
        base.sign_concordance(zero, one, axis=0),
        base.usage_entropy(zero, axis=0),
        base.usage_entropy(zero * math.nan, axis=0),
        base.usage_entropy(numpy.ones(1), axis=0),
        base.dead_areas(zero, axis=0),
    ]
    for answer in answers:
        assert math.isnan(answer)
    assert base.norm_ratio(one, zero, axis=0) == 0


@pytest.mark.parametrize("tilt", [1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("length", [3, 1000])
def test_angle_keeps_its_precision_near_0_and_180_degrees(tilt, length) -> None:
    w, across = numpy.zeros(length), numpy.zeros(length)
    w[0], across[1] = 2.0, 2.0
    tilted = math.cos(tilt) * w + math.sin(tilt) * across
    assert math.radians(base.angle(w, tilted, axis=0)) == pytest.approx(tilt, rel=1e-9)
    assert math.radians(180 - base.angle(w, -tilted, axis=0)) == pytest.approx(tilt, rel=1e-3, abs=1e-13)


def test_angle_is_computed_in_float64_whatever_comes_in() -> None:
    generator = numpy.random.default_rng(1)
    w = generator.standard_normal(100_000).astype(numpy.float16)
    b = (w + 1e-2 * generator.standard_normal(w.size)).astype(numpy.float16)
    assert base.angle(w, b, axis=0).dtype == numpy.float64
    assert base.angle(w, b, axis=0) == pytest.approx(
        slow_angle(w.astype(float).tolist(), b.astype(float).tolist()), rel=1e-9
    )


@settings(deadline=None)
@given(PAIRS)
def test_angle_lies_in_its_range_and_does_not_depend_on_the_order_of_its_arguments(pair) -> None:
    w, b = pair
    found = base.angle(w, b, axis=0)
    assert 0 <= found <= 180
    assert found == pytest.approx(base.angle(b, w, axis=0), abs=1e-9)
    assert found + base.angle(w, -b, axis=0) == pytest.approx(180, abs=1e-9)
    assert base.angle(w, w, axis=0) == 0


@settings(deadline=None)
@given(PAIRS, st.floats(1e-150, 1e150), st.floats(1e-150, 1e150))
def test_scale_changes_neither_angle_nor_signs_and_norm_ratio_by_just_itself(pair, one, other) -> None:
    w, b = pair
    assert base.angle(one * w, other * b, axis=0) == pytest.approx(base.angle(w, b, axis=0), abs=1e-9)
    signs = base.sign_concordance(w, b, axis=0)
    assert base.sign_concordance(one * w, other * b, axis=0) == pytest.approx(signs, nan_ok=True)
    assert base.norm_ratio(one * w, other * b, axis=0) == pytest.approx(
        base.norm_ratio(w, b, axis=0) * (other / one), rel=1e-9
    )


@settings(deadline=None)
@given(PAIRS, st.integers(0, 2**32 - 1))
def test_a_rotation_of_both_changes_neither_angle_nor_norm_ratio(pair, seed) -> None:
    w, b = pair
    rotation, _ = numpy.linalg.qr(numpy.random.default_rng(seed).standard_normal((w.size, w.size)))
    assert base.angle(rotation @ w, rotation @ b, axis=0) == pytest.approx(base.angle(w, b, axis=0), abs=1e-6)
    assert base.norm_ratio(rotation @ w, rotation @ b, axis=0) == pytest.approx(base.norm_ratio(w, b, axis=0), rel=1e-6)


@settings(deadline=None)
@given(
    arrays.arrays(float, st.integers(2, 20), elements=st.floats(0, 1e3)).filter(lambda usage: usage.sum() > 1e-3),
    st.randoms(),
)
def test_entropy_lies_in_its_range_and_does_not_care_which_area_is_which(usage, random) -> None:
    entropy = base.usage_entropy(usage, axis=0)
    assert 0 <= entropy <= 1 + 1e-12
    order = random.sample(range(usage.size), usage.size)
    assert base.usage_entropy(usage[order], axis=0) == pytest.approx(entropy, abs=1e-12)
    assert 0 <= base.dead_areas(usage, axis=0) < usage.size


@pytest.mark.parametrize("n", [10, 100, 10_000])
def test_random_pairs_spread_over_the_chance_band_as_it_says(n) -> None:
    generator = numpy.random.default_rng(n)
    draws = 2000
    found = base.angle(generator.standard_normal((draws, n)), generator.standard_normal((draws, n)), axis=-1)
    low, high = chance_band(n)
    assert found.std(ddof=1) == pytest.approx((high - low) / 2, rel=0.1)
    assert found.mean() == pytest.approx(90, abs=4 * (high - low) / 2 / math.sqrt(draws))
    assert numpy.mean((found > low) & (found < high)) == pytest.approx(0.683, abs=0.05)


def test_signs_of_gaussian_vectors_agree_as_their_angle_says() -> None:
    generator = numpy.random.default_rng(0)
    w, across = generator.standard_normal((2, 200_000))
    for theta in (30, 90, 120):
        b = math.cos(math.radians(theta)) * w + math.sin(math.radians(theta)) * across
        assert base.sign_concordance(w, b, axis=0) == pytest.approx(1 - theta / 180, abs=0.005)


def test_converged_product_feedback_has_the_angle_and_norm_ratio_that_its_paper_states() -> None:
    generator = numpy.random.default_rng(0)
    ratio, posts, pres = 10, 150, 60
    w = generator.standard_normal((posts, pres))
    to_relay = generator.standard_normal((ratio * posts, posts)) / math.sqrt(ratio * posts)  # E[BᵀB] = I
    from_relay = w.T @ to_relay.T  # where its plasticity ends
    feedback = base.path(to_relay, from_relay)
    assert base.angle(w, feedback.T, axis=(-2, -1)) == pytest.approx(
        math.degrees(math.atan(1 / math.sqrt(ratio))), abs=0.5
    )
    assert base.norm_ratio(w, feedback.T, axis=(-2, -1)) == pytest.approx(math.sqrt(1 + 1 / ratio), abs=0.01)


@pytest.mark.parametrize("axis", [-1, 1, (-2, -1), (0, 2)])
def test_torch_tensors_give_the_same_numbers_as_arrays(weights, axis) -> None:
    torch = pytest.importorskip("torch")
    w, b = weights
    w[0, 0] = 0
    tensors = torch.tensor(w), torch.tensor(b)
    for function in (base.angle, base.norm_ratio, base.sign_concordance):
        result = function(*tensors, axis=axis)
        assert isinstance(result, torch.Tensor)
        numpy.testing.assert_allclose(result.numpy(), function(w, b, axis=axis), rtol=1e-12)
    for result, expected in zip(
        base.mean_and_deviation(tensors[0], axis=axis), base.mean_and_deviation(w, axis=axis), strict=True
    ):
        numpy.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)


def test_torch_usage_gives_the_same_numbers_as_arrays() -> None:
    torch = pytest.importorskip("torch")
    usage = numpy.random.default_rng(0).random((3, 5)) ** 4
    usage[1, 3:] = math.nan
    usage[2] = 0
    for function in (base.usage_entropy, base.dead_areas):
        numpy.testing.assert_allclose(
            function(torch.tensor(usage), axis=-1).numpy(), function(usage, axis=-1), rtol=1e-12
        )
    half = torch.tensor(usage, dtype=torch.bfloat16)
    assert base.usage_entropy(half, axis=-1).dtype == torch.float64
