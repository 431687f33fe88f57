"""What statistics cost while training: all cheap ones of symmetry, beside the steps between two of them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from neurosal.bench.contenders import LEARNING_RATE, RULES, Step
from neurosal.bench.timing import Effort, interleaved
from neurosal.bench.works import Work
from neurosal.engine.network import compile
from neurosal.engine.sweep import no_grad
from neurosal.runner.measuring import both_ways
from neurosal.runner.recordable import Recordable
from neurosal.settings.optimizers import SGD
from neurosal.stats.catalogue import catalogue, measure

WORK, QUICK = Work((784, 1000, 1000, 10), 128, replicas=5), Work((6, 5, 3), 8, replicas=3)
EVERY = 10  # steps
TRIED = ("fa", "kp")


def cheap() -> list[str]:
    """The statistics of symmetry that need no more than a pass over the weights."""
    return [name for name, entry in catalogue("symmetry").items() if entry.cost == "passes"]


def compare(console: Console, effort: Effort, *, work: Work = WORK) -> dict[str, Any]:
    """Time a step and all cheap statistics of symmetry in turns; print the share of the time that they add every
    `EVERY` steps, and return what was measured."""
    work = QUICK if effort.quick else work
    contenders: dict[str, Step] = {}
    for rule in TRIED:
        contenders |= _pair_of(work, rule)
    timings = interleaved(contenders, effort)
    names = cheap()
    title = (
        f"{work}: {len(names)} statistics of symmetry every {EVERY} steps, beside these (median of interleaved turns)"
    )
    console.print(title)
    table = Table(box=None)
    for heading in ("rule", "added", "statistics", "step", "threads"):
        table.add_column(heading, justify="left" if heading == "rule" else "right")
    added = {}
    for rule in TRIED:
        step, statistics = timings[f"{rule} step"], timings[f"{rule} statistics"]
        added[rule] = statistics.median / (EVERY * step.median)
        cells = (f"{added[rule]:.1%}", f"{statistics.median * 1e3:.1f} ms", f"{step.median * 1e3:.1f} ms")
        table.add_row(rule, *cells, f"{statistics.threads}, {step.threads}")
    console.print(table)
    return {
        "comparison": "statistics", "work": str(work), "statistics": names, "every": EVERY, "added": added,
        "contenders": {
            name: {"median_s": t.median, "low_s": t.low, "high_s": t.high, "threads": t.threads}
            for name, t in timings.items()
        },
    }  # fmt: skip


def _pair_of(work: Work, rule: str) -> dict[str, Step]:
    """A training step of a network, and its statistics as a probe takes them."""
    network = compile(RULES[rule][0](work.circuit()), seeds=range(work.replicas), device="cpu")
    x, y = work.data()
    optimizer, names = SGD(lr=LEARNING_RATE), cheap()
    recordable = Recordable(network.plan)

    def statistics() -> None:
        with no_grad():
            for pair in recordable.pairs:
                measure(names, *both_ways(network, pair))

    return {f"{rule} step": lambda: network.step(x, y, optimizer=optimizer), f"{rule} statistics": statistics}
