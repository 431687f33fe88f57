"""Numeric arrays of MATLAB's level-5 mat files (-v6 and -v7), and SVHN in them.

Format: MathWorks, MAT-File Format (R2024), chapter "MAT-file level 5". Only plain real arrays are read: cells,
structures, objects and functions are passed over, so that nothing of a file can act.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.formats import base
from neurosal.data.formats.base import AGAIN, damage, refuse

Array = np.ndarray[Any, Any]
HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
# Kinds of stored numbers, and the classes of arrays (an array of doubles may be stored as bytes).
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
COMPLEX_FLAG = 0x08
LARGEST_AXES = 32


def read_mat(path: Path) -> dict[str, Array]:
    """All real numeric arrays of a mat file by their names.

    Raises:
        DataError: cut off, of another version (7.3 is HDF5), or larger than the bound when unpacked.
    """
    with damage(path, "a complete mat file of level 5"):
        if path.stat().st_size > base.LARGEST_BYTES:
            raise refuse(path, f"at most {base.LARGEST_BYTES} bytes", f"{path.stat().st_size}")
        content = memoryview(path.read_bytes())
        order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
        if order is None or struct.unpack(f"{order}H", content[124:126])[0] >> 8 != 1:
            text = bytes(content[:20]).decode("ascii", "replace")
            remedy = "Save it as -v7 or as npz: version 7.3 is another format." if "7.3" in text else AGAIN
            raise refuse(path, "a mat file of level 5", repr(text), remedy)
        arrays = {}
        for kind, element in _elements(content[HEADER_BYTES:], order, path):
            if kind == COMPRESSED:
                unpacked = list(_elements(memoryview(_inflated(element, order, path)), order, path))
            else:
                unpacked = [(kind, element)]
            for inner, matrix in unpacked:
                named = _matrix(matrix, order, path) if inner == MATRIX else None
                if named is not None:
                    arrays[named[0]] = named[1]
        return arrays


def read_svhn_files(files: Mapping[str, Path], members: Mapping[str, str]) -> dict[str, Array]:
    """House numbers, one file a part: ``X`` [32, 32, 3, N] becomes [N, 3, 32, 32], and the label 10 the digit 0.

    Raises:
        DataError: damaged, or without such arrays.
    """
    arrays = {}
    for part, path in files.items():
        found = read_mat(path)
        x, y = found.get("X"), found.get("y")
        if x is None or y is None or x.ndim != 4 or x.dtype != np.uint8 or y.size != x.shape[3]:
            shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in found.items()) or "no arrays"
            raise refuse(path, "X uint8 [32, 32, 3, samples] and y [samples, 1]", shapes)
        labels = y.reshape(-1).astype(np.float64)
        if not ((labels >= 1) & (labels <= 10) & (labels == np.floor(labels))).all():
            raise refuse(path, "labels from 1 to 10 in y", f"{labels.min():g} to {labels.max():g}")
        arrays[f"x_{part}"] = np.ascontiguousarray(x.transpose(3, 2, 0, 1))
        arrays[f"y_{part}"] = (labels % 10).astype(np.uint8)
    return arrays


def _inflated(element: memoryview, order: str, path: Path) -> bytes:
    """A compressed element; its own claim of its size is bounded before it is unpacked."""
    stream = zlib.decompressobj()
    tag = stream.decompress(element, 8)
    size = struct.unpack(f"{order}II", tag)[1]
    if size > base.LARGEST_BYTES:
        raise refuse(path, f"at most {base.LARGEST_BYTES} bytes when unpacked", f"{size} bytes")
    rest = stream.decompress(stream.unconsumed_tail, size) if size else b""
    if len(rest) != size:
        raise refuse(path, f"{size} bytes in a compressed array", f"{len(rest)}", AGAIN)
    return tag + rest


def _elements(content: memoryview, order: str, path: Path) -> Iterator[tuple[int, memoryview]]:
    """Kind and bytes of each element; they start at multiples of 8 bytes, but for what follows a compressed one."""
    position = 0
    while position < len(content):
        kind, size = struct.unpack(f"{order}II", content[position : position + 8])
        if kind >> 16:  # a small element has its size and its bytes in the tag
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
            after = position + 8
        else:
            start = position + 8
            after = start + size + (0 if kind == COMPRESSED else -size % 8)
        if start + size > len(content) or (start == position + 4 and size > 4):
            raise refuse(path, f"{size} bytes in an element", f"{len(content) - start}", AGAIN)
        yield kind, content[start : start + size]
        position = after


def _matrix(content: memoryview, order: str, path: Path) -> tuple[str, Array] | None:
    """Name and values of a real numeric array, None for anything else."""
    parts = _elements(content, order, path)
    flags = bytes(next(parts, (0, memoryview(b"")))[1])
    word = struct.unpack(f"{order}I", flags[:4])[0]
    kind = CLASSES.get(word & 0xFF)
    if kind is None or (word >> 8) & COMPLEX_FLAG:
        return None
    dimensions = bytes(next(parts, (0, memoryview(b"")))[1])
    shape = np.frombuffer(dimensions, f"{order}i4").tolist()
    name = bytes(next(parts, (0, memoryview(b"")))[1]).decode("ascii")
    stored, values = next(parts, (0, memoryview(b"")))
    if stored not in STORED or not 2 <= len(shape) <= LARGEST_AXES or min(shape) < 0:
        raise refuse(path, f"numbers in the array {name!r}", f"kind {stored} of shape {shape}", AGAIN)
    numbers = np.frombuffer(values, f"{order}{STORED[stored]}")
    if len(numbers) != math.prod(shape):
        raise refuse(path, f"{math.prod(shape)} values in {name!r} of shape {shape}", f"{len(numbers)}", AGAIN)
    return name, numbers.astype(kind, copy=False).reshape(shape, order="F")
