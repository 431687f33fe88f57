"""Recurrent spikes, event by event: where few units spike, rows of weights are added instead of a matrix multiplied.

Which of the two is done depends on the size of a replica's work only, so that a replica sums in the same order alone
and among others. Letters: R replica, T step, N sample, U unit, L spikes of a step.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 1 << 15  # products of a step and replica, N·U·U, from which events are fewer


def by_events(like: Tensor) -> bool:
    """Whether spikes [R, T, N, U] travel as events. On a GPU a product waits for nothing; events must be counted."""
    return like.shape[2] * like.shape[3] ** 2 >= LEAST and not like.is_cuda


class Events:
    """Weights [R, pre, post] along which spikes travel.

    Args:
        like: [R, T, N, U] of the spikes.
    """

    def __init__(self, weight: Tensor, like: Tensor) -> None:
        replicas, _, samples, units = like.shape
        self._rows = weight.flatten(0, 1)
        places = torch.arange(replicas * samples * units, device=like.device)
        self._row = places // units  # where they arrive
        self._weight = places // (samples * units) * units + places % units  # which row of weights they take

    def add(self, spikes: Tensor, into: Tensor) -> None:
        """Add what spikes [R, N, U] bring to arrivals [R, N, U], in place."""
        events = torch.nonzero(spikes.reshape(-1))[:, 0]
        if len(events) == 0:
            return
        brought = self._rows.index_select(0, self._weight.index_select(0, events))
        total = brought.new_zeros(into.shape[0] * into.shape[1], into.shape[2])
        total.index_add_(0, self._row.index_select(0, events), brought)
        into.add_(total.view(into.shape))
