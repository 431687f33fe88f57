"""Wiring without weights: pooling, flattening, and the shortcuts of residual circuits."""

from __future__ import annotations

from math import prod
from typing import ClassVar

from pydantic import Field, model_validator

from neurosal.graph.convolution import Reversed, per_axis, slid, spaceless
from neurosal.graph.wiring import Extent, Wiring, said


class Weightless(Wiring):
    """What wiring without weights shares."""

    weightless: ClassVar[bool] = True

    def reversed(self) -> Wiring:
        return Reversed(wiring=self)


class Pool2d(Weightless):
    """What average and max pooling share."""

    kernel: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None
    padding: int | tuple[int, int] = 0

    @model_validator(mode="after")
    def _possible(self) -> Pool2d:
        if min(self.kernels) < 1 or min(self.strides) < 1:
            raise ValueError("a kernel and a stride of 1 or more")
        if any(not 0 <= 2 * more <= size for more, size in zip(self.paddings, self.kernels, strict=True)):
            raise ValueError("padding of at most half the kernel")
        return self

    @property
    def functions(self) -> str:
        return f"{self.kind} {self.kernels} {self.strides} {self.paddings}"

    @property
    def kernels(self) -> tuple[int, ...]:
        """Size of a field along each axis."""
        return per_axis(self.kernel, 2)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride along each axis."""
        return self.kernels if self.stride is None else per_axis(self.stride, 2)

    @property
    def paddings(self) -> tuple[int, ...]:
        """How many places are added at each border, along each axis."""
        return per_axis(self.padding, 2)

    def output(self, pre: Extent) -> Extent:
        """The extent of a population that fits this wiring from a population of extent `pre`."""
        channels, *places = pre
        sizes = zip(places, self.kernels, self.strides, self.paddings, strict=True)
        return (channels, *(slid(size, kernel, stride, 1, (more, more)) for size, kernel, stride, more in sizes))

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        if len(pre) != 3:
            return spaceless(pre, 2) or f"channels, rows and columns, found {said(pre)}"
        fits = self.output(pre)
        if min(fits) < 1:
            return f"a source that the kernel {said(self.kernels)} fits into, found {said(pre)}"
        return None if fits == post else f"a target of {said(fits)}, found {said(post)}"


class AvgPool2d(Pool2d):
    """Mean over a field, channel by channel: ``post_c(p) = 1/k Σ pre_c``, k places of the kernel, padding included.

    Args:
        kernel: rows and columns of a field.  stride: from field to field; None the kernel.

    Example:
        >>> from neurosal.graph import AvgPool2d
        >>> AvgPool2d(kernel=2).output((6, 28, 28))
        (6, 14, 14)
    """

    kind: ClassVar[str] = "avg_pool2d"


class MaxPool2d(Pool2d):
    """Largest value of a field, channel by channel: ``post_c(p) = max pre_c``. Padding never wins.

    Feedback goes back to the unit that won in this batch (`Unpool`).

    Args:
        kernel: rows and columns of a field.  stride: from field to field; None the kernel.

    Example:
        >>> from neurosal.graph import MaxPool2d
        >>> MaxPool2d(kernel=3, stride=2, padding=1).output((64, 112, 112))
        (64, 56, 56)
    """

    kind: ClassVar[str] = "max_pool2d"

    def returning(self, forward: str) -> Wiring:
        return Unpool(of=forward)


class Unpool(Weightless):
    """The way back through max pooling: the error of a field arrives at the unit that won there in this batch.

    Args:
        of: the projection with max pooling, from this one's target to its source.
    """

    kind: ClassVar[str] = "unpool"
    of: str

    @property
    def functions(self) -> str:
        return f"unpool {self.of}"

    @property
    def follows(self) -> str | None:
        return self.of


class GlobalAvgPool(Weightless):
    """Mean over all places, channel by channel: ``post_c = 1/P Σ_p pre_c(p)``.

    Example:
        >>> from neurosal.graph import GlobalAvgPool
        >>> GlobalAvgPool().output((64, 8, 8))
        (64,)
    """

    kind: ClassVar[str] = "global_avg_pool"

    def output(self, pre: Extent) -> Extent:
        """The extent of a population that fits this wiring from a population of extent `pre`."""
        return (pre[0],)

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        if len(pre) == 1:
            return f"a source of channels that have places, found {said(pre)}"
        fits = post[0] == pre[0] and prod(post[1:]) == 1
        return None if fits else f"a target of {pre[0]} units, found {said(post)}"


class Flatten(Weightless):
    """All units in a row, in the order of channels, rows, columns.

    Example:
        >>> from neurosal.graph import Flatten
        >>> Flatten().output((16, 5, 5))
        (400,)
    """

    kind: ClassVar[str] = "flatten"

    def output(self, pre: Extent) -> Extent:
        """The extent of a population that fits this wiring from a population of extent `pre`."""
        return (prod(pre),)

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        return None if post == self.output(pre) else f"a target of {prod(pre)} units in a row, found {said(post)}"


class Shortcut(Weightless):
    """Every `stride`-th row and column; channels that the source does not have get zeros, half of them before and half
    after: ``post_c(p) = pre_c'(stride p)`` (option A of He et al. 2015; option B is a 1×1 `Conv2d` with a stride).

    Example:
        >>> from neurosal.graph import Shortcut
        >>> Shortcut(stride=2).output((16, 32, 32), 32)
        (32, 16, 16)

    Reference:
        He, Zhang, Ren & Sun (2015), arXiv 1512.03385, section 3.3.
    """

    kind: ClassVar[str] = "shortcut"
    stride: int = Field(default=1, gt=0)

    @property
    def functions(self) -> str:
        return f"shortcut {self.stride}"

    def output(self, pre: Extent, channels: int) -> Extent:
        """The extent of a population of so many channels that fits this wiring from a population of extent `pre`."""
        return (channels, *(-(-size // self.stride) for size in pre[1:]))

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        if len(pre) != 3:
            return f"channels, rows and columns, found {said(pre)}"
        if post[0] < pre[0]:
            return f"no fewer channels than the {pre[0]} of the source, found {post[0]}"
        fits = self.output(pre, post[0])
        return None if fits == post else f"a target of {said(fits)}, found {said(post)}"
