"""Relays whose hops are joined, bound to storage: the error comes through ``R B``, made once a step, and R changes by
the change of forward weights times Bᵀ.

Both are small products of weights in place of large ones of rows, in the same kernels and the same type.

Letters: N sample, O unit of the population that the relay hears from, P of the relay, I of the one that it sends to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from neurosal.engine import heavy_ball
from neurosal.engine.wiring import KERNELS, Steps
from neurosal.lower.plan import Change, Contraction
from neurosal.settings.optimizers import SGD, Optimizer

if TYPE_CHECKING:
    from neurosal.engine.learning import Learner, Rates
    from neurosal.engine.parameters import Parameters
    from neurosal.engine.sweep import Batch, Sweep

Accumulate = Callable[[Steps], None]  # W = beta W + alpha change, for each (W, alpha, beta)


class Joined:
    """The two hops of one relay as one.

    Weights are taken as matrices [.., O, P] and [.., P, I], with the places of a kernel beside I, and the groups of a
    convolution beside the replicas. Products of kernels are small, and stay in the type of the weights.
    """

    def __init__(self, parameters: Parameters, joined: Contraction) -> None:
        self.name, self.shape = joined.second, parameters.full[joined.second].shape
        second = parameters.internal(joined.second)
        self.lead = second.dim() - len(self.shape) + 2 + parameters.circuit.projections[joined.second].wiring.axes[0]
        self.first, self.second = self.matrix(parameters.internal(joined.first)), self.matrix(second)
        self.between = (*second.shape[: self.lead], self.first.shape[-2], *second.shape[self.lead + 1 :])
        products = KERNELS["dense"]["single" if self.first.dim() == 2 else "batched"]
        dense = len(self.shape) == 4
        self.products = parameters.precision.kernel(products, joined.second) if dense else products
        self.back = parameters.kernel_between(joined.second, joined.source)

    def matrix(self, weight: Tensor) -> Tensor:
        """A weight as kernels read it, as one matrix or [R·G, .., ..]; a view where it lies as it was made."""
        flat = weight.flatten(self.lead + 1) if weight.dim() > self.lead + 2 else weight
        return flat.flatten(0, -3) if flat.dim() > 3 else flat

    def error(self, rows_NO: Tensor) -> Tensor:
        """What the target receives, [N, I]."""
        weight = self.products.pull(self.second, self.first, None)
        return self.back.apply(weight.view(self.between), rows_NO, None)

    def change(self, total_OI: Tensor) -> Tensor:
        """The change of the second hop in its storage, where forward weights change by `total`."""
        return self.products.correlate(self.first, self.matrix(total_OI), None).view(self.shape)

    def accumulate_(self, total_OI: Tensor, steps: Steps) -> None:
        """The same, straight into tensors in the form in which kernels read the second hop."""
        own = [(self.matrix(weight), alpha, beta) for weight, alpha, beta in steps]
        self.products.accumulate_(own, self.first, self.matrix(total_OI), None)


def error(sweep: Sweep, contraction: Contraction) -> Callable[[Batch], Tensor]:
    """The function that brings the error of the source to the target."""
    joined, source = Joined(sweep.parameters, contraction), contraction.source
    order, carries = sweep.plan.orders[source], joined.back.carries
    return lambda batch: joined.error(sweep.rows(batch, source, "error", order, carries))


def changes(learner: Learner, change: Change, total: Tensor) -> dict[str, Tensor]:
    """The changes of the second hops that go with a change, in their storage."""
    return {each.second: learner.joined[each.relay].change(total) for each in change.contracted}


def learn(learner: Learner, change: Change, batch: Batch, optimizer: Optimizer, rates: Rates) -> None:
    """Carry out a change, with the second hops that go with it."""
    total, _ = learner.total(change, batch)
    names = [*change.projections, *(each.second for each in change.contracted)]
    if not _in_place(learner, names, optimizer, rates):
        weights, biases, _ = learner.proposed(change, batch, total)
        learner.apply(weights, biases, None, batch, optimizer, rates)
        return
    for each in change.contracted:
        _step(learner, each.second, partial(learner.joined[each.relay].accumulate_, total), optimizer, rates)
    for name in change.projections:
        _step(learner, name, partial(_add, total), optimizer, rates)
    learner.apply({}, learner._cell_changes(change, batch), None, batch, optimizer, rates)


def _in_place(learner: Learner, names: list[str], optimizer: Optimizer, rates: Rates) -> bool:
    """Whether a step is that of SGD with the same rates for all, in all synapses."""
    known = isinstance(optimizer, SGD) and isinstance(optimizer.momentum, float)
    known = known and (optimizer.plain or heavy_ball.applies(optimizer))
    single = isinstance(rates.lr, float) and isinstance(rates.decay, float)
    return known and single and not any(name in learner.parameters.moves for name in names)


def _step(learner: Learner, name: str, accumulate: Accumulate, optimizer: Optimizer, rates: Rates) -> None:
    parameters, lr, decay = learner.parameters, rates.lr, rates.decay
    lr *= learner.circuit.projections[name].plasticity.rate
    full, mask = parameters.full[name], parameters.masks.get(name)
    assert isinstance(lr, float)
    assert isinstance(decay, float)
    if optimizer.plain:
        accumulate([(parameters.internal(name), -lr, 1.0 - lr * decay)])
        if mask is not None:
            full.mul_(mask)
        return
    assert isinstance(optimizer, SGD)
    momentum = optimizer.momentum
    assert isinstance(momentum, float)
    velocity = learner.state(name, full, optimizer)["momentum"]
    accumulate([(parameters.inner(name, velocity), 1.0, momentum)])
    if mask is not None:
        velocity.mul_(mask)
    heavy_ball.move(full, velocity, lr, decay)


def _add(change: Tensor, steps: Steps) -> None:
    for weight, alpha, beta in steps:
        if beta != 1:
            weight.mul_(beta)
        weight.add_(change, alpha=alpha)
