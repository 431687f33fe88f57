"""Tensor functions of convolutions.

On the CPU replicas and areas are taken one after another: oneDNN's grouped convolution costs 1.6 to 3.3 times as much
at 16 channels (measured, two cores, batch 128, four replicas: 28, 24 and 9 ms for apply, pull and correlate against
8.5, 8.7 and 5.9). On CUDA one grouped convolution serves all replicas, and another all areas, laid out with zeros
behind the samples of each. Weights keep their plain layout: torch turns them over to the library's own at each call,
which for 64 × 64 kernels of 3 × 3 takes 2 % of the convolution.

Letters: R replica, N sample, C channel, H row, W column, O and I channels post- and pre-synaptic, G = R·K groups of
areas; w, x and g are a weight [O, I/groups, H, W], images before and images (or errors) after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad as padded

from neurosal.engine.grouped import lay_out
from neurosal.engine.routing import Groups
from neurosal.engine.space import Images, empty_space, last
from neurosal.engine.wiring import Kernel, Steps, active, register_wiring
from neurosal.graph.convolution import Convolution, PaddingMode
from neurosal.graph.wiring import Extent

convolve = torch.ops.aten.convolution.default
differentiate = torch.ops.aten.convolution_backward.default


class Slide:
    """A convolution of images: the three functions, free of autograd.

    Going back is the transposed convolution, and the change of a weight the gradient that torch's own backward pass
    would take; both call the same library functions as it does.

    Args:
        wiring: the convolution.  post, pre: the populations' extents.
    """

    def __init__(self, wiring: Convolution, post: Extent, pre: Extent) -> None:
        one = wiring.space == 1
        self.kernel = [1, *wiring.kernels] if one else [*wiring.kernels]
        self.stride = [1, *wiring.strides] if one else [*wiring.strides]
        self.dilation = [1, *wiring.dilations] if one else [*wiring.dilations]
        self.groups = wiring.groups
        edges = [(0, 0), *wiring.edges] if one else [*wiring.edges]
        self.post, self.pre = Images(post, wiring.space), Images(pre, wiring.space)
        # torch's own padding is of zeros, and the same on both sides; any other is laid around the images first.
        plain = wiring.padding_mode == "zeros" and all(before == after for before, after in edges)
        self.border = None if plain else Border(wiring.padding_mode, edges, self.pre.places)
        self.padding = [before for before, _ in edges] if plain else [0, 0]
        sizes = self.pre.places if self.border is None else self.border.padded
        reached = [
            (after - 1) * stride - 2 * edge + dilation * (size - 1) + 1
            for after, stride, edge, dilation, size in zip(
                self.post.places, self.stride, self.padding, self.dilation, self.kernel, strict=True
            )
        ]
        self.beyond = [size - reach for size, reach in zip(sizes, reached, strict=True)]  # places that no field reaches
        self.shape = (self.post.channels, self.pre.channels // self.groups, *self.kernel)
        self.own_shape = wiring.weight_shape(post, pre)

    def weight(self, weight: Tensor) -> Tensor:
        """A weight in the wiring's own shape as [O, I/groups, H, W]; a view wherever it lies as it was made."""
        return weight.reshape(self.shape)

    def change(self, change: Tensor) -> Tensor:
        """A change [.., O, I/groups, H, W] in the wiring's own shape."""
        return change.reshape(*change.shape[:-4], *self.own_shape)

    def apply(self, w: Tensor, x: Tensor, bias: Tensor | None = None, times: int = 1) -> Tensor:
        """``W x``, for images whose channels are those of so many networks side by side."""
        if self.border is not None:
            x = self.border.add(x)
        out: Tensor = convolve(
            last(x), w, bias, self.stride, self.padding, self.dilation, False, [0, 0], self.groups * times
        )
        return out

    def pull(self, w: Tensor, g: Tensor, times: int = 1) -> Tensor:
        """``Wᵀ g``."""
        x: Tensor = convolve(
            last(g), w, None, self.stride, self.padding, self.dilation, True, self.beyond, self.groups * times
        )
        return x if self.border is None else self.border.fold(x)

    def correlate(self, g: Tensor, x: Tensor, times: int = 1) -> Tensor:
        """``Σ g x`` at every pair of places that a synapse joins."""
        if self.border is not None:
            x = self.border.add(x)
        w = g.new_empty(times * self.shape[0], *self.shape[1:])  # only its shape is read
        only = [False, True, False]
        change: Tensor = differentiate(
            last(g),
            last(x),
            w,
            None,
            self.stride,
            self.padding,
            self.dilation,
            False,
            [0, 0],
            self.groups * times,
            only,
        )[1]
        return change


