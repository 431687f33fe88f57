"""Credit against slow references: changes of classes made one by one, and losses that are known exactly."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal import stats
from neurosal.errors import NeurosalError
from neurosal.stats import base

Array = numpy.ndarray[Any, Any]
SHAPES = [(15, 4, 7), (9, 6, 3)]  # samples, post, pre


def drawn(shape: tuple[int, ...], seed: int = 0) -> Array:
    return numpy.random.default_rng(seed).standard_normal(shape)


def batch(shape: tuple[int, int, int], areas: int = 3, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    samples, post, pre = shape
    generator = numpy.random.default_rng(seed + 5)
    label, area = generator.integers(4, size=samples), generator.integers(areas, size=samples)
    label[:2], area[:2] = (0, 1), 0  # two classes in one area
    return drawn((samples, post), seed), drawn((samples, pre), seed + 1) + 0.3, label, area


def cosine(a: list[float], b: list[float]) -> float:
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def changes(error: Array, activity: Array, label: Array, area: Array) -> dict[tuple[int, int], list[float]]:
    """The change that each class asks of each area, sample by sample; none where nobody asks."""
    found: dict[tuple[int, int], list[float]] = {}
    for n in range(len(label)):
        place = int(label[n]), int(area[n])
        one = [float(d) * float(h) for d in error[n] for h in activity[n]]
        found[place] = [x + y for x, y in zip(found.get(place, [0.0] * len(one)), one, strict=True)]
    return found


def slow(relation: str, absolute: bool, *arrays: Array) -> float:
    cells, areas = changes(*arrays), range(int(arrays[3].max()) + 1)
    size = len(next(iter(cells.values())))
    values = []
    if relation == "whole":
        classes = sorted({c for c, _ in cells})
        vectors = {c: [x for k in areas for x in cells.get((c, k), [0.0] * size)] for c in classes}
        values = [cosine(vectors[c], vectors[d]) for c, d in itertools.combinations(classes, 2)]
    else:
        for one, other in itertools.combinations(cells, 2):
            same = one[1] == other[1]
            if one[0] != other[0] and same == (relation == "within"):
                values.append(cosine(cells[one], cells[other]))
    values = [abs(value) for value in values] if absolute else values
    return sum(values) / len(values)


@pytest.mark.parametrize("shape", SHAPES)
def test_interference_is_that_of_changes_made_class_by_class_and_area_by_area(shape: tuple[int, int, int]) -> None:
    arrays = batch(shape)
    assert base.interference(*arrays) == pytest.approx(slow("whole", False, *arrays), rel=1e-9)
    assert base.absolute_interference(*arrays) == pytest.approx(slow("whole", True, *arrays), rel=1e-9)
    assert base.interference_within(*arrays) == pytest.approx(slow("within", False, *arrays), rel=1e-9)
    assert base.interference_across(*arrays) == pytest.approx(slow("across", False, *arrays), rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_single_samples_are_those_of_their_changes(shape: tuple[int, int, int]) -> None:
    error, activity, *_ = batch(shape)
    made = numpy.einsum("no,ni->noi", error, activity).reshape(shape[0], -1)
    numpy.testing.assert_allclose(base.gradient_products(error, activity), made @ made.T, rtol=1e-9, atol=1e-12)
    label = numpy.arange(shape[0])
    expected = [cosine(a.tolist(), b.tolist()) for a, b in itertools.combinations(made, 2)]
    assert stats.class_cosine(made @ made.T, label) == pytest.approx(sum(expected) / len(expected), rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(1e-80, 1e80), st.sampled_from(SHAPES))
def test_scale_rotation_and_names_change_nothing_and_values_lie_in_range(
    seed: int, scale: float, shape: tuple[int, int, int]
) -> None:
    error, activity, label, area = batch(shape, seed=seed)
    turn = numpy.linalg.qr(drawn((shape[2], shape[2]), seed))[0]
    renamed = numpy.array([7, 2, 0, 3])[label], numpy.array([1, 4, 2])[area]
    order = numpy.random.default_rng(seed).permutation(shape[0])
    for function in (base.interference, base.interference_within, base.interference_across):
        found = function(error, activity, label, area)
        other = function(scale * error, activity @ turn / scale, *renamed)
        assert other == pytest.approx(found, rel=1e-6, abs=1e-9, nan_ok=True)
        shuffled = function(*(array[order] for array in (error, activity, label, area)))
        assert shuffled == pytest.approx(found, rel=1e-9, abs=1e-12, nan_ok=True)
        assert numpy.isnan(found) or -1 - 1e-12 <= found <= 1 + 1e-12
    classes = len(set(label.tolist()))
    assert base.interference(error, activity, label, 0 * area) >= -1 / (classes - 1) - 1e-12


def test_ends_of_the_range() -> None:
    label, area = numpy.array([0, 1, 2]), numpy.zeros(3, int)
    same = numpy.ones((3, 2))
    assert base.interference(same, same, label, area) == pytest.approx(1)
    assert base.interference(same, same, label, label) == 0  # each in an area of its own
    assert base.interference_across(same, same, label, label) == pytest.approx(1)
    assert numpy.isnan(base.interference_within(same, same, label, label))
    assert numpy.isnan(base.interference_across(same, same, label, area))
    simplex = numpy.eye(3) - 1 / 3
    assert base.interference(simplex, same, label, area) == pytest.approx(-1 / 2)
    assert numpy.isnan(base.interference(same, same, 0 * label, area))


def test_independent_changes_have_the_null_that_is_stated() -> None:
    samples, post, pre = 10, 30, 40
    products = base.gradient_products(drawn((200, samples, post)), drawn((200, samples, pre), 1))
    # Of single samples δhᵀ: cosines multiply. Sums of many are what is independent over all n = post · pre weights.
    assert abs(stats.class_cosine(products, numpy.arange(samples)).mean()) < 0.003
    vectors = drawn((200, samples, post * pre), 2)
    size = stats.class_cosine(vectors @ vectors.swapaxes(-1, -2), numpy.arange(samples), absolute=True)
    assert size.mean() == pytest.approx(math.sqrt(2 / (math.pi * post * pre)), rel=0.03)


def test_samples_without_a_class_or_an_error_are_left_out_and_what_is_not_finite_has_no_answer() -> None:
    error, activity, label, area = batch((15, 4, 7))
    longer = (
        numpy.concatenate([error, numpy.full((2, 4), numpy.nan)]), numpy.concatenate([activity, drawn((2, 7))]),
        numpy.concatenate([label, [-1, -1]]), numpy.concatenate([area, [-1, 0]]),
    )  # fmt: skip
    for function in (base.interference, base.interference_within, base.interference_across):
        assert function(*longer) == pytest.approx(function(error, activity, label, area), rel=1e-9)
    broken = error.copy()
    broken[3, 1] = numpy.inf
    found = base.interference(numpy.stack([broken, error]), activity, label, area)
    assert numpy.isnan(found[0])
    assert found[1] == pytest.approx(base.interference(error, activity, label, area), rel=1e-12)
    silent = numpy.where(label[:, None] == 1, 0.0, error)
    keep = label != 1
    assert base.interference(silent, activity, label, area) == pytest.approx(
        base.interference(error[keep], activity[keep], label[keep], area[keep]), rel=1e-9
    )


def test_an_unknown_relation_and_one_that_needs_areas_are_refused() -> None:
    for relation in ("accross", "within"):
        with pytest.raises(ValueError, match="whole, within, across"):
            base.class_cosine(numpy.eye(3), numpy.arange(3), relation=relation)


@pytest.mark.parametrize("shape", [(5, 3), (2, 8)])
def test_the_ratio_of_a_quadratic_loss_is_1_for_small_steps_and_a_half_at_its_minimum(shape: tuple[int, int]) -> None:
    n = shape[0] * shape[1]
    root = drawn((n, n))
    hessian, w = root @ root.T + numpy.eye(n), drawn((n,), 1)

    def loss(at: Array) -> float:
        return float(at @ hessian @ at / 2)

    gradient = hessian @ w
    minimum = -w
    aside = drawn((n,), 2)
    for step, expected in ((minimum, 0.5), (1e-6 * minimum, 1), (2 * minimum, 0), (1e-7 * aside, 1)):
        arrays = (gradient.reshape(shape), step.reshape(shape), loss(w), loss(w + step))
        assert base.decrease_ratio(*arrays, axis=(-2, -1)) == pytest.approx(expected, abs=2e-3)
        assert base.predicted_decrease(*arrays, axis=(-2, -1)) == pytest.approx(-float(gradient @ step), rel=1e-9)
        assert base.realised_decrease(*arrays, axis=(-2, -1)) == loss(w) - loss(w + step)
    assert numpy.isnan(base.decrease_ratio(gradient, 0 * gradient, 1.0, 1.0, axis=0))


def test_a_random_step_promises_nothing_as_its_null_says() -> None:
    gradient, steps = drawn((40, 30)), drawn((2000, 40, 30), 1)
    promised = base.predicted_decrease(gradient, steps, 0.0, 0.0, axis=(-2, -1))
    spread = numpy.linalg.norm(gradient) * numpy.linalg.norm(steps, axis=(-2, -1)).mean() / math.sqrt(1200)
    assert promised.std() == pytest.approx(spread, rel=0.05)
    assert abs(promised.mean()) < 4 * spread / math.sqrt(2000)


def test_labelled_steps_and_samples_are_matched_by_name() -> None:
    gradient = xarray.DataArray(drawn((2, 4, 3)), dims=("replica", "output", "hidden1"))
    step = -0.1 * gradient.transpose("hidden1", "output", "replica")
    loss = xarray.DataArray([2.0, 3.0], dims="replica")
    found = stats.predicted_decrease(gradient, step, loss, loss - 0.01, dim=("output", "hidden1"))
    numpy.testing.assert_allclose(found, 0.1 * (gradient.values**2).sum((1, 2)))
    ratio = stats.decrease_ratio(gradient, step, loss, loss - 0.01, dim=("output", "hidden1"))
    numpy.testing.assert_allclose(ratio, 0.01 / found)
    assert ratio.dims == ("replica",)
    with pytest.raises(NeurosalError, match="Did you mean 'output'"):
        stats.decrease_ratio(gradient, step, loss, loss, dim=("outptu", "hidden1"))
    with pytest.raises(NeurosalError, match="same lengths"):
        stats.decrease_ratio(gradient, step[:2], loss, loss, dim=("output", "hidden1"))
    error, activity, label, area = batch((15, 4, 7))
    arrays = (
        xarray.DataArray(error.T, dims=("output", "trial")), xarray.DataArray(activity, dims=("trial", "hidden1")),
        xarray.DataArray(label, dims="trial"), xarray.DataArray(area, dims="trial"),
    )  # fmt: skip
    between = stats.interference_within(*arrays, dim=("trial", "output", "hidden1"))
    assert float(between) == pytest.approx(slow("within", False, error, activity, label, area), rel=1e-9)
