"""What stands in Brian2 for a circuit, as text: groups, sources and synapses. Objects and scripts are made from it.

Populations of the same equations and constants may share a group, and projections between them that do the same share
their synapses: every object costs time in every step, most of all in short ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from neurosal.graph import Circuit, Constant, Dynamics, Initialiser, Own, Projection
from neurosal.graph.dynamics import Timed, names_in
from neurosal.lower.brian2.linear import inputs_of, solvable, steps_of
from neurosal.lower.brian2.naming import PLAIN, TAKEN, Names, identifier, unit
from neurosal.lower.brian2.texts import in_group, in_synapse
from neurosal.lower.spiking import Assembled, assemble, program_of

Namespace = dict[str, tuple[float, str]]  # name in Brian2 → number, name in the circuit, which ends in its unit


@dataclass(frozen=True)
class Group:
    """Populations that are one `NeuronGroup`.

    Attributes:
        name: of the object.
        populations: population → (first unit, unit after the last).
        names: name in the circuit → in Brian2.
        equations: lines.
        state: variables with equations, as the circuit names them.
        single: constants of single units; timed: those that change with time.
        constants: numbers.
        threshold, reset: statements.
        refractory: steps, None where there is nothing of the kind.
        method: "exact", "exponential_euler", "euler" or "rk4".
        steps: statements that make an exact step where Brian2's method cannot.
    """

    name: str
    populations: Mapping[str, tuple[int, int]]
    names: Names
    equations: tuple[str, ...]
    state: tuple[str, ...]
    single: tuple[str, ...]
    timed: Mapping[str, Timed]
    constants: Namespace
    threshold: str
    reset: tuple[str, ...]
    refractory: int | None
    method: str
    steps: tuple[str, ...] | None

    @property
    def size(self) -> int:
        """How many units it has."""
        return max(stop for _, stop in self.populations.values())


@dataclass(frozen=True)
class Joint:
    """Projections that are one `Synapses`.

    Attributes:
        name: of the object; number: its place in the order of the circuit.
        projections: in the order of the circuit.
        names: name of a variable in the circuit → in Brian2.
        equations: lines.
        variables: beside w.
        on_pre, on_post: statements.
        each_step: statements at the end of every step.
        at_intervals: statements at the end of every ``apart``-th step, from step 0 on.
        late: decays of variables that these use, up to the next step.
        summed: variable of the target that holds sums of weights for `at_intervals`, "" where none is read.
        decays: of variables; eventual: those of them that are worked out from event to event.
        drawn: variables whose first values are drawn.
        weight: the number that all weights are and stay, or None.
        delay: steps, or None where each synapse has its own.
    """

    name: str
    number: int
    projections: tuple[str, ...]
    ends: tuple[str, str]
    names: Names
    equations: tuple[str, ...]
    variables: tuple[str, ...]
    constants: Namespace
    on_pre: tuple[str, ...]
    on_post: tuple[str, ...]
    each_step: tuple[str, ...]
    at_intervals: tuple[str, ...]
    late: tuple[str, ...]
    apart: int
    summed: str
    weight: float | None
    weight_unit: str
    delay: int | None
    decays: Mapping[str, Any] = field(default_factory=dict)
    eventual: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    plastic: bool = False

    def constant(self, name: str) -> float:
        """A constant of the circuit."""
        return self.constants[self.names[name]][0]


@dataclass(frozen=True)
class Description:
    """A circuit in Brian2, as text.

    Attributes:
        groups: by name. sources: populations that are sources of spikes. joints: synapses, in order.
        group_of: population → name of its group.
    """

    circuit: Circuit
    dt_ms: float
    groups: Mapping[str, Group]
    sources: tuple[str, ...]
    joints: tuple[Joint, ...]
    group_of: Mapping[str, str]


def describe(circuit: Circuit, *, dt_ms: float, merge: bool = False) -> Description:
    """A circuit as Brian2 has it.

    Args:
        dt_ms: time step.
        merge: whether populations of the same equations share a group, and like projections between groups their
            synapses. Constants in which such populations differ are then constants of single units.

    Raises:
        CircuitError: for what Brian2 cannot do.
    """
    assembled = _by_unit(assemble(circuit)) if merge else assemble(circuit)
    groups: dict[str, Group] = {}
    group_of: dict[str, str] = {}
    for name, entry in assembled.items():
        if entry.dynamics is None:
            group_of[name] = name
            continue
        made = _group(circuit, name, entry, dt_ms)
        like = next((other for other in groups.values() if _same(made, other)), None) if merge else None
        if like is None:
            groups[made.name], group_of[name] = made, made.name
        else:
            span = (like.size, like.size + made.size)
            groups[like.name] = replace(like, populations={**like.populations, name: span})
            group_of[name] = like.name
    joints: list[Joint] = []
    for number, name in enumerate(circuit.projections):
        joint = _joint(circuit, name, number, assembled, groups, group_of, dt_ms)
        if joint.summed:
            group = groups[joint.ends[1]]
            groups[joint.ends[1]] = replace(group, equations=(*group.equations, f"{joint.summed} : 1"))
        place = next((k for k, other in enumerate(joints) if _together(joint, other)), None) if merge else None
        if place is None:
            joints.append(joint)
        else:
            joints[place] = replace(joints[place], projections=(*joints[place].projections, name))
    sources = tuple(name for name, entry in assembled.items() if entry.dynamics is None)
    return Description(circuit, dt_ms, groups, sources, tuple(joints), group_of)


def _by_unit(assembled: Mapping[str, Assembled]) -> dict[str, Assembled]:
    """The same, where populations that differ in numbers only say these for each unit, so that they can share a group.

    What an exact step's slopes depend on, such as time constants, stays a number: only numbers can be solved there.
    """
    kinds: dict[object, dict[str, Dynamics]] = {}
    for name, entry in assembled.items():
        if entry.dynamics is not None:
            kinds.setdefault(_kind(entry), {})[name] = entry.dynamics
    found = dict(assembled)
    for alike in kinds.values():
        for constant, value in next(iter(alike.values())).constants.items():
            if isinstance(value, Initialiser) or all(one.constants[constant] == value for one in alike.values()):
                continue
            made = {name: _single(one, constant) for name, one in alike.items()}
            if all(one.method != "exact" or _solvable(found[name], one, name) for name, one in made.items()):
                alike |= made
        found |= {name: replace(found[name], dynamics=one) for name, one in alike.items()}
    return found


def _single(dynamics: Dynamics, constant: str) -> Dynamics:
    """The same, with a number that each unit has for itself."""
    value = Constant(value=float(dynamics.constants[constant]))  # type: ignore[arg-type]
    return replace(dynamics, constants={**dynamics.constants, constant: value})


def _solvable(entry: Assembled, dynamics: Dynamics, population: str) -> bool:
    sums = tuple(entry.lands[name] for name in entry.hears)
    return solvable(dynamics, inputs_of(dynamics, sums), f"populations.{population}")


def _kind(entry: Assembled) -> object:
    """What populations that share a group have in common, numbers left out."""
    dynamics = entry.dynamics
    assert dynamics is not None
    constants = tuple((name, isinstance(value, Initialiser)) for name, value in dynamics.constants.items())
    sums = tuple(entry.lands[name] for name in entry.hears)
    return (tuple(dynamics.equations.items()), constants, dynamics.threshold, dynamics.reset, dynamics.refractory_ms,
            dynamics.held, dynamics.method, tuple(dynamics.timed.items()), sums)  # fmt: skip


def _same(first: Group, second: Group) -> bool:
    if any(isinstance(timed.values[0], tuple) for timed in first.timed.values()):
        return False  # values of single units are counted from the first unit of a group
    keys = ("equations", "single", "timed", "constants", "threshold", "reset", "refractory", "method", "steps")
    return all(getattr(first, key) == getattr(second, key) for key in keys)


def _together(first: Joint, second: Joint) -> bool:
    keys = ("ends", "equations", "constants", "on_pre", "weight", "delay")
    return not first.plastic and not second.plastic and all(getattr(first, k) == getattr(second, k) for k in keys)


# Populations ---------------------------------------------------------------------------------------------------------


def _group(circuit: Circuit, population: str, assembled: Assembled, dt_ms: float) -> Group:
    dynamics = assembled.dynamics
    assert dynamics is not None
    single = tuple(name for name, value in dynamics.constants.items() if isinstance(value, Initialiser))
    numbers = {name: float(value) for name, value in dynamics.constants.items() if name not in single}  # type: ignore[arg-type]
    sums = tuple(assembled.lands[name] for name in assembled.hears)
    names = Names({*TAKEN, "w"}).add((*dynamics.equations, *single, *sums, *dynamics.timed, *numbers))
    lines = []
    for variable, text in dynamics.equations.items():
        flag = " (unless refractory)" if variable in dynamics.held else ""
        dimension, slope = unit(variable).dimension, in_group(text, names.given)
        slope = slope if slope != "0.0" else f"0*{dimension}/second"
        lines.append(f"d{names[variable]}/dt = {slope} : {dimension}{flag}")
    lines += [f"{names[name]} : {unit(name).dimension} (constant)" for name in single]
    lines += [f"{names[name]} : {unit(name).dimension}" for name in sums]
    for name, timed in dynamics.timed.items():
        index = "t, i" if timed.values and isinstance(timed.values[0], tuple) else "t"
        lines.append(f"{names[name]} = {names[name]}_values({index}) : {unit(name).dimension} (constant over dt)")
    refractory = round(dynamics.refractory_ms / dt_ms)
    return Group(
        name=identifier(population),
        populations={population: (0, prod(circuit.populations[population].extent))},
        names=names,
        equations=tuple(lines),
        state=tuple(dynamics.equations),
        single=single,
        timed=dynamics.timed,
        constants={names[name]: (value, name) for name, value in numbers.items()},
        threshold=in_group(dynamics.threshold, names.given) if dynamics.threshold else "",
        reset=tuple(in_group(text, names.given) for text in dynamics.reset),
        refractory=refractory if dynamics.threshold and (refractory or dynamics.held) else None,
        method=dynamics.method,
        steps=steps_of(dynamics, inputs_of(dynamics, sums), names.given, dt_ms, f"populations.{population}")
        if dynamics.method == "exact"
        else None,
    )


# Projections ---------------------------------------------------------------------------------------------------------


def _joint(circuit: Circuit, name: str, number: int, assembled: Mapping[str, Assembled], groups: Mapping[str, Group],
           group_of: Mapping[str, str], dt_ms: float) -> Joint:  # fmt: skip
    edge, program = circuit.projections[name], program_of(name, circuit.projections[name])
    ends = (group_of[edge.source], group_of[edge.target])
    pre, post = ((groups[end].names.given if end in groups else {}) for end in ends)
    entry = assembled[edge.target]
    weight = None if program.plastic else _constant(edge)
    # A synapse may call nothing as a unit that it joins calls something.
    names = Names({*TAKEN, *pre.values(), *post.values()} - {"w"}).add(("w", *program.variables, *program.constants))

    used = frozenset().union(*map(names_in, (*program.each_step, *program.at_intervals, "0")))
    summed = f"sum_{identifier(name)}_in" if "sum_in" in used else ""
    own_names = {**names.given, "sum_in": f"{summed}_post", "count_in": "N_incoming"}

    def said(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(in_synapse(text, own_names, pre, post, program.variables) for text in texts)

    lines = [] if weight is not None else ["w : 1"]
    steady = [variable for variable in program.decays if variable in used]
    late = []
    for variable in program.variables:
        if variable not in program.decays or variable in steady:
            lines.append(f"{names[variable]} : 1")
    for variable, decay in program.decays.items():
        rest = names[decay.rest] if isinstance(decay.rest, str) else f"{float(decay.rest)!r}"
        own, tau = names[variable], names[decay.tau]
        away = own if decay.rest == 0 else f"({rest} - {own})"
        if variable in steady:  # its value of this step is used first, then it is taken to the next
            sign = f"{own} * " if decay.rest == 0 else f"{rest} + ({own} - {rest}) * "
            late.append(f"{own} = {sign}exp(-dt/{tau})")
        else:
            lines.append(f"d{own}/dt = {'-' if decay.rest == 0 else ''}{away}/{tau} : 1 (event-driven)")
    lands = entry.lands[name]
    on_pre: tuple[str, ...]
    if name in entry.hears:
        heard = in_synapse(f"w * pre.{entry.hears[name]}", names.given, pre, post)
        heard = heard if unit(lands) is PLAIN else f"({heard})*{unit(lands).quantity}"
        lines.append(f"{post[lands]}_post = {heard} : {unit(lands).dimension} (summed)")
        on_pre = ()
    else:
        sent = in_synapse(program.transmits, names.given, pre, post, program.variables)
        sent = sent if sent.isidentifier() else f"({sent})"
        sent = sent.strip("()") if unit(lands) is PLAIN and sent.strip("()").isidentifier() else sent
        sent = sent if unit(lands) is PLAIN else f"{sent}*{unit(lands).quantity}"
        on_pre = (*said(program.before), f"{post[lands]}_post += {sent}", *said(program.on_pre))
    silent = [end in groups and not groups[end].threshold for end in ends]  # they send no spikes
    delay = None if isinstance(edge.delay_ms, Initialiser) else round(edge.delay_ms / dt_ms)
    return Joint(
        name=identifier(name), number=number, projections=(name,), ends=ends, names=names, equations=tuple(lines),
        variables=tuple(program.variables),
        constants={names[key]: (float(value), key) for key, value in program.constants.items()},
        on_pre=() if silent[0] else on_pre, on_post=() if silent[1] else said(program.on_post),
        each_step=said(program.each_step),
        at_intervals=said(program.at_intervals), late=tuple(late), apart=program.steps_apart(dt_ms), summed=summed,
        weight=weight, weight_unit=unit(lands).quantity, delay=delay, decays=program.decays,
        eventual=tuple(variable for variable in program.decays if variable not in steady),
        drawn=tuple(variable for variable, value in program.variables.items() if isinstance(value, Initialiser)),
        plastic=program.plastic,
    )  # fmt: skip


def _constant(edge: Projection) -> float | None:
    """The number that all weights are, where they are one."""
    if not isinstance(edge.weights, Own) or not isinstance(edge.weights.init, Constant):
        return None
    value = float(edge.weights.init.value)
    if edge.sign is not None:
        value = max(value, 0.0) if edge.sign == "excitatory" else min(value, 0.0)
    return value
