"""One array of a store that grows: its chunks on the disk, and their checksums by pages."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.errors import StoreError
from neurosal.record import faults, schema
from neurosal.record.checksums import Key, Log, key_of
from neurosal.record.files import damaged
from neurosal.record.nodes import write_metadata
from neurosal.record.root import Metadata

PAGE_BYTES = 2**12  # rows share a checksum up to this: so much is lost with a damaged byte, at least
WRITE_BYTES = 2**16


class GrowingArray:
    """An array of a store that grows along one axis: axis 1 after `replica`, or axis 0 where there is none.

    Letters: R replicas (1 where the array has no such axis), L rows along the growing axis.
    """

    def __init__(self, root: Path, path: str, metadata: Metadata, log: Log, tails: Sequence[int] = ()) -> None:
        self.path = path
        self.metadata = metadata
        self._log = log
        self._tails = list(tails)  # of the page that is half full: the committed checksum, by replica chunk
        self._running: dict[int, list[int]] = {}  # the same since this process writes, for each replica of the chunk
        self._folder = root / path
        dims = metadata["dimension_names"]
        self.axis = next(axis for axis, dim in enumerate(dims) if dim in schema.GROWING)
        shape, chunk = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"]
        self.dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
        self.replicas = shape[0] if self.axis else 1
        self.rest = tuple(shape[self.axis + 1 :])
        self.chunk_replicas = chunk[0] if self.axis else 1
        self.chunk_rows = chunk[self.axis]
        self.row_bytes = self.dtype.itemsize * math.prod(self.rest)
        self.chunk_bytes = self.chunk_replicas * self.chunk_rows * self.row_bytes
        self.replica_chunks = -(-self.replicas // self.chunk_replicas)
        self.page_rows = max(1, min(self.chunk_rows, PAGE_BYTES // max(self.chunk_replicas * self.row_bytes, 1)))
        self.pages = -(-self.chunk_rows // self.page_rows)  # of a chunk
        self._key = key_of(path)[0]
        self._capacity = shape[self.axis]

    def write(self, start: int, values: np.ndarray[Any, Any]) -> None:
        """Write values [R, rows, ...] at rows `start` and following."""
        rows = values.shape[1]
        if start + rows > self._capacity:
            self._capacity = max(start + rows, 2 * self._capacity, self.chunk_rows)
            self._write_metadata(self._capacity)
        values = np.ascontiguousarray(values, dtype=self.dtype)
        first = start
        while first < start + rows:
            chunk, offset = divmod(first, self.chunk_rows)
            count = min(self.chunk_rows - offset, start + rows - first)
            for replica in range(0, self.replicas, self.chunk_replicas):
                block = values[replica : replica + self.chunk_replicas, first - start : first - start + count]
                self._write_block(self.chunk_file(replica // self.chunk_replicas, chunk), offset, block)
                self._note(replica // self.chunk_replicas, chunk, offset, block)
            first += count

    def _note(self, replica: int, chunk: int, offset: int, block: np.ndarray[Any, Any]) -> None:
        """Take a block that was written at row `offset` of a chunk into the checksums of its pages."""
        done, rows, of = 0, block.shape[1], self._log.checksum.of
        while done < rows:
            part, within = divmod(offset + done, self.page_rows)
            page = chunk * self.pages + part
            if not within and self.row_bytes and (whole := (rows - done) // self.page_rows):
                count = whole * self.page_rows
                sums = self._log.checksum.of_pages(block[:, done : done + count], self.page_rows * self.row_bytes)
                self._log.add_pages(self._key, sums, replica, page)
                done += count
                self._running[replica] = []
                continue
            count = min(self.page_rows - within, self.chunk_rows - offset - done, rows - done)
            sums = self._running_sums(replica, page, within) if within else [0] * len(block)
            sums = [of(one, start) for one, start in zip(block[:, done : done + count], sums, strict=True)]
            done += count
            full = within + count == self.page_length(page)
            if full:
                self._log.add(self._key, self._log.checksum.together(sums), replica, page)
            self._running[replica] = [] if full else sums

    def _running_sums(self, replica: int, page: int, rows: int) -> list[int]:
        """Of the first rows of a page; read from the disk, and held against what was committed, after opening."""
        if not self._running.get(replica):
            found = self.sums(replica, page, rows)
            if self._tails and self._log.checksum.together(found) != self._tails[replica]:
                raise self.altered(replica, page)
            self._running[replica] = found
        return self._running[replica]

    def page_at(self, row: int) -> tuple[int, int]:
        """The page that holds a row, and its place within."""
        chunk, offset = divmod(row, self.chunk_rows)
        part, within = divmod(offset, self.page_rows)
        return chunk * self.pages + part, within

    def page_length(self, page: int) -> int:
        """Rows of a page that is full: the last one of a chunk may be shorter."""
        return min(self.page_rows, self.chunk_rows - page % self.pages * self.page_rows)

    def first_row(self, page: int) -> int:
        """The first row of a page."""
        return page // self.pages * self.chunk_rows + page % self.pages * self.page_rows

    def chunk(self, replica: int, chunk: int) -> np.ndarray[Any, Any]:
        """Bytes of a chunk as they are on the disk [replicas of the chunk, bytes].

        Raises:
            StoreError: for a file of the wrong size. OSError: for one that cannot be read.
        """
        file = self.chunk_file(replica, chunk)
        if (size := file.stat().st_size) != self.chunk_bytes:
            raise damaged(file, f"{self.chunk_bytes} bytes", f"{size} bytes")
        return np.memmap(file, np.uint8, "r").reshape(self.chunk_replicas, -1)

    def sums(self, replica: int, page: int, rows: int, slabs: np.ndarray[Any, Any] | None = None) -> list[int]:
        """Checksums of the first rows of a page as they are on the disk: one for each replica of the chunk.

        Args:
            slabs: the chunk, where it was read before.
        """
        slabs = self.chunk(replica, page // self.pages) if slabs is None else slabs
        begin = page % self.pages * self.page_rows * self.row_bytes
        return [self._log.checksum.of(slab[begin : begin + rows * self.row_bytes]) for slab in slabs]

    def altered(self, replica: int, page: int) -> StoreError:
        """The error for a chunk that does not hold what was written."""
        file = self.chunk_file(replica, page // self.pages)
        return damaged(file, "the values that were recorded", "others (see neurosal doctor)")

    def tails(self, length: int) -> list[int]:
        """Checksums of the page that is half full at that length, by replica chunk; [] where there is none."""
        page, rows = self.page_at(length)
        if not rows:
            return []
        if not self._running and self._tails:
            return self._tails  # nothing was written since it was opened
        parts = range(self.replica_chunks)
        return [self._log.checksum.together(self._running_sums(part, page, rows)) for part in parts]

    def cut(self, length: int, new: int, logged: Mapping[Key, int]) -> None:
        """Go back to a length. A page that the cut goes through is checked before the part that is kept gets its sum.

        Raises:
            StoreError: when it does not hold what was written.
        """
        page, rows = self.page_at(new)
        if new == length or not rows:
            self._tails = self._tails if new == length else []
            self._running = self._running if new == length else {}
            return
        full = self.page_length(page)
        was = min(length - self.first_row(page), full)
        for part in range(self.replica_chunks):
            whole = logged.get((self._key, part, page))
            if was < full:
                running = self._running.get(part)
                known = self._tails[part] if self._tails else None
                whole = self._log.checksum.together(running) if running else known
            if whole is not None and self._log.checksum.together(self.sums(part, page, was)) != whole:
                raise self.altered(part, page)
            self._running[part] = self.sums(part, page, rows)
        self._tails = []

    def chunk_file(self, replica: int, chunk: int) -> Path:
        key = [replica, chunk] if self.axis else [chunk]
        return self._folder / ".".join(["c", *(str(part) for part in key), *("0" for _ in self.rest)])

    def _write_block(self, file: Path, offset: int, block: np.ndarray[Any, Any]) -> None:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if block.shape[1] == self.chunk_rows:
                write_at(descriptor, np.ascontiguousarray(block), 0)
                return
            # zarr reads whole chunks only; what is not written yet takes no place on the disk.
            if os.fstat(descriptor).st_size < self.chunk_bytes:
                os.ftruncate(descriptor, self.chunk_bytes)
            for index, rows in enumerate(block):
                write_at(descriptor, rows, (index * self.chunk_rows + offset) * self.row_bytes)
        finally:
            os.close(descriptor)

    def trim(self, length: int) -> None:
        """Give the array its final shape and drop chunks past it. Comes after the commit of that length."""
        faults.reach(faults.TRIM)
        self._capacity = length
        self._write_metadata(length)
        chunks = -(-length // self.chunk_rows)
        for file in self._folder.iterdir():
            parts = file.name.split(".")
            if parts[0] == "c" and len(parts) > 1 and int(parts[1 + self.axis]) >= chunks:
                file.unlink()

    def with_length(self, length: int) -> Metadata:
        """The metadata with that length."""
        shape = list(self.metadata["shape"])
        shape[self.axis] = length
        return {**self.metadata, "shape": shape}

    def _write_metadata(self, length: int) -> None:
        write_metadata(self._folder, self.with_length(length))


def write_at(descriptor: int, block: np.ndarray[Any, Any], offset: int) -> None:
    """Write a contiguous block at an offset of a file, in pieces: to find memory for a large one some systems take
    ten times as long."""
    view = block.reshape(-1).view(np.uint8).data
    if faults.armed():
        half = len(view) // 2
        offset += _write_all(descriptor, view[:half], offset)
        faults.reach(faults.BLOCK_WRITE)
        view = view[half:]
    _write_all(descriptor, view, offset)


def _write_all(descriptor: int, view: memoryview, offset: int) -> int:
    done = 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done : done + WRITE_BYTES], offset + done)
    return done
