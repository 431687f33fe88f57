"""Plain SGD steps of one area, bound once: the product goes straight into the weight, nothing is looked up on the way.

Small networks spend their time between the products, so this path is kept short. What it cannot do it hands to the
general one: areas, sums of products, rates that differ between replicas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from neurosal.engine.sweep import Batch
from neurosal.lower.plan import Change

if TYPE_CHECKING:
    from neurosal.engine.learning import Learner, Rates

FusedChange = Callable[[Batch, "Rates"], None]


def bind(learner: Learner, change: Change, general: FusedChange) -> FusedChange:
    """The fused step of one change; `general` where the short path does not apply."""
    parameters, orders = learner.parameters, learner.plan.orders
    kernel, router, order = learner.products[change]
    term = change.terms[0]
    areas = [parameters.biases[f"{name}.bias"].shape[1] for name in change.biases]
    if router is not None or kernel.compute is not None or len(change.terms) > 1 or max(areas, default=1) > 1:
        return general
    if change.own or any(learner.circuit.populations[name].spatial for name in change.biases):
        return general
    if not orders[term.post[0]] == orders[term.pre[0]] == order:
        return general
    (post_name, post_kind), (pre_name, pre_kind) = term.post, term.pre
    post_error, pre_error, sums = post_kind == "error", pre_kind == "error", term.reduction == "sum"
    weights = [
        (parameters.internal(name), learner.circuit.projections[name].plasticity.rate) for name in change.projections
    ]
    masks = [(parameters.full[name], parameters.masks[name]) for name in change.projections if name in parameters.masks]
    biases = [(name, _inner(learner, name), learner.bias_reduction[name] == "sum") for name in change.biases]
    accumulate_ = kernel.accumulate_
    ones: dict[int, Tensor] = {}

    def fused(batch: Batch, rates: Rates) -> None:
        lr, decay = rates.lr, rates.decay
        if type(lr) is not float or type(decay) is not float:
            general(batch, rates)
            return
        post = (batch.error if post_error else batch.activity)[post_name]
        pre = (batch.error if pre_error else batch.activity)[pre_name]
        mean = lr / batch.whole
        step = lr if sums else mean
        accumulate_([(weight, -step * rate, 1.0 - lr * rate * decay) for weight, rate in weights], post, pre, None)
        for full, mask in masks:
            full.mul_(mask)
        for name, bias, bias_sums in biases:
            error, size, kept = batch.error[name], lr if bias_sums else mean, 1.0 - lr * decay
            if bias.dim() == 1:
                one = ones.get(batch.samples)
                if one is None:
                    one = ones[batch.samples] = error.new_ones(batch.samples)
                bias.addmv_(error.t(), one, alpha=-size, beta=kept)
            else:
                if kept != 1.0:
                    bias.mul_(kept)
                bias.sub_(error.sum(1, keepdim=True), alpha=size)

    return fused


def _inner(learner: Learner, population: str) -> Tensor:
    bias = learner.parameters.internal_bias(population)
    assert bias is not None
    return bias
