"""The layers of the plain torch modules that networks leave as, and the functions between them.

Letters: K area, N sample, O post, I pre, U unit, C channel, r routing dimension.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from neurosal.graph import (
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    MaxPool2d,
    Normalisation,
    RMSNorm,
    Shortcut,
    Wiring,
)
from neurosal.graph.convolution import Convolution


def area_linear(rows: Tensor, weight: Tensor, bias: Tensor | None, area: Tensor) -> Tensor:
    """``W^k h + b^k`` with the area k of each sample: rows [.., I], weight [K, O, I], bias [K, O], area [..]. Nothing
    is computed for areas not selected."""
    flat, which = rows.reshape(-1, rows.shape[-1]), area.reshape(-1)
    out = flat.new_zeros(flat.shape[0], weight.shape[1])
    for k in range(weight.shape[0]):
        here = (which == k).nonzero().squeeze(1)
        out.index_copy_(0, here, functional.linear(flat[here], weight[k], None if bias is None else bias[k]))
    return out.reshape((*rows.shape[:-1], weight.shape[1]))


def no_input(like: Tensor, axes: int, extent: tuple[int, ...]) -> Tensor:
    """Zeros for a population that hears from nobody; a sample of `like` has so many axes."""
    return like.new_zeros((*like.shape[: like.dim() - axes], *extent))


def by_channel(values: Tensor, space: int) -> Tensor:
    """Values of channels [.., C], to broadcast over so many axes of space."""
    return values.reshape(*values.shape, *([1] * space))


def subsampled(h: Tensor, stride: int, before: int, after: int) -> Tensor:
    """Every so-many-th row and column, and so many channels of zeros around."""
    return functional.pad(h[..., ::stride, ::stride], (0, 0, 0, 0, before, after))


def place_mean(h: Tensor, space: int, extent: tuple[int, ...]) -> Tensor:
    """Mean over so many axes of space."""
    mean = h.mean(tuple(range(-space, 0)))
    return mean.reshape(*mean.shape[:-1], *extent)


class RootMeanSquare(nn.Module):
    """``γ a / √(mean(a²) + ε)`` over the last `axes` axes, γ one a channel where there is one."""

    weight: nn.Parameter | None

    def __init__(self, eps: float, axes: int) -> None:
        super().__init__()
        self.eps, self.axes = eps, axes
        self.register_parameter("weight", None)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as in torch
        normed = functional.rms_norm(input, input.shape[-self.axes :], eps=self.eps)
        return normed if self.weight is None else normed * by_channel(self.weight, self.axes - 1)


class MaskedConv(nn.Module):
    """A convolution some of whose synapses are absent: they stay so under any optimiser."""

    weight: nn.Parameter
    mask: Tensor

    def __init__(self, inside: nn.Conv1d | nn.Conv2d) -> None:
        super().__init__()
        self.__dict__["inside"] = inside  # what to do, not what to store
        self.register_parameter("bias", None)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as in torch
        inside: Any = self.__dict__["inside"]
        found: Tensor = inside._conv_forward(input, self.weight * self.mask, self.bias)
        return found


class MaskedLinear(nn.Linear):
    """A linear layer some of whose synapses are absent: they stay so under any optimiser."""

    mask: Tensor

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as in torch
        return functional.linear(input, self.weight * self.mask, self.bias)


class OneToOne(nn.Module):
    """``w h``, unit by unit; with areas w [K, U]."""

    weight: nn.Parameter
    mask: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", None)

    def forward(self, input: Tensor, area: Tensor | None = None) -> Tensor:  # noqa: A002 - as in torch
        weight = self.weight if self.mask is None else self.weight * self.mask
        return input * (weight if area is None else weight[area])


class AreaLinear(nn.Module):
    """A linear layer with a weight [K, O, I] and a bias [K, O] for each area."""

    weight: nn.Parameter
    bias: nn.Parameter | None
    mask: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_parameter("bias", None)
        self.register_buffer("mask", None)

    def forward(self, input: Tensor, area: Tensor) -> Tensor:  # noqa: A002 - as in torch
        weight = self.weight if self.mask is None else self.weight * self.mask
        return area_linear(input, weight, self.bias, area)


class AreaRouter(nn.Module):
    """The area of each sample: ``argmax C q``, ``q = P (h - mean) / |P (h - mean)|``. It does not learn here."""

    weight: Tensor
    prototypes: Tensor
    mean: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", None)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as in torch
        centred = input if self.mean is None else input - self.mean
        query = functional.normalize(centred @ self.weight.mT, dim=-1)
        return (query @ self.prototypes.mT).argmax(-1)


class Values(nn.Module):
    """Tensors that are read by what stands around."""


# From descriptions ----------------------------------------------------------------------------------------------------

NORMS = (BatchNorm, GroupNorm, LayerNorm, RMSNorm)
# What torch calls the parameters and statistics of a norm.
TORCH_NAMES = {"scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}


def norm_layer(norm: Normalisation, extent: tuple[int, ...]) -> nn.Module:
    """The layer that normalises a population of this extent; its tensors are put in by the caller."""
    axes, channels = len(extent), extent[0]
    meta: Any = {"device": "meta"}
    match norm:
        case BatchNorm():
            kind = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d}[axes]
            layer = kind(channels, eps=norm.eps, momentum=norm.momentum, affine=norm.affine, **meta)
            layer.num_batches_tracked = None  # the average has a fixed momentum
            return layer
        case GroupNorm():
            return nn.GroupNorm(norm.groups, channels, eps=norm.eps, affine=norm.affine, **meta)
        case LayerNorm():
            if axes > 1:  # one scale a channel
                return nn.GroupNorm(1, channels, eps=norm.eps, affine=norm.affine, **meta)
            return nn.LayerNorm(channels, eps=norm.eps, elementwise_affine=norm.affine, **meta)
    assert isinstance(norm, RMSNorm)
    return RootMeanSquare(norm.eps, axes)


def convolution_layer(
    wiring: Convolution, post: tuple[int, ...], pre: tuple[int, ...], *, bias: bool, masked: bool
) -> nn.Module:
    """The layer of a convolution."""
    kind: Any = nn.Conv1d if isinstance(wiring, Conv1d) else nn.Conv2d
    layer = kind(
        pre[0], post[0], wiring.kernels, wiring.strides, wiring.padding if wiring.padding == "same" else
        tuple(edge[0] for edge in wiring.edges), wiring.dilations, wiring.groups, bias, wiring.padding_mode,
        device="meta",
    )  # fmt: skip
    return MaskedConv(layer) if masked else layer


def weightless_layer(wiring: Wiring, post: tuple[int, ...], pre: tuple[int, ...]) -> tuple[Any, tuple[Any, ...]] | None:
    """A layer or a function, and what it takes beside the activity; None where there is none."""
    match wiring:
        case AvgPool2d() | MaxPool2d():
            kind: Any = nn.AvgPool2d if isinstance(wiring, AvgPool2d) else nn.MaxPool2d
            return kind(wiring.kernels, wiring.strides, wiring.paddings), ()
        case GlobalAvgPool():
            return place_mean, (len(pre) - 1, post)
        case Flatten():
            return torch.flatten, (-len(pre),)
        case Shortcut():
            more = post[0] - pre[0]
            return subsampled, (wiring.stride, more // 2, more - more // 2)
    return None
