"""The whole program of a projection's synapses: short-term plasticity, transmission, plasticity, bounds of its sign."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.errors import CircuitError, Problem, near
from neurosal.graph import Program, Projection
from neurosal.graph.dynamics import names_in
from neurosal.graph.programs import ALWAYS, SLOTS, bounded, together, unknown_names


def program_of(name: str, edge: Projection) -> Program:
    """What happens at the synapses of a projection, in the order in which it happens.

    A sign (Dale) holds after every statement that changes w: nothing ever reads a weight of the other sign.

    Raises:
        CircuitError: for a plasticity that is not for synapses in continuous time, or whose program cannot be run.
    """
    place = f"projections.{name}.plasticity"
    learning = edge.plasticity.program()
    if learning is None:
        raise CircuitError(
            Problem(
                place=place,
                expected="a plasticity for synapses in continuous time",
                found=edge.plasticity.kind,
                remedy="Take fixed, or one that says a program.",
            )
        )
    if edge.sign is not None:
        learning = bounded(learning, "w = maximum(w, 0)" if edge.sign == "excitatory" else "w = minimum(w, 0)")
    try:
        program = learning if edge.short_term is None else together(learning, edge.short_term.program())
    except ValueError as error:
        raise CircuitError(Problem(place=place, expected="what can act beside its short-term plasticity",
                                   found=str(error))) from None  # fmt: skip
    known = (*program.variables, *program.constants, *ALWAYS)
    problems = [
        Problem(place=place, expected="names of the program", found=repr(unknown), remedy=near(unknown, known))
        for unknown in sorted(unknown_names(program))
    ]
    if problems:
        raise CircuitError(problems)
    return program


def missing_signals(
    name: str, edge: Projection, program: Program, pre: Collection[str], post: Collection[str]
) -> list[Problem]:
    """What a program reads of the units that it joins and they do not have.

    Args:
        pre, post: names of their state variables.
    """
    texts = [text for slot in SLOTS for text in getattr(program, slot)] + [program.transmits]
    problems = []
    for read in sorted(frozenset().union(*map(names_in, texts))):
        end, _, variable = read.partition(".")
        there, population = (pre, edge.source) if end == "pre" else (post, edge.target)
        if variable and variable not in there:
            problems.append(
                Problem(
                    place=f"projections.{name}.plasticity",
                    expected=f"{read}, a state variable of {population!r}",
                    found="none of that name",
                    remedy=f"{near(variable, there)} A modulation brings a signal of its own to its target.".strip(),
                )
            )
    return problems
