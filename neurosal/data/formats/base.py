"""What all readers share: bounds, streams that are unpacked while they are read, and the error for a damaged file.

Nothing that is read is executed, and no size in a file is believed before it was checked. Every reader raises
`DataError` with the file as place and never anything else, however the file is damaged.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from neurosal.errors import DataError, Problem

Array = np.ndarray[Any, Any]

LARGEST_BYTES = 4 << 30
LARGEST_TEXT_BYTES = 256 << 20
SHOWN_LINES = 8
AGAIN = "Fetch the file again."
# What the parsers let through when a file is cut off, not what its name says, encrypted or made to do harm.
DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, struct.error,
    tokenize.TokenError, EOFError, OSError, ValueError, TypeError, KeyError, SyntaxError, NotImplementedError,
    RuntimeError, OverflowError,
)  # fmt: skip


def refuse(path: Path | str, expected: str, found: str, remedy: str = "") -> DataError:
    """The error for a file that cannot be read."""
    return DataError(Problem(place=str(path), expected=expected, found=found, remedy=remedy))


def reason(error: BaseException) -> str:
    """An exception as found, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


@contextmanager
def damage(path: Path | str, expected: str) -> Iterator[None]:
    """Whatever a parser lets through becomes the error for this file."""
    try:
        yield
    except DAMAGE as error:
        raise refuse(path, expected, reason(error), AGAIN) from None


@contextmanager
def unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, gzipped, bzipped or plain, whatever its name says."""
    with path.open("rb") as probe:
        start = probe.read(3)
    opener: Any = gzip.open if start[:2] == b"\x1f\x8b" else bz2.open if start == b"BZh" else open
    with opener(path, "rb") as stream:
        yield stream


def read_lines(path: Path) -> list[str]:
    """Lines of a text file, packed or not, of at most `LARGEST_TEXT_BYTES`.

    Raises:
        DataError: damaged, too large or no plain text.
    """
    with damage(path, "a text file of numbers"), unpacked(path) as stream:
        content = stream.read(LARGEST_TEXT_BYTES + 1)
        if len(content) > LARGEST_TEXT_BYTES:
            raise refuse(path, f"at most {LARGEST_TEXT_BYTES} bytes of text", "more")
        return content.decode("ascii").splitlines()


def wrong_lines(path: Path, problems: list[tuple[int, str]], expected: str) -> DataError:
    """The first lines that are not as they should be, and how many more there are."""
    listed = [
        Problem(place=f"{path}, line {number}", expected=expected, found=found)
        for number, found in problems[:SHOWN_LINES]
    ]
    more = len(problems) - SHOWN_LINES
    if more > 0:
        listed.append(Problem(place=str(path), expected="no further line like these", found=f"{more} more"))
    return DataError(listed)
