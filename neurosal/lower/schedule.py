"""What is held in memory when: each phase of a training step with the signals that nobody reads after it, and what is
computed a second time instead of being held.

A signal is (population, kind): its "activity", what its gate needs ("kept": mostly the activity itself or its input),
or its "error". Inputs belong to the caller and are always there; so are the areas that routers chose.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from neurosal.graph import Block, Circuit, OneToOne, Rate
from neurosal.lower.plan import Backward, Change, Forward, Output, Phase, Plan, Route

Signal = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """One phase in its place.

    Args:
        frees: signals that nobody reads from then on.
        again: whether its signals were computed before, and dropped.
    """

    phase: Phase
    frees: tuple[Signal, ...] = ()
    again: bool = False

    def __str__(self) -> str:
        text = str(self.phase).replace("forward ", "again   ", 1) if self.again else str(self.phase)
        return text + (f"; frees {', '.join(f'{kind}({name})' for name, kind in self.frees)}" if self.frees else "")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A training step: up to the output, the loss, and back with the changes."""

    forward: tuple[Moment, ...]
    output: Moment
    backward: tuple[Moment, ...]

    @property
    def moments(self) -> tuple[Moment, ...]:
        """All of them, in order."""
        return (*self.forward, self.output, *self.backward)

    def __str__(self) -> str:
        return "\n".join(f"{index:3d}  {moment}" for index, moment in enumerate(self.moments))


def schedule(plan: Plan, *, segments: int = 1, light: bool = False) -> Schedule:
    """The schedule of a step with a loss, in which each change follows as soon as it may.

    Args:
        segments: into how many parts the forward sweep is cut. From the last one everything that is read later is
            held; of the others only what the next part hears from, and the rest is computed again, part by part, when
            the feedback reaches it, before any weight that it needs has changed. 1 computes nothing again.
        light: whether populations with a norm that hear from constant skips alone are computed again; that costs no
            product.

    Example:
        >>> from neurosal import circuits, rules
        >>> from neurosal.lower.plan import plan
        >>> print(schedule(plan(rules.fa(circuits.mlp(4, 3, 3, 3, 2))), segments=2))  # doctest: +NORMALIZE_WHITESPACE
          0  forward  hidden1 from input_to_hidden1; frees kept(hidden1)
          1  forward  hidden2 from hidden1_to_hidden2; frees activity(hidden1)
          2  forward  hidden3 from hidden2_to_hidden3
          3  forward  output from hidden3_to_output
          4  loss     output; frees activity(output)
          5  change   hidden3_to_output, output.bias by error(output) x activity(hidden3); frees activity(hidden3)
          6  error    hidden3 from output_to_hidden3; frees kept(hidden3), error(output)
          7  change   hidden2_to_hidden3, hidden3.bias by error(hidden3) x activity(hidden2); frees activity(hidden2)
          8  error    hidden2 from hidden3_to_hidden2; frees kept(hidden2), error(hidden3)
          9  again    hidden1 from input_to_hidden1
         10  change   hidden1_to_hidden2, hidden2.bias by error(hidden2) x activity(hidden1); frees activity(hidden1)
         11  error    hidden1 from hidden2_to_hidden1; frees kept(hidden1), error(hidden2)
         12  change   input_to_hidden1, hidden1.bias by error(hidden1) x activity(input); frees error(hidden1)
    """
    circuit = plan.circuit
    phases = [*plan.forward, plan.output]
    held = _held(plan, segments)
    if light:
        held -= {(name, kind) for name in _light(plan) for kind in ("activity", "kept")}
    down = _with_again(plan, held)
    moments = [Moment(phase=phase) for phase in phases] + down
    live: set[Signal] = set()
    for index in range(len(moments) - 1, -1, -1):
        phase = moments[index].phase
        reads, writes = reads_of(circuit, phase), writes_of(circuit, phase)
        frees = tuple(sorted((reads | writes) - live))
        moments[index] = Moment(phase=phase, frees=frees, again=moments[index].again)
        live = (live - writes) | reads
    up = len(plan.forward)
    return Schedule(forward=tuple(moments[:up]), output=moments[up], backward=tuple(moments[up + 1 :]))


# Who reads and writes what --------------------------------------------------------------------------------------------


def gate_reads(circuit: Circuit, population: str) -> bool:
    """Whether δ = Jᵀ e of a population depends on more than e."""
    model = circuit.populations[population].model
    if not isinstance(model, Rate):
        return False
    return model.activation != "linear" or model.norm is not None or model.dropout > 0 or isinstance(model, Block)


def reads_of(circuit: Circuit, phase: Phase) -> set[Signal]:
    """The signals that a phase reads."""
    inputs, edges = circuit.inputs, circuit.projections
    match phase:
        case Route():
            read = {(phase.source, "activity")}
        case Forward():
            read = {(edges[name].source, "activity") for name in phase.projections}
        case Output():
            read = {(phase.population, "activity")}
            if gate_reads(circuit, phase.population):
                read.add((phase.population, "kept"))
        case Backward():
            joined = {each.second: each.source for each in phase.contracted}
            sources = (joined.get(name, edges[name].source) for name in phase.projections if name not in phase.targets)
            read = {(source, "error") for source in sources}
            if gate_reads(circuit, phase.population):
                read.add((phase.population, "kept"))
        case Change():
            read = {end for term in phase.terms for end in (term.post, term.pre)}
            read |= {(name, "error") for name in phase.biases}
            if not phase.terms:  # an update of its own may look at everything at both ends
                ends = {end for name in phase.projections for end in (edges[name].source, edges[name].target)}
                read |= {(end, kind) for end in ends for kind in ("activity", "error")}
    return {signal for signal in read if signal[0] not in inputs or signal[1] != "activity"}


