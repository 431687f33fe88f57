"""Equations as values: what a population does in continuous time, and what happens at its synapses.

Every engine reads the same text. Expressions are a part of Python: numbers, names, ``+ - * / **``, comparisons,
``and or not``, and the functions of `FUNCTIONS`. Statements are ``name = expression`` and ``name += expression`` (also
``-= *= /=``). Names end in the unit of what they hold (`UNITS`); a name without one holds a plain number. Units are
chosen so that they fit together without factors: pA / pF = mV/ms, nS · mV = pA, pA · GΩ = mV.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from neurosal.graph.initialisers import Initialiser

UNITS = ("ms", "mv", "pa", "ns", "pf", "hz", "gohm", "per_ms", "mv_per_ms", "per_mv_ms", "per_mv", "pa_per_ms")
FUNCTIONS = ("exp", "log", "sqrt", "tanh", "abs", "clip", "minimum", "maximum")

Method = Literal["exact", "exponential_euler", "euler", "rk4"]
_UNIT = re.compile(rf"_({'|'.join(sorted(UNITS, key=len, reverse=True))})$")


def unit_of(name: str) -> str:
    """The unit that a name ends in, "" for a plain number.

    Example:
        >>> unit_of("tau_m_ms"), unit_of("slope_mv_per_ms"), unit_of("w")
        ('ms', 'mv_per_ms', '')
    """
    found = _UNIT.search(name)
    return found[1] if found else ""


def names_in(text: str) -> frozenset[str]:
    """The names that an expression or statement reads or writes; those of other units as ``post.x`` and ``pre.x``.

    Example:
        >>> sorted(names_in("w = clip(w - minus * post.reward, 0, w_max)"))
        ['minus', 'post.reward', 'w', 'w_max']
    """
    tree, found, inner = ast.parse(text.strip()), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
            inner.add(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            inner.add(node.func)
    found |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in inner}
    return frozenset(found)


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The text with some names replaced by expressions in brackets, or by other names.

    Example:
        >>> renamed("(e_mv - v_mv + drive_mv) / tau_ms", {"drive_mv": "i_e_mv + i_i_mv"})
        '(e_mv - v_mv + (i_e_mv + i_i_mv)) / tau_ms'
    """

    class Rename(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return ast.parse(names[node.id], mode="eval").body if node.id in names else node

    return ast.unparse(Rename().visit(ast.parse(text.strip())))


@dataclass(frozen=True)
class Timed:
    """A constant that changes with time, step by step: ``values[k]`` from ``k * every_ms`` on, the last one for good.

    Args:
        every_ms: how long each value holds.
        values: one number for all units at each time, or one for each unit (rows of equal length).
    """

    every_ms: float
    values: tuple[float, ...] | tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Dynamics:
    """A population in continuous time.

    Attributes:
        equations: state variable → its derivative, per ms.
        constants: name → number, the same for all units; or an initialiser, which draws one for each unit.
        start: state variable → first value, or the name of a constant that it starts at; 0 where none is given.
        threshold: condition for a spike; "" for populations that do not spike.
        reset: statements for units that have just spiked.
        refractory_ms: for how long after a spike a unit neither spikes nor changes its ``held`` variables.
        held: state variables that stand still in refractory time, and lose what arrives then.
        method: how equations are integrated over a step: "exact" for linear ones, else as named.
        timed: constants that change with time.
        ports: names in the equations that stand for what synapses add up to; 0 where none arrives.
    """

    equations: Mapping[str, str]
    constants: Mapping[str, float | Initialiser] = field(default_factory=dict)
    start: Mapping[str, float | Initialiser | str] = field(default_factory=dict)
    threshold: str = ""
    reset: tuple[str, ...] = ()
    refractory_ms: float = 0.0
    held: frozenset[str] = frozenset()
    method: Method = "exact"
    timed: Mapping[str, Timed] = field(default_factory=dict)
    ports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decay:
    """A variable of a synapse that relaxes between events: ``dx/dt = (rest - x) / tau``.

    Args:
        tau: name of the constant that holds tau, in ms.
        rest: name of a constant, or a number.
    """

    tau: str
    rest: float | str = 0.0


@dataclass(frozen=True)
class Program:
    """What happens at a synapse. Its weight is ``w``, a plain number in the unit of its projection; all other variables
    are plain numbers too. Statements run in their order. They read constants, variables of the synapse, state of the
    units it joins as ``pre.x`` and ``post.x``, and ``dt_ms``.

    Attributes:
        variables: those beside ``w`` → first value.
        decays: variables that relax between events.
        constants: name → number.
        on_pre: when a spike arrives, after its delay.
        on_post: when the target spikes (no delay), after all arrivals of that step.
        each_step: for every synapse at the end of every step.
        at_intervals: for every synapse at the end of the steps 0, k, 2k, … that are ``every_ms`` apart, after
            `each_step`. They may read ``sum_in`` and ``count_in``: the sum of w over the synapses of this projection
            that end at the same unit, taken before these statements, and how many there are.
        every_ms: how far apart; rounded to steps, one at least.
        transmits: what arrives at the target, an expression, worked out after `before` and before `on_pre`.
        before: statements at arrival, before transmission (short-term plasticity).
    """

    variables: Mapping[str, float | Initialiser] = field(default_factory=dict)
    decays: Mapping[str, Decay] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    on_pre: tuple[str, ...] = ()
    on_post: tuple[str, ...] = ()
    each_step: tuple[str, ...] = ()
    transmits: str = "w"
    before: tuple[str, ...] = ()
    at_intervals: tuple[str, ...] = ()
    every_ms: float = 0.0

    @property
    def plastic(self) -> bool:
        """Whether anything of a synapse ever changes."""
        return bool(self.on_pre or self.on_post or self.each_step or self.before or self.at_intervals)

    def steps_apart(self, dt_ms: float) -> int:
        """How many steps of dt_ms lie between two runs of `at_intervals`."""
        return max(1, round(self.every_ms / dt_ms))
