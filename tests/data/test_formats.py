"""The upstream files of each data set: read as they were written, and refused by name when damaged."""

from __future__ import annotations

import gzip
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal import data
from neurosal.data.catalogue import CATALOGUE, CIFAR10_BATCHES
from neurosal.data.formats import FORMATS, base, cifar
from neurosal.data.formats.matlab import read_mat
from neurosal.data.formats.text import read_libsvm, read_zip_digits
from neurosal.errors import DataError
from tests.data.small_files import (
    colour_arrays,
    idx_bytes,
    image_arrays,
    mat_bytes,
    write_cifar,
    write_emnist,
    write_idx,
    write_libsvm,
    write_svhn,
)

COLOUR = colour_arrays()
SMALL = image_arrays(train=30, test=12)


def write_cifar_archive(folder: Path) -> None:
    write_cifar(folder / "source", COLOUR)
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(folder / "source", arcname="cifar-10-batches-bin")


def usps_arrays() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    values = generator.uniform(-1, 1, (20, 256)).round(4)
    values[:, 3] = 0
    return values, np.arange(20) % 10


def write_usps(folder: Path) -> None:
    values, labels = usps_arrays()
    write_libsvm(folder / "usps.bz2", values[:15], labels[:15] + 1)
    write_libsvm(folder / "usps.t.bz2", values[15:], labels[15:] + 1)


# The writer of each set's files, in a folder that is given to `load`.
WRITERS: dict[str, Callable[[Path], None]] = {
    "cifar10": lambda folder: write_cifar(folder / "cifar-10-batches-bin", COLOUR),
    "cifar10 archive": write_cifar_archive,
    "svhn": lambda folder: write_svhn(folder / "svhn", COLOUR),
    "svhn plain": lambda folder: write_svhn(folder, COLOUR, packed=False),
    "usps": write_usps,
    "kmnist": lambda folder: write_idx(folder / "kmnist", SMALL),
    "emnist_digits": lambda folder: write_emnist(folder / "emnist" / "raw", "digits", SMALL),
    "emnist_digits archive": lambda folder: write_emnist(folder / "emnist", "digits", SMALL, archive=True),
}


@pytest.mark.parametrize("case", ["cifar10", "cifar10 archive", "svhn", "svhn plain"])
def test_colour_images_come_with_channels_first_and_their_labels(tmp_path: Path, case: str) -> None:
    WRITERS[case](tmp_path)
    loaded = data.load(case.split()[0], folder=tmp_path, shape="natural", scaling="none")
    assert np.array_equal(loaded.train.x, COLOUR["x_train"])
    assert np.array_equal(loaded.test.x, COLOUR["x_test"])
    assert np.array_equal(loaded.train.y, COLOUR["y_train"])
    assert np.array_equal(loaded.test.y, COLOUR["y_test"])
    assert loaded.grey().features == (32, 32)


@pytest.mark.parametrize("case", ["kmnist", "emnist_digits", "emnist_digits archive"])
def test_grey_images_come_upright(tmp_path: Path, case: str) -> None:
    WRITERS[case](tmp_path)
    loaded = data.load(case.split()[0], folder=tmp_path, shape="natural", scaling="none")
    assert np.array_equal(loaded.train.x, SMALL["x_train"])
    assert np.array_equal(loaded.test.x, SMALL["x_test"])
    assert np.array_equal(loaded.test.y, SMALL["y_test"])


def test_kmnist_is_read_from_its_npz_files(tmp_path: Path) -> None:
    for (part, key), name in zip(
        [("train", "x"), ("train", "y"), ("test", "x"), ("test", "y")],
        ["train-imgs", "train-labels", "test-imgs", "test-labels"],
        strict=True,
    ):
        np.savez_compressed(tmp_path / f"kmnist-{name}.npz", SMALL[f"{key}_{part}"])
    assert np.array_equal(data.load("kmnist", folder=tmp_path, scaling="none").train.y, SMALL["y_train"])
    np.savez_compressed(tmp_path / "kmnist-test-imgs.npz", SMALL["x_test"], SMALL["y_test"])
    with pytest.raises(DataError, match=r"kmnist-test-imgs.npz: expected one array, found arr_0, arr_1"):
        data.load("kmnist", folder=tmp_path)


def test_emnist_s_letters_count_from_a_and_one_archive_serves_every_split(tmp_path: Path) -> None:
    letters = SMALL | {"y_train": SMALL["y_train"] + 1, "y_test": SMALL["y_test"] + 1}
    write_emnist(tmp_path, "letters", letters, archive=True)
    loaded = data.load("emnist_letters", folder=tmp_path)
    assert loaded.classes[:2] == ("A", "B")
    assert np.array_equal(loaded.train.y, SMALL["y_train"])
    with pytest.raises(DataError, match=r"gzip\.zip: expected a member 'gzip/emnist-digits-train-images"):
        data.load("emnist_digits", folder=tmp_path)
    write_emnist(tmp_path / "emnist", "letters", SMALL)
    (tmp_path / "gzip.zip").unlink()
    with pytest.raises(DataError, match="labels from 0 to 25"):
        data.load("emnist_letters", folder=tmp_path)  # a letter's label is never 0 in the files


