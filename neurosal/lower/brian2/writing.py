"""Texts of Python for scripts: equations, constants, numbers of distributions."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from neurosal.graph import Constant, Given, Initialiser, LogNormal, Normal, TruncatedNormal, Uniform
from neurosal.lower.brian2.describing import Namespace
from neurosal.lower.brian2.naming import quantity

LONGEST = 200  # letters of a value in a comment

HELPERS = {
    "truncated": '''

def truncated(mean, std, low, high, count):
    """N(mean, std), drawn anew where it falls outside low and high."""
    values = random.normal(mean, std, count)
    while (outside := (values < low) | (values > high)).any():
        values[outside] = random.normal(mean, std, outside.sum())
    return values
''',
    "chosen": '''

def chosen(rows, columns, count, own):
    """For each row that many different columns, only if `own` its own number among them: (rows, columns)."""
    found = [random.choice(columns - (not own), count, replace=False) for _ in range(rows)]
    found = [some if own else some + (some >= row) for row, some in enumerate(found)]
    return np.repeat(np.arange(rows), count), np.concatenate(found)
''',
}


def draw(init: Initialiser | float, count: str, fan_in: float, fan_out: float) -> str:
    """Numbers of a distribution, as an expression of NumPy.

    Args:
        count: how many, as an expression.
        fan_in, fan_out: synapses that arrive at a unit and leave one.

    Example:
        >>> draw(Uniform(low=-1.0, high=2.0), "len(feedback)", 1, 1)
        'random.uniform(-1.0, 2.0, len(feedback))'
    """
    match init:
        case float() | int():
            return f"np.full({count}, {float(init)!r})"
        case Constant():
            return f"np.full({count}, {init.value!r})"
        case Normal():
            return f"random.normal({init.mean!r}, {init.std!r}, {count})"
        case LogNormal():
            return f"random.lognormal({init.log_mean!r}, {init.log_std!r}, {count})"
        case Uniform():
            return f"random.uniform({init.low!r}, {init.high!r}, {count})"
        case TruncatedNormal():
            low = "-np.inf" if init.low is None else repr(init.low)
            high = "np.inf" if init.high is None else repr(init.high)
            return f"truncated({init.mean!r}, {init.std!r}, {low}, {high}, {count})"
        case Given():
            return f"np.array({list(init.values)})"
    deviation = init.deviation(fan_in, fan_out)  # type: ignore[arg-type]
    if "uniform" in init.kind:
        return f"random.uniform({-(3**0.5) * deviation!r}, {3**0.5 * deviation!r}, {count})"
    return f"random.normal(0, {deviation!r}, {count})"


def text_of(statements: Iterable[str], *, always: bool = False) -> str:
    """Statements as a string of Python.

    Args:
        always: whether over several lines even if it is one.
    """
    lines = list(statements)
    assert not any('"' in line for line in lines)
    if len(lines) == 1 and not always:
        return f'"{lines[0]}"'
    return '"""\n' + "\n".join(f"    {line}" for line in lines) + '\n    """' if lines else '""'


def namespace_of(constants: Namespace, tables: Mapping[str, str]) -> str:
    """Constants with their units, as a dict of Python.

    Args:
        tables: name in equations → name in the script.
    """
    entries = [f'"{name}":~{quantity(value, said)},' for name, (value, said) in constants.items()]
    entries += [f'"{name}":~{text},' for name, text in tables.items()]
    if len(entries) == 1:
        return f"{{{entries[0].rstrip(',')}}}".replace("~", " ")
    lines = textwrap.wrap(" ".join(entries), 92, break_long_words=False, break_on_hyphens=False)
    return "\n".join(["{", *(f"        {line}" for line in lines), "    }"]).replace("~", " ")


def time_of(steps: int, dt_ms: float) -> str:
    """So many steps, as a quantity.

    Example:
        >>> time_of(3, 0.1)
        '0.3*ms'
    """
    return f"{steps * dt_ms:.12g}*ms"


def array_of(values: Any) -> str:
    """An array, or a number, of Python."""
    return repr(float(values)) if values.ndim == 0 else f"np.array({values.tolist()!r})"


def short(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
