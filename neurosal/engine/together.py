"""A step of training that several processes take together, each with its part of the batch.

Data parallel: each process has all weights and takes a run of samples of every batch, in the order of one process.
Routes that are read from an input are chosen for the whole batch by each of them. A change is summed over the processes
as soon as a process knows its part, while the feedback sweep goes on; what has arrived is carried out on the way, the
rest at the end of the step. All that depends on more than one sample (loss, norms, counts of areas, what routers learn,
plasticity with an update of its own) is that of the whole batch, so that the numbers are those of one process.

Letters: R replica, K area, N sample, U unit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neurosal.engine.feeding import Part, scores_of
from neurosal.engine.routing import Groups
from neurosal.engine.sweep import Batch
from neurosal.lower.plan import Change

if TYPE_CHECKING:
    from neurosal.engine.learning import Rates
    from neurosal.engine.network import Network
    from neurosal.processes import Ranks, Waiting
    from neurosal.settings.optimizers import Optimizer

Proposed = tuple[dict[str, Tensor], dict[str, Tensor], Any]  # changes of weights and of biases, and areas
SMALL = 1 << 14  # entries below which sums travel together: what counts then is how many messages there are


class Sums:
    """Sums over processes that are under way, in the order in which they were begun."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._pending: deque[tuple[list[Parcel], Callable[[], None]]] = deque()
        self._open: dict[torch.dtype, Parcel] = {}

    def add(self, tensors: Iterable[Tensor], then: Callable[[], None]) -> None:
        """Begin to sum these in place; `then` is called when all are there. One given twice is summed once."""
        parcels: list[Parcel] = []
        known = {(t.data_ptr(), t.numel()): t for t in tensors}.values()
        for tensor in known:
            if tensor.numel() >= SMALL:
                parcels.append(Parcel([tensor]))
                parcels[-1].send(self._ranks)
                continue
            parcel = self._open.setdefault(tensor.dtype, Parcel([]))
            parcel.tensors.append(tensor)
            parcels.append(parcel)
            if sum(entry.numel() for entry in parcel.tensors) >= SMALL:
                self._open.pop(tensor.dtype).send(self._ranks)
        self._pending.append((parcels, then))
        while self._pending and all(parcel.done for parcel in self._pending[0][0]):
            self._finish()

    def wait(self) -> None:
        """Until nothing is under way."""
        for parcel in self._open.values():
            parcel.send(self._ranks)
        self._open.clear()
        while self._pending:
            self._finish()

    def _finish(self) -> None:
        parcels, then = self._pending.popleft()
        for parcel in parcels:
            parcel.wait()
        then()


