"""Tensors in a file: what other readers of the format know, exact, and never a second time in memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from neurosal.record import checkpoint, faults
from neurosal.record.checkpoint import TENSORS, Checkpoint
from neurosal.record.checksums import DEFAULT, Checksum
from neurosal.record.tensors import TensorFile, bytes_of, write_tensors

MANY = 1 << 22  # numbers of the tensors whose memory is looked at


def arrays() -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        "bool": np.array([True, False, True]),
        "float32": random.normal(size=(3, 4, 5)).astype("float32"),
        "turned": random.normal(size=(4, 6)).T,
        "strided": random.normal(size=(6, 4))[::2, 1:],
        "scalar": np.array(7),
        "empty": np.zeros((0, 3), "float32"),
        "int8": np.arange(5, dtype="int8"),
    }


def must_be(found: np.ndarray, expected: Any) -> None:
    array = expected if isinstance(expected, np.ndarray) else expected.numpy()
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_other_readers_of_the_format_find_the_same(tmp_path: Path) -> None:
    tensors = arrays() | {"torch": torch.arange(6.0).view(2, 3).mT, "count": torch.tensor(3)}
    write_tensors(tmp_path / "file", tensors, {"format": "ours"})
    found = load_file(tmp_path / "file")
    assert found.keys() == tensors.keys()
    for name, expected in tensors.items():
        must_be(found[name], expected)


def test_what_others_wrote_is_read(tmp_path: Path) -> None:
    save_file({name: np.asarray(array, order="C") for name, array in arrays().items()}, tmp_path / "file", {"a": "b"})
    file = TensorFile(tmp_path / "file")
    assert (file.metadata, len(file)) == ({"a": "b"}, len(arrays()))
    for name, expected in arrays().items():
        must_be(file[name], expected)
        storage = np.empty(expected.shape, expected.dtype)
        file.read_into(name, storage)
        must_be(storage, expected)


def test_checkpoints_of_older_versions_load(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, Checkpoint({"w": np.ones(3)}, {"step": 1}, {}))
    save_file({"w": np.full(3, 2.0)}, path / TENSORS)
    (path / "checksums.json").unlink()  # the first of them had none
    np.testing.assert_array_equal(checkpoint.load(path).tensors["w"], np.full(3, 2.0))


def test_the_checksum_is_that_of_the_whole_file(tmp_path: Path) -> None:
    total = write_tensors(tmp_path / "file", arrays())
    assert total == Checksum(DEFAULT, tmp_path).of((tmp_path / "file").read_bytes())


def test_a_mapped_tensor_may_be_changed_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {"w": np.zeros(4)})
    TensorFile(tmp_path / "file")["w"][:] = 1
    assert not TensorFile(tmp_path / "file")["w"].any()


def _peak(function: Any) -> int:
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_neither_writing_nor_reading_holds_a_second_copy(tmp_path: Path) -> None:
    weights = {"w": np.zeros((64, MANY // 64), "float32"), "b": np.zeros(MANY // 4, "float32")}
    size = sum(map(bytes_of, weights.values()))
    storage = np.empty_like(weights["w"])
    saved = _peak(lambda: checkpoint.save(tmp_path, Checkpoint(weights, {}, {})))
    read = _peak(lambda: checkpoint.load(tmp_path / "00000001").tensors.read_into("w", storage))  # type: ignore[attr-defined]
    assert max(saved, read) < 0.5 * size, (saved, read, size)  # a checksum reads 4 MiB at a time


def test_what_is_turned_goes_through_memory_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurosal.record.tensors.MOVED", MANY // 8)
    turned = np.arange(MANY, dtype="float32").reshape(64, 64, -1).transpose(0, 2, 1)
    assert _peak(lambda: write_tensors(tmp_path / "file", {"w": turned})) < turned.nbytes / 8
    must_be(TensorFile(tmp_path / "file")["w"], turned)


class Killed(Exception):
    """In place of a signal."""


def test_whatever_byte_the_writing_stops_at_the_one_before_is_used(tmp_path: Path) -> None:
    first, second = ({"w": np.full(3000, value), "b": np.full(700, value)} for value in (1.0, 2.0))
    stopped = 0
    while True:
        folder = tmp_path / str(stopped)
        checkpoint.save(folder, Checkpoint(first, {"step": 1}, {}))
        seen = 0

        def stop(point: str, last: int = stopped) -> None:
            nonlocal seen
            seen += point == faults.CHECKPOINT_TENSORS
            if seen > last:
                raise Killed

        try:
            with faults.installed(stop):
                checkpoint.save(folder, Checkpoint(second, {"step": 2}, {}))
        except Killed:
            found = checkpoint.newest(folder)
            assert found is not None
            assert found.meta == {"step": 1}
            must_be(found.tensors["w"], first["w"])
            stopped += 1
        else:
            break
    assert stopped >= 25  # a thousand bytes apart


SPOILT: dict[str, Any] = {
    "no header": lambda header: b"",
    "a list": lambda header: b"[1, 2]",
    "a type": lambda header: {**header, "w": {**header["w"], "dtype": "F31"}},
    "a shape": lambda header: {**header, "w": {**header["w"], "shape": [3]}},
    "a negative size": lambda header: {**header, "w": {**header["w"], "shape": [-2, -1]}},
    "a place beyond the end": lambda header: {**header, "w": {**header["w"], "data_offsets": [8, 24]}},
    "a hole": lambda header: {"w": {**header["w"], "shape": [1], "data_offsets": [8, 16]}},
    "no place": lambda header: {"w": {"dtype": "F64", "shape": [2]}},
    "numbers that are none": lambda header: {**header, "w": {**header["w"], "data_offsets": [0.0, 16.0]}},
    "no mapping": lambda header: {**header, "w": 3},
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_header_that_does_not_fit_is_refused(how: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_tensors(path, {"w": np.arange(2.0)})
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    changed = SPOILT[how](json.loads(raw[8 : 8 + length]))
    text = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    with pytest.raises(ValueError, match=r"."):
        TensorFile(path)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 20, -1])
def test_a_file_that_was_cut_is_refused(length: int, tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {"w": np.arange(2.0)})
    raw = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(raw[:length])
    with pytest.raises(ValueError, match="bytes"):
        TensorFile(tmp_path / "file")
