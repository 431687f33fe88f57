"""Tensor functions of wiring without weights: pooling, flattening and shortcuts, the same in every form.

Rows are [N, C, H, W] or [R, N, C, H, W]; no function looks at more than one sample or mixes channels.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from neurosal.engine.routing import Groups
from neurosal.engine.space import Images, empty_space, last
from neurosal.engine.wiring import Kernel, register_wiring
from neurosal.graph import AvgPool2d, Flatten, GlobalAvgPool, MaxPool2d, Shortcut
from neurosal.graph.pooling import Pool2d
from neurosal.graph.wiring import Extent

average = torch.ops.aten.avg_pool2d.default
average_back = torch.ops.aten.avg_pool2d_backward.default
largest = torch.ops.aten.max_pool2d_with_indices.default
largest_back = torch.ops.aten.max_pool2d_with_indices_backward.default


class Pooling(Kernel):
    """What both kinds of pooling share."""

    def __init__(self, wiring: Pool2d, post: Extent, pre: Extent) -> None:
        self.post, self.pre = Images(post, 2), Images(pre, 2)
        self.fields = [list(wiring.kernels), list(wiring.strides), list(wiring.paddings)]

    def room(self, images: Tensor) -> Tensor:
        """Images of the shape before pooling; their values are not read."""
        count, channels = images.shape[:2]
        return images.new_empty(count, *self.pre.places, channels).movedim(-1, 1)


class AveragePooling(Pooling):
    """Mean over fields."""

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        out = average(last(self.pre.any(pre)), *self.fields, False, True)
        return self.post.same(out, self.pre.lead(pre))

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        images = last(self.post.any(post))
        back = average_back(images, self.room(images), *self.fields, False, True, None)
        return self.pre.same(back, self.post.lead(post))


class MaxPooling(Pooling):
    """Largest of fields; keeps which place won, [.., N, C, H, W]."""

    keeps = True

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.apply_keeping(pre)[0]

    def apply_keeping(self, pre: Tensor) -> tuple[Tensor, Any]:
        out, winners = largest(last(self.pre.any(pre)), *self.fields, [1, 1], False)
        lead = self.pre.lead(pre)
        return self.post.same(out, lead), self.post.same(winners, lead)

    def pull_kept(self, post: Tensor, kept: Any) -> Tensor:
        # Both lie in memory as the output of the pooling did, or are brought there.
        lead, winners = self.post.lead(post), last(self.post.any(kept))
        images = self.post.any(post)
        if images.shape != winners.shape:
            images = self.post.any(empty_like_rows(post, kept))
        images = last(images)
        back = largest_back(images, self.room(images), *self.fields, [1, 1], False, winners)
        return self.pre.same(back, lead)


def empty_like_rows(rows: Tensor, like: Tensor) -> Tensor:
    """Rows in memory as others of the same shape lie."""
    return torch.empty_strided(rows.shape, like.stride(), dtype=rows.dtype, device=rows.device).copy_(rows)


class GlobalPooling(Kernel):
    """Mean over all places."""

    def __init__(self, post: Extent, pre: Extent) -> None:
        self.post, self.pre, self.places = post, pre, prod(pre[1:])
        self.space = tuple(range(1 - len(pre), 0))

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return pre.mean(self.space).view(*pre.shape[: pre.dim() - len(self.pre)], *self.post)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        lead = post.shape[: post.dim() - len(self.post)]
        each = post.reshape(*lead, self.pre[0], *[1] * len(self.space)) / self.places
        return empty_space(tuple(lead), self.pre, post).copy_(each)


class Flattening(Kernel):
    """Channels, rows and columns in a row."""

    def __init__(self, post: Extent, pre: Extent) -> None:
        self.post, self.pre = post, pre

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        # Copied even where a view would do (one place): populations add further inputs in place.
        lead = tuple(pre.shape[: pre.dim() - len(self.pre)])
        return pre.new_empty(*lead, *self.pre).copy_(pre).view(*lead, *self.post)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return empty_space(tuple(post.shape[:-1]), self.pre, post).copy_(post.unflatten(-1, self.pre))


class Subsampling(Kernel):
    """Every so-many-th place, zeros in channels that the source does not have."""

    def __init__(self, wiring: Shortcut, post: Extent, pre: Extent) -> None:
        self.post, self.pre = post, pre
        self.first = (post[0] - pre[0]) // 2
        self.every = slice(None, None, wiring.stride)
        self.whole = wiring.stride == 1

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        out = empty_space(tuple(pre.shape[:-3]), self.post, pre)
        first, end = self.first, self.first + self.pre[0]
        out[..., :first, :, :] = 0
        out[..., end:, :, :] = 0
        out[..., first:end, :, :] = pre[..., self.every, self.every]
        return out

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        out = empty_space(tuple(post.shape[:-3]), self.pre, post)
        if not self.whole:
            out.zero_()
        out[..., self.every, self.every] = post[..., self.first : self.first + self.pre[0], :, :]
        return out


def make_pooling(wiring: Any, post: Extent, pre: Extent, form: str) -> Kernel:
    """The functions of a wiring without weights; they are the same in every form."""
    match wiring:
        case AvgPool2d():
            return AveragePooling(wiring, post, pre)
        case MaxPool2d():
            return MaxPooling(wiring, post, pre)
        case GlobalAvgPool():
            return GlobalPooling(post, pre)
        case Flatten():
            return Flattening(post, pre)
    assert isinstance(wiring, Shortcut)
    return Subsampling(wiring, post, pre)


for member in (AvgPool2d, MaxPool2d, GlobalAvgPool, Flatten, Shortcut):
    register_wiring(member.kind, make=make_pooling)
