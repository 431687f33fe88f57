"""Texts of equations and programs: they can be read, and every name in them exists."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from neurosal.errors import Problem, near
from neurosal.graph import Dynamics, Joined, Program
from neurosal.graph.dynamics import FUNCTIONS, names_in
from neurosal.graph.programs import ALWAYS, SLOTS, together

# Arithmetic of numbers, as equations have it.
_OF_NUMBERS: dict[str, Callable[..., Any]] = {
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "tanh": math.tanh, "abs": abs, "minimum": min,
    "maximum": max, "clip": lambda value, low, high: min(max(value, low), high),
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip
_SIGNS: dict[type[ast.unaryop], Callable[..., Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


def equation_problems(place: str, dynamics: Dynamics, joined: Mapping[str, Joined]) -> Iterator[Problem]:
    """Equations, threshold and reset that can be read, and read only what the population has.

    Args:
        joined: what synapses bring along.
    """
    of_synapses = chain.from_iterable((*each.equations, *each.constants) for each in joined.values())
    state, timed = set(dynamics.equations), set(dynamics.timed)
    numbers = {name: value for each in joined.values() for name, value in each.constants.items()}
    numbers |= {name: float(value) for name, value in dynamics.constants.items() if isinstance(value, (int, float))}
    known = {*state, *dynamics.constants, *timed, *dynamics.ports, *of_synapses}
    texts = {f"d({variable})/dt": text for variable, text in dynamics.equations.items()}
    texts |= {"threshold": dynamics.threshold} if dynamics.threshold else {}
    for label, text in texts.items():
        yield from _text(place, label, text, known, numbers, statement=False)
    for text in dynamics.reset:
        yield from _text(place, "reset", text, known, numbers, statement=True)
        yield from _changed(place, "reset", text, state)
    for field, names in (("held", dynamics.held), ("start", set(dynamics.start))):
        for name in sorted(names - state):
            yield Problem(place=f"{place} ({field})", expected="a state variable", found=repr(name),
                          remedy=near(name, state))  # fmt: skip
    for name, value in dynamics.start.items():
        if isinstance(value, str) and value not in dynamics.constants:
            yield Problem(place=f"{place} (start)", expected=f"a constant that {name} starts from", found=repr(value),
                          remedy=near(value, dynamics.constants))  # fmt: skip
    if dynamics.reset and not dynamics.threshold:
        yield Problem(place=f"{place} (reset)", expected="a threshold, since there is a reset", found="none")


def unfit_for_exact(
    dynamics: Dynamics, joined: Mapping[str, Joined], receptors: Iterable[str]
) -> tuple[list[str], list[str]]:
    """The equations, as text, that are not linear in state and what differs between units and times; and those whose
    numbers are so large that nobody can tell.

    Args:
        joined: what synapses bring along, by projection.
        receptors: of these, those whose state is their own: equal synapses share theirs.
    """
    import numpy as np

    own = [joined[name] for name in receptors]
    equations = {**dynamics.equations, **{v: text for entry in own for v, text in entry.equations.items()}}
    numbers = {name: value for name, value in dynamics.constants.items() if isinstance(value, (int, float))}
    numbers |= {name: value for entry in own for name, value in entry.constants.items()}
    free = [*equations, *(name for name in dynamics.constants if name not in numbers), *dynamics.timed]
    free += [entry.lands for entry in own if entry.continuous]
    functions = {name: getattr(np, name) for name in FUNCTIONS}

    def slope(text: str, values: Any) -> float:
        known = {**functions, **numbers, **dict(zip(free, values, strict=True)), **dict.fromkeys(dynamics.ports, 0.0)}
        for entry in own:
            for port, added in entry.adds.items():
                known[port] = known.get(port, 0.0) + eval(added, {"__builtins__": {}}, known)
        return float(eval(text, {"__builtins__": {}}, known))

    one, two = np.random.default_rng(0).uniform(0.5, 2.0, (2, len(free)))
    unfit, vast = [], []
    for variable, text in equations.items():
        with np.errstate(all="ignore"):
            try:
                seen = [slope(text, values) for values in (one, two, one + two)]
                apart, whole = seen[0] + seen[1], seen[2] + slope(text, 0 * one)
            except ZeroDivisionError:
                seen, apart, whole = [], 0.0, np.inf
        if not np.isfinite(seen).all():
            vast.append(f"d{variable}/dt = {text}")
        # 1 / x has no value at 0, and infinity is close to infinity.
        elif not (np.isfinite(whole) and abs(whole - apart) <= 1e-9 * max(abs(whole), abs(apart), 1.0)):
            unfit.append(f"d{variable}/dt = {text}")
    return unfit, vast


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
    found = list(_program(f"{place}.plasticity", learning, source, target))
    found += [] if short is None else _program(f"{place}.short_term", short, source, target)
    yield from found
    if found:
        return
    try:
        together(learning, Program() if short is None else short)
    except ValueError as error:
        yield Problem(place=f"{place}.short_term", expected="what can act beside its plasticity", found=str(error))


def _program(
    place: str, program: Program, source: frozenset[str] | None, target: frozenset[str] | None
) -> Iterator[Problem]:
    own = {"w", *program.variables}
    ends = {"pre": source, "post": target}
    known = {*own, *program.constants, *ALWAYS, *(f"{end}.{x}" for end, state in ends.items() for x in state or ())}
    unknown_ends = tuple(f"{end}." for end, state in ends.items() if state is None)
    for slot in SLOTS:
        for text in getattr(program, slot):
            yield from _text(place, slot, text, known, program.constants, statement=True, open_to=unknown_ends)
            yield from _changed(place, slot, text, own)
    yield from _text(place, "transmits", program.transmits, known, program.constants, statement=False,
                     open_to=unknown_ends)  # fmt: skip
    for name, decay in program.decays.items():
        wanted = [(name, set(program.variables)), (decay.tau, set(program.constants))]
        wanted += [(decay.rest, set(program.constants))] if isinstance(decay.rest, str) else []
        for text, names in wanted:
            if text not in names:
                yield Problem(place=f"{place} (decays)", expected="a name of the program", found=repr(text),
                              remedy=near(text, names))  # fmt: skip


def _text(
    place: str, label: str, text: str, known: Iterable[str], numbers: Mapping[str, float], *, statement: bool,
    open_to: tuple[str, ...] = (),
) -> Iterator[Problem]:  # fmt: skip
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
    for part in dict.fromkeys(ast.unparse(node) for node in ast.walk(tree) if not _in_grammar(node)):
        yield Problem(place=place, expected="numbers, names, + - * / **, comparisons of two, and, or, not",
                      found=f"{part!r} in {text!r}", remedy=f"And functions: {', '.join(FUNCTIONS)}.")  # fmt: skip
    for part in dict.fromkeys(_without_value(tree, numbers)):
        given = ", ".join(f"{name} = {numbers[name]:g}" for name in sorted(names_in(part) & set(numbers)))
        yield Problem(place=place, expected="numbers that can be worked out, and divisors other than 0",
                      found=f"{part!r}{given and f' ({given})'} in {text!r}")  # fmt: skip
    known = set(known)
    for name in sorted(names_in(text) - known):
        if not name.startswith(open_to or ("\0",)):
            yield Problem(place=place, expected="a name that exists there", found=f"{name!r} in {text!r}",
                          remedy=near(name, known))  # fmt: skip


def _without_value(tree: ast.AST, numbers: Mapping[str, float]) -> list[str]:
    """The smallest parts that are made of numbers and have no value, such as ``1 / 0`` or ``log(0)``, and those that
    divide by such a 0: some engines raise there, others go on with infinity.

    Args:
        numbers: those that have names.
    """
    if found := [text for node in ast.iter_child_nodes(tree) for text in _without_value(node, numbers)]:
        return found
    try:
        if isinstance(tree, (ast.BinOp, ast.Call)):
            _value(tree, numbers)
        if isinstance(tree, (ast.BinOp, ast.AugAssign)) and isinstance(tree.op, ast.Div):
            divisor = tree.right if isinstance(tree, ast.BinOp) else tree.value
            return [ast.unparse(tree)] if _value(divisor, numbers) == 0 else []
    except (ArithmeticError, ValueError):
        return [ast.unparse(tree)]
    return []


def _value(node: ast.AST, numbers: Mapping[str, float]) -> float | None:
    """What a part made of numbers comes to; None for all others. Nothing is run but arithmetic: a text may come from a
    file of anybody.

    Raises:
        ArithmeticError, ValueError: where it has no value.
    """
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name():
            return numbers.get(node.id)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            worked, values = _SIGNS[type(node.op)], [node.operand]
        case ast.BinOp() if type(node.op) in _OPERATORS:
            worked, values = _OPERATORS[type(node.op)], [node.left, node.right]
        case ast.Call(func=ast.Name(id=name)) if name in _OF_NUMBERS and not node.keywords:
            worked, values = _OF_NUMBERS[name], node.args
        case _:
            return None
    known = [found for value in values if (found := _value(value, numbers)) is not None]
    if len(known) < len(values):
        return None
    try:
        result = worked(*known)
    except TypeError:  # too many or too few numbers, which is said by itself
        return None
    if isinstance(result, complex):
        raise ValueError("the root of a negative number")
    return float(result)


def _in_grammar(node: ast.AST) -> bool:
    """Whether a part of an expression is what all engines know (`neurosal.graph.dynamics`)."""
    match node:
        case ast.BinOp():
            return isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow))
        case ast.AugAssign():
            return isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div))
        case ast.UnaryOp():
            return not isinstance(node.op, ast.Invert)
        case ast.Compare():
            return len(node.ops) == 1 and isinstance(node.ops[0], (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq))
        case ast.Call():
            return not node.keywords
        case ast.Constant():
            return isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
        case ast.expr():
            return isinstance(node, (ast.BoolOp, ast.Name, ast.Attribute))
    return True


def _changed(place: str, label: str, text: str, own: set[str]) -> Iterator[Problem]:
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
        if name not in own:
            yield Problem(place=f"{place} ({label})", expected="a variable to change", found=f"{name!r} in {text!r}",
                          remedy=near(name, own))  # fmt: skip
