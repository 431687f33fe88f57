"""Stores damaged by hand: every kind of file, at seeded places. It is said what is wrong, and a repair loses no more
than what comes after the first damage.

``NEUROSAL_DAMAGES`` sets how many seeds choose the file and the bit (default 8).
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neurosal.errors import NeurosalError, StoreError
from neurosal.record import ExperimentFolder, Recorder, growing, open_run, schema
from neurosal.record.doctor import examine
from neurosal.record.pack import pack
from neurosal.record.repair import repair
from neurosal.record.root import ROOT, previous
from neurosal.record.status import Status, write_status
from tests.cli.invoking import invoke
from tests.record import recording, spiking

KINDS = {
    "chunk of losses": f"{schema.STORE}/metrics/train/loss/c.*",
    "chunk of snapshots": f"{schema.STORE}/projections/wide/every_15/weight/c.*",
    "chunk of activities": f"{schema.STORE}/probes/hidden/every_10/activity/c.*",
    "steps": f"{schema.STORE}/stats/symmetry/every_5/step/c.*",
    "labels": f"{schema.STORE}/stats/symmetry/every_5/pair/c.*",
    "seeds": f"{schema.STORE}/metrics/train/seed/c.*",
    "root": f"{schema.STORE}/{ROOT}",
    "metadata of a group": f"{schema.STORE}/stats/{ROOT}",
    "metadata of an array": f"{schema.STORE}/stats/symmetry/every_5/angle/{ROOT}",
    "log of checksums": f"{schema.STORE}.checksums",
    "circuit": schema.CIRCUIT_FILE,
    "settings": schema.SETTINGS_FILE,
    "environment": schema.ENVIRONMENT_FILE,
    "list of checksums": "checksums.json",
    "tensors of a checkpoint": f"{schema.CHECKPOINTS}/00000004/tensors.safetensors",
    "rest of a checkpoint": f"{schema.CHECKPOINTS}/00000004/checkpoint.json",
}
SEEDS = int(os.environ.get("NEUROSAL_DAMAGES", "8"))
NOT_REPAIRED = {"circuit", "settings", "environment", "labels"}  # nothing else says what stood there
CUT = {"chunk of losses", "chunk of snapshots", "chunk of activities"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose pages are so small that damage in its middle leaves something before it."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    patch = pytest.MonkeyPatch()
    patch.setattr(growing, "PAGE_BYTES", 240)
    recording.record(str(folder))
    patch.undo()
    (folder / schema.CIRCUIT_FILE).write_text("name: mlp\npopulations: {}\nprojections: {}\n")
    from neurosal.record.checksums import write_sums

    write_sums(folder, (schema.CIRCUIT_FILE, schema.SETTINGS_FILE, schema.ENVIRONMENT_FILE))
    return folder


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "PAGE_BYTES", 240)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def flip(file: Path, moments: random.Random) -> None:
    raw = bytearray(file.read_bytes())
    raw[place_of(file, len(raw), moments)] ^= 1 << moments.randrange(8)
    file.write_bytes(raw)


def place_of(file: Path, size: int, moments: random.Random) -> int:
    """A byte that was committed: what is preallocated behind it is nobody's."""
    if not file.name.startswith("c."):
        return moments.randrange(size)
    committed = json.loads((file.parent / ROOT).read_text())
    chunk = committed["chunk_grid"]["configuration"]["chunk_shape"]
    dims = committed["dimension_names"]
    axis = next((axis for axis, dim in enumerate(dims) if dim in schema.GROWING), None)
    if axis is None:
        return moments.randrange(size)
    rows = min(chunk[axis], committed["shape"][axis] - int(file.name.split(".")[1 + axis]) * chunk[axis])
    slab = size // (chunk[0] if axis else 1)
    return moments.randrange(chunk[0] if axis else 1) * slab + moments.randrange(slab // chunk[axis] * rows)


def truncate(file: Path, moments: random.Random) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[: moments.randrange(len(raw))])


def vanish(file: Path, moments: random.Random) -> None:
    file.unlink()


DAMAGE: dict[str, Callable[[Path, random.Random], None]] = {"flip": flip, "truncate": truncate, "vanish": vanish}


