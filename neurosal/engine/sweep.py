"""One forward and one feedback sweep over a batch, as a list of small functions bound to storage when a network is
compiled.

Rows are [N, units] for one replica and [R, N, units] for more; with areas, samples stand in the order of the
population's route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neurosal.engine import contraction
from neurosal.engine.activations import ACTIVATIONS
from neurosal.engine.dropping import Dropping
from neurosal.engine.inputs import refuse_labels
from neurosal.engine.losses import LOSSES
from neurosal.engine.narrowing import widened
from neurosal.engine.normalising import Place
from neurosal.engine.parameters import Parameters
from neurosal.engine.routing import Groups, RouterState
from neurosal.engine.scheduling import Scheduled
from neurosal.engine.transfer import Bound, bound, is_plain
from neurosal.engine.wiring import flat, shaped
from neurosal.graph import Constant, OneToOne, Own, Population, Rate
from neurosal.lower.plan import Backward, Forward, Phase, Plan, Route
from neurosal.lower.schedule import Signal, gate_reads

if TYPE_CHECKING:
    from neurosal.engine.together import Together


class Batch:
    """The signals of one batch: everything that one step computes and the next one forgets."""

    __slots__ = (
        "activity",
        "error",
        "groups",
        "kept",
        "lead",
        "memo",
        "mine",
        "moments",
        "next_states",
        "own",
        "replicas",
        "samples",
        "seen",
        "step",
        "target",
        "together",
        "training",
        "whole",
        "winners",
    )

    def __init__(self, replicas: int, samples: int, whole: int = 0, together: Together | None = None) -> None:
        self.replicas, self.samples = replicas, samples
        self.whole = whole or samples  # samples of the batch at all processes that share it
        self.together = together
        self.lead = (samples,) if replicas == 1 else (replicas, samples)
        self.activity: dict[str, Tensor] = {}  # h
        self.kept: dict[str, Tensor] = {}  # what the gate needs
        self.error: dict[str, Tensor] = {}  # δ
        self.target: dict[str, Tensor] = {}  # of the output, where feedback carries it
        self.groups: dict[str, Groups] = {}  # router → groups
        self.seen: dict[str, dict[str, Tensor]] = {}  # router → what it saw
        self.next_states: dict[str, dict[str, Any]] = {}  # projection → state of its own plasticity after the step
        self.winners: dict[str, Any] = {}  # projection → what goes back along it is chosen by
        self.step = 0  # how many steps were done before
        self.mine: Any = None  # which samples of the whole batch these are, as an index; None for all
        self.training = False  # whether a step follows: populations that tell it from judging look here
        self.own: dict[str, Tensor] = {}  # parameter of a population → its change, summed over samples
        self.moments: dict[str, Any] = {}  # population → statistics of the batch that running ones will move towards
        self.memo: dict[Signal, dict[Any, Tensor]] = {}  # signals in the order of other routes, or in another type

    def drop(self, signals: Iterable[Signal]) -> None:
        """Forget signals that nobody reads any more."""
        for signal in signals:
            population, kind = signal
            (self.activity if kind == "activity" else self.error if kind == "error" else self.kept).pop(
                population, None
            )
            if self.memo:
                self.memo.pop(signal, None)


Step = Callable[[Batch], None]


class Sweep(Scheduled):
    """The bound functions of a plan."""

    grouping: type[Groups] = Groups
    plainly = False  # whether norms are written out for a compiler

    def __init__(self, plan: Plan, parameters: Parameters, routers: dict[str, RouterState]) -> None:
        self.plan, self.parameters, self.routers = plan, parameters, routers
        self.forward: list[Step] = []
        self.first: list[Step] = []
        self.backward: dict[str, Step] = {}
        self.begin()
        self.skips: dict[str, int] = {}  # constant skip that lets a signal pass as it is → version of its storage
        self.bind()

    def bind(self) -> None:
        """Bind every phase to storage; again where synapses or units have gone or come back."""
        plan, silenced = self.plan, self.parameters.lesions.silenced
        full = self.parameters.full
        sources = [plan.circuit.populations[name].model for name in plan.circuit.inputs]
        self._driven = any(getattr(model, "driven", False) for model in sources)
        self.bounds = self._bounds()
        self.skips = {name: full[name]._version for name in plan.owners if self._passes(name)}
        self.start = [self._silent(name, "activity") for name in plan.circuit.inputs if name in silenced]
        self.steps: dict[Phase, Step] = {
            phase: self._route(phase) if isinstance(phase, Route) else self._forward(phase) for phase in plan.forward
        }
        self.forward = [*self.start, *self.steps.values()]
        self.forget()
        inputs = plan.circuit.inputs
        # What can be done on the inputs alone.
        routes = [step for phase, step in self.steps.items() if isinstance(phase, Route) and phase.source in inputs]
        self.first = [*self.start, *routes]
        self.backward = {
            phase.population: self._backward(phase) for phase in plan.backward if isinstance(phase, Backward)
        }
        output = plan.output.population
        self._output_gate = self.bounds[output].gate if output in self.bounds else None
        self._carries_target = any(edge.carries == "target" for edge in plan.circuit.projections.values())
        ends = ("error", "target") if self._carries_target else ("error",)
        self._lost = [self._silent(output, kind) for kind in ends if output in silenced]

    def _bounds(self) -> dict[str, Bound]:
        """What each population does between its input and its activity, and back."""
        learned = {key for change in self.plan.changes for key in change.own}
        found: dict[str, Bound] = {}
        for name, population in self.plan.circuit.populations.items():
            if not isinstance(population.model, Rate):
                continue
            own = {key: f"{name}.{key}" for key in population.parameters if key != "bias"}
            place = Place(
                name=name,
                extent=population.extent,
                replicas=self.parameters.replicas,
                learns=bool(learned & {*own.values()}),
                parameters={key: self.parameters.biases[entry] for key, entry in own.items()},
                statistics={key: self.parameters.statistics[f"{name}.{key}"] for key in population.statistics},
                device=self.parameters.device,
                dtype=self.parameters.any.dtype,
                plainly=self.plainly,
            )
            found[name] = bound(population.model, place, self._dropping(name, population))
        return found

    def _dropping(self, name: str, population: Population) -> Dropping | None:
        """The dropout of a population; none where noise stands in for data."""
        share = getattr(population.model, "dropout", 0.0)
        if not share or self._driven:
            return None
        return Dropping(name, population.extent, share, self.parameters.seeds, self.plan.orders[name])

    def track(self, batch: Batch) -> None:
        """Move running statistics towards those of a batch, at the end of a step. Noise in place of data has none to
        move towards."""
        if not batch.moments or self._driven:
            return
        for name in batch.moments:
            self.bounds[name].norm.track(batch)  # type: ignore[union-attr]

    def look(self) -> None:
        """Bind again where somebody wrote into a constant skip."""
        full = self.parameters.full
        if any(full[name]._version != version for name, version in self.skips.items()):
            self.bind()

    def _passes(self, projection: str) -> bool:
        """Whether a projection hands a signal on as it is: one-to-one, each weight 1 and never another."""
        edge, parameters = self.plan.circuit.projections[projection], self.parameters
        if type(edge.wiring) is not OneToOne or edge.plasticity.plastic or not isinstance(edge.weights, Own):
            return False
        ends = {self.plan.circuit.populations[name].extent for name in (edge.source, edge.target)}
        if len(ends) > 1:  # units in a row and units with places
            return False
        full = parameters.full[projection]
        whole = full.shape[1] == 1 and not full.is_inference() and projection not in parameters.masks
        return whole and isinstance(edge.weights.init, Constant) and bool((full == 1).all())

    # Order of samples ------------------------------------------------------------------------------------------------

    def rows(
        self, batch: Batch, population: str, kind: str, order: str | None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """A signal with its samples in the order of a route (None: as they came), in a type (None: as it is kept)."""
        rows: Tensor = getattr(batch, kind)[population]
        have = self.plan.orders[population]
        same = dtype is None or rows.dtype == dtype
        if have == order and same:
            return rows
        others = batch.memo.setdefault((population, kind), {})
        key = (order, None if same else dtype)
        if (found := others.get(key)) is None:
            if have == order:
                found = rows.to(dtype)
            else:  # narrowed first: fewer bytes to put in order
                found = reorder(self.rows(batch, population, kind, have, dtype), batch, have, order)
            others[key] = found
        return found

    # Forward ---------------------------------------------------------------------------------------------------------

    def _route(self, phase: Route) -> Step:
        state, source, name = self.routers[phase.router], phase.source, phase.router
        extent = self.plan.circuit.populations[source].extent

        def route(batch: Batch) -> None:
            if name in batch.groups:  # chosen for the samples of all processes
                return
            rows = flat(self.rows(batch, source, "activity", None), extent)
            rows = widened(rows, state.tensors["mean"].dtype)
            seen = state.see(rows if rows.dim() == 3 else rows[None])
            batch.seen[name] = seen
            groups = batch.groups[name] = self.grouping(seen["scores"].argmax(-1), state.areas)
            if batch.together is not None:
                batch.together.count(groups)

        return route

    def _forward(self, phase: Forward) -> Step:
        name, population = phase.population, self.plan.circuit.populations[phase.population]
        model = population.model
        assert isinstance(model, Rate)
        bias, extent, route = self.parameters.internal_bias(name), population.extent, self.plan.routes.get(name)
        bias_grouped = bias is not None and population.areas > 1
        # What a skip brings is the source's own tensor: it comes last, so that sums start from a tensor of their own.
        ordered = sorted(phase.projections, key=self.skips.__contains__)
        own = bool(ordered) and ordered[0] not in self.skips
        weighted = own and ordered[0] in self.plan.owners  # pooling and the like add no bias as they go
        first = bias is not None and weighted and (self.parameters.areas[ordered[0]] > 1) == bias_grouped
        inputs = [
            self._applied(projection, bias=bias if first and index == 0 else None)
            for index, projection in enumerate(ordered)
        ]
        late_bias = bias if bias is not None and not first else None
        borrowed = bool(ordered) and not own and len(ordered) == 1 and late_bias is None
        settle = self._settling(phase, model) if phase.lateral else None
        value, function = self.bounds[name].value, ACTIVATIONS[model.activation]
        # What small networks notice: without norm and gain, no more than f on the way.
        straight = function.value if is_plain(model) and not borrowed else None
        keeps_input, gated = function.keeps_input, gate_reads(self.plan.circuit, name)
        stored = self.parameters.precision.stored(name) or self.parameters.any.dtype

        def forward(batch: Batch) -> None:
            a = inputs[0](batch) if inputs else late_bias.new_zeros((*batch.lead, *extent), dtype=stored)  # type: ignore[union-attr]
            for more in inputs[1:]:
                a = a.add_(more(batch)) if own else a + more(batch)
            if late_bias is not None:
                groups = batch.groups[route] if bias_grouped and route is not None else None
                late = widened(late_bias, stored)
                a = a + (late if groups is None else late[groups.group_of_row].view(*batch.lead, *late.shape[1:]))
            if settle is not None:
                settle(batch, a)
            elif straight is None:
                batch.activity[name], kept = value(a, borrowed, batch)
                if gated:
                    batch.kept[name] = kept
            else:
                batch.activity[name] = h = straight(a)
                if gated:
                    batch.kept[name] = a if keeps_input else h

        return self._then_silent(forward, name, "activity")

    def _settling(self, phase: Forward, model: Rate) -> Callable[[Batch, Tensor], None]:
        """The function that lets the activity of a population settle, from its input without lateral projections."""
        name, steps, rate = phase.population, model.settle_steps, model.settle_rate
        value = self.bounds[name].value
        lateral = [self._applied(projection) for projection in phase.lateral]
        silent = self._silent(name, "activity") if name in self.parameters.lesions.silenced else None

        def received(batch: Batch, a: Tensor, h: Tensor) -> Tensor:
            batch.activity[name] = h
            if silent is not None:
                silent(batch)
            return sum((more(batch) for more in lateral), start=a)

        def settle(batch: Batch, a: Tensor) -> None:
            h = value(a, True, batch)[0]
            for _ in range(steps):
                h = torch.lerp(h, value(received(batch, a, h), False, batch)[0], rate)
            batch.kept[name] = value(received(batch, a, h), False, batch)[1]

        return settle

    def _then_silent(self, step: Step, population: str, kind: str) -> Step:
        """The step, and then no signal at units that are silenced."""
        if population not in self.parameters.lesions.silenced:
            return step
        silent = self._silent(population, kind)

        def both(batch: Batch) -> None:
            step(batch)
            silent(batch)

        return both

    def _silent(self, population: str, kind: str) -> Step:
        keep_RU = self.parameters.lesions.silenced[population]
        # Samples are sorted within a replica, so units are where they were whatever the order.
        keep_RU = shaped(keep_RU, self.plan.circuit.populations[population].extent)
        keep = keep_RU[0] if self.parameters.replicas == 1 else keep_RU[:, None]
        keep = widened(keep, self.parameters.precision.stored(population) or keep.dtype)

        def silent(batch: Batch) -> None:
            signals = getattr(batch, kind)
            signals[population] = signals[population] * keep

        return silent

    def _applied(
        self, projection: str, *, bias: Tensor | None = None, kind: str = "activity"
    ) -> Callable[[Batch], Tensor]:
        """The function that carries a signal along a projection, into the order of the population where it ends."""
        edge, parameters, plan = self.plan.circuit.projections[projection], self.parameters, self.plan
        source, here, there = edge.source, plan.orders[edge.source], plan.orders[edge.target]
        if edge.wiring.weightless:
            return self._weightless(projection, kind, here, there)
        kernel, weight = parameters.kernel(projection), parameters.internal(plan.owners[projection])
        scale, grouped = parameters.signs.used.get(projection), parameters.areas[projection] > 1
        scale = parameters.inner(projection, scale) if isinstance(scale, Tensor) else scale
        router = plan.routes.get(source if edge.pathway == "feedback" else edge.target) if grouped else None
        # The product happens in the order of the areas it uses: the target's for feedforward, the source's for
        # feedback.
        during = (here if edge.pathway == "feedback" else there) if grouped else here
        apply, affine, shared, errs = kernel.apply, kernel.affine, kind == "activity", kind == "error"
        if projection in self.skips:
            return self._passed(projection, kind, here, there)
        reverses, carries = during != there, kernel.carries
        kept = here == during and (carries is None or source not in parameters.precision.wide)

        def applied(batch: Batch) -> Tensor:
            rows = (
                (batch.activity if shared else batch.error if errs else batch.target)[source]
                if kept
                else self.rows(batch, source, kind, during, carries)
            )
            groups = batch.groups[router] if router is not None else None
            current = weight if scale is None else weight.sign().mul_(scale)
            out = apply(current, rows, groups) if bias is None else affine(bias, current, rows, groups)
            return reorder(out, batch, during, there) if reverses else out

        return applied

    def _weightless(self, projection: str, kind: str, here: str | None, there: str | None) -> Callable[[Batch], Tensor]:
        """The function that carries a signal along a projection without weights."""
        edge = self.plan.circuit.projections[projection]
        source, follows = edge.source, edge.wiring.follows
        kernel = self.parameters.kernel(projection if follows is None else follows)

        def carried(batch: Batch) -> Tensor:
            if follows is not None:  # winners stand in the order of the population that was pooled
                return kernel.pull_kept(self.rows(batch, source, kind, there), batch.winners[follows])
            rows = getattr(batch, kind)[source]
            if kernel.keeps:
                out, batch.winners[projection] = kernel.apply_keeping(rows)
            else:
                out = kernel.apply(None, rows, None)  # type: ignore[arg-type]
            return reorder(out, batch, here, there)

        return carried

    def _passed(self, projection: str, kind: str, here: str | None, there: str | None) -> Callable[[Batch], Tensor]:
        """The function that hands a signal on as it is: nobody may write into what it returns."""
        edge, stored = self.plan.circuit.projections[projection], self.parameters.precision.stored
        source, have, want = edge.source, stored(edge.source), stored(edge.target)
        if here == there and have == want:
            return lambda batch: getattr(batch, kind)[source]
        dtype = None
        return lambda batch: self.rows(batch, source, kind, there, dtype)

    # Feedback --------------------------------------------------------------------------------------------------------

    def _backward(self, phase: Backward) -> Step:
        name, model = phase.population, self.plan.circuit.populations[phase.population].model
        edges = self.plan.circuit.projections
        ordered = sorted(phase.projections, key=self.skips.__contains__)
        joined = {each.second: contraction.error(self, each) for each in phase.contracted}
        sources = [joined.get(name) or self._applied(name, kind=edges[name].carries) for name in ordered]
        own = ordered[0] not in self.skips
        gate: Any = None
        gated, normed = gate_reads(self.plan.circuit, name), isinstance(model, Rate) and not is_plain(model)
        if isinstance(model, Rate):
            gate = self.bounds[name].gate if normed else ACTIVATIONS[model.activation].gate

        def backward(batch: Batch) -> None:
            e = sources[0](batch)
            for more in sources[1:]:
                e = e.add_(more(batch)) if own else e + more(batch)
            if gate is None:
                batch.error[name] = e
            elif normed:
                batch.error[name] = gate(e, batch.kept[name] if gated else None, not own, batch)
            else:
                batch.error[name] = gate(e, batch.kept[name] if gated else None)

        return self._then_silent(backward, name, "error")

    def lose(self, batch: Batch, target: Tensor, loss: str) -> Tensor:
        """The output's δ; returns the mean loss of each replica, [R]."""
        output = self.plan.output.population
        extent = self.plan.circuit.populations[output].extent
        rows, order = flat(batch.activity[output], extent), self.plan.orders[output]
        if order is not None:
            target = (
                reorder(target, batch, None, order)
                if loss != "cross_entropy"
                else reorder(target[..., None], batch, None, order)[..., 0]
            )
        try:
            mean, delta = LOSSES[loss](rows, target)
        except (IndexError, RuntimeError):  # asked only now: a look at the labels of every step would cost more
            refuse_labels(target, loss, rows.shape[-1])
            raise
        delta = shaped(delta, extent)
        if self._output_gate is not None:
            delta = self._output_gate(delta, batch.kept.get(output), True, batch)
        batch.error[output] = delta
        if self._carries_target:
            batch.target[output] = as_values(target, rows) if loss == "cross_entropy" else shaped(target, extent)
        for silent in self._lost:
            silent(batch)
        mean = mean.reshape(batch.replicas)
        return mean if batch.together is None else batch.together.mean(mean, batch)


