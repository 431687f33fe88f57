"""Products and steps of weights as operators of torch: closed to a compiler, which calls them as they are.

Two things a compiler must not look into: loops over areas, whose bounds are numbers on the host, and steps that a
matrix product takes straight into the weight, which it would turn into a product, a copy and a sum. Eager steps call
the functions behind these operators without the detour. Letters: R replica, K area, M = R·N rows sorted by group,
G = R·K groups, I and O units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from neurosal.engine.grouped import accumulate_groups, correlate_groups, multiply_groups, sum_groups
from neurosal.engine.routing import Groups
from neurosal.engine.wiring import KERNELS

LIBRARY = torch.library.Library("neurosal", "DEF")
# Of a step: `factors` are one number a weight, `lr` is [R], `keeps` [weights, R] is what each weight is first
# multiplied with, or None.
LIBRARY.define(
    "multiply_groups(Tensor rows, Tensor weight, Tensor order, Tensor group, Tensor counts, Tensor? bias) -> Tensor"
)
LIBRARY.define("linear(Tensor rows, Tensor weight, Tensor? bias) -> Tensor")
LIBRARY.define("correlate_groups(Tensor post, Tensor pre, Tensor order, Tensor group, Tensor counts) -> Tensor")
LIBRARY.define("sum_groups(Tensor rows, Tensor order, Tensor group, Tensor counts) -> Tensor")
LIBRARY.define("step_(Tensor(a!)[] weights, Tensor post, Tensor pre, Tensor lr, Tensor? keeps, float[] factors) -> ()")
LIBRARY.define(
    "step_groups_(Tensor(a!)[] weights, Tensor post, Tensor pre, Tensor order, Tensor group, Tensor counts, Tensor lr, "
    "Tensor? keeps, float[] factors) -> ()"
)


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``rows Wᵀ + b`` by oneDNN, whose own operator inductor takes for weights that never change only."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise.default(rows, weight, bias, "none", [], "")
    return out


def sorted_rows(order: Tensor, group: Tensor, counts_RK: Tensor) -> Groups:
    """Groups as they were sorted."""
    groups = Groups.__new__(Groups)
    groups.replicas, groups.areas = counts_RK.shape
    groups.samples = len(order) // groups.replicas
    groups.order, groups.group_of_row, groups.counts_RK = order, group, counts_RK
    groups.whole_RK = counts_RK
    return groups


def multiply(rows: Tensor, weight: Tensor, order: Tensor, group: Tensor, counts: Tensor, bias: Tensor | None) -> Tensor:
    """``out_m = rows_m W_group(m) + b_group(m)``: [M, O]."""
    return multiply_groups(rows, weight, sorted_rows(order, group, counts), bias)


def correlate(post: Tensor, pre: Tensor, order: Tensor, group: Tensor, counts: Tensor) -> Tensor:
    """``Σ_m post_m pre_mᵀ`` of each group: [G, O, I]."""
    return correlate_groups(post, pre, sorted_rows(order, group, counts))


def total(rows: Tensor, order: Tensor, group: Tensor, counts: Tensor) -> Tensor:
    """``Σ_m rows_m`` of each group: [G, U]."""
    return sum_groups(rows, sorted_rows(order, group, counts))


def step(
    weights: Sequence[Tensor], post: Tensor, pre: Tensor, lr: Tensor, keeps: Tensor | None, factors: Sequence[float]
) -> None:
    """``W = keep W - lr factor Σ_n post preᵀ`` of one replica ([O, I]) or of several ([R, O, I])."""
    single = weights[0].dim() == 2
    rate, kept = _numbers(lr, keeps, len(weights))
    if rate is None:
        lr = lr.to(post.dtype)
        rate, post = 1.0, post * (lr if single else lr.view(-1, 1, 1))
    if kept is None:
        assert keeps is not None
        for weight, keep in zip(weights, keeps.to(weights[0].dtype), strict=True):
            weight.mul_(keep if single else keep.view(-1, 1, 1))
        kept = [1.0] * len(weights)
    steps = [(weight, -rate * factor, keep) for weight, factor, keep in zip(weights, factors, kept, strict=True)]
    KERNELS["dense"]["single" if single else "batched"].accumulate_(steps, post, pre, None)


def step_groups(
    weights: Sequence[Tensor],
    post: Tensor,
    pre: Tensor,
    order: Tensor,
    group: Tensor,
    counts: Tensor,
    lr: Tensor,
    keeps: Tensor | None,
    factors: Sequence[float],
) -> None:
    """The same of the areas that have samples; the others keep their bits. Weights [G, O, I]."""
    groups = sorted_rows(order, group, counts)
    rate, kept = _numbers(lr, keeps, len(weights))
    if rate is None:
        rate, post = 1.0, post * lr.to(post.dtype)[group // groups.areas, None]
    if kept is None:
        assert keeps is not None
        for weight, keep in zip(weights, keeps, strict=True):
            keep_RK = torch.where(groups.active_RK, keep[:, None], 1.0).to(weight.dtype)
            weight.mul_(keep_RK.view(-1, 1, 1))
        kept = [1.0] * len(weights)
    steps = [(weight, -rate * factor, keep) for weight, factor, keep in zip(weights, factors, kept, strict=True)]
    accumulate_groups(steps, post, pre, groups)


def _numbers(lr: Tensor, keeps: Tensor | None, weights: int) -> tuple[float | None, list[float] | None]:
    """Rates as numbers, where they are the same for all replicas and nobody waits for them."""
    if lr.device.type != "cpu":
        return None, [1.0] * weights if keeps is None else None
    kept = [1.0] * weights if keeps is None else [_same(keep) for keep in keeps]
    return _same(lr), None if None in kept else kept  # type: ignore[return-value]


def _same(values: Tensor) -> float | None:
    """The number that all entries are; None where they differ."""
    numbers: list[float] = values.tolist()
    return numbers[0] if all(number == numbers[0] for number in numbers) else None


def _like_multiply(rows: Tensor, weight: Tensor, *_: Tensor | None) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[2])


def _like_linear(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[0])


def _like_correlate(post: Tensor, pre: Tensor, order: Tensor, group: Tensor, counts: Tensor) -> Tensor:
    return post.new_empty(counts.numel(), post.shape[1], pre.shape[1])


def _like_total(rows: Tensor, order: Tensor, group: Tensor, counts: Tensor) -> Tensor:
    return rows.new_empty(counts.numel(), rows.shape[1])


def _register() -> None:
    for name, function in (
        ("linear", linear),
        ("multiply_groups", multiply),
        ("correlate_groups", correlate),
        ("sum_groups", total),
        ("step_", step),
        ("step_groups_", step_groups),
    ):
        LIBRARY.impl(name, function, "CompositeExplicitAutograd")
    torch.library.register_fake("neurosal::linear", _like_linear, lib=LIBRARY)
    torch.library.register_fake("neurosal::multiply_groups", _like_multiply, lib=LIBRARY)
    torch.library.register_fake("neurosal::correlate_groups", _like_correlate, lib=LIBRARY)
    torch.library.register_fake("neurosal::sum_groups", _like_total, lib=LIBRARY)
    for name in ("step_", "step_groups_"):
        torch.library.register_fake(f"neurosal::{name}", lambda *_: None, lib=LIBRARY)


_register()
