"""Checksums of what was recorded: of every committed value, of the metadata, and of the small files of a run.

Rows of a chunk share a checksum by pages of 4 KB; larger rows have one each. Chunks are filled in place, so the
checksum of a page changes until it is full. One that is full gets an entry of 24 bytes in a log beside the store
(``store.zarr.checksums``), which only grows; the running checksums of pages that are half full, and how many entries of
the log count, stand in the root's metadata. So the commit that replaces that one file commits checksums together with
lengths. Where one page has several entries (it was cut and filled again) the last counts.

The checksum of a page is that of the checksums of each replica's rows, because a replica's rows are what lies together
on the disk: a page that grows never has to be read again.
"""

from __future__ import annotations

import json
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.errors import Problem, StoreError
from neurosal.record.files import damaged, read_json, write_json

LOG_SUFFIX = ".checksums"
SUMS_FILE = "checksums.json"
CRC32C, CRC32 = "crc32c", "crc32"
ENTRY = np.dtype([("path", "<u8"), ("replica", "<u4"), ("page", "<u4"), ("sum", "<u4"), ("own", "<u4")])
_FIELDS = struct.Struct("<QIII")
_OWN = ENTRY.itemsize - 4  # an entry's own checksum is that of the bytes before it
PIECE = 2**18  # a checksum is computed in such pieces: other threads may run in between
READ = 2**22  # bytes of a file that are read together

Bytes = np.ndarray[Any, Any]
Sum = Callable[..., int]
Key = tuple[int, int, int]  # path, replica chunk, page along the growing axis


