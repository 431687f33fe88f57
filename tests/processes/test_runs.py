"""Runs of several processes: one store, that of one process; what is lost, told to end or wrong is said once."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosal as ns
from neurosal.graph.files import to_yaml
from neurosal.record import Recorder
from tests.processes.together import ENOUGH_S, ended, start

CLOSE = 1e-10
ONE_SEED = ("--set", "seeds=[2]", "--set", "vary={}", "--arm", "sal")


def experiment() -> ns.Experiment:
    """Two arms on digits; in float64, so that what differs by more than rounding is seen."""
    sizes = {"circuit": "mlp", "arguments": {"sizes": [64, 12, 10]}}
    probes = (ns.probe("angle", epochs=1), ns.probe("usage", epochs=1), ns.probe("weight", every=20))
    training = ns.Training(
        epochs=3, batch_size=64, dtype="float64", checkpoint_every_steps=5, optimizer=ns.Adam(lr=0.01), record=probes
    )
    return ns.Experiment.from_dict(
        {
            "name": "small",
            "data": {"name": "digits"},
            "seeds": [0, 1, 2],
            "vary": {"optimizer.lr": [0.01, 0.003]},
            "arms": {
                "kp": {"recipe": sizes | {"rule": "kp"}},
                "sal": {"recipe": sizes | {"rule": "sal", "options": {"areas": 4, "readout": "shared"}}},
            },
            "training": training.to_dict(),
        }
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "small.yaml"
    path.write_text(to_yaml(experiment().to_dict()))
    return path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ns.Run]:
    """What one process records: all replicas, and one of one arm."""
    folder, asked = tmp_path_factory.mktemp("alone"), experiment()
    one = asked.replace(seeds=(2,), vary={}, arms={"sal": asked.arms["sal"]})
    return {name: ns.run(e, store=folder / name, device="cpu") for name, e in (("all", asked), ("one", one))}


def difference(one: Any, other: Any) -> float:
    """Largest difference of two records, which must hold the same."""
    assert [node.path for node in one.tree.subtree] == [node.path for node in other.tree.subtree]
    largest = 0.0
    for node in one.tree.subtree:
        theirs = other.tree[node.path]
        assert set(node.variables) == set(theirs.variables), node.path
        for name, variable in node.variables.items():
            mine, yours = variable.values, theirs[name].values
            if mine.dtype.kind != "f":
                assert np.array_equal(mine, yours), f"{node.path}/{name}"
            elif mine.size:
                assert np.array_equal(np.isnan(mine), np.isnan(yours)), f"{node.path}/{name}"
                largest = max(largest, float(np.nanmax(np.abs(mine - yours), initial=0.0)))
    return largest


def command(file: Path, store: Path, *more: str) -> list[str | Path]:
    return ["-m", "neurosal", "run", file, "--store", store, "--device", "cpu", *more]


def checkpointed(store: Path, processes: list[subprocess.Popen[str]]) -> None:
    """Wait until a run has something to go on from."""
    until = time.monotonic() + ENOUGH_S
    while not list(store.glob("arms/*/checkpoints/0*")):
        assert all(process.poll() is None for process in processes), ended(processes)
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(("parallel", "more", "alike"), [("data", (), "all"), ("areas", ONE_SEED, "one")])
def test_two_processes_record_what_one_does_and_one_of_them_speaks(
    file: Path, tmp_path: Path, alone: dict[str, ns.Run], parallel: str, more: tuple[str, ...], alike: str
) -> None:
    store = tmp_path / parallel
    first, second = ended(start(command(file, store, "--parallel", parallel, *more)))
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert f"Recorded in {store}" in first[1]
    assert second[1] == second[2] == ""
    assert difference(ns.open_run(store), alone[alike]) <= CLOSE
    assert f'"parallel": "{parallel}"' in (store / "environment.json").read_text()


@pytest.mark.parametrize(
    ("parallel", "more", "alike", "after"),
    [
        ("replicas", (), "all", (3, "replicas")),
        ("areas", ONE_SEED, "one", (1, "data")),
        ("data", (), "all", (3, "data")),
    ],
)
def test_a_process_that_is_killed_ends_the_run_which_resumes_on_another_number(
    file: Path, tmp_path: Path, alone: dict[str, ns.Run], parallel: str, more: tuple[str, ...], alike: str,
    after: tuple[int, str],
) -> None:  # fmt: skip
    store = tmp_path / "run"
    longer = (*more, "--set", "training.epochs=3")
    processes = start(command(file, store, "--parallel", parallel, *longer))
    checkpointed(store, processes)
    processes[1].kill()
    began = time.monotonic()
    first, second = ended(processes)
    assert second[0] == -signal.SIGKILL
    if first[0] != 0:  # else it was over before it was killed
        assert first[0] == 5
        assert "process 1 of 2 was killed" in first[2]
        assert "--resume" in first[2]
        assert "Traceback" not in first[2]
        status = Recorder.status(store)
        assert status is not None
        assert status.state == "failed"
        assert "process 1 of 2" in status.message
        assert time.monotonic() - began < 60
    count, way = after
    for code, _, errors in ended(start(command(file, store, "--parallel", way, "--resume", *longer), count)):
        assert code == 0, errors
    assert difference(ns.open_run(store), alone[alike]) <= CLOSE


def test_processes_that_are_told_to_end_leave_an_interrupted_run(file: Path, tmp_path: Path) -> None:
    store = tmp_path / "run"
    processes = start(command(file, store, "--set", "training.epochs=2000"))
    checkpointed(store, processes)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    first, second = ended(processes)
    assert (first[0], second[0]) == (130, 130), first[2] + second[2]
    assert "Interrupted" in first[2]
    assert second[2] == ""
    status = Recorder.status(store)
    assert status is not None
    assert status.state == "interrupted"


def test_what_is_wrong_is_said_once_and_names_the_remedy(file: Path, tmp_path: Path) -> None:
    first, second = ended(start(command(file, tmp_path / "run", "--parallel", "areas")))
    assert first[0] == second[0] == 2
    assert second[1] + second[2] == ""
    assert "arm 'kp'" in first[2]
    assert "--parallel data" in first[2]
    assert "arm 'sal'" in first[2]
    assert "--parallel replicas" in first[2]
    assert not (tmp_path / "run").exists()