def test_emnist_s_splits_have_the_classes_that_the_paper_says() -> None:
    sizes = {name: len(entry.classes) for name, entry in CATALOGUE.items() if name.startswith("emnist_")}
    assert sizes == {
        "emnist_balanced": 47, "emnist_byclass": 62, "emnist_bymerge": 47,
        "emnist_digits": 10, "emnist_letters": 26, "emnist_mnist": 10,
    }  # fmt: skip


def test_usps_is_read_from_libsvm_and_from_zip_codes(tmp_path: Path) -> None:
    values, labels = usps_arrays()
    (tmp_path / "libsvm").mkdir()
    write_usps(tmp_path / "libsvm")
    loaded = data.load("usps", folder=tmp_path / "libsvm", scaling="none")
    assert np.allclose(loaded.train.x, values[:15], atol=1e-6)
    assert loaded.train.y.tolist() == labels[:15].tolist()
    assert len(loaded.test) == 5
    unit = data.load("usps", folder=tmp_path / "libsvm")
    assert np.allclose(unit.x, (values + 1) / 2, atol=1e-6)
    for name, rows in (("zip.train", slice(15)), ("zip.test", slice(15, None))):
        lines = [
            f"{label:.4f} {' '.join(map(str, row))}" for label, row in zip(labels[rows], values[rows], strict=True)
        ]
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    assert data.load("usps", folder=tmp_path, scaling="none") == loaded


@pytest.mark.parametrize("array", [np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.eye(3), np.int32([[7]])])
@pytest.mark.parametrize("packed", [True, False])
def test_a_mat_file_gives_its_arrays_by_name(tmp_path: Path, array: np.ndarray, packed: bool) -> None:
    (tmp_path / "a.mat").write_bytes(mat_bytes({"first": array, "y": np.ones((1, 2))}, packed=packed))
    found = read_mat(tmp_path / "a.mat")
    assert set(found) == {"first", "y"}
    assert np.array_equal(found["first"], array)
    assert found["first"].dtype == array.dtype


def test_cells_and_objects_of_a_mat_file_are_passed_over(tmp_path: Path) -> None:
    content = bytearray(mat_bytes({"x": np.eye(2)}, packed=False))
    content[128 + 8 + 8] = 1  # the class of the array: a cell
    (tmp_path / "a.mat").write_bytes(content + mat_bytes({"y": np.eye(2)})[128:])
    assert set(read_mat(tmp_path / "a.mat")) == {"y"}


def test_a_mat_file_that_claims_too_much_or_is_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\0" * 600)
    with pytest.raises(DataError, match=r"level 5, found 'MATLAB 7.3(.|\n)*as -v7 or as npz"):
        read_mat(path)
    path.write_bytes(mat_bytes({"x": np.zeros((300, 300))}))
    monkeypatch.setattr(base, "LARGEST_BYTES", 50_000)
    with pytest.raises(DataError, match="at most 50000 bytes when unpacked"):
        read_mat(path)


