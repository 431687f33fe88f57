"""Exact steps of linear equations where Brian2's own method cannot make them.

Brian2 solves linear equations with symbols. That divides by zero where two time constants are equal, loses digits where
they are close or where one variable drives the next and that the next (alpha functions), and refuses variables without
a leak and those that turn around each other. There a step is written with numbers instead: with the state x and the
inputs c as one vector, ``d[x, c]/dt = M [x, c]``, it is ``exp(M dt)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurosal.errors import CircuitError, Problem
from neurosal.graph import Dynamics, Initialiser
from neurosal.graph.dynamics import names_in
from neurosal.lower.brian2.naming import PLAIN, unit
from neurosal.lower.spiking.exact import exact_step

CLOSE = 1e-3  # of rates, relative


def steps_of(
    dynamics: Dynamics, inputs: Sequence[str], names: Mapping[str, str], dt_ms: float, place: str
) -> tuple[str, ...] | None:
    """Statements that make a step, in SI units; None where Brian2's method does it.

    Args:
        inputs: names in the equations that are neither state nor numbers.
        names: in Brian2.
        place: of the population, for messages.

    Raises:
        CircuitError: for equations that are not linear, and steps that are not finite.
    """
    state = list(dynamics.equations)
    matrix = _matrix(dynamics, state, inputs, place)
    if matrix is None or _easy(matrix[: len(state), : len(state)]):
        return None
    free = exact_step(matrix, dt_ms, place)
    resting = matrix.copy()
    resting[[row for row, name in enumerate(state) if name in dynamics.held]] = 0.0
    rest = exact_step(resting, dt_ms, place)
    statements = []
    for row, name in enumerate(state):
        text = _sum(free[row], name, [*state, *inputs], names)
        if name not in dynamics.held and not np.array_equal(free[row], rest[row]):
            other = _sum(rest[row], name, [*state, *inputs], names)
            text = f"int(not_refractory)*({text}) + int(not not_refractory)*({other})"
        statements.append(f"_{names[name]} = {text}")
    return (*statements, *(f"{names[name]} = _{names[name]}" for name in state))


def solvable(dynamics: Dynamics, inputs: Sequence[str], place: str) -> bool:
    """Whether slopes depend on numbers only, and not on constants of single units.

    Args:
        inputs, place: as of `steps_of`.
    """
    return _matrix(dynamics, list(dynamics.equations), inputs, place) is not None


def _matrix(dynamics: Dynamics, state: Sequence[str], inputs: Sequence[str], place: str) -> Any:
    """M, with a last column for what is constant; None where a slope depends on constants of single units."""
    import sympy

    known = [*state, *inputs]
    symbols = {name: sympy.Symbol(name, real=True) for name in known}
    numbers = {name: float(v) for name, v in dynamics.constants.items() if not isinstance(v, Initialiser)}
    functions = {"exp": sympy.exp, "log": sympy.log, "sqrt": sympy.sqrt, "tanh": sympy.tanh, "abs": sympy.Abs,
                 "minimum": sympy.Min, "maximum": sympy.Max,
                 "clip": lambda value, low, high: sympy.Min(sympy.Max(value, low), high)}  # fmt: skip
    matrix = np.zeros((len(known) + 1, len(known) + 1))
    for row, (variable, text) in enumerate(dynamics.equations.items()):
        expression = sympy.sympify(eval(text, {"__builtins__": {}}, {**functions, **numbers, **symbols}))
        for column, name in enumerate(known):
            slope = sympy.diff(expression, symbols[name])
            if any(symbols[other] in slope.free_symbols for other in state):
                raise CircuitError(
                    Problem(place=f"{place}.model", expected="linear equations for the method exact",
                            found=f"d{variable}/dt = {text}", remedy="Integrate by exponential_euler, euler or rk4.")
                )  # fmt: skip
            if slope.free_symbols:
                return None
            matrix[row, column] = float(slope)
        matrix[row, -1] = float(expression.subs(dict.fromkeys(symbols.values(), 0)))
    return matrix


def _easy(matrix: Any) -> bool:
    """Whether each variable has a leak of its own, none drives one that drives another, and no two that drive each
    other have close rates."""
    rates = np.diag(matrix)
    drives = (matrix != 0) & ~np.eye(len(matrix), dtype=bool)  # [driven, driver]
    if (rates == 0).any() or (drives.any(axis=0) & drives.any(axis=1)).any():
        return False
    driven, driver = np.nonzero(drives)
    apart = np.abs(rates[driven] - rates[driver]) / np.maximum(np.abs(rates[driven]), np.abs(rates[driver]))
    return bool((apart > CLOSE).all())


def _sum(factors: Any, variable: str, known: Sequence[str], names: Mapping[str, str]) -> str:
    """``Σ factor · name``, in SI units."""
    terms = []
    for factor, name in zip(factors, known, strict=False):
        if factor:
            scaled = float(factor) * (unit(variable).size / unit(name).size)
            terms.append(names[name] if scaled == 1 else f"{scaled!r}*{names[name]}")
    if factors[-1]:
        of = unit(variable)
        terms.append(f"{float(factors[-1])!r}" + ("" if of is PLAIN else f"*{of.quantity}"))
    return " + ".join(terms) or "0.0"


def inputs_of(dynamics: Dynamics, sums: Sequence[str]) -> list[str]:
    """Names in the equations that are neither state nor numbers."""
    used = frozenset().union(*map(names_in, dynamics.equations.values()))
    single = [name for name, value in dynamics.constants.items() if isinstance(value, Initialiser)]
    return [name for name in (*single, *dynamics.timed, *sums) if name in used]
