"""From the place where a data set lies to its content, checked against what its name promises."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.catalogue import CATALOGUE
from neurosal.data.content import PARTS, Content, make_content
from neurosal.data.entry import Entry, Layout
from neurosal.data.folders import read_folder
from neurosal.data.formats import FORMATS
from neurosal.data.formats.npz import read_npz
from neurosal.data.images import ENCODED, decoded
from neurosal.data.places import Found
from neurosal.data.splitting import shuffled
from neurosal.errors import DataError, NeurosalError, Problem

Array = np.ndarray[Any, Any]
BYTES = (0.0, 255.0)


def read(name: str, entry: Entry | None, found: Found) -> Content:
    """The content that lies in a place, checked against what the name promises.

    Args:
        name: the set's name, or the path of a file or a folder of the user.

    Raises:
        DataError: damaged, or other values than the data set has.
    """
    place = found.place
    arrays = _arrays(found, entry)
    if entry is not None and entry.by_class:
        arrays = _mixed(arrays)
    x, y, parts, classes = _assemble(arrays, entry, place)
    if entry is not None:
        _check_entry(entry, x, y, place)
        x = x.astype(entry.kind, copy=False).reshape(-1, *entry.shape)
        if entry.train_samples is not None:
            parts = (np.arange(entry.train_samples), None, np.arange(entry.train_samples, len(x)))
    pictures = found.images is not None or any(key.startswith(ENCODED) for key in arrays)
    known_range = entry.value_range if entry else BYTES if pictures else None
    source = entry.source if entry else "images of the user" if found.images else "file of the user"
    try:
        content = make_content(
            x, y, name=name if entry else _as_name(name), parts=parts, classes=entry.classes if entry else classes,
            value_range=known_range, source=f"{source}; read from {found.where}",
            licence=entry.licence if entry else "unknown", note=entry.note if entry else "",
        )  # fmt: skip
    except NeurosalError as error:
        problems = [replace(problem, place=f"{place}: {problem.place}") for problem in error.problems]
        raise DataError(problems) from None
    return _recognised(content, entry, place)


def _as_name(given: str) -> str:
    """The name of a set that was asked for by its path: the file's own, in the letters that a name may have."""
    stem = Path(given).expanduser().resolve().name.removesuffix(".npz").lower()
    return re.sub(r"[^a-z0-9_-]+", "_", stem).lstrip("_-") or "data"


def _recognised(content: Content, entry: Entry | None, place: str) -> Content:
    """Say whether this is the published set, and refuse another one under its name.

    MNIST and those made like it share their files' names and shapes: in a bare folder nothing else tells them apart.
    """
    if entry is None:
        return content
    for other in CATALOGUE.values():
        if other.name != entry.name and other.sha256 == content.sha256:
            raise _problem(
                place, f"the data set {entry.name}", f"the published {other.name}", f"Load {other.name!r}, or move it."
            )
    known = replace(content, published=content.sha256 == entry.sha256)
    known.__dict__["sha256"] = content.sha256  # so that it is not computed a second time
    return known


def _arrays(found: Found, entry: Entry | None) -> dict[str, Array]:
    if found.images is not None:
        return read_folder(found.images)
    if found.npz is not None:
        arrays = read_npz(found.npz)
        if any(key.startswith(ENCODED) for key in arrays):
            return decoded(arrays, entry.shape if entry else None, found.place)
        return arrays
    assert found.layout is not None
    assert found.files is not None
    arrays = FORMATS[found.layout.format](found.files, found.layout.members)
    return {key: _plain(key, array, found.layout) for key, array in arrays.items()}


def _plain(key: str, array: Array, layout: Layout) -> Array:
    """Labels from 0, and images row by row."""
    if key.startswith("y") and layout.first_label and array.dtype.kind in "ui":
        return array.astype(np.int64) - layout.first_label
    if key.startswith("x") and layout.transposed:
        return np.ascontiguousarray(array.swapaxes(-1, -2))
    return array


def _mixed(arrays: dict[str, Array]) -> dict[str, Array]:
    """Each part in an order drawn from seed 0: stored class by class, its first rows would all be of one class."""
    found = dict(arrays)
    for part in ("train", "test"):
        x, y = arrays.get(f"x_{part}"), arrays.get(f"y_{part}")
        if x is not None and y is not None and x.ndim and y.ndim == 1 and len(x) == len(y):
            order = shuffled(np.arange(len(y)), None, 0)
            found |= {f"x_{part}": x[order], f"y_{part}": y[order]}
    return found


