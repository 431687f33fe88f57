"""Symmetry: measures against references that share no code, invariances, chance, and all from one pass."""

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
from neurosal.stats.base import sums as blocks
from neurosal.stats.base import symmetry
from neurosal.stats.base.symmetry import CLOSINGS, together
from neurosal.stats.catalogue import catalogue, measure

SHAPES = ((3, 2, 4, 9), (2, 1, 7, 5))  # R, K, post, pre
NAMES = [name for name, entry in catalogue("symmetry").items() if entry.together is not None]


def pair(shape: tuple[int, ...], seed: int = 0, mixed: float = 0.5) -> tuple[Any, Any]:
    generator = numpy.random.default_rng(seed)
    w, other = generator.standard_normal((2, *shape))
    return w, mixed * w + other + 0.3


# Against references ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_centred_angle_slope_and_kappa_equal_scipys_and_a_table_of_signs(shape: tuple[int, ...]) -> None:
    w, b = pair(shape)
    w[abs(w) < 0.2], b[abs(b) < 0.2] = 0, 0
    found = measure(["centred_angle", "slope", "sign_kappa"], w, b)
    for r in range(shape[0]):
        x, y = w[r].ravel(), b[r].ravel()
        line = scipy.stats.linregress(x, y)
        assert found["slope"][r] == pytest.approx(line.slope, rel=1e-10)
        assert found["centred_angle"][r] == pytest.approx(math.degrees(math.acos(line.rvalue)), rel=1e-10)
        table = numpy.zeros((2, 2))
        for one, other in zip(x, y, strict=True):
            if one and other:
                table[int(one > 0), int(other > 0)] += 1
        share = table / table.sum()
        chance = sum(share[i].sum() * share[:, i].sum() for i in range(2))
        assert found["sign_kappa"][r] == pytest.approx((numpy.trace(share) - chance) / (1 - chance), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_angles_of_units_are_those_of_their_rows_over_all_areas(shape: tuple[int, ...]) -> None:
    w, b = pair(shape)
    found = measure(["unit_angle", "centred_unit_angle"], w, b)
    for r in range(shape[0]):
        for o in range(shape[2]):
            x, y = w[r, :, o].ravel(), b[r, :, o].ravel()
            cosine = x @ y / math.sqrt(x @ x * (y @ y))
            assert found["unit_angle"][r, o] == pytest.approx(math.degrees(math.acos(cosine)), rel=1e-10)
            centred = math.degrees(math.acos(scipy.stats.pearsonr(x, y).statistic))
            assert found["centred_unit_angle"][r, o] == pytest.approx(centred, rel=1e-10)


@pytest.mark.parametrize(("shape", "rank"), [((6, 40), 4), ((30, 12), 5), ((5, 9), 10)])
def test_principal_angles_equal_scipys(shape: tuple[int, int], rank: int) -> None:
    generator = numpy.random.default_rng(1)
    w, other = generator.standard_normal((2, *shape))
    for b in (other, w + 0.1 * other, w + 1e-7 * other):
        spaces = [numpy.linalg.svd(m)[2][: min(rank, *shape)].T for m in (w, b)]
        expected = numpy.degrees(scipy.linalg.subspace_angles(*spaces))[::-1]
        found = base.principal_angles(w, b, rank=rank)
        numpy.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
        assert base.subspace_angle(w, b, rank=rank) == pytest.approx(expected.mean(), rel=1e-6, abs=1e-12)


# All from one pass ----------------------------------------------------------------------------------------------------


def alike(w: Any, b: Any, tolerance: float = 1e-9) -> None:
    """One pass gives what each function gives by itself, of arrays and of tensors."""
    torch = pytest.importorskip("torch")
    found = together(NAMES, w, b)
    tensors = together(NAMES, torch.from_numpy(w), torch.from_numpy(b))
    for name in NAMES:
        expected = catalogue()[name].measure(w, b)
        numpy.testing.assert_allclose(found[name], expected, rtol=tolerance, atol=tolerance, err_msg=name)
        numpy.testing.assert_allclose(tensors[name].numpy(), expected, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [1, 7, 40, 1 << 16])
def test_blocks_of_any_size_give_the_same(shape: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", block)
    w, b = pair(shape)
    alike(w, b)
    alike(w, numpy.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2))  # feedback as it is stored
    alike(w.astype("float32"), b.astype("float32"))
    w[:, :, 1], b[:, :, :, 2] = 0, 0  # a unit without weights, and some zeros in all others
    alike(w, b)


def test_threads_that_share_the_blocks_give_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    w, b = (torch.from_numpy(array) for array in pair((2, 2, 30, 11)))
    monkeypatch.setattr(blocks, "BLOCK", 50)
    monkeypatch.setattr(blocks, "SHARED", 50)
    monkeypatch.setattr(blocks, "WORTH_THREADS", 1)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3, 64):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                found.append(together(NAMES, w, b))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        for name in NAMES:
            assert torch.equal(found[0][name], other[name]), name


