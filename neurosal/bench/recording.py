"""What recording costs: training slowed by it, its rate beside plain files of the same bytes, what a kill loses.

Expected, before anything was measured: a copy of 4 MB takes the training thread .1 to 1 ms, the writing thread 2 to
3 ms (the write itself, and .1 to .6 ms for the checksum). Ten steps of the net below take 100 to 300 ms: training is
slowed by less than 1 % where a core is free, and by up to 2 % where training uses them all. Writing alone is the plain
write with checksum and bookkeeping, while the copy runs beside it: .7 to .9 of its rate. A kill loses what came since
the last commit, which is at most 5 s ago: 2.5 s in the middle, 5 s at most.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from neurosal.bench.contenders import LEARNING_RATE
from neurosal.bench.timing import Effort, threads_put_back
from neurosal.bench.works import Work
from neurosal.engine.network import Network, compile
from neurosal.record import Recorder, open_run, schema
from neurosal.rules import kp
from neurosal.settings.optimizers import SGD

Timed = Callable[[Path], float]  # does its work in a folder, and says how many seconds of it count
WORK, QUICK = Work((784, 1000, 1000, 10), 128), Work((6, 5, 4, 3), 8)
EVERY, STEPS, FILES = 10, 200, 48  # as many steps a turn as come between two commits
TURNS = 11
KILLS, KILLED_AFTER = 8, (6.0, 11.0)  # seconds: past the first commit, and spread over the time to the next
GOALS = {"slowed by": "≤ 3 %", "rate": "≥ .6", "loss at a kill": "≤ 5 s"}


def compare(
    console: Console,
    effort: Effort,
    *,
    work: Work = WORK,
    kills: int = KILLS,
) -> dict[str, Any]:
    """Measure it all, print a line for each, and return what was measured.

    Args:
        console: where to print.
        effort: turns, of some hundred steps each. Training uses the most threads, so that the thread that writes has no
            core of its own, and one less.
        work: what is trained; its largest weight is recorded.
        kills: how many recordings are killed.
    """
    threads, turns = effort.threads, min(TURNS, effort.turns)
    if effort.quick:
        work, kills = QUICK, 1
    with threads_put_back():
        rows = []
        for count in sorted({max(1, max(threads) - 1), max(threads)}):
            torch.set_num_threads(count)
            rows.append(slowed(work, turns))
        rows += [rate(work, turns), lost(kills)]
    table = Table(title="recording (medians of interleaved turns)", title_justify="left", box=None)
    for heading in ("work", "measured", "goal"):
        table.add_column(heading)
    for row in rows:
        table.add_row(row["work"], row["measured"], row["goal"])
    console.print(table)
    return {"comparison": "recording", "rows": rows}


def slowed(work: Work, turns: int) -> dict[str, Any]:
    """Training that records its largest weight every 10 steps, until all of it is written, over training alone."""
    network = compile(kp(work.circuit()), device="cpu")
    name = max(network.weights, key=lambda entry: network.weights[entry].numel())
    megabytes = network.weights[name].nbytes / 1e6
    x, y = work.data()
    optimizer = SGD(lr=LEARNING_RATE)

    def alone(_: Path) -> float:
        start = time.perf_counter()
        for _step in range(STEPS):
            network.step(x, y, optimizer=optimizer)
        return time.perf_counter() - start

    def recorded(folder: Path) -> float:
        with _recorder(folder, network, name) as recorder:
            start = time.perf_counter()
            for step in range(STEPS):
                network.step(x, y, optimizer=optimizer)
                if step % EVERY == 0:
                    _append(recorder, name, step, network.weights[name].numpy())
                recorder.maybe_commit()
            recorder.commit()
            return time.perf_counter() - start

    taken = _interleaved({"alone": alone, "recorded": recorded}, turns)
    percent = 100 * (statistics.median(_ratios(taken, "recorded", "alone")) - 1)
    return {
        "work": f"{work}, {torch.get_num_threads()} threads: slowed by {megabytes:.1f} MB every {EVERY} steps",
        "measured": f"{percent:.1f} % (step {statistics.median(taken['alone']) / STEPS * 1e3:.1f} ms)",
        "goal": GOALS["slowed by"],
        "percent": percent,
        "seconds": taken,
    }


def rate(work: Work, turns: int) -> dict[str, Any]:
    """Bytes a second of recording that weight at every step, over writing as many plain files of the same bytes."""
    network = compile(kp(work.circuit()), device="cpu")
    name = max(network.weights, key=lambda entry: network.weights[entry].numel())
    values = network.weights[name].numpy()

    def plain(folder: Path) -> float:
        start = time.perf_counter()
        for index in range(FILES):
            with (folder / str(index)).open("wb", buffering=0) as file:
                file.write(values.data)
        return time.perf_counter() - start

    def recorded(folder: Path) -> float:
        with _recorder(folder, network, name) as recorder:
            start = time.perf_counter()
            for step in range(FILES):
                _append(recorder, name, step, values)
                recorder.maybe_commit()
            recorder.commit()
            return time.perf_counter() - start

    taken = _interleaved({"plain": plain, "recorded": recorded}, turns)
    ratio = statistics.median(_ratios(taken, "plain", "recorded"))
    speed = FILES * values.nbytes / statistics.median(taken["recorded"]) / 1e6
    return {
        "work": f"{values.nbytes / 1e6:.1f} MB every step, beside plain files of the same bytes",
        "measured": f"{ratio:.2f} of their rate ({speed:.0f} MB/s)",
        "goal": GOALS["rate"],
        "ratio": ratio,
        "seconds": taken,
    }


def lost(kills: int) -> dict[str, Any]:
    """Recordings of a curve, as fast as it goes, killed at different moments: how old the first lost entry is."""
    folder = Path(tempfile.mkdtemp())
    losses, rows, seconds = [], 0, 0.0
    try:
        for index in range(kills):
            run = folder / str(index)
            process = subprocess.Popen([sys.executable, "-c", KILLED, str(run)], stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            begun = float(process.stdout.readline())
            time.sleep(KILLED_AFTER[0] + (KILLED_AFTER[1] - KILLED_AFTER[0]) * index / kills)
            process.kill()
            killed = time.time()
            process.communicate()
            times = open_run(run).tree[schema.TRAIN].loss.values[0]
            losses.append(killed - times[-1])
            rows, seconds = rows + len(times), seconds + times[-1] - begun
    finally:
        shutil.rmtree(folder)
    return {
        "work": f"loss of {kills} killed recordings, committed at the default",
        "measured": f"{statistics.median(losses):.1f} s, at most {max(losses):.1f} s ({rows / seconds:,.0f} rows/s)",
        "goal": GOALS["loss at a kill"],
        "losses_s": [float(loss) for loss in losses],
        "rows_per_second": float(rows / seconds),
    }


# Each entry is the time at which it came.
KILLED = """\
import sys, time
import numpy
from neurosal.record import Recorder, schema
recorder = Recorder.create(sys.argv[1], circuit={}, settings={}, replicas={"seed": [0]})
recorder.declare(schema.training_metrics())
print(time.time(), flush=True)
for step in range(10**9):
    recorder.append(schema.TRAIN, step=step, epoch=0, values={"loss": numpy.array([time.time()])})
    recorder.maybe_commit()