# Every kind flipped; truncated and vanished by turns, or all with more seeds.
CASES = [
    (kind, how) for index, kind in enumerate(KINDS) for turn, how in enumerate(DAMAGE)
    if SEEDS > 8 or turn == 0 or (index + turn) % 2
]  # fmt: skip


def must_be_a_beginning_of(folder: Path, whole: Path) -> dict[str, int]:
    """Every value that is left is the one that was recorded, in step. Returns the lengths."""
    found, reference = recording.contents(folder), recording.contents(whole)
    assert found.keys() == reference.keys()
    lengths = recording.lengths(found)
    for path, values in found.items():
        expected = reference[path]
        if values.shape != expected.shape:
            axis = next(index for index, (a, b) in enumerate(zip(values.shape, expected.shape, strict=True)) if a != b)
            expected = expected.take(range(values.shape[axis]), axis)
        assert values.tolist() == expected.tolist() or values.tobytes() == expected.tobytes(), path
    last = max(int(found[f"{group}/step"][-1]) for group, length in lengths.items() if length) if any(
        lengths.values()) else 0  # fmt: skip
    for group, length in lengths.items():
        steps = reference[f"{group}/step"]
        missing = steps[length:]
        assert not len(missing) or missing[0] > last, f"{group} ends before the others"
    return lengths


@pytest.mark.parametrize(("kind", "how"), CASES)
def test_damage_is_said_and_repaired_where_it_can_be(kind: str, how: str, run: Path, whole: Path) -> None:
    moments = random.Random(f"{kind} {how}")
    file = moments.choice(sorted(run.glob(KINDS[kind])))
    assert examine(run).healthy
    DAMAGE[how](file, moments)
    if how == "vanish" and kind == "list of checksums":
        assert any("checksums.json" in note for note in examine(run).notes)
        return
    diagnosis = examine(run)
    assert any(file.name in str(one) or file.parent.name in str(one) for one in diagnosis.all_damages), diagnosis
    out, err = invoke("doctor", run, code=4)
    assert f"{run}: damaged" in out
    assert file.name in err or file.parent.name in err
    assert "Traceback" not in err
    if kind in NOT_REPAIRED:
        out, err = invoke("doctor", run, "--repair", code=4)
        assert "could not be put right" in out
        if kind != "labels":
            must_be_a_beginning_of(run, whole)
        return
    out, _ = invoke("doctor", run, "--repair")
    assert "The run is whole now." in out
    assert examine(run).healthy
    assert f"{run}: whole" in invoke("doctor", run)[0]
    lengths = must_be_a_beginning_of(run, whole)
    full = recording.lengths(recording.contents(whole))
    assert (lengths != full) == (kind in CUT), lengths
    if kind in CUT:
        assert "Lost: " in out
        status = Recorder.status(run)
        assert status is not None
        assert (status.state, "cut after step" in status.message) == ("failed", True)
        assert list(run.glob(f"{schema.STORE}.{ROOT}.damaged*")), "the metadata that was replaced is kept"
    if kind not in CUT and kind != "root":
        return
    recording.record(str(run))  # resumes where it still can, and comes to the same end
    assert {path: values.tolist() for path, values in recording.contents(run).items()} == {
        path: values.tolist() for path, values in recording.contents(whole).items()
    }
    assert examine(run).healthy


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_single_bit_anywhere_is_found(seed: int, run: Path) -> None:
    """But for status.json, which changes all the time and has no checksum, and what lies past the committed rows."""
    moments = random.Random(seed)
    files = sorted(
        path for path in run.rglob("*")
        if path.is_file() and path.name not in (schema.STATUS_FILE, ".lock") and path != previous(run / schema.STORE)
    )  # fmt: skip
    for _ in range(3):
        file = moments.choice(files)
        before = file.read_bytes()
        flip(file, moments)
        assert not examine(run).healthy, file
        file.write_bytes(before)
    assert examine(run).healthy


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_single_bit_of_a_packed_store_is_found_and_cut(seed: int, whole: Path, tmp_path: Path) -> None:
    moments = random.Random(seed)
    pack(whole, out=tmp_path / "run")
    run = tmp_path / "run"
    assert examine(run).healthy
    file = moments.choice(sorted(path for path in (run / schema.STORE).rglob("*") if path.is_file()))
    (vanish if seed % 4 == 0 else truncate if seed % 4 == 1 else flip)(file, moments)
    assert not examine(run).healthy, file
    invoke("doctor", run, code=4)
    repaired = repair(run)
    if file.parent.name != "pair" and "/pair/" not in str(file):  # nothing else says what the pairs were
        assert repaired.after.healthy, (file, repaired)
        must_be_a_beginning_of(run, whole)


