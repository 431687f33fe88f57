"""A row of results: every contender is checked, the best variant of each is found, and the best are timed in turns."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from rich.console import Console

from neurosal.bench.agreement import Refused
from neurosal.bench.contenders import Contender
from neurosal.bench.results import Goal, rates_for, ratio, row, show
from neurosal.bench.timing import Effort, Heat, heat, interleaved, threads_put_back

Measured = tuple[Goal, str, Sequence[str]]  # a goal on the time of one contender over the fastest of others


def race(
    console: Console,
    comparison: str,
    work: str,
    contenders: Sequence[Contender],
    effort: Effort,
    *,
    reference: str = "torch backprop",
    goals: Sequence[Measured] = (),
    notes: Sequence[str] = (),
    more: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Check and time contenders, print the table, and return what was measured.

    Args:
        console: where to print; nothing is printed before all contenders have been checked.
        comparison, work: what it is.
        contenders: variants of one family (a form of the optimiser, eager or compiled) compete in short heats first,
            and the best of them is timed with the others.
        effort: how long.
        reference: beginning of the names of which the fastest is 1.
        goals: to stand beside the ratios.
        notes: lines to print below.
        more: looks at the row, and may add to it, before it is printed.

    Raises:
        Refused: where a contender of ours computes something else.
    """
    notes, right, differences = list(notes), [], {}
    for contender in contenders:
        try:
            differences[contender.name] = contender.check()
        except Exception as error:
            if not contender.rival:
                raise
            if isinstance(error, Refused):
                notes.append(str(error))
            else:  # what a rival cannot do here (compile, for one) is said, and the others are timed
                notes.append(f"{contender.name}: failed, {type(error).__name__}: {str(error).strip()[:200]}")
        else:
            right.append(contender)
    finalists, heats = _best_variants(right, effort)
    before = rates_for(finalists, effort)
    timings = interleaved({entry.name: entry.step for entry in finalists}, effort, heats)
    after = rates_for(finalists, effort)
    rates = {
        "matrix": {name: max(value, after["matrix"][name]) for name, value in before["matrix"].items()},
        "copy": max(before["copy"], after["copy"]),
    }
    names = [entry.name for entry in finalists if entry.name.startswith(reference)] or [finalists[0].name]
    variants = {name: taken for name, (_, taken) in heats.items() if name not in timings}
    found = row(
        comparison, work, finalists, timings, rates,
        reference=names, heats=variants, notes=notes, differences=differences,
    )  # fmt: skip
    found["goals"] = [goal.judged(ratio(found, above, below)) for goal, above, below in goals]
    if more is not None:
        more(found)
    show(console, found)
    _forget_compiled()
    return found


def _forget_compiled() -> None:
    """What was compiled for one row has no place in the next: torch keeps few forms of a function, and then none."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
    gc.collect()  # a net and what was compiled from it hold each other


def _best_variants(contenders: Sequence[Contender], effort: Effort) -> tuple[list[Contender], dict[str, Heat]]:
    """The fastest of each family, and the heats."""
    families: dict[str, list[Contender]] = {}
    for contender in contenders:
        families.setdefault(contender.family, []).append(contender)
    heats: dict[str, Heat] = {}
    best = []
    with threads_put_back():
        for members in families.values():
            if len(members) > 1:
                heats |= {member.name: heat(member.step, effort) for member in members}
            best.append(min(members, key=lambda member: heats.get(member.name, (0, 0.0))[1]))
    return best, heats
