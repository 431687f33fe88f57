"""The sets that ship in the package are the published ones and complete."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from neurosal import data
from neurosal.data import connectomes
from neurosal.data.catalogue import CATALOGUE
from neurosal.data.embedding import write_fashion_5k
from neurosal.data.places import EMBEDDED

GIVEN = os.environ.get("NEUROSAL_DATA")
SHIPPED = [name for name, entry in CATALOGUE.items() if entry.embedded]
OFFICIAL = {
    "optdigits": (3823, 1797),
    "letter": (16000, 4000),
    "shuttle": (43500, 14500),
    "fashion_5k": (5000, 1000),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_an_embedded_set_is_the_published_one(name: str) -> None:
    loaded = data.load(name)
    assert loaded.content.published
    assert loaded.sha256 == CATALOGUE[name].sha256
    assert len(loaded) == CATALOGUE[name].samples
    assert set(loaded.y.tolist()) == set(range(len(loaded.classes)))
    assert loaded.train.x.dtype == np.float32
    assert loaded.train.y.dtype == np.int64
    assert loaded.source.endswith("read from package")


@pytest.mark.parametrize("name", SHIPPED)
def test_the_notice_names_every_embedded_file(name: str) -> None:
    notice = (EMBEDDED / "NOTICE").read_text(encoding="utf-8")
    assert f"\n{name} " in notice
    words = CATALOGUE[name].source.replace(",", " ").replace(";", " ").split()
    reference = next(word for word in words if word.startswith(("10.24432", "1708.07747")))
    assert reference in notice
    assert ("MIT" in CATALOGUE[name].licence) == (name == "fashion_5k")


def test_nothing_is_embedded_without_being_known() -> None:
    assert {path.stem for path in EMBEDDED.glob("*.npz")} == {*SHIPPED, *connectomes.SHIPPED}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_official_split_is_kept_by_default(name: str) -> None:
    loaded = data.load(name)
    if name in OFFICIAL:
        train, test = OFFICIAL[name]
        assert loaded.train.index.tolist() == list(range(train))
        assert loaded.test.index.tolist() == list(range(train, train + test))
    else:
        assert len(loaded.test) == round(0.2 * len(loaded))
        assert len(np.unique(loaded.test.index)) == len(loaded.test)
    assert len(loaded.validation) == 0


def test_digits_are_the_test_part_of_optdigits() -> None:
    digits, optdigits = data.load("digits", scaling="none"), data.load("optdigits", scaling="none")
    assert np.array_equal(np.sort(digits.x, axis=0), np.sort(optdigits.test.x, axis=0))


def test_images_keep_their_shape_when_asked() -> None:
    images = data.load("digits").natural()
    assert images.x.shape == (1797, 8, 8)
    assert images.features == (8, 8)
    assert np.array_equal(images.flat().x, images.x.reshape(1797, 64))
    assert data.load("digits").features == (64,)


def test_the_subset_of_fashion_mnist_is_balanced() -> None:
    subset = data.load("fashion_5k")
    assert np.bincount(subset.train.y).tolist() == [500] * 10
    assert np.bincount(subset.test.y).tolist() == [100] * 10
    assert subset.classes[9] == "Ankle boot"


@pytest.mark.skipif(not GIVEN, reason="NEUROSAL_DATA names no folder")
def test_the_subset_of_fashion_mnist_is_what_its_program_makes_of_the_full_set(tmp_path: Path) -> None:
    assert GIVEN is not None
    if not (Path(GIVEN) / "fashion_mnist.npz").is_file():
        pytest.skip("no fashion_mnist.npz in the folder")
    write_fashion_5k(tmp_path / "fashion_5k.npz", folder=GIVEN)
    assert data.load("fashion_5k", folder=tmp_path) == data.load("fashion_5k")


@pytest.mark.skipif(not GIVEN, reason="NEUROSAL_DATA names no folder")
@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if not entry.embedded])
def test_the_given_folder_holds_the_published_sets(name: str) -> None:
    assert GIVEN is not None
    if not (Path(GIVEN) / f"{name}.npz").is_file():
        pytest.skip(f"no {name}.npz in the folder")
    loaded = data.load(name, folder=GIVEN)
    assert loaded.content.published
    assert len(loaded) == CATALOGUE[name].samples
