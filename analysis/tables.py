"""Tables for a terminal and for Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of text under named columns, with what a reader must know below.

    Args:
        columns: headings; those in `numbers` are aligned to the right.
        rows: as many entries each as there are columns.
        title: above.
        remarks: below, one line each.
        numbers: names of columns that hold numbers.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    remarks: tuple[str, ...] = ()
    numbers: frozenset[str] = frozenset()

    def __str__(self) -> str:
        widths = [max(len(entry) for entry in column) for column in zip(self.columns, *self.rows, strict=True)]
        lines = [self.title] if self.title else []
        lines += [self._line(self.columns, widths), "  ".join("─" * width for width in widths)]
        lines += [self._line(row, widths) for row in self.rows]
        return "\n".join([*lines, *self.remarks])

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        padded = [
            entry.rjust(width) if column in self.numbers else entry.ljust(width)
            for column, entry, width in zip(self.columns, row, widths, strict=True)
        ]
        return "  ".join(padded).rstrip()

    def markdown(self) -> str:
        """The table in Markdown."""
        marks = ["---:" if column in self.numbers else ":---" for column in self.columns]
        lines = [f"**{self.title}**", ""] if self.title else []
        lines += [_cells(self.columns), "|" + "|".join(marks) + "|", *(_cells(row) for row in self.rows)]
        return "\n".join([*lines, *(f"\n{remark}" for remark in self.remarks)])


def _cells(row: Sequence[str]) -> str:
    return "| " + " | ".join(entry.replace("|", "\\|") for entry in row) + " |"


def number(value: float, digits: int = 4) -> str:
    """A number as people write it: 0.1, 1e-4, 203,530."""
    if not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    if abs(value) < 1e-3 or abs(value) >= 1e5:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.{digits}g}"


def plus_minus(mean: float, deviation: float, decimals: int = 1) -> str:
    """``97.3 ± 0.4``; the mean alone where there is no deviation, a dash where there is no mean."""
    if not math.isfinite(mean):
        return "–"
    return f"{mean:.{decimals}f}" + (f" ± {deviation:.{decimals}f}" if math.isfinite(deviation) else "")


def listed(names: Sequence[str], limit: int = 8) -> str:
    """Names in one line: ``a, b and c``; a name with a comma in it stands in quotes."""
    names = [f"“{name}”" if "," in name else name for name in names]
    shown = [*names[:limit], f"{len(names) - limit} more"] if len(names) > limit else names
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
