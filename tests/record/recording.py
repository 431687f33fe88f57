"""A small run whose every value follows from its start, so that a killed and resumed one can be compared bit by bit.

It comes in several cases: how commits are made, how much memory the queue has, and how slow the disk is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray

from neurosal.record import Recorder, background, faults, schema
from neurosal.record.checkpoint import newest

REPLICAS = {"seed": [0, 1, 2], "lr": [0.1, 0.2, 0.3]}
STEPS = 62  # the last steps are past the last checkpoint
COMMIT_EVERY, CHECKPOINT_EVERY = 4, 15
WIDE = schema.projection("wide", "every_15", post=("hidden", 300), pre=("hidden", 300), what=("weight", "update"))
GROUPS = {
    1: schema.training_metrics(),
    5: schema.symmetry("every_5", {"input_to_hidden": 12, "hidden_to_output": 6}),
    10: schema.population("hidden", "every_10", units=3, trials=2, what=("activity", "area")),
    12: schema.projection(
        "input_to_hidden", "every_12", post=("hidden", 3), pre=("input", 4), areas=2, dtype="float64"
    ),
    # Above the size at which rows are written at once, one snapshot a chunk.
    15: WIDE,
}
DEEP = schema.Group(
    path="stats/routing/one/below/another/every_3",
    growing=schema.SAMPLE,
    variables={"usage": schema.Variable(dims=(schema.REPLICA, schema.SAMPLE))},
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """How the run is recorded.

    Args:
        groups: steps between entries → group.
        timed: commits come from the thread, as often as it can, at the end of any step; otherwise where they are asked
            for, every 4 steps.
        queue_bytes: memory of the queue.
        slow: seconds that the disk takes for each write of a block.
    """

    groups: dict[int, schema.Group]
    timed: bool = False
    queue_bytes: int = 2**26
    slow: float = 0.0


CASES = {
    "asked": Case(groups=GROUPS),
    "timed": Case(groups=GROUPS, timed=True),
    "nested": Case(groups={3: DEEP, **GROUPS}, timed=True),
    # Less than two of the wide entries: whoever appends waits for the disk.
    "full": Case(groups={1: schema.training_metrics(), 2: WIDE, 3: DEEP}, timed=True, queue_bytes=3 * 10**6),
    "slow": Case(groups={1: schema.training_metrics(), 6: WIDE, 5: GROUPS[5]}, timed=True, slow=0.001),
}


def record(
    folder: str,
    fault: tuple[str, int] | None = None,
    commits: list[dict[str, int]] | None = None,
    case: str = "asked",
) -> None:
    """Begin or resume the run in `folder` and bring it to its end, or to the fault (point, count).

    Args:
        commits: takes the lengths of all groups at each commit that was asked for.
        case: name of the case.
    """
    chosen = CASES[case]
    if chosen.timed:
        background.COMMIT_SECONDS = 0.0
    handlers = [faults.kill_at(*fault)] if fault is not None else []
    if chosen.slow:
        handlers.append(slow_disk(chosen.slow))
    if handlers:
        faults._handler = lambda point: [handler(point) for handler in handlers]
    state = np.random.default_rng(0).normal(size=(3, 8))
    done = 0
    if Recorder.status(folder) is None:
        recorder = Recorder.create(
            folder, circuit={}, settings={"steps": STEPS}, replicas=REPLICAS, queue_bytes=chosen.queue_bytes
        )
    else:
        recorder, tensors, meta = Recorder.resume(folder, settings={"steps": STEPS}, queue_bytes=chosen.queue_bytes)
        if tensors is not None:
            state, done = tensors["state"], meta["step"]
    for group in chosen.groups.values():
        recorder.declare(group)
    for step in range(done + 1, STEPS + 1):
        state = np.sin(3 * state + step)
        for every, group in chosen.groups.items():
            if step % every == 0:
                recorder.append(group.path, step=step, epoch=step / 7, values=values(group, state, step))
        if step % CHECKPOINT_EVERY == 0:
            recorder.checkpoint({"state": state, "step": np.array(step)}, {"step": step})
        elif chosen.timed:
            recorder.maybe_commit()
        elif step % COMMIT_EVERY == 0:
            recorder.commit()
        else:
            continue
        if commits is not None:
            commits.append(recorder.lengths)
    recorder.close()
    if commits is not None:
        commits.append(recorder.lengths)


def slow_disk(seconds: float) -> Callable[[str], None]:
    """A handler of faults that makes every write of a block wait."""
    return lambda point: time.sleep(seconds) if point == faults.BLOCK_WRITE else None


def values(group: schema.Group, state: np.ndarray, step: int) -> dict[str, np.ndarray]:
    """One entry of a group, from the state."""
    entries = {}
    for index, (name, variable) in enumerate(group.variables.items()):
        shape = (3, *(group.sizes[dim] for dim in variable.dims[2:]))
        entry = np.resize(state * 100 + index + step, shape)
        entries[name] = entry.astype(variable.dtype)
    return entries


def dimensions(path: str, case: str) -> tuple[str, ...]:
    """Dimensions of an array of the recording; () for what does not grow."""
    group, _, name = path.rpartition("/")
    declared = next((entry for entry in CASES[case].groups.values() if entry.path == group), None)
    if declared is None:
        return ()
    if name in (schema.STEP, schema.EPOCH):
        return (declared.growing,)
    return declared.variables[name].dims if name in declared.variables else ()


def contents(folder: Path) -> dict[str, np.ndarray]:
    """Every array that plain xarray sees, by path; every group is also opened by itself and must say the same."""
    arrays = {}
    with xarray.open_datatree(folder / schema.STORE, engine="zarr") as tree:
        for node in tree.subtree:
            if not node.variables:
                continue
            path = node.path.strip("/")
            with xarray.open_dataset(folder / schema.STORE, group=path, engine="zarr") as alone:
                assert alone.sizes == node.sizes, path
            for name, variable in node.to_dataset(inherit=False).variables.items():
                arrays[f"{path}/{name}"] = variable.values
    return arrays


def lengths(arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """Length of each group, from its steps."""
    return {path.removesuffix("/step"): len(entry) for path, entry in arrays.items() if path.endswith("/step")}


def final_state(folder: Path) -> tuple[dict[str, bytes], dict[str, object]]:
    """Tensors and the rest of the newest checkpoint."""
    found = newest(folder / schema.CHECKPOINTS)
    assert found is not None
    return {name: entry.tobytes() for name, entry in found.tensors.items()}, found.meta
