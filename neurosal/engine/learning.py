"""Changes of weights and biases: products of signals become steps, each product once, each weight after its last
reader.

With plain SGD the product goes straight into the weight (no gradient tensor exists). Any other optimiser gets the
change in the shape of the storage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

from neurosal.engine import by_area, contraction, heavy_ball
from neurosal.engine.fused import FusedChange, bind
from neurosal.engine.grouped import sum_groups
from neurosal.engine.lesions import held
from neurosal.engine.parameters import Parameters
from neurosal.engine.precision import sums_of
from neurosal.engine.routing import Groups
from neurosal.engine.sweep import Batch, Sweep, natural
from neurosal.engine.wiring import Kernel, shaped
from neurosal.graph import Projection
from neurosal.lower.plan import Change, Plan, Term
from neurosal.settings.optimizers import Optimizer, State, spread

Rate = float | Tensor


@dataclass(frozen=True)
class Rates:
    """The rates of one step, schedules applied: numbers, or tensors [R]."""

    lr: Rate
    decay: Rate


class Factor:
    """The factors of one reduction on one product: a number on the whole, and perhaps one on each row."""

    def __init__(self, reduction: str, batch: Batch, groups: Groups | None) -> None:
        self.whole = 1.0 if reduction == "sum" or (reduction == "area" and groups is not None) else 1.0 / batch.whole
        self.rows = groups.per_area if reduction == "area" and groups is not None else None
        self.single = batch.replicas == 1

    def on(self, rows: Tensor) -> Tensor:
        """The rows with their own factor."""
        if self.rows is None:
            return rows
        lead = 1 if self.single else 2
        factor = self.rows.view(*rows.shape[:lead], *([1] * (rows.dim() - lead)))
        if rows.dtype == torch.bfloat16:  # factors are not rounded to so few bits
            return (rows * factor.to(torch.float32)).to(rows.dtype)
        return rows * factor.to(rows.dtype)


class Learner:
    """The changes of a plan, bound to storage."""

    sum_groups = staticmethod(sum_groups)

    def __init__(self, plan: Plan, parameters: Parameters, sweep: Sweep) -> None:
        self.plan, self.parameters, self.sweep, self.circuit = plan, parameters, sweep, plan.circuit
        self.states: dict[str, State] = {}
        self.plasticity_states: dict[str, dict[str, Any]] = {}
        changes = (*plan.changes, *plan.without_error)
        self.bias_reduction = {
            population: self._bias_reduction(population)
            for change in plan.changes
            for population in (key.partition(".")[0] for key in change.cells)
        }
        self.products = {change: self._product(change) for change in changes if change.terms}
        self.bind()

    def bind(self) -> None:
        """Bind the steps to storage; again where synapses or units have gone or come back."""
        for name, mask in self.parameters.masks.items():
            for entry in self.states.get(name, {}).values():
                if entry.shape == mask.shape:
                    entry.masked_fill_(mask == 0, 0.0)  # a synapse that is gone has no momentum
        self.fused = {change: self._bound(change) for change in self.products}
        self.heavy_ball = {change: heavy_ball.bind(self, change) for change in self.products}
        self.joined = {each.relay: contraction.Joined(self.parameters, each) for each in self.plan.contractions}

    def _bound(self, change: Change) -> FusedChange:
        step = bind(self, change, partial(self._fused, change))
        stored = [*change.projections, *change.cells]
        if not any(name in self.parameters.moves for name in stored):
            return step

        def holding(batch: Batch, rates: Rates) -> None:
            with self._holding(stored):
                step(batch, rates)

        return holding

    def _holding(self, stored: Iterable[str]) -> AbstractContextManager[None]:
        """Synapses of silenced units as they are, whatever is done inside."""
        moves = self.parameters.moves
        tensors: dict[str, list[Tensor]] = {}
        for name in stored:
            if name in moves:
                weight = self.parameters.full[name] if name in self.parameters.full else self.parameters.biases[name]
                kept = self.states.get(name, {}).values()
                tensors[name] = [weight, *(entry for entry in kept if entry.shape == weight.shape)]
        return held(moves, tensors)

    def _bias_reduction(self, population: str) -> str:
        edges = self.circuit.select(pathway="feedforward", target=population).values()
        return next(
            (getattr(edge.plasticity, "reduction", "batch") for edge in edges if edge.plasticity.plastic), "batch"
        )

    def _product(self, change: Change) -> tuple[Kernel, str | None, str | None]:
        """The kernel in stored orientation, the router whose areas the product uses, and the order in which its rows
        must stand."""
        owner = change.projections[0]
        edge = self.circuit.projections[owner]
        kernel = self.parameters.stored_kernel(owner)  # both ends of a term are in stored, i.e. forward, orientation
        router = self.router(owner, edge)
        return kernel, router, router if router is not None else self.plan.orders[change.terms[0].post[0]]

    def router(self, name: str, edge: Projection) -> str | None:
        """The router whose areas select among this projection's weights."""
        if self.parameters.areas[name] == 1:
            return None
        return self.plan.routes[edge.source if edge.pathway == "feedback" else edge.target]

    def rows(
        self, term: Term, batch: Batch, order: str | None, groups: Groups | None, dtype: torch.dtype | None
    ) -> tuple[Tensor, Tensor, float]:
        factor = Factor(term.reduction, batch, groups)
        # The smaller side carries the factors: fewer numbers to multiply.
        post, pre = self.sweep.rows(batch, *term.post, order, dtype), self.sweep.rows(batch, *term.pre, order, dtype)
        if factor.rows is not None:
            if post.numel() <= pre.numel():
                post = factor.on(post)
            else:
                pre = factor.on(pre)
        return post, pre, factor.whole

    # Proposed changes ------------------------------------------------------------------------------------------------

    def proposed(
        self, change: Change, batch: Batch, total: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Groups | None]:
        """Changes of weights (in storage, [R, K, O, I]) and of parameters of populations (``hidden1.bias``, [R, K, U]),
        with the sign of a gradient; nothing is changed. `total`: their product, where it is there already."""
        weights: dict[str, Tensor] = {}
        groups = None
        if change.terms:
            if total is None:
                total, groups = self.total(change, batch)
            weights = {name: total.view(self.parameters.full[name].shape) for name in change.projections}
            weights |= contraction.changes(self, change, total)
        else:
            for name in change.projections:
                edge = self.circuit.projections[name]
                router = self.router(name, edge)
                groups = batch.groups[router] if router is not None else None
                weights[name] = self._own_update(name, edge, batch)
        if masks := self.parameters.masks:
            weights = {name: tensor * masks[name] if name in masks else tensor for name, tensor in weights.items()}
        return weights, self._cell_changes(change, batch), groups

    def total(self, change: Change, batch: Batch) -> tuple[Tensor, Groups | None]:
        """The sum of products that weights change by, as kernels read it, and the areas that it is of."""
        kernel, router, order = self.products[change.plain]
        groups = batch.groups[router] if router is not None else None
        total: Tensor | None = None
        for term in change.terms:
            post, pre, whole = self.rows(term, batch, order, groups, kernel.compute)
            product = kernel.correlate(post, pre, groups)
            product = product.mul_(whole) if whole != 1 else product
            total = product if total is None else total.add_(product)
        assert total is not None
        return total, groups

    def _own_update(self, name: str, edge: Projection, batch: Batch) -> Tensor:
        local = LocalSignals(self, name, edge, batch)
        state = self.plasticity_states.get(name)
        if state is None:
            state = edge.plasticity.init(self.parameters[name])
        change, next_state = edge.plasticity.update(local, state)
        batch.next_states[name] = next_state
        full = self.parameters.full[self.plan.owners[name]]
        stored = torch.zeros_like(full)
        self.parameters.oriented(name, stored).copy_(change)
        if local.groups is not None and not local.groups.all_active:
            # What a plasticity proposes for areas that saw nothing (a decay) is not carried out, nor counted.
            stored *= local.active.view(*local.active.shape, *([1] * (stored.dim() - 2)))
        return stored

    def _cell_changes(self, change: Change, batch: Batch) -> dict[str, Tensor]:
        """Changes of parameters of populations, by name: ``hidden1.bias``, [R, K, U]."""
        found = {f"{name}.bias": self._bias_change(name, batch) for name in change.biases}
        return found | {key: self._own_change(key, batch) for key in change.own}

    def _own_change(self, key: str, batch: Batch) -> Tensor:
        """What the way of the error through a population left, [R, K, ...]."""
        factor = Factor(self.bias_reduction[key.partition(".")[0]], batch, None)
        return batch.own[key] * factor.whole

    def _bias_change(self, population: str, batch: Batch) -> Tensor:
        error, bias = batch.error[population], self.parameters.biases[f"{population}.bias"]
        if space := len(self.circuit.populations[population].extent) - 1:  # one bias a channel, at every place
            error = error.sum(tuple(range(-space, 0)), dtype=bias.dtype)
        reduction, groups = self.bias_reduction[population], None
        if bias.shape[1] > 1:
            groups = batch.groups[self.plan.routes[population]]
        factor = Factor(reduction, batch, groups)
        if error.dtype != bias.dtype:
            return sums_of(error, groups, bias, means=factor.rows is not None).mul_(factor.whole)
        if groups is None:
            return (error.sum(-2) * factor.whole).view(bias.shape)
        change = self.sum_groups(error.flatten(0, -2), groups)
        if reduction == "area":
            change /= groups.whole_RK.view(-1, 1).clamp(min=1)
        elif reduction == "batch":
            change /= batch.whole
        return change.view(bias.shape)

    # Steps -----------------------------------------------------------------------------------------------------------

    def learn(self, change: Change, batch: Batch, optimizer: Optimizer, rates: Rates) -> None:
        """Carry out one change, with other processes where they share the batch."""
        if batch.together is not None:
            batch.together.learn(change, batch, optimizer, rates)
        else:
            self.learn_here(change, batch, optimizer, rates)

    def learn_here(self, change: Change, batch: Batch, optimizer: Optimizer, rates: Rates) -> None:
        """Carry out one change."""
        if change.contracted:
            contraction.learn(self, change, batch, optimizer, rates)
        elif change.terms and optimizer.plain:
            self.fused[change](batch, rates)
        elif change.terms and self._in_place(change, batch, optimizer, rates):
            pass
        else:
            weights, biases, groups = self.proposed(change, batch)
            self.apply(weights, biases, groups, batch, optimizer, rates)

    def _in_place(self, change: Change, batch: Batch, optimizer: Optimizer, rates: Rates) -> bool:
        """The step without a tensor of the whole change; False where it does not apply, and nothing has changed."""
        bound = self.heavy_ball[change]
        taken = bound is not None and heavy_ball.applies(optimizer) and bound(batch, optimizer, rates)
        if not taken and not by_area.step(self, change, batch, optimizer, rates):
            return False
        self.apply({}, self._cell_changes(change, batch), None, batch, optimizer, rates)
        return True

    def apply(
        self,
        weights: dict[str, Tensor],
        biases: dict[str, Tensor],
        groups: Groups | None,
        batch: Batch,
        optimizer: Optimizer,
        rates: Rates,
    ) -> None:
        """Give proposed changes to the optimiser."""
        if self.parameters.moves:
            for name in weights:
                self.state(name, self.parameters.full[name], optimizer)
            for name in biases:
                self.state(name, self.parameters.biases[name], optimizer)
            with self._holding([*weights, *biases]):
                self._apply(weights, biases, groups, batch, optimizer, rates)
        else:
            self._apply(weights, biases, groups, batch, optimizer, rates)

    def _apply(
        self,
        weights: dict[str, Tensor],
        biases: dict[str, Tensor],
        groups: Groups | None,
        batch: Batch,
        optimizer: Optimizer,
        rates: Rates,
    ) -> None:
        for name, change in weights.items():
            weight = self.parameters.full[name]
            self._optimise(
                name, weight, change, groups, optimizer, rates, self.circuit.projections[name].plasticity.rate
            )
        for name, change in biases.items():
            bias = self.parameters.biases[name]
            own = batch.groups[self.plan.routes[name.partition(".")[0]]] if bias.shape[1] > 1 else None
            self._optimise(name, bias, change, own, optimizer, rates, 1.0)
        self.plasticity_states.update(batch.next_states)
        batch.next_states.clear()

    def _optimise(
        self,
        name: str,
        weight: Tensor,
        change: Tensor,
        groups: Groups | None,
        optimizer: Optimizer,
        rates: Rates,
        factor: float,
    ) -> None:
        mask = groups.active_RK if groups is not None and not groups.all_active and weight.shape[1] > 1 else None
        optimizer.update_(
            weight, change, self.state(name, weight, optimizer), mask=mask, lr=rates.lr * factor, decay=rates.decay
        )

    def forget(self, keeps: Collection[str] | None) -> None:
        """Drop the optimiser's state of what is changed here, unless it holds just these entries; and of plasticity,
        unless it holds what its own would."""
        for change in self.plan.changes:
            for name in (*change.projections, *change.cells):
                if name in self.states and (keeps is None or self.states[name].keys() != keeps):
                    del self.states[name]
            for name in change.projections if not change.terms else ():
                first = self.circuit.projections[name].plasticity.init(self.parameters[name])
                if name in self.plasticity_states and self.plasticity_states[name].keys() != first.keys():
                    del self.plasticity_states[name]

    def state(self, name: str, weight: Tensor, optimizer: Optimizer) -> State:
        """The optimiser's state of a weight, made when first asked for."""
        if (found := self.states.get(name)) is None:
            with torch.inference_mode(False):
                found = self.states[name] = optimizer.init(weight)
        return found

    def _fused(self, change: Change, batch: Batch, rates: Rates) -> None:
        kernel, router, order = self.products[change]
        groups = batch.groups[router] if router is not None else None
        for index, term in enumerate(change.terms):
            post, pre, whole = self.rows(term, batch, order, groups, kernel.compute)
            lr, beta = rates.lr, 1.0
            if index == 0:
                beta = self._decay(change, groups, rates)
            if isinstance(lr, Tensor) and kernel.compute is None:
                # Rates differ between replicas: they ride on the rows, so that one product serves all.
                post = post * (lr.view(-1, *([1] * (post.dim() - 1))) if batch.replicas > 1 else lr)
                lr = 1.0
            steps: list[tuple[Tensor, Any, float]] = [
                (self.parameters.internal(name), -lr * whole * self.circuit.projections[name].plasticity.rate, beta)
                for name in change.projections
            ]
            kernel.accumulate_(steps, post, pre, groups)
        if masks := self.parameters.masks:
            for name in masks.keys() & set(change.projections):
                self.parameters.full[name].mul_(masks[name])
        self._fused_cells(change, batch, rates)

    def _decay(self, change: Change, groups: Groups | None, rates: Rates) -> float:
        """The factor (1 - ηλ) as a number for the fused step; where it differs between replicas it is applied here."""
        if isinstance(rates.decay, float) and not rates.decay:
            return 1.0
        factors = {self.circuit.projections[name].plasticity.rate for name in change.projections}
        if isinstance(rates.lr, float) and isinstance(rates.decay, float) and len(factors) == 1:
            return 1.0 - rates.lr * factors.pop() * rates.decay
        for name in change.projections:
            weight = self.parameters.full[name]
            shrink = (
                1
                - spread(rates.lr, weight)
                * spread(rates.decay, weight)
                * self.circuit.projections[name].plasticity.rate
            )
            if groups is not None:
                active = groups.active_RK.view(*groups.active_RK.shape, *([1] * (weight.dim() - 2)))
                shrink = torch.where(active, torch.as_tensor(shrink, dtype=weight.dtype, device=weight.device), 1.0)
            weight.mul_(shrink)
        return 1.0

    def _fused_cells(self, change: Change, batch: Batch, rates: Rates) -> None:
        for name, change_RKU in self._cell_changes(change, batch).items():
            bias = self.parameters.biases[name]
            lr, decay = spread(rates.lr, bias), spread(rates.decay, bias)
            if not isinstance(decay, float) or decay:
                groups = batch.groups[self.plan.routes[name.partition(".")[0]]] if bias.shape[1] > 1 else None
                # Decay, too, leaves areas without samples alone.
                active = None if groups is None else groups.active_RK[..., None]
                change_RKU += decay * bias if active is None else torch.where(active, decay * bias, 0.0)
            bias.sub_(lr * change_RKU)


