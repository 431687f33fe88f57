"""Curves as text: braille characters, two by four dots each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.text import Text

from neurosal.record.following import Curve, Panel

COLOURS = ("cyan", "yellow", "green", "magenta", "red", "blue", "bright_cyan", "bright_yellow", "bright_green", "white")
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column within a character
_BLANK = 0x2800
WIDE = 100.0  # from this ratio of largest to least on, the axis is logarithmic

Values = np.ndarray[Any, Any]


def draw(panel: Panel, width: int, height: int) -> Text:
    """A panel with its title, axes, and a legend with the newest values.

    Args:
        panel: what to draw.
        width: characters in all.
        height: lines of the plot itself; title, axis and legend come on top.

    Example:
        >>> import numpy
        >>> steps = numpy.arange(5.0)
        >>> print(draw(Panel("metrics/train/loss", (Curve("", steps, steps),)), 24, 2).plain)
        metrics/train/loss
              4 ┤⠀⠀⠀⠀⠀⠀⠀⠀⣀⡠⠤⠒⠒⠉
              0 ┤⣀⠤⠤⠒⠒⠊⠉⠉⠀⠀⠀⠀⠀⠀
                 0       step 4
          ━ 4
    """
    curves = [Curve(c.label, *_finite(c)) for c in panel.curves]
    steps = np.concatenate([curve.steps for curve in curves])
    values = np.concatenate([curve.values for curve in curves])
    text = Text(panel.path, style="bold")
    if not len(values):
        return text.append("\n  nothing recorded yet, or nothing finite", style="dim")
    logarithmic = bool(values.min() > 0 and values.max() / values.min() > WIDE)
    if logarithmic:
        text.append("  (logarithmic)", style="not bold dim")
        curves = [Curve(curve.label, curve.steps, np.log10(curve.values)) for curve in curves]
        values = np.log10(values)
    low, high = float(values.min()), float(values.max())
    margin = 9
    columns = max(width - margin - 1, 8)
    start, end = float(steps.min()), float(steps.max())
    dots, owner = raster(curves, columns, height, (start, end), (low, high))
    for row in range(height):
        share = row / max(height - 1, 1)
        value = high - share * (high - low)
        shown = row in (0, height - 1) or (height > 6 and row == height // 2)
        label = _number(10**value if logarithmic else value) if shown else ""
        text.append(f"\n{label:>{margin - 2}} ", style="not bold dim").append(
            "┤" if shown else "│", style="not bold dim"
        )
        for column in range(columns):
            style = COLOURS[owner[row, column] % len(COLOURS)] if owner[row, column] >= 0 else ""
            text.append(chr(_BLANK + int(dots[row, column])), style=f"not bold {style}")
    left, right = f"{start:,.0f}", f"step {end:,.0f}"
    text.append(f"\n{'':{margin}}{left}{right:>{max(columns - len(left), len(right) + 1)}}", style="not bold dim")
    for index, curve in enumerate(curves):
        style = COLOURS[index % len(COLOURS)]
        text.append("\n  " if index % 3 == 0 else "   ").append("━ ", style=f"not bold {style}")
        last = (10 ** curve.values[-1] if logarithmic else curve.values[-1]) if len(curve.values) else math.nan
        text.append(f"{curve.label} {_number(last)}".strip(), style="not bold")
    return text


def _finite(curve: Curve) -> tuple[Values, Values]:
    known = np.isfinite(curve.values)
    return curve.steps[known], curve.values[known]


def raster(
    curves: Sequence[Curve], columns: int, height: int, x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[Values, Values]:
    """Dots of each character, and the number of the curve that it belongs to (-1: none); later curves lie on top.

    Where many points fall into one column of dots, all from the least to the largest are set: no spike is lost.
    """
    wide, tall = 2 * columns, 4 * height
    dots = np.zeros((height, columns), dtype=np.uint8)
    owner = np.full((height, columns), -1, dtype=np.int64)
    x_span, y_span = (b - a or 1.0 for a, b in (x_range, y_range))
    for number, curve in enumerate(curves):
        if not len(curve.steps):
            continue
        x = np.rint((curve.steps - x_range[0]) / x_span * (wide - 1)).astype(int)
        y = np.rint((y_range[1] - curve.values) / y_span * (tall - 1)).astype(int)
        first = np.flatnonzero(np.r_[True, np.diff(x) != 0])
        least, most = np.minimum.reduceat(y, first), np.maximum.reduceat(y, first)
        last = np.r_[first[1:], len(x)] - 1
        for index, begin in enumerate(first):
            _column(dots, owner, number, int(x[begin]), int(least[index]), int(most[index]))
            if index + 1 < len(first):
                _line(dots, owner, number, (int(x[begin]), int(y[last[index]])),
                      (int(x[first[index + 1]]), int(y[first[index + 1]])))  # fmt: skip
    return dots, owner


def _column(dots: Values, owner: Values, number: int, x: int, top: int, bottom: int) -> None:
    for y in range(top, bottom + 1):
        dots[y // 4, x // 2] |= _DOTS[y % 4][x % 2]
        owner[y // 4, x // 2] = number


def _line(dots: Values, owner: Values, number: int, begin: tuple[int, int], end: tuple[int, int]) -> None:
    count = max(abs(end[0] - begin[0]), abs(end[1] - begin[1]))
    for index in range(count + 1):
        share = index / max(count, 1)
        x, y = (round(a + share * (b - a)) for a, b in zip(begin, end, strict=True))
        _column(dots, owner, number, x, y, y)


def _number(value: float) -> str:
    text = f"{value:.3g}"
    return text if len(text) <= 7 else f"{value:.1e}"
