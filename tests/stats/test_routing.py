"""The vote of areas from counts."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import xarray

from neurosal.stats import area_angle, base, label_counts, shared_bits, shuffled_bits, vote_accuracy


def test_counts_are_those_of_a_loop_and_parts_add_up() -> None:
    random = numpy.random.default_rng(0)
    area, label = random.integers(4, size=(2, 3, 50)), random.integers(5, size=50)
    slow = numpy.zeros((2, 3, 4, 5))
    for i, j, n in numpy.ndindex(area.shape):
        slow[i, j, area[i, j, n], label[n]] += 1
    counts = label_counts(area, label, areas=4, labels=5)
    numpy.testing.assert_array_equal(counts, slow)
    halves = [label_counts(area[..., part], label[part], areas=4, labels=5) for part in (slice(20), slice(20, 50))]
    numpy.testing.assert_array_equal(halves[0] + halves[1], counts)


@pytest.mark.parametrize(
    ("seen", "asked", "accuracy"),
    [
        ([[3, 1], [0, 2]], [[1, 0], [0, 1]], 1.0),
        ([[3, 1], [0, 2]], [[0, 1], [1, 0]], 0.0),
        ([[2, 2], [0, 2]], [[1, 3], [0, 0]], 0.25),  # of equally common labels the smallest
        ([[1, 4], [0, 0]], [[0, 0], [1, 3]], 0.75),  # an area that nobody took answers the commonest label of all
        ([[1, 4], [2, 0]], [[0, 0], [0, 0]], math.nan),
    ],
)
def test_votes_by_hand(seen: list[list[int]], asked: list[list[int]], accuracy: float) -> None:
    assert float(vote_accuracy(seen, asked)) == pytest.approx(accuracy, nan_ok=True)


def test_one_area_votes_for_the_commonest_label() -> None:
    seen, asked = numpy.array([[5, 9, 1]]), numpy.array([[2, 3, 5]])
    assert float(vote_accuracy(seen, asked)) == 0.3


def slow_bits(area: list[int], label: list[int]) -> float:
    """From lists of samples."""
    n = len(area)
    bits = 0.0
    for k in set(area):
        for c in set(label):
            both = sum(a == k and b == c for a, b in zip(area, label, strict=True)) / n
            if both:
                bits += both * math.log2(both / (area.count(k) / n) / (label.count(c) / n))
    return bits


def routed(shape: tuple[int, ...], areas: int, classes: int, seed: int = 0) -> tuple[Any, Any]:
    """Areas that know something of the class."""
    random = numpy.random.default_rng(seed)
    label = random.integers(classes, size=shape[-1])
    area = numpy.where(random.random(shape) < 0.5, label % areas, random.integers(areas, size=shape))
    return area, label


@pytest.mark.parametrize(("samples", "areas", "classes"), [(200, 4, 6), (60, 7, 3)])
def test_mutual_information_is_that_of_a_loop_and_of_scikit_learn(samples: int, areas: int, classes: int) -> None:
    area, label = routed((3, samples), areas, classes)
    found = base.mutual_information(area, label, axis=-1)
    expected = [slow_bits(row.tolist(), label.tolist()) for row in area]
    numpy.testing.assert_allclose(found, expected, rtol=1e-12)
    counts = label_counts(area, label, areas=areas, labels=classes)
    numpy.testing.assert_allclose(shared_bits(counts), expected, rtol=1e-12)
    assert (found > 0.1).all()
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn need not be installed: the loop is the check")
    for bits, row in zip(found, area, strict=True):
        assert bits * math.log(2) == pytest.approx(metrics.mutual_info_score(row, label), rel=1e-9)


def test_information_lies_between_0_and_the_smaller_entropy_and_does_not_care_for_names() -> None:
    area, label = routed((500,), 3, 8)
    bits = base.mutual_information(area, label, axis=0)
    assert 0 < bits < math.log2(3)
    assert base.mutual_information(label, area, axis=0) == pytest.approx(bits, rel=1e-12)
    names = numpy.array([5, 0, 9])
    assert base.mutual_information(names[area], label, axis=0) == pytest.approx(bits, rel=1e-12)
    assert base.mutual_information(label, label, axis=0) == pytest.approx(
        -sum(p * math.log2(p) for p in numpy.bincount(label) / 500), rel=1e-12
    )
    assert base.mutual_information(numpy.zeros(500, int), label, axis=0) == 0


def test_the_bias_of_independent_areas_and_classes_is_as_stated_and_taken_off() -> None:
    random = numpy.random.default_rng(0)
    area, label = random.integers(8, size=(400, 1000)), random.integers(10, size=(400, 1000))
    raw, corrected = (base.mutual_information(area, label, axis=1, corrected=how) for how in (False, True))
    assert raw.mean() == pytest.approx(7 * 9 / (2 * 1000 * math.log(2)), rel=0.03)
    assert abs(corrected.mean()) < 0.002
    assert numpy.isnan(base.mutual_information(numpy.full(3, -1), numpy.zeros(3, int), axis=0))


def test_random_tables_keep_their_margins_and_give_the_expected_information() -> None:
    area, label = routed((2, 80), 4, 5)
    counts = label_counts(area, label, areas=4, labels=5)
    null = shuffled_bits(counts, draws=400, seed=1)
    assert null.shape == (400, 2)
    numpy.testing.assert_array_equal(null, shuffled_bits(counts, draws=400, seed=1))
    random = numpy.random.default_rng(2)
    for column, row in enumerate(area):
        shuffled = [slow_bits(row.tolist(), random.permutation(label).tolist()) for _ in range(300)]
        spread = numpy.std(shuffled) / math.sqrt(300) + null[:, column].std() / math.sqrt(400)
        assert null[:, column].mean() == pytest.approx(numpy.mean(shuffled), abs=4 * spread)
    assert (shared_bits(counts) > null.max(0)).all()


def test_switching_counts_samples_that_exist_and_random_choice_has_the_stated_level() -> None:
    before, now = numpy.array([[0, 1, 2, -1, 3], [1, 1, 1, 1, 1]]), numpy.array([[0, 2, 2, 4, -1], [1, 1, 1, 1, 0]])
    numpy.testing.assert_allclose(base.switch_rate(before, now, axis=1), [1 / 3, 1 / 5])
    assert numpy.isnan(base.switch_rate(numpy.array([-1]), numpy.array([2]), axis=0))
    random = numpy.random.default_rng(0)
    p, q = numpy.array([0.7, 0.2, 0.1]), numpy.array([0.2, 0.2, 0.6])
    before, now = random.choice(3, 50_000, p=p), random.choice(3, 50_000, p=q)
    assert base.switch_rate(before, now, axis=0) == pytest.approx(1 - (p * q).sum(), abs=0.01)
    assert base.switch_rate(before, before, axis=0) == 0


@pytest.mark.parametrize("areas", [3, 16])
def test_the_most_used_area_is_told_beside_the_even_share(areas: int) -> None:
    random = numpy.random.default_rng(0)
    usage = random.dirichlet(numpy.ones(areas), 4)
    expected = [max(row) * areas / math.fsum(row) for row in usage.tolist()]
    numpy.testing.assert_allclose(base.usage_peak(100 * usage, axis=-1), expected, rtol=1e-12)
    assert base.usage_peak(numpy.ones(areas), axis=0) == pytest.approx(1)
    assert base.usage_peak(numpy.eye(areas)[1], axis=0) == areas
    padded = numpy.array([0.5, 0.25, 0.25, math.nan])
    assert base.usage_peak(padded, axis=0) == pytest.approx(1.5)
    assert numpy.isnan(base.usage_peak(numpy.zeros(3), axis=0))
    thrown = random.multinomial(10_000, numpy.full(areas, 1 / areas), 300)
    level = 1 + math.sqrt(2 * (areas - 1) * math.log(areas) / 10_000)
    assert 0.5 * (level - 1) < base.usage_peak(thrown, axis=-1).mean() - 1 < level - 1


@pytest.mark.parametrize(("post", "pre"), [(4, 9), (6, 2)])
def test_each_area_has_its_own_angle_and_an_aligned_one_stands_out(post: int, pre: int) -> None:
    random = numpy.random.default_rng(0)
    w = xarray.DataArray(random.standard_normal((3, post, pre)), dims=("area", "output", "hidden1"))
    b = xarray.DataArray(random.standard_normal((3, pre, post)), dims=("area", "hidden1", "output"))
    b[1] = 2 * w[1].values.T
    found = area_angle(w, b, dim=("hidden1", "output"))
    assert found.dims == ("area",)
    assert float(found[1]) < 1e-6
    for k in (0, 2):
        cosine = (w.values[k] * b.values[k].T).sum() / math.sqrt((w.values[k] ** 2).sum() * (b.values[k] ** 2).sum())
        assert float(found[k]) == pytest.approx(math.degrees(math.acos(cosine)), rel=1e-9)