class LocalSignals:
    """What a synapse sees, for plasticity that has an update of its own: tensors as users see them, [R, N, units] and
    [R, K, post, pre]."""

    def __init__(self, learner: Learner, name: str, edge: Projection, batch: Batch) -> None:
        self._learner, self._name, self._edge, self._batch = learner, name, edge, batch
        self.weight = learner.parameters[name]
        router = learner.router(name, edge)
        groups = batch.groups[router] if router is not None else None
        together = batch.together
        self.groups: Groups | None = (
            groups if groups is None or together is None else together.whole_groups(groups, batch)
        )

    def _signal(self, population: str, kind: str) -> Tensor:
        found: Tensor | None = natural(self._learner.sweep, self._batch, population, kind)
        assert found is not None, f"{self._name} reads the {kind} of {population}, which this circuit does not have"
        together = self._batch.together
        return found if together is None else together.whole_rows(found, self._batch, self.groups)

    @property
    def pre_activity(self) -> Tensor:
        return self._signal(self._edge.source, "activity")

    @property
    def post_activity(self) -> Tensor:
        return self._signal(self._edge.target, "activity")

    @property
    def pre_error(self) -> Tensor:
        return self._signal(self._edge.source, "error")

    @property
    def post_error(self) -> Tensor:
        return self._signal(self._edge.target, "error")

    @property
    def active(self) -> Tensor:
        """Areas that have samples, [R, K]."""
        groups = self.groups
        return self.weight.new_ones(self.weight.shape[:2], dtype=torch.bool) if groups is None else groups.active_RK

    def spread(self, values_RKU: Tensor) -> Tensor:
        """Each sample's row of the values of its area, [R, N, U]; to broadcast where there is one area."""
        groups = self.groups
        if groups is None:
            return values_RKU
        return values_RKU.gather(1, groups.area_RN[..., None].expand(-1, -1, values_RKU.shape[-1]))

    def _sum(self, rows_RNU: Tensor) -> Tensor:
        groups = self.groups
        if groups is None:
            return rows_RNU.sum(1, keepdim=True)
        index = groups.area_RN[..., None].expand_as(rows_RNU)
        return rows_RNU.new_zeros(*self.weight.shape[:2], rows_RNU.shape[-1]).scatter_add_(1, index, rows_RNU)

    def average(self, rows_RNU: Tensor) -> Tensor:
        """Mean over the samples of each area, [R, K, U]; zero where there are none."""
        groups = self.groups
        if groups is None:
            return rows_RNU.mean(1, keepdim=True)
        return self._sum(rows_RNU) / groups.counts_RK.clamp(min=1)[..., None].to(rows_RNU.dtype)

    def total(self, rows_RNU: Tensor) -> Tensor:
        """``(1/m) Σ_n rows`` per replica and area, [R, K, U]: with m as in `correlate`."""
        reduction = getattr(self._edge.plasticity, "reduction", "batch")
        if reduction == "area":
            return self.average(rows_RNU)
        return self._sum(rows_RNU) / (1 if reduction == "sum" else self._batch.whole)

    def by_post(self, values_RKO: Tensor) -> Tensor:
        """Values of post-synaptic units, to broadcast against the weight; of weights that are the same at every place,
        their sum over places."""
        shape, post = self.weight.shape, self._learner.parameters.axes(self._name)[0]
        if len(shape) == 3:
            return values_RKO
        values = values_RKO.unflatten(-1, (prod(shape[2 : post + 1]), -1)).sum(-1)
        return values.view(*values.shape[:2], *shape[2 : post + 1], *([1] * (len(shape) - post - 1)))

    def centred(self, rows_RNU: Tensor) -> Tensor:
        """Rows without the mean of the samples of their area."""
        return rows_RNU - self.spread(self.average(rows_RNU))

    def correlate(self, post_RNO: Tensor, pre_RNI: Tensor) -> Tensor:
        """``(1/m) Σ_n post preᵀ`` per replica and area, in the shape of the weight."""
        learner, populations = self._learner, self._learner.circuit.populations
        groups = self.groups
        factor = Factor(getattr(self._edge.plasticity, "reduction", "batch"), self._batch, groups)
        if groups is not None:
            order = groups.order
            post_RNO, pre_RNI = (rows.flatten(0, 1)[order].view(rows.shape) for rows in (post_RNO, pre_RNI))
        if learner.parameters.replicas == 1:
            post_RNO, pre_RNI = post_RNO[0], pre_RNI[0]
        kernel = learner.parameters.kernel(self._name)
        post = shaped(factor.on(post_RNO), populations[self._edge.target].extent)
        stored = kernel.correlate(post, shaped(pre_RNI, populations[self._edge.source].extent), groups) * factor.whole
        return learner.parameters.oriented(
            self._name, stored.view(learner.parameters.full[learner.plan.owners[self._name]].shape)
        )
