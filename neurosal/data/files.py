"""Readers of data files. Nothing that is read is executed, and no size in a file is believed before it was checked.

Every reader raises `DataError` with the file as place and never anything else, however the file is damaged.
"""

from __future__ import annotations

import gzip
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from neurosal.errors import DataError, Problem

Array = np.ndarray[Any, Any]

LARGEST_BYTES = 4 << 30
LARGEST_TEXT_BYTES = 64 << 20
LARGEST_MEMBERS = 64
SHOWN_LINES = 8
IDX_UNSIGNED_BYTES = 8
# What the parsers below let through when a file is cut off, not what its name says, encrypted or made to do harm.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, struct.error, tokenize.TokenError,
    EOFError, OSError, ValueError, TypeError, KeyError, SyntaxError, NotImplementedError, RuntimeError, OverflowError,
)  # fmt: skip


def refuse(path: Path, expected: str, found: str, remedy: str = "") -> DataError:
    """The error for a file that cannot be read."""
    return DataError(Problem(place=str(path), expected=expected, found=found, remedy=remedy))


def read_npz(path: Path) -> dict[str, Array]:
    """All arrays of an ``.npz`` file.

    Raises:
        DataError: the file is cut off, is no npz, holds pickled objects, or claims more than `LARGEST_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > LARGEST_MEMBERS:
                raise refuse(path, f"at most {LARGEST_MEMBERS} arrays", f"{len(members)}")
            total = sum(member.file_size for member in members)
            if total > LARGEST_BYTES:
                raise refuse(path, f"at most {LARGEST_BYTES} bytes when unpacked", f"{total} bytes")
            arrays = {}
            for member in members:
                with archive.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = _read_npy(path, member, stream)
            return arrays
    except DAMAGE as error:
        raise refuse(path, "a complete npz file of plain arrays", _reason(error), "Fetch the file again.") from None


def _read_npy(path: Path, member: zipfile.ZipInfo, stream: IO[bytes]) -> Array:
    """One array; its header is compared with the bytes that are there before anything is allocated for it."""
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise refuse(path, f"array {member.filename!r} in npy format 1.0 or 2.0", f"version {version}")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, column_major, dtype = read_header(stream)
    if dtype.hasobject:
        raise refuse(
            path,
            f"array {member.filename!r} of plain numbers or text",
            "pickled Python objects",
            "Objects are refused because unpickling runs code: save plain arrays.",
        )
    claimed = math.prod(shape) * dtype.itemsize
    content = stream.read()
    if claimed != len(content) or min(shape, default=0) < 0:
        raise refuse(path, f"{claimed} bytes in array {member.filename!r} of shape {shape}", f"{len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if column_major else "C")


def read_idx(path: Path, dimensions: int) -> Array:
    """An array of unsigned bytes in the idx format of MNIST, gzipped or not.

    Args:
        dimensions: how many axes the array must have (3 for images, 1 for labels).

    Raises:
        DataError: wrong magic number, other kind of values, cut off or too long.
    """
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            header = stream.read(4)
            magic = bytes((0, 0, IDX_UNSIGNED_BYTES, dimensions))
            if header != magic:
                raise refuse(
                    path,
                    f"the magic number {magic.hex()} (unsigned bytes, {dimensions} axes)",
                    header.hex() or "nothing",
                )
            shape = struct.unpack(f">{dimensions}I", stream.read(4 * dimensions))
            size = math.prod(shape)
            if size > LARGEST_BYTES:
                raise refuse(path, f"at most {LARGEST_BYTES} bytes of values", f"a header that claims {shape}")
            content = stream.read(size + 1)
    except DAMAGE as error:
        raise refuse(path, "a complete idx file", _reason(error), "Fetch the file again.") from None
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content)}"
        raise refuse(path, f"{size} bytes of values for shape {shape}", f"{found}", "Fetch the file again.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_semeion(path: Path) -> tuple[Array, Array]:
    """Images [N, 16, 16] and labels [N] from ``semeion.data``: 256 pixels and ten indicators of the class a line.

    Raises:
        DataError: naming the first lines that are not as they should be.
    """
    try:
        if path.stat().st_size > LARGEST_TEXT_BYTES:
            raise refuse(path, f"at most {LARGEST_TEXT_BYTES} bytes", f"{path.stat().st_size}")
        lines = path.read_text(encoding="ascii").splitlines()
    except DAMAGE as error:
        raise refuse(path, "a text file of numbers", _reason(error), "Fetch the file again.") from None
    rows: list[Sequence[float]] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        wrong, values = _semeion_line(line)
        if wrong:
            place = f"{path}, line {number}"
            problems.append(
                Problem(place=place, expected="256 pixels and 10 class indicators, each 0 or 1", found=wrong)
            )
        else:
            rows.append(values)
    if problems:
        more = len(problems) - SHOWN_LINES
        tail = (
            [Problem(place=str(path), expected="no further line like these", found=f"{more} more")] if more > 0 else []
        )
        raise DataError(problems[:SHOWN_LINES] + tail)
    if not rows:
        raise refuse(path, "at least one sample", "an empty file")
    table = np.array(rows, np.uint8)
    return table[:, :256].reshape(-1, 16, 16), table[:, 256:].argmax(axis=1).astype(np.uint8)


def _semeion_line(line: str) -> tuple[str, list[float]]:
    """What is wrong with a line (nothing: empty), and its values."""
    fields = line.split()
    if len(fields) != 266:
        return f"{len(fields)} values", []
    try:
        values = [float(field) for field in fields]
    except ValueError as error:
        return str(error), []
    if any(value not in (0.0, 1.0) for value in values):
        return "other values than 0 and 1", []
    if sum(values[256:]) != 1:
        return f"{sum(values[256:]):.0f} classes marked", []
    return "", values


def _reason(error: BaseException) -> str:
    """An exception as found, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."
