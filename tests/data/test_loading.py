"""Where a data set is looked for, in which order, and what is said when it is nowhere."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from neurosal import data
from neurosal.data import places
from neurosal.data.catalogue import CATALOGUE, IMAGE_FILES
from neurosal.errors import DataError
from tests.data.small_files import image_arrays, write_idx, write_semeion

ARRAYS = image_arrays()


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", ["", "mnist", "mnist/raw", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_upstream_files_are_found_in_every_layout(tmp_path: Path, place: str, packed: bool) -> None:
    write_idx(tmp_path / place, ARRAYS, packed=packed)
    loaded = data.load("mnist", folder=tmp_path, scaling="none", shape="natural")
    assert np.array_equal(loaded.train.x, ARRAYS["x_train"])
    assert np.array_equal(loaded.test.x, ARRAYS["x_test"])
    assert np.array_equal(loaded.test.y, ARRAYS["y_test"])
    assert loaded.source.endswith("read from folder")
    assert not loaded.content.published


def test_a_dot_before_idx_is_understood(tmp_path: Path) -> None:
    write_idx(tmp_path, ARRAYS, packed=False)
    for name in IMAGE_FILES.values():
        (tmp_path / name).rename(tmp_path / name.replace("-idx", ".idx"))
    assert len(data.load("mnist", folder=tmp_path).train) == 60


def test_npz_and_upstream_files_give_the_same_fingerprint(tmp_path: Path) -> None:
    write_npz(tmp_path / "npz" / "fashion_mnist.npz", ARRAYS)
    write_idx(tmp_path / "raw" / "fashion-mnist", ARRAYS)
    npz, raw = (data.load("fashion_mnist", folder=tmp_path / kind) for kind in ("npz", "raw"))
    assert npz == raw
    assert npz.sha256 == raw.sha256
    assert npz.classes[9] == "Ankle boot"


def test_semeion_is_read_from_npz_and_text(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 2, (40, 16, 16), np.uint8), (np.arange(40) % 10).astype(np.uint8)
    write_npz(tmp_path / "semeion.npz", {"x": x, "y": y})
    (tmp_path / "upstream" / "semeion").mkdir(parents=True)
    write_semeion(tmp_path / "upstream" / "semeion" / "semeion.data", x, y)
    npz, text = (data.load("semeion", folder=folder) for folder in (tmp_path, tmp_path / "upstream"))
    assert npz == text
    assert np.array_equal(text.natural().x, x)
    assert text.y.tolist() == y.tolist()
    assert len(text.test) == 8


def test_the_folder_argument_comes_before_the_variable_and_the_variable_before_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = CATALOGUE["pendigits"]
    for number, folder in enumerate(("argument", "variable")):
        x = np.full((entry.samples, *entry.shape), number, np.uint8)
        write_npz(tmp_path / folder / "pendigits.npz", {"x": x, "y": np.arange(entry.samples) % 10})
    assert data.load("pendigits").content.published
    monkeypatch.setenv("NEUROSAL_DATA", str(tmp_path / "variable"))
    variable = data.load("pendigits", scaling="none")
    assert variable.x.max() == 1
    assert "read from NEUROSAL_DATA" in variable.source
    argument = data.load("pendigits", folder=tmp_path / "argument", scaling="none")
    assert argument.x.max() == 0
    assert "read from folder" in argument.source
    monkeypatch.setenv("NEUROSAL_DATA", str(tmp_path / "empty"))
    assert data.load("pendigits").content.published


def test_the_system_s_data_package_and_the_cache_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "SYSTEM", (tmp_path / "datasets",))
    monkeypatch.setenv("NEUROSAL_CACHE", str(tmp_path / "cache"))
    write_idx(tmp_path / "cache" / "fashion_mnist", image_arrays(seed=1))
    assert data.load("fashion_mnist").source.endswith("read from cache")
    write_idx(tmp_path / "datasets" / "fashion-mnist", ARRAYS)
    found = data.load("fashion_mnist", scaling="none", shape="natural")
    assert np.array_equal(found.train.x, ARRAYS["x_train"])
    assert str(tmp_path / "datasets") in found.source


def test_the_cache_is_in_the_user_s_cache_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUROSAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert places.cache_folder() == tmp_path / "neurosal" / "data"


def test_a_file_of_the_user_is_loaded_by_its_name(tmp_path: Path) -> None:
    write_npz(tmp_path / "mine.npz", {"x": np.eye(10), "y": np.arange(10) % 2, "classes": np.array(["no", "yes"])})
    loaded = data.load("mine", folder=tmp_path)
    assert loaded.classes == ("no", "yes")
    assert loaded.licence == "unknown"
    assert (len(loaded.train), len(loaded.test)) == (8, 2)


def test_a_miss_says_every_way_to_get_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROSAL_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError) as caught:
        data.load("fashion_mnist", folder=tmp_path)
    message = str(caught.value)
    for way in ("fashion_mnist.npz", "x_train", "NEUROSAL_DATA", "folder=", "train-images-idx3-ubyte", "raw/",
                "dataset-fashion-mnist", "--download", "download=True"):  # fmt: skip
        assert way in message
    assert str(tmp_path) in message
    assert "(no such folder)" in message


@pytest.mark.parametrize(
    ("name", "near"), [("mnits", "mnist"), ("fashion-mnist", "fashion_mnist"), ("Digits", "digits")]
)
def test_a_misspelt_name_gets_near_ones(name: str, near: str) -> None:
    with pytest.raises(DataError, match=f"'{near}'"):
        data.load(name)


def test_a_name_that_means_nothing_gets_the_list() -> None:
    with pytest.raises(DataError) as caught:
        data.load("zzz")
    assert "There are: " in str(caught.value)
    assert "neurosal data" in str(caught.value)


@pytest.mark.parametrize("name", ["", "~", "My Set", "digits.txt"])
def test_a_name_that_is_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="letters a-z"):
        data.load(name, folder=tmp_path)


@pytest.mark.parametrize(
    ("path", "found"),
    [("../digits", "nothing there"), ("a/b", "nothing there"), ("digits.npz", "nothing there"),
     ("/etc/passwd", "a file of another kind")],
)  # fmt: skip
def test_a_path_leads_to_an_npz_or_a_folder_of_images_or_is_refused(path: str, found: str) -> None:
    with pytest.raises(DataError, match=f"expected an npz file, or a folder(.|\n)*found {found}"):
        data.load(path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder: expected an existing folder"):
        data.load("digits", folder=tmp_path / "typo")


def test_a_half_copied_folder_is_not_passed_over(tmp_path: Path) -> None:
    write_idx(tmp_path / "mnist", ARRAYS)
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="no t10k-labels-idx1-ubyte"):
        data.load("mnist", folder=tmp_path)
    assert "incomplete" in {row["name"]: row["found"] for row in data.listing(tmp_path)}["mnist"]


def test_one_published_set_is_never_taken_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path, ARRAYS)
    sha256 = data.load("fashion_mnist", folder=tmp_path).sha256
    fashion = CATALOGUE["fashion_mnist"]
    monkeypatch.setitem(CATALOGUE, "fashion_mnist", type(fashion)(**(vars(fashion) | {"sha256": sha256})))
    assert data.load("fashion_mnist", folder=tmp_path).content.published
    with pytest.raises(DataError, match="the published fashion_mnist"):
        data.load("mnist", folder=tmp_path)


def test_the_listing_says_what_is_on_this_machine(tmp_path: Path) -> None:
    rows = {row["name"]: row for row in data.listing()}
    assert set(rows) == set(data.names())
    assert rows["digits"]["found"] == "package"
    assert rows["mnist"]["found"] == ""
    assert (rows["letter"]["samples"], rows["letter"]["classes"], rows["digits"]["features"]) == (20000, 26, "8×8")
    write_npz(tmp_path / "mnist.npz", ARRAYS)
    assert {row["name"]: row for row in data.listing(tmp_path)}["mnist"]["found"] == "folder"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": None}, "Missing: x_train"),
        ({"x_test": None, "y_test": None}, "Missing: x_test, y_test"),
        ({"x_train": ARRAYS["x_train"].astype(np.float32)}, "values of type float32"),
        ({"x_train": ARRAYS["x_train"][:, :27]}, "samples of one kind"),
        ({"x_train": ARRAYS["x_train"][:, :14], "x_test": ARRAYS["x_test"][:, :14]}, "samples of 28×28 values"),
        ({"y_train": ARRAYS["y_train"][:-1]}, "as many samples as labels"),
        ({"y_test": ARRAYS["y_test"] + 5}, "labels from 0 to 9"),
        ({"x_train": ARRAYS["x_train"].astype(np.int64) - 1}, "values from 0 to 255, found -1 to 255"),
        ({"x_train": ARRAYS["x_train"].astype(np.int16) + 300}, "values from 0 to 255"),
        ({"y_train": ARRAYS["y_train"].astype(str), "y_test": ARRAYS["y_test"].astype(str)}, "whole numbers"),
        ({"x_train": np.uint8(3)}, "as many samples as labels"),
        ({"x_train": ARRAYS["x_train"][:0], "y_train": ARRAYS["y_train"][:0]}, "at least one sample to train on"),
    ],
)
def test_arrays_that_break_the_name_s_promise_are_refused(
    tmp_path: Path, changes: dict[str, np.ndarray | None], words: str
) -> None:
    arrays = {key: array for key, array in (ARRAYS | changes).items() if array is not None}
    write_npz(tmp_path / "mnist.npz", arrays)
    with pytest.raises(DataError) as caught:
        data.load("mnist", folder=tmp_path)
    assert words in str(caught.value)
    assert str(tmp_path / "mnist.npz") in str(caught.value)


def test_an_official_split_by_rows_needs_all_rows(tmp_path: Path) -> None:
    write_npz(tmp_path / "letter.npz", {"x": np.ones((100, 16), np.uint8), "y": np.arange(100) % 26})
    with pytest.raises(DataError, match="20000 samples"):
        data.load("letter", folder=tmp_path)


def test_upstream_files_of_different_lengths_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, ARRAYS | {"y_test": ARRAYS["y_test"][:7]})
    with pytest.raises(DataError, match="as many samples as labels"):
        data.load("mnist", folder=tmp_path)


def test_a_compressed_file_under_a_plain_name_is_read(tmp_path: Path) -> None:
    write_idx(tmp_path, ARRAYS, packed=False)
    plain = tmp_path / IMAGE_FILES["x_train"]
    plain.write_bytes(gzip.compress(plain.read_bytes()))
    assert np.array_equal(
        data.load("mnist", folder=tmp_path, scaling="none", shape="natural").train.x, ARRAYS["x_train"]
    )
