"""Convolutions: the same weights at every place.

Extents are (channels, rows, columns), or (channels, length) in one dimension. A population without space counts as
channels at a single place, so that a convolution whose kernel covers a whole picture may end in ten units.

Letters: O and I channels post- and pre-synaptic, g groups, p places.
"""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from neurosal.graph.wiring import Extent, Wiring, said

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
Edges = tuple[tuple[int, int], ...]  # places added before and after, axis by axis


def per_axis(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """One number for each axis of space."""
    return (value,) * axes if isinstance(value, int) else value


def placed(extent: Extent, axes: int) -> Extent:
    """An extent with that many axes of space: units without space are channels at one place."""
    return extent + (1,) * axes if len(extent) == 1 else extent


def spaceless(extent: Extent, axes: int) -> str | None:
    """Why an extent does not have that many axes of space, or None."""
    if len(placed(extent, axes)) == axes + 1:
        return None
    return (
        f"{'channels, rows and columns' if axes == 2 else 'channels and a length'} at both ends, found {said(extent)}"
    )


def slid(places: int, kernel: int, stride: int, dilation: int, edge: tuple[int, int]) -> int:
    """At how many places a kernel of that size fits."""
    return (places + sum(edge) - dilation * (kernel - 1) - 1) // stride + 1


class Convolution(Wiring):
    """What convolutions of any number of axes share."""

    space: ClassVar[int]
    kernel: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] | Literal["same"] = 0
    padding_mode: PaddingMode = "zeros"
    dilation: int | tuple[int, ...] = 1
    groups: int = Field(default=1, gt=0)
    density: float = Field(default=1.0, gt=0, le=1)
    rare: ClassVar[frozenset[str]] = frozenset({"density"})

    @model_validator(mode="after")
    def _possible(self) -> Convolution:
        for name in ("kernel", "stride", "dilation"):
            if min(per_axis(getattr(self, name), self.space)) < 1:
                raise ValueError(f"a {name} of 1 or more")
        if self.padding == "same":
            if set(self.strides) != {1}:
                raise ValueError('a stride of 1 with padding="same"')
        elif min(per_axis(self.padding, self.space)) < 0:
            raise ValueError("no negative padding")
        return self

    @property
    def functions(self) -> str:
        return (
            f"{self.kind} {self.kernels} {self.strides} {self.edges} {self.padding_mode} {self.dilations} {self.groups}"
        )

    @property
    def axes(self) -> tuple[int, int]:
        return (0, 1) if self.groups == 1 else (1, 2)

    @property
    def kernels(self) -> tuple[int, ...]:
        """Size of the kernel along each axis."""
        return per_axis(self.kernel, self.space)

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride along each axis."""
        return per_axis(self.stride, self.space)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation along each axis."""
        return per_axis(self.dilation, self.space)

    @property
    def edges(self) -> Edges:
        """How many places are added before and after, along each axis."""
        if self.padding == "same":
            total = [step * (size - 1) for size, step in zip(self.kernels, self.dilations, strict=True)]
            return tuple((more // 2, more - more // 2) for more in total)
        return tuple((more, more) for more in per_axis(self.padding, self.space))

    def output(self, pre: Extent, channels: int) -> Extent:
        """The extent of a population of so many channels that fits this wiring from a population of extent `pre`."""
        _, *places = placed(pre, self.space)
        sizes = zip(places, self.kernels, self.strides, self.dilations, self.edges, strict=True)
        return (channels, *(slid(*one) for one in sizes))

    def weight_shape(self, post: Extent, pre: Extent) -> tuple[int, ...]:
        if self.groups == 1:
            return post[0], pre[0], *self.kernels
        return self.groups, post[0] // self.groups, pre[0] // self.groups, *self.kernels

    def fans(self, post: Extent, pre: Extent) -> tuple[int, int]:
        places = prod(self.kernels)
        return pre[0] // self.groups * places, post[0] // self.groups * places

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        for extent in (post, pre):
            if (reason := spaceless(extent, self.space)) is not None:
                return reason
        if post[0] % self.groups or pre[0] % self.groups:
            return f"channels at both ends that {self.groups} groups divide, found {pre[0]} and {post[0]}"
        for size, edge in zip(placed(pre, self.space)[1:], self.edges, strict=True):
            most = {"reflect": size - 1, "circular": size}.get(self.padding_mode)
            if most is not None and max(edge) > most:
                return f"{self.padding_mode} padding of at most {most} for {size} places, found {max(edge)}"
        fits = self.output(pre, post[0])
        if min(fits) < 1:
            return f"a source that the kernel {said(self.kernels)} fits into, found {said(pre)}"
        return None if fits == placed(post, self.space) else f"a target of {said(fits)}, found {said(post)}"

    def reversed(self) -> Wiring:
        return Reversed(wiring=self)

    def thinned(self, density: float) -> Wiring:
        """The same with each synapse there with that probability."""
        return self.replace(density=density)


class Conv2d(Convolution):
    """Convolution over rows and columns: ``post_o(p) = Σ_i Σ_k W_oi(k) pre_i(stride p + dilation k - padding)``.

    Weights (O, I, rows, columns) of the kernel; with groups (g, O/g, I/g, rows, columns): channels hear from those of
    their own group. As in torch the kernel is not turned around.

    Args:
        kernel: its size, one number or (rows, columns).
        padding: places added at each border, one number or (rows, columns); "same" as many as keep the extent.
        padding_mode: what these hold: zeros, or the activity mirrored, repeated or from the opposite border.
        density: each synapse is there with this probability, drawn from the seed and the projection's name.

    Example:
        >>> from neurosal.graph import Conv2d
        >>> Conv2d(kernel=3, stride=2, padding=1).output((16, 32, 32), 32)
        (32, 16, 16)
        >>> Conv2d(kernel=3).weight_shape((32, 30, 30), (16, 32, 32))
        (32, 16, 3, 3)
    """

    kind: ClassVar[str] = "conv2d"
    space: ClassVar[int] = 2
    kernel: int | tuple[int, int]
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] | Literal["same"] = 0
    dilation: int | tuple[int, int] = 1


class Conv1d(Convolution):
    """Convolution along a length, as `Conv2d`: weights (O, I, length), with groups (g, O/g, I/g, length).

    Example:
        >>> from neurosal.graph import Conv1d
        >>> Conv1d(kernel=5, padding="same").output((8, 100), 16)
        (16, 100)
    """

    kind: ClassVar[str] = "conv1d"
    space: ClassVar[int] = 1
    kernel: int
    stride: int = 1
    padding: int | Literal["same"] = 0
    dilation: int = 1


class Broadcast(Wiring):
    """Every unit of the source to every channel of the target, the same at each place: ``post_c(p) = Σ_i W_ci pre_i``.

    Weights (C, I): direct feedback to convolutional populations, of as many numbers as there are channels.

    Args:
        density: each synapse is there with this probability, drawn from the seed and the projection's name.

    Example:
        >>> from neurosal.graph import Broadcast
        >>> Broadcast().weight_shape((16, 32, 32), (10,))
        (16, 10)
    """

    kind: ClassVar[str] = "broadcast"
    rare: ClassVar[frozenset[str]] = frozenset({"density"})
    density: float = Field(default=1.0, gt=0, le=1)

    def weight_shape(self, post: Extent, pre: Extent) -> tuple[int, ...]:
        return post[0], prod(pre)

    def fans(self, post: Extent, pre: Extent) -> tuple[int, int]:
        return prod(pre), post[0]

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        return None if len(post) > 1 else f"a target of channels that have places, found {said(post)}"

    def thinned(self, density: float) -> Wiring:
        """The same with each synapse there with that probability."""
        return self.replace(density=density)

    def reversed(self) -> Wiring:
        return Reversed(wiring=self)


class Reversed(Wiring):
    """A wiring run backwards, with weights of its own: every synapse is where one of the other goes the opposite way.

    Of a convolution this is the transposed convolution, weights (post, pre, ...) as ever. Its own reverse is the wiring
    itself.

    Example:
        >>> from neurosal.graph import Conv2d
        >>> back = Conv2d(kernel=3, stride=2, padding=1).reversed()
        >>> back.weight_shape((16, 32, 32), (32, 16, 16))
        (16, 32, 3, 3)
    """

    kind: ClassVar[str] = "reversed"
    wiring: Wiring

    @property
    def weightless(self) -> bool:  # type: ignore[override]
        """Whether the wiring that it reverses has no weights."""
        return self.wiring.weightless

    @property
    def functions(self) -> str:
        return f"reversed {self.wiring.functions}"

    @property
    def axes(self) -> tuple[int, int]:
        return self.wiring.axes

    def weight_shape(self, post: Extent, pre: Extent) -> tuple[int, ...]:
        shape = list(self.wiring.weight_shape(pre, post))
        first, second = self.axes
        shape[first], shape[second] = shape[second], shape[first]
        return tuple(shape)

    def fans(self, post: Extent, pre: Extent) -> tuple[int, int]:
        return self.wiring.fans(pre, post)[::-1]

    def mismatch(self, post: Extent, pre: Extent) -> str | None:
        reason = self.wiring.mismatch(pre, post)
        if reason is None:
            return None
        ends = {"source": "target", "target": "source"}
        return " ".join(ends.get(word, word) for word in reason.split(" "))

    def reversed(self) -> Wiring:
        return self.wiring

    def thinned(self, density: float) -> Wiring:
        """The same with each synapse there with that probability."""
        return Reversed(wiring=self.wiring.thinned(density))

    @property
    def density(self) -> float:
        """The probability with which each synapse is there."""
        return float(getattr(self.wiring, "density", 1.0))


def density_of(wiring: Wiring) -> float:
    """Share of its synapses that a wiring over space has, either way round; 1 for all other wiring."""
    straight = wiring.wiring if isinstance(wiring, Reversed) else wiring
    return straight.density if isinstance(straight, (Broadcast, Convolution)) else 1.0


def shares_weights(wiring: Wiring) -> bool:
    """Whether the same weights serve at every place."""
    return isinstance(wiring.wiring if isinstance(wiring, Reversed) else wiring, (Broadcast, Convolution))
