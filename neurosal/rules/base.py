"""What rules share: which forward projections need a way back, how it is named, and how options are refused.

A rule is any function ``circuit -> circuit`` with keyword options; nothing here is needed to write one. ``@rule``
adds what users expect of every rule: an option that does not exist is refused with near names, and so is a circuit
whose projections end nowhere.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from math import isfinite
from typing import Any, ParamSpec

from neurosal.errors import CircuitError, Problem, near
from neurosal.graph import (
    Circuit,
    Constant,
    Initialiser,
    OneToOne,
    Own,
    Plasticity,
    Projection,
    Relay,
    SameRoute,
    SignOf,
    TimedReadout,
    Transpose,
    Weights,
    XavierUniform,
)
from neurosal.plasticity import Fixed, KolenPollack
from neurosal.rules.space import thinned

P = ParamSpec("P")
AddReturn = Callable[[Circuit, str], Circuit]  # adds the way back for the forward projection of that name
XAVIER = XavierUniform()
# Options that many rules have, described once: `rule` puts them under "Args:" where a docstring leaves them out.
SHARED_OPTIONS = {
    "density": "share of feedback synapses that there are, each drawn by itself; of a convolution, weights of its "
    "kernel. One-to-one wiring keeps all.",
    "space": 'how feedback reaches channels with places: "units" by a synapse for every unit, "broadcast" by one for '
    'every channel, the same at all its places, "transposed" by a transposed convolution (`rules.direct`).',
    "kernel": "rows and columns of that convolution.",
    "to_input": "inputs receive an error too.",
    "keep_feedback": "accept a circuit with feedback, and add a way back only between populations that have none.",
    "only": "names of the forward projections to serve; None for all.",
}


def rule(function: Callable[P, Circuit]) -> Callable[P, Circuit]:
    """Marks a rule: it takes a circuit that hangs together, and refuses unknown options with near names."""
    known = [name for name, entry in inspect.signature(function).parameters.items() if entry.kind is entry.KEYWORD_ONLY]

    @functools.wraps(function)
    def guarded(*args: P.args, **options: P.kwargs) -> Circuit:
        place = f"rules.{function.__name__}"
        problems = [
            Problem(place=f"{place}.{name}", expected="a known option", found=repr(name), remedy=near(name, known))
            for name in options
            if name not in known
        ]
        if len(args) != 1 or not isinstance(args[0], Circuit):
            found = ", ".join(type(entry).__name__ for entry in args) or "nothing"
            problems.append(Problem(place=place, expected="one circuit, and options by keyword", found=found))
        else:
            problems += _loose_ends(args[0])
        refuse(problems)
        return function(*args, **options)

    guarded.__doc__ = _with_shared_options(function.__doc__ or "", known)
    return guarded


def _with_shared_options(text: str, options: Iterable[str]) -> str:
    """A docstring whose arguments list also the shared options that it leaves out."""
    start, heading, rest = text.partition("    Args:\n")
    own, gap, end = rest.partition("\n\n")
    lines = [f"        {name}: {SHARED_OPTIONS[name]}" for name in options if name in SHARED_OPTIONS]
    missing = [line for line in lines if f"{line.partition(':')[0]}:" not in own]
    return start + heading + "\n".join([own, *missing]) + gap + end if heading else text


def _loose_ends(circuit: Circuit) -> list[Problem]:
    """Projections that start or end at no population: a rule could only fail on them without saying where."""
    return [
        Problem(
            place=f"projections.{name}.{end}",
            expected="the name of a population",
            found=repr(getattr(entry, end)),
            remedy=near(getattr(entry, end), circuit.populations),
        )
        for name, entry in circuit.projections.items()
        for end in ("source", "target")
        if getattr(entry, end) not in circuit.populations
    ]


# Options ------------------------------------------------------------------------------------------


def refuse(problems: Iterable[Problem]) -> None:
    """Raises one `CircuitError` with all of these problems, if there are any."""
    if problems := list(problems):
        raise CircuitError(problems)


def one_of(place: str, value: object, known: Collection[str]) -> list[Problem]:
    """A problem unless `value` is one of the known words."""
    if isinstance(value, str) and value in known:
        return []
    hint = near(value, known)
    return [
        Problem(
            place=place,
            expected=f"one of {', '.join(known)}",
            found=repr(value),
            remedy=hint if hint.startswith("Did") else "",
        )
    ]


def flag(place: str, value: object) -> list[Problem]:
    """A problem unless `value` is True or False."""
    return [] if isinstance(value, bool) else [Problem(place=place, expected="true or false", found=repr(value))]


def whole(place: str, value: object) -> list[Problem]:
    """A problem unless `value` is a positive whole number."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return []
    return [Problem(place=place, expected="a positive whole number", found=repr(value))]


