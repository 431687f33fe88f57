"""Expressions and statements of a description as functions of tensors."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

import torch
from torch import Tensor


def _elementwise(tensor: Callable[[Tensor], Tensor], number: Callable[[float], float]) -> Callable[[Any], Any]:
    return lambda value: tensor(value) if isinstance(value, Tensor) else number(value)


def _minimum(first: Any, second: Any) -> Any:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.minimum(first, second)
    if isinstance(first, Tensor):
        return first.clamp(max=second)
    return second.clamp(max=first) if isinstance(second, Tensor) else min(first, second)


def _maximum(first: Any, second: Any) -> Any:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.maximum(first, second)
    if isinstance(first, Tensor):
        return first.clamp(min=second)
    return second.clamp(min=first) if isinstance(second, Tensor) else max(first, second)


def _every(two: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A function of two values as one of any number of them, which is how sympy writes it."""
    return lambda *values: reduce(two, values)


def _clip(value: Any, low: Any, high: Any) -> Any:
    return _minimum(_maximum(value, low), high)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": _elementwise(torch.exp, math.exp),
    "log": _elementwise(torch.log, math.log),
    "sqrt": _elementwise(torch.sqrt, math.sqrt),
    "tanh": _elementwise(torch.tanh, math.tanh),
    "abs": _elementwise(torch.abs, abs),
    "clip": _clip,
    "minimum": _minimum,
    "maximum": _maximum,
    "Abs": _elementwise(torch.abs, abs),
    "Min": _every(_minimum),
    "Max": _every(_maximum),
}


def _as_number(truth: Any, *given: Any) -> Any:
    """1 or 0 in the type of what a function is given: with a number torch would make it float32."""
    if not isinstance(truth, Tensor):
        return float(truth)
    kinds = (value.dtype for value in given if isinstance(value, Tensor) and value.is_floating_point())
    return truth.to(next(kinds, torch.get_default_dtype()))


class _Lower(ast.NodeTransformer):
    """``post.x`` as the name ``post__x``, and logic as that of tensors.

    Args:
        arguments: names of tensors of which one at least has the type of all numbers.
    """

    def __init__(self, arguments: Iterable[str] = ()) -> None:
        self._arguments = list(arguments)

    def _counted(self, node: ast.expr) -> ast.expr:
        """A part of a sum or product; what is true counts 1."""
        truth = isinstance(node, (ast.Compare, ast.BoolOp)) or (
            isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        )
        given = [ast.Name(name, ast.Load()) for name in self._arguments]
        counted: ast.expr = self.visit(node)
        return ast.Call(ast.Name("_as_number", ast.Load()), [counted, *given], []) if truth else counted

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        return ast.BinOp(self._counted(node.left), node.op, self._counted(node.right))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return ast.Call(node.func, [self._counted(argument) for argument in node.args], [])

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        assert isinstance(node.value, ast.Name)
        return ast.Name(f"{node.value.id}__{node.attr}", node.ctx)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        """``w = w + x``: in place it would also change what was transmitted, which may be the same tensor."""
        assert isinstance(node.target, ast.Name)
        read = ast.Name(node.target.id, ast.Load())
        return ast.Assign([node.target], ast.BinOp(read, node.op, self._counted(node.value)))

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        operator = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        result = node.values[0]
        for value in node.values[1:]:
            result = ast.BinOp(result, operator, value)
        return result

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return ast.UnaryOp(ast.Invert(), node.operand) if isinstance(node.op, ast.Not) else node


def lowered(text: str, arguments: Iterable[str] = ()) -> str:
    """Python source of an expression or statement, with ``post.x`` as ``post__x``.

    Args:
        arguments: see `_Lower`.
    """
    return ast.unparse(ast.fix_missing_locations(_Lower(arguments).visit(ast.parse(text.strip()))))


def function(name: str, arguments: Iterable[str], statements: Iterable[str], returns: Iterable[str],
             constants: Mapping[str, float]) -> Callable[..., tuple[Any, ...]]:  # fmt: skip
    """A function of tensors that runs statements one after the other.

    Args:
        arguments: names it takes; attributes as ``post__x``.
        statements: as in descriptions.
        returns: names whose values it gives, as a tuple.
        constants: numbers by name.
    """
    arguments = list(arguments)
    body = [f"    {lowered(text, arguments)}" for text in statements]
    source = "\n".join([f"def {name}({', '.join(arguments)}):", *body, f"    return ({', '.join([*returns, ''])})"])
    namespace: dict[str, Any] = {**FUNCTIONS, **constants, "_as_number": _as_number}
    exec(compile(source, f"<{name}>", "exec"), namespace)
    made: Callable[..., tuple[Any, ...]] = namespace[name]
    return made


def assigned(statements: Iterable[str]) -> list[str]:
    """Names that statements change, in order of first change."""
    found: dict[str, None] = {}
    for text in statements:
        for node in ast.parse(text.strip()).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            assert isinstance(target, ast.Name), f"{text!r} changes no name"
            found[target.id] = None
    return list(found)
