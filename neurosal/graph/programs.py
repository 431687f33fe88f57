"""Programs as values to work with: who writes what, several programs as one, changes of the weight that are gated."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from itertools import count
from typing import Any

from neurosal.graph.dynamics import Program, names_in, renamed, unit_of

SLOTS = ("before", "on_pre", "on_post", "each_step", "at_intervals")
ALWAYS = frozenset({"w", "dt_ms", "sum_in", "count_in"})  # names that every program has


def written(statement: str) -> str:
    """The name that a statement writes.

    Example:
        >>> written("w=clip(w + plus, 0, 1)"), written("minus += 1")
        ('w', 'minus')
    """
    node = ast.parse(statement.strip()).body[0]
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    return target.id if isinstance(target, ast.Name) else ""


def changed_by(program: Program) -> frozenset[str]:
    """Names of a synapse that ever change: statements write them, or they decay.

    Example:
        >>> from neurosal.graph.dynamics import Decay
        >>> program = Program(variables={"x": 0.0, "u": 0.5}, decays={"x": Decay("tau_ms")}, on_pre=("w += u * x",))
        >>> sorted(changed_by(program))
        ['w', 'x']
    """
    return frozenset(written(text) for slot in SLOTS for text in getattr(program, slot)) | frozenset(program.decays)


def map_statements(program: Program, change: Callable[[str], Iterable[str]]) -> Program:
    """The program with each statement replaced by others."""
    slots: dict[str, Any] = {
        slot: tuple(new for text in getattr(program, slot) for new in change(text)) for slot in SLOTS
    }
    return replace(program, **slots)


def bounded(program: Program, bound: str) -> Program:
    """The program with a statement after each one that writes w, so that nothing ever reads a w beyond its bound.

    Example:
        >>> bounded(Program(on_pre=("w-=1", "x = w")), "w = maximum(w, 0)").on_pre
        ('w-=1', 'w = maximum(w, 0)', 'x = w')
    """
    return map_statements(program, lambda text: (text, bound) if written(text) == "w" else (text,))


def gated(program: Program, gate: str) -> Program:
    """The program with every change of w multiplied by an expression.

    Example:
        >>> gated(Program(on_pre=("w -= a * x", "x += 1")), "post.gate").on_pre
        ('w -= post.gate * (a * x)', 'x += 1')
    """

    def change(text: str) -> tuple[str, ...]:
        if written(text) != "w":
            return (text,)
        node = ast.parse(text.strip()).body[0]
        if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
            sign = "+=" if isinstance(node.op, ast.Add) else "-="
            return (f"w {sign} {gate} * ({ast.unparse(node.value)})",)
        value = node.value if isinstance(node, (ast.Assign, ast.AugAssign)) else None
        assert value is not None, text
        if isinstance(node, ast.AugAssign):
            value = ast.BinOp(ast.Name("w", ast.Load()), node.op, value)
        return (f"w += {gate} * ({ast.unparse(value)} - w)",)

    return map_statements(program, change)


def rename_all(program: Program, names: dict[str, str]) -> Program:
    """The program with variables and constants called otherwise."""
    if not names:
        return program
    new = map_statements(program, lambda text: (renamed(text, names),))
    return replace(
        new,
        variables={names.get(name, name): value for name, value in program.variables.items()},
        constants={names.get(name, name): value for name, value in program.constants.items()},
        decays={
            names.get(name, name): replace(
                decay,
                tau=names.get(decay.tau, decay.tau),
                rest=names.get(decay.rest, decay.rest) if isinstance(decay.rest, str) else decay.rest,
            )
            for name, decay in program.decays.items()
        },
        transmits=renamed(program.transmits, names),
    )


def together(*programs: Program) -> Program:
    """Several programs at one synapse, each in its slot in the order given. Names of later ones that earlier ones have
    for something else get a number, before their unit.

    Only one may say what is transmitted, and those with intervals share them.

    Raises:
        ValueError: where two cannot act at one synapse.

    Example:
        >>> one = Program(variables={"x": 0.0}, on_pre=("x += 1", "w += x"))
        >>> together(one, one).on_pre
        ('x += 1', 'w += x', 'x_2 += 1', 'w += x_2')
    """
    whole = Program()
    for number, program in enumerate(programs, start=1):
        taken = {*whole.variables, *whole.constants}
        clashes = {name for name in program.variables if name in taken} | {
            name
            for name, value in program.constants.items()
            if name in whole.variables or whole.constants.get(name, value) != value
        }
        own = {*program.variables, *program.constants}
        program = rename_all(program, {name: _numbered(name, number, taken | own) for name in clashes})
        if "w" != program.transmits != whole.transmits != "w":
            raise ValueError("two programs that each say what a spike transmits")
        if program.at_intervals and whole.at_intervals and program.every_ms != whole.every_ms:
            raise ValueError(f"intervals of {whole.every_ms} and of {program.every_ms} ms")
        whole = Program(
            variables={**whole.variables, **program.variables},
            decays={**whole.decays, **program.decays},
            constants={**whole.constants, **program.constants},
            transmits=whole.transmits if program.transmits == "w" else program.transmits,
            every_ms=whole.every_ms or program.every_ms,
            **{slot: getattr(whole, slot) + getattr(program, slot) for slot in SLOTS},
        )
    return whole


def _numbered(name: str, number: int, taken: Collection[str]) -> str:
    """A name that nothing has yet, of the same unit, which is what a name ends in: ``tau_ms`` as ``tau_2_ms``."""
    unit = unit_of(name)
    first, last = (name.removesuffix(f"_{unit}"), f"_{unit}") if unit else (name, "")
    return next(new for k in count(number) if (new := f"{first}_{k}{last}") not in taken)


def unknown_names(program: Program) -> frozenset[str]:
    """Names of its own that a program reads or writes and does not have; those of units (``post.x``) are left out."""
    known = {*program.variables, *program.constants, *ALWAYS}
    texts = [text for slot in SLOTS for text in getattr(program, slot)] + [program.transmits]
    texts += [decay.tau for decay in program.decays.values()]
    texts += [decay.rest for decay in program.decays.values() if isinstance(decay.rest, str)]
    texts += list(program.decays)
    return frozenset(name for text in texts for name in names_in(text) if "." not in name and name not in known)
