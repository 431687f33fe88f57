"""The idx format of MNIST: magic number, shape, unsigned bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from neurosal.data.formats import base
from neurosal.data.formats.base import AGAIN, damage, refuse, unpacked

Array = np.ndarray[Any, Any]
IDX_UNSIGNED_BYTES = 8


def read_idx(path: Path, dimensions: int) -> Array:
    """An array of unsigned bytes, gzipped or not.

    Args:
        dimensions: how many axes the array must have (3 for images, 1 for labels).

    Raises:
        DataError: wrong magic number, other kind of values, cut off or too long.
    """
    with damage(path, "a complete idx file"), unpacked(path) as stream:
        return _read(stream, dimensions, str(path))


def read_idx_files(files: Mapping[str, Path], members: Mapping[str, str]) -> dict[str, Array]:
    """One array a file: images under keys that begin with x, labels under the others."""
    return {key: read_idx(path, 3 if key.startswith("x") else 1) for key, path in files.items()}


def read_idx_zip(files: Mapping[str, Path], members: Mapping[str, str]) -> dict[str, Array]:
    """The same out of a zip archive of gzipped idx files, without unpacking what is not asked for.

    Raises:
        DataError: a member is missing or damaged.
    """
    path = files["archive"]
    arrays = {}
    with damage(path, "a complete zip archive"), zipfile.ZipFile(path) as archive:
        for key, name in members.items():
            if name not in archive.namelist():
                raise refuse(path, f"a member {name!r}", "none")
            place = f"{path}: {name}"
            with damage(place, "a complete idx file"), archive.open(name) as member, gzip.open(member) as stream:
                arrays[key] = _read(stream, 3 if key.startswith("x") else 1, place)
    return arrays


def _read(stream: IO[bytes] | gzip.GzipFile, dimensions: int, place: str) -> Array:
    header = stream.read(4)
    magic = bytes((0, 0, IDX_UNSIGNED_BYTES, dimensions))
    if header != magic:
        expected = f"the magic number {magic.hex()} (unsigned bytes, {dimensions} axes)"
        raise refuse(place, expected, header.hex() or "nothing")
    shape = struct.unpack(f">{dimensions}I", stream.read(4 * dimensions))
    size = math.prod(shape)
    if size > base.LARGEST_BYTES:
        raise refuse(place, f"at most {base.LARGEST_BYTES} bytes of values", f"a header that claims {shape}")
    content = stream.read(size + 1)
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content)}"
        raise refuse(place, f"{size} bytes of values for shape {shape}", found, AGAIN)
    return np.frombuffer(content, np.uint8).reshape(shape)