def _crc32c() -> tuple[Sum | None, bool]:
    """The CRC-32C that zarr brings along, and whether it is the fast one (some GB/s)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where only its slow form is there
        try:
            import google_crc32c
        except ImportError:  # pragma: no cover - zarr needs it
            return None, False
    return (lambda data, start=0: int(google_crc32c.extend(start, data))), google_crc32c.implementation == "c"


_extend, _fast = _crc32c()
ALGORITHMS: dict[str, Sum] = {CRC32: lambda data, start=0: zlib.crc32(data, start)}
if _extend is not None:
    ALGORITHMS[CRC32C] = _extend
DEFAULT = CRC32C if _fast else CRC32


class Checksum:
    """One algorithm, by the name that a store gives it.

    Raises:
        StoreError: for an unknown name.
    """

    def __init__(self, name: Any, place: Path) -> None:
        if name not in ALGORITHMS:
            raise damaged(place, f"checksums by {' or '.join(ALGORITHMS)}", repr(name))
        self.name: str = name
        self._extend = ALGORITHMS[name]

    def of(self, data: np.ndarray[Any, Any] | bytes, start: int = 0) -> int:
        """Checksum of a contiguous array or of bytes, going on from that of what came before."""
        if isinstance(data, bytes) or data.nbytes <= PIECE:
            return self._extend(data, start)
        flat = data.reshape(-1).view(np.uint8)
        for begin in range(0, len(flat), PIECE):
            start = self._extend(flat[begin : begin + PIECE], start)
        return start

    def of_pages(self, block: Bytes, page: int) -> list[int]:
        """Checksum of each page of some replicas' rows, [replicas, rows, ...], each contiguous, of whole pages.

        Args:
            page: bytes of one, of one replica.
        """
        of = self._extend if page <= PIECE else self.of
        rows = [[of(part, 0) for part in one.reshape(-1).view(np.uint8).reshape(-1, page)] for one in block]
        together = np.array(rows, dtype="<u4").T.tobytes()
        size = 4 * len(rows)
        return [of(together[at : at + size], 0) for at in range(0, len(together), size)]

    def of_file(self, path: Path) -> int:
        """Checksum of a file, read in pieces."""
        total = 0
        with path.open("rb") as file:
            while data := file.read(READ):
                total = self._extend(data, total)
        return total

    def together(self, sums: Sequence[int]) -> int:
        """One checksum of several."""
        return self._extend(np.array(sums, dtype="<u4").tobytes(), 0)


def key_of(path: str, replica: int = 0, page: int = 0) -> Key:
    """How the log calls a page."""
    return int.from_bytes(blake2b(path.encode(), digest_size=8).digest(), "little"), replica, page


class Log:
    """The log of full pages beside a store. Entries count once they are committed."""

    def __init__(self, root: Path, checksum: Checksum, committed: int = 0) -> None:
        self.file = root.with_name(root.name + LOG_SUFFIX)
        self.committed = committed
        self.checksum = checksum
        self._new = bytearray()

    def add(self, path: int, total: int, replica: int = 0, page: int = 0) -> None:
        """Note a full page, or a file that is written once; `path` is the first part of its key."""
        entry = _FIELDS.pack(path, replica, page, total)
        self._new += entry + self.checksum.of(entry).to_bytes(4, "little")

    def add_pages(self, path: int, totals: Iterable[int], replica: int, page: int) -> None:
        """Note full pages one after the other."""
        pack, of = _FIELDS.pack, self.checksum.of
        entries = [pack(path, replica, number, total) for number, total in enumerate(totals, page)]
        self._new += b"".join([entry + of(entry).to_bytes(4, "little") for entry in entries])

    def flush(self) -> None:
        """Write what is new past what is committed. The commit must follow."""
        if not self._new:
            return
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            done, offset = 0, self.committed * ENTRY.itemsize
            while done < len(self._new):
                done += os.pwrite(descriptor, self._new[done:], offset + done)
        finally:
            os.close(descriptor)
        self.committed += len(self._new) // ENTRY.itemsize
        self._new.clear()

    def read(self) -> tuple[dict[Key, int], str]:
        """The committed entries, the last of each page, and what is wrong with the log ("" where nothing is)."""
        raw = b""
        with suppress(OSError):
            raw = self.file.read_bytes()[: self.committed * ENTRY.itemsize]
        entries = np.frombuffer(raw[: len(raw) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)
        found: dict[Key, int] = {}
        bad = self.committed - len(entries)
        for entry in entries:
            if self.checksum.of(entry.tobytes()[:_OWN]) != int(entry["own"]):
                bad += 1
                continue
            found[int(entry["path"]), int(entry["replica"]), int(entry["page"])] = int(entry["sum"])
        return found, f"{bad} of them missing or damaged" if bad else ""

    def cut(self, keep: Callable[[Key], bool]) -> None:
        """Drop the last entries, up to one that is kept. What stays before it is superseded when it is refilled."""
        raw = self.file.read_bytes()[: self.committed * ENTRY.itemsize] if self.committed else b""
        entries = np.frombuffer(raw[: len(raw) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)
        kept = len(entries)
        while kept and not keep((int(entries[kept - 1]["path"]), int(entries[kept - 1]["replica"]),
                                 int(entries[kept - 1]["page"]))):  # fmt: skip
            kept -= 1
        self.committed = min(self.committed, kept)
        self._new.clear()


# Small files ---------------------------------------------------------------------------------------------------------


def write_sums(
    folder: Path, names: Iterable[str], *, durable: bool = False, known: Mapping[str, int] | None = None
) -> None:
    """Note the checksums of files of a folder that do not change any more, in `checksums.json`. Those that are `known`
    from the writing are not read again."""
    checksum, known = Checksum(DEFAULT, folder), known or {}
    files = {
        name: f"{known[name] if name in known else checksum.of_file(folder / name):08x}"
        for name in names
        if (folder / name).is_file()
    }
    content: dict[str, Any] = {"algorithm": checksum.name, "files": files}
    content["own"] = _own(checksum, content)
    write_json(folder / SUMS_FILE, content, durable=durable)


def _own(checksum: Checksum, content: Mapping[str, Any]) -> str:
    listed = {name: entry for name, entry in content.items() if name != "own"}
    return f"{checksum.of(json.dumps(listed, sort_keys=True).encode()):08x}"


def wrong_files(folder: Path) -> Iterator[Problem]:
    """What is wrong with the files that `checksums.json` lists; nothing where there is no such list."""
    path = folder / SUMS_FILE
    if not path.exists():
        return
    try:
        content = read_json(path)
        checksum = Checksum(content.get("algorithm"), path)
        files = content.get("files")
        if not isinstance(files, dict) or content.get("own") != _own(checksum, content):
            raise damaged(path, "the checksums that were written", "others")
    except StoreError as error:
        yield from error.problems
        return
    for name, noted in files.items():
        try:
            total, size = f"{checksum.of_file(folder / name):08x}", (folder / name).stat().st_size
        except OSError as error:
            yield Problem(place=str(folder / name), expected="a readable file", found=error.strerror or str(error))
            continue
        if total != noted:
            yield Problem(
                place=str(folder / name), expected=f"the file that was written ({checksum.name} {noted})",
                found=f"{size} bytes with {total}",
            )  # fmt: skip
