"""Sources: populations whose spikes are drawn, or given, and follow from seed and step alone.

Letters: R replicas, L spikes, K units that spike in a step, however often: a unit that stands for many trains may do so
more than once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.clock.native import Sent
from neurosal.lower.spiking import Realised
from neurosal.lower.spiking.realising import BLOCK

Array = np.ndarray[Any, Any]
WORTH_TWO = 1000  # units, each a few microseconds a block: what it takes to hand work to a thread


class Drawn(NamedTuple):
    """What sources send in some steps: steps from the first on, numbers of units, replicas, and how many spikes each of
    these is, [K] each; None for `times` where each is one."""

    step: Array
    number: Array
    replica: Array
    times: Array | None = None

    def take(self, which: Any) -> Drawn:
        """Some of it."""
        times = None if self.times is None else self.times[which]
        return Drawn(self.step[which], self.number[which], self.replica[which], times)

    def one_by_one(self) -> tuple[Array, Array]:
        """Every spike by itself: steps and numbers, [L]."""
        if self.times is None:
            return self.step, self.number
        return self.step.repeat(self.times), self.number.repeat(self.times)


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
        self._block, self._drawn = -1, Drawn(*(np.zeros(0, "int64") for _ in range(3)))
        self._listed, self._spikes = -1, [self._none]
        self.history: deque[Tensor] = deque(maxlen=1)
        self._threads: ThreadPoolExecutor | None = None

    def update(self, now: int) -> None:
        """The spikes of this step."""
        block, place = divmod(now, BLOCK)
        if block != self._listed:
            step_L, number_L = self._block_of(block).one_by_one()
            counts = np.bincount(step_L, minlength=BLOCK).tolist()
            self._listed, self._spikes = block, list(torch.from_numpy(number_L).to(self._device).split(counts))
        self.history.appendleft(self._spikes[place])

    def sent(self, start: int, steps: int) -> Sent:
        """What is sent in some steps, which end before the next `BLOCK` begins."""
        drawn = self._part(start, steps)
        replicas = len(self._realised)
        counts = np.bincount(drawn.replica * np.int64(steps) + drawn.step, minlength=replicas * steps)
        ends = np.cumsum(counts).reshape(replicas, steps)
        begin = np.concatenate([ends[:, :1] - counts.reshape(ends.shape)[:, :1], ends], axis=1).astype("int64")
        if replicas > 1:
            drawn = drawn.take(np.argsort(drawn.replica, kind="stable"))
        times = None if drawn.times is None else np.ascontiguousarray(drawn.times, "int32")
        return Sent(np.ascontiguousarray(drawn.number, "int64"), times, begin)

    def pass_over(self, start: int, steps: int) -> None:
        """Remember the last of some steps, which end before the next `BLOCK` begins."""
        last = min(steps, self.history.maxlen or 1)
        step_L, number_L = self.spikes(start + steps - last, last)
        counts = np.bincount(step_L - (start + steps - last), minlength=last).tolist()
        self.history.extendleft(torch.from_numpy(number_L).to(self._device).split(counts))

    def spikes(self, start: int, steps: int) -> tuple[Array, Array]:
        """Every spike of some steps, which end before the next `BLOCK` begins: steps and numbers, [L], sorted."""
        step_L, number_L = self._part(start, steps).one_by_one()
        return step_L + start, number_L

    def _part(self, start: int, steps: int) -> Drawn:
        """Some steps, from the first on."""
        block, first = divmod(start, BLOCK)
        drawn = self._block_of(block)
        part = drawn.take(slice(*np.searchsorted(drawn.step, [first, first + steps])))
        return part._replace(step=part.step - first)

    def _block_of(self, block: int) -> Drawn:
        """Steps from the first of a block on, sorted by step, population, replica and unit."""
        if block == self._block:
            return self._drawn
        which = [(name, replica) for name in self.first for replica in range(len(self._realised))]
        parts, once = [], True
        for (name, replica), (step_K, unit_K, times_K) in zip(which, self._counted(which, block), strict=True):
            number_K = np.asarray(unit_K, "int64") + (self.first[name] + replica * self._realised[replica].units(name))
            of_K = np.full(len(step_K), replica, "int16")
            parts.append(((step_K - block * BLOCK).astype("int16"), number_K, of_K, times_K))
            once &= times_K is None
        step_K, number_K, replica_K = (np.concatenate(column) for column in list(zip(*parts, strict=True))[:3])
        times_K = None if once else np.concatenate(
            [np.ones(len(step), "int32") if times is None else times for step, _, _, times in parts]
        )  # fmt: skip
        self._block, self._drawn = block, Drawn(step_K.astype("int64"), number_K, replica_K, times_K)
        if len(parts) > 1:
            self._drawn = self._drawn.take(np.argsort(step_K, kind="stable"))  # numpy sorts 16 bits digit by digit
        self.repeats |= not once
        return self._drawn

    def _counted(self, which: Sequence[tuple[str, int]], block: int) -> list[tuple[Array, Array, Array | None]]:
        """What populations of some replicas send. Each has random numbers of its own, so threads can share them."""

        def of(one: tuple[str, int]) -> tuple[Array, Array, Array | None]:
            return self._realised[one[1]].counted(one[0], block)

        units = sum(realised.units(name) for name in self.first for realised in self._realised)
        threads = min(torch.get_num_threads(), len(which))
        if threads < 2 or units < WORTH_TWO:
            return list(map(of, which))
        self._threads = self._threads or ThreadPoolExecutor(threads, "neurosal")
        return list(self._threads.map(of, which))

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
