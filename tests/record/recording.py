"""A small run whose every value follows from its start, so that a killed and resumed one can be compared bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray

from neurosal.record import Recorder, faults, schema
from neurosal.record.checkpoint import newest

REPLICAS = {"seed": [0, 1, 2], "lr": [0.1, 0.2, 0.3]}
STEPS = 62  # the last steps are past the last checkpoint
COMMIT_EVERY, CHECKPOINT_EVERY = 4, 15
GROUPS = {
    1: schema.training_metrics(),
    5: schema.symmetry("every_5", {"input_to_hidden": 12, "hidden_to_output": 6}),
    10: schema.population("hidden", "every_10", units=3, trials=2, what=("activity", "area")),
    12: schema.projection(
        "input_to_hidden", "every_12", post=("hidden", 3), pre=("input", 4), areas=2, dtype="float64"
    ),
    # Above the size at which rows are written at once, one snapshot a chunk.
    15: schema.projection("wide", "every_15", post=("hidden", 300), pre=("hidden", 300), what=("weight", "update")),
}


def record(folder: str, fault: tuple[str, int] | None = None, commits: list[dict[str, int]] | None = None) -> None:
    """Begin or resume the run in `folder` and bring it to its end, or to the fault (point, count).

    Args:
        commits: takes the lengths of all groups at each commit.
    """
    if fault is not None:
        faults._handler = faults.kill_at(*fault)
    state = np.random.default_rng(0).normal(size=(3, 8))
    done = 0
    if Recorder.status(folder) is None:
        recorder = Recorder.create(folder, circuit={}, settings={"steps": STEPS}, replicas=REPLICAS)
    else:
        recorder, tensors, meta = Recorder.resume(folder, settings={"steps": STEPS})
        if tensors is not None:
            state, done = tensors["state"], meta["step"]
    for group in GROUPS.values():
        recorder.declare(group)
    for step in range(done + 1, STEPS + 1):
        state = np.sin(3 * state + step)
        for every, group in GROUPS.items():
            if step % every == 0:
                recorder.append(group.path, step=step, epoch=step / 7, values=values(group, state, step))
        if step % CHECKPOINT_EVERY == 0:
            recorder.checkpoint({"state": state, "step": np.array(step)}, {"step": step})
        elif step % COMMIT_EVERY == 0:
            recorder.commit()
        else:
            continue
        if commits is not None:
            commits.append(recorder.lengths)
    recorder.close()
    if commits is not None:
        commits.append(recorder.lengths)


def values(group: schema.Group, state: np.ndarray, step: int) -> dict[str, np.ndarray]:
    """One entry of a group, from the state."""
    entries = {}
    for index, (name, variable) in enumerate(group.variables.items()):
        shape = (3, *(group.sizes[dim] for dim in variable.dims[2:]))
        entry = np.resize(state * 100 + index + step, shape)
        entries[name] = entry.astype(variable.dtype)
    return entries


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
