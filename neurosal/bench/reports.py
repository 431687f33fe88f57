"""How long the report of a long run takes: opening a million steps of fifty statistics and writing their page."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
from rich.console import Console

from neurosal import library
from neurosal.bench.timing import Effort
from neurosal.record import Recorder, schema

STEPS, STATISTICS = 1_000_000, 50
BLOCK = 10_000  # steps recorded at once
GOAL_S = 10.0


def compare(
    console: Console, effort: Effort, *, steps: int = STEPS, statistics: int = STATISTICS, repeats: int = 3
) -> dict[str, Any]:
    """Record a run of one seed, then open it and write its report `repeats` times; print the median, and return what
    was measured. The store lies in the system's cache: a cold disk adds the time to read it."""
    if effort.quick:
        steps, statistics, repeats = 25_000, 4, 2
    # The catalogue's door, so that nothing here knows who writes the page.
    report: Any = library.find("analyses", "report")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "long"
        size = _record(folder, steps, statistics)
        seconds, pages = [], []
        for _ in range(repeats):
            began = time.perf_counter()
            page = report(folder)
            report.write(page, folder / "report.html")
            seconds.append(time.perf_counter() - began)
            pages.append((folder / "report.html").stat().st_size)
    median = float(numpy.median(seconds))
    console.print(
        f"report of {steps:,} steps × {statistics} statistics ({size / 1e6:.0f} MB): {median:.1f} s "
        f"({min(seconds):.1f} to {max(seconds):.1f}; goal {GOAL_S:.0f}), page {pages[-1] / 1e6:.2f} MB"
    )
    return {"comparison": "report", "steps": steps, "statistics": statistics, "store_bytes": size,
            "page_bytes": pages[-1], "median_s": median, "low_s": min(seconds), "high_s": max(seconds)}  # fmt: skip


def _record(folder: Path, steps: int, statistics: int) -> int:
    """A run with angles and norm ratios of half as many projections at every step; returns its size in bytes."""
    pairs = {f"projection{number}": 64 for number in range(statistics // 2)}
    generator = numpy.random.default_rng(0)
    symmetry, loss = schema.symmetry("every_1", pairs), schema.training_metrics()
    with Recorder.create(
        folder, circuit={}, settings={"training": {"epochs": 1000}}, replicas={"seed": [0]}
    ) as recorder:
        for group in (symmetry, loss):
            recorder.declare(group, expected=steps)
        for first in range(0, steps, BLOCK):
            step = numpy.arange(first, min(first + BLOCK, steps))
            noise = generator.random((1, len(step), len(pairs)))
            when = {schema.STEP: step, schema.EPOCH: step / 1000}
            recorder.extend(symmetry.path, when | {"angle": 90 - noise, "norm_ratio": 1 + noise})
            recorder.extend(loss.path, when | {"loss": noise[:, :, 0]})
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