def test_svhn_without_its_arrays_or_with_other_labels_is_refused(tmp_path: Path) -> None:
    write_svhn(tmp_path, COLOUR)
    (tmp_path / "test_32x32.mat").write_bytes(mat_bytes({"X": np.zeros((2, 2), np.uint8)}))
    with pytest.raises(DataError, match=r"test_32x32.mat: expected X uint8 \[32, 32, 3, samples\]"):
        data.load("svhn", folder=tmp_path)
    images = COLOUR["x_test"].transpose(2, 3, 1, 0)
    (tmp_path / "test_32x32.mat").write_bytes(mat_bytes({"X": images, "y": np.arange(10, dtype=np.uint8)[:, None]}))
    with pytest.raises(DataError, match="labels from 1 to 10 in y, found 0 to 9"):
        data.load("svhn", folder=tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0" * 3072, "samples of 3073 bytes, found 3072"),
        (b"", "samples of 3073 bytes"),
        (bytes((10,)) + b"\0" * 3072, "labels from 0 to 9, found 10 at sample 0"),
    ],
)
def test_a_damaged_batch_of_cifar_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    write_cifar(tmp_path, COLOUR)
    (tmp_path / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(DataError, match=rf"data_batch_3\.bin: expected {words}"):
        data.load("cifar10", folder=tmp_path)


def test_the_pickled_release_of_cifar_is_neither_found_nor_read(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in CIFAR10_BATCHES.values():
        (folder / name.removesuffix(".bin")).write_bytes(pickle.dumps({"data": [1]}))
    with pytest.raises(DataError, match="nothing in"):
        data.load("cifar10", folder=tmp_path)
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    with pytest.raises(DataError, match=r"no data_batch_1\.bin(.|\n)*pickled release is not read"):
        data.load("cifar10", folder=tmp_path)


def test_an_archive_with_too_much_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar_archive(tmp_path)
    monkeypatch.setattr(cifar, "LARGEST_BATCH_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1000 bytes"):
        data.load("cifar10", folder=tmp_path)
    monkeypatch.setattr(cifar, "LARGEST_MEMBERS", 2)
    with pytest.raises(DataError, match="at most 2 files"):
        data.load("cifar10", folder=tmp_path)


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(3073))
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name in CIFAR10_BATCHES.values():
            link = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, str(secret)
            archive.addfile(link)
    with pytest.raises(DataError, match=r"found no data_batch_1\.bin"):
        data.load("cifar10", folder=tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1 0:1", "indices outside"), ("1 257:1", "indices outside"), ("1 2:1 2:1", "out of order"),
        ("1 3:1 2:1", "out of order"), ("1 1.5:1", "no whole number"), ("1 nan:1", "no whole number"),
        ("1 3", "without one colon"), ("1 3:", "cannot reshape"), ("1 1:2:3", "colon"), ("x 1:1", "could not convert"),
        ("1.5 1:1", "the label 1.5"), ("nan 1:1", "not finite"), ("1 1:inf", "not finite"),
        ("1 1:1e300", "not finite"), ("1e300 1:1", "the label"),
    ],
)  # fmt: skip
def test_a_wrong_line_of_libsvm_is_named(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "usps").write_text(f"1 1:0.5 7:-0.5\n\n{line}\n")
    with pytest.raises(DataError, match=rf"usps, line 3: (.|\n)*({words})"):
        read_libsvm(tmp_path / "usps")


def test_only_the_first_wrong_lines_are_listed(tmp_path: Path) -> None:
    (tmp_path / "zip.train").write_text("1 2 3\n" * 20)
    with pytest.raises(DataError, match="found 12 more") as caught:
        read_zip_digits(tmp_path / "zip.train")
    assert len(caught.value.problems) == base.SHOWN_LINES + 1
    (tmp_path / "zip.train").write_text("\n\n")
    with pytest.raises(DataError, match="an empty file"):
        read_zip_digits(tmp_path / "zip.train")


def test_a_text_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "usps.gz").write_bytes(gzip.compress(b"1 1:1\n" * 10_000))
    monkeypatch.setattr(base, "LARGEST_TEXT_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1000 bytes of text"):
        read_libsvm(tmp_path / "usps.gz")


def test_a_member_of_an_archive_that_is_no_idx_file_is_named(tmp_path: Path) -> None:
    layout = next(layout for layout in CATALOGUE["emnist_digits"].layouts if layout.format == "idx_zip")
    with zipfile.ZipFile(tmp_path / "gzip.zip", "w") as archive:
        for name in layout.members.values():
            archive.writestr(name, gzip.compress(idx_bytes(SMALL["y_test"])))
    with pytest.raises(DataError, match=r"gzip\.zip: gzip/emnist-digits-train-images(.|\n)*magic number"):
        data.load("emnist_digits", folder=tmp_path)


def test_every_format_of_the_catalogue_has_a_reader() -> None:
    assert {layout.format for entry in CATALOGUE.values() for layout in entry.layouts} == set(FORMATS)


@pytest.mark.parametrize("case", list(WRITERS))
@settings(max_examples=25, deadline=None)
@given(
    which=st.floats(0, 0.999),
    cut=st.booleans(),
    share=st.floats(0, 0.999),
    near=st.booleans(),
    junk=st.binary(min_size=1, max_size=8),
)
def test_damage_anywhere_in_a_file_gives_a_data_error_or_data(
    tmp_path_factory: pytest.TempPathFactory, case: str, which: float, cut: bool, share: float, near: bool, junk: bytes
) -> None:
    """Cut off or overwritten at any place: never another exception, and the error names the place."""
    folder = tmp_path_factory.mktemp("damaged")
    WRITERS[case](folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "source")
    path = files[int(which * len(files))]
    content = path.read_bytes()
    at = int(share * (min(300, len(content)) if near else len(content)))  # sizes and kinds stand at the beginning
    path.write_bytes(content[:at] if cut else content[:at] + junk + content[at + len(junk) :])
    try:
        data.load(case.split()[0], folder=folder)
    except DataError as error:
        places = [problem.place for problem in error.problems]
        if not all(str(folder) in place for place in places):
            raise


def test_an_element_of_a_mat_file_cannot_claim_more_than_there_is(tmp_path: Path) -> None:
    content = bytearray(mat_bytes({"x": np.eye(4)}, packed=False))
    content[132:136] = struct.pack("<I", 1 << 30)
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError, match="1073741824 bytes in an element"):
        read_mat(tmp_path / "a.mat")