class Parcel:
    """Tensors that are summed in one message."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors
        self._flat: Tensor | None = None
        self._waiting: Waiting | None = None
        self._here = False

    def send(self, ranks: Ranks) -> None:
        """Begin to sum."""
        if len(self.tensors) == 1:
            self._waiting = ranks.start_sum(self.tensors[0])
            return
        self._flat = torch.cat([tensor.flatten() for tensor in self.tensors])
        self._waiting = ranks.start_sum(self._flat)

    @property
    def done(self) -> bool:
        """Whether nothing has to be waited for."""
        return self._here or (self._waiting is not None and self._waiting.done())

    def wait(self) -> None:
        """Until the sums are where the parts were."""
        if self._here:
            return
        assert self._waiting is not None
        self._waiting.wait()
        if self._flat is not None:
            parts = self._flat.split([tensor.numel() for tensor in self.tensors])
            for tensor, part in zip(self.tensors, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))
        self._here, self._flat = True, None


class Together:
    """What a network learns with the networks of other processes. `Network.together` holds it."""

    def __init__(self, network: Network, ranks: Ranks) -> None:
        self.network, self.ranks = network, ranks
        self.sums = Sums(ranks)
        self._whole: Batch | None = None  # inputs of the whole batch, and what routers saw of them

    def of(self, network: Network) -> Together:
        """The same for another network."""
        return type(self)(network, self.ranks)

    # A step ----------------------------------------------------------------------------------------------------------

    def part(self, whole: Batch, target: Tensor | None) -> tuple[Batch, Tensor | None]:
        """The part of a batch that this process takes, and its targets. One with fewer samples than there are processes
        is not shared: each takes all of it."""
        if whole.samples < self.ranks.count:
            return whole, target
        for step in self.network._sweep.first:
            step(whole)
        self._whole, axis = whole, len(whole.lead) - 1
        start, end = self.ranks.share(whole.samples)
        batch = Batch(whole.replicas, end - start, whole.samples, self)
        batch.training, batch.step, batch.mine = whole.training, whole.step, slice(start, end)
        batch.activity.update({name: rows.narrow(axis, start, end - start) for name, rows in whole.activity.items()})
        for name, groups in whole.groups.items():
            own = batch.groups[name] = Groups(groups.area_RN[:, start:end], groups.areas)
            own.whole_RK = groups.counts_RK
        return batch, None if target is None else target.narrow(axis, start, end - start)

    def learn(self, change: Change, batch: Batch, optimizer: Optimizer, rates: Rates) -> None:
        """Propose one change, and carry it out when it is summed over the processes."""
        learner = self.network._learner
        weights, biases, groups = learner.proposed(change, batch)
        self.sums.add(
            self._parts(change, weights, biases),
            lambda: learner.apply(weights, biases, groups, batch, optimizer, rates),
        )

    def sum_changes(
        self, changes: list[Change], proposed: list[Proposed], none_R: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Sum changes over the processes, and wait for it. Returns where the sum of their squares begins, [R], and of
        which tensors it is to be taken."""
        for change, (weights, biases, _) in zip(changes, proposed, strict=True):
            self.sums.add(self._parts(change, weights, biases), _nothing)
        self.finish()
        return none_R, [tensor for weights, biases, _ in proposed for tensor in (*weights.values(), *biases.values())]

    def _parts(self, change: Change, weights: dict[str, Tensor], biases: dict[str, Tensor]) -> list[Tensor]:
        """What of a change this process knows its part of. Plasticity with an update of its own saw the whole batch."""
        return [*(weights.values() if change.terms else ()), *biases.values()]

    def mean(self, mean_R: Tensor, batch: Batch) -> Tensor:
        """The mean loss of the whole batch; it is there when the step is."""
        own_R = mean_R * (batch.samples / batch.whole)
        self.sums.add([own_R], _nothing)
        return own_R

    def finish(self) -> None:
        """Carry out what is still under way."""
        self.sums.wait()

    def evaluate(self, part: Part, loss: str) -> dict[str, Tensor]:
        """Means over a part of the data, [R] each, of which every process takes a run of samples."""
        network = self.network
        names = ("loss", "accuracy") if part.labels is not None else ("loss",)
        mine = scores_of(network, part, loss, *self.ranks.share(len(part)))
        none_R = torch.zeros(network.replicas, dtype=torch.float64, device=network.device)
        found = self.ranks.sum(torch.stack([mine.get(name, none_R) for name in names]))
        return dict(zip(names, found.unbind(), strict=True))

    # What depends on samples of other processes ----------------------------------------------------------------------

    def count(self, groups: Groups) -> None:
        """Count the samples of each area at all processes."""
        groups.whole_RK = self.ranks.sum(groups.counts_RK.clone())

    def seen(self, name: str, batch: Batch) -> tuple[dict[str, Tensor], Groups]:
        """What a router saw of the whole batch, and the areas that it chose."""
        assert self._whole is not None
        if name in self._whole.seen:
            return self._whole.seen[name], self._whole.groups[name]
        rows = self.whole_rows(batch.seen[name]["activity"], batch)
        return self.network._routers[name].see(rows), self.whole_groups(batch.groups[name], batch)

    def total(self, part: Tensor) -> Tensor:
        """The sum over all processes of what each has a part of, now."""
        return self.ranks.sum(part.contiguous())

    def whole_rows(self, rows_RNU: Tensor, batch: Batch, groups: Groups | None = None) -> Tensor:
        """The rows of all processes that meet the same weights, in the order of the batch.

        Args:
            groups: areas of these weights; None where there is one.
        """
        return self.ranks.gather(rows_RNU, self.ranks.shares(batch.whole), 1)

    def whole_groups(self, groups: Groups, batch: Batch) -> Groups:
        """The areas of the samples of all processes."""
        return Groups(self.whole_rows(groups.area_RN, batch), groups.areas)


def _nothing() -> None:
    pass
