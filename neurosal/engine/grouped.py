"""Products over groups of rows: every row meets the weight of its own (replica, area), and nothing else is computed.

Letters: rows M = R·N sorted by group, G = R·K groups, I and O units. Two ways, equal in value:

- one call of `torch.nn.functional.grouped_mm`: launches do not grow with groups; float32 and bfloat16 only, rows of a multiple of 16 bytes, and its
  weight change has the size of all areas;
- a loop over the groups that have samples, with `mm` into slices: any type, and the change goes straight into the weights.

Measured here (2 cores, float32): for products of rows both are equal within a few percent; for the change the loop is up to 10 × faster once all
areas together pass about 1e6 weights (it moves the bytes of selected areas only), below that the one call is as fast. On a GPU the one call is taken.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grouped_mm, pad

from neurosal.engine.routing import Groups

LOOP_ABOVE = 1_000_000
GROUPED_TYPES = (torch.float32, torch.bfloat16, torch.float16)


def lanes(dtype: torch.dtype) -> int:
    """Units a row must be a multiple of for `grouped_mm`: 16 bytes. 1 where it is not used."""
    return 16 // dtype.itemsize if dtype in GROUPED_TYPES else 1


def padded(units: int, dtype: torch.dtype) -> int:
    """`units` rounded up to what `grouped_mm` needs."""
    return -(-units // lanes(dtype)) * lanes(dtype)


def fit(rows: Tensor, units: int) -> Tensor:
    """Rows with zeros added up to `units`, contiguous."""
    if rows.shape[-1] != units:
        return pad(rows, (0, units - rows.shape[-1]))
    return rows.contiguous()


def multiply_groups(rows_MI: Tensor, weight_GIO: Tensor, groups: Groups) -> Tensor:
    """``out_m = rows_m W_group(m)``: [M, O']. Rows narrower than the (padded) weight are filled up with zeros."""
    rows = fit(rows_MI, weight_GIO.shape[1])
    if rows.dtype in GROUPED_TYPES:
        return grouped_mm(rows, weight_GIO, offs=groups.ends)
    out = rows.new_empty(rows.shape[0], weight_GIO.shape[2])
    for group, start, end in groups.slices:
        torch.mm(rows[start:end], weight_GIO[group], out=out[start:end])
    return out


def correlate_groups(post_MO: Tensor, pre_MI: Tensor, groups: Groups) -> Tensor:
    """``Σ_m post_m pre_mᵀ`` of each group: [G, O', I'], padded like the stored weights; zero in groups without samples."""
    post, pre = fit(post_MO, padded(post_MO.shape[1], post_MO.dtype)), fit(pre_MI, padded(pre_MI.shape[1], pre_MI.dtype))
    if post.dtype in GROUPED_TYPES:
        return grouped_mm(post.t(), pre, offs=groups.ends)
    out = post.new_zeros(groups.counts_RK.numel(), post.shape[1], pre.shape[1])
    for group, start, end in groups.slices:
        torch.mm(post[start:end].t(), pre[start:end], out=out[group])
    return out


def accumulate_groups(steps: list[tuple[Tensor, float, float]], post_MO: Tensor, pre_MI: Tensor, groups: Groups) -> bool:
    """``W = beta W + alpha Σ_m post_m pre_mᵀ`` for each (W [G, O', I'], alpha, beta), group by group, with no buffer of all areas' size.

    Returns False, having done nothing, where one grouped product is the better way.
    """
    weight = steps[0][0]
    if post_MO.is_cuda or (weight.dtype in GROUPED_TYPES and weight.numel() < LOOP_ABOVE):
        return False
    post, pre = fit(post_MO, weight.shape[1]), fit(pre_MI, weight.shape[2])
    for group, start, end in groups.slices:
        if len(steps) == 1:
            weight[group].addmm_(post[start:end].t(), pre[start:end], beta=steps[0][2], alpha=steps[0][1])
            continue
        change = torch.mm(post[start:end].t(), pre[start:end])
        for target, alpha, beta in steps:
            if beta != 1:
                target[group].mul_(beta)
            target[group].add_(change, alpha=alpha)
    return True