def as_values(labels: Tensor, like: Tensor) -> Tensor:
    """Labels [.., N] as one-hot rows of the shape and type of `like`."""
    return torch.zeros_like(like).scatter_(-1, labels.unsqueeze(-1), 1.0)


def reorder(rows: Tensor, batch: Batch, have: str | None, want: str | None) -> Tensor:
    """Rows [.., N, U] taken from the order of one route into that of another."""
    if have == want:
        return rows
    last = len(batch.lead) - 1
    merged = rows.flatten(0, last)
    if have is None:
        index = batch.groups[want].order  # type: ignore[index]
    elif want is None:
        index = batch.groups[have].inverse
    else:
        index = batch.groups[have].inverse[batch.groups[want].order]
    if merged.dim() > 2:  # in memory the channels stay last
        return merged.movedim(1, -1).index_select(0, index).movedim(-1, 1).unflatten(0, batch.lead)
    return merged.index_select(0, index).view(rows.shape)


def natural(sweep: Sweep, batch: Batch, population: str, kind: str) -> Any:
    """A signal as users see it: [R, N, units] in the order in which samples came and in the type of the weights; None
    where it does not exist."""
    if population not in (batch.activity if kind == "activity" else batch.error):
        return None
    rows = flat(sweep.rows(batch, population, kind, None), sweep.plan.circuit.populations[population].extent)
    rows = widened(rows, sweep.parameters.any.dtype)
    return rows if rows.dim() == 3 else rows[None]


def no_grad() -> torch.inference_mode:
    """Training needs no autograd graph anywhere."""
    return torch.inference_mode()
