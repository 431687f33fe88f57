"""Encoded images and grey: decoded as they were written, bounded, refused in words when damaged."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neurosal import data
from neurosal.data import images
from neurosal.data.images import decode, decoded, grey
from neurosal.errors import DataError
from tests.data.small_files import encoded_arrays, jpeg_bytes


def test_grey_is_the_luma_of_itu_r_601_rounded_to_the_nearest() -> None:
    pure = np.eye(3, dtype=np.uint8).reshape(3, 3, 1, 1) * 255
    assert grey(pure).ravel().tolist() == [76, 150, 29]  # .299, .587 and .114 of 255
    values = np.random.default_rng(0).integers(0, 256, (500, 3, 2, 2), np.uint8)
    slow = np.array([0.299, 0.587, 0.114]) @ values.reshape(500, 3, 4).astype(float)
    assert np.abs(grey(values).reshape(500, 4) - slow).max() < 0.51
    assert np.allclose(grey(values.astype(np.float32)).reshape(500, 4), slow, atol=0.02)


def test_grey_is_what_the_image_library_makes_of_colour() -> None:
    values = np.random.default_rng(1).integers(0, 256, (7, 3, 8, 8), np.uint8)
    theirs = [
        np.asarray(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).convert("L")) for image in values
    ]
    assert np.array_equal(grey(values), theirs)


def test_grey_does_not_depend_on_how_many_images_are_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).integers(0, 256, (7, 3, 2, 2), np.uint8)
    whole = grey(values)
    monkeypatch.setattr(images, "CHUNK_SAMPLES", 3)
    assert np.array_equal(grey(values), whole)


def test_encoded_images_are_decoded_in_order_with_channels_first(tmp_path: Path) -> None:
    arrays, pixels = encoded_arrays(train=30, test=10)
    found = decoded(arrays, (3, 32, 32), "here")
    assert set(found) == {"x_train", "y_train", "x_test", "y_test", "classes"}
    assert found["x_test"].shape == (10, 3, 32, 32)
    assert np.abs(found["x_train"].astype(int).mean(axis=(2, 3)) - pixels["train"]).max() < 6  # JPEG loses a little


def test_the_jpeg_set_is_read_shuffled_and_says_what_it_is(tmp_path: Path) -> None:
    arrays, _ = encoded_arrays(train=60, test=20)
    np.savez(tmp_path / "cifar10_jpeg.npz", **arrays)  # type: ignore[arg-type]
    loaded = data.load("cifar10_jpeg", folder=tmp_path, shape="natural", scaling="none")
    assert loaded.train.x.shape == (60, 3, 32, 32)
    assert loaded.test.x.shape == (20, 3, 32, 32)
    assert loaded.train.y.tolist() != sorted(loaded.train.y.tolist())
    assert sorted(loaded.train.y.tolist()) == arrays["y_train"].tolist()
    # Images keep their labels: the brightness of the small set's images is their class.
    assert np.array_equal(np.round(loaded.train.x.mean(axis=(1, 2, 3)) / 20), loaded.train.y)
    assert "not the original bits" in loaded.provenance()["note"]
    again = data.load("cifar10_jpeg", folder=tmp_path)
    assert again.sha256 == loaded.sha256


def test_grey_goes_before_scaling_and_is_part_of_the_request(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 4), np.uint8)
    whole = data.from_arrays(colour, np.arange(50) % 2, value_range=(0, 255))
    plain = whole.grey()
    assert plain.features == (4, 4)
    assert plain.flat().scaled("unit").x.shape == (50, 16)
    assert np.array_equal(plain.x, grey(colour).astype(np.float32))
    standard = plain.scaled("standardise").x
    assert np.allclose(standard.mean(axis=0), 0, atol=1e-5)
    assert plain.to_dict()["grey"] is True
    assert plain.sha256 == whole.sha256
    assert plain != whole
    assert "4×4" in repr(plain)
    with pytest.raises(DataError, match="16 features"):
        plain.scaled(mean=(0.0,) * 48, std=(1.0,) * 48)


def test_grey_without_colour_is_refused() -> None:
    with pytest.raises(DataError, match="grey: expected colour images"):
        data.load("digits", grey=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"offsets_train": None}, "found none"),
        ({"offsets_train": np.zeros(31, np.int64)}, "offsets that grow from 0"),
        ({"offsets_train": np.array([0.0, 1.0])}, "whole numbers"),
        ({"jpeg_train": np.zeros((2, 2), np.uint8)}, "one array of bytes"),
        (
            {"jpeg_train": np.zeros(40, np.uint8), "offsets_train": np.arange(31) + 10 * (np.arange(31) == 30)},
            "image 0",
        ),
    ],
)
def test_damaged_encoded_arrays_are_refused_by_name(changes: dict[str, np.ndarray | None], words: str) -> None:
    arrays, _ = encoded_arrays(train=30, test=10)
    changed = {key: array for key, array in (arrays | changes).items() if array is not None}
    with pytest.raises(DataError) as caught:
        decoded(changed, (3, 32, 32), "set.npz")
    assert words in str(caught.value)
    assert "set.npz: jpeg_train" in str(caught.value)


def test_an_image_of_another_size_is_named() -> None:
    first, second = jpeg_bytes(np.zeros((8, 8, 3), np.uint8)), jpeg_bytes(np.zeros((8, 9, 3), np.uint8))
    arrays = {
        "jpeg_train": np.frombuffer(first + second, np.uint8),
        "offsets_train": np.array([0, len(first), len(first) + len(second)]),
    }
    with pytest.raises(DataError, match="image 1: expected an image of 3×8×8 values, found 3×8×9"):
        decoded(arrays, None, "set.npz")


def test_cut_off_foreign_and_huge_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = jpeg_bytes(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(DataError, match="a complete image"):
        decode(content[: len(content) // 2 + 200], "here")
    png = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(png, "PNG")
    with pytest.raises(DataError, match="an image in JPEG, found something else"):
        decode(png.getvalue(), "here")
    monkeypatch.setattr(images, "LARGEST_PIXELS", 1000)
    with pytest.raises(DataError, match="at most 1000 pixels, found 32×32"):
        decode(content, "here")
