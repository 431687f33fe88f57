"""Expressions and statements of a circuit in Brian2's language.

Equations of populations keep their units. At synapses all variables are plain numbers, so what has a unit is divided by
it where it is read: ``post.v_mv`` is ``(v_post/mV)``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping

from neurosal.lower.brian2.naming import PLAIN, unit


class _Translate(ast.NodeTransformer):
    """Names replaced, terms of nothing left out, ``minimum`` and ``maximum``, which Brian2 has not, said otherwise."""

    def __init__(self, read: Callable[[str], str], written: Callable[[str], str], plain: bool) -> None:
        self._read, self._written, self._plain = read, written, plain

    def visit_Name(self, node: ast.Name) -> ast.AST:
        text = self._written(node.id) if isinstance(node.ctx, ast.Store) else self._read(node.id)
        return ast.parse(text, mode="eval").body

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        assert isinstance(node.value, ast.Name)
        return ast.parse(self._read(f"{node.value.id}.{node.attr}"), mode="eval").body

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Without zeros, which have no unit: ports that nothing reaches."""
        left, right, operator = self.visit(node.left), self.visit(node.right), node.op
        nothing, none_right = _zero(left), _zero(right)
        if (isinstance(operator, ast.Mult) and none_right) or (isinstance(operator, ast.Mult | ast.Div) and nothing):
            return ast.Constant(0.0)
        if isinstance(operator, ast.Add | ast.Sub) and none_right:
            return left
        if isinstance(operator, ast.Add) and nothing:
            return right
        if isinstance(operator, ast.Sub) and nothing:
            return ast.UnaryOp(ast.USub(), right)
        return ast.BinOp(left, operator, right)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        assert isinstance(node.func, ast.Name)
        arguments = [self.visit(argument) for argument in node.args]
        if node.func.id in ("minimum", "maximum"):
            first, second = (ast.unparse(argument) for argument in arguments)
            sense = ">" if node.func.id == "maximum" else "<"
            if self._plain:
                low, high = (second, "inf") if sense == ">" else ("-inf", second)
                return ast.parse(f"clip({first}, {low}, {high})", mode="eval").body
            text = f"int(({first}) {sense} ({second}))*({first}) + int(not (({first}) {sense} ({second})))*({second})"
            return ast.parse(text, mode="eval").body
        return ast.Call(ast.Name(node.func.id), arguments, [])


def _zero(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def translated(
    text: str, read: Callable[[str], str], written: Callable[[str], str] | None = None, *, plain: bool = False
) -> str:
    """An expression or statement with its names replaced.

    Args:
        read: name → expression that reads it.
        written: name → name that is assigned.
        plain: whether all values are plain numbers, so that infinity has the right unit.
    """
    tree = _Translate(read, written or read, plain).visit(ast.parse(text.strip()))
    return ast.unparse(ast.fix_missing_locations(tree))


def in_group(text: str, names: Mapping[str, str]) -> str:
    """An expression or statement of a population.

    Example:
        >>> in_group("v_mv = maximum(v_mv, e_mv)", {"v_mv": "v", "e_mv": "e_mv"})
        'v = int(v > e_mv) * v + int(not v > e_mv) * e_mv'
    """
    return translated(text, lambda name: names[name])


def in_synapse(
    text: str, own: Mapping[str, str], pre: Mapping[str, str], post: Mapping[str, str], plain: Collection[str] = ()
) -> str:
    """An expression or statement at a synapse.

    Args:
        own: names of its variables and constants; pre, post: of state and constants of the units that it joins.
        plain: variables of the synapse, which are plain numbers whatever their names end in.

    Example:
        >>> own, post = {"w": "w", "tau_ms": "tau"}, {"v_mv": "v"}
        >>> in_synapse("w += dt_ms / tau_ms * post.v_mv", own, {}, post)
        'w += dt / ms / (tau / ms) * (v_post / mV)'
    """

    def read(name: str) -> str:
        if name == "dt_ms":
            return "(dt/ms)"
        end, _, variable = name.rpartition(".")
        text = own[name] if not end else f"{(pre if end == 'pre' else post)[variable]}_{end}"
        of = PLAIN if name in plain else unit(name)
        return text if of is PLAIN else f"({text}/({of.quantity}))"

    return translated(text, read, lambda name: own[name], plain=True)
