"""Grouped products: both ways against a product written out row by row, however the rows fall into groups."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from neurosal.engine import grouped
from neurosal.engine.grouped import accumulate_groups, correlate_groups, lay_out, multiply_groups, pads, sum_groups
from neurosal.engine.routing import Groups

PRE, POST = 4, 3
LAYOUTS: dict[str, list[list[int]]] = {
    "even": [[0, 1, 2, 0, 1, 2], [2, 1, 0, 2, 1, 0]],
    "skewed": [[0, 0, 0, 0, 0, 2], [1, 1, 1, 1, 1, 1]],
    "empty": [[1, 1, 1, 1], [1, 1, 1, 1]],
    "one row": [[2]],
    "one row of each": [[0], [2], [1]],
    "one group": [[0] * 7],
}
EVERY = pytest.mark.parametrize("layout", LAYOUTS)
BOTH = pytest.mark.parametrize("padded", [True, False], ids=["padded", "loop"])
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def made(layout: str, dtype: torch.dtype = torch.float64) -> tuple[Groups, Any, Any, Any]:
    """Groups, rows of both ends in sorted order, and a weight [G, O, I]."""
    groups = Groups(torch.tensor(LAYOUTS[layout]), 3)
    generator = torch.Generator().manual_seed(1)
    count = len(groups.order)
    pre = torch.randn(count, PRE, generator=generator, dtype=torch.float64)
    post = torch.randn(count, POST, generator=generator, dtype=torch.float64)
    weight = torch.randn(groups.replicas * 3, POST, PRE, generator=generator, dtype=torch.float64)
    return groups, pre.to(dtype), post.to(dtype), weight.to(dtype)


def group_of_each(layout: str) -> list[int]:
    """Group of each sorted row, from the layout alone."""
    return sorted(3 * replica + area for replica, areas in enumerate(LAYOUTS[layout]) for area in areas)


def way(monkeypatch: pytest.MonkeyPatch, padded: bool) -> None:
    monkeypatch.setattr(grouped, "pads", lambda *_: padded)


@EVERY
@BOTH
@DTYPES
def test_a_bias_is_that_of_the_rows_own_group(
    layout: str, padded: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    way(monkeypatch, padded)
    groups, pre, _, weight = made(layout, dtype)
    bias = torch.arange(len(weight) * POST, dtype=dtype).view(-1, POST)
    of = group_of_each(layout)
    expected = [(weight[g] @ row + bias[g]).double().numpy() for g, row in zip(of, pre, strict=True)]
    assert close(multiply_groups(pre, weight.mT, groups, bias), expected, dtype)


@EVERY
@pytest.mark.parametrize("summed", [0, 1 << 40], ids=["group by group", "all at once"])
def test_rows_of_a_group_are_summed(layout: str, summed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped, "SUMMED", summed)
    groups, pre, _, weight = made(layout)
    expected = np.zeros((len(weight), PRE))
    for row, group in enumerate(group_of_each(layout)):
        expected[group] += pre[row].numpy()
    assert close(sum_groups(pre, groups), expected, torch.float64)


def close(found: Any, expected: Any, dtype: torch.dtype) -> bool:
    return bool(
        (found.double() - torch.as_tensor(np.asarray(expected))).abs().max()
        < (1e-13 if dtype is torch.float64 else 1e-5)
    )


@EVERY
@BOTH
@DTYPES
def test_every_row_meets_the_weight_of_its_own_group(
    layout: str, padded: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    way(monkeypatch, padded)
    groups, pre, post, weight = made(layout, dtype)
    of = group_of_each(layout)
    forward = [weight[g].double().numpy() @ row.double().numpy() for g, row in zip(of, pre, strict=True)]
    back = [weight[g].double().numpy().T @ row.double().numpy() for g, row in zip(of, post, strict=True)]
    assert close(multiply_groups(pre, weight.mT, groups), forward, dtype)
    assert close(multiply_groups(post, weight, groups), back, dtype)


def changes_of(layout: str, post: Any, pre: Any, count: int) -> Any:
    change = np.zeros((count, POST, PRE))
    for row, group in enumerate(group_of_each(layout)):
        change[group] += np.outer(post[row].double().numpy(), pre[row].double().numpy())
    return change


@EVERY
@BOTH
@DTYPES
def test_a_change_is_the_sum_over_the_rows_of_its_group(
    layout: str, padded: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    way(monkeypatch, padded)
    groups, pre, post, weight = made(layout, dtype)
    found = correlate_groups(post, pre, groups)
    assert close(found, changes_of(layout, post, pre, len(weight)), dtype)
    for group in set(range(len(weight))) - set(group_of_each(layout)):
        assert not found[group].any()


@EVERY
@BOTH
@DTYPES
@pytest.mark.parametrize("count", [1, 2])
def test_weights_move_in_groups_with_samples_and_keep_their_bits_elsewhere(
    layout: str, padded: bool, dtype: torch.dtype, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    way(monkeypatch, padded)
    groups, pre, post, first = made(layout, dtype)
    weights = [first, first.flip(0).contiguous()][:count]
    before = [weight.clone() for weight in weights]
    factors = [(-0.3, 0.9), (0.7, 1.0)]
    steps = [(weight, *factor) for weight, factor in zip(weights, factors, strict=False)]
    accumulate_groups(steps, post, pre, groups)
    change = changes_of(layout, post, pre, len(first))
    for weight, old, (alpha, beta) in zip(weights, before, factors, strict=False):
        for group in range(len(first)):
            if group in group_of_each(layout):
                assert close(weight[group], beta * old[group].double().numpy() + alpha * change[group], dtype)
            else:
                assert torch.equal(weight[group], old[group])


@EVERY
def test_both_ways_give_the_same_numbers(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for padded in (True, False):
        way(monkeypatch, padded)
        groups, pre, post, weight = made(layout)
        accumulate_groups([(weight, -0.3, 0.9)], post, pre, groups)
        results.append((multiply_groups(pre, weight.mT, groups), correlate_groups(post, pre, groups), weight))
    for one, two in zip(*results, strict=True):
        assert (one - two).abs().max() < 1e-14


# Which way -----------------------------------------------------------------------------------------------------------


def groups_with(counts: list[int]) -> Groups:
    return Groups(torch.tensor([[area for area, count in enumerate(counts) for _ in range(count)]]), len(counts))


@pytest.mark.parametrize(
    ("counts", "weight", "padded"),
    [
        ([4, 4, 4, 4], 16384, True),
        ([7, 3, 3, 3], 16384, True),
        ([4, 4, 4, 4], 16385, False),  # large weights: a product each
        ([16] + [0] * 7, 1000, True),  # 8 rows a row
        ([16] + [0] * 8, 1000, False),
    ],
)
def test_rows_are_padded_for_small_weights_where_little_is_wasted(counts: list[int], weight: int, padded: bool) -> None:
    assert pads(groups_with(counts), weight, torch.zeros(16, 1)) == padded


def test_the_choice_is_taken_by_every_product(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(grouped, "pads", lambda groups, weight, rows: asked.append(weight) or True)
    groups, pre, post, weight = made("even")
    multiply_groups(pre, weight.mT, groups)
    correlate_groups(post, pre, groups)
    accumulate_groups([(weight, 1.0, 1.0)], post, pre, groups)
    assert asked == [PRE * POST] * 3


# By torch's grouped product ------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_torchs_grouped_product_gives_the_same_numbers(
    layout: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU takes for bfloat16, on the CPU."""
    groups = Groups(torch.tensor(LAYOUTS[layout]), 3)
    generator = torch.Generator().manual_seed(2)
    count, total = len(groups.order), groups.counts_RK.numel()
    pre, post = (torch.randn(count, 8, generator=generator).to(dtype) for _ in range(2))
    weight, bias = torch.randn(total, 8, 8, generator=generator), torch.randn(total, 8, generator=generator).to(dtype)
    monkeypatch.setattr(grouped, "has_kernel", lambda *_: True)
    moved = weight.clone()
    accumulate_groups([(moved, -0.5, 0.9)], post, pre, groups)
    found = multiply_groups(pre, weight.to(dtype).mT, groups, bias), correlate_groups(post, pre, groups), moved
    assert torch.equal(moved[~groups.active_RK.flatten()], weight[~groups.active_RK.flatten()])
    monkeypatch.setattr(grouped, "has_kernel", lambda *_: False)
    pre, post, bias, other = pre.float(), post.float(), bias.float(), weight.clone()
    accumulate_groups([(other, -0.5, 0.9)], post, pre, groups)
    by_loop = multiply_groups(pre, weight.mT, groups, bias), correlate_groups(post, pre, groups), other
    for one, two in zip(found, by_loop, strict=True):
        torch.testing.assert_close(one.float(), two, rtol=0, atol=1e-5 if dtype is torch.float32 else 0.1)


