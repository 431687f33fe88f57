"""Texts of equations and programs: they can be read, and every name in them exists."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from neurosal.errors import Problem, near
from neurosal.graph import Dynamics, Joined, Program
from neurosal.graph.dynamics import FUNCTIONS, names_in


def equation_problems(place: str, dynamics: Dynamics, joined: Mapping[str, Joined]) -> Iterator[Problem]:
    """Equations, threshold and reset that can be read, and read only what the population has.

    Args:
        joined: what synapses bring along.
    """
    of_synapses = chain.from_iterable((*each.equations, *each.constants) for each in joined.values())
    state, timed = set(dynamics.equations), set(dynamics.timed)
    known = {*state, *dynamics.constants, *timed, *dynamics.ports, *of_synapses}
    texts = {f"d({variable})/dt": text for variable, text in dynamics.equations.items()}
    texts |= {"threshold": dynamics.threshold} if dynamics.threshold else {}
    for label, text in texts.items():
        yield from _text(place, label, text, known, statement=False)
    for text in dynamics.reset:
        yield from _text(place, "reset", text, known, statement=True)
        yield from _changed(place, "reset", text, state)
    for field, names in (("held", dynamics.held), ("start", set(dynamics.start))):
        for name in sorted(names - state):
            yield Problem(place=f"{place} ({field})", expected="a state variable", found=repr(name),
                          remedy=near(name, state))  # fmt: skip
    if dynamics.reset and not dynamics.threshold:
        yield Problem(place=f"{place} (reset)", expected="a threshold, since there is a reset", found="none")


def program_problems(
    place: str,
    learning: Program,
    short: Program | None,
    source: frozenset[str] | None,
    target: frozenset[str] | None,
) -> Iterator[Problem]:
    """A synapse's program that can be read, and reads only what is there.

    Args:
        learning, short: of its plasticity, and of its short-term plasticity.
        source, target: state variables at its ends; None where these are not known.
    """
    for field, program in (("plasticity", learning), ("short_term", short)):
        if program is not None:
            yield from _program(f"{place}.{field}", program, source, target)
    if short is not None:
        for name in sorted(set(short.variables) & set(learning.variables)):
            yield Problem(place=f"{place}.short_term", expected="variables of its own",
                          found=f"{name}, which the plasticity has too")  # fmt: skip


def _program(
    place: str, program: Program, source: frozenset[str] | None, target: frozenset[str] | None
) -> Iterator[Problem]:
    own = {"w", *program.variables}
    ends = {"pre": source, "post": target}
    known = {*own, *program.constants, "dt_ms", *(f"{end}.{x}" for end, state in ends.items() for x in state or ())}
    unknown_ends = tuple(f"{end}." for end, state in ends.items() if state is None)
    for slot in ("before", "on_pre", "on_post", "each_step"):
        for text in getattr(program, slot):
            yield from _text(place, slot, text, known, statement=True, open_to=unknown_ends)
            yield from _changed(place, slot, text, {*own, *(name for name in known if "." in name)}, unknown_ends)
    yield from _text(place, "transmits", program.transmits, known, statement=False, open_to=unknown_ends)
    for name, decay in program.decays.items():
        wanted = [(name, set(program.variables)), (decay.tau, set(program.constants))]
        wanted += [(decay.rest, set(program.constants))] if isinstance(decay.rest, str) else []
        for text, names in wanted:
            if text not in names:
                yield Problem(place=f"{place} (decays)", expected="a name of the program", found=repr(text),
                              remedy=near(text, names))  # fmt: skip


def _text(
    place: str, label: str, text: str, known: Iterable[str], *, statement: bool, open_to: tuple[str, ...] = ()
) -> Iterator[Problem]:
    place = f"{place} ({label})"
    try:
        tree = ast.parse(text.strip(), mode="exec" if statement else "eval")
    except SyntaxError:
        yield Problem(place=place, expected="a statement" if statement else "an expression", found=repr(text))
        return
    calls = {
        node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    for name in sorted(calls - set(FUNCTIONS)):
        yield Problem(place=place, expected="a function that equations have", found=f"{name}() in {text!r}",
                      remedy=near(name, FUNCTIONS))  # fmt: skip
    known = set(known)
    for name in sorted(names_in(text) - known):
        if not name.startswith(open_to or ("\0",)):
            yield Problem(place=place, expected="a name that exists there", found=f"{name!r} in {text!r}",
                          remedy=near(name, known))  # fmt: skip


def _changed(place: str, label: str, text: str, own: set[str], open_to: tuple[str, ...] = ()) -> Iterator[Problem]:
    """What a statement changes is a variable, not a constant."""
    try:
        tree = ast.parse(text.strip()).body
    except SyntaxError:
        return  # said above
    targets = [ast.unparse(goal) for node in tree for goal in
               (node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]) if goal]  # fmt: skip
    if not targets:
        yield Problem(place=f"{place} ({label})", expected="a statement that changes something", found=repr(text))
    for name in targets:
        if name not in own and not name.startswith(open_to or ("\0",)):
            yield Problem(place=f"{place} ({label})", expected="a variable to change", found=f"{name!r} in {text!r}",
                          remedy=near(name, own))  # fmt: skip
