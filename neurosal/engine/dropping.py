"""Dropout: which units of a population stay silent for a sample in a training step.

Masks come from streams keyed by (seed, population, step), on the device where they are used: a replica draws the same
ones alone, a resumed run and a sweep that is done again draw them again, and processes that share a batch draw those of
the whole batch. Letters: R replica, N sample.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurosal.lower.streams import number

if TYPE_CHECKING:
    from neurosal.engine.sweep import Batch


def speaking(shape: tuple[int, ...], share: float, generator: torch.Generator) -> Tensor:
    """True at a share of the entries (to 2⁻¹⁷), each for itself: four to a number that the generator draws, which takes
    a fraction of the time of one each."""
    count = prod(shape)
    bits = torch.empty(-(-count // 4), dtype=torch.int64, device=generator.device)
    bits.random_(-(1 << 63), None, generator=generator)
    return (bits.view(torch.int16)[:count] < round(share * 65536) - 32768).view(shape)


class Dropping:
    """The masks of one population.

    Args:
        name: of the population.
        share: of the units that are silent.
        order: the router in whose order samples stand there.
    """

    def __init__(
        self, name: str, extent: tuple[int, ...], share: float, seeds: tuple[int, ...], order: str | None = None
    ) -> None:
        self.name, self.extent, self.share, self.seeds, self.order = name, extent, share, seeds, order

    def mask(self, batch: Batch, like: Tensor) -> Tensor:
        """What activity and error are multiplied with: 0 at silent units and 1 at others, channels last."""
        drawn: dict[int, Tensor] = {}
        shape = (batch.whole, *self.extent[1:], self.extent[0])
        for seed in self.seeds:
            if seed not in drawn:
                own = torch.Generator(like.device).manual_seed(number(seed, "dropout", self.name, batch.step))
                rows = speaking(shape, 1 - self.share, own).to(like.dtype)
                drawn[seed] = rows if batch.mine is None else rows[batch.mine]
        mask = drawn[self.seeds[0]] if batch.replicas == 1 else torch.stack([drawn[seed] for seed in self.seeds])
        lead = len(batch.lead)
        if self.order is not None:
            flat = mask.flatten(0, lead - 1)
            mask = flat.index_select(0, batch.groups[self.order].order).view(mask.shape)
        return mask.movedim(-1, lead)
