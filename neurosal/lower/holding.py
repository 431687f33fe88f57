"""How many bytes a training step holds, phase by phase, told from its schedule before anything is allocated.

What products and sums of areas need inside a phase for a moment is counted where it is as large as rows of a
population or as a weight. Letters: R replica, N sample, U unit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import prod

from neurosal.checks.memory import BYTES, estimate
from neurosal.graph import (
    AvgPool2d,
    Block,
    Circuit,
    Constant,
    Convolution,
    MaxPool2d,
    Normalisation,
    OneToOne,
    Own,
    Population,
    Projection,
    Rate,
    Reversed,
    RMSNorm,
    Router,
    Unpool,
)
from neurosal.lower.contraction import contracted, joined_at
from neurosal.lower.plan import Backward, Change, Contraction, Forward, Output, Plan, Route, plan
from neurosal.lower.schedule import Moment, Schedule, Signal, gate_reads, schedule
from neurosal.settings.optimizers import Optimizer

LARGE = 1 << 25  # bytes of all activities, from which memory is worth a pass over a signal
INDEX = 8  # bytes of the number of a place
IN_PLACE = ("linear", "relu", "tanh", "sigmoid")  # activations that overwrite their input and whose gate reads them


@dataclass(frozen=True, kw_only=True)
class Holding:
    """Bytes of signals around one phase.

    Args:
        held: after it, what it frees gone.
        peak: the most at any time within it.
    """

    moment: Moment
    held: int
    peak: int


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a training step needs.

    Args:
        fixed: part (weights, biases, ...) → bytes that are always there.
        phases: signals, phase by phase.
    """

    fixed: dict[str, int]
    phases: tuple[Holding, ...]

    @property
    def signals(self) -> int:
        """The most bytes of signals at any time."""
        return max((each.peak for each in self.phases), default=0)

    @property
    def peak(self) -> int:
        """The most bytes at any time."""
        return sum(self.fixed.values()) + self.signals

    def __str__(self) -> str:
        always = ", ".join(f"{part} {size / 1e6:.3g} MB" for part, size in self.fixed.items() if size)
        lines = [f"always    {always}", "held, peak within (MB)"]
        lines += [f"{each.held / 1e6:9.3f} {each.peak / 1e6:9.3f}  {each.moment}" for each in self.phases]
        return "\n".join([*lines, f"peak      {self.peak / 1e6:.3f} MB, signals {self.signals / 1e6:.3f} MB of it"])


def memory(
    circuit: Circuit,
    *,
    replicas: int = 1,
    samples: int = 32,
    dtype: str = "float32",
    recompute: int = 1,
    optimizer: Optimizer | None = None,
) -> Memory:
    """What a training step of a circuit needs, before anything is allocated.

    Args:
        replicas, samples: R and N.
        recompute: segments, as in `neurosal.compile`.
        optimizer: whose state is counted; None for none.

    Returns:
        The parts that are always there (see `neurosal.checks.estimate`), and signals phase by phase.

    Example:
        >>> from neurosal import circuits, rules
        >>> deep = rules.kp(circuits.residual_mlp(16, 64, 26, blocks=32))
        >>> [round(memory(deep, samples=128, recompute=n).signals / 1e6, 1) for n in (1, 6)]
        [2.3, 0.6]
    """
    needs = estimate(circuit, replicas, samples, dtype, optimizer)
    fixed = {part: size for part, size in needs.items() if part not in ("changes", "signals")}
    made, itemsize = plan(circuit), BYTES[dtype]
    made = contracted(made, joined_at(made, samples))
    light = is_large(circuit, replicas, samples, itemsize)
    steps = schedule(made, segments=recompute, light=light)
    return Memory(fixed=fixed, phases=holding(made, steps, replicas=replicas, samples=samples, itemsize=itemsize))


def is_large(circuit: Circuit, replicas: int, samples: int, itemsize: int) -> bool:
    """Whether signals are so large that it pays to compute again what costs no product."""
    units = sum(population.units for population in circuit.populations.values())
    return units * replicas * samples * itemsize > LARGE


def holding(
    made: Plan, steps: Schedule, *, replicas: int = 1, samples: int = 1, itemsize: int = 4
) -> tuple[Holding, ...]:
    """Bytes of signals before, in and after each phase, for plain SGD and weights of one type."""
    ledger = _Ledger(made, replicas, samples, itemsize)
    return tuple(ledger.enter(moment) for moment in steps.moments)


def unit_skip(edge: Projection) -> bool:
    """Whether a projection hands a signal on as it is."""
    constant = (
        isinstance(edge.weights, Own) and isinstance(edge.weights.init, Constant) and edge.weights.init.value == 1
    )
    return type(edge.wiring) is OneToOne and constant and not edge.plasticity.plastic