@pytest.mark.parametrize("tilt", [1e-2, 1e-4, 1e-6, 1e-9, 0.0])
@pytest.mark.parametrize("kind", ["scaled", "offset", "units", "areas"])
def test_one_pass_keeps_the_digits_of_small_angles(kind: str, tilt: float) -> None:
    w, across = pair((2, 2, 5, 30), seed=4)
    b = 3 * w + tilt * across
    if kind == "offset":
        b = b + 0.7
    if kind in ("units", "areas"):  # each has a strength of its own
        b = b * numpy.linspace(1, 1.001, 10).reshape((1, 1, 10, 1) if kind == "units" else (1, 2, 5, 1))[:, :, :5]
    for sign in (1, -1):
        found = together(NAMES, w, sign * b)
        for name in (name for name in NAMES if name not in CLOSINGS):
            expected = catalogue()[name].measure(w, sign * b)
            low, high = (found[name], expected) if sign > 0 else (180 - found[name], 180 - expected)
            numpy.testing.assert_allclose(low, high, rtol=1e-6 if sign > 0 else 1e-2, atol=2e-13, err_msg=name)


def test_nearly_parallel_weights_take_one_more_pass_for_all_angles(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(symmetry, "row_sums", lambda *arrays: taken.append("sums") or blocks.row_sums(*arrays))
    monkeypatch.setattr(symmetry, "row_residuals", lambda *a: taken.append(len(a[0])) or blocks.row_residuals(*a))
    monkeypatch.setattr(symmetry, "angle", lambda *_, **__: pytest.fail("it took whole arrays"))
    w, b = pair((3, 2, 5, 30))
    together(NAMES, w, b)
    assert taken == ["sums"]
    b[1] = w[1]  # as tied feedback has it, in one replica
    found = together(NAMES, w, b)
    assert taken == ["sums", "sums", 1]
    assert found["angle"][1] == found["unit_angle"][1].max() == 0


def test_one_pass_falls_back_where_squares_or_means_leave_no_digits() -> None:
    w, b = pair((2, 1, 4, 6))
    alike(1e-170 * w, b)
    alike(w, 1e170 * b)
    alike(w + 1e7, b, tolerance=1e-6)  # a mean far above the spread
    for spoilt in (math.nan, math.inf):
        broken = w.copy()
        broken[0, 0, 1, 2] = spoilt
        alike(broken, b)
        assert numpy.isnan(together(["angle"], broken, b)["angle"]).tolist() == [True, False]
    alike(0 * w, b)
    alike(w, numpy.broadcast_to(b[:, :, :1, :1], w.shape).copy())  # constant feedback


def test_shared_feedback_is_compared_with_each_area() -> None:
    w, b = pair((2, 3, 4, 6))
    shared = b[:, :1]
    one, other = base.both_ways((("w",),), (("b",),), {"w": w, "b": shared.swapaxes(-1, -2)})
    assert one.shape == other.shape == w.shape
    alike(one, numpy.array(other))


# Properties -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-5, 5), st.floats(0.01, 100))
def test_offsets_and_scale_change_no_centred_angle_and_order_of_entries_changes_nothing(seed, offset, scale) -> None:
    w, b = pair((1, 1, 4, 5), seed % 1000)
    shifted = together(NAMES, scale * w + offset, b - offset)
    plain = together(NAMES, w, b)
    assert shifted["centred_angle"] == pytest.approx(plain["centred_angle"], abs=1e-6)
    assert scale * shifted["slope"] == pytest.approx(plain["slope"], rel=1e-6)
    order = numpy.random.default_rng(seed).permutation(20)
    mixed = together(NAMES, *(array.reshape(1, 1, -1)[..., order].reshape(array.shape) for array in (w, b)))
    for name in NAMES:
        if "unit" not in name:
            assert mixed[name] == pytest.approx(plain[name], rel=1e-9), name
    units = numpy.random.default_rng(seed).permutation(4)
    rows = together(NAMES, w[:, :, units], b[:, :, units])
    numpy.testing.assert_allclose(rows["unit_angle"], plain["unit_angle"][:, units], rtol=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_rotations_after_the_synapse_and_scale_change_no_principal_angle(seed) -> None:
    generator = numpy.random.default_rng(seed)
    w, b = generator.standard_normal((2, 4, 9))
    rotation, _ = numpy.linalg.qr(generator.standard_normal((4, 4)))
    expected = base.principal_angles(w, b)
    assert (expected >= 0).all()
    assert (expected <= 90).all()
    assert (numpy.diff(expected) >= 0).all()
    numpy.testing.assert_allclose(base.principal_angles(rotation @ w, 3 * b), expected, atol=1e-8)
    numpy.testing.assert_allclose(base.principal_angles(b, w), expected, atol=1e-8)
    assert base.subspace_angle(rotation @ w, w) == pytest.approx(0, abs=1e-8)


# Chance ---------------------------------------------------------------------------------------------------------------


def test_independent_log_normal_weights_look_aligned_until_their_means_are_taken_off() -> None:
    generator = numpy.random.default_rng(0)
    for sigma in (0.5, 1.0):
        w, b = generator.lognormal(sigma=sigma, size=(2, 1, 1, 500, 800))
        found = together(NAMES, w, b)
        expected = math.degrees(math.acos(math.exp(-(sigma**2))))  # E[w]² / E[w²]
        assert found["angle"] == pytest.approx(expected, abs=0.5)
        assert found["centred_angle"] == pytest.approx(90, abs=0.5)
        assert found["sign_concordance"] == 1
        assert numpy.isnan(found["sign_kappa"])
        assert abs(found["slope"]) < 0.01
    assert math.degrees(math.acos(math.exp(-1))) == pytest.approx(68.4, abs=0.05)
    # The angle of 68.6° that is often told of log-normal weights is that of sigma = 1.004.
    assert math.degrees(math.acos(math.exp(-(1.00409**2)))) == pytest.approx(68.6, abs=0.001)


def test_kappa_of_independent_signs_is_zero_however_many_are_positive() -> None:
    generator = numpy.random.default_rng(0)
    for share in (0.5, 0.8, 0.95):
        w, b = (numpy.where(generator.uniform(size=200_000) < share, 1.0, -1.0) for _ in range(2))
        assert abs(base.sign_kappa(w, b, axis=0)) < 0.01
        assert base.sign_concordance(w, b, axis=0) == pytest.approx(share**2 + (1 - share) ** 2, abs=0.01)
        assert base.sign_kappa(w, w, axis=0) == 1


def test_p_of_independent_weights_is_uniform_and_of_aligned_ones_the_smallest() -> None:
    generator = numpy.random.default_rng(2)
    w, b = generator.lognormal(size=(2, 300, 30))
    found = base.alignment_p(w, b, axis=-1, permutations=99)
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.001
    assert (base.alignment_p(w, w, axis=-1, permutations=99) == 0.01).all()
    assert base.alignment_p(w[0], 0 * w[0] + 1, axis=-1) == 1  # all orders are alike
    assert math.isnan(base.alignment_p(w[0], 0 * w[0], axis=-1))


def test_one_p_belongs_to_raw_and_centred_angle_and_slope_and_follows_from_its_seed() -> None:
    generator = numpy.random.default_rng(3)
    w, b = generator.lognormal(size=(2, 40))
    b = b + 0.2 * w
    orders = numpy.random.default_rng(5)
    counts = dict.fromkeys(("angle", "centred_angle", "slope"), 0)
    for _ in range(50):
        mixed = b[orders.permutation(40)]
        for name in counts:
            function = getattr(base, name)
            ours, own = function(w, mixed, axis=0), function(w, b, axis=0)
            counts[name] += ours >= own if name == "slope" else ours <= own
    found = base.alignment_p(w, b, axis=0, permutations=50, seed=5)
    assert {(1 + count) / 51 for count in counts.values()} == {float(found)}


def test_the_band_of_the_null_holds_independent_weights_and_not_the_transpose() -> None:
    generator = numpy.random.default_rng(0)
    w, b = (xarray.DataArray(generator.lognormal(size=(2, 6, 50)), dims=("replica", "post", "pre")) for _ in range(2))
    for centred in (False, True):
        null = stats.permutation_null(w, b, dim=("post", "pre"), centred=centred, permutations=200)
        assert null.sizes == {"replica": 2}
        assert ((null.null_low < null.angle) & (null.angle < null.null_high)).all()
        assert (null.null_mean > 85).all() if centred else (null.null_mean < 80).all()
        assert (null.p > 0.02).all()
        same = stats.permutation_null(w, w + 0.5 * b, dim=("post", "pre"), centred=centred, permutations=200)
        assert (same.angle < same.null_low).all()
        assert (same.p == 1 / 201).all()
    units = stats.permutation_null(w, b, dim="pre", permutations=50)
    assert units.p.dims == ("replica", "post")
