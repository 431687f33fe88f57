"""Steps of ResNet-20 beside torch backpropagation of the same net: by rule, in bfloat16, and four seeds at once.

Expected, at batch 128 on a processor: 31 GFLOP of products in three passes, and about as much time again for batch
norm, activations and sums, which are passes over 8 MiB a signal. Direct feedback saves a third of the products and the
way back through skips; learned feedback adds nothing but its weights; a relay ten times as wide costs ten times the
products of the way back, unless it is contracted.
"""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from neurosal.bench.child import can_measure, measured
from neurosal.bench.images import EXPANSION, RULES, ImageWork, one_after_another, ours, theirs
from neurosal.bench.racing import Measured, race
from neurosal.bench.results import Goal, show_rest
from neurosal.bench.timing import Effort
from neurosal.engine.compiled import missing_compiler

WORK, QUICK = ImageWork(128), ImageWork(8, side=8, width=4)
SEEDS = 4
TORCH = ["torch backprop"]
PFA = f"pfa, ρ = {EXPANSION}"
LIMITS = {"bp": 1.05, "kp": 1.05, "dfa": 0.80, PFA: 1.4}  # over torch, the faster of eager and compiled
NARROW = ("bp", "kp", "dfa", PFA)
SEEDS_ON_A_CPU = 1.3  # times faster than as many runs; more on a GPU
SECONDS_A_ROW = 40.0
HELD = ("bp", "kp", "dfa", PFA)
HOW = "peak resident memory of 3 steps in a process of its own, above what was resident before the first one"


def compare(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """All rows; print tables with goals, and return what was measured."""
    work = QUICK if effort.quick else WORK
    longer = replace(effort, seconds_a_row=effort.seconds_a_row if effort.quick else SECONDS_A_ROW)
    return [
        steps(console, work, longer),
        narrow(console, work, longer),
        seeds(console, replace(work, replicas=2 if effort.quick else SEEDS), longer),
        memory(console, work, effort),
    ]


def steps(console: Console, work: ImageWork, effort: Effort) -> dict[str, Any]:
    """A step under each rule."""
    device = effort.device
    contenders = [theirs(work, "fused", device=device), theirs(work, "foreach", device=device)]
    contenders.append(theirs(work, "fused", channels_last=False, device=device))
    notes = []
    if not effort.quick:
        if missing := missing_compiler(torch.device(device)):
            notes.append(f"torch is not compiled here: {missing} is not installed")
        else:
            contenders.append(theirs(work, "fused", compiled=True, device=device))
    contenders += [ours(work, rule, device=device) for rule in (("bp", "kp", PFA) if effort.quick else RULES)]
    goals: list[Measured] = [
        (Goal(f"{rule} over torch backprop, eager or compiled", most=most), rule, TORCH)
        for rule, most in LIMITS.items()
    ]
    return race(console, "convolution", str(work), contenders, effort, goals=goals, notes=notes)


def narrow(console: Console, work: ImageWork, effort: Effort) -> dict[str, Any]:
    """Products in bfloat16 beside torch under autocast."""
    device = effort.device
    contenders = [theirs(work, "fused", autocast="bfloat16", device=device)]
    if not effort.quick and not missing_compiler(torch.device(device)):
        contenders.append(theirs(work, "fused", autocast="bfloat16", compiled=True, device=device))
    contenders += [
        ours(work, rule, device=device, label=f"{rule}, bfloat16", compute="bfloat16")
        for rule in (("bp",) if effort.quick else NARROW)
    ]
    return race(console, "convolution", f"{work}, bfloat16", contenders, effort, reference="torch autocast")


def seeds(console: Console, work: ImageWork, effort: Effort) -> dict[str, Any]:
    """R seeds at once, R runs of ours one after another, and R models of torch one after another."""
    device = effort.device
    contenders = [theirs(work, "fused", device=device)]
    goals: list[Measured] = []
    for rule in ("bp", "kp"):
        alone = one_after_another(work, rule, device=device)
        contenders += [ours(work, rule, device=device, label=f"{rule}, {work.replicas} seeds at once"), alone]
        goal = Goal(f"{work.replicas} seeds of {rule} at once over as many runs (1/{SEEDS_ON_A_CPU:g})",
                    most=round(1 / SEEDS_ON_A_CPU, 4))  # fmt: skip
        goals.append((goal, f"{rule}, {work.replicas} seeds", [alone.name]))
    notes = ["torch is not compiled here: each model would be compiled by itself"]
    return race(console, "convolution", str(work), contenders, effort, goals=goals, notes=notes)


def memory(console: Console, work: ImageWork, effort: Effort) -> dict[str, Any]:
    """What a step holds, each contender in a process of its own."""
    found: dict[str, Any] = {"comparison": "convolution", "work": f"{work}, memory", "how": HOW, "peaks": {}}
    found["notes"] = [HOW]
    if not can_measure(effort.device):
        found["notes"] = ["peak memory is read from /proc, which this system does not have: not measured"]
        show_rest(console, found)
        return found
    asked = ("torch backprop", "torch autocast", *HELD)
    for name in ("torch backprop", "kp") if effort.quick else asked:
        found["peaks"][name] = measured({
            "task": "images", "contender": name, "work": astuple(work), "device": effort.device,
            "threads": max(effort.threads),
        })  # fmt: skip
    table = Table(title=f"convolution: {work}, memory of one step", title_justify="left", box=None)
    for heading in ("contender", "above weights", "ratio"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    best = found["peaks"]["torch backprop"]["above_bytes"]
    for name, entry in found["peaks"].items():
        table.add_row(name, f"{entry['above_bytes'] / 2**20:.0f} MiB", f"{entry['above_bytes'] / best:.2f}")
    console.print(table)
    show_rest(console, found)
    return found
