"""Checkpoints: exact, complete or absent, the newest two kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from neurosal.errors import StoreError
from neurosal.record import Recorder, checkpoint, schema
from neurosal.record.checkpoint import CONTENT, TENSORS, Checkpoint


def save(folder: Path, step: int, **tensors: np.ndarray) -> Path:
    return checkpoint.save(folder, Checkpoint(tensors, {"step": step}, {"metrics/train": step}))


def test_tensors_of_every_kind_come_back_bit_for_bit(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    tensors = {
        "float32": generator.normal(size=(3, 4)).astype("float32"),
        "float64": np.array([np.nan, -0.0, np.inf, 5e-324]),
        "turned": generator.normal(size=(3, 4)).T,
        "strided": generator.normal(size=(6, 4))[::2, 1:],
        "scalar": np.array(7),
        "bool": np.array([True, False]),
        "bytes": np.arange(256, dtype="uint8"),
        "empty": np.zeros((0, 3)),
    }
    save(tmp_path / "c", 1, **tensors)
    found = checkpoint.newest(tmp_path / "c")
    assert found is not None
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].shape == tensor.shape, name
        assert found.tensors[name].dtype == tensor.dtype, name
        assert found.tensors[name].tobytes() == tensor.tobytes(), name


def test_what_json_holds_comes_back_equal(tmp_path: Path) -> None:
    meta = {
        "step": 3,
        "lr": 0.1 + 0.2,
        "stream": [2**63, 2**127 + 1],
        "names": ["ä"],
        "best": None,
        "nested": {"a": True},
    }
    checkpoint.save(tmp_path / "c", Checkpoint({}, meta, {}))
    found = checkpoint.newest(tmp_path / "c")
    assert found is not None
    assert found.meta == meta


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in range(1, 6):
        save(tmp_path / "c", step, w=np.full(2, step))
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["00000004", "00000005"]
    found = checkpoint.newest(tmp_path / "c")
    assert found is not None
    assert (found.meta["step"], found.lengths) == (5, {"metrics/train": 5})


def test_there_may_be_none(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "c") is None
    (tmp_path / "c").mkdir()
    assert checkpoint.newest(tmp_path / "c") is None


@pytest.mark.parametrize("name", [TENSORS, CONTENT])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "other"])
def test_a_damaged_one_is_passed_over_and_named_when_there_is_no_other(name: str, damage: str, tmp_path: Path) -> None:
    older = save(tmp_path / "c", 1, w=np.ones(100))
    newer = save(tmp_path / "c", 2, w=np.ones(100))
    _spoil(newer / name, damage)
    found = checkpoint.newest(tmp_path / "c")
    assert found is not None
    assert found.meta["step"] == 1
    _spoil(older / name, damage)
    with pytest.raises(StoreError) as caught:
        checkpoint.newest(tmp_path / "c")
    assert {Path(problem.place).parent.name for problem in caught.value.problems} == {"00000001", "00000002"}


def _spoil(path: Path, damage: str) -> None:
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": path.read_bytes()[:-20], "empty": b"", "other": b"[1, 2, 3]"}[damage])


def test_one_of_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "c", 1) / CONTENT
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": "2.0"}))
    with pytest.raises(StoreError, match=r"expected schema 1\.0, found schema 2\.0"):
        checkpoint.newest(tmp_path / "c")


def test_a_store_older_than_its_checkpoint_is_refused(tmp_path: Path) -> None:
    with Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0]}) as recorder:
        recorder.declare(schema.training_metrics())
        recorder.append(schema.TRAIN, step=1, epoch=0, values={"loss": np.ones(1)})
    checkpoint.save(tmp_path / "run" / schema.CHECKPOINTS, Checkpoint({}, {}, {schema.TRAIN: 9}))
    with pytest.raises(StoreError, match="expected at least 9 entries, found 1"):
        Recorder.resume(tmp_path / "run")


def test_unfinished_ones_are_dropped_when_the_run_goes_on(tmp_path: Path) -> None:
    with Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0]}) as recorder:
        recorder.checkpoint({}, {"step": 0})
    unfinished = tmp_path / "run" / schema.CHECKPOINTS / "00000002.partial"
    unfinished.mkdir()
    (unfinished / TENSORS).write_text("half")
    Recorder.resume(tmp_path / "run")[0].close()
    assert not unfinished.exists()
