"""A population's step as statements over short names, so that populations with the same equations can be one block.

States are called x0, x1, …, what else varies from unit to unit or in time c0, c1, …, and numbers k0, k1, …. Two
populations whose statements then read the same are updated together; numbers in which they differ become values of
single units.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from neurosal.engine.clock.integrating import statements_of
from neurosal.engine.clock.texts import FUNCTIONS, assigned
from neurosal.graph import Dynamics
from neurosal.graph.dynamics import names_in


@dataclass(frozen=True)
class Form:
    """What the steps of populations in one block have in common.

    Attributes:
        states, inputs, numbers: how many x, c and k there are.
        free: statements that give new_x0, new_x1, … of units that are not in refractory time.
        resting: and of those that are.
        differs: the x for which these are not the same.
        threshold: a condition on x, "" for populations that do not spike.
        reset: statements for units that have just spiked.
        held: the x that stand still in refractory time.
        refractory: how many steps after a spike a unit is in refractory time.
    """

    states: int
    inputs: int
    numbers: int
    free: tuple[str, ...]
    resting: tuple[str, ...]
    differs: tuple[str, ...]
    threshold: str
    reset: tuple[str, ...]
    held: frozenset[str]
    refractory: int


@dataclass(frozen=True)
class Law:
    """The step of one population.

    Attributes:
        form: what it may share with others.
        state: names of x0, x1, ….
        inputs: names of c0, c1, …: constants of single units, constants that change with time, sums.
        numbers: values of k0, k1, ….
    """

    form: Form
    state: tuple[str, ...]
    inputs: tuple[str, ...]
    numbers: tuple[float, ...]


def law_of(dynamics: Dynamics, summed: Iterable[str], dt_ms: float, place: str) -> Law:
    """The step of a population.

    Args:
        summed: names in the equations that stand for continuous sums.
        place: of the population, for messages.
    """
    state = tuple(dynamics.equations)
    single = [name for name, value in dynamics.constants.items() if not isinstance(value, (int, float))]
    texts = (*dynamics.equations.values(), dynamics.threshold or "0", *dynamics.reset)
    used = frozenset().union(*map(names_in, texts))
    inputs = tuple(name for name in (*single, *dynamics.timed, *summed) if name in used)
    known = {
        **{name: float(value) for name, value in dynamics.constants.items() if isinstance(value, (int, float))},
        "dt_ms": dt_ms,
    }
    free = statements_of(dynamics, frozenset(), inputs, dt_ms, place)
    refractory = round(dynamics.refractory_ms / dt_ms) if dynamics.threshold else 0
    if dynamics.threshold and dynamics.held:
        refractory = max(refractory, 1)  # one step is as none, but what arrives in the step of the spike is lost
    differs = _reached(dynamics) if refractory else ()
    resting = statements_of(dynamics, dynamics.held, inputs, dt_ms, place) if differs else []
    short = _Short(state, inputs, known)
    form = Form(
        len(state), len(inputs), 0,
        short.all(free), short.all(resting), tuple(f"x{state.index(name)}" for name in differs),
        short(dynamics.threshold) if dynamics.threshold else "", short.all(dynamics.reset),
        frozenset(f"x{state.index(name)}" for name in dynamics.held if name in state), refractory,
    )  # fmt: skip
    return Law(replace(form, numbers=len(short.numbers)), state, inputs, tuple(short.numbers))


def _reached(dynamics: Dynamics) -> tuple[str, ...]:
    """State variables that move otherwise when held ones stand still: those, and all that read them."""
    found = set(dynamics.held)
    while more := {name for name, text in dynamics.equations.items() if name not in found and names_in(text) & found}:
        found |= more
    return tuple(name for name in dynamics.equations if name in found)


class _Short(ast.NodeTransformer):
    """Texts over short names; collects the numbers in them."""

    def __init__(self, state: tuple[str, ...], inputs: tuple[str, ...], known: Mapping[str, float]) -> None:
        self.numbers: list[float] = []
        self._known = known
        self._names = {name: f"x{k}" for k, name in enumerate(state)}
        self._names |= {f"new_{name}": f"new_x{k}" for k, name in enumerate(state)}
        self._names |= {name: f"c{k}" for k, name in enumerate(inputs)}
        self._names |= {name: name for name in FUNCTIONS}

    def __call__(self, text: str) -> str:
        return ast.unparse(ast.fix_missing_locations(self.visit(ast.parse(text.strip()))))

    def all(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Each of some texts."""
        return tuple(self(text) for text in texts)

    def _number(self, value: float) -> ast.AST:
        self.numbers.append(value)
        return ast.Name(f"k{len(self.numbers) - 1}", ast.Load())

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self._known and node.id not in self._names:
            return self._number(self._known[node.id])
        return ast.Name(self._names.setdefault(node.id, f"t{len(self._names)}"), node.ctx)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return self._number(node.value) if isinstance(node.value, float) else node


def linear(form: Form, numbers: Mapping[str, float]) -> list[tuple[str, list[tuple[float, str]], float]] | None:
    """The update as ``x = Σ factor · name + constant``, in an order in which it can be done in place; None where
    statements are no such sums, or read each other in a circle.

    Args:
        numbers: k → value, only those that are the same for all units.
    """
    rows: dict[str, tuple[list[tuple[float, str]], float]] = {}
    for text in form.free:
        (statement,) = ast.parse(text).body
        (target,) = assigned([text])
        assert isinstance(statement, ast.Assign)
        terms = _terms(statement.value, numbers)
        if terms is None or not target.startswith("new_") or target in rows:
            return None
        rows[target.removeprefix("new_")] = terms
    if len(rows) != form.states or set(form.differs) != set(form.held):
        return None
    waiting, order = dict(rows), []
    while waiting:
        ready = [
            x for x in waiting if not any(x in {n for _, n in terms} for y, (terms, _) in waiting.items() if y != x)
        ]
        if not ready:
            return None
        order += [(x, *waiting.pop(x)) for x in ready]
    return order


def _terms(node: ast.AST, numbers: Mapping[str, float]) -> tuple[list[tuple[float, str]], float] | None:
    """A sum of products of one number and one name, and of numbers."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        both = _terms(node.left, numbers), _terms(node.right, numbers)
        if both[0] is None or both[1] is None:
            return None
        return both[0][0] + both[1][0], both[0][1] + both[1][1]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = _value(node.left, numbers), node.right
        if left is None or not isinstance(right, ast.Name) or right.id.startswith(("k", "t")):
            return None
        return [(left, right.id)], 0.0
    if isinstance(node, ast.Name) and node.id.startswith(("x", "c")):
        return [(1.0, node.id)], 0.0
    value = _value(node, numbers)
    return None if value is None else ([], value)


def _value(node: ast.AST, numbers: Mapping[str, float]) -> float | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _value(node.operand, numbers)
        return None if inner is None else -inner
    return numbers.get(node.id) if isinstance(node, ast.Name) else None
