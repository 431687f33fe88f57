"""Downloads of upstream files, only when asked for. What comes is checked like every other file before it is read."""

from __future__ import annotations

import os
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urljoin

from neurosal.data.catalogue import Entry
from neurosal.errors import DataError, Problem

LARGEST_BYTES = 256 << 20
TIMEOUT_S = 30
BLOCK_BYTES = 1 << 20


def fetch(entry: Entry, folder: Path) -> None:
    """Put the upstream files of a data set into `folder`; those that are there already are kept.

    Raises:
        DataError: it has no upstream address, the network fails, or a file is larger than `LARGEST_BYTES`.
    """
    if not entry.url or not entry.raw_files:
        problem = Problem(place=f"data set {entry.name!r}", expected="an address to download it from", found="none")
        raise DataError(problem)
    folder.mkdir(parents=True, exist_ok=True)
    suffix = ".gz" if entry.raw_format == "idx" else ""
    for file in entry.raw_files.values():
        path = folder / f"{file}{suffix}"
        if not path.exists():
            _fetch_file(urljoin(entry.url, path.name), path)


def _fetch_file(address: str, path: Path) -> None:
    """Written aside and renamed, so that a download that breaks off leaves no file that looks complete."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as target, urllib.request.urlopen(address, timeout=TIMEOUT_S) as source:
            promised = source.headers.get("Content-Length")
            size = 0
            while block := source.read(BLOCK_BYTES):
                size += len(block)
                if size > LARGEST_BYTES:
                    raise _failed(address, f"at most {LARGEST_BYTES} bytes", "more")
                target.write(block)
        if promised is not None and size != int(promised):
            raise _failed(address, f"{promised} bytes", f"{size}: the connection broke off")
        Path(aside).replace(path)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise _failed(address, "a file to download", str(error) or type(error).__name__) from None
    finally:
        Path(aside).unlink(missing_ok=True)


def _failed(address: str, expected: str, found: str) -> DataError:
    remedy = "Try again later, or put the file into a folder yourself and name it with NEUROSAL_DATA."
    return DataError(Problem(place=address, expected=expected, found=found, remedy=remedy))
