"""Products over groups of rows: every row meets the weight of its own (replica, area), and no other area's.

Letters: rows M = R·N sorted by group, G = R·K groups, C rows of the fullest group, I and O units.

Two ways, equal in value:

- *padded*: rows are laid out [G, C, I] with zeros behind each group, and one batched product serves all groups:
  launches do not grow with G;
- *loop*: a product into a slice for each group that has samples; changes go straight into the weights of those groups.

Measured (one core of an AMD EPYC, float32, µs, loop against padded; `neurosal bench kernels` measures again):

| R, K, samples, I, O, padded rows a row | product         | change          | two changes      |
|----------------------------------------|-----------------|-----------------|------------------|
| 10, 16, 64, 16, 64, 2.8                | 1060 and 480    | 2430 and 220    | 2470 and 540     |
| 1, 64, 512, 128, 128, 2.2              | 1110 and 1340   | 1460 and 760    | 2050 and 1590    |
| 1, 16, 512, 64, 256, 1.2               | 410 and 390     | 330 and 400     | 520 and 540      |
| 1, 16, 512, 256, 256, 1.3              | 1360 and 1760   | 1080 and 1300   | 1860 and 2000    |
| 5, 16, 16, 784, 256, 4.0               | 4170 and 6610   | 3100 and 5190   | 6810 and 42700   |
| 1, 16, 512, 512, 512, 3.7              | 3700 and 13100  | 3840 and 11800  | 4780 and 14900   |

So: the loop, but for small weights, where calls count, and on a GPU, where launches count and slices would wait. There
`torch.nn.functional.grouped_mm` needs neither padding nor a look at the counts where it has a kernel of its own
(bfloat16); for other types it is a loop that waits.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurosal.engine.products import Step, accumulate, correlate_into, multiply_into
from neurosal.engine.routing import Groups

SMALL = 1 << 14  # entries of a group's weight up to which the padded way is taken on a CPU
SPARSE = 8.0  # padded rows a row, up to which it is
SUMMED = 1 << 14  # entries of a group's rows from which they are summed by themselves


def pads(groups: Groups, weight: int, rows: Tensor) -> bool:
    """Whether the padded way is the better one, for weights of so many entries a group."""
    if rows.is_cuda:
        return True
    return weight <= SMALL and groups.counts_RK.numel() * groups.capacity <= SPARSE * len(rows)


def has_kernel(*tensors: Tensor) -> bool:
    """Whether `grouped_mm` has a kernel for tensors on this device: rows of whole 16 bytes, in bfloat16."""
    return all(tensor.is_cuda and tensor.dtype is torch.bfloat16 and aligned(tensor) for tensor in tensors)


def aligned(tensor: Tensor) -> bool:
    """Whether rows begin at multiples of 16 bytes, whichever of the last two axes they lie along."""
    strides = [stride for stride in tensor.stride()[-2:] if stride != 1]
    return all(stride * tensor.element_size() % 16 == 0 for stride in strides)


def lay_out(rows_MU: Tensor, groups: Groups) -> Tensor:
    """Rows as [G, C, U], zeros behind each group."""
    laid = rows_MU.new_zeros(groups.counts_RK.numel() * groups.capacity, rows_MU.shape[1])
    return laid.index_copy_(0, groups.slot, rows_MU).view(groups.counts_RK.numel(), groups.capacity, rows_MU.shape[1])


def multiply_groups(rows_MI: Tensor, weight_GIO: Tensor, groups: Groups, bias_GO: Tensor | None = None) -> Tensor:
    """``out_m = rows_m W_group(m) + b_group(m)``: [M, O]."""
    if has_kernel(rows_MI, weight_GIO):
        out = torch.nn.functional.grouped_mm(rows_MI, weight_GIO, offs=groups.ends.int())
        return out if bias_GO is None else out.add_(bias_GO[groups.group_of_row])
    if pads(groups, weight_GIO[0].numel(), rows_MI):
        laid = lay_out(rows_MI, groups)
        out = torch.bmm(laid, weight_GIO) if bias_GO is None else torch.baddbmm(bias_GO[:, None], laid, weight_GIO)
        return out.flatten(0, 1).index_select(0, groups.slot)
    out = rows_MI.new_empty(rows_MI.shape[0], weight_GIO.shape[2])
    for group, start, end in groups.slices:
        bias = None if bias_GO is None else bias_GO[group]
        multiply_into(out[start:end], rows_MI[start:end], weight_GIO[group], bias)
    return out


def correlate_groups(post_MO: Tensor, pre_MI: Tensor, groups: Groups) -> Tensor:
    """``Σ_m post_m pre_mᵀ`` of each group: [G, O, I]; zero in groups without samples."""
    count, size = groups.counts_RK.numel(), post_MO.shape[1] * pre_MI.shape[1]
    if has_kernel(post_MO, pre_MI):
        change = torch.nn.functional.grouped_mm(post_MO.t(), pre_MI, offs=groups.ends.int())
        return change.masked_fill_(~groups.active_RK.view(-1, 1, 1), 0.0)  # nothing says that a sum of none is written
    if pads(groups, size, post_MO):
        return torch.bmm(lay_out(post_MO, groups).mT, lay_out(pre_MI, groups))
    out = post_MO.new_zeros(count, post_MO.shape[1], pre_MI.shape[1])
    for group, start, end in groups.slices:
        correlate_into(out[group], post_MO[start:end], pre_MI[start:end])
    return out


def accumulate_groups(steps: list[Step], post_MO: Tensor, pre_MI: Tensor, groups: Groups) -> None:
    """``W = beta W + alpha Σ_m post_m pre_mᵀ`` for each (W [G, O, I], alpha, beta), in groups with samples; the others
    keep their bits."""
    if has_kernel(post_MO, pre_MI):
        change = correlate_groups(post_MO, pre_MI, groups)
        add_to_groups(steps, change, groups)
        return
    if pads(groups, steps[0][0][0].numel(), post_MO):
        post, pre = lay_out(post_MO, groups), lay_out(pre_MI, groups)
        if len(steps) > 1:
            add_to_groups(steps, torch.bmm(post.mT, pre), groups)
        else:
            weight, alpha, beta = steps[0]
            shrink(weight, beta, groups).baddbmm_(post.mT, pre, alpha=alpha)
        return
    for group, start, end in groups.slices:
        own = [(weight[group], alpha, beta) for weight, alpha, beta in steps]
        accumulate(own, post_MO[start:end], pre_MI[start:end])


def shrink(weight_GOI: Tensor, beta: float, groups: Groups) -> Tensor:
    """``beta W`` in groups with samples, in place."""
    if beta == 1:
        return weight_GOI
    return weight_GOI.mul_(torch.where(groups.active_RK.view(-1, 1, 1), weight_GOI.new_full((), beta), 1.0))


def add_to_groups(steps: list[Step], change_GOI: Tensor, groups: Groups) -> None:
    """``W = beta W + alpha change`` for each (W, alpha, beta); the change is zero in groups without samples."""
    for weight, alpha, beta in steps:
        shrink(weight, beta, groups).add_(change_GOI, alpha=alpha)


def sum_groups(rows_MU: Tensor, groups: Groups) -> Tensor:
    """``Σ_m rows_m`` of each group: [G, U]; zero in groups without samples."""
    out = rows_MU.new_zeros(groups.counts_RK.numel(), rows_MU.shape[1])
    if rows_MU.is_cuda or rows_MU.numel() < SUMMED * len(out):
        return out.index_add_(0, groups.group_of_row, rows_MU)
    for group, start, end in groups.slices:
        torch.sum(rows_MU[start:end], 0, out=out[group])
    return out
