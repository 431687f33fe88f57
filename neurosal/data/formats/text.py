"""Text files with one sample a line: Semeion, libsvm's, and the digits of zip codes (USPS)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.formats.base import read_lines, refuse, wrong_lines

Array = np.ndarray[Any, Any]
SEMEION_PIXELS, SEMEION_CLASSES = 256, 10
USPS_PIXELS = 256
LARGEST_LABEL = 1_000_000
# A line's label and values, or what is wrong with it.
Parsed = tuple[float, Array] | str


def read_semeion(path: Path) -> tuple[Array, Array]:
    """Images [N, 16, 16] and labels [N] from ``semeion.data``: 256 pixels and ten indicators of the class a line.

    Raises:
        DataError: naming the first lines that are not as they should be.
    """
    y, x = _table(path, _semeion_line, "256 pixels and 10 class indicators, each 0 or 1")
    return x.astype(np.uint8).reshape(-1, 16, 16), y.astype(np.uint8)


def read_libsvm(path: Path, features: int = USPS_PIXELS) -> tuple[Array, Array]:
    """Values float32 [N, features] and labels [N] from lines ``label index:value index:value ...``.

    Indices count from 1 and grow; a value that is left out is zero.

    Raises:
        DataError: naming the first lines that are not as they should be.
    """

    def parse(fields: list[str]) -> Parsed:
        return _libsvm_line(fields, features)

    y, x = _table(path, parse, f"a label, then index:value with indices that grow from 1 to {features}")
    return x, y


def read_zip_digits(path: Path) -> tuple[Array, Array]:
    """Values float32 [N, 256] and labels [N] from lines of a digit and 256 grey levels.

    Raises:
        DataError: naming the first lines that are not as they should be.
    """

    def parse(fields: list[str]) -> Parsed:
        if len(fields) != USPS_PIXELS + 1:
            return f"{len(fields)} values"
        values = np.array(fields, np.float64)
        return float(values[0]), values[1:]

    y, x = _table(path, parse, f"a digit and {USPS_PIXELS} numbers")
    return x, y


def read_semeion_files(files: Mapping[str, Path], members: Mapping[str, str]) -> dict[str, Array]:
    """``semeion.data`` as x and y."""
    x, y = read_semeion(files["x"])
    return {"x": x, "y": y}


def read_libsvm_files(files: Mapping[str, Path], members: Mapping[str, str]) -> dict[str, Array]:
    """One file a part."""
    return _parts(files, read_libsvm)


def read_zip_digits_files(files: Mapping[str, Path], members: Mapping[str, str]) -> dict[str, Array]:
    """One file a part."""
    return _parts(files, read_zip_digits)


def _parts(files: Mapping[str, Path], read: Callable[[Path], tuple[Array, Array]]) -> dict[str, Array]:
    arrays = {}
    for part, path in files.items():
        arrays[f"x_{part}"], arrays[f"y_{part}"] = read(path)
    return arrays


def _table(path: Path, parse: Callable[[list[str]], Parsed], expected: str) -> tuple[Array, Array]:
    """Labels int64 [N] and values float32 [N, features] of all lines that are not empty."""
    labels: list[float] = []
    rows: list[Array] = []
    problems: list[tuple[int, str]] = []
    for number, line in enumerate(read_lines(path), start=1):
        fields = line.split()
        if not fields:
            continue
        try:
            parsed = parse(fields)
        except (ValueError, OverflowError) as error:
            parsed = str(error)
        if not isinstance(parsed, str):
            parsed = _plain(*parsed)
        if isinstance(parsed, str):
            problems.append((number, parsed))
        elif not problems:
            labels.append(parsed[0])
            rows.append(parsed[1])
    if problems:
        raise wrong_lines(path, problems, expected)
    if not rows:
        raise refuse(path, "at least one sample", "an empty file")
    return np.array(labels).astype(np.int64), np.stack(rows)


def _plain(label: float, values: Array) -> Parsed:
    """Label and float32 values when they are finite and the label is a whole number."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is reported as such
        row = values.astype(np.float32)
    if not (math.isfinite(label) and np.isfinite(row).all()):
        return "numbers that are not finite"
    if label != int(label) or abs(label) > LARGEST_LABEL:
        return f"the label {label:g}"
    return label, row


def _semeion_line(fields: list[str]) -> Parsed:
    if len(fields) != SEMEION_PIXELS + SEMEION_CLASSES:
        return f"{len(fields)} values"
    values = np.array([float(field) for field in fields])
    if not np.isin(values, (0.0, 1.0)).all():
        return "other values than 0 and 1"
    marked = values[SEMEION_PIXELS:]
    if marked.sum() != 1:
        return f"{marked.sum():.0f} classes marked"
    return float(marked.argmax()), values[:SEMEION_PIXELS]


def _libsvm_line(fields: list[str], features: int) -> Parsed:
    row = np.zeros(features)
    if len(fields) > features + 1:
        return f"{len(fields) - 1} values"
    if any(field.count(":") != 1 for field in fields[1:]):
        return "a field without one colon"
    pairs = np.array(" ".join(fields[1:]).replace(":", " ").split(), np.float64).reshape(-1, 2)
    index = pairs[:, 0]
    if len(index) and not (np.isfinite(index).all() and (index == np.floor(index)).all()):
        return "an index that is no whole number"
    if len(index) and (index[0] < 1 or index[-1] > features or (np.diff(index) <= 0).any()):
        return "indices outside or out of order"
    row[index.astype(np.int64) - 1] = pairs[:, 1]
    return float(fields[0]), row
