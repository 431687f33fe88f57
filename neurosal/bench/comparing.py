"""Figures beside earlier ones: what got slower or faster by more than the spread of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from neurosal.errors import ExperimentError, Problem

SAME = ("processor", "cores", "torch", "device")  # what should be equal on both sides


def read(path: str | Path) -> dict[str, Any]:
    """What an earlier bench wrote.

    Raises:
        ExperimentError: when it cannot be read, or is something else.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ExperimentError(_problem(path, f"{reason}")) from None
    if not isinstance(found, dict) or not isinstance(found.get("results"), list):
        raise ExperimentError(_problem(path, "no list of results in it"))
    return found


def _problem(path: str | Path, found: str) -> Problem:
    return Problem(
        place=f"--compare {path}",
        expected="a JSON file that `neurosal bench --out` wrote",
        found=found,
        remedy="Write one with `neurosal bench --out FILE`.",
    )


def medians(report: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str], tuple[float, float, float]]]:
    """(comparison, work, contender) and (median, low, high) of everything that was timed in turns."""
    for result in report["results"]:
        if not isinstance(result, dict):
            continue
        entries = result.get("contenders")
        for name, t in entries.items() if isinstance(entries, dict) else ():
            values = [t.get(key) for key in ("median_s", "low_s", "high_s")] if isinstance(t, dict) else []
            numbers = [float(value) for value in values if isinstance(value, (int, float)) and value > 0]
            if len(numbers) == 3:
                key = (str(result.get("comparison")), str(result.get("work")), str(name))
                yield key, (numbers[0], numbers[1], numbers[2])


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """What changed by more than the spread: the quartiles of both sides do not overlap.

    Returns:
        ``slower`` and ``faster``: entries with comparison, work, contender, old and new median and their ratio, the
        largest change first; ``compared``: how many there were on both sides; ``differs``: what of the machine is not
        the same.
    """
    before, after = dict(medians(old)), dict(medians(new))
    found: dict[str, list[dict[str, Any]]] = {"slower": [], "faster": []}
    both = [key for key in after if key in before]
    for key in both:
        (was, was_low, was_high), (now, now_low, now_high) = before[key], after[key]
        verdict = "slower" if now_low > was_high else "faster" if now_high < was_low else None
        if verdict is not None:
            entry = dict(zip(("comparison", "work", "contender"), key, strict=True))
            found[verdict].append({**entry, "old_s": was, "new_s": now, "ratio": now / was})
    found["slower"].sort(key=lambda entry: -entry["ratio"])
    found["faster"].sort(key=lambda entry: entry["ratio"])
    here, there = (dict(report["machine"]) if isinstance(report.get("machine"), dict) else {} for report in (old, new))
    differs = [key for key in SAME if key in here and here[key] != there.get(key)]
    return {**found, "compared": len(both), "differs": differs}


def show(console: Console, found: Mapping[str, Any], path: str | Path) -> None:
    """Print what `compare` found."""
    slower, faster = len(found["slower"]), len(found["faster"])
    console.print(
        f"beside {path}: of {found['compared']} timings {slower} slower and {faster} faster by more than the spread",
        highlight=False, markup=False,
    )  # fmt: skip
    if found["differs"]:
        console.print(f"  not the same machine or versions: {', '.join(found['differs'])} differ", highlight=False)
    for verdict in ("slower", "faster"):
        for entry in found[verdict]:
            console.print(
                f"  {verdict} {entry['ratio']:.2f} ×: {entry['contender']}, {entry['comparison']} {entry['work']} "
                f"({entry['old_s'] * 1e3:.3g} ms → {entry['new_s'] * 1e3:.3g} ms)",
                highlight=False, markup=False,
            )  # fmt: skip
