"""One step of a population's equations, as a function of its state.

Linear equations are integrated exactly: with the state x and the inputs c (constants of single units, what changes with
time, continuous sums, and 1) as one vector, ``d[x, c]/dt = M [x, c]`` and a step is its matrix exponential. Units in
refractory time have the rows of their held variables of M at 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import sympy

from neurosal.errors import CircuitError, Problem
from neurosal.graph import Dynamics
from neurosal.graph.dynamics import names_in
from neurosal.lower.spiking.exact import exact_step

_SYMBOLIC = {"exp": sympy.exp, "log": sympy.log, "sqrt": sympy.sqrt, "tanh": sympy.tanh, "abs": sympy.Abs,
             "minimum": sympy.Min, "maximum": sympy.Max,
             "clip": lambda value, low, high: sympy.Min(sympy.Max(value, low), high)}  # fmt: skip


def statements_of(dynamics: Dynamics, held: frozenset[str], inputs: Sequence[str], dt_ms: float,
                  place: str) -> list[str]:  # fmt: skip
    """Statements that give ``new_x`` for every state variable x.

    Args:
        held: variables that stand still.
        inputs: names in the equations that are neither state nor numbers.
        place: of the population, for messages.
    """
    numbers = {name: float(v) for name, v in dynamics.constants.items() if isinstance(v, (int, float))}
    make = {"exact": _exact, "exponential_euler": _exponential_euler, "euler": _euler, "rk4": _rk4}[dynamics.method]
    used = frozenset().union(*map(names_in, dynamics.equations.values()))
    return make(dynamics, held, [name for name in inputs if name in used], numbers, dt_ms, place)


def _symbolic(text: str, numbers: dict[str, float], names: Iterable[str]) -> Any:
    scope = {**_SYMBOLIC, **numbers, **{name: sympy.Symbol(name, real=True) for name in names}}
    return sympy.sympify(eval(text, {"__builtins__": {}}, scope))


def _exact(dynamics: Dynamics, held: frozenset[str], inputs: list[str], numbers: dict[str, float], dt_ms: float,
           place: str) -> list[str]:  # fmt: skip
    state = list(dynamics.equations)
    names = [*state, *inputs]
    size = len(names) + 1
    matrix = np.zeros((size, size))
    for row, (variable, text) in enumerate(dynamics.equations.items()):
        if variable in held:
            continue
        expression = _symbolic(text, numbers, names)
        for column, name in enumerate(names):
            slope = sympy.diff(expression, sympy.Symbol(name, real=True))
            if slope.free_symbols:
                raise CircuitError(
                    Problem(place=f"{place}.model", expected="linear equations for the method exact",
                            found=f"d{variable}/dt = {text}", remedy="Integrate by exponential_euler, euler or rk4.")
                )  # fmt: skip
            matrix[row, column] = float(slope)
        matrix[row, -1] = float(expression.subs({sympy.Symbol(name, real=True): 0 for name in names}))
    step = exact_step(matrix, dt_ms, place)
    statements = []
    for row, variable in enumerate(state):
        terms = [f"{float(factor)!r} * {name}" if factor != 1 else name
                 for factor, name in zip(step[row], names, strict=False) if factor]  # fmt: skip
        if step[row, -1]:
            terms.append(repr(float(step[row, -1])))
        statements.append(f"new_{variable} = {' + '.join(terms) or '0.0 * ' + variable}")
    return statements


def _exponential_euler(dynamics: Dynamics, held: frozenset[str], inputs: list[str], numbers: dict[str, float],
                       dt_ms: float, place: str) -> list[str]:  # fmt: skip
    """``dx/dt = a x + b`` with a and b as they are at the start of the step."""
    names = [*dynamics.equations, *inputs]
    statements = []
    for variable, text in dynamics.equations.items():
        if variable in held:
            statements.append(f"new_{variable} = {variable}")
            continue
        symbol = sympy.Symbol(variable, real=True)
        symbols = {name: sympy.Symbol(name, real=True) for name in (*names, *numbers)}
        expression = sympy.expand(sympy.sympify(eval(text, {"__builtins__": {}}, {**_SYMBOLIC, **symbols})))
        slope = sympy.diff(expression, symbol)
        if slope.has(symbol):
            raise CircuitError(
                Problem(place=f"{place}.model", expected="equations linear in their own variable for exponential_euler",
                        found=f"d{variable}/dt = {text}", remedy="Integrate by euler or rk4.")
            )  # fmt: skip
        rest = expression.subs(symbol, 0)
        if slope == 0:
            statements.append(f"new_{variable} = {variable} + dt_ms * ({rest})")
        else:
            statements.append(f"rest_{variable} = ({rest}) / ({slope})")
            statements.append(
                f"new_{variable} = -rest_{variable} + ({variable} + rest_{variable}) * exp(dt_ms * ({slope}))"
            )
    return statements


def _euler(dynamics: Dynamics, held: frozenset[str], inputs: list[str], numbers: dict[str, float], dt_ms: float,
           place: str) -> list[str]:  # fmt: skip
    return [f"new_{variable} = {variable}" if variable in held else f"new_{variable} = {variable} + dt_ms * ({text})"
            for variable, text in dynamics.equations.items()]  # fmt: skip


def _rk4(dynamics: Dynamics, held: frozenset[str], inputs: list[str], numbers: dict[str, float], dt_ms: float,
         place: str) -> list[str]:  # fmt: skip
    from neurosal.graph.dynamics import renamed

    moving = {variable: text for variable, text in dynamics.equations.items() if variable not in held}
    statements = [f"k1_{variable} = {text}" for variable, text in moving.items()]
    for stage, before, factor in ((2, 1, 0.5), (3, 2, 0.5), (4, 3, 1.0)):
        places = {variable: f"{variable} + {factor} * dt_ms * k{before}_{variable}" for variable in moving}
        statements += [f"k{stage}_{variable} = {renamed(text, places)}" for variable, text in moving.items()]
    for variable in dynamics.equations:
        slopes = f"k1_{variable} + 2.0 * k2_{variable} + 2.0 * k3_{variable} + k4_{variable}"
        change = f" + dt_ms / 6.0 * ({slopes})" if variable in moving else ""
        statements.append(f"new_{variable} = {variable}{change}")
    return statements
