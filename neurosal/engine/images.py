"""Images on the device, and what is done to them each time they are trained on.

A set of images lies there once, channels last: as the bytes that were published where their scaling is the same at
every place (a quarter of the memory, and of what a crop moves), else as numbers. A batch is gathered, changed as bytes,
and then scaled through a table of the 256 values, so that the numbers are those of the data set to the bit.

Letters: R replica, N sample, M replica and sample, H row, W column, C channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from neurosal.checks.images import image_problems
from neurosal.data.part import BYTE_VALUES, Pictures
from neurosal.errors import DataError
from neurosal.lower.streams import stream
from neurosal.settings.augmentation import Augmentation, PadCrop, RandomFlip

if TYPE_CHECKING:
    from neurosal.engine.network import Network

Changed = Callable[[Tensor, Tensor], Tensor]  # images [M, H, W, C] and black [C] → images
Draw = Callable[[Any, torch.Generator, int], Tensor]  # value, stream, samples → [samples, ...]
Change = Callable[[Any, Tensor, Tensor, Tensor], Tensor]  # value, images, black, what was drawn [M, ...] → images
_KINDS: dict[str, tuple[Draw, Change]] = {}


def register_augmentation(kind: type[Augmentation], draw: Draw, change: Change) -> None:
    """Say how a kind of augmentation works.

    Args:
        draw: from (value, stream, samples), what is drawn for each sample of an epoch, [samples, ...].
        change: from (value, images [M, H, W, C], black [C], drawn [M, ...]) the images as they become, of the same
            shape. They may be bytes or numbers, and are the change's own to write to.
    """
    _KINDS[kind.kind] = (draw, change)


class Images:
    """One input of a part of the data, as images.

    Args:
        pictures: how the set holds them.
        rows: float [S, features] in the order channels, rows, columns; asked for where there are no bytes.
        spatial: whether batches are [..., C, H, W] (with channels last in memory), not rows of features.
    """

    def __init__(
        self,
        pictures: Pictures,
        rows: Callable[[], Any],
        *,
        spatial: bool,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.extent, self.spatial, self._dtype = pictures.extent, spatial, dtype
        channels = self.extent[0]
        self._table: Tensor | None = None
        if pictures.pixels is not None and pictures.table is not None:
            values = torch.from_numpy(np.array(pictures.pixels.transpose(0, 2, 3, 1), order="C"))
            table = torch.tensor(pictures.table, dtype=dtype, device=device)
            self._table = table.flatten()
            self._first = BYTE_VALUES * torch.arange(channels, dtype=torch.int32, device=device)
            # The byte that is scaled as the smallest value of the format.
            black = (torch.tensor(pictures.black, dtype=dtype, device=device)[:, None] == table).int().argmax(1)
            self.black: Tensor | None = black.to(torch.uint8)
        else:
            values = torch.tensor(rows(), dtype=dtype).view(-1, *self.extent).permute(0, 2, 3, 1).contiguous()
            self.black = None if pictures.black is None else torch.tensor(pictures.black, dtype=dtype, device=device)
        self.values_SHWC = values.to(device)

    @property
    def features(self) -> int:
        """Numbers of a sample."""
        channels, rows, columns = self.extent
        return channels * rows * columns

    def take(self, index: Tensor, changed: Changed | None = None) -> Tensor:
        """Samples by number [M], changed: [M, C, H, W], or [M, features]."""
        images = self.values_SHWC.index_select(0, index)
        if changed is not None:
            black = images.new_zeros(self.extent[0]) if self.black is None else self.black
            images = changed(images, black)
        return self._shown(images)

    def rows(self, start: int, end: int) -> Tensor:
        """Samples from `start` to before `end`, as they are."""
        return self._shown(self.values_SHWC[start:end])

    def _shown(self, images_MHWC: Tensor) -> Tensor:
        """As a network reads them."""
        if self._table is not None:
            entry = images_MHWC.int() + self._first
            images_MHWC = self._table.index_select(0, entry.flatten()).view(entry.shape)
        images = images_MHWC.permute(0, 3, 1, 2)
        return images if self.spatial else images.flatten(1)


class Augmenter:
    """What is done to the images of each batch of a part. Samples are told apart by their place in the order of an
    epoch.

    Args:
        samples: of the part.

    Raises:
        DataError: for images that cannot be changed so.
    """

    def __init__(self, augment: Sequence[Augmentation], images: Mapping[str, Images], samples: int, network: Network):
        found = image_problems(augment, {name: (one.extent, one.black is not None) for name, one in images.items()})
        if found:
            raise DataError(found)
        self._augment, self._samples = tuple(augment), samples
        self._seeds, self._device = network.seeds, network.device
        self._epoch, self._drawn = -1, list[Tensor]()

    def at(self, epoch: int, first: int, end: int) -> Changed:
        """What is done to the samples at places `first` to before `end` of an epoch, all replicas after each other."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._drawn = [self._draw(number, epoch) for number in range(len(self._augment))]
        drawn = [whole[:, first:end].flatten(0, 1) for whole in self._drawn]

        def changed(images: Tensor, black: Tensor) -> Tensor:
            for augmentation, own in zip(self._augment, drawn, strict=True):
                images = _KINDS[augmentation.kind][1](augmentation, images, black, own)
            return images

        return changed

    def _draw(self, number: int, epoch: int) -> Tensor:
        """What is drawn for all samples of an epoch, [R, S, ...]."""
        augmentation = self._augment[number]
        draw = _KINDS[augmentation.kind][0]
        found = {
            seed: draw(augmentation, stream(seed, "augment", number, augmentation.kind, epoch), self._samples)
            for seed in dict.fromkeys(self._seeds)
        }
        return torch.stack([found[seed] for seed in self._seeds]).to(self._device)


def _draw_flip(flip: RandomFlip, generator: torch.Generator, samples: int) -> Tensor:
    return torch.rand(samples, generator=generator) < flip.probability


def _flip(flip: RandomFlip, images_MHWC: Tensor, black_C: Tensor, flipped_M: Tensor) -> Tensor:
    mirrored = images_MHWC.flip(2 if flip.axis == "columns" else 1)
    return torch.where(flipped_M[:, None, None, None], mirrored, images_MHWC)


def _draw_crop(crop: PadCrop, generator: torch.Generator, samples: int) -> Tensor:
    return torch.randint(2 * crop.pixels + 1, (samples, 2), generator=generator)


def _crop(crop: PadCrop, images_MHWC: Tensor, black_C: Tensor, corner_M2: Tensor) -> Tensor:
    """Every row of the result is one run of pixels in the padded images: they are gathered as such, whole."""
    count, rows, columns, channels = images_MHWC.shape
    border = crop.pixels
    padded = black_C.repeat(count, rows + 2 * border, columns + 2 * border, 1)
    padded[:, border : border + rows, border : border + columns] = images_MHWC
    pixels = padded.numel() // channels
    runs = padded.as_strided((pixels - columns + 1, columns * channels), (channels, 1))
    ahead = torch.arange(max(count, rows), device=images_MHWC.device)
    row = ahead[:count, None] * padded.shape[1] + corner_M2[:, :1] + ahead[:rows]
    start = row * padded.shape[2] + corner_M2[:, 1:]
    return runs.index_select(0, start.flatten()).view(count, rows, columns, channels)


register_augmentation(RandomFlip, _draw_flip, _flip)
register_augmentation(PadCrop, _draw_crop, _crop)
