"""Samples for one use, scaled when they are first asked for; images also as the bytes that were published.

Shapes: N sample, C channel, H row, W column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from neurosal.data.content import freeze

Array = np.ndarray[Any, Any]
BYTE_VALUES = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Samples of one input that are images.

    Attributes:
        shape: of a sample, (channels, rows, columns), or (rows, columns) with one channel.
        pixels: uint8 [N, C, H, W] as published; None where values are no bytes, or scaled otherwise at every place.
        table: float32 [C, 256], what each byte becomes when it is scaled; None without pixels.
        black: float32 [C], the smallest value of the format as it becomes; None where that depends on the place.
    """

    shape: tuple[int, ...]
    pixels: Array | None = None
    table: Array | None = None
    black: Array | None = None

    @property
    def extent(self) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        channels, rows, columns = self.shape if len(self.shape) == 3 else (1, *self.shape)
        return channels, rows, columns


class Part:
    """Samples for one use: training, validation or testing.

    Attributes:
        inputs: float32 [N, features...] by the input's name, scaled.
        y: class labels int64 [N], or targets float32 [N, O].
        index: rows of the data set.
        names: of the inputs.
        pictures: inputs that are images, by name.
    """

    def __init__(
        self,
        *,
        y: Array,
        index: Array,
        names: tuple[str, ...],
        inputs: Callable[[], Mapping[str, Array]],
        pictures: Callable[[], Mapping[str, Pictures]] = dict,
    ) -> None:
        self.y, self.index, self.names = y, index, names
        self._inputs, self._pictures = inputs, pictures

    @cached_property
    def inputs(self) -> Mapping[str, Array]:
        # Scaled when asked for: whoever takes the bytes to a device needs no second copy of the set, in floats.
        return MappingProxyType(dict(self._inputs()))

    @cached_property
    def pictures(self) -> Mapping[str, Pictures]:
        return MappingProxyType(dict(self._pictures()))

    @property
    def x(self) -> Any:
        """The inputs: one array, or a mapping where there are several."""
        return self.inputs["input"] if set(self.inputs) == {"input"} else self.inputs

    def where(self, chosen: Array) -> Part:
        """The samples that are marked, bool [N]."""

        def pictures() -> dict[str, Pictures]:
            return {
                name: one if one.pixels is None else replace(one, pixels=freeze(one.pixels[chosen]))
                for name, one in self.pictures.items()
            }

        return Part(
            y=freeze(self.y[chosen]),
            index=freeze(self.index[chosen]),
            names=self.names,
            inputs=lambda: {name: freeze(array[chosen]) for name, array in self.inputs.items()},
            pictures=pictures,
        )

    def __len__(self) -> int:
        return len(self.y)


def picture_of(
    shape: tuple[int, ...], pixels: Array | None, scaled: Callable[[Array], Array] | None, low: float
) -> Pictures:
    """How images of a set are scaled.

    Args:
        shape: of a sample, two or three axes.
        pixels: uint8 [N, *shape], None where values are no bytes.
        scaled: what scales images [n, *shape] whatever the others are; None where they count.
        low: smallest value of the format.
    """
    if scaled is None:
        return Pictures(shape=shape)
    black = _by_channel(scaled(np.full((1, *shape), low, np.float32)), shape)
    if black is None:
        return Pictures(shape=shape)
    if pixels is None:
        return Pictures(shape=shape, black=black[:, 0])
    every = np.arange(BYTE_VALUES, dtype=np.uint8).reshape(-1, *[1] * len(shape))
    table = _by_channel(scaled(np.broadcast_to(every, (BYTE_VALUES, *shape))), shape)
    channels_first = pixels.reshape(len(pixels), -1, *shape[-2:])
    return Pictures(shape=shape, pixels=freeze(channels_first), table=table, black=black[:, 0])


def _by_channel(images: Array, shape: tuple[int, ...]) -> Array | None:
    """Values [C, n] of images that are the same at every place; None where they are not."""
    values = images.reshape(len(images), -1, *shape[-2:])
    first = values[:, :, :1, :1]
    return np.ascontiguousarray(first[:, :, 0, 0].T) if bool((values == first).all()) else None
