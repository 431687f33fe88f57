"""Opening stored runs: what they show, what is refused and how, all without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray

from neurosal.errors import StoreError
from neurosal.graph import Circuit, Population, Projection, Source
from neurosal.record import ExperimentFolder, Recorder, open_run, schema

CIRCUIT = Circuit(
    name="pair",
    populations={"input": Population(size=4, model=Source()), "output": Population(size=2)},
    projections={"input_to_output": Projection(source="input", target="output")},
)


def store(folder: Path, steps: int = 3) -> Path:
    settings = {"training": {"epochs": 2}}
    with Recorder.create(folder, circuit=CIRCUIT.to_dict(), settings=settings, replicas={"seed": [0, 1]}) as recorder:
        recorder.declare(schema.training_metrics())
        for step in range(steps):
            recorder.append(schema.TRAIN, step=step, epoch=step / 2, values={"loss": np.array([step, 2.0 * step])})
    return folder


def experiment(folder: Path) -> Path:
    target = ExperimentFolder.create(folder, experiment={"name": "two", "arms": {"sal": {}, "bp": {}, "late": {}}})
    for name in ("sal", "bp"):
        store(target.arm(name))
    target.heartbeat(step=6, epoch=2.0)
    target.close()
    return folder


def test_a_run_shows_what_made_it_and_what_happened(tmp_path: Path) -> None:
    run = open_run(store(tmp_path / "run"))
    assert run.circuit == CIRCUIT
    assert run.settings["training"] == {"epochs": 2}
    assert run.status.state == "done"
    assert "numpy" in run.environment["packages"]
    assert dict(run.arms) == {}
    np.testing.assert_array_equal(run.tree["metrics/train/loss"], [[0, 1, 2], [0, 2, 4]])
    assert run.tree["graph/size"].values.tolist() == [4, 2]
    assert "pair" in repr(run)
    assert "done at step 2" in repr(run)


def test_the_record_is_read_only_when_asked_for(tmp_path: Path) -> None:
    run = open_run(store(tmp_path / "run"))
    assert "tree" not in vars(run)
    assert run.tree is run.tree
    assert not run.tree["metrics/train/loss"].variable._in_memory


def test_an_experiment_shows_its_arms_in_the_order_asked(tmp_path: Path) -> None:
    run = open_run(experiment(tmp_path / "two"))
    assert list(run.arms) == ["sal", "bp"]
    assert run.settings["name"] == "two"
    assert (run.status.state, run.status.step) == ("done", 6)
    np.testing.assert_array_equal(run.tree["bp/metrics/train/loss"], run.arms["bp"].tree["metrics/train/loss"])
    assert "2 arms" in repr(run)
    assert "sal" in repr(run)


def test_an_experiment_that_has_only_begun_opens(tmp_path: Path) -> None:
    folder = ExperimentFolder.create(tmp_path / "two", experiment={"name": "two", "arms": {"bp": {}}})
    run = open_run(tmp_path / "two")
    assert (dict(run.arms), run.status.alive) == ({}, True)
    assert run.tree.groups == ("/",)
    assert "0 arms" in repr(run)
    folder.close()


def test_an_experiment_is_resumed_with_what_it_was_begun_with(tmp_path: Path) -> None:
    experiment(tmp_path / "two")
    same = {"name": "two", "arms": {"sal": {}, "bp": {}, "late": {}}}
    ExperimentFolder.resume(tmp_path / "two", experiment=same).close("interrupted", "enough")
    assert open_run(tmp_path / "two").status.message == "enough"
    with pytest.raises(StoreError, match=r"arms\.late"):
        ExperimentFolder.resume(tmp_path / "two", experiment={"name": "two", "arms": {"sal": {}, "bp": {}}})
    with pytest.raises(StoreError, match="found a single run"):
        ExperimentFolder.resume(store(tmp_path / "one"))
    with pytest.raises(StoreError, match="found none"):
        ExperimentFolder.resume(tmp_path / "three")
    with pytest.raises(StoreError, match="--resume"):
        ExperimentFolder.create(tmp_path / "two", experiment=same)


def test_a_run_that_was_killed_says_so(tmp_path: Path) -> None:
    path = store(tmp_path / "run") / schema.STATUS_FILE
    path.write_text(path.read_text().replace('"done"', '"running"'))
    run = open_run(tmp_path / "run")
    assert (run.status.state, run.status.alive) == ("running", False)
    assert "stopped without saying why" in repr(run)


# What is refused -----------------------------------------------------------------------------------------------------


def test_an_absent_folder_is_refused_with_near_names(tmp_path: Path) -> None:
    store(tmp_path / "digits_sal")
    with pytest.raises(StoreError, match=r"no such folder. Did you mean 'digits_sal'\?") as caught:
        open_run(tmp_path / "digit_sal")
    assert caught.value.exit_code == 4


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"expected the folder of a run, found no status\.json in it"):
        open_run(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="found a file"):
        open_run(tmp_path / "file")


YAML, JSON = (schema.CIRCUIT_FILE, schema.SETTINGS_FILE), (schema.STATUS_FILE, schema.ENVIRONMENT_FILE)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(
            (name, content)
            for name in YAML + JSON
            for content in (b"", b"\xff\xfe\x00", b"[1, 2]", b"{", b"[" * 100_000)
        ),
        *((name, None) for name in YAML + JSON if name != schema.STATUS_FILE),
        (schema.STATUS_FILE, b'{"state": 3}'),
        (schema.CIRCUIT_FILE, b'{"state": 3}'),
        (schema.CIRCUIT_FILE, b"populations: {a: {size: -1}}"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_damaged_file_is_refused_by_name(name: str, content: bytes | None, tmp_path: Path) -> None:
    path = store(tmp_path / "run") / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        open_run(tmp_path / "run")
    assert all(name in problem.place for problem in caught.value.problems)
    assert caught.value.problems


@pytest.mark.parametrize(
    "change",
    [{"state": "sleeping"}, {"step": "many"}, {"step": True}, {"schema": "3.0"}, {"schema": None}, {"more": 1}],
)
def test_a_status_with_other_content_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    path = store(tmp_path / "run") / schema.STATUS_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match=r"status\.json: expected"):
        open_run(tmp_path / "run")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"attributes": {"neurosal_schema": "1.0"}}', b"[]"])
def test_a_damaged_record_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    store(tmp_path / "run")
    (tmp_path / "run" / schema.STORE / "zarr.json").write_bytes(content)
    run = open_run(tmp_path / "run")
    with pytest.raises(StoreError, match=r"store\.zarr.*expected"):
        run.tree  # noqa: B018


def test_an_absent_record_is_refused_by_name(tmp_path: Path) -> None:
    store(tmp_path / "run")
    (tmp_path / "run" / schema.STORE / "zarr.json").unlink()
    with pytest.raises(StoreError, match=r"zarr\.json: expected to be able to read it, found No such file"):
        open_run(tmp_path / "run").tree  # noqa: B018


def test_an_unknown_analysis_is_refused_with_near_names(tmp_path: Path) -> None:
    run = open_run(store(tmp_path / "run"))
    with pytest.raises(AttributeError, match="no analysis is called 'symetry'"):
        run.plot.symetry  # noqa: B018
    assert not hasattr(run.plot, "_repr_html_")


def test_analyses_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurosal import library

    def last_loss(run: object, replica: int = 0) -> float:
        return float(run.tree["metrics/train/loss"][replica, -1])  # type: ignore[attr-defined]

    monkeypatch.setitem(library._registered["analyses"], "last_loss", last_loss)
    run = open_run(store(tmp_path / "run"))
    assert run.plot.last_loss(replica=1) == 4
    assert run.plot("last_loss") == 2
    assert "last_loss" in dir(run.plot)


def test_records_are_written_and_read_without_torch(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["torch"] = None
from tests.record.test_run import store, open_run
run = open_run(store(__import__("pathlib").Path({str(tmp_path / "run")!r})))
assert run.tree["metrics/train/loss"].shape == (2, 3)
print("read")
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.stdout == "read\n", done.stderr


def test_plain_xarray_opens_the_same_record(tmp_path: Path) -> None:
    run = open_run(store(tmp_path / "run"))
    with xarray.open_datatree(tmp_path / "run" / schema.STORE, engine="zarr") as plain:
        assert plain.identical(run.tree)
