"""What the program in C++ leaves in a store is what torch leaves, bit for bit, in float64."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosal as ns
from neurosal.graph import LIF, Circuit, ExponentialDrive, Own, PoissonSource, Population, Projection, Sparse, Uniform
from neurosal.lower.spiking import realise_all
from neurosal.record import schema
from neurosal.runner.simulations import records
from tests.record.recording import contents
from tests.runner.test_simulating_resumes import Stopped

torch = pytest.importorskip("torch")
from neurosal.engine.clock import Clock  # noqa: E402 - it needs torch

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ compiles the program")
DT, DURATION_MS = 0.1, 91.0
OPTIONS: dict[str, Any] = {"seeds": (4, 0, 9), "window_ms": 30.0, "settle_ms": 7.0, "bin_ms": 1.3}
CHILD = """
import os, signal, sys
import neurosal as ns
from tests.runner.test_simulating_compiled import DT, DURATION_MS, OPTIONS, network

def progress(done, total, text):
    if done == 600:
        os.kill(os.getpid(), signal.SIGKILL)

ns.simulate(network(), DURATION_MS, DT, store=sys.argv[1], mode="compiled", checkpoint_every_ms=30.0,
            progress=progress, **OPTIONS)
"""


def network(sources: bool = True) -> Circuit:
    """Static synapses: two populations in one block, and one that is driven by a source that is recorded too."""
    cells = LIF(bias_mv=Uniform(low=19.0, high=45.0), start_mv=Uniform(low=-70, high=-50), refractory_ms=0.7)
    populations = {"left": Population(size=40, model=cells), "right": Population(size=130, model=cells)}
    ends = [("left", "right"), ("right", "left")]
    if sources:
        populations = {"noise": Population(size=30, model=PoissonSource(rate_hz=200.0)), **populations}
        ends.append(("noise", "left"))
    return Circuit(
        populations=populations,
        projections={
            f"{source}_to_{target}": Projection(
                source=source, target=target, wiring=Sparse(density=0.3), synapse=ExponentialDrive(tau_ms=4.0),
                delay_ms=0.3, weights=Own(init=Uniform(low=-1.0, high=2.0)),
            )
            for source, target in ends
        },
    )  # fmt: skip


def must_be_equal(one: Path, other: Path) -> None:
    mine, theirs = contents(one), contents(other)
    assert mine.keys() == theirs.keys()
    for path, values in mine.items():
        assert values.dtype == theirs[path].dtype
        if path.endswith("v_mv"):  # which torch rounds once where it multiplies and adds
            np.testing.assert_allclose(values, theirs[path], rtol=1e-11, err_msg=path)
            continue
        assert np.array_equal(values, theirs[path], equal_nan=values.dtype.kind == "f"), path


@pytest.mark.parametrize("sources", [True, False])
@pytest.mark.parametrize("record", [("spikes",), ("spikes:right", "state:left.v_mv@0.7"), ()])
def test_a_store_is_that_of_torch(
    record: tuple[str, ...], sources: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)  # which share the replicas, wherever this runs
    for mode in ("eager", "compiled"):
        ns.simulate(network(sources), DURATION_MS, DT, mode=mode, record=record, store=tmp_path / mode, **OPTIONS)
    must_be_equal(tmp_path / "eager", tmp_path / "compiled")
    found = contents(tmp_path / "compiled")
    spikes = {path.split("/")[1]: len(values) for path, values in found.items() if path.endswith("/unit")}
    assert set(spikes) == {"spikes": {"noise", "left", "right"} - ({"noise"} if not sources else set()),
                           "spikes:right": {"right"}}.get(record[0] if record else "", set())  # fmt: skip
    assert all(count > 100 for count in spikes.values())
    assert found[f"{schema.FIRING_STATS}/so_far/events"].min() > 100


def test_events_come_window_by_window_by_replica_time_and_unit(tmp_path: Path) -> None:
    ns.simulate(network(), DURATION_MS, DT, mode="compiled", store=tmp_path / "run", **OPTIONS)
    found = contents(tmp_path / "run")
    for name in ("noise", "left", "right"):
        columns = [found[f"spikes/{name}/{column}"] for column in ("time_ms", "unit", "replica_index")]
        rows = [*zip(*(column.tolist() for column in columns), strict=True)]
        keys = [(int(time / 30.0), replica, time, unit) for time, unit, replica in rows]
        assert keys == sorted(keys)
        counts, first = found[f"windows/{name}/events"], found[f"windows/{name}/first_event"]
        for replica, window in np.ndindex(*counts.shape):
            mine = keys[first[replica, window] :][: counts[replica, window]]
            assert {(at, of) for at, of, _, _ in mine} <= {(window, replica)}
        assert counts.sum() == len(rows)


def test_interrupted_it_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    ns.simulate(network(), DURATION_MS, DT, mode="compiled", store=tmp_path / "whole", **OPTIONS)
    options = {**OPTIONS, "mode": "compiled", "checkpoint_every_ms": 30.0, "store": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        ns.simulate(network(), DURATION_MS, DT, progress=Stopped(600), **options)
    ns.simulate(network(), DURATION_MS, DT, resume=True, **options)
    must_be_equal(tmp_path / "whole", tmp_path / "run")


def test_killed_it_opens_and_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "run")], cwd=root, check=False, timeout=200)
    assert done.returncode == -signal.SIGKILL
    assert ns.open_run(tmp_path / "run").status.state == "running"
    options = {**OPTIONS, "mode": "compiled", "checkpoint_every_ms": 30.0}
    ns.simulate(network(), DURATION_MS, DT, store=tmp_path / "run", resume=True, **options)
    ns.simulate(network(), DURATION_MS, DT, store=tmp_path / "whole", **options)
    must_be_equal(tmp_path / "whole", tmp_path / "run")


def test_a_record_that_will_be_long_is_kept_in_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for few in (records.FEW, 10):
        monkeypatch.setattr(records, "FEW", few)
        store = tmp_path / f"{few}"
        ns.simulate(network(), DURATION_MS, DT, mode="compiled", store=store, record=("spikes:right",), **OPTIONS)
        sizes.append({file.stat().st_size for file in (store / schema.STORE / "spikes/right/time_ms").glob("c*")})
    expected = round(1e-3 * DURATION_MS * 130 * 3)
    assert 10 < expected < 8192
    assert sizes == [{2**16}, {8 * expected}]  # as nobody could say how long it will be; and at a spike a second


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is told there")
def test_memory_of_spikes_is_given_back() -> None:
    """Windows of 20,000 spikes a replica: 40 MB each, of which nothing is to stay."""
    cells = Population(size=1000, model=LIF(bias_mv=400.0, start_mv=Uniform(low=-70, high=-50), refractory_ms=0.1))
    clock = Clock(realise_all(Circuit(populations={"cells": cells}), range(8), DT), compiled=True)

    def spikes() -> int:
        return len(clock.events(1000)["cells"][0])

    def megabytes() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    assert min(spikes() for _ in range(4)) > 500_000
    before = megabytes()
    for _ in range(12):
        spikes()
    assert megabytes() < before + 30
