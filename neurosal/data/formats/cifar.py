"""CIFAR-10's binary release: a label byte and 3 × 1024 colour bytes a sample. The pickled release is not read."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.formats import base
from neurosal.data.formats.base import AGAIN, damage, refuse

Array = np.ndarray[Any, Any]
SHAPE = (3, 32, 32)
ROW_BYTES = 1 + 3 * 32 * 32
LARGEST_MEMBERS = 64
LARGEST_BATCH_BYTES = 256 << 20


def read_cifar_files(files: Mapping[str, Path], members: Mapping[str, str]) -> dict[str, Array]:
    """The batches of a folder ``cifar-10-batches-bin``: keys that begin with train, and test."""
    contents = {}
    for key, path in files.items():
        with damage(path, "a batch of CIFAR-10's binary release"):
            _bounded(path.stat().st_size, str(path))
            contents[key] = (str(path), path.read_bytes())
    return _parts(contents)


def read_cifar_archive(files: Mapping[str, Path], members: Mapping[str, str]) -> dict[str, Array]:
    """The same out of ``cifar-10-binary.tar.gz``, without unpacking it into a folder.

    Raises:
        DataError: a batch is missing or damaged, or the archive is not the binary release.
    """
    path = files["archive"]
    wanted = {name: key for key, name in members.items()}
    contents: dict[str, tuple[str, bytes]] = {}
    with damage(path, "a complete tar archive"), tarfile.open(path, "r:*") as archive:
        total = 0
        for count, member in enumerate(archive, start=1):
            total += member.size
            if count > LARGEST_MEMBERS or total > base.LARGEST_BYTES:
                raise refuse(path, f"at most {LARGEST_MEMBERS} files of {base.LARGEST_BYTES} bytes", "more")
            key = wanted.get(Path(member.name).name)
            stream = archive.extractfile(member) if key is not None and member.isreg() else None
            if key is not None and stream is not None:
                place = f"{path}: {member.name}"
                _bounded(member.size, place)
                contents[key] = (place, stream.read())
    missing = [name for name, key in wanted.items() if key not in contents]
    if missing:
        remedy = "The pickled release is not read, because unpickling runs code: take the binary one."
        raise refuse(path, "all batches of CIFAR-10's binary release", f"no {', no '.join(missing)}", remedy)
    return _parts({key: contents[key] for key in members})


def _parts(contents: Mapping[str, tuple[str, bytes]]) -> dict[str, Array]:
    arrays = {}
    for part in ("train", "test"):
        batches = [_batch(*content) for key, content in contents.items() if key.startswith(part)]
        arrays[f"x_{part}"] = _joined(x for x, _ in batches)
        arrays[f"y_{part}"] = _joined(y for _, y in batches)
    return arrays


def _bounded(size: int, place: str) -> None:
    if size > LARGEST_BATCH_BYTES:
        raise refuse(place, f"at most {LARGEST_BATCH_BYTES} bytes", f"{size}")


def _joined(arrays: Iterable[Array]) -> Array:
    return np.concatenate(list(arrays))


def _batch(place: str, content: bytes) -> tuple[Array, Array]:
    if not content or len(content) % ROW_BYTES:
        raise refuse(place, f"samples of {ROW_BYTES} bytes", f"{len(content)} bytes in all", AGAIN)
    rows = np.frombuffer(content, np.uint8).reshape(-1, ROW_BYTES)
    if rows[:, 0].max() > 9:
        raise refuse(place, "labels from 0 to 9", f"{rows[:, 0].max()} at sample {int(rows[:, 0].argmax())}")
    return rows[:, 1:].reshape(-1, *SHAPE), rows[:, 0]