def test_the_cpu_and_types_without_a_kernel_take_our_own_ways() -> None:
    assert not grouped.has_kernel(torch.zeros(8, 8, dtype=torch.bfloat16))
    assert grouped.aligned(torch.zeros(3, 8, dtype=torch.bfloat16))
    assert grouped.aligned(torch.zeros(8, 3, dtype=torch.bfloat16).t()) is False
    assert grouped.aligned(torch.zeros(3, 8, dtype=torch.bfloat16).t())


# Groups --------------------------------------------------------------------------------------------------------------


@EVERY
def test_samples_are_sorted_by_replica_and_area_and_keep_their_order_within(layout: str) -> None:
    areas = LAYOUTS[layout]
    groups = Groups(torch.tensor(areas), 3)
    keyed = [(3 * r + k, index) for index, (r, k) in enumerate((r, k) for r, row in enumerate(areas) for k in row)]
    assert groups.order.tolist() == [index for _, index in sorted(keyed)]
    assert groups.group_of_row.tolist() == [group for group, _ in sorted(keyed)]
    assert groups.order[groups.inverse].tolist() == list(range(len(keyed)))
    assert groups.inverse[groups.order].tolist() == list(range(len(keyed)))


@EVERY
def test_counts_ends_and_slices_say_where_each_group_lies(layout: str) -> None:
    groups = Groups(torch.tensor(LAYOUTS[layout]), 3)
    of = group_of_each(layout)
    counts = [of.count(group) for group in range(3 * len(LAYOUTS[layout]))]
    assert groups.counts_RK.flatten().tolist() == counts
    assert groups.counts_RK.shape == (len(LAYOUTS[layout]), 3)
    assert groups.ends.tolist() == list(itertools.accumulate(counts))
    assert groups.active_RK.flatten().tolist() == [count > 0 for count in counts]
    assert groups.capacity == max(counts)
    assert groups.per_area.tolist() == [1 / counts[group] for group in of]
    covered = [row for group, start, end in groups.slices for row in range(start, end) if of[row] == group]
    assert covered == list(range(len(of)))


@EVERY
def test_each_row_has_a_place_of_its_own_in_its_group(layout: str) -> None:
    groups = Groups(torch.tensor(LAYOUTS[layout]), 3)
    slots = groups.slot.tolist()
    assert len(set(slots)) == len(slots)
    assert [slot // groups.capacity for slot in slots] == group_of_each(layout)
    rows = torch.arange(1.0, len(slots) + 1)[:, None]
    laid = lay_out(rows, groups)
    assert laid.shape == (len(LAYOUTS[layout]) * 3, groups.capacity, 1)
    for group, count in enumerate(groups.counts_RK.flatten().tolist()):
        assert (laid[group, :count] > 0).all()
        assert not laid[group, count:].any()  # zeros behind
    assert torch.equal(laid.flatten(0, 1)[groups.slot], rows)
