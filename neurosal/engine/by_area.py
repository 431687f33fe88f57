"""Steps of optimisers that remember, area by area: the change of one area is made, taken by its weight and its state,
and forgotten, so that no tensor of all areas exists beside them, and areas without samples are not touched.

Where that does not apply (small weights, a GPU, clipping, changes that are not products) the general path takes all
areas at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from neurosal.lower.plan import Change
from neurosal.settings.optimizers import LARGE, Optimizer, step_rows

if TYPE_CHECKING:
    from neurosal.engine.learning import Learner, Rates
    from neurosal.engine.sweep import Batch


def step(learner: Learner, change: Change, batch: Batch, optimizer: Optimizer, rates: Rates) -> bool:
    """The step of the weights of one change; False where it does not apply, and then nothing has changed."""
    parameters, circuit = learner.parameters, learner.circuit
    kernel, router, order = learner.products[change]
    names = change.projections
    weights = [parameters.full[name] for name in names]
    first = weights[0]
    if router is None or first.is_cuda or first[0, 0].numel() < LARGE or any(n in parameters.moves for n in names):
        return False
    groups = batch.groups[router]
    single = parameters.stored_kernel(names[0], "single")
    terms = [learner.rows(term, batch, order, groups, kernel.compute) for term in change.terms]
    last = len(batch.lead) - 1
    ends = [(post.flatten(0, last), pre.flatten(0, last), whole) for post, pre, whole in terms]
    states = [learner.state(name, weight, optimizer) for name, weight in zip(names, weights, strict=True)]
    for group, start, end in groups.slices:
        total: Tensor | None = None
        for post, pre, whole in ends:
            product = single.correlate(post[start:end], pre[start:end], None)
            product = product.mul_(whole) if whole != 1 else product
            total = product if total is None else total.add_(product)
        assert total is not None
        for name, weight, state in zip(names, weights, states, strict=True):
            mask = parameters.masks.get(name)
            own = total if mask is None else total * mask.flatten(0, 1)[group]
            factor = circuit.projections[name].plasticity.rate
            step_rows(optimizer, weight, own[None], state, group, lr=rates.lr * factor, decay=rates.decay)
    return True
