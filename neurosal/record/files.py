"""Small files of a run folder: written aside and renamed, so that a reader never meets half of one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from neurosal.errors import Problem, StoreError
from neurosal.graph.files import read_yaml, to_yaml

PARTIAL = ".partial"
MAX_JSON_BYTES = 256 * 2**20  # far above what a run writes; a file beyond it is not ours
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def store_errors(place: Path, doing: str) -> Iterator[None]:
    """Turn what the file system refuses into a `StoreError` that says what to do."""
    try:
        yield
    except OSError as error:
        where = error.filename if isinstance(error.filename, str) else str(place)
        if error.errno in _NO_SPACE:
            remedy = "Free some space and run again with --resume: what was committed before is intact."
        elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
            remedy = "Give yourself the right to write there, or choose another --store."
        elif isinstance(error, FileNotFoundError):
            remedy = "It was moved or removed meanwhile: put it back and use --resume, or choose another --store."
        elif isinstance(error, (NotADirectoryError, FileExistsError)):
            remedy = "Choose a --store below a folder."
        else:
            remedy = "Check the disk, or choose another --store."
        raise StoreError(
            Problem(place=where, expected=f"to be able to {doing}", found=error.strerror or str(error), remedy=remedy)
        ) from error


def write_bytes(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Replace a file in one step. `durable` waits until the bytes are on the disk."""
    aside = path.with_name(path.name + PARTIAL)
    try:
        with aside.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)  # half of a file is of no use, and takes place on a full disk
        raise
    if durable:
        sync_folder(path.parent)


def write_over(path: Path, data: bytes) -> None:
    """Write a small file over itself: for a disk that has no place for a second one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Mapping[str, Any], *, durable: bool = False) -> None:
    """Write a mapping as JSON for people to read."""
    write_bytes(path, json_bytes(content), durable=durable)


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """A mapping as JSON for people to read."""
    return (json.dumps(content, indent=2) + "\n").encode()


def read_json(path: Path) -> dict[str, Any]:
    """A mapping from a JSON file.

    Raises:
        StoreError: for a file that is absent, unreadable, no JSON or no mapping.
    """
    with store_errors(path, "read it"):
        if path.stat().st_size > MAX_JSON_BYTES:
            raise damaged(path, f"at most {MAX_JSON_BYTES} bytes", f"{path.stat().st_size} bytes")
        raw = path.read_bytes()
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise damaged(path, "JSON", str(error)) from None
    if not isinstance(content, dict):
        raise damaged(path, "a mapping", type(content).__name__)
    return content


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as YAML."""
    write_bytes(path, to_yaml(dict(content)).encode())


def read_yaml_file(path: Path) -> dict[str, Any]:
    """A mapping from a YAML file of a run.

    Raises:
        StoreError: for a file that is absent, unreadable or damaged.
    """
    content = read_yaml(path, error=StoreError).data
    if not isinstance(content, dict):
        raise damaged(path, "a mapping", type(content).__name__)
    return content


def damaged(path: Path, expected: str, found: str) -> StoreError:
    """The error for a file of a run that does not hold what was written there."""
    remedy = "The run is damaged there: take the file from a copy, or run again with another --store."
    return StoreError(Problem(place=str(path), expected=expected, found=found, remedy=remedy))
