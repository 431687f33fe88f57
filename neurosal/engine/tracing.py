"""A training step as a graph: everything that it reads is an argument, nothing in it asks what a number is.

Where an eager step looks at its numbers (which areas have samples, whether all have, one rate or several), the step
that is traced does what is right whatever they are. Letters: R replica, K area, N sample, G = R·K groups.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from neurosal.engine import operators  # noqa: F401 - registers them
from neurosal.engine.learning import Learner, Rates
from neurosal.engine.lesions import Lesions
from neurosal.engine.losses import NO_LOSS
from neurosal.engine.parameters import Parameters
from neurosal.engine.routing import Groups, RouterState
from neurosal.engine.sweep import Batch, Sweep
from neurosal.engine.wiring import DenseBatched, DenseGrouped, DenseSingle, Kernel, like_rows
from neurosal.errors import ExperimentError, Problem
from neurosal.lower.plan import Change
from neurosal.settings.optimizers import Optimizer, spread

if TYPE_CHECKING:
    from neurosal.engine.network import Network

ours = torch.ops.neurosal
Step = tuple[Tensor, float, Tensor | None]  # weight, factor, what it is first multiplied with [R]


class TracedGroups(Groups):
    """Groups of which only tensors are known."""

    def __init__(self, area_RN: Tensor, areas: int) -> None:
        self.area_RN, self.areas = area_RN, areas
        self.replicas, self.samples = area_RN.shape
        start = torch.arange(0, self.replicas * areas, areas, device=area_RN.device)
        self.group_of_row, self.order = (area_RN + start[:, None]).flatten().sort(stable=True)
        ones = torch.ones_like(self.group_of_row)
        counts = ones.new_zeros(self.replicas * areas).scatter_add_(0, self.group_of_row, ones)
        self.counts_RK = self.whole_RK = counts.view(self.replicas, areas)
        # Not known: what asks must be right either way.
        self.all_active = False

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """As operators take them."""
        return self.order, self.group_of_row, self.counts_RK


class TracedDenseGrouped(DenseGrouped):
    """Dense with areas, its loops closed to the compiler."""

    def apply(self, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        assert isinstance(groups, TracedGroups)
        return like_rows(ours.multiply_groups(pre.flatten(0, -2), weight.mT, *groups.tensors, None), pre)

    def pull(self, weight: Tensor, post: Tensor, groups: Groups | None) -> Tensor:
        assert isinstance(groups, TracedGroups)
        return like_rows(ours.multiply_groups(post.flatten(0, -2), weight, *groups.tensors, None), post)

    def affine(self, bias: Tensor, weight: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        assert isinstance(groups, TracedGroups)
        return like_rows(ours.multiply_groups(pre.flatten(0, -2), weight.mT, *groups.tensors, bias), pre)

    def correlate(self, post: Tensor, pre: Tensor, groups: Groups | None) -> Tensor:
        assert isinstance(groups, TracedGroups)
        return ours.correlate_groups(post.flatten(0, -2), pre.flatten(0, -2), *groups.tensors)


class TracedParameters(Parameters):
    """Parameters whose storage are arguments of the graph."""

    def __init__(self, parameters: Parameters, found: dict[str, dict[str, Any]]) -> None:
        self.__dict__.update(parameters.__dict__)
        self.full, self.biases, self.masks, self.moves = (found[part] for part in ("full", "biases", "masks", "moves"))
        self.statistics = found["statistics"]
        self.signs = copy.copy(parameters.signs)
        self.signs.used = parameters.signs.used | found["signs"]
        self.lesions = Lesions()
        self.lesions.silenced = found["silenced"]

    def stored_kernel(self, name: str, form: str | None = None) -> Kernel:
        kernel = super().stored_kernel(name, form)
        return TracedDenseGrouped() if type(kernel) is DenseGrouped else kernel


class TracedSweep(Sweep):
    """The bound functions of a plan, on groups of which only tensors are known."""

    grouping = TracedGroups
    plainly = True

    def __init__(self, sweep: Sweep, parameters: Parameters, routers: dict[str, RouterState]) -> None:
        self._let_pass = sweep.skips
        super().__init__(sweep.plan, parameters, routers)
        self._schedules = sweep._schedules

    def _passes(self, projection: str) -> bool:
        return projection in self._let_pass


class TracedLearner(Learner):
    """Changes whose rates are tensors, and areas without samples held by a choice in place of a selection."""

    sum_groups = staticmethod(lambda rows_MU, groups: ours.sum_groups(rows_MU, *groups.tensors))

    def _fused(self, change: Change, batch: Batch, rates: Rates) -> None:
        kernel, router, order = self.products[change]
        groups = batch.groups[router] if router is not None else None
        assert isinstance(rates.lr, Tensor)
        for index, term in enumerate(change.terms):
            post, pre, whole = self.rows(term, batch, order, groups, kernel.compute)
            steps: list[Step] = []
            for name in change.projections:
                rate = self.circuit.projections[name].plasticity.rate
                decays = index == 0 and isinstance(rates.decay, Tensor)
                keep_R = 1.0 - rates.lr * rate * rates.decay if decays else None
                steps.append((self.parameters.internal(name), whole * rate, keep_R))
            take_steps(kernel, steps, post, pre, groups, rates.lr)
        for name in self.parameters.masks.keys() & set(change.projections):
            self.parameters.full[name].mul_(self.parameters.masks[name])
        self._fused_cells(change, batch, rates)

    def _in_place(self, change: Change, batch: Batch, optimizer: Optimizer, rates: Rates) -> bool:
        return False

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
        state = self.states.get(name, {})
        lr, decay = spread(rates.lr * factor, weight), spread(rates.decay, weight)
        if groups is None or weight.shape[1] == 1:
            optimizer.apply_(weight, change, state, lr, decay)
            return
        moved, moved_state = weight.clone(), {key: entry.clone() for key, entry in state.items()}
        optimizer.apply_(moved, change, moved_state, lr, decay)
        for old, new in ((weight, moved), *((state[key], moved_state[key]) for key in state)):
            old.copy_(torch.where(groups.active_RK.view(*old.shape[:2], *([1] * (old.dim() - 2))), new, old))


def take_steps(
    kernel: Kernel, steps: Sequence[Step], post: Tensor, pre: Tensor, groups: Groups | None, lr_R: Tensor
) -> None:
    """``W = keep W - lr factor Σ_n post preᵀ`` for each (W, factor, keep), only in areas with samples."""
    weights, factors = [weight for weight, _, _ in steps], [factor for _, factor, _ in steps]
    keeps = None if steps[0][2] is None else torch.stack([keep for _, _, keep in steps if keep is not None])
    if isinstance(kernel, TracedDenseGrouped):
        assert isinstance(groups, TracedGroups)
        ours.step_groups_(weights, post.flatten(0, -2), pre.flatten(0, -2), *groups.tensors, lr_R, keeps, factors)
        return
    if type(kernel) in (DenseSingle, DenseBatched):
        ours.step_(weights, post, pre, lr_R, keeps, factors)
        return
    product = kernel.correlate(post, pre, groups)
    for weight, factor, keep in steps:
        if keep is not None:
            weight.mul_(_over(keep, weight, groups))
        weight.sub_(_rate(lr_R, weight, groups) * factor * product)


def _rate(values_R: Tensor, weight: Tensor, groups: Groups | None) -> Tensor:
    """One value a replica, shaped to scale a weight as kernels read it."""
    if groups is not None:
        values_R = values_R[:, None].expand(-1, groups.areas).flatten()
    return values_R.to(weight.dtype).view(-1, *([1] * (weight.dim() - 1)))


def _over(keep_R: Tensor, weight: Tensor, groups: Groups | None) -> Tensor:
    """The same, and 1 in areas without samples."""
    factor = _rate(keep_R, weight, groups)
    return factor if groups is None else torch.where(groups.active_RK.view(factor.shape), factor, 1.0)


class Places:
    """Where the tensors are that a step reads and writes: looked up anew for every step, since states come and go."""

    def __init__(self, network: Network, optimizer: Optimizer, loss: str) -> None:
        parameters, learner = network._parameters, network._learner
        used = {name: scale for name, scale in parameters.signs.used.items() if isinstance(scale, Tensor)}
        self.fixed: dict[str, dict[str, Any]] = {
            "full": parameters.full,
            "biases": parameters.biases,
            "statistics": parameters.statistics,
            "masks": parameters.masks,
            "moves": parameters.moves,
            "signs": used,
            "silenced": parameters.lesions.silenced,
            **{f"routers/{name}": state.tensors for name, state in network._routers.items()},
        }
        changes = network.plan.without_error if loss == NO_LOSS else network.plan.changes
        self._weights = {name: parameters.full[name] for change in changes for name in change.projections}
        self._weights |= {name: parameters.biases[name] for change in changes for name in change.cells}
        self._own = [name for change in changes if not change.terms for name in change.projections]
        self._learner, self._optimizer = learner, optimizer
        self._names: list[tuple[dict[str, Any], str]] = []
        self._entries = [(entries, key) for entries in self.fixed.values() for key in entries]
        self.make_states()
        self._states = [(name, key) for name in self._weights for key in learner.states.get(name, {})]
        self._plasticity = [(name, key) for name in self._own for key in learner.plasticity_states[name]]

    def make_states(self) -> None:
        """What the optimiser and plasticity of their own remember, where there is nothing yet."""
        learner, remembers = self._learner, bool(self._optimizer.init(torch.zeros(1, 1, 1)))
        for name, weight in self._weights.items() if remembers else ():
            state = learner.state(name, weight, self._optimizer)
            learner.states[name] = {key: _writable(entry) for key, entry in state.items()}
        for name in self._own:
            kept = learner.plasticity_states.get(name)
            if kept is None:
                with torch.inference_mode(False):
                    kept = learner.circuit.projections[name].plasticity.init(learner.parameters[name])
            learner.plasticity_states[name] = {key: _writable(entry) for key, entry in kept.items()}

    def tensors(self) -> list[Tensor]:
        """All of them, live, in an order that stays."""
        try:
            return self._look()
        except KeyError:
            self.make_states()
            return self._look()

    def _look(self) -> list[Tensor]:
        states, plasticity = self._learner.states, self._learner.plasticity_states
        return [
            *[entries[key] for entries, key in self._entries],
            *[states[name][key] for name, key in self._states],
            *[plasticity[name][key] for name, key in self._plasticity],
        ]

    def sorted(self, tensors: Sequence[Tensor]) -> tuple[dict[str, dict[str, Any]], ...]:
        """Other tensors in their places: by part, the optimiser's, plasticity's."""
        rest = iter(tensors)
        fixed = {part: {key: next(rest) for key in entries} for part, entries in self.fixed.items()}
        states: dict[str, dict[str, Any]] = {}
        plasticity: dict[str, dict[str, Any]] = {name: {} for name in self._own}
        for name, key in self._states:
            states.setdefault(name, {})[key] = next(rest)
        for name, key in self._plasticity:
            plasticity[name][key] = next(rest)
        return fixed, states, plasticity


def _writable(entry: Tensor) -> Tensor:
    with torch.inference_mode(False):
        return entry.clone() if entry.is_inference() else entry


def trace(
    network: Network,
    places: Places,
    inputs: dict[str, Tensor],
    given: Sequence[Tensor],
    loss: str,
    optimizer: Optimizer,
) -> GraphModule:
    """The step as a graph of tensor operations: (rates, target if any, inputs, everything in `places`) → mean loss [R].

    Args:
        given: the rates (lr, and weight decay where there is any; each [R]), then the target where there is a loss.

    Raises:
        ExperimentError: when something in the step asks what a number is.
    """
    names, decays = list(inputs), len(given) - (loss != NO_LOSS) == 2

    def step(*tensors: Tensor) -> Tensor:
        rest = list(tensors)
        rates = Rates(rest.pop(0), rest.pop(0) if decays else 0.0)
        target = None if loss == NO_LOSS else rest.pop(0)
        activity = {name: rest.pop(0) for name in names}
        shadow, learner, plasticity = _shadow(network, places, rest)
        extent = network.circuit.populations[names[0]].extent
        batch = Batch(network.replicas, activity[names[0]].shape[-1 - len(extent)])
        batch.training = True
        batch.activity.update(activity)
        mean = shadow._advance(batch, target, loss, optimizer, rates)
        for name, state in plasticity.items():
            for key, entry in state.items():
                entry.copy_(learner.plasticity_states[name][key])
        return mean

    with torch.no_grad():
        try:
            graph = make_fx(step, tracing_mode="fake")(*given, *inputs.values(), *places.tensors())
        except RuntimeError as error:
            raise ExperimentError(refusal(error)) from error
    for node in graph.graph.nodes:
        if str(node.target) == "mkldnn._linear_pointwise.default":
            node.target, node.args = ours.linear.default, node.args[:3]
    graph.recompile()
    return graph


def refusal(error: Exception) -> Problem:
    """What is said of a step that has no graph."""
    return Problem(
        place="step",
        expected="a step that is the same work whatever the numbers are",
        found=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
        remedy='A plasticity, optimiser or wiring of yours may look at numbers; step="eager" runs it.',
    )


def _shadow(network: Network, places: Places, tensors: Sequence[Tensor]) -> tuple[Network, TracedLearner, Any]:
    """The network bound to other tensors."""
    fixed, states, plasticity = places.sorted(tensors)
    shadow = copy.copy(network)
    shadow._parameters = TracedParameters(network._parameters, fixed)
    shadow._routers = {}
    for name, state in network._routers.items():
        shadow._routers[name] = router = copy.copy(state)
        router.tensors = fixed[f"routers/{name}"]
    shadow._sweep = TracedSweep(network._sweep, shadow._parameters, shadow._routers)
    shadow._learner = learner = TracedLearner(network.plan, shadow._parameters, shadow._sweep)
    shadow._state = copy.copy(network._state)
    shadow._state.frozen = {}  # held after the step
    learner.states = states
    learner.plasticity_states = {name: dict(state) for name, state in plasticity.items()}
    return shadow, learner, plasticity
