"""A folder of images as a data set: one folder a class, or one such folder for each of train, validation and test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.content import PARTS
from neurosal.data.formats import base
from neurosal.data.images import decode
from neurosal.errors import DataError, Problem

Array = np.ndarray[Any, Any]
# The endings that are read, and the image library's names of their formats.
ENDINGS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".gif": "GIF",
    ".pgm": "PPM", ".ppm": "PPM", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP",
}  # fmt: skip
LARGEST_FILE_BYTES = 256 << 20
SPELLINGS = {"train": ("train", "training"), "validation": ("validation", "valid", "val"), "test": ("test", "testing")}
LAYOUT = "one folder of images a class, or folders train, validation and test of such"


def read_folder(folder: Path) -> dict[str, Array]:
    """Images, labels and class names of a folder, all images of one size and either in colour or grey.

    Hidden files and files that do not end like an image are passed over. Classes and images come in the order of their
    names, so the same folder always gives the same data.

    Returns:
        ``x`` and ``y``, or those of each part; ``classes``.

    Raises:
        DataError: no images, a class that is not in the training part, an image that cannot be read or is of another
            size than the first.
    """
    parts = _parts(folder)
    listed = {part: _files(root) for part, root in parts.items()}
    first = next(iter(listed))
    classes = tuple(listed[first])
    if not classes or not any(files for files in listed[first].values()):
        raise _problem(parts[first], LAYOUT, "no images")
    problems = [
        Problem(place=str(parts[part]), expected=f"the classes of {parts[first].name}", found=f"also {name}")
        for part, found in listed.items()
        for name in found
        if name not in classes
    ]
    if problems:
        raise DataError(problems)
    arrays: dict[str, Array] = {"classes": np.array(classes)}
    shape: tuple[int, ...] | None = None
    for part, found in listed.items():
        end = f"_{part}" if part else ""
        rows = [(path, classes.index(name)) for name, files in found.items() for path in files]
        arrays[f"x{end}"], shape = _images([path for path, _ in rows], shape)
        arrays[f"y{end}"] = np.array([label for _, label in rows], np.int64)
    return arrays


def _parts(folder: Path) -> dict[str, Path]:
    """Folders of the parts, or the folder itself under an empty name."""
    found = {part: folder / spelling for part in PARTS for spelling in SPELLINGS[part] if (folder / spelling).is_dir()}
    if "train" not in found:
        return {"": folder}
    others = [path.name for path in _folders(folder) if path not in found.values()]
    if others:
        raise _problem(folder, LAYOUT, f"train beside {', '.join(others)}")
    return found


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> dict[str, list[Path]]:
    """Image files of each class, in the order of their names."""
    return {
        inner.name: sorted(
            path for path in inner.iterdir() if path.suffix.lower() in ENDINGS and not path.name.startswith(".")
        )
        for inner in _folders(folder)
    }


def _images(paths: list[Path], shape: tuple[int, ...] | None) -> tuple[Array, tuple[int, ...] | None]:
    images: Array | None = None
    for number, path in enumerate(paths):
        with base.damage(path, "an image"):
            if path.stat().st_size > LARGEST_FILE_BYTES:
                raise _problem(path, f"at most {LARGEST_FILE_BYTES} bytes", str(path.stat().st_size))
            image = decode(path.read_bytes(), str(path), (ENDINGS[path.suffix.lower()],))
        shape = shape or image.shape
        if image.shape != shape:
            expected = f"an image of {_shown(shape)} values, as the first one"
            remedy = "Bring all images to one size and kind (colour or grey) first."
            raise _problem(path, expected, _shown(image.shape), remedy)
        if images is None:
            total = len(paths) * image.size
            if total > base.LARGEST_BYTES:
                raise _problem(path.parent, f"at most {base.LARGEST_BYTES} bytes of pixels", f"{total}")
            images = np.empty((len(paths), *shape), np.uint8)
        images[number] = image
    return (np.zeros((0, *(shape or ())), np.uint8) if images is None else images), shape


def _shown(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _problem(place: Path, expected: str, found: str, remedy: str = "") -> DataError:
    return DataError(Problem(place=str(place), expected=expected, found=found, remedy=remedy))
