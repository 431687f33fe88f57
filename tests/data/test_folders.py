"""Data of the user by path: folders of images and npz files, from Python and from an experiment's request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neurosal import data
from neurosal.data import DataSpec, folders
from neurosal.errors import DataError


def picture(path: Path, value: int, size: tuple[int, int] = (4, 3), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255)).save(path)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    for label, name in enumerate(("cat", "dog")):
        for number in range(5):
            picture(folder / name / f"{number}.png", 10 * label + number)
    return folder


def test_a_folder_of_images_is_a_data_set_with_a_class_a_folder(photographs: Path) -> None:
    loaded = data.load(str(photographs), shape="natural", scaling="none")
    assert loaded.classes == ("cat", "dog")
    assert loaded.features == (3, 4)  # rows, columns
    assert loaded.y.tolist() == [0] * 5 + [1] * 5
    assert loaded.x[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert (loaded.name, len(loaded.train), len(loaded.test)) == ("photographs", 8, 2)
    assert data.load(str(photographs)).scaling == "unit: 0 to 255 becomes 0 to 1"


def test_a_folder_is_found_by_its_name_and_by_an_experiment_s_request(
    photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_path = data.load(str(photographs))
    assert data.load("photographs", folder=photographs.parent).sha256 == by_path.sha256
    monkeypatch.setenv("NEUROSAL_DATA", str(photographs.parent))
    assert data.load("photographs").sha256 == by_path.sha256
    monkeypatch.chdir(photographs.parent)
    spec = DataSpec.from_yaml("name: ./photographs\nscaling: symmetric\n")
    assert spec.load().sha256 == by_path.sha256
    assert DataSpec.from_dict(spec.load().provenance()["request"]) == spec


def test_parts_may_have_their_own_folders(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("val", 1), ("test", 2)):
        for name in ("a", "b"):
            for number in range(count):
                picture(tmp_path / "set" / part / name / f"{number}.bmp", number)
    loaded = data.load(str(tmp_path / "set"))
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (8, 2, 4)
    picture(tmp_path / "set" / "test" / "c" / "0.bmp", 0)
    with pytest.raises(DataError, match="expected the classes of train, found also c"):
        data.load(str(tmp_path / "set"))
    (tmp_path / "set" / "more").mkdir()
    with pytest.raises(DataError, match="found train beside more"):
        data.load(str(tmp_path / "set"))


def test_colour_images_come_with_channels_first(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / "set" / str(number % 2) / f"{number}.ppm", number, mode="RGB")
    loaded = data.load(str(tmp_path / "set"), shape="natural", scaling="none")
    assert loaded.x.shape == (4, 3, 3, 4)
    assert loaded.x[:, :, 0, 0].tolist() == [[0, 0, 255], [2, 0, 255], [1, 0, 255], [3, 0, 255]]
    assert loaded.grey().features == (3, 4)


def test_hidden_files_and_files_of_other_kinds_are_passed_over(photographs: Path) -> None:
    before = data.load(str(photographs))
    (photographs / "cat" / ".hidden.png").write_bytes(b"no image")
    (photographs / "cat" / "notes.txt").write_text("no image")
    (photographs / ".cache").mkdir()
    assert data.load(str(photographs)) == before


def test_what_does_not_fit_is_named(photographs: Path, tmp_path: Path) -> None:
    picture(photographs / "dog" / "9.png", 0, size=(5, 3))
    with pytest.raises(DataError, match=r"9\.png: expected an image of 3×4 values, as the first one, found 3×5"):
        data.load(str(photographs))
    picture(photographs / "dog" / "9.png", 0, mode="RGB")
    with pytest.raises(DataError, match="found 3×3×4"):
        data.load(str(photographs))
    (photographs / "dog" / "9.png").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"9\.png: expected an image in PNG"):
        data.load(str(photographs))
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(DataError, match=r"one folder of images a class(.|\n)*no images"):
        data.load(str(tmp_path / "empty"))


def test_sizes_are_bounded(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders.base, "LARGEST_BYTES", 100)
    with pytest.raises(DataError, match="at most 100 bytes of pixels, found 120"):
        data.load(str(photographs))
    monkeypatch.setattr(folders, "LARGEST_FILE_BYTES", 10)
    with pytest.raises(DataError, match="at most 10 bytes"):
        data.load(str(photographs))


def test_an_npz_is_loaded_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "My Data.npz", x=np.eye(10), y=np.arange(10) % 2, classes=np.array(["no", "yes"]))
    loaded = data.load(str(tmp_path / "My Data.npz"))
    assert (loaded.name, loaded.classes) == ("my_data", ("no", "yes"))
    monkeypatch.chdir(tmp_path)
    assert data.load("./My Data.npz").sha256 == data.load("My Data.npz").sha256 == loaded.sha256
    assert loaded.provenance()["request"]["name"] == str(tmp_path / "My Data.npz")


def test_an_npz_may_have_a_validation_part(tmp_path: Path) -> None:
    arrays = {f"x_{part}": np.ones((size, 3)) for part, size in (("train", 5), ("validation", 2), ("test", 3))}
    arrays |= {f"y_{key[2:]}": np.arange(len(array)) % 2 for key, array in arrays.items()}
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    loaded = data.load(str(tmp_path / "a.npz"))
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (5, 2, 3)
    np.savez(tmp_path / "a.npz", **(arrays | {"x_validation": np.ones((2, 4))}))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="x_train, x_validation: expected samples of one kind"):
        data.load(str(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.full((4, 2), np.nan), "y": [0, 1, 0, 1]}, r"x: expected finite(.|\n)*8 that are not, the first nan"),
        ({"x": np.eye(4), "y": np.array([0, 1, np.inf, 1])}, "y: expected finite numbers"),
        ({"x": np.eye(4), "y": [0, 1, 2]}, "as many samples as y"),
        ({"x": np.eye(4), "y": [0, -1, 2, 3]}, "labels from 0"),
        ({"x": np.eye(4)}, "arrays x, y or x_train"),
        ({"x": np.array([["a"] * 2] * 4), "y": [0, 1, 0, 1]}, "an array of real numbers"),
    ],
)  # fmt: skip
def test_an_npz_that_is_no_data_set_is_refused_with_its_path(tmp_path: Path, arrays: dict, words: str) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(DataError, match=words) as caught:
        data.load(str(tmp_path / "mine.npz"))
    assert str(tmp_path / "mine.npz") in str(caught.value)


def test_a_path_to_nothing_says_from_where_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=str(tmp_path)):
        data.load("./mine.npz")
    with pytest.raises(DataError, match=r"needs a slash: \./mine\.csv"):
        data.load("mine.csv")
