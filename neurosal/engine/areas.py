"""A step of one circuit whose areas lie at several processes.

Each process holds some of the areas of every population, and no other's weights. Routes are read from the input and
shared by all populations: every process sees the whole batch, chooses the same areas, and works on the samples of its
own areas alone. Nothing passes between processes but losses, and the changes of what has one area (a shared read-out).

Letters: R replica, K area, N sample, U unit.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurosal.engine.feeding import Part, rows_at_once
from neurosal.engine.learning import Rates
from neurosal.engine.routing import Groups
from neurosal.engine.sweep import Batch, no_grad
from neurosal.engine.together import Proposed, Together
from neurosal.lower.plan import Change
from neurosal.settings.optimizers import Optimizer


class TogetherInAreas(Together):
    """What a network with some of the areas learns with the networks that have the others."""

    def part(self, whole: Batch, target: Tensor | None) -> tuple[Batch, Tensor | None]:
        """The samples of the areas that are held here, and their targets."""
        for step in self.network._sweep.first:
            step(whole)
        self._whole = whole
        (router,) = set(self.network.plan.routes.values())
        groups = whole.groups[router]
        start, end = self.ranks.share(groups.areas)
        area_N = groups.area_RN[0]
        self._index = ((area_N >= start) & (area_N < end)).nonzero()[:, 0]
        batch = Batch(1, len(self._index), whole.samples, self)
        batch.training, batch.step, batch.mine = whole.training, whole.step, self._index
        batch.activity.update({name: rows.index_select(0, self._index) for name, rows in whole.activity.items()})
        batch.groups[router] = Groups(area_N.index_select(0, self._index)[None] - start, end - start)
        return batch, None if target is None else target.index_select(0, self._index)

    def learn(self, change: Change, batch: Batch, optimizer: Optimizer, rates: Rates) -> None:
        """What has areas changes here; what has one, by the sum over the processes."""
        if not self._has_areas(change):
            super().learn(change, batch, optimizer, rates)
        elif batch.samples:
            self.network._learner.learn_here(change, batch, optimizer, rates)

    def sum_changes(
        self, changes: list[Change], proposed: list[Proposed], none_R: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Sum what has one area over the processes, and the squares of all that has more."""
        own, shared = [], []
        for change, (weights, biases, _) in zip(changes, proposed, strict=True):
            tensors = [*weights.values(), *biases.values()]
            if self._has_areas(change):
                own += tensors
            else:
                shared += tensors
                self.sums.add(self._parts(change, weights, biases), _nothing)
        square_R = sum((tensor.flatten(1).square().sum(1) for tensor in own), start=none_R)
        self.sums.add([square_R], _nothing)
        self.finish()
        return square_R, shared

    def _has_areas(self, change: Change) -> bool:
        parameters, circuit = self.network._parameters, self.network.circuit
        areas = [parameters.areas[name] for name in change.projections]
        areas += [circuit.populations[name.partition(".")[0]].areas for name in change.cells]
        return max(areas) > 1

    def mean(self, mean_R: Tensor, batch: Batch) -> Tensor:
        """The mean loss of the whole batch; it is there when the step is."""
        return super().mean(mean_R if batch.samples else torch.zeros_like(mean_R), batch)

    def evaluate(self, part: Part, loss: str) -> dict[str, Tensor]:
        """Means over a part of the data, [R] each: every process does the samples of its areas."""
        network, rows = self.network, rows_at_once(self.network)
        names = ("loss", "accuracy") if part.labels is not None else ("loss",)
        found = torch.zeros(len(names), network.replicas, dtype=torch.float64, device=network.device)
        for first in range(0, len(part), rows):
            last = min(first + rows, len(part))
            whole = network.batch_of(part.named(first, last))
            target = network._target(whole, part.target[first:last], loss)
            with no_grad():
                batch, own = self.part(whole, target)
                if not batch.samples:
                    continue
                for step in network._sweep.forward:
                    step(batch)
            labels = None if part.labels is None else part.labels[first:last].to(network.device)[self._index]
            scores = network.score(batch, own, loss, labels)
            for row, name in enumerate(names):
                found[row] += scores[name].double() * (batch.samples / len(part))
        return dict(zip(names, self.ranks.sum(found).unbind(), strict=True))

    def whole_rows(self, rows_RNU: Tensor, batch: Batch, groups: Groups | None = None) -> Tensor:
        """The rows of all processes where weights have one area; else of those that are held here."""
        if groups is not None:
            return rows_RNU
        assert self._whole is not None
        (router,) = set(self.network.plan.routes.values())
        counts = self._whole.groups[router].counts_RK[0].cpu()
        shares = [self.ranks.share(len(counts), rank) for rank in range(self.ranks.count)]
        return self.ranks.gather(rows_RNU, [int(counts[start:end].sum()) for start, end in shares], 1)

    def whole_groups(self, groups: Groups, batch: Batch) -> Groups:
        """The areas that are held here are nowhere else."""
        return groups


def _nothing() -> None:
    pass