def test_a_flipped_value_costs_the_entries_after_it_only(run: Path, whole: Path) -> None:
    [file] = run.glob(KINDS["chunk of losses"])
    raw = bytearray(file.read_bytes())
    raw[3 * len(raw) // 3 - len(raw) // 3 + 45 * 8] ^= 1  # the third replica's loss after step 46
    file.write_bytes(raw)
    [damage] = examine(run).damages
    assert damage.rows == 40, "pages of ten rows"
    repaired = repair(run)
    lengths = must_be_a_beginning_of(run, whole)
    assert lengths["metrics/train"] == 40
    assert lengths["stats/symmetry/every_5"] == 8
    assert "22 of 62 entries of metrics/train" in repaired.lost
    kept = [path.name for path in (run / schema.CHECKPOINTS).iterdir()]
    assert sorted(kept) == ["00000003.unusable", "00000004.unusable"], "both are farther than step 40"
    assert any("begin anew" in line for line in repaired.done)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "run"
    patch = pytest.MonkeyPatch()
    patch.setattr(growing, "PAGE_BYTES", 240)
    spiking.record(str(folder))
    patch.undo()
    return folder


@pytest.mark.parametrize("packing", [False, True], ids=["recorded", "packed"])
@pytest.mark.parametrize("group", ["spikes/cells/unit", "windows/cells/events", "*/cells/*/v_mv", "*/*/*/weight"])
def test_a_simulation_is_cut_at_one_moment(group: str, packing: bool, simulated: Path, tmp_path: Path) -> None:
    moments = random.Random(group)
    run = tmp_path / "run"
    if packing:
        pack(simulated, out=run)
        [*_, file] = sorted(path for path in run.glob(f"{schema.STORE}/{group}/c/**/*") if path.is_file())
    else:
        shutil.copytree(simulated, run)
        file = moments.choice(sorted(run.glob(f"{schema.STORE}/{group}/c.*")))
    flip(file, moments)
    assert not examine(run).healthy
    repaired = repair(run)
    assert repaired.after.healthy, repaired
    assert repaired.lost
    tree, whole = open_run(run).tree, open_run(simulated).tree
    windows, traces = tree["windows/cells"], tree[spiking.TRACES.path]
    count = windows.sizes["window"]
    assert count < spiking.WINDOWS
    ends = windows.first_event + windows.events
    assert tree["spikes/cells"].sizes["event"] == int(ends.max() if count else 0), "each window has its spikes"
    last = float(windows.stop_ms[-1]) if count else 0.0
    for other in (traces, tree[spiking.WEIGHTS.path]):
        times = other.time_ms.values
        assert not len(times) or times[-1] <= last + spiking.WINDOW_MS, "all end at about the same time"
    for node in (windows, traces, tree["spikes/cells"], tree[spiking.WEIGHTS.path]):
        growing_one = next(dim for dim in node.dims if dim in schema.GROWING)
        reference = whole[node.path].isel({growing_one: slice(node.sizes[growing_one])})
        assert node.to_dataset().identical(reference.to_dataset())


def test_what_reads_a_damaged_run_says_so_without_a_traceback(run: Path) -> None:
    for kind, file in KINDS.items():
        place = sorted(run.glob(file))[0]
        before = place.read_bytes()
        place.write_bytes(before[: len(before) // 2])
        if kind in ("root", "circuit", "settings", "environment"):
            with pytest.raises(NeurosalError, match=place.name):
                len(open_run(run).tree)
            _, err = invoke("analyse", "learning_curves", run, code=4)
            assert place.name in err
        place.write_bytes(before)


@pytest.mark.parametrize(("version", "said"), [("2.0", "schema 2.0"), ("1.9", "schema 1.9"), ("0.1", "schema 0.1"),
                                                ("one", "a schema version")])  # fmt: skip
@pytest.mark.parametrize("where", [schema.STATUS_FILE, f"{schema.STORE}/{ROOT}"])
def test_another_schema_is_said_and_nothing_is_changed(version: str, said: str, where: str, run: Path) -> None:
    path = run / where
    content = json.loads(path.read_text())
    if where == schema.STATUS_FILE:
        content["schema"] = version
    else:
        content["attributes"][schema.VERSION_ATTRIBUTE] = version
    path.write_text(json.dumps(content))
    _, err = invoke("doctor", run, code=4)
    assert said in err
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file() and file.name != ".lock"}
    if version[0] in "012":
        invoke("doctor", run, "--repair", code=4)
        assert before == {file: file.read_bytes() for file in before}
        with pytest.raises(StoreError, match=said):
            Recorder.resume(run)


def test_a_time_that_is_still_to_come_is_a_note(run: Path) -> None:
    write_status(run, Status(state="done", started="2020-01-01T00:00:00+00:00", updated="2999-01-01T00:00:00+00:00"))
    diagnosis = examine(run)
    assert diagnosis.healthy
    assert "a clock was set back" in invoke("doctor", run)[0]
    write_status(run, Status(state="done", started="soon", updated=""))
    assert [one.kind for one in examine(run).damages] == ["status", "status"]
    assert repair(run).after.healthy
    assert open_run(run).status.state == "done"


@pytest.mark.parametrize("content", ["", "{", '{"schema": "1.0"}', '{"schema": "1.0", "state": "asleep"}'])
def test_a_damaged_status_is_written_anew(content: str, run: Path) -> None:
    (run / schema.STATUS_FILE).write_text(content)
    invoke("doctor", run, code=4)
    repaired = repair(run)
    assert repaired.after.healthy
    assert (repaired.lost, open_run(run).status.state) == ((), "failed")


def test_a_run_that_is_written_is_only_looked_at(tmp_path: Path) -> None:
    with Recorder.create(tmp_path, circuit={}, settings={}, replicas={"seed": [0]}) as recorder:
        recorder.declare(schema.training_metrics())
        for step in range(1, 100):
            recorder.append("metrics/train", step=step, epoch=0, values={"loss": np.zeros(1)})
        recorder.commit()
        assert examine(tmp_path).healthy
        out, _ = invoke("doctor", tmp_path)
        assert "A process writes it now" in out
        [file] = tmp_path.glob(f"{schema.STORE}/metrics/train/loss/c.*")
        raw = file.read_bytes()
        file.write_bytes(b"\1" + raw[1:])
        _, err = invoke("doctor", tmp_path, "--repair", code=4)
        assert "a run that no process writes" in err
        file.write_bytes(raw)
    assert examine(tmp_path).healthy


def test_what_was_left_over_is_no_damage_and_goes_with_a_repair(run: Path) -> None:
    for name in ("status.json.partial", f"{schema.STORE}/{ROOT}.partial"):
        (run / name).write_text("half")
    (run / schema.CHECKPOINTS / "00000009.partial").mkdir()
    out, _ = invoke("doctor", run)
    assert out.count("left over: ") == 3
    out, _ = invoke("doctor", run, "--repair")
    assert "Nothing was lost." in out
    assert not list(run.rglob("*.partial"))


def test_arms_are_looked_at_and_missed(run: Path, tmp_path: Path) -> None:
    folder = ExperimentFolder.create(tmp_path / "pair", experiment={"name": "pair", "arms": {"a": {}, "b": {}}})
    shutil.copytree(run, folder.arm("a"))
    folder.close()
    _, err = invoke("doctor", tmp_path / "pair", code=4)
    assert f"{folder.arm('b')}: expected what was written, found no such folder" in err
    shutil.copytree(run, folder.arm("b"))
    assert "a: whole" in invoke("doctor", tmp_path / "pair")[0]
    flip(sorted(folder.arm("b").glob(KINDS["seeds"]))[0], random.Random(0))
    assert [one.kind for one in examine(tmp_path / "pair").all_damages] == ["fixed"]
    assert repair(tmp_path / "pair").after.healthy


def test_where_no_run_is_that_is_said(tmp_path: Path) -> None:
    for command in ("doctor", "pack", "watch"):
        _, err = invoke(command, tmp_path / "nowhere", code=4)
        assert "the folder of a run" in err