def _assemble(arrays: dict[str, Array], entry: Entry | None, place: str) -> tuple[Any, Any, Any, Any]:
    """Inputs, labels, parts and class names out of ``x, y`` or ``x_train, y_train, x_test, y_test``."""
    whole, apart = ("x", "y"), ("x_train", "y_train", "x_test", "y_test")
    accepted = [keys for keys in (whole, apart) if entry is None or (keys == apart) == entry.parts_apart]
    keys = next((keys for keys in accepted if set(keys) <= set(arrays)), None)
    if keys is None:
        wanted = " or ".join(", ".join(keys) for keys in accepted)
        found = ", ".join(sorted(arrays)) or "none"
        missing = [key for key in accepted[0] if key not in arrays]
        raise _problem(place, f"arrays {wanted}", f"arrays {found}", f"Missing: {', '.join(missing)}.")
    classes = arrays.get("classes")
    names = tuple(str(name) for name in classes) if classes is not None and classes.ndim == 1 else None
    if keys == whole:
        return arrays["x"], arrays["y"], None, names
    parts = [part for part in PARTS if f"x_{part}" in arrays and f"y_{part}" in arrays]
    _check_parts(arrays, parts, place)
    x, y = (np.concatenate([arrays[f"{key}_{part}"] for part in parts]) for key in ("x", "y"))
    x.flags.writeable = False
    ends = np.cumsum([len(arrays[f"y_{part}"]) for part in parts])
    rows = {part: np.arange(end - len(arrays[f"y_{part}"]), end) for part, end in zip(parts, ends, strict=True)}
    return x, y, tuple(rows.get(part) for part in PARTS), names


def _check_parts(arrays: dict[str, Array], parts: list[str], place: str) -> None:
    """Each part has as many samples as labels, and all are of one kind."""
    problems = []
    for part in parts:
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
            found = f"shapes {x.shape} and {y.shape}"
            problems.append(
                Problem(place=f"{place}: x_{part}, y_{part}", expected="as many samples as labels", found=found)
            )
    for key in ("x", "y"):
        train = arrays[f"{key}_train"]
        for part in parts[1:]:
            other = arrays[f"{key}_{part}"]
            if train.shape[1:] != other.shape[1:] or (train.dtype.kind in "biuf") != (other.dtype.kind in "biuf"):
                found = f"{train.dtype} {train.shape} and {other.dtype} {other.shape}"
                problems.append(
                    Problem(place=f"{place}: {key}_train, {key}_{part}", expected="samples of one kind", found=found)
                )
    if problems:
        raise DataError(problems)


def _check_entry(entry: Entry, x: Array, y: Array, place: str) -> None:
    """Kinds, shapes and ranges that the name promises; what holds for all data is checked where content is made."""
    problems = []
    whole = entry.kind != "float32"
    for key, array in (("x", x), ("y", y)):
        kinds, expected = ("bui", "whole numbers") if whole or key == "y" else ("buif", "numbers")
        if array.dtype.kind not in kinds:
            problems.append(Problem(place=f"{place}: {key}", expected=expected, found=f"values of type {array.dtype}"))
    features = int(np.prod(entry.shape))
    if x.ndim < 2 or int(np.prod(x.shape[1:])) != features or len(x) == 0:
        expected = f"samples of {'×'.join(map(str, entry.shape))} values"
        problems.append(Problem(place=f"{place}: x", expected=expected, found=f"shape {x.shape}"))
    elif not problems and x.dtype.kind in "bui":
        limits = np.iinfo(entry.kind) if whole else None
        lowest, highest = entry.value_range or ((limits.min, limits.max) if limits else (-np.inf, np.inf))
        low, high = int(x.min()), int(x.max())
        if low < lowest or high > highest:
            expected = f"values from {lowest:g} to {highest:g}"
            problems.append(Problem(place=f"{place}: x", expected=expected, found=f"{low} to {high}"))
    if y.ndim != 1:
        problems.append(Problem(place=f"{place}: y", expected="one label a sample", found=f"shape {y.shape}"))
    if entry.train_samples is not None and len(x) != entry.samples:
        expected = f"{entry.samples} samples (the official split goes by row number)"
        problems.append(Problem(place=f"{place}: x", expected=expected, found=str(len(x))))
    if problems:
        raise DataError(problems)


def _problem(place: str, expected: str, found: str, remedy: str = "") -> DataError:
    return DataError(Problem(place=place, expected=expected, found=found, remedy=remedy))