class Border:
    """Padding that torch's convolution does not have: laid around images, and folded back onto them."""

    def __init__(self, mode: PaddingMode, edges: list[tuple[int, int]], places: tuple[int, int]) -> None:
        (top, bottom), (left, right) = edges
        self.mode, self.edges = ("constant" if mode == "zeros" else mode), edges
        self.amounts = [left, right, top, bottom]
        self.places = places
        self.padded = tuple(size + sum(edge) for size, edge in zip(places, edges, strict=True))
        self.sources: list[Tensor | None] = []  # along each axis, which place a place of the border repeats
        for size, (before, after) in zip(places, edges, strict=True):
            numbers = torch.arange(size, dtype=torch.float64).view(1, 1, size)
            found = None if mode == "zeros" else padded(numbers, (before, after), mode=mode).flatten().long()
            self.sources.append(found)

    def add(self, x: Tensor) -> Tensor:
        """The images with their border."""
        return padded(x, self.amounts, mode=self.mode)

    def fold(self, x: Tensor) -> Tensor:
        """The other way: what arrives at the border goes to the places that it repeats."""
        for axis in (-1, -2):
            (before, after), size, source = self.edges[axis], self.places[axis], self.sources[axis]
            inner = x.narrow(axis, before, size)
            if source is not None:
                inner = inner.clone()
                for start, count in ((0, before), (before + size, after)):
                    if count:
                        where = source[start : start + count].to(x.device)
                        inner.index_add_(axis, where, x.narrow(axis, start, count))
            x = inner
        return last(x)


class ConvolutionSingle(Kernel):
    """One replica, one area: rows [N, *extent]."""

    def __init__(self, slide: Slide) -> None:
        self.slide = slide

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        slide = self.slide
        return slide.post.back(slide.apply(slide.weight(weight), slide.pre.of(pre)))

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        slide = self.slide
        return slide.post.back(slide.apply(slide.weight(weight), slide.pre.of(pre), bias.flatten()))

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        slide = self.slide
        return slide.pre.back(slide.pull(slide.weight(weight), slide.post.of(post)))

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        slide = self.slide
        return slide.change(slide.correlate(slide.post.of(post), slide.pre.of(pre)))

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        slide = self.slide
        change = slide.correlate(slide.post.of(post), slide.pre.of(pre))
        for weight, alpha, beta in steps:
            add_(weight.view(slide.shape), change, alpha, beta)


class ConvolutionBatched(Kernel):
    """Many replicas, one area: rows [R, N, *extent]."""

    def __init__(self, slide: Slide) -> None:
        self.slide, self.single = slide, ConvolutionSingle(slide)

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.forward(weight, pre, None)

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.forward(weight, pre, bias)

    def forward(self, weight: Tensor, pre: Tensor, bias: Tensor | None) -> Tensor:
        """``b + W pre``."""
        slide, count = self.slide, len(weight)
        if at_once(pre):
            out = slide.apply(
                side_by_side(weight, slide), slide.pre.beside(pre), None if bias is None else bias.flatten(), count
            )
            return slide.post.apart(out, count)
        out = empty_space((count, pre.shape[1]), slide.post.extent, pre)
        for replica in range(count):
            own = None if bias is None else bias[replica].flatten()
            x = slide.apply(slide.weight(weight[replica]), slide.pre.of(pre[replica]), own)
            out[replica].copy_(slide.post.back(x))
        return out

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        slide, count = self.slide, len(weight)
        if at_once(post):
            return slide.pre.apart(slide.pull(side_by_side(weight, slide), slide.post.beside(post), count), count)
        out = empty_space((count, post.shape[1]), slide.pre.extent, post)
        for replica in range(count):
            x = slide.pull(slide.weight(weight[replica]), slide.post.of(post[replica]))
            out[replica].copy_(slide.pre.back(x))
        return out

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        slide, count = self.slide, len(post)
        if at_once(post):
            change = slide.correlate(slide.post.beside(post), slide.pre.beside(pre), count)
            return slide.change(change.unflatten(0, (count, -1)))
        return torch.stack([self.single.correlate(post[r], pre[r], None) for r in range(count)])

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        if at_once(post):
            change = self.correlate(post, pre, None)
            for weight, alpha, beta in steps:
                add_(weight, change, alpha, beta)
            return
        for replica in range(len(post)):
            own = [(weight[replica], at(alpha, replica), beta) for weight, alpha, beta in steps]
            self.single.accumulate_(own, post[replica], pre[replica], None)


