"""Downloads of upstream files by pooch, only when asked for, kept only when their checksum is the published one."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurosal.data.entry import Entry, File
from neurosal.errors import DataError, Problem

LARGEST_BYTES = 1 << 30
TIMEOUT_S = 30
BLOCK_BYTES = 1 << 16
INSTALL = "pip install 'neurosal[download]'"


def fetch(entry: Entry, folder: Path) -> None:
    """Put the upstream files of a data set into `folder`; published ones that are there already are kept.

    Each file is written aside, compared with its published checksum and renamed, so that neither a download that breaks
    off nor a changed file leaves anything behind.

    Raises:
        DataError: pooch is not installed, no address gives the file, or what came is not the published file.
    """
    layout = entry.download
    assert layout is not None, f"{entry.name} cannot be downloaded"
    try:
        import pooch
    except ImportError:
        expected, found = "the package pooch, which downloads", "not installed"
        place = f"data set {entry.name!r}"
        raise DataError(Problem(place=place, expected=expected, found=found, remedy=f"Do: {INSTALL}")) from None
    pooch.get_logger().setLevel("WARNING")  # the progress bar says what is going on
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "Name a folder for downloads with NEUROSAL_CACHE."
        problem = Problem(place=str(folder), expected="a folder to write to", found=str(error), remedy=remedy)
        raise DataError(problem) from None
    for file in layout.files.values():
        _fetch_file(file, folder)


def _fetch_file(file: File, folder: Path) -> None:
    """From the first of its addresses that gives the published file."""
    problems: list[Problem] = []
    for address in file.urls:
        try:
            _retrieve(file, address, folder)
        except DataError as error:
            problems += error.problems
        else:
            return
    raise DataError(problems)


def _retrieve(file: File, address: str, folder: Path) -> None:
    import pooch
    from requests.exceptions import RequestException

    seen = ""

    def download(url: str, path: str, _: Any) -> None:
        nonlocal seen
        with _bar(file.upstream) as bar:
            # A server that packs a packed file once more would change its checksum.
            get = pooch.HTTPDownloader(
                progressbar=bar, chunk_size=BLOCK_BYTES, timeout=TIMEOUT_S, headers={"Accept-Encoding": "identity"}
            )
            get(url, path, None)
        seen = _checksum(Path(path), file.checksum)
        if file.checksum and seen != file.checksum:
            remedy = "The file was changed or replaced on its way, and was not kept."
            raise _failed(address, f"the published file, {file.checksum}", seen, remedy)

    try:
        pooch.retrieve(address, known_hash=file.checksum or None, fname=file.upstream, path=folder, downloader=download)
    except (RequestException, OSError, ValueError) as error:
        raise _failed(address, "a file to download", " ".join(str(error).split()) or type(error).__name__) from None


def _checksum(path: Path, published: str) -> str:
    """The checksum of a file, of the kind that is published for it."""
    kind = published.partition(":")[0] or "sha256"
    with path.open("rb") as stream:
        return f"{kind}:{hashlib.file_digest(stream, kind).hexdigest()}"


class _Meter:
    """What pooch tells about a download: bounds it, and shows it on a terminal."""

    def __init__(self, name: str, bar: Any) -> None:
        self.total = 0
        self._name, self._bar, self._done = name, bar, 0
        self._task = bar.add_task(name, total=None) if bar is not None else None

    def update(self, count: int) -> None:
        """So many bytes more came (pooch counts whole blocks)."""
        self._done += count
        if max(self.total, self._done - BLOCK_BYTES) > LARGEST_BYTES:
            raise _failed(self._name, f"at most {LARGEST_BYTES} bytes", "more")
        if self._bar is not None:
            self._bar.update(self._task, completed=min(self._done, self.total or self._done), total=self.total or None)

    def reset(self) -> None:
        """All came; pooch then reports the whole once more."""
        self._done = 0

    def close(self) -> None:
        """Nothing is open here."""


@contextmanager
def _bar(name: str) -> Iterator[_Meter]:
    if not sys.stderr.isatty():
        yield _Meter(name, None)
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"), progress.BarColumn(), progress.DownloadColumn(),
        progress.TransferSpeedColumn(), progress.TimeRemainingColumn(),
    )  # fmt: skip
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Meter(name, bar)


def _failed(address: str, expected: str, found: str, remedy: str = "") -> DataError:
    ways = "Try again later, or put the file into a folder yourself and name it with NEUROSAL_DATA."
    return DataError(Problem(place=address, expected=expected, found=found, remedy=f"{remedy} {ways}".strip()))
