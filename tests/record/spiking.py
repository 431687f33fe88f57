"""A simulated run whose every spike follows from its start, so that a killed and resumed one can be compared."""

from __future__ import annotations

import numpy as np

from neurosal.record import Recorder, SpikeRecord, faults, schema

REPLICAS = {"seed": [0, 1]}
UNITS, SYNAPSES, WINDOW_MS = 30, 5000, 50.0
WINDOWS = 40  # the last ones are past the last checkpoint
COMMIT_EVERY, CHECKPOINT_EVERY = 3, 12
PAIRS = (np.arange(SYNAPSES) % UNITS, np.arange(SYNAPSES) % 7)
TRACES = schema.traces("cells", "every_100", units=(3, 5, 11), variables={"v_mv": "membrane potential"})
WEIGHTS = schema.synapses("input_to_cells", "every_window", post=("cells", UNITS), pre=("input", 7), pairs=PAIRS)


def record(folder: str, fault: tuple[str, int] | None = None) -> None:
    """Begin or resume the run in `folder` and bring it to its end, or to the fault (point, count)."""
    if fault is not None:
        faults._handler = faults.kill_at(*fault)
    state, done = np.random.default_rng(0).normal(size=(2, 400)), 0
    if Recorder.status(folder) is None:
        recorder = Recorder.create(folder, circuit={}, settings={}, replicas=REPLICAS)
    else:
        recorder, tensors, meta = Recorder.resume(folder)
        if tensors is not None:
            state, done = tensors["state"], meta["window"]
    spikes = SpikeRecord(recorder, "cells", UNITS)
    recorder.declare(TRACES)
    recorder.declare(WEIGHTS)
    for window in range(done + 1, WINDOWS + 1):
        state = np.sin(3 * state + window)
        start = (window - 1) * WINDOW_MS
        time_ms, unit, replica = events(state, window)
        spikes.put(start, start + WINDOW_MS, step=5 * window, time_ms=start + time_ms, unit=unit, replica=replica)
        clock = {"step": np.arange(5) + 5 * window, "time_ms": start + 10.0 * np.arange(5)}
        recorder.extend(TRACES.path, {"v_mv": 70 * state[:, :15].reshape(2, 5, 3), **clock})
        weights = np.resize(state, (2, 1, SYNAPSES))
        recorder.extend(WEIGHTS.path, {"weight": weights, "step": [5 * window], "time_ms": [start + WINDOW_MS]})
        recorder.reached(step=5 * window, epoch=0.0)
        if window % CHECKPOINT_EVERY == 0:
            recorder.checkpoint({"state": state}, {"window": window})
        elif window % COMMIT_EVERY == 0:
            recorder.commit()
    recorder.close()


def events(state: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some spikes of a window; every tenth window is silent, and in some only one replica is not."""
    replica, place = np.nonzero(state > 0.2 + (window % 10 == 0) * 2)
    keep = replica > 0 if window % 7 == 0 else replica >= 0
    replica, place = replica[keep], place[keep]
    return 0.1 * (place % 500), place % UNITS, replica