class ConvolutionGrouped(Kernel):
    """Areas, each a full set of kernels: rows [N, *extent] or [R, N, *extent], sorted by (replica, area)."""

    def __init__(self, slide: Slide) -> None:
        self.slide, self.single = slide, ConvolutionSingle(slide)

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.through(self.slide.apply, weight, pre, groups, self.slide.pre, self.slide.post, None)

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        return self.through(self.slide.apply, weight, pre, groups, self.slide.pre, self.slide.post, bias)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        return self.through(self.slide.pull, weight, post, groups, self.slide.post, self.slide.pre, None)

    def through(
        self,
        function: Callable[..., Tensor],
        weight: Tensor,
        rows: Tensor,
        groups: Groups | None,
        here: Images,
        there: Images,
        bias: Tensor | None,
    ) -> Tensor:
        """Rows through one of the functions of images, each with the weight of its own area."""
        assert groups is not None
        lead = here.lead(rows)
        merged = here.of(rows.flatten(0, len(lead) - 1))
        if at_once(rows):
            count = len(weight)
            biases = () if bias is None else (bias.flatten(),)
            laid = side(laid_out(merged, groups), count)
            out = function(side_by_side(weight, self.slide), laid, *biases, times=count)
            taken = out.unflatten(1, (count, -1)).movedim(1, 0).flatten(0, 1).index_select(0, groups.slot)
            return there.back(taken).unflatten(0, lead)
        out = empty_space((len(merged),), there.extent, rows)
        for group, start, end in groups.slices:
            biases = () if bias is None else (bias[group].flatten(),)
            out[start:end].copy_(there.back(function(self.slide.weight(weight[group]), merged[start:end], *biases)))
        return out.unflatten(0, lead)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        assert groups is not None
        slide, count = self.slide, groups.counts_RK.numel()
        g, x = self.merged(post, pre)
        if at_once(g):
            g, x = side(laid_out(g, groups), count), side(laid_out(x, groups), count)
            return slide.change(slide.correlate(g, x, count).unflatten(0, (count, -1)))
        change = g.new_zeros(count, *slide.shape)
        for group, start, end in groups.slices:
            change[group].copy_(slide.correlate(g[start:end], x[start:end]))
        return slide.change(change)

    def accumulate_(self, steps: Steps, post: Tensor, pre: Tensor, groups: Groups | None) -> None:
        assert groups is not None
        if at_once(post):
            change = self.correlate(post, pre, groups)
            for weight, alpha, beta in steps:
                if beta != 1:
                    weight.mul_(active(groups, weight, beta))
                each = alpha.repeat_interleave(groups.areas) if isinstance(alpha, Tensor) else alpha
                add_(weight, change, each, 1.0)
            return
        g, x = self.merged(post, pre)
        for group, start, end in groups.slices:
            change = self.slide.correlate(g[start:end], x[start:end])
            for weight, alpha, beta in steps:
                add_(weight[group].view(self.slide.shape), change, at(alpha, group // groups.areas), beta)

    def merged(self, post: Tensor, pre: Tensor) -> tuple[Tensor, Tensor]:
        """Both ends as images, samples of all replicas in a row."""
        slide, leads = self.slide, (self.slide.post.lead(post), self.slide.pre.lead(pre))
        g, x = (rows.flatten(0, len(lead) - 1) for rows, lead in zip((post, pre), leads, strict=True))
        return slide.post.of(g), slide.pre.of(x)


def at_once(rows: Tensor) -> bool:
    """Whether one grouped convolution serves all replicas or areas."""
    return rows.is_cuda


def side_by_side(weight: Tensor, slide: Slide) -> Tensor:
    """Weights of many networks as those of one grouped convolution, [R·O, I/groups, H, W]."""
    return weight.reshape(-1, *slide.shape[1:])


def laid_out(images: Tensor, groups: Groups) -> Tensor:
    """Images as [G, capacity, C, H, W], zeros behind each group."""
    flat = lay_out(images.movedim(1, -1).flatten(1), groups)
    _, channels, *places = images.shape
    return flat.unflatten(-1, (*places, channels)).movedim(-1, 2)


def side(images: Tensor, count: int) -> Tensor:
    """[G, N, C, H, W] as [N, G·C, H, W]."""
    return images.movedim(0, 1).flatten(1, 2)


def at(alpha: Any, replica: int) -> Any:
    """A rate of one replica, from one for all or one for each."""
    return float(alpha[replica]) if isinstance(alpha, Tensor) else alpha


def add_(weight: Tensor, change: Tensor, alpha: Any, beta: float) -> None:
    """``W = beta W + alpha change``."""
    if beta != 1:
        weight.mul_(beta)
    if isinstance(alpha, Tensor):
        weight.add_(change * alpha.to(change.dtype).view(-1, *([1] * (change.dim() - 1))))
    else:
        weight.add_(change, alpha=alpha)


FORMS = {"single": ConvolutionSingle, "batched": ConvolutionBatched, "grouped": ConvolutionGrouped}


def make_convolution(wiring: Convolution, post: Extent, pre: Extent, form: str) -> Kernel:
    """The functions of a convolution in one form."""
    return FORMS[form](Slide(wiring, post, pre))


register_wiring("conv2d", make=make_convolution)
register_wiring("conv1d", make=make_convolution)
