"""CUBA with its 4000 neurons: seconds per network-second of torch with 32 replicas, of torch with one, and of Brian2.

Expected, eager: a step of 32 replicas updates 128,000 units, whose state is 1.5 MB in float32, in five passes, about
130 µs. It looks up the 5,600 synapses of 70 spikes, about 50 µs, and finds those spikes, about 20 µs. So 10,000 steps
take 2 s, 0.07 s per network-second. Of one replica all arrays are small, and a step is what starting 30 operations
costs: about 60 µs, so 0.6 s. Compiled: a replica's 4000 units are 64 kB that stay in the cache next to the core, read
and written once, 1 to 1.5 µs; its 175 synapses .4 µs. So 0.015 to 0.02 s per network-second of one replica on one core,
and half of it for many on two.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from neurosal.bench.results import Goal, show_rest
from neurosal.bench.simulating import together
from neurosal.bench.timing import Effort
from neurosal.engine.compiled import missing_compiler
from neurosal.errors import NeurosalError

REPLICAS, STEPS = 32, 10_000
LONG = 160_000  # steps of Brian2 in C++: two at once then simulate as much as 32 replicas of 10,000 steps
RATES, APART = (4.5, 7.0), 0.15  # what CUBA's rates lie between, and how far from their mean
TURNS = 3
FLOAT32, FLOAT64 = "torch, 32 replicas", "torch, 32 replicas, float64"
ONE = "torch, 1 replica"
CYTHON, TWICE, OURS, THEIRS = ("Brian2 Cython", "Brian2 C++, two at once", "Brian2 C++, one", "Brian2 C++ by hand, one")


def compare(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """All contenders; rates first, then tables with goals; returns what was measured."""
    steps, long_, replicas = (200, 400, 2) if effort.quick else (STEPS, LONG, REPLICAS)
    threads = max(effort.threads)
    many: dict[str, Any] = {"task": "torch", "replicas": replicas, "steps": steps, "threads": threads,
                            "device": effort.device, "dtype": "float32", "mode": "eager"}  # fmt: skip
    asked: dict[str, list[dict[str, Any]]] = {FLOAT32: [many], FLOAT64: [many | {"dtype": "float64"}]}
    notes = []
    if missing := missing_compiler(torch.device(effort.device)):
        notes.append(f"torch is not compiled here: {missing} is not installed")
    elif not effort.quick:
        asked[f"{FLOAT32}, compiled"] = [many | {"mode": "compiled"}]
    one: dict[str, Any] = many | {"replicas": 1, "dtype": "float64", "threads": 1}
    asked[ONE] = [one]
    if not missing and not effort.quick:
        asked[f"{FLOAT64}, compiled"] = [many | {"mode": "compiled", "dtype": "float64"}]
        asked[f"{ONE}, compiled"] = [one | {"mode": "compiled"}]
    brian2 = {"task": "brian2", "steps": steps, "threads": 1, "seed": 0, "mode": "cython"}
    alone = brian2 | {"mode": "standalone", "steps": long_}
    turns = 1 if effort.quick else TURNS
    if find_spec("brian2") is None:
        notes.append("Brian2 is not installed (pip install brian2): torch stands without it")
    elif not effort.quick:
        asked[CYTHON] = [brian2]
        asked[TWICE] = [alone, alone | {"seed": 1}]
        longer = alone | {"steps": 3 * long_}  # than a machine's moods
        asked[OURS], asked[THEIRS] = [longer], [longer | {"task": "by hand"}]
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in asked}
    for _ in range(turns):  # all in turns: the machine is faster in one minute than in another
        for name, requests in asked.items():
            results[name].append(_entry(*together(requests)))
    if not effort.quick:
        refuse_other_rates({name: entries[0]["rate_hz"] for name, entries in results.items()})
    found: dict[str, Any] = {
        "comparison": "cuba", "work": f"cuba, {steps / 1e4:g} s × {replicas} replicas on torch",
        "contenders": {name: _middle(entries) for name, entries in results.items()}, "notes": notes,
    }  # fmt: skip
    found["goals"] = goals(found["contenders"])
    console.print(_table(found))
    show_rest(console, found)
    return [found]


def refuse_other_rates(rates: dict[str, float]) -> None:
    """Refuse to time networks that do not fire alike.

    Raises:
        NeurosalError: naming rates that are not those of CUBA, or lie apart.
    """
    mean = float(np.mean(list(rates.values())))
    wrong = {name: rate for name, rate in rates.items()
             if not RATES[0] <= rate <= RATES[1] or abs(rate / mean - 1) > APART}  # fmt: skip
    if wrong:
        told = ", ".join(f"{name} {rate:.2f} Hz" for name, rate in wrong.items())
        raise NeurosalError(f"cuba: nothing is timed, because rates do not agree: {told}; the mean is {mean:.2f} Hz")


def _entry(answers: list[dict[str, Any]], wall_s: float) -> dict[str, Any]:
    """What processes that ran at the same time say, as one."""
    network_s = sum(answer["network_s"] for answer in answers)
    parts = {part: max(answer["seconds"].get(part, 0.0) for answer in answers)
             for part in ("build", "compile", "simulate", "write")}  # fmt: skip
    return {
        "network_s": network_s, "rate_hz": float(np.mean([answer["rate_hz"] for answer in answers])), **parts,
        "wall_s": wall_s, "simulate_per_network_s": (parts["simulate"] + parts["write"]) / network_s,
        "all_per_network_s": sum(parts.values()) / network_s,
    }  # fmt: skip


def _middle(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: float(np.median([entry[key] for entry in entries])) for key in entries[0]} | {"turns": len(entries)}


def goals(entries: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals beside what was measured."""
    torches = [entry for name, entry in entries.items() if name.startswith(FLOAT32)]

    def over(name: str, key: str) -> float | None:
        """The fastest of torch with many replicas over another contender."""
        return min(entry[key] for entry in torches) / entries[name][key] if name in entries else None

    hand = entries[OURS]["simulate"] / entries[THEIRS]["simulate"] if OURS in entries else None
    singles = [entry["simulate_per_network_s"] for name, entry in entries.items() if name.startswith(ONE)]
    single = min(singles) / entries[CYTHON]["simulate_per_network_s"] if CYTHON in entries else None
    return [
        Goal(f"{FLOAT32} over Brian2 Cython, simulating", most=0.2).judged(over(CYTHON, "simulate_per_network_s")),
        Goal(f"{FLOAT32} over Brian2 C++ two at once, all told", most=1.5).judged(over(TWICE, "all_per_network_s")),
        Goal("Brian2 C++ of our circuit over the same by hand, simulating", most=1.05).judged(hand),
        Goal("torch with 1 replica over Brian2 Cython, simulating", most=1.0).judged(single),
    ]


def _table(found: dict[str, Any]) -> Table:
    title = f"cuba: {found['work']}; seconds, the last two for each network-second (net s): simulate and write, and all"
    table = Table(title=title, title_justify="left", box=None)
    headings = ("contender", "net s", "Hz", "build", "compile", "simulate", "write", "a net s", "all told")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "contender" else "right", no_wrap=True)
    for name, entry in found["contenders"].items():
        table.add_row(
            name, f"{entry['network_s']:g}", f"{entry['rate_hz']:.2f}",
            *(f"{entry[part]:.2f}" for part in ("build", "compile", "simulate", "write")),
            f"{entry['simulate_per_network_s']:.3f}", f"{entry['all_per_network_s']:.3f}",
        )  # fmt: skip
    return table
