"""One product of two matrices, by whichever of torch's two CPU libraries is the faster one.

`torch.mm` calls MKL, which takes half as wide instructions on processors that are not Intel's. oneDNN, which torch
also carries (inductor calls it), takes what the processor has. Measured on one core of an AMD EPYC with AVX-512,
float32, µs, MKL against oneDNN (`neurosal bench kernels` measures again):

| samples, I, O    | W h           | Bᵀ δ          | W += δ hᵀ     |
|------------------|---------------|---------------|---------------|
| 32, 128, 128     | 14 and 18     | 13 and 17     | 13 and 24     |
| 32, 784, 128     | 70 and 50     | 71 and 46     | 65 and 58     |
| 32, 512, 512     | 185 and 112   | 188 and 110   | 165 and 138   |
| 128, 512, 512    | 698 and 355   | 668 and 322   | 675 and 385   |
| 4, 1024, 1024    | 440 and 320   |               | 710 and 490   |
| 4096, 1024, 1024 | 84900, 38000  | 83400, 38600  | 83900, 45400  |

Both sum in float32; they differ in the order of summation. Which one is taken depends on the processor and the shape
alone, never on a clock, so that a run that is resumed meets the same bits.

Letters: M rows, I and O units.
"""

from __future__ import annotations

import platform
from pathlib import Path

import torch
from torch import Tensor

Step = tuple[Tensor, float, float]  # weight, alpha, beta
BLOCK = 1 << 20  # entries of a change that is held at once: it stays in the cache, and its memory is taken up again


def widens() -> bool:
    """Whether oneDNN is there and takes wider instructions than MKL."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    listing = Path("/proc/cpuinfo")
    if (
        platform.machine() != "x86_64"
        or "AVX512" not in torch.backends.cpu.get_cpu_capability()
        or not listing.exists()
    ):
        return False
    return "GenuineIntel" not in listing.read_text()


# Multiplications from which oneDNN is taken; its calls cost 10 µs more, and a change is added in a pass of its own.
LARGE = 2_000_000 if widens() else 1 << 62
LARGE_CHANGE = LARGE * 5 // 2
OUT_OF_CACHE = 1 << 19  # entries of a weight from which MKL is slow with few rows too

linear = torch.ops.mkldnn._linear_pointwise.default if widens() else None


def by_onednn(rows: Tensor, units: int, least: int) -> bool:
    """Whether the product of rows [M, I] with a matrix [I, units] is one for oneDNN."""
    return rows.numel() * units >= least and rows.dtype is torch.float32 and not rows.is_cuda


def multiply(rows_MI: Tensor, weight_IO: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """``rows W + b``, [M, O]."""
    if rows_MI.numel() * weight_IO.shape[1] >= LARGE and by_onednn(rows_MI, weight_IO.shape[1], LARGE):
        out: Tensor = linear(rows_MI, weight_IO.t(), bias_O, "none", [], "")  # type: ignore[misc]
        return out
    return torch.mm(rows_MI, weight_IO) if bias_O is None else torch.addmm(bias_O, rows_MI, weight_IO)


def multiply_into(out_MO: Tensor, rows_MI: Tensor, weight_IO: Tensor, bias_O: Tensor | None = None) -> None:
    """``out = rows W + b``."""
    if by_onednn(rows_MI, weight_IO.shape[1], LARGE):
        out_MO.copy_(linear(rows_MI, weight_IO.t(), bias_O, "none", [], ""))  # type: ignore[misc]
    elif bias_O is None:
        torch.mm(rows_MI, weight_IO, out=out_MO)
    else:
        torch.addmm(bias_O, rows_MI, weight_IO, out=out_MO)


def each_by_onednn(rows_RMI: Tensor, units: int) -> bool:
    """Whether the products of each replica are large enough to be called one by one."""
    return by_onednn(rows_RMI, units, 4 * LARGE * len(rows_RMI))


def multiply_each(rows_RMI: Tensor, weight_RIO: Tensor, bias_R1O: Tensor | None = None) -> Tensor:
    """``rows W + b`` of each replica, [R, M, O]."""
    if each_by_onednn(rows_RMI, weight_RIO.shape[2]):
        out = rows_RMI.new_empty(*rows_RMI.shape[:2], weight_RIO.shape[2])
        for replica, into in enumerate(out):
            bias = None if bias_R1O is None else bias_R1O[replica, 0]
            multiply_into(into, rows_RMI[replica], weight_RIO[replica], bias)
        return out
    return torch.bmm(rows_RMI, weight_RIO) if bias_R1O is None else torch.baddbmm(bias_R1O, rows_RMI, weight_RIO)


def correlate(post_MO: Tensor, pre_MI: Tensor) -> Tensor:
    """``Σ_m post_m pre_mᵀ``, [O, I]."""
    if by_onednn(pre_MI, post_MO.shape[1], LARGE):
        out: Tensor = linear(post_MO.t(), pre_MI.t(), None, "none", [], "")  # type: ignore[misc]
        return out
    return torch.mm(post_MO.t(), pre_MI)


def correlate_into(out_OI: Tensor, post_MO: Tensor, pre_MI: Tensor) -> None:
    """``out = Σ_m post_m pre_mᵀ``."""
    if by_onednn(pre_MI, post_MO.shape[1], LARGE):
        out_OI.copy_(correlate(post_MO, pre_MI))
    else:
        torch.mm(post_MO.t(), pre_MI, out=out_OI)


def accumulate(steps: list[Step], post_MO: Tensor, pre_MI: Tensor) -> None:
    """``W = beta W + alpha Σ_m post_m pre_mᵀ`` for each (W [O, I], alpha, beta); the product is computed once."""
    least = LARGE if pre_MI.shape[1] * post_MO.shape[1] >= OUT_OF_CACHE else LARGE_CHANGE
    fast = by_onednn(pre_MI, post_MO.shape[1], least)
    if len(steps) == 1 and not fast:
        weight, alpha, beta = steps[0]
        weight.addmm_(post_MO.t(), pre_MI, beta=beta, alpha=alpha)
        return
    # With decay, alpha goes on the rows, so that beta W + change is one pass.
    weight, alpha, beta = steps[0]
    fold = beta != 1 and all(step[1:] == (alpha, beta) for step in steps) and len(post_MO) < len(pre_MI[0])
    if fold:
        post_MO = post_MO * alpha
    units = post_MO.shape[1]
    rows = max(256, BLOCK // max(1, pre_MI.shape[1]))
    for start in range(0, units, rows):
        add_part(steps, post_MO[:, start : start + rows], pre_MI, slice(start, start + rows), fold=fold)


def add_part(steps: list[Step], post_MO: Tensor, pre_MI: Tensor, where: slice, *, fold: bool) -> None:
    """The steps in some rows of the weights. The change dies here, so that the next one gets the same memory."""
    change = correlate(post_MO, pre_MI)
    for weight, alpha, beta in steps:
        block = weight[where]
        if fold:
            torch.add(change, block, alpha=beta, out=block)
        else:
            if beta != 1:
                block.mul_(beta)
            block.add_(change, alpha=alpha)