def writes_of(circuit: Circuit, phase: Phase) -> set[Signal]:
    """The signals that a phase makes."""
    match phase:
        case Forward():
            made = {(phase.population, "activity")}
            return made | {(phase.population, "kept")} if gate_reads(circuit, phase.population) else made
        case Output() | Backward():
            return {(phase.population, "error")}
    return set()


# What is held, and what is computed again -----------------------------------------------------------------------------


def _held(plan: Plan, segments: int) -> set[Signal]:
    """Signals that are held from the forward sweep on, if the way back reads them."""
    populations = [phase.population for phase in plan.forward if isinstance(phase, Forward)]
    made = {(name, kind) for name in populations for kind in ("activity", "kept")}
    if segments <= 1:
        return made
    phases = [phase for phase in plan.forward if isinstance(phase, Forward)]
    held: set[Signal] = set()
    cuts = _cuts(plan.circuit, phases, segments)
    for cut in cuts:
        for name in _across(plan.circuit, phases, cut):
            held |= {(name, "activity"), (name, "kept")}
    last = cuts[-1] if cuts else 0
    return held | {(name, kind) for name in populations[last:] for kind in ("activity", "kept")}


def _across(circuit: Circuit, phases: Sequence[Forward], cut: int) -> list[str]:
    """Populations computed before a cut that phases after it hear from."""
    later = {circuit.projections[name].source for phase in phases[cut:] for name in phase.projections}
    return [phase.population for phase in phases[:cut] if phase.population in later]


def _cuts(circuit: Circuit, phases: Sequence[Forward], segments: int) -> list[int]:
    """Where the forward sweep is cut: close to even parts, at places that few units cross."""
    units = [circuit.populations[phase.population].units for phase in phases]
    last_read: dict[str, int] = {}
    for index, phase in enumerate(phases):
        for name in phase.projections:
            last_read[circuit.projections[name].source] = index
    crossing, open_units, ends = [0.0], 0, [0] * (len(phases) + 1)
    for index, phase in enumerate(phases):
        reader = last_read.get(phase.population, index)
        if reader > index:
            open_units += units[index]
            ends[reader] += units[index]
        open_units -= ends[index]
        crossing.append(open_units)
    step, found = len(phases) / segments, [0]
    for part in range(1, segments):
        near = part * step
        places = [at for at in range(found[-1] + 1, len(phases)) if abs(at - near) <= step / 2]
        if places:
            found.append(min(places, key=lambda at: (crossing[at], abs(at - near), at)))
    return found[1:]


def _light(plan: Plan) -> set[str]:
    """Populations with a norm whose activity and gate are both read on the way back, and that hear from constant
    one-to-one projections only."""
    circuit = plan.circuit
    read = {signal for phase in plan.backward for signal in reads_of(circuit, phase)}
    found = set()
    for phase in plan.forward:
        if not isinstance(phase, Forward) or not phase.projections or phase.lateral:
            continue
        name, model = phase.population, circuit.populations[phase.population].model
        edges = [circuit.projections[name] for name in phase.projections]
        constant = all(type(edge.wiring) is OneToOne and not edge.plasticity.plastic for edge in edges)
        normed = isinstance(model, Rate) and model.norm is not None
        if constant and normed and {(name, "activity"), (name, "kept")} <= read:
            found.add(name)
    return found


def _with_again(plan: Plan, held: set[Signal]) -> list[Moment]:
    """The way back, with forward phases before what reads signals that are not held and before changes of what these
    phases need."""
    circuit = plan.circuit
    phases = {phase.population: phase for phase in plan.forward if isinstance(phase, Forward)}
    reads = [reads_of(circuit, phase) for phase in plan.backward]
    there = held | writes_of(circuit, plan.output)
    pending = _missing(circuit, phases, (signal for signals in reads for signal in signals), there)
    users: dict[str, set[str]] = {}  # storage → populations still to be computed again that read it
    for name in pending:
        for key in _storage_of(plan, phases[name]):
            users.setdefault(key, set()).add(name)
    moments: list[Moment] = []

    def bring(names: Iterable[str]) -> None:
        wanted = _missing(circuit, phases, ((name, "activity") for name in names), there)
        for phase in plan.forward:
            if isinstance(phase, Forward) and phase.population in wanted:
                moments.append(Moment(phase=phase, again=True))
                pending.discard(phase.population)
                there.update(writes_of(circuit, phase))

    for phase, signals in zip(plan.backward, reads, strict=True):
        missing = {name for name, kind in signals - there if kind != "error"}
        if isinstance(phase, Change):
            changed = {plan.owners[name] for name in phase.projections} | {*phase.cells}
            missing |= {name for key in changed for name in users.get(key, ()) if name in pending}
        if missing:
            bring(missing)
        moments.append(Moment(phase=phase))
    return moments


def _missing(circuit: Circuit, phases: dict[str, Forward], wanted: Iterable[Signal], there: set[Signal]) -> set[str]:
    """Populations to be computed again so that these signals are there."""
    found: set[str] = set()
    waiting = [name for name, kind in wanted if kind != "error" and (name, kind) not in there and name in phases]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [
            source
            for source, kind in reads_of(circuit, phases[name])
            if (source, kind) not in there and source in phases
        ]
    return found


def _storage_of(plan: Plan, phase: Forward) -> set[str]:
    """Names of the weights and of the population's parameters that a forward phase reads."""
    edges, name = (*phase.projections, *phase.lateral), phase.population
    own = {f"{name}.{key}" for key in plan.circuit.populations[name].parameters}
    return {plan.owners[name] for name in edges if name in plan.owners} | own
