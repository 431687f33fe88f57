"""Equations of blocks as functions in C++.

The text is that of the equations, operation by operation: nothing is put in another order, and products are rounded
before they are added, so that float64 gives what the same operations of torch give. Numbers are worked out before they
become literals.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from neurosal.engine.clock.laws import Form
from neurosal.engine.clock.texts import FUNCTIONS, assigned

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.Eq: "==", ast.NotEq: "!=", ast.And: "&&", ast.Or: "||", ast.USub: "-", ast.UAdd: "+", ast.Not: "!",
}  # fmt: skip
_FUNCTIONS = {"exp": "std::exp", "log": "std::log", "sqrt": "std::sqrt", "tanh": "std::tanh", "abs": "std::abs",
              "Abs": "std::abs", "minimum": "least", "maximum": "most", "Min": "least", "Max": "most"}  # fmt: skip
_HEAD = """
// Not a number stays what it is.
static inline Number least(Number a, Number b) { return a < b || a != a ? a : b; }
static inline Number most(Number a, Number b) { return a > b || a != a ? a : b; }

static inline Number square(Number a) { return a * a; }
static inline Number cube(Number a) { return a * a * a; }

struct Law {
    void (*update)(Number* const* x, const Number* const* c, const Number* open, int64_t n, Flag* flags);
    void (*reset)(Number* const* x, const Number* const* c);
    bool spikes, resets;
};
"""


@dataclass(frozen=True)
class Equations:
    """What is to be written of a block.

    Args:
        form: its statements.
        numbers: values of those k that are the same for all units.
        inputs: names of what else varies: c, and those k that differ; in the order in which they will be given.
        single: those of them that are one number for all units at a time.
    """

    form: Form
    numbers: Mapping[str, float]
    inputs: Sequence[str]
    single: frozenset[str]


def emitted(blocks: Sequence[Equations], number: str) -> str:
    """The text of laws.hpp.

    Args:
        number: "float" or "double".
    """
    flag = {"float": "int32_t", "double": "int64_t"}[number]
    most = max([1, *(max(block.form.states, len(block.inputs)) for block in blocks)])
    parts = [f"using Number = {number};", f"using Flag = {flag};", f"constexpr int64_t MOST = {most};", _HEAD]
    for k, block in enumerate(blocks):
        parts += [_update(k, block), _reset(k, block)]
    laws = [f"{{update_{k}, reset_{k}, {_truth(b.form.threshold)}, {_truth(b.form.reset)}}}"
            for k, b in enumerate(blocks)]  # fmt: skip
    parts.append(f"static const Law LAWS[] = {{{', '.join(laws)}}};" if laws else "static const Law* LAWS = nullptr;")
    return "\n".join(parts) + "\n"


def _truth(value: object) -> str:
    return "true" if value else "false"


def _arguments(block: Equations) -> list[str]:
    xs = [f"    Number* __restrict X{k} = x[{k}];" for k in range(block.form.states)]
    cs = [f"    const Number* __restrict C_{name} = c[{k}];" for k, name in enumerate(block.inputs)]
    return [*xs, *cs, "    (void)x, (void)c;"]


def _values(block: Equations, index: str) -> list[str]:
    xs = [f"Number x{k} = X{k}[{index}]; (void)x{k};" for k in range(block.form.states)]
    cs = [f"const Number {name} = C_{name}[{'0' if name in block.single else index}]; (void){name};"
          for name in block.inputs]  # fmt: skip
    return xs + cs


def _update(k: int, block: Equations) -> str:
    form, every = block.form, [f"new_x{row}" for row in range(block.form.states)]
    gated = bool(form.refractory)
    declared = f"Number {', '.join(every)};" if every else ""
    body = [*_values(block, "i"), declared, "{", *_statements(form.free, block, every), "}"]
    if gated:
        body.append("const bool open = gate[i] > 0;")
        if form.differs:
            slow = [f"slow_{x}" for x in form.differs]
            body += [f"Number {', '.join(slow)};", "{", declared, *_statements(form.resting, block, every)]
            body += [*(f"slow_{x} = new_{x};" for x in form.differs), "}"]
            body += [f"new_{x} = open ? new_{x} : slow_{x};" for x in form.differs]
    body += [f"X{row}[i] = x{row} = new_x{row};" for row in range(form.states)]
    if form.threshold:
        fired = _expression(ast.parse(form.threshold, mode="eval").body, block)
        body.append(f"flags[i] = ({fired}) {'&& open' if gated else ''} ? 1 : 0;")
    takes = "Number* const* x, const Number* const* c, const Number* __restrict gate, int64_t n, Flag* __restrict flags"
    return "\n".join([
        f"static void update_{k}({takes}) {{", *_arguments(block),
        "    (void)gate, (void)flags;",
        "    for (int64_t i = 0; i < n; ++i) {",
        *(f"        {line}" for line in body if line),
        "    }", "}",
    ])  # fmt: skip


def _reset(k: int, block: Equations) -> str:
    changed = assigned(block.form.reset)
    body = [*_values(block, "0"), *_statements(block.form.reset, block, ()),
            *(f"X{x[1:]}[0] = {x};" for x in changed if x.startswith("x"))]  # fmt: skip
    return "\n".join([
        f"static void reset_{k}(Number* const* x, const Number* const* c) {{", *_arguments(block),
        *(f"    {line}" for line in body), "}",
    ])  # fmt: skip


def _statements(texts: Iterable[str], block: Equations, known: Iterable[str]) -> list[str]:
    """Statements; names that are not known yet are made by the first that changes them."""
    found, there = [], {*known, *(f"x{k}" for k in range(block.form.states))}
    for text in texts:
        (node,) = ast.parse(text).body
        (name,) = assigned([text])
        value = _expression(node.value, block)  # type: ignore[attr-defined]
        if isinstance(node, ast.AugAssign):
            value = f"{name} {_OPERATORS[type(node.op)]} ({value})"
        found.append(f"{'' if name in there else 'Number '}{name} = {value};")
        there.add(name)
    return found


def _expression(node: ast.AST, block: Equations) -> str:
    if (value := _number(node, block.numbers)) is not None:
        return _literal(value)
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return _power(node, block)
    if isinstance(node, ast.BinOp):
        return f"({_expression(node.left, block)} {_OPERATORS[type(node.op)]} {_expression(node.right, block)})"
    if isinstance(node, ast.UnaryOp):
        return f"({_OPERATORS[type(node.op)]}{_expression(node.operand, block)})"
    if isinstance(node, ast.BoolOp):
        return "(" + f" {_OPERATORS[type(node.op)]} ".join(_expression(v, block) for v in node.values) + ")"
    if isinstance(node, ast.Compare):
        other = _expression(node.comparators[0], block)
        return f"({_expression(node.left, block)} {_OPERATORS[type(node.ops[0])]} {other})"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, [_expression(argument, block) for argument in node.args])
    raise AssertionError(f"{ast.unparse(node)} is not in the grammar, which is checked before")


def _power(node: ast.BinOp, block: Equations) -> str:
    """As torch has it: squares, cubes and roots are what they are."""
    base, exponent = _expression(node.left, block), _number(node.right, block.numbers)
    named = {2.0: "square", 3.0: "cube", 0.5: "std::sqrt"}
    if exponent in named:
        return f"{named[exponent]}(Number({base}))"
    return f"std::pow(Number({base}), Number({_expression(node.right, block)}))"


def _call(name: str, arguments: list[str]) -> str:
    if name == "clip":
        return f"least(most({arguments[0]}, {arguments[1]}), {arguments[2]})"
    found = arguments[0]
    if len(arguments) == 1:
        return f"{_FUNCTIONS[name]}(Number({found}))"
    for other in arguments[1:]:
        found = f"{_FUNCTIONS[name]}({found}, {other})"
    return found


def _number(node: ast.AST, numbers: Mapping[str, float]) -> float | None:
    """The value of what is made of numbers alone, as Python works it out."""
    if any((isinstance(part, ast.Name) and part.id not in numbers and part.id not in FUNCTIONS)
           or isinstance(part, (ast.Compare, ast.BoolOp, ast.Not)) for part in ast.walk(node)):  # fmt: skip
        return None
    try:
        code = compile(ast.fix_missing_locations(ast.Expression(node)), "<number>", "eval")  # type: ignore[arg-type]
        return float(eval(code, {"__builtins__": {}}, {**FUNCTIONS, **numbers}))
    except (ArithmeticError, ValueError):
        return None


def _literal(value: float) -> str:
    if math.isnan(value):
        return "std::numeric_limits<Number>::quiet_NaN()"
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}std::numeric_limits<Number>::infinity()"
    return f"Number({value!r})"
