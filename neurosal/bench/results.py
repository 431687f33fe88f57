"""What was measured, as JSON and as tables: ratios, spreads, floors, and the goals beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from neurosal.bench.contenders import Contender
from neurosal.bench.timing import Effort, Timing, copy_rate, matrix_rate


@dataclass(frozen=True)
class Goal:
    """A number to reach.

    Args:
        what: which figure, in words.
        most, least: the goal, from one side.
        stretch: the goal beyond.
    """

    what: str
    most: float | None = None
    least: float | None = None
    stretch: float | None = None

    def judged(self, measured: float | None) -> dict[str, Any]:
        """The goal beside what was measured (None: it could not be)."""
        sign, limit = ("≤", self.most) if self.most is not None else ("≥", self.least)
        assert limit is not None
        met = None if measured is None else bool(measured <= limit if sign == "≤" else measured >= limit)
        found: dict[str, Any] = {"what": self.what, "measured": measured, "goal": f"{sign} {limit:g}", "met": met}
        if self.stretch is not None:
            found["stretch"] = f"{sign} {self.stretch:g}"
        return found


def rates_for(contenders: Sequence[Contender], effort: Effort) -> dict[str, Any]:
    """Matrix rates of the types that contenders compute in, and the copy rate at the size of what they touch."""
    types = sorted({str(contender.compute).removeprefix("torch.") for contender in contenders})
    # Each weight is touched about thrice, and so is each signal, which are larger where weights are shared by places.
    size = int(max(max(entry.cost.weight_bytes, entry.cost.signal_bytes) for entry in contenders) / 3)
    return {
        "matrix": {name: matrix_rate(effort, dtype=getattr(torch, name)) for name in types},
        "copy": copy_rate(effort, size),
    }


def row(
    comparison: str,
    work: str,
    contenders: Sequence[Contender],
    timings: Mapping[str, Timing],
    rates: Mapping[str, Any],
    *,
    reference: Sequence[str],
    heats: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
    differences: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """One row of results.

    Args:
        comparison, work: what it is.
        contenders: those that were timed.
        timings: of each, by name.
        rates: of `rates_for`.
        reference: names of which the fastest is 1.
        heats: seconds of variants that did not come into the turns.
        notes: what else is to be said.
        differences: of the check of one step.
    """
    best = min(timings[name].median for name in reference)
    entries: dict[str, Any] = {}
    for contender in contenders:
        t = timings[contender.name]
        rate = rates["matrix"][str(contender.compute).removeprefix("torch.")]
        floor = contender.cost.floor(rate, rates["copy"])
        entries[contender.name] = {
            "median_s": t.median, "low_s": t.low, "high_s": t.high, "threads": t.threads, "turns": t.turns,
            "ratio": t.median / best, "operations": contender.cost.operations, "bytes": contender.cost.bytes,
            "floor_s": floor, "floor_over_time": floor / t.median,
            "floor_of": "operations" if contender.cost.operations / rate >= floor else "bytes",
            **contender.extra(),
        }  # fmt: skip
        if differences and contender.name in differences:
            entries[contender.name]["difference_of_one_step"] = differences[contender.name]
    matrix = rates["matrix"]
    found: dict[str, Any] = {
        "comparison": comparison, "work": work,
        "matrix_rate_gflops": round(matrix.get("float32", max(matrix.values())) / 1e9, 1),
        "matrix_rates_gflops": {name: round(value / 1e9, 1) for name, value in matrix.items()},
        "copy_rate_gbs": round(rates["copy"] / 1e9, 1),
        "contenders": entries,
    }  # fmt: skip
    if heats:
        found["heats_s"] = dict(heats)
    found["notes"] = list(notes)
    return found


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print a row of results as a table, with its notes and goals."""
    title = f"{found['comparison']}: {found['work']} (medians of interleaved turns)"
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("contender", "ratio", "median", "quartiles", "threads", "floor/time"):
        table.add_column(heading, justify="left" if heading == "contender" else "right", no_wrap=True)
    for name, t in found["contenders"].items():
        unit, scale = ("µs", 1e6) if t["median_s"] < 1e-2 else ("ms", 1e3)
        digits = 0 if t["median_s"] * scale >= 100 else 1
        numbers = [f"{t[key] * scale:.{digits}f}" for key in ("median_s", "low_s", "high_s")]
        table.add_row(
            name, f"{t['ratio']:.2f}", f"{numbers[0]} {unit}", f"{numbers[1]}-{numbers[2]} {unit}", str(t["threads"]),
            f"{t['floor_over_time']:.2f} {t['floor_of'][0]}",
        )  # fmt: skip
    rates = ", ".join(f"{value:.0f} GFLOP/s {name}" for name, value in found["matrix_rates_gflops"].items())
    console.print(table)
    console.print(f"  floor: operations (o) at the measured {rates}, or bytes (b) at {found['copy_rate_gbs']} GB/s")
    show_rest(console, found)


def show_rest(console: Console, found: Mapping[str, Any]) -> None:
    """Print the notes and goals of a row."""
    for note in found.get("notes", ()):
        console.print(f"  {note}", highlight=False, markup=False)
    for goal in found.get("goals", ()):
        measured = "not measured" if goal["measured"] is None else f"{goal['measured']:.3g}"
        met = {True: "met", False: "missed", None: "open"}[goal["met"]]
        stretch = f", stretch {goal['stretch']}" if "stretch" in goal else ""
        console.print(
            f"  goal: {goal['what']} {goal['goal']}{stretch}: {measured}, {met}", highlight=False, markup=False
        )
    console.print()


def ratio(found: Mapping[str, Any], above: str, below: str | Sequence[str]) -> float | None:
    """Median time of one contender over the fastest of others; names may be the beginnings of names. None where one
    is not there."""
    entries = found["contenders"]

    def fastest(names: Sequence[str]) -> float | None:
        chosen = [t["median_s"] for name, t in entries.items() if name.startswith(tuple(names))]
        return min(chosen, default=None)

    one, other = fastest([above]), fastest([below] if isinstance(below, str) else below)
    return None if one is None or other is None else one / other
