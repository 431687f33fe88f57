"""What recording every spike costs: CUBA with 4000 neurons and 32 replicas, network-seconds with and without it.

Expected, before anything was measured: a network-second of 32 replicas has 32 · 4000 · 5.5 = 700,000 spikes. Gathering
them on the device copies 6 MB; sorting each window by replica and unit (for order in the record, and for intervals) is
.1 to .2 s in numpy; 11 MB go to the disk from a thread of its own. The network itself takes seconds: below 5 %.
Compiled, the network takes a tenth of that, and recording as long as before: 20 to 40 %. A commit, which writes some
files whatever it commits, comes every 4.5 s in a run, and here after every network-second.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from neurosal import library
from neurosal.bench.timing import Effort, threads_put_back
from neurosal.engine.compiled import missing_compiler
from neurosal.graph import Circuit
from neurosal.lower.spiking import realise_all
from neurosal.record import Recorder, schema
from neurosal.runner.garbage import passed_over
from neurosal.runner.simulations.engines import OnTorch
from neurosal.runner.simulations.planning import planned
from neurosal.runner.simulations.records import Records
from neurosal.settings import Simulation

REPLICAS, WINDOW_MS, WINDOWS, SETTLE_MS, TURNS = 32, 100.0, 10, 100.0, 9
GOAL = "≤ 5 %"


def compare(console: Console, effort: Effort) -> dict[str, Any]:
    """Measure it, print a line, and return what was measured.

    Args:
        effort: threads (the most of them are taken) and turns.
    """
    with threads_put_back():
        torch.set_num_threads(max(effort.threads))
        replicas, turns = REPLICAS if not effort.quick else 2, min(TURNS, effort.turns)
        ways = [False] if effort.quick or missing_compiler(torch.device("cpu")) else [False, True]
        rows = [slowed(replicas, turns, quick=effort.quick, compiled=compiled) for compiled in ways]
    table = Table(title="recording all spikes (medians of interleaved turns)", title_justify="left", box=None)
    for heading in ("work", "measured", "goal"):
        table.add_column(heading)
    for row in rows:
        table.add_row(row["work"], row["measured"], row["goal"])
    console.print(table)
    return {"comparison": "spikes", "rows": rows}


def slowed(replicas: int, turns: int, *, quick: bool = False, compiled: bool = False) -> dict[str, Any]:
    """Seconds of one simulation of CUBA: in turns with every spike recorded and summed up, and with none looked at.

    What the thread that writes takes is counted: each turn ends when its spikes are in the store.
    """
    circuit = library.load_circuit("cuba")
    assert isinstance(circuit, Circuit)
    window_ms, windows = (10.0, 1) if quick else (WINDOW_MS, WINDOWS)
    simulation = Simulation(duration_ms=1e6, seeds=tuple(range(replicas)), window_ms=window_ms, dtype="float32")
    plan = planned(circuit, simulation)
    realised = realise_all(circuit, simulation.seeds, simulation.dt_ms)
    engine = OnTorch(realised, plan, dtype=simulation.dtype, device="cpu", compiled=compiled)
    clock, spikes = engine.clock, 0
    folder = Path(tempfile.mkdtemp())
    try:
        replicas_of = {schema.SEED: list(simulation.seeds)}
        with Recorder.create(folder / "run", circuit=circuit.to_dict(), settings={}, replicas=replicas_of) as recorder:
            records = Records(recorder, plan, simulation, engine)
            clock.run(
                round((window_ms if quick else SETTLE_MS) / simulation.dt_ms)
            )  # the start is livelier than the rest

            def alone() -> None:
                clock.advance(windows * plan.window)

            def recorded() -> None:
                for _ in range(windows):
                    start = clock.step_number
                    seen = engine.advance(plan.window)
                    records.put(start, clock.step_number, seen)
                recorder.commit()

            with passed_over():
                taken = _interleaved({"alone": alone, "recorded": recorded}, turns)
            spikes = sum(recorder.lengths[f"{schema.SPIKES}/{name}"] for name in plan.recorded)
    finally:
        shutil.rmtree(folder)
    ratios = [with_it / without for with_it, without in zip(taken["recorded"], taken["alone"], strict=True)]
    percent = 100 * (statistics.median(ratios) - 1)
    turn_s = windows * window_ms * 1e-3
    a_second, rate = statistics.median(taken["alone"]) / turn_s, spikes / (turns + 1) / turn_s
    way = f"{torch.get_num_threads()} threads{', compiled' if compiled else ''}"
    work = f"cuba, {replicas} replicas, {way}: {rate:,.0f} spikes a network-second"
    measured = f"{percent:.1f} % (alone {a_second:.2f} s a network-second of all replicas)"
    return {"work": work, "measured": measured, "goal": GOAL, "percent": percent, "seconds": taken}


def _interleaved(contenders: dict[str, Callable[[], None]], turns: int) -> dict[str, list[float]]:
    """Seconds of each, in turns; the first warms up."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(turns + 1):
        for name in list(contenders) if turn % 2 else list(reversed(contenders)):
            start = time.perf_counter()
            contenders[name]()
            if turn:
                taken[name].append(time.perf_counter() - start)
    return taken
