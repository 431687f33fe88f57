"""Products of two matrices: both libraries against a product in float64 by numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from neurosal.engine import products

ROWS, PRE, POST = 9, 6, 5
HAVE = pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch has no oneDNN")
LIBRARIES = pytest.mark.parametrize("onednn", [pytest.param(True, marks=HAVE), False], ids=["oneDNN", "torch.mm"])


@pytest.fixture
def library(onednn: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The library that is asked for, and what is called of oneDNN."""
    called: list[str] = []

    def linear(*arguments: Any) -> Any:
        called.append("oneDNN")
        return torch.ops.mkldnn._linear_pointwise.default(*arguments)

    monkeypatch.setattr(products, "linear", linear)
    for name in ("LARGE", "LARGE_CHANGE"):
        monkeypatch.setattr(products, name, 0 if onednn else 1 << 62)
    return called


def drawn(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def numbers(tensor: Any) -> Any:
    return tensor.double().numpy()


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(numbers(found), expected, rtol=0, atol=1e-5)


@LIBRARIES
@pytest.mark.parametrize("turned", [False, True], ids=["straight", "transposed"])
def test_rows_times_a_weight_and_a_bias(onednn: bool, library: list[str], turned: bool) -> None:
    rows, bias = drawn(ROWS, PRE), drawn(POST)
    weight = drawn(POST, PRE).t() if turned else drawn(PRE, POST)
    plain = numbers(rows) @ numbers(weight)
    out = torch.full((ROWS, POST), torch.nan)
    products.multiply_into(out, rows, weight, bias)
    same(out, plain + numbers(bias))
    products.multiply_into(out, rows, weight)
    same(out, plain)
    same(products.multiply(rows, weight), plain)
    same(products.multiply(rows, weight, bias), plain + numbers(bias))
    assert len(library) == (4 if onednn else 0)


@LIBRARIES
def test_a_change_is_the_sum_of_outer_products(onednn: bool, library: list[str]) -> None:
    post, pre = drawn(ROWS, POST), drawn(ROWS, PRE)
    expected = np.einsum("mo,mi->oi", numbers(post), numbers(pre))
    out = torch.full((POST, PRE), torch.nan)
    products.correlate_into(out, post, pre)
    same(out, expected)
    same(products.correlate(post, pre), expected)
    assert len(library) == (2 if onednn else 0)


@LIBRARIES
@pytest.mark.parametrize("rows", [2, ROWS], ids=["few rows", "many rows"])
@pytest.mark.parametrize("units", [POST, 700], ids=["one block", "blocks"])
@pytest.mark.parametrize(
    "factors",
    [[(-0.3, 1.0)], [(-0.3, 0.9)], [(-0.3, 1.0), (0.7, 1.0)], [(-0.3, 0.9), (-0.3, 0.9)], [(-0.3, 0.9), (0.7, 0.5)]],
)
def test_weights_move_by_their_own_share_of_one_product(
    onednn: bool,
    library: list[str],
    rows: int,
    units: int,
    factors: list[tuple[float, float]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "BLOCK", 1)
    post, pre = drawn(rows, units), drawn(rows, PRE)
    change = np.einsum("mo,mi->oi", numbers(post), numbers(pre))
    weights = [drawn(units, PRE) for _ in factors]
    before, kept = [numbers(weight).copy() for weight in weights], (post.clone(), pre.clone())
    steps = [(weight, *factor) for weight, factor in zip(weights, factors, strict=True)]
    products.accumulate(steps, post, pre)
    for weight, old, (alpha, beta) in zip(weights, before, factors, strict=True):
        same(weight, beta * old + alpha * change)
    assert torch.equal(post, kept[0])
    assert torch.equal(pre, kept[1])
    assert bool(library) == onednn


@LIBRARIES
def test_each_replica_meets_its_own_weight(onednn: bool, library: list[str]) -> None:
    rows, weight, bias = drawn(3, ROWS, PRE), drawn(3, PRE, POST), drawn(3, 1, POST)
    plain = np.einsum("rmi,rio->rmo", numbers(rows), numbers(weight))
    same(products.multiply_each(rows, weight), plain)
    same(products.multiply_each(rows, weight, bias), plain + numbers(bias))
    assert len(library) == (6 if onednn else 0)


def test_small_products_and_other_types_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "LARGE", 100)
    assert products.by_onednn(torch.zeros(5, 5), 4, products.LARGE)
    assert not products.by_onednn(torch.zeros(5, 5), 3, products.LARGE)
    assert not products.by_onednn(torch.zeros(5, 5, dtype=torch.float64), 4, products.LARGE)
