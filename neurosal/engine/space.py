"""How rows with space lie in memory, and how torch's functions of images see them.

Logical order is channels, rows, columns; in memory channels come last, since every processor's convolution is fastest
there and per-channel work (biases, norms) is contiguous. Replicas come first on the CPU, [R, N, H, W, C], where they
are convolved one after another; on CUDA they stand beside the channels, [N, H, W, R, C], where one grouped convolution
serves all of them.

Letters: R replica, N sample, C channel, H row, W column. In one dimension H is 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurosal.graph.wiring import Extent

LAST = torch.channels_last


def empty_space(lead: tuple[int, ...], extent: Extent, like: Tensor) -> Tensor:
    """Room for rows [*lead, *extent], channels last, in the type and on the device of `like`."""
    if len(extent) == 1:
        return like.new_empty(*lead, *extent)
    channels, *places = extent
    if len(lead) == 2 and like.is_cuda:
        memory = like.new_empty(lead[1], *places, lead[0], channels).movedim(-2, 0)
    else:
        memory = like.new_empty(*lead, *places, channels)
    return memory.movedim(-1, len(lead))


def last(images: Tensor) -> Tensor:
    """Images [N, C, H, W] with their channels last in memory; themselves where they are."""
    return images if images.is_contiguous(memory_format=LAST) else images.contiguous(memory_format=LAST)


class Images:
    """Rows of one population as images [N, C, H, W].

    Args:
        extent: of the population.  axes: how many of space the wiring has; units without space are at one place.
    """

    def __init__(self, extent: Extent, axes: int) -> None:
        self.extent, self.own = extent, len(extent)
        self.missing = 3 - self.own  # axes that images have beside those of the rows
        channels, *places = extent + (1,) * (axes + 1 - self.own)
        self.channels, self.places = channels, ((1, places[0]) if axes == 1 else (places[0], places[1]))

    def of(self, rows: Tensor) -> Tensor:
        """[N, *extent] as [N, C, H, W]; a view."""
        for _ in range(self.missing):
            rows = rows.unsqueeze(2)
        return rows

    def back(self, images: Tensor) -> Tensor:
        """[N, C, H, W] as [N, *extent]; a view."""
        for _ in range(self.missing):
            images = images.squeeze(2)
        return images

    def lead(self, rows: Tensor) -> tuple[int, ...]:
        """The leading axes of rows: samples, or replicas and samples."""
        return tuple(rows.shape[: rows.dim() - self.own])

    def beside(self, rows: Tensor) -> Tensor:
        """[R, N, *extent] as [N, R·C, H, W]: a view of rows with replicas beside the channels."""
        return self.of(rows.movedim(0, 1).flatten(1, 2))

    def apart(self, images: Tensor, replicas: int) -> Tensor:
        """[N, R·C, H, W] as [R, N, *extent]; a view."""
        return self.back(images).unflatten(1, (replicas, -1)).movedim(1, 0)

    def any(self, rows: Tensor) -> Tensor:
        """[N, *extent] or [R, N, *extent] as images, for functions that see one channel of one sample at a time."""
        if rows.dim() == self.own + 1:
            return self.of(rows)
        return self.beside(rows) if rows.stride(0) < rows.stride(1) else self.of(rows.flatten(0, 1))

    def same(self, images: Tensor, lead: tuple[int, ...]) -> Tensor:
        """What a function of images made of those that `any` made of rows with these leading axes, as rows again."""
        if len(lead) == 1:
            return self.back(images)
        beside = images.shape[0] != lead[0] * lead[1]
        return self.apart(images, lead[0]) if beside else self.back(images).unflatten(0, lead)
