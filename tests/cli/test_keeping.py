"""The index of runs, and what doctor and pack print."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurosal.cli.keeping import size, when
from neurosal.record import ExperimentFolder, Recorder, index, schema
from neurosal.record.status import Status, write_status
from tests.cli.invoking import invoke


def record(folder: Path, state: str = "done") -> None:
    recorder = Recorder.create(folder, circuit={"name": "mlp"}, settings={}, replicas={"seed": [0]})
    recorder.declare(schema.training_metrics())
    recorder.append("metrics/train", step=7, epoch=0.5, values={"loss": np.ones(1)})
    recorder.close(state, "out of luck" if state == "failed" else "")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    record(tmp_path / "a")
    record(tmp_path / "deep/er/b", "failed")
    record(tmp_path / "killed")
    write_status(tmp_path / "killed", Status(state="running", step=3, updated="2020-01-01T00:00:00+00:00"))
    folder = ExperimentFolder.create(tmp_path / "pair", experiment={"name": "two", "arms": {"x": {}, "y": {}}})
    record(folder.arm("x"))
    folder.close()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / schema.STATUS_FILE).write_text("{")
    record(tmp_path / "lost")
    (tmp_path / "lost" / schema.STATUS_FILE).unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/notes.txt").write_text("no run")
    (tmp_path / ".hidden").mkdir()
    record(tmp_path / ".hidden/run")
    (tmp_path / "link").symlink_to(tmp_path)
    return tmp_path


def test_every_run_below_a_folder_is_listed_with_how_it_stands(runs: Path) -> None:
    entries = {entry["folder"]: entry for entry in json.loads(invoke("ls", runs, "--format", "json")[0])}
    assert {name: entry["state"] for name, entry in entries.items()} == {
        "a": "done", "deep/er/b": "failed", "killed": "killed", "pair": "done", "damaged": "damaged",
        "lost": "damaged",
    }  # fmt: skip
    a = entries["a"]
    assert (a["name"], a["kind"], a["step"], a["epoch"], a["message"]) == ("mlp", "run", 7, 0.5, "")
    assert 0 <= a["age_s"] < 600
    files = [path for path in (runs / "a").rglob("*") if path.is_file()]
    assert a["bytes"] == sum(path.stat().st_size for path in files)
    assert (entries["pair"]["name"], entries["pair"]["kind"], entries["pair"]["arms"]) == ("two", "experiment", 1)
    assert "status.json" in entries["damaged"]["message"]
    assert entries["deep/er/b"]["message"] == "out of luck"


def test_a_run_that_a_process_writes_is_running(runs: Path) -> None:
    with Recorder.create(runs / "now", circuit={}, settings={}, replicas={"seed": [0]}):
        states = {entry.folder: entry.state for entry in index.index(runs)}
        assert states["now"] == "running"
    assert {entry.folder: entry.state for entry in index.index(runs)}["now"] == "done"


def test_the_table_shows_them_with_what_went_wrong_below(runs: Path) -> None:
    out, _ = invoke("ls", runs)
    lines = out.splitlines()
    assert lines[0].split() == ["run", "name", "state", "step", "epoch", "updated", "size"]
    assert any(line.split()[:6] == ["pair", "two", "(1", "arms)", "done", "0"] for line in lines)
    assert "deep/er/b: out of luck" in lines
    assert any(line.startswith("damaged: ") and "expected JSON" in line for line in lines)


def test_the_folder_of_a_run_itself_is_listed(runs: Path) -> None:
    assert [entry.folder for entry in index.index(runs / "a")] == ["."]


def test_no_store_is_opened(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    read = Path.read_bytes

    def watched(path: Path) -> bytes:
        opened.append(path.name)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", watched)
    index.index(runs)
    assert set(opened) == {schema.STATUS_FILE}


def test_what_cannot_be_listed_is_said(tmp_path: Path) -> None:
    assert "No runs below" in invoke("ls", tmp_path)[0]
    assert "found no such folder" in invoke("ls", tmp_path / "nowhere", code=4)[1]
    assert "expected table or json" in invoke("ls", tmp_path, "--format", "xml", code=2)[1]


def test_a_time_that_is_still_to_come_is_of_another_clock(runs: Path) -> None:
    write_status(runs / "a", Status(state="done", updated="2999-01-01T00:00:00+00:00"))
    write_status(runs / "killed", Status(state="running", updated="soon"))
    entries = {entry.folder: entry for entry in index.index(runs)}
    assert (entries["a"].age_s, entries["killed"].age_s) == (None, None)
    assert "2999-01-01T00:00:00+00:00 (another clock)" in invoke("ls", runs)[0]


@pytest.mark.parametrize(
    ("age", "text"), [(0.4, "0 s ago"), (59, "59 s ago"), (61, "1 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_ages_are_said_in_the_largest_unit(age: float, text: str) -> None:
    assert when(age, "") == text


def test_sizes_are_said_for_people() -> None:
    assert [size(count) for count in (12, 1500, 2.5e6, 3e9, 4e12)] == ["12 B", "1.5 kB", "2.5 MB", "3 GB", "4 TB"]


def test_a_whole_run_and_a_packed_one_are_said_to_be(runs: Path) -> None:
    out, _ = invoke("doctor", runs / "a")
    assert out.startswith(f"{runs / 'a'}: whole (1 groups, 1 entries, ")
    invoke("pack", runs / "a")
    assert "whole (packed, 1 groups" in invoke("doctor", runs / "a")[0]
