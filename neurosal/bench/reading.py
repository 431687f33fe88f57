"""Reading a record through time: as it was recorded (one snapshot a chunk), and packed."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from neurosal.bench.timing import Effort
from neurosal.record import Recorder, open_run, schema
from neurosal.record.pack import pack

SIZES = (784, 1000, 1000, 10)
SNAPSHOTS = 200
COLD_TURNS = 5
CASES = ("one synapse through time", "one unit's synapses through time", "one snapshot")
GOAL = 20.0  # times faster, one synapse


def compare(
    console: Console,
    effort: Effort,
    *,
    sizes: Sequence[int] = SIZES,
    snapshots: int = SNAPSHOTS,
    folder: str | Path | None = None,
) -> dict[str, Any]:
    """Record weights that change as in training, pack a copy, and read both in turns.

    Args:
        console: where the table goes.
        effort: turns, of one reading of each kind.
        sizes: units of the populations.
        snapshots: how often all weights are recorded.
        folder: where there is room for the store and its copy; the system's place for such things by default.

    Returns:
        What was measured.
    """
    turns = effort.turns
    if effort.quick:
        sizes, snapshots = (20, 30, 10), 70
    with tempfile.TemporaryDirectory(dir=folder) as place:
        run, copy = Path(place) / "run", Path(place) / "packed"
        record(run, sizes, snapshots)
        start = time.perf_counter()
        [done] = pack(run, out=copy)
        packing = time.perf_counter() - start
        trees = {"recorded": open_run(run).tree, "packed": open_run(copy).tree}
        layers = list(pairwise(range(len(sizes))))
        wide = max(range(len(layers)), key=lambda index: sizes[index] * sizes[index + 1])
        group = f"{schema.PROJECTIONS}/layer{wide + 1}/every_1"
        generator = np.random.default_rng(0)
        post, pre = sizes[wide + 1], sizes[wide]
        warm: dict[str, dict[str, list[float]]] = {case: {name: [] for name in trees} for case in CASES}
        cold: dict[str, dict[str, list[float]]] = {case: {name: [] for name in trees} for case in CASES}
        for turn in range(-1, turns):
            o, i, s = (int(generator.integers(extent)) for extent in (post, pre, snapshots))
            for case, region in zip(CASES, ((0, slice(None), 0, o, i), (0, slice(None), 0, o), (0, s)), strict=True):
                values = {}
                for name, tree in trees.items():
                    seconds, values[name] = _timed(partial(_read, tree[group], region))
                    if turn >= 0:
                        warm[case][name].append(seconds)
                assert values["recorded"].tobytes() == values["packed"].tobytes(), f"{case} {region}: other values"
                if 0 <= turn < COLD_TURNS:
                    for name, path in (("recorded", run), ("packed", copy)):
                        forget(path)
                        seconds, _ = _timed(partial(_read, trees[name][group], region))
                        cold[case][name].append(seconds)
    result: dict[str, Any] = {
        "comparison": "reading", "work": f"{'-'.join(map(str, sizes))}, {snapshots} snapshots",
        "bytes_recorded": done.before, "bytes_packed": done.after, "packing_s": packing, "goal": GOAL,
        "warm": _medians(warm), "cold": _medians(cold),
    }  # fmt: skip
    console.print(_table(result))
    return result


def record(folder: Path, sizes: Sequence[int], snapshots: int) -> None:
    """Weights that begin as Xavier has them and take small steps, recorded at every one of them."""
    generator = np.random.default_rng(0)
    weights, groups = [], []
    for index, (pre, post) in enumerate(pairwise(sizes)):
        limit = np.sqrt(6 / (pre + post))
        weights.append(generator.uniform(-limit, limit, (1, 1, post, pre)).astype(np.float32))
        units = (f"population{index + 1}", post), (f"population{index}", pre)
        groups.append(schema.projection(f"layer{index + 1}", "every_1", post=units[0], pre=units[1]))
    with Recorder.create(folder, circuit={}, settings={}, replicas={schema.SEED: [0]}) as recorder:
        for group in groups:
            recorder.declare(group)
        for step in range(snapshots):
            for index, group in enumerate(groups):
                # Steps of a few thousandths of the weights' size: of SGD between two snapshots.
                change = generator.standard_normal(weights[index].shape, dtype=np.float32)
                weights[index] = weights[index] + np.float32(1e-4) * change
                recorder.append(group.path, step=step, epoch=0.0, values={schema.WEIGHT: weights[index]})


def forget(folder: Path) -> None:
    """Ask the system to drop what it holds of the files below a folder, so that they come from the disk again."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)  # what is not on the disk yet cannot be dropped
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _read(node: Any, region: tuple[Any, ...]) -> Any:
    return node[schema.WEIGHT][region].values


def _timed(read: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    values = read()
    return time.perf_counter() - start, values


def _medians(taken: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    found = {}
    for case, times in taken.items():
        medians = {f"{name}_s": statistics.median(entries) for name, entries in times.items() if entries}
        if medians:
            found[case] = {**medians, "faster": medians["recorded_s"] / medians["packed_s"]}
    return found


def _table(result: dict[str, Any]) -> Table:
    title = f"reading {result['work']}: as recorded, and packed (medians of interleaved turns)"
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("what", "files", "recorded", "packed", "times faster"):
        table.add_column(heading, justify="left" if heading in ("what", "files") else "right")
    for files in ("warm", "cold"):
        for case, row in result[files].items():
            table.add_row(
                case, files, f"{row['recorded_s'] * 1e3:.2f} ms", f"{row['packed_s'] * 1e3:.2f} ms",
                f"{row['faster']:.3g}",
            )  # fmt: skip
    before, after = result["bytes_recorded"] / 1e6, result["bytes_packed"] / 1e6
    table.caption = f"{before:.0f} MB packed to {after:.0f} MB in {result['packing_s']:.1f} s"
    return table