"""


def _recorder(folder: Path, network: Network, name: str) -> Recorder:
    recorder = Recorder.create(folder / "run", circuit={}, settings={}, replicas={schema.SEED: list(network.seeds)})
    projection = network.circuit.projections[name]
    _, areas, post, pre = network.weights[name].shape
    group = schema.projection(name, "every", post=(projection.target, post), pre=(projection.source, pre), areas=areas)
    recorder.declare(group, expected=STEPS)
    recorder.commit()
    return recorder


def _append(recorder: Recorder, name: str, step: int, values: np.ndarray[Any, Any]) -> None:
    recorder.append(f"projections/{name}/every", step=step, epoch=0.0, values={schema.WEIGHT: values})


def _interleaved(contenders: dict[str, Timed], turns: int) -> dict[str, list[float]]:
    """Seconds of each, in turns; each time in a folder of its own, which is gone before the next one begins."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(turns + 1):
        # The first place goes round: whoever comes second may find the disk busy.
        for name in list(contenders) if turn % 2 else list(reversed(contenders)):
            folder = Path(tempfile.mkdtemp())
            try:
                seconds = contenders[name](folder)
            finally:
                shutil.rmtree(folder)
            if turn:  # the first turn warms up
                taken[name].append(seconds)
    return taken


def _ratios(taken: dict[str, list[float]], above: str, below: str) -> list[float]:
    """Of turns beside each other: what is slow for both then falls out."""
    return [a / b for a, b in zip(taken[above], taken[below], strict=True)]
