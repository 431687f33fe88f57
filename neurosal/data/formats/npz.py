"""Arrays of numpy in a zip archive, without pickle."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from neurosal.data.formats import base
from neurosal.data.formats.base import AGAIN, DAMAGE, reason, refuse

Array = np.ndarray[Any, Any]
LARGEST_MEMBERS = 64


def read_npz(path: Path) -> dict[str, Array]:
    """All arrays of an ``.npz`` file.

    Raises:
        DataError: the file is cut off, is no npz, holds pickled objects, or claims more than `base.LARGEST_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > LARGEST_MEMBERS:
                raise refuse(path, f"at most {LARGEST_MEMBERS} arrays", f"{len(members)}")
            total = sum(member.file_size for member in members)
            if total > base.LARGEST_BYTES:
                raise refuse(path, f"at most {base.LARGEST_BYTES} bytes when unpacked", f"{total} bytes")
            arrays = {}
            for member in members:
                with archive.open(member) as stream:
                    arrays[member.filename.removesuffix(".npy")] = _read_npy(path, member, stream)
            return arrays
    except DAMAGE as error:
        raise refuse(path, "a complete npz file of plain arrays", reason(error), AGAIN) from None


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


def read_npz_files(files: Mapping[str, Path], members: Mapping[str, str]) -> dict[str, Array]:
    """One file an array, each with that array alone.

    Raises:
        DataError: a file is damaged, or holds several arrays.
    """
    arrays = {}
    for key, path in files.items():
        found = read_npz(path)
        if len(found) != 1:
            raise refuse(path, "one array", ", ".join(found) or "none")
        arrays[key] = next(iter(found.values()))
    return arrays
