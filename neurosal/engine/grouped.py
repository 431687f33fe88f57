"""Products over groups of rows: every row meets the weight of its own (replica, area), and no other area's.

Letters: rows M = R·N sorted by group, G = R·K groups, C rows of the fullest group, I and O units.

Two ways, equal in value:

- *padded*: rows are laid out [G, C, I] with zeros behind each group, and one batched product serves all groups:
  launches do not grow with G;
- *loop*: `mm` into slices over the groups that have samples; changes go straight into the weights of those groups.

Measured (2 cores, float32, medians in µs, loop against padded):

| R, K, samples, I, O      | product         | change          |
|--------------------------|-----------------|-----------------|
| 5, 16, 16, 64, 256       | 249 and 261     | 265 and 165     |
| 10, 16, 64, 16, 64       | 542 and 72      | 612 and 74      |
| 1, 16, 512, 1024, 1024   | 14800 and 19400 | 10400 and 14600 |

`torch.nn.functional.grouped_mm` is a loop on the CPU (equal to ours for products, 4 × slower for changes, not in
float64). So: padded where groups are evenly filled or weights are small, loop for large weights, and always padded on a
GPU, where launches count. In the loop, a change of few rows is worse as a product than as its rows one by one
(256 × 1024, µs a group: 2 rows 155 against 39, 4 rows 147 against 79, 8 rows 145 against 161).
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurosal.engine.routing import Groups

EVEN = 1.5  # padded rows a row, up to which padding is always taken
SPARSE = 8.0  # the same, up to which it is taken for small weights
SMALL = 2_000_000  # weights of all groups
FEW = 6  # rows of a group, up to which rank-one steps into its weights beat one product


def pads(groups: Groups, weights: int, on_gpu: bool) -> bool:
    """Whether the padded way is the better one."""
    if on_gpu:
        return True
    rows = groups.replicas * groups.samples
    filling = groups.counts_RK.numel() * groups.capacity / rows
    return filling <= EVEN or (filling <= SPARSE and weights <= SMALL)


def lay_out(rows_MU: Tensor, groups: Groups) -> Tensor:
    """Rows as [G, C, U], zeros behind each group."""
    laid = rows_MU.new_zeros(groups.counts_RK.numel() * groups.capacity, rows_MU.shape[1])
    return laid.index_copy_(0, groups.slot, rows_MU).view(-1, groups.capacity, rows_MU.shape[1])


def multiply_groups(rows_MI: Tensor, weight_GIO: Tensor, groups: Groups) -> Tensor:
    """``out_m = rows_m W_group(m)``: [M, O]."""
    if pads(groups, weight_GIO.numel(), rows_MI.is_cuda):
        return torch.bmm(lay_out(rows_MI, groups), weight_GIO).flatten(0, 1).index_select(0, groups.slot)
    out = rows_MI.new_empty(rows_MI.shape[0], weight_GIO.shape[2])
    for group, start, end in groups.slices:
        torch.mm(rows_MI[start:end], weight_GIO[group], out=out[start:end])
    return out


def correlate_groups(post_MO: Tensor, pre_MI: Tensor, groups: Groups) -> Tensor:
    """``Σ_m post_m pre_mᵀ`` of each group: [G, O, I]; zero in groups without samples."""
    count = groups.counts_RK.numel()
    if pads(groups, count * post_MO.shape[1] * pre_MI.shape[1], post_MO.is_cuda):
        return torch.bmm(lay_out(post_MO, groups).mT, lay_out(pre_MI, groups))
    out = post_MO.new_zeros(count, post_MO.shape[1], pre_MI.shape[1])
    for group, start, end in groups.slices:
        torch.mm(post_MO[start:end].t(), pre_MI[start:end], out=out[group])
    return out


def accumulate_groups(
    steps: list[tuple[Tensor, float, float]], post_MO: Tensor, pre_MI: Tensor, groups: Groups
) -> None:
    """``W = beta W + alpha Σ_m post_m pre_mᵀ`` for each (W [G, O, I], alpha, beta), in groups with samples; the others
    keep their bits."""
    if pads(groups, steps[0][0].numel(), post_MO.is_cuda):
        post, pre = lay_out(post_MO, groups), lay_out(pre_MI, groups)
        change = torch.bmm(post.mT, pre) if len(steps) > 1 else None
        for weight, alpha, beta in steps:
            if beta != 1:
                weight.mul_(torch.where(groups.active_RK.view(-1, 1, 1), weight.new_full((), beta), 1.0))
            if change is None:
                weight.baddbmm_(post.mT, pre, alpha=alpha)
            else:
                weight.add_(change, alpha=alpha)
        return
    for group, start, end in groups.slices:
        if len(steps) == 1 and end - start <= FEW:
            weight, alpha, beta = steps[0]
            target = weight[group]
            for row in range(start, end):
                target.addr_(post_MO[row], pre_MI[row], beta=beta if row == start else 1.0, alpha=alpha)
            continue
        if len(steps) == 1:
            weight, alpha, beta = steps[0]
            weight[group].addmm_(post_MO[start:end].t(), pre_MI[start:end], beta=beta, alpha=alpha)
            continue
        part = torch.mm(post_MO[start:end].t(), pre_MI[start:end])
        for weight, alpha, beta in steps:
            target = weight[group]
            if beta != 1:
                target.mul_(beta)
            target.add_(part, alpha=alpha)
