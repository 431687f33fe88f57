"""A simulation that was stopped leaves a record that opens, and goes on to the same bits; its memory does not grow."""

from __future__ import annotations

import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import neurosal as ns
from neurosal.errors import ExperimentError
from neurosal.graph import LIF, Circuit, Population, Uniform
from neurosal.record import Recorder
from neurosal.record.doctor import examine
from neurosal.record.simulated import Simulated
from tests.record.recording import contents
from tests.runner.spiking import DT, driven

DURATION_MS = 150.0
OPTIONS = {
    "seeds": (0, 3),
    "record": ("spikes", "state:cells.v_mv@1.5", "weights:cells_to_cells.x@40"),
    "window_ms": 10.0,
    "checkpoint_every_ms": 40.0,
}
CHILD = """
import os, signal, sys
import neurosal as ns
from tests.runner.spiking import DT, driven
from tests.runner.test_simulating_resumes import DURATION_MS, OPTIONS

def progress(done, total, text):
    if done == {step}:
        os.kill(os.getpid(), signal.SIGKILL)

ns.simulate(driven(), DURATION_MS, DT, store=sys.argv[1], progress=progress, **OPTIONS)
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("reference") / "run"
    ns.simulate(driven(), DURATION_MS, DT, store=folder, **OPTIONS)
    return contents(folder)


def must_be_the_same(folder: Path, reference: dict[str, np.ndarray]) -> None:
    found = contents(folder)
    assert found.keys() == reference.keys()
    for path, array in reference.items():
        assert np.array_equal(found[path], array, equal_nan=array.dtype.kind == "f"), path


class Stopped:
    """Presses Ctrl-C when so many steps are done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, done: int, total: int, text: str) -> None:
        if done == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [60, 220])
def test_interrupted_it_opens_and_goes_on_to_the_same_bits(
    step: int, tmp_path: Path, reference: dict[str, np.ndarray]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        ns.simulate(driven(), DURATION_MS, DT, store=tmp_path / "run", progress=Stopped(step), **OPTIONS)
    half = Simulated.of(tmp_path / "run")
    assert half.state_of_run == "interrupted"
    assert half.span("cells") == (0, step * DT)
    assert float(half.spikes["cells"].time_ms.max()) < step * DT
    assert half.lines()  # however little there is to say
    began = []
    found = ns.simulate(
        driven(), DURATION_MS, DT, store=tmp_path / "run", resume=True, **OPTIONS,
        progress=lambda done, total, text: began.append(done),
    )  # fmt: skip
    assert found.state_of_run == "done"
    assert began[0] == step // 80 * 80 + 20  # after the newest checkpoint
    must_be_the_same(tmp_path / "run", reference)
    assert examine(tmp_path / "run").healthy


def test_killed_it_opens_at_the_end_of_a_window_and_goes_on_to_the_same_bits(
    tmp_path: Path, reference: dict[str, np.ndarray]
) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(step=240), str(tmp_path / "run")], cwd=root, check=False, timeout=200
    )
    assert done.returncode == -signal.SIGKILL
    status = Recorder.status(tmp_path / "run")
    assert status is not None
    assert not status.alive
    half = Simulated.of(tmp_path / "run")
    for path in ("spikes/cells/time_ms", "traces/cells/every_3/v_mv"):
        group, _, name = path.rpartition("/")
        stored = half.tree[group][name].values
        axis = 1 if stored.ndim > 1 else 0
        expected = np.take(reference[path], range(stored.shape[axis]), axis)
        assert np.array_equal(stored, expected), path
    assert half.span("cells")[1] % 10 == 0
    ns.simulate(driven(), DURATION_MS, DT, store=tmp_path / "run", resume=True, **OPTIONS)
    must_be_the_same(tmp_path / "run", reference)


def test_a_store_is_begun_where_there_is_none_to_resume_and_only_opened_where_it_is_finished(tmp_path: Path) -> None:
    first = ns.simulate(driven(), 20.0, DT, store=tmp_path / "run", resume=True)
    before = (tmp_path / "run" / "status.json").read_bytes()
    again = ns.simulate(driven(), 20.0, DT, store=tmp_path / "run", resume=True)
    assert again.lines() == first.lines()
    assert (tmp_path / "run" / "status.json").read_bytes() == before


def test_the_memory_of_a_recorded_simulation_does_not_grow_with_its_duration(tmp_path: Path) -> None:
    cells = Population(size=600, model=LIF(bias_mv=25.0, start_mv=Uniform(low=-70, high=-50)))
    circuit = Circuit(name="many", populations={"cells": cells})
    peaks = []
    for steps in (200, 200, 1600):  # the first warms up
        tracemalloc.start()
        record, store = ("spikes", "state:cells.v_mv@0.5"), tmp_path / f"{len(peaks)}"
        ns.simulate(circuit, steps * DT, DT, store=store, window_ms=25.0, record=record)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    more = 1400 * 600 * 8  # bytes of state that the long one has more
    assert peaks[2] - peaks[1] < more / 3, peaks


def test_brian2_begins_anew_where_it_cannot_go_on() -> None:
    from neurosal.runner.simulations.on_brian2 import OnBrian2

    assert OnBrian2.state_dict(None) is None  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match="tells weights at the start and at the end only"):
        ns.simulate(driven(), 100.0, DT, backend="brian2", mode="standalone", record="weights:cells_to_cells@50")
