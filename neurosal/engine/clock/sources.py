"""Sources: populations whose spikes are drawn, or given, and follow from seed and step alone.

Letters: R replicas, L spikes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.native import Sent
from neurosal.lower.spiking import Realised
from neurosal.lower.spiking.realising import BLOCK

Array = np.ndarray[Any, Any]


class Sources:
    """All populations that send spikes that are drawn or given.

    Attributes:
        first: population → its first unit.
        history: spikes of the last step, of the one before, …, each [L]; a unit may be there more than once.
        repeats: whether one ever was.
    """

    def __init__(self, names: Sequence[str], realised: Sequence[Realised], device: torch.device) -> None:
        self._realised, self._device = realised, device
        self.first, self.size = {}, 0
        for name in names:
            self.first[name] = self.size
            self.size += len(realised) * realised[0].units(name)
        self._none = torch.empty(0, dtype=torch.int64, device=device)
        self.repeats = False
        self._block, self._drawn = -1, (np.zeros(0, "int64"), np.zeros(0, "int64"))
        self._listed, self._spikes = -1, [self._none]
        self.history: deque[Tensor] = deque(maxlen=1)

    def update(self, now: int) -> None:
        """The spikes of this step."""
        block, place = divmod(now, BLOCK)
        if block != self._listed:
            step_L, spike_L = self._block_of(block)
            counts = np.bincount(step_L, minlength=BLOCK).tolist()
            self._listed, self._spikes = block, list(torch.from_numpy(spike_L).to(self._device).split(counts))
        self.history.appendleft(self._spikes[place])

    def sent(self, start: int, steps: int) -> tuple[tuple[Array, Array], Sent]:
        """What is sent in some steps, which end before the next `BLOCK` begins: steps from the first on and units,
        sorted by step; and the same replica by replica."""
        block, first = divmod(start, BLOCK)
        step_L, spike_L = self._block_of(block)
        mine = slice(*np.searchsorted(step_L, [first, first + steps]))
        step_L, spike_L = step_L[mine] - first, spike_L[mine]
        replicas = len(self._realised)
        begins = np.array(list(self.first.values()))
        place = np.searchsorted(begins, spike_L, side="right") - 1
        units = np.array([self._realised[0].units(name) for name in self.first])
        replica_L = (spike_L - begins[place]) // units[place]
        order = np.argsort(replica_L.astype("int32"), kind="stable")
        counts = np.bincount(replica_L * steps + step_L, minlength=replicas * steps).reshape(replicas, steps)
        ends = np.cumsum(counts).reshape(replicas, steps)
        begin = np.concatenate([ends[:, :1] - counts[:, :1], ends], axis=1).astype("int64")
        return (step_L, spike_L), Sent(np.ascontiguousarray(spike_L[order]), begin)

    def _block_of(self, block: int) -> tuple[Array, Array]:
        """Steps, from the first of a block on, and spikes, [L], sorted by step."""
        if block == self._block:
            return self._drawn
        steps, spikes = [], []
        for name, first in self.first.items():
            for replica, realised in enumerate(self._realised):
                step_L, unit_L = realised.spikes(name, block)
                steps.append(np.asarray(step_L) - block * BLOCK)
                spikes.append(np.asarray(unit_L) + (first + replica * realised.units(name)))
        step_L, spike_L = np.concatenate(steps), np.concatenate(spikes)
        order = np.argsort(step_L.astype("int16"), kind="stable")  # which numpy sorts by digits
        step_L, spike_L = step_L[order].astype("int64"), spike_L[order].astype("int64")
        self.repeats |= bool(((step_L[1:] == step_L[:-1]) & (spike_L[1:] == spike_L[:-1])).any())
        self._block, self._drawn = block, (step_L, spike_L)
        return self._drawn

    def remember(self, steps: int) -> None:
        """Keep spikes for so many steps at least."""
        self.history = deque(self.history, maxlen=max(steps + 1, self.history.maxlen or 1))

    def state_dict(self) -> dict[str, Tensor]:
        """Spikes on their way."""
        return kept(self.history, self._none) | {"repeats": torch.tensor(self.repeats)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """What `state_dict` gave."""
        load(self.history, state, self._none)
        self.repeats = bool(state["repeats"])


def kept(history: Iterable[Tensor], none: Tensor) -> dict[str, Tensor]:
    """Spikes on their way, as tensors to be stored."""
    counts = torch.tensor([len(spikes) for spikes in history], dtype=torch.int64)
    return {"spikes": torch.cat([none, *history]), "counts": counts}


def load(history: deque[Tensor], state: Mapping[str, Tensor], none: Tensor) -> None:
    """What `kept` gave."""
    history.clear()
    history.extend(state["spikes"].to(none.device, copy=True).split(state["counts"].tolist()))