def positive(place: str, value: object) -> list[Problem]:
    """A problem unless `value` is a positive number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value) and value > 0:
        return []
    return [Problem(place=place, expected="a positive number", found=repr(value))]


def share(place: str, value: object) -> list[Problem]:
    """A problem unless `value` is above 0 and at most 1."""
    if not positive(place, value) and value <= 1:  # type: ignore[operator]
        return []
    return [Problem(place=place, expected="a number above 0, at most 1", found=repr(value))]


def initialiser(place: str, value: object) -> list[Problem]:
    """A problem unless `value` is an initialiser."""
    if isinstance(value, Initialiser):
        return []
    remedy = near(value, Initialiser.members) if isinstance(value, str) else ""
    return [
        Problem(place=place, expected="an initialiser, for example XavierUniform()", found=repr(value), remedy=remedy)
    ]


def names(place: str, value: object, known: Iterable[str]) -> list[Problem]:
    """Problems for entries of `value` that are not in `known`; None stands for all."""
    if value is None:
        return []
    if isinstance(value, str) or not isinstance(value, Collection):
        return [
            Problem(place=place, expected="a list of names", found=repr(value), remedy="Write [name] for a single one.")
        ]
    known = list(known)
    return [
        Problem(place=place, expected="a name that is in the circuit", found=repr(entry), remedy=near(entry, known))
        for entry in value
        if entry not in known
    ]


def no_feedback(place: str, circuit: Circuit, keep: bool = False) -> list[Problem]:
    """A problem when error has a way already and the option ``keep_feedback`` does not say to keep it."""
    present = circuit.select(pathway="feedback")
    if not present or keep:
        return []
    return [
        Problem(
            place=place,
            expected="a circuit without feedback projections",
            found=", ".join(present),
            remedy="Remove them, or pass keep_feedback=True to keep them and add what is missing.",
        )
    ]


# Chain: a way back along every forward projection -------------------------------------------------


def chain(
    circuit: Circuit,
    plastic: AddReturn,
    fixed: AddReturn,
    *,
    place: str,
    to_input: bool,
    keep_feedback: bool,
    only: Collection[str] | None,
    density: float = 1.0,
) -> Circuit:
    """The circuit with a way back for each forward projection that does not start at an input.

    Args:
        plastic: adds the way back of a plastic forward projection.
        fixed: adds that of one that never changes. A constant skip gets the same constant back, whatever the rule, and
            what has no weights (pooling, shortcuts) its own way back: there is nothing to align.
        place: the rule, for messages.
        to_input: projections that start at an input get one too, so that inputs receive an error.
        keep_feedback: the circuit may have feedback; pairs of populations joined by it already, directly or through
            relays, keep it as it is.
        only: names of the forward projections to serve; None for all.
        density: share of synapses of what is added, where its wiring can leave some out.
    """
    forward = circuit.select(pathway="feedforward")
    refuse(
        [
            *flag(f"{place}.to_input", to_input),
            *flag(f"{place}.keep_feedback", keep_feedback),
            *names(f"{place}.only", only, forward),
            *share(f"{place}.density", density),
            *no_feedback(place, circuit, keep_feedback is True),
        ]
    )
    served, before = _pairs_with_feedback(circuit), circuit
    for name, entry in forward.items():
        if (only is not None and name not in only) or (entry.source in circuit.inputs and not to_input):
            continue
        if (entry.target, entry.source) in served:
            continue
        if entry.wiring.weightless or _constant_skip(entry):
            circuit = add_feedback(circuit, name, entry.weights, Fixed())
        else:
            circuit = (plastic if entry.plasticity.plastic else fixed)(circuit, name)
    return _thinned(circuit, before, density)


def _thinned(circuit: Circuit, before: Circuit, density: float) -> Circuit:
    """The circuit in which feedback that was not there before has that share of its synapses: units joined at random
    where wiring is dense, weights of the kernel (the same at every place) where it is a convolution."""
    if density == 1:
        return circuit
    return circuit.with_projections(
        **{
            name: entry.replace(wiring=thinned(entry.wiring, density))
            for name, entry in circuit.select(pathway="feedback").items()
            if name not in before.projections
        }
    )


def _constant_skip(entry: Projection) -> bool:
    own_constant = isinstance(entry.weights, Own) and isinstance(entry.weights.init, Constant)
    return isinstance(entry.wiring, OneToOne) and own_constant and not entry.plasticity.plastic


def _pairs_with_feedback(circuit: Circuit) -> set[tuple[str, str]]:
    """Pairs (from, to) between which error travels already, directly or through relays."""
    feedback = [(entry.source, entry.target) for entry in circuit.select(pathway="feedback").values()]
    pairs = set(feedback)
    while True:
        more = {
            (start, end)
            for start, middle in pairs
            for again, end in feedback
            if middle == again and isinstance(circuit.populations[middle].model, Relay)
        } - pairs
        if not more:
            return pairs
        pairs |= more


def add_feedback(circuit: Circuit, forward: str, weights: Weights, plasticity: Plasticity) -> Circuit:
    """The circuit with a feedback projection ``{target}_to_{source}`` along the way back of the wiring."""
    entry = circuit.projections[forward]
    name = circuit.free_name(f"{entry.target}_to_{entry.source}")
    return circuit.with_projections(
        **{
            name: Projection(
                source=entry.target,
                target=entry.source,
                pathway="feedback",
                wiring=entry.wiring.returning(forward),
                weights=weights,
                plasticity=plasticity,
            )
        }
    )


def own(circuit: Circuit, forward: str, init: Initialiser) -> Own:
    """Own synapses for the way back: its areas start from one draw when those of the forward projection do."""
    weights = circuit.projections[forward].weights
    return Own(init=init, across_areas=weights.across_areas) if isinstance(weights, Own) else Own(init=init)


def add_fixed(init: Initialiser) -> AddReturn:
    """Way back with own synapses that never change."""
    return lambda circuit, forward: add_feedback(circuit, forward, own(circuit, forward, init), Fixed())


def add_tied() -> AddReturn:
    """Way back through the forward weights themselves: weight transport."""
    return lambda circuit, forward: add_feedback(circuit, forward, Transpose(of=forward), Fixed())


def add_signs(**options: Any) -> AddReturn:
    """Way back whose synapses have the signs of the forward weights; options as those of `SignOf`."""
    return lambda circuit, forward: add_feedback(circuit, forward, SignOf(of=forward, **options), Fixed())


def kolen_pollack_for(entry: Projection) -> KolenPollack:
    """Kolen-Pollack plasticity that changes as much as this forward projection does: same rate, same reduction."""
    return KolenPollack(rate=entry.plasticity.rate, reduction=getattr(entry.plasticity, "reduction", "batch"))


def learning_inputs(circuit: Circuit, population: str) -> list[str]:
    """Names of the plastic feedforward projections that end at this population."""
    return [
        name
        for name, entry in circuit.select(pathway="feedforward", target=population).items()
        if entry.plasticity.plastic
    ]


# Areas --------------------------------------------------------------------------------------------


def follow_route(circuit: Circuit, population: str, leader: str) -> Circuit:
    """The circuit in which `population` takes the areas chosen for `leader`; unchanged where `leader` has none."""
    router = circuit.router_of(leader)
    if circuit.populations[leader].areas == 1 or router is None:
        return circuit
    return circuit.with_projections(
        **{
            circuit.free_name(f"route_{population}"): Projection(
                source=circuit.projections[router].source,
                target=population,
                pathway="modulatory",
                wiring=SameRoute(of=router),
                plasticity=Fixed(),
            )
        }
    )


def passing_reset(circuit: Circuit) -> Circuit:
    """The circuit whose read-outs send error through resets, too."""
    told = {
        name: entry.replace(model=entry.model.replace(through_reset=True))
        for name, entry in circuit.populations.items()
        if isinstance(entry.model, TimedReadout)
    }
    return circuit.with_populations(**told)


def replace_fields(plasticity: Plasticity, **fields: Any) -> Plasticity:
    """The plasticity with those of the fields changed that it has."""
    return plasticity.replace(
        **{name: value for name, value in fields.items() if name in type(plasticity).model_fields}
    )
