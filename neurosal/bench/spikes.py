"""What recording every spike costs: CUBA with 4000 neurons and 32 replicas, simulated with and without it.

Three contenders make the same steps from the same state, so the same spikes, each on an engine of its own, and in
windows of 100 ms, as a run does:

- nothing: steps alone (`Clock.advance`), of which nobody can see what was simulated.
- summed: a run with ``record=()``. Its spikes are gathered window by window and summed up to rates, regularity,
  correlation and the rest of the summary, which every run has and which says when a network fell silent or exploded.
- recorded: a run as it is by default: the same, and every spike into a store. A turn ends when they are committed.

What recording costs is recorded over summed: all else is the same in both. Recorded over nothing is told beside it. So
is a floor, how long the same bytes take as one plain file in the same process: without checksums, without an index,
and written in pieces of the same size.

Expected, before anything was measured: a network-second of 32 replicas has 32 · 4000 · 5.5 = 700,000 spikes of 16
bytes, 11 MB. A program in C++ has them in order of replicas when it made its steps; numpy sorts them, .1 s. To copy
them into the blocks that are written takes 2 ms, checksums of their 2800 pages 3 ms, to hand 11 MB to the system 4 ms
or more, and some ten files of 1 MB are made: all that in a thread of its own, which finds no core free. So 10 to 20 ms
of 500 that two cores work for a network-second compiled, and below 1 % of an eager one. To sum spikes up takes 10 to
15 ms compiled (10 ns for intervals, and counts), .1 s in numpy. A commit makes three small files whatever it commits;
it comes every 4.5 s in a run, and here after every turn of 1 to 4 s.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import truediv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from neurosal import library
from neurosal.bench.timing import Effort, threads_put_back
from neurosal.engine.clock import Clock
from neurosal.engine.compiled import missing_compiler
from neurosal.graph import Circuit
from neurosal.lower.spiking import realise_all
from neurosal.record import Recorder, schema
from neurosal.record.growing import WRITE_BYTES
from neurosal.runner.garbage import passed_over
from neurosal.runner.simulations.engines import OnTorch
from neurosal.runner.simulations.planning import Plan, planned
from neurosal.runner.simulations.records import Records
from neurosal.settings import Simulation

REPLICAS, WINDOW_MS, SETTLE_MS, TURNS = 32, 100.0, 100.0, 9
WINDOWS = {"eager": 10, "compiled": 50}  # of a turn
NOTHING, SUMMED, RECORDED = "nothing", "summed", "recorded"
BYTES = 16  # of a spike in a store: its time, unit and replica
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
    """Seconds of a simulation of CUBA in turns: with nothing looked at, spikes summed up, and all of them recorded."""
    circuit = library.load_circuit("cuba")
    assert isinstance(circuit, Circuit)
    window_ms, windows = (10.0, 1) if quick else (WINDOW_MS, WINDOWS["compiled" if compiled else "eager"])
    simulation = Simulation(duration_ms=1e6, seeds=tuple(range(replicas)), window_ms=window_ms, dtype="float32")
    plan = planned(circuit, simulation)
    realised = realise_all(circuit, simulation.seeds, simulation.dt_ms)

    def engine() -> OnTorch:
        made = OnTorch(realised, plan, dtype=simulation.dtype, device="cpu", compiled=compiled)
        # The start is livelier than the rest.
        made.clock.advance(round((window_ms if quick else SETTLE_MS) / simulation.dt_ms))
        return made

    folder = Path(tempfile.mkdtemp())
    try:
        runs = {name: _Run(folder / name, circuit, simulation, replace(plan, recorded=recorded), engine())
                for name, recorded in ((SUMMED, ()), (RECORDED, plan.recorded))}  # fmt: skip
        contenders: dict[str, Callable[[], None]] = {NOTHING: partial(_steps, engine().clock, windows, plan.window)}
        contenders |= {name: partial(run.go, windows) for name, run in runs.items()}
        with passed_over():
            taken = _interleaved(contenders, turns)
        lengths = runs[RECORDED].recorder.lengths
        for run in runs.values():
            run.recorder.close()
        spikes = sum(lengths[f"{schema.SPIKES}/{name}"] for name in plan.recorded) // (turns + 1)
        plain_s = statistics.median(_plain(folder / f"{turn}", spikes * BYTES) for turn in range(turns))
    finally:
        shutil.rmtree(folder)
    turn_s = windows * window_ms * 1e-3
    percent, of_all = _percent(taken, SUMMED), _percent(taken, NOTHING)
    a_second = {name: statistics.median(times) / turn_s for name, times in taken.items()}
    way = f"{torch.get_num_threads()} threads{', compiled' if compiled else ''}"
    work = f"cuba, {replicas} replicas, {way}: {spikes / turn_s:,.0f} spikes a network-second"
    measured = (f"{percent:.1f} %: {a_second[RECORDED]:.3f} s a network-second of all replicas, {a_second[SUMMED]:.3f} "
                f"where spikes are only summed up; {of_all:.1f} % over {a_second[NOTHING]:.3f} s where nothing is "
                f"looked at; the same bytes as a plain file {plain_s / turn_s:.3f} s")  # fmt: skip
    return {"work": work, "measured": measured, "goal": GOAL, "percent": percent, "percent_of_all": of_all,
            "plain_s": plain_s, "seconds": taken}  # fmt: skip


def _steps(clock: Clock, windows: int, steps: int) -> None:
    """Windows of steps, and no look at them."""
    for _ in range(windows):
        clock.advance(steps)


class _Run:
    """A simulation with a record, which is never at its end."""

    def __init__(self, folder: Path, circuit: Circuit, simulation: Simulation, plan: Plan, engine: OnTorch) -> None:
        replicas = {schema.SEED: list(simulation.seeds)}
        self.recorder = Recorder.create(folder, circuit=circuit.to_dict(), settings={}, replicas=replicas)
        self._engine, self._window = engine, plan.window
        self._records = Records(self.recorder, plan, simulation, engine)

    def go(self, windows: int) -> None:
        """Some windows, until all is committed."""
        for _ in range(windows):
            start = self._engine.clock.step_number
            seen = self._engine.advance(self._window)
            self._records.put(start, start + self._window, seen)
        self.recorder.commit()


def _percent(taken: dict[str, list[float]], other: str) -> float:
    """How much longer it takes to record, in the middle of all turns."""
    return 100 * (statistics.median(map(truediv, taken[RECORDED], taken[other])) - 1)


def _plain(file: Path, size: int) -> float:
    """Seconds that some bytes take to the system, as one file."""
    data = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8).data
    start = time.perf_counter()
    with file.open("wb", buffering=0) as out:
        for at in range(0, size, WRITE_BYTES):
            out.write(data[at : at + WRITE_BYTES])
    taken = time.perf_counter() - start
    file.unlink()
    return taken


def _interleaved(contenders: dict[str, Callable[[], None]], turns: int) -> dict[str, list[float]]:
    """Seconds of each, in turns; the first warms up."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(turns + 1):
        for name in list(contenders) if turn % 2 else reversed(contenders):
            start = time.perf_counter()
            contenders[name]()
            if turn:
                taken[name].append(time.perf_counter() - start)
    return taken
