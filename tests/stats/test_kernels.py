"""Kernels between samples and their movement, against slow references, autograd and their null levels."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal import stats
from neurosal.stats import base

Array = numpy.ndarray[Any, Any]
SHAPES = [(12, 5), (6, 17)]


def drawn(shape: tuple[int, ...], seed: int = 0) -> Array:
    return numpy.random.default_rng(seed).standard_normal(shape)


def slow_kernel(activity: Array) -> list[list[float]]:
    return [[math.fsum(a * b for a, b in zip(x, y, strict=True)) for y in activity] for x in activity.tolist()]


def slow_cosine(k: list[list[float]], j: list[list[float]]) -> float:
    def inner(one: list[list[float]], other: list[list[float]]) -> float:
        return math.fsum(a * b for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))

    return inner(k, j) / math.sqrt(inner(k, k) * inner(j, j))


def slow_centred(k: list[list[float]]) -> list[list[float]]:
    n = len(k)
    row = [sum(x) / n for x in k]
    column = [sum(x[i] for x in k) / n for i in range(n)]
    whole = sum(row) / n
    return [[k[i][j] - row[i] - column[j] + whole for j in range(n)] for i in range(n)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_distance_of_activity_kernels_is_that_of_a_loop(shape: tuple[int, int]) -> None:
    now, before = drawn(shape), drawn(shape) + 0.5 * drawn(shape, 1)
    expected = 1 - slow_cosine(slow_kernel(now), slow_kernel(before))
    assert base.activity_kernel_distance(now, before) == pytest.approx(expected, rel=1e-9)
    kernels = [base.activity_kernel(one) for one in (now, before)]
    assert base.kernel_distance(*kernels) == pytest.approx(expected, rel=1e-9)
    numpy.testing.assert_allclose(kernels[0] * shape[1], slow_kernel(now), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_alignment_with_classes_is_that_of_a_loop_and_of_the_kernel(shape: tuple[int, int]) -> None:
    label = numpy.arange(shape[0]) % 3
    activity = drawn(shape) + numpy.eye(shape[1])[label]
    target = [[float(a == b) for b in label] for a in label]
    expected = slow_cosine(slow_centred(slow_kernel(activity)), slow_centred(target))
    assert base.target_alignment(activity, label) == pytest.approx(expected, rel=1e-9)
    assert base.kernel_target_alignment(base.activity_kernel(activity), label) == pytest.approx(expected, rel=1e-9)
    debiased = base.debiased_cka(activity, numpy.eye(3)[label])
    assert base.debiased_target_alignment(activity, label) == pytest.approx(debiased, rel=1e-9)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(1e-100, 1e100), st.sampled_from(SHAPES))
def test_rotation_and_scale_move_no_kernel_and_shift_no_alignment(
    seed: int, scale: float, shape: tuple[int, int]
) -> None:
    now, before = drawn(shape, seed), drawn(shape, seed + 1)
    rotation = numpy.linalg.qr(drawn((shape[1], shape[1]), seed))[0]
    turned = scale * now @ rotation
    found = base.activity_kernel_distance(now, before)
    assert 0 <= found <= 1
    assert base.activity_kernel_distance(turned, before) == pytest.approx(found, rel=1e-9)
    assert base.activity_kernel_distance(before, now) == pytest.approx(found, rel=1e-9)
    assert base.activity_kernel_distance(turned, now) == pytest.approx(0, abs=1e-12)
    label = numpy.arange(shape[0]) % 2
    for function in (base.target_alignment, base.debiased_target_alignment):
        moved = turned / scale * 3 + drawn((1, shape[1]), seed)
        assert function(moved, label) == pytest.approx(function(now, label), rel=1e-6, abs=1e-9)
    assert 0 <= base.target_alignment(now, label) <= 1


def test_a_small_move_keeps_its_precision() -> None:
    before = drawn((20, 8))
    kernel, aside = (base.activity_kernel(one) for one in (before, drawn((20, 8), 1)))
    aside -= kernel * (kernel * aside).sum() / (kernel * kernel).sum()
    for size in (1e-4, 1e-8, 1e-12):
        expected = size**2 * (aside**2).sum() / (kernel**2).sum() / 2
        assert base.kernel_distance(kernel + size * aside, kernel) == pytest.approx(expected, rel=1e-3)


def test_null_levels_are_as_stated() -> None:
    samples, units, classes = 60, 40, 6
    now, before = drawn((40, samples, units)), drawn((40, samples, units), 1)
    distance = base.activity_kernel_distance(now, before)
    assert distance.mean() == pytest.approx(1 - units / (samples + units + 1), rel=0.01)
    label = numpy.arange(samples) % classes
    n = samples - 1
    level = math.sqrt(units * (classes - 1) / (n * (n + units + 1)))
    assert base.target_alignment(now, label).mean() == pytest.approx(level, rel=0.05)
    assert abs(base.debiased_target_alignment(now, label).mean()) < 0.01


def test_classes_that_are_points_of_a_simplex_are_aligned_in_full() -> None:
    label = numpy.arange(12) % 4
    activity = 3 * numpy.eye(4)[label] + 2
    assert base.target_alignment(activity, label) == pytest.approx(1)
    assert base.debiased_target_alignment(activity, label) == pytest.approx(1)
    assert numpy.isnan(base.target_alignment(activity, numpy.zeros(12, int)))


@pytest.mark.parametrize("post", [1, 4])
def test_parts_of_the_tangent_kernel_add_up_to_that_of_autograd(post: int) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    samples, pre, outputs = 5, 3, 2
    x = torch.randn(samples, pre, dtype=torch.float64)
    first = torch.randn(post, pre, dtype=torch.float64, requires_grad=True)
    second = torch.randn(outputs, post, dtype=torch.float64, requires_grad=True)
    slow = numpy.zeros((samples, samples))
    gradients = [
        [
            torch.cat([g.flatten() for g in torch.autograd.grad(second[o] @ torch.tanh(first @ row), [first, second],
                                                                allow_unused=True)])
            for o in range(outputs)
        ]
        for row in x
    ]  # fmt: skip
    for n, m in numpy.ndindex(samples, samples):
        slow[n, m] = sum(float(gradients[n][o] @ gradients[m][o]) for o in range(outputs))
    hidden = torch.tanh(x @ first.T).detach()
    to_hidden = second.detach()[:, None, :] * (1 - hidden**2)  # [output, sample, post]
    to_output = torch.eye(outputs, dtype=torch.float64)[:, None, :].expand(-1, samples, -1)
    found = base.tangent_kernel(to_hidden, x) + base.tangent_kernel(to_output, hidden)
    numpy.testing.assert_allclose(found.numpy(), slow, rtol=1e-9)


def test_samples_that_do_not_exist_are_left_out_and_what_is_not_finite_has_no_answer() -> None:
    now, before = drawn((2, 9, 4)), drawn((2, 9, 4), 1)
    label = numpy.arange(9) % 3
    nothing = numpy.full((2, 2, 4), numpy.nan)
    padded, other = numpy.concatenate([now, nothing], 1), numpy.concatenate([before, drawn((2, 2, 4))], 1)
    longer = numpy.concatenate([label, [-1, -1]])
    numpy.testing.assert_allclose(
        base.activity_kernel_distance(padded, other), base.activity_kernel_distance(now, before)
    )
    kernels = [base.activity_kernel(one) for one in (padded, other)]
    numpy.testing.assert_allclose(base.kernel_distance(*kernels), base.activity_kernel_distance(now, before))
    for function in (base.target_alignment, base.debiased_target_alignment):
        numpy.testing.assert_allclose(function(padded, longer), function(now, label))
        numpy.testing.assert_allclose(function(other, longer), function(before, label))
    aligned = base.kernel_target_alignment(kernels[0], longer)
    numpy.testing.assert_allclose(aligned, base.target_alignment(now, label))
    for wrong in (numpy.nan, numpy.inf):
        padded[0, 2, 1] = wrong
        found = [base.activity_kernel_distance(padded, other), base.target_alignment(padded, longer)]
        assert all(numpy.isnan(entry[0]) and numpy.isfinite(entry[1]) for entry in found)
        kernel = base.activity_kernel(now)
        kernel[0, 1, 2] = wrong
        assert numpy.isnan(base.kernel_distance(kernel, base.activity_kernel(before))[0])
    assert numpy.isnan(base.activity_kernel_distance(numpy.zeros((3, 2)), numpy.ones((3, 2))))


def test_labelled_kernels_keep_other_dimensions() -> None:
    activity = xarray.DataArray(drawn((2, 9, 4)), dims=("replica", "trial", "hidden1"))
    kernel = stats.activity_kernel(activity, dim=("trial", "hidden1"))
    assert kernel.dims == ("replica", "trial", "other_trial")
    jacobian = xarray.DataArray(drawn((2, 3, 9, 5)), dims=("replica", "output", "trial", "hidden2"))
    tangent = stats.tangent_kernel(jacobian, activity, dim=("output", "trial", "hidden2", "hidden1"))
    assert tangent.dims == ("replica", "trial", "other_trial")
    numpy.testing.assert_allclose(tangent, base.tangent_kernel(jacobian.values, activity.values))
    label = xarray.DataArray(numpy.arange(9) % 3, dims="trial")
    both = ("trial", "other_trial")
    assert stats.kernel_distance(tangent, kernel, dim=both).dims == ("replica",)
    found = stats.kernel_target_alignment(kernel, label, dim=both)
    xarray.testing.assert_allclose(found, stats.target_alignment(activity, label, dim=("trial", "hidden1")))
