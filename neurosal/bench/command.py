"""`neurosal bench [WHAT]`: which comparisons there are, and how they are printed and kept."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from neurosal.bench import reading, recording, reports, statistics
from neurosal.bench.contenders import Work, agree, ours, theirs
from neurosal.bench.timing import Timing, interleaved, matrix_rate
from neurosal.errors import ExperimentError, Problem, near
from neurosal.record.files import store_errors

RIVALS = {"torch backprop": False, "torch backprop, fused SGD": True}
COMPARISONS: dict[str, dict[Work, tuple[str, ...]]] = {
    "rules": {
        Work((784, 1000, 1000, 10), 128): ("bp", "dfa", "fa", "kp", "pfa"),
        Work((784, 128, 128, 10), 32): ("bp", "dfa", "fa", "kp", "pfa"),
    },
    "replicas": {Work((784, 128, 128, 10), 32, replicas=8): ("bp", "dfa", "fa", "kp")},
}
OTHERS: dict[str, Callable[..., dict[str, Any]]] = {
    "statistics": statistics.compare,
    "recording": recording.compare,
    "report": reports.compare,
    "reading": reading.compare,
}


def main(
    what: str | None = None, *, out: str | Path | None = None, turns: int = 21, seconds_a_turn: float = 0.15
) -> dict[str, Any]:
    """Run one comparison, or all; print a table of ratios to torch backpropagation and return what was measured.

    Args:
        what: "rules" (a step under each rule), "replicas" (8 seeds as one batch against one after another),
            "statistics" (those of symmetry beside the steps between them), "recording" (what it adds to training, its
            rate, and what a kill loses), "report" (of a million recorded steps) or "reading" (a record through time, as
            it was recorded and packed).
        out: file for the figures as JSON.
        turns, seconds_a_turn: how often contenders take turns, and for how long.

    Raises:
        ExperimentError: for an unknown comparison. StoreError: for a file that cannot be written, before anything is
            measured.
    """
    known = [*COMPARISONS, *OTHERS]
    if what is not None and what not in known:
        raise ExperimentError(
            Problem(place="bench", expected="a comparison", found=repr(what), remedy=near(what, known))
        )
    if out is not None:
        with store_errors(Path(out), "write what was measured"):
            Path(out).open("a").close()  # minutes of measuring are not to be lost
    threads = tuple(sorted({1, min(2, os.cpu_count() or 1)}))
    report: dict[str, Any] = {"machine": _machine(), "threads": list(threads), "results": []}
    console = Console()
    for name in [what] if what else known:
        if name in OTHERS:
            turn = {"threads": threads, "turns": turns, "seconds_a_turn": seconds_a_turn}
            report["results"].append(OTHERS[name](console, **turn))
            continue
        for work, rules in COMPARISONS[name].items():
            agree(work)
            contenders = {rival: theirs(work, fused=fused) for rival, fused in RIVALS.items()}
            contenders |= {rule: ours(work, rule) for rule in rules}
            timings = interleaved(contenders, threads=threads, turns=turns, seconds_a_turn=seconds_a_turn)
            rate = matrix_rate(threads)
            report["results"].append(_row(name, work, timings, rate))
            console.print(_table(work, timings, rate))
    if out is not None:
        Path(out).write_text(json.dumps(report, indent=1) + "\n")
    return report


def _reference(timings: dict[str, Timing]) -> float:
    """The rival at its best."""
    return min(timings[name].median for name in RIVALS)


def _row(name: str, work: Work, timings: dict[str, Timing], rate: float) -> dict[str, Any]:
    reference = _reference(timings)
    return {
        "comparison": name,
        "work": str(work),
        "matrix_rate_gflops": round(rate / 1e9, 1),
        "floor_s": work.operations() / rate,
        "contenders": {
            contender: {"median_s": t.median, "low_s": t.low, "high_s": t.high, "threads": t.threads,
                        "ratio": t.median / reference}
            for contender, t in timings.items()
        },
    }  # fmt: skip


def _table(work: Work, timings: dict[str, Timing], rate: float) -> Table:
    title = f"{work}: time a step over torch backpropagation (median of interleaved turns)"
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("contender", "ratio", "median", "quartiles", "threads", "floor/time"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    reference, floor = _reference(timings), work.operations() / rate
    for name, t in timings.items():
        quartiles = f"{t.low * 1e6:.0f}-{t.high * 1e6:.0f} µs"
        cells = (f"{t.median / reference:.2f}", f"{t.median * 1e6:.0f} µs", quartiles, str(t.threads))
        table.add_row(name, *cells, f"{floor / t.median:.2f}")
    table.caption = (
        f"floor: products of a backpropagation step at the measured {rate / 1e9:.0f} GFLOP/s; dfa needs fewer"
    )
    return table


def _machine() -> dict[str, Any]:
    return {
        "processor": platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "python": platform.python_version(), "torch": torch.__version__,
    }  # fmt: skip
