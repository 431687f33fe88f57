"""Damaged and hostile files: refused with the file's name, never executed, never trusted about their size."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal.data.formats import base
from neurosal.data.formats.idx import read_idx
from neurosal.data.formats.npz import LARGEST_MEMBERS, read_npz
from neurosal.data.formats.text import read_semeion
from neurosal.errors import DataError
from tests.data.small_files import idx_bytes, write_semeion

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def npz_bytes(**arrays: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.savez_compressed(target, **arrays)  # type: ignore[arg-type]
    return target.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def header(text: str) -> bytes:
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded


def refused(read: object, *arguments: object) -> str:
    with pytest.raises(DataError) as caught:
        read(*arguments)  # type: ignore[operator]
    assert all(problem.place.startswith(str(arguments[0])) for problem in caught.value.problems)
    return str(caught.value)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("array", [IMAGES, np.asfortranarray(IMAGES), IMAGES.astype(">i2"), np.array(["a", "bc"])])
def test_arrays_come_back_as_numpy_wrote_them(tmp_path: Path, array: np.ndarray) -> None:
    (tmp_path / "a.npz").write_bytes(npz_bytes(x=array, y=np.arange(3)))
    read = read_npz(tmp_path / "a.npz")
    assert set(read) == {"x", "y"}
    assert np.array_equal(read["x"], array)
    assert read["x"].dtype == array.dtype


def test_pickled_objects_are_refused_and_not_run(tmp_path: Path) -> None:
    trap = np.empty(1, object)
    trap[0] = Trap(tmp_path / "sprung")
    (tmp_path / "a.npz").write_bytes(npz_bytes(x=trap))
    assert "pickled Python objects" in refused(read_npz, tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    refused(read_npz, tmp_path / "b.npz")
    assert not (tmp_path / "sprung").exists()


@settings(max_examples=60, deadline=None)
@given(kept=st.floats(0, 0.999))
def test_an_npz_that_was_cut_off_is_refused(tmp_path_factory: pytest.TempPathFactory, kept: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.npz"
    whole = npz_bytes(x=IMAGES, y=np.arange(3))
    path.write_bytes(whole[: int(kept * len(whole))])
    assert "complete npz" in refused(read_npz, path)


@settings(max_examples=300, deadline=None)
@given(places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), min_size=1, max_size=6))
def test_damaged_bytes_give_a_data_error_or_the_right_arrays(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    content = bytearray(npz_bytes(x=IMAGES))
    for place, flip in places:
        content[int(place * len(content))] ^= flip
    path.write_bytes(content)
    try:
        read = read_npz(path)
    except DataError:
        return
    assert all(np.array_equal(array, IMAGES) for array in read.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{'descr': '<f8'}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (",
        "{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,), }",
        "[" * 90,
        "'" * 3,
        "__import__('os')",
    ],
)
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    refused(read_npz, archive(tmp_path / "a.npz", {"x.npy": header(text) + b"\0" * 8}))


def test_a_size_is_not_believed_before_the_bytes_are_there(tmp_path: Path) -> None:
    lie = header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000), }")
    message = refused(read_npz, archive(tmp_path / "a.npz", {"x.npy": lie + b"\0" * 16}))
    assert "found 16 bytes" in message


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.npz").write_bytes(npz_bytes(x=np.zeros(100_000, np.uint8)))
    monkeypatch.setattr(base, "LARGEST_BYTES", 50_000)
    assert "at most 50000 bytes" in refused(read_npz, tmp_path / "a.npz")
    many = {f"{number}.npy": b"" for number in range(LARGEST_MEMBERS + 1)}
    assert "at most 64 arrays" in refused(read_npz, archive(tmp_path / "b.npz", many))


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    refused(read_npz, archive(tmp_path / "a.npz", {"x.npy": b"hello, this is text"}))
    assert "version (3, 0)" in refused(
        read_npz, archive(tmp_path / "b.npz", {"x.npy": b"\x93NUMPY\x03\x00" + b"\0" * 200})
    )


def test_a_folder_or_nothing_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    for read, arguments in ((read_npz, ()), (read_idx, (3,)), (read_semeion, ())):
        refused(read, tmp_path, *arguments)
        refused(read, tmp_path / "nothing", *arguments)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_read_packed_or_not(tmp_path: Path, packed: bool) -> None:
    content = idx_bytes(IMAGES)
    (tmp_path / "images").write_bytes(gzip.compress(content) if packed else content)
    assert np.array_equal(read_idx(tmp_path / "images", 3), IMAGES)


def test_an_idx_file_with_another_magic_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "images"
    path.write_bytes(idx_bytes(IMAGES))
    assert "magic number 00000801" in refused(read_idx, path, 1)
    path.write_bytes(b"\0\0\x0d\x03" + idx_bytes(IMAGES)[4:])
    assert "found 00000d03" in refused(read_idx, path, 3)
    path.write_bytes(b"")
    assert "found nothing" in refused(read_idx, path, 3)
    path.write_bytes(b"<html>not found</html>")
    assert "magic number" in refused(read_idx, path, 3)


@pytest.mark.parametrize("cut", [5, 16, 40, 75])
def test_an_idx_file_that_was_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    whole = idx_bytes(IMAGES)
    (tmp_path / "plain").write_bytes(whole[:cut])
    refused(read_idx, tmp_path / "plain", 3)
    packed = gzip.compress(whole)
    (tmp_path / "packed").write_bytes(packed[: len(packed) * cut // 80])
    assert "complete idx" in refused(read_idx, tmp_path / "packed", 3)


def test_an_idx_file_with_more_than_its_header_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(idx_bytes(IMAGES) + b"\0")
    assert "found more" in refused(read_idx, tmp_path / "long", 3)


def test_an_idx_header_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", 2**32 - 1, 2**20, 2**20))
    assert "a header that claims (4294967295, 1048576" in refused(read_idx, tmp_path / "huge", 3)


def test_semeion_lines_that_are_wrong_are_named(tmp_path: Path) -> None:
    path = tmp_path / "semeion.data"
    write_semeion(path, np.zeros((4, 16, 16), np.uint8), np.arange(4))
    lines = path.read_text().splitlines()
    lines[0] = lines[0][:-5]
    lines[1] = lines[1].replace("0.0000", "0.5000", 1)
    lines[2] = lines[2].replace("0.0000", "x", 1)
    lines.append(" ".join(["0.0000"] * 256 + ["1", "1"] + ["0"] * 8))
    path.write_text("\n".join(lines))
    message = refused(read_semeion, path)
    for part in (
        "line 1: ",
        "264 values",
        "line 2: ",
        "other values than 0 and 1",
        "line 3: ",
        "'x'",
        "line 5: ",
        "2 classes",
    ):
        assert part in message
    assert "line 4" not in message


def test_many_wrong_lines_are_counted_not_listed(tmp_path: Path) -> None:
    (tmp_path / "semeion.data").write_text("1 2 3\n" * 100)
    message = refused(read_semeion, tmp_path / "semeion.data")
    assert "92 more" in message
    assert message.count("line ") == 8 + 1
    (tmp_path / "empty").write_text("\n")
    assert "at least one sample" in refused(read_semeion, tmp_path / "empty")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    assert "text file" in refused(read_semeion, tmp_path / "binary")


def test_a_text_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_semeion(tmp_path / "semeion.data", np.zeros((2, 16, 16), np.uint8), np.arange(2))
    monkeypatch.setattr(base, "LARGEST_TEXT_BYTES", 1000)
    assert "at most 1000 bytes" in refused(read_semeion, tmp_path / "semeion.data")
