"""A step of the digits study of e-prop: 16 seeds as one batch beside 16 networks one after another.

Expected: at batch 4 a step of one seed is some 50 time steps of kernels that take microseconds whatever they do, and
one product for the changes. Sixteen seeds share the kernels; what is left for each seed is its spikes, its rows of
elementwise work and its product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from neurosal.bench.agreement import Refused
from neurosal.bench.contenders import Step
from neurosal.bench.results import Goal, show_rest
from neurosal.bench.timing import Effort, interleaved
from neurosal.engine.network import Network, compile
from neurosal.graph import Circuit
from neurosal.library import build
from neurosal.rules import bptt, eprop
from neurosal.settings.experiment import Recipe
from neurosal.settings.optimizers import AdamW

SEEDS, BATCH, LEAST, TOLERANCE = 16, 4, 4.0, 1e-4
RULES: dict[str, Callable[[Circuit], Circuit]] = {
    "e-prop, symmetric": partial(eprop, feedback="symmetric"),
    "e-prop, random": partial(eprop, feedback="random"),
    "e-prop, adaptive": partial(eprop, feedback="adaptive"),
    "BPTT": bptt,
}
QUICK = {"units": 8, "row_ms": 1.0, "silent_ms": 0.0}


def compare(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """One row for each rule; prints each when it is done, and returns them. Before anything is timed, every replica of
    the batch must have changed as its seed does alone."""
    seeds = 3 if effort.quick else SEEDS
    return [_row(console, effort, name, rule(_circuit(effort)), seeds) for name, rule in RULES.items()]


def _circuit(effort: Effort) -> Circuit:
    """That of the study, by its name: built-in members are found through the library."""
    return build(Recipe(circuit="row_reader", arguments=QUICK if effort.quick else {}, rule="shallow"), place="bench")


def _row(console: Console, effort: Effort, name: str, circuit: Circuit, seeds: int) -> dict[str, Any]:
    whole = compile(circuit, seeds=range(seeds), device=effort.device)
    single = [compile(circuit, seeds=(seed,), device=effort.device) for seed in range(seeds)]
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(seeds, BATCH, circuit.populations["input"].features, generator=generator).to(effort.device)
    y = torch.randint(0, 10, (seeds, BATCH), generator=generator).to(effort.device)
    _refuse_others(name, whole, single, x, y)
    optimizer = AdamW(lr=1e-4)

    def together() -> None:
        whole.step(x, y, optimizer=optimizer)

    def in_turn() -> None:
        for seed, network in enumerate(single):
            network.step(x[seed], y[seed], optimizer=optimizer)

    steps: dict[str, Step] = {"as one batch": together, "one after another": in_turn}
    timings = interleaved(steps, effort.shorter(10))
    work = f"{name}: {seeds} seeds, batch {BATCH}, {circuit.populations['hidden'].units} units"
    faster = timings["one after another"].median / timings["as one batch"].median
    goals = [Goal(f"{seeds} seeds as one batch, times faster", least=LEAST).judged(faster)] if not effort.quick else []
    found = {
        "comparison": "eprop", "work": work, "faster": faster, "goals": goals,
        "contenders": {
            key: {"median_s": t.median, "low_s": t.low, "high_s": t.high, "threads": t.threads}
            for key, t in timings.items()
        },
    }  # fmt: skip
    console.print(f"{work} (median of interleaved turns)")
    table = Table(box=None)
    for heading in ("", "ms a step of all seeds", "quartiles", "threads", "times faster"):
        table.add_column(heading, justify="left" if not heading else "right")
    for key, t in timings.items():
        ratio = timings["one after another"].median / t.median
        quartiles = f"{t.low * 1e3:.2f} to {t.high * 1e3:.2f}"
        table.add_row(key, f"{t.median * 1e3:.2f}", quartiles, str(t.threads), f"{ratio:.2f}")
    console.print(table)
    show_rest(console, found)
    return found


def _refuse_others(name: str, whole: Network, single: list[Network], x: torch.Tensor, y: torch.Tensor) -> None:
    """Refuse a batch whose replicas would not change as their seeds do alone."""
    changes = whole.updates(x, y)
    for seed, network in enumerate(single):
        for projection, change in network.updates(x[seed], y[seed]).items():
            mine = changes[projection][seed]
            difference = float((mine - change[0]).norm() / change.norm().clamp(min=1e-12))
            if difference > TOLERANCE:
                raise Refused(f"{name}: seed {seed} changes {projection} by others alone ({difference:.1e} apart)")
