"""Wiring over space in a narrow type: convolutions and broadcasts as narrow products, all else as its ends are kept.

A convolution of bfloat16 rows and weights is summed in float32 by the libraries, as a product of matrices is, and
rounded where it is written (`neurosal.engine.precision`).
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from neurosal.engine.convolution import ConvolutionBatched, ConvolutionGrouped, ConvolutionSingle, add_
from neurosal.engine.routing import Groups
from neurosal.engine.wiring import Kernel, Steps, active

CONVOLUTIONS = (ConvolutionSingle, ConvolutionBatched, ConvolutionGrouped)


class Narrowing(Protocol):
    """What makes tensors narrow."""

    compute: torch.dtype | None

    def narrow(self, rows: Tensor) -> Tensor:
        """Rows in the type of products."""

    def weight(self, weight: Tensor) -> Tensor:
        """A weight in the type of products; good until the next one is asked for."""


class NarrowSpace(Kernel):
    """Products with space in a narrow type.

    Args:
        kernel: the functions in the type of what they are given.
        narrowing: makes weights and rows narrow.
        written: the type in which the population keeps its rows where what is applied arrives.
    """

    def __init__(self, kernel: Kernel, narrowing: Narrowing, written: torch.dtype) -> None:
        self.inside, self.narrowing, self.written = kernel, narrowing, written
        self.compute = self.carries = narrowing.compute
        self.at_once = not isinstance(kernel, CONVOLUTIONS)

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        narrow = self.narrowing
        return widened(self.inside.apply(narrow.weight(weight), narrow.narrow(pre), groups), self.written)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        narrow = self.narrowing
        return widened(self.inside.pull(narrow.weight(weight), narrow.narrow(post), groups), self.written)

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        narrow = self.narrowing
        if self.written != self.compute:
            return super().affine(bias, weight, pre, groups)
        return self.inside.affine(narrow.narrow(bias), narrow.weight(weight), narrow.narrow(pre), groups)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        narrow = self.narrowing
        return self.inside.correlate(narrow.narrow(post), narrow.narrow(pre), groups).to(torch.float32)

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        narrow = self.narrowing
        if not self.at_once:
            self.inside.accumulate_(steps, narrow.narrow(post), narrow.narrow(pre), groups)
            return
        change = self.correlate(post, pre, groups)
        for weight, alpha, beta in steps:
            if beta != 1:
                weight.mul_(beta if groups is None else active(groups, weight, beta))
            if groups is not None and isinstance(alpha, Tensor):
                add_(weight, change, alpha.repeat_interleave(groups.areas), 1.0)
            else:
                add_(weight, change, alpha, 1.0)


class InTypeOfEnds(Kernel):
    """Wiring that does little more than move signals (pooling, shortcuts, one-to-one) in the types of its ends.

    Args:
        written, returned: types in which rows are kept where what is applied arrives, and where it comes from.
    """

    def __init__(self, kernel: Kernel, written: torch.dtype, returned: torch.dtype) -> None:
        self.inside, self.written, self.returned, self.keeps = kernel, written, returned, kernel.keeps

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return widened(self.inside.apply(weight, pre, groups), self.written)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return widened(self.inside.pull(weight, post, groups), self.written)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.inside.correlate(post.to(torch.float32), pre.to(torch.float32), groups)

    def apply_keeping(self, pre: Tensor) -> tuple[Tensor, Any]:
        out, kept = self.inside.apply_keeping(pre)
        return widened(out, self.written), kept

    def pull_kept(self, post: Tensor, kept: Any) -> Tensor:
        return widened(self.inside.pull_kept(post, kept), self.returned)


def widened(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Rows in another type; themselves where they have it."""
    return rows if rows.dtype == dtype else rows.to(dtype)