def scales_rows(population: Population, norm: Normalisation) -> bool:
    """Whether a norm does no more than scale rows of units, which takes no tensor of its own."""
    return isinstance(norm, RMSNorm) and not norm.affine and not population.spatial


@dataclass
class _Ledger:
    plan: Plan
    replicas: int
    samples: int
    itemsize: int
    sizes: dict[int, int] = field(default_factory=dict)  # storage → bytes
    users: Counter[int] = field(default_factory=Counter)
    places: dict[Signal, list[int]] = field(default_factory=dict)  # signal → storages that it holds
    held: int = 0
    peak: int = 0
    made: int = 0

    def enter(self, moment: Moment) -> Holding:
        self.peak = self.held
        match moment.phase:
            case Route():
                self.route(moment.phase)
            case Forward():
                self.forward(moment.phase)
            case Backward():
                self.backward(moment.phase)
            case Output():
                self.place((moment.phase.population, "error"), [self.make(self.rows(moment.phase.population))])
            case Change():
                self.change(moment.phase)
        for signal in moment.frees:
            self.drop(signal)
        return Holding(moment=moment, held=self.held, peak=self.peak)

    # Storage ---------------------------------------------------------------------------------------------------------

    def rows(self, population: str) -> int:
        return self.replicas * self.samples * self.plan.circuit.populations[population].units * self.itemsize

    def make(self, size: int) -> int:
        self.made += 1
        self.sizes[self.made] = size
        self.held += size
        self.peak = max(self.peak, self.held)
        return self.made

    def passing(self, size: int) -> None:
        """Bytes that are there for a moment only."""
        self.peak = max(self.peak, self.held + size)

    def place(self, signal: Signal, storages: list[int]) -> None:
        self.drop(signal)
        self.places[signal] = storages
        self.users.update(storages)

    def drop(self, signal: Signal) -> None:
        for storage in self.places.pop(signal, []):
            self.users[storage] -= 1
            self.sweep(storage)

    def sweep(self, storage: int) -> None:
        """Let go of a storage that no signal holds."""
        if not self.users[storage] and storage in self.sizes:
            self.held -= self.sizes.pop(storage)

    # Phases ----------------------------------------------------------------------------------------------------------

    def route(self, phase: Route) -> None:
        wiring = self.plan.circuit.projections[phase.router].wiring
        assert isinstance(wiring, Router)
        areas = max(
            (entry.areas for name, entry in self.plan.circuit.populations.items()
             if self.plan.routes.get(name) == phase.router), default=1,
        )  # fmt: skip
        each = self.replicas * self.samples
        centred = self.rows(phase.source) if wiring.centre_rate else 0
        self.place(
            (phase.router, "route"), [self.make(centred + each * (self.itemsize * (wiring.rank + areas + 1) + 3 * 8))]
        )

    def forward(self, phase: Forward) -> None:
        name, model = phase.population, self.plan.circuit.populations[phase.population].model
        assert isinstance(model, Rate)
        rows, edges = self.rows(name), self.plan.circuit.projections
        fresh = [each for each in phase.projections if not unit_skip(edges[each])]
        skips = [edges[each].source for each in phase.projections if unit_skip(edges[each])]
        for source in (edges[each].source for each in phase.projections):
            self.reorder(source, name)
        borrowed = not fresh and len(skips) == 1 and not model.bias
        if borrowed:
            found = self.places.get((skips[0], "activity"), [])
            a = found[0] if found else self.make(0)
        else:
            a = self.make(rows)
            if self.plan.circuit.populations[name].areas > 1:
                self.passing(2 * rows)  # rows laid out by area, and what comes of them
            elif len(fresh) > 1 or (not fresh and model.bias):
                self.passing(rows)
            self.passing(max((self.beside(edges[each]) for each in fresh), default=0))
        for each in fresh:
            if isinstance(edges[each].wiring, MaxPool2d):  # its winners stay to the end of the step
                self.make(rows // self.itemsize * INDEX)
        h, kept = self.transferred(self.plan.circuit.populations[name], model, a, rows, borrowed)
        activity = h
        if model.dropout:
            kept, activity = [*kept, self.make(rows)], self.make(rows)
        self.place((name, "activity"), [activity])
        if gate_reads(self.plan.circuit, name):
            self.place((name, "kept"), kept)
        self.sweep(a)
        self.sweep(h)

    def transferred(
        self, population: Population, model: Rate, a: int, rows: int, borrowed: bool
    ) -> tuple[int, list[int]]:
        """Storages of the activity, before dropout, and of what its gate needs."""
        in_place, each = model.activation in IN_PLACE, self.replicas * self.samples * self.itemsize
        kept = [] if model.norm is None else [a, self.make(self.statistics(population, model.norm))]
        if isinstance(model, Block):  # what the module itself keeps, only it knows
            inside, given = self.make(rows), self.make(rows)
            h = given if model.activation == "linear" and model.gain == 1 else self.make(rows)
            return h, [*kept, inside, given, h]
        if model.norm is not None and not scales_rows(population, model.norm):
            n = self.make(rows)
            return (n if in_place and model.gain == 1 else self.make(rows)), [*kept, n]
        if model.norm is None and model.gain == 1 and in_place:
            h = a if not borrowed or model.activation == "linear" else self.make(rows)
            return h, [h]
        h = self.make(rows)
        if model.norm is not None and not in_place:
            self.passing(rows)
        return h, [a] if model.norm is None else [*kept, self.make(each * (model.gain != 1))]

    def statistics(self, population: Population, norm: Normalisation) -> int:
        """Bytes of what a norm keeps of its input beside it."""
        each = self.replicas * self.samples * self.itemsize
        if norm.across:
            return 2 * self.replicas * population.channels * self.itemsize
        return each if isinstance(norm, RMSNorm) else 2 * each * getattr(norm, "groups", 1)

    def reorder(self, source: str, target: str) -> None:
        """A copy of the source's rows in the order of the target, where they differ; it goes with the signal."""
        orders = self.plan.orders
        if orders[source] == orders[target]:
            return
        signal = (source, f"activity in the order of {orders[target]}")
        if signal not in self.places:
            self.place(signal, [self.make(self.rows(source))])

    def backward(self, phase: Backward) -> None:
        name, population = phase.population, self.plan.circuit.populations[phase.population]
        model, edges, rows = population.model, self.plan.circuit.projections, self.rows(phase.population)
        skips = [edges[each].source for each in phase.projections if unit_skip(edges[each])]
        gated = gate_reads(self.plan.circuit, name)
        own = len(skips) < len(phase.projections)
        if not own and len(skips) == 1:
            e = self.places[skips[0], "error"][0]
        else:
            e = self.make(rows)
            areas = max(self.plan.circuit.populations[edges[each].source].areas for each in phase.projections)
            if areas > 1:
                self.passing(2 * rows)
            elif len(phase.projections) - len(skips) > 1:
                self.passing(rows)
            self.passing(max(self.beside(edges[each]) for each in phase.projections))
        self.passing(max(map(self.between, phase.contracted), default=0))
        norm = model.norm if isinstance(model, Rate) else None
        scaled = norm is not None and scales_rows(population, norm)
        delta = e
        if isinstance(model, Rate) and (gated or model.gain != 1) and not (scaled and own):
            delta = self.make(rows)
        if norm is not None and (scaled or not norm.across or not own or not population.spatial):
            self.passing(rows)
        self.place((name, "error"), [delta])
        self.sweep(e)

    def beside(self, edge: Projection) -> int:
        """Bytes for a moment beside what comes out of a projection: images with a border, that of one replica before it
        takes its place among others, and what pooling backwards asks for."""
        wiring, backwards = edge.wiring, isinstance(edge.wiring, Reversed)
        if isinstance(wiring, Reversed):
            wiring = wiring.wiring
        if isinstance(wiring, Unpool) or (backwards and isinstance(wiring, AvgPool2d)):
            return self.rows(edge.target)  # torch asks for images like those before pooling, and reads their shape only
        if not isinstance(wiring, Convolution):
            return 0
        target = self.rows(edge.target) // self.replicas if self.replicas > 1 else 0
        if wiring.padding_mode == "zeros" and all(before == after for before, after in wiring.edges):
            return target
        channels, *places = self.plan.circuit.populations[edge.target if backwards else edge.source].extent
        padded = prod(size + sum(more) for size, more in zip(places, wiring.edges, strict=False))
        return target + self.samples * channels * padded * self.itemsize

    def between(self, joined: Contraction) -> int:
        """Bytes of a weight from the source of a relay to its target."""
        target, source = (self.plan.circuit.populations[name].extent for name in (joined.target, joined.source))
        shape = self.plan.circuit.projections[joined.second].wiring.weight_shape(target, source)
        return self.replicas * prod(shape) * self.itemsize

    def change(self, phase: Change) -> None:
        plan, populations = self.plan, self.plan.circuit.populations
        if len(phase.projections) > 1 and phase.terms:  # a product that weights share
            edge = plan.circuit.projections[phase.projections[0]]
            areas = plan.circuit.areas_of(phase.projections[0])
            several = 1 if areas > 1 or isinstance(edge.wiring, Convolution) else self.replicas
            size = prod(edge.wiring.weight_shape(populations[edge.target].extent, populations[edge.source].extent))
            self.passing(several * size * self.itemsize)
        self.passing(max(map(self.between, phase.contracted), default=0))
        for name in phase.biases:
            if populations[name].areas > 1:
                self.passing(self.rows(name))
