"""A zarr store (format 3) that grows, and stays readable at its last commit whatever stops the writer.

Each array's own metadata states a preallocated shape that doubles when it is full. The root's metadata holds, inline,
the consolidated metadata of the whole tree with the *committed* shapes; zarr and xarray read that one, for the root and
for any group of it. So a commit is the replacement of one small file, and all groups change together.

Chunks are uncompressed and lie flat in the array's folder. New entries are written in place, only ever past the
committed length: nothing that a reader can see is touched, so a write that is cut short harms nothing, and a chunk that
is half full can be filled later without being copied. This guards against the end of the process at any moment. Against
the loss of power only checkpoints are guarded: they wait for the disk. What damages files later is found by checksums
(see `neurosal.record.checksums`), which are committed together with the lengths.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.errors import Problem, StoreError
from neurosal.record import faults, schema
from neurosal.record.checksums import DEFAULT, LOG_SUFFIX, Checksum, Key, Log, key_of
from neurosal.record.files import PARTIAL, damaged, write_bytes
from neurosal.record.root import ROOT, Root, group_metadata, keep_previous, previous, read_root, text_of
from neurosal.record.status import check_version

CHUNK_BYTES = 2**20  # small things are grouped to this along the growing dimension
UNKNOWN_BYTES = 2**16  # the same where nobody said how many rows to expect: a short record must not look like megabytes
REPLICA_BYTES = 2**26  # a row above this is cut into one chunk a replica
TAILS, ENTRIES = "tails", "entries"

Metadata = dict[str, Any]


class GrowingArray:
    """An array of a store that grows along one axis: axis 1 after `replica`, or axis 0 where there is none.

    Letters: R replicas (1 where the array has no such axis), L rows along the growing axis.
    """

    def __init__(self, root: Path, path: str, metadata: Metadata, log: Log, tails: Sequence[int] = ()) -> None:
        self.path = path
        self.metadata = metadata
        self._log = log
        self._tails = list(tails)  # of the chunk that is half full: the committed checksum, by replica chunk
        self._running: dict[int, list[int]] = {}  # the same since this process writes, row by row of the replica chunk
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
        """Take a block that was written at row `offset` of a chunk into the chunk's checksum."""
        running = self._running_sums(replica, chunk, offset) if offset else [0] * len(block)
        running = [self._log.checksum.of(rows, start) for rows, start in zip(block, running, strict=True)]
        self._running[replica] = running
        if offset + block.shape[1] == self.chunk_rows:
            self._log.add(self.path, self._log.checksum.together(running), replica, chunk)
            self._running[replica] = []

    def _running_sums(self, replica: int, chunk: int, rows: int) -> list[int]:
        """Of the first rows of a chunk; read from the disk, and held against what was committed, after opening."""
        if not self._running.get(replica):
            found = self.sums(replica, chunk, rows)
            if self._tails and self._log.checksum.together(found) != self._tails[replica]:
                raise self.altered(replica, chunk)
            self._running[replica] = found
        return self._running[replica]

    def sums(self, replica: int, chunk: int, rows: int) -> list[int]:
        """Checksums of the first rows of a chunk as they are on the disk: one for each replica in it.

        Raises:
            StoreError: for a file that is too short. OSError: for one that cannot be read.
        """
        file = self.chunk_file(replica, chunk)
        raw = np.fromfile(file, np.uint8)
        if raw.size != self.chunk_bytes:
            raise damaged(file, f"{self.chunk_bytes} bytes", f"{raw.size}")
        slabs = raw.reshape(self.chunk_replicas, self.chunk_rows * self.row_bytes)
        return [self._log.checksum.of(slab[: rows * self.row_bytes]) for slab in slabs]

    def altered(self, replica: int, chunk: int) -> StoreError:
        """The error for a chunk that does not hold what was written."""
        return damaged(self.chunk_file(replica, chunk), "the values that were recorded", "others (see neurosal doctor)")

    def tails(self, length: int) -> list[int]:
        """Checksums of the chunk that is half full at that length, by replica chunk; [] where there is none."""
        chunk, rows = divmod(length, self.chunk_rows)
        if not rows:
            return []
        if not self._running and self._tails:
            return self._tails  # nothing was written since it was opened
        parts = range(self.replica_chunks)
        return [self._log.checksum.together(self._running_sums(part, chunk, rows)) for part in parts]

    def cut(self, length: int, new: int, logged: Mapping[Key, int]) -> None:
        """Go back to a length. A chunk that the cut goes through is checked before the part that is kept gets its sum.

        Raises:
            StoreError: when it does not hold what was written.
        """
        chunk, rows = divmod(new, self.chunk_rows)
        if new == length or not rows:
            self._tails = self._tails if new == length else []
            self._running = {}
            return
        was = min(length - chunk * self.chunk_rows, self.chunk_rows)
        for part in range(self.replica_chunks):
            whole = logged.get(key_of(self.path, part, chunk))
            if was < self.chunk_rows:
                running = self._running.get(part)
                known = self._tails[part] if self._tails else None
                whole = self._log.checksum.together(running) if running else known
            if whole is not None and self._log.checksum.together(self.sums(part, chunk, was)) != whole:
                raise self.altered(part, chunk)
            self._running[part] = self.sums(part, chunk, rows)
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


class Store:
    """The tree of one run on disk, opened for writing by one process."""

    def __init__(self, root: Path, attributes: Mapping[str, Any], sums: Mapping[str, Any] | None = None) -> None:
        self.root = root
        self.attributes = dict(attributes)
        sums = sums or {}
        self._checksum = Checksum(sums.get("algorithm", DEFAULT), root / ROOT)
        self._log = Log(root, self._checksum, int(sums.get(ENTRIES, 0)))
        self._tails: dict[str, list[int]] = dict(sums.get(TAILS, {}))
        self.lengths: dict[str, int] = {}  # by group: rows written, committed with the next commit
        self._nodes: dict[str, Metadata] = {}
        self._growing: dict[str, dict[str, GrowingArray]] = {}
        self._begun = ""  # a group that lacks some of its arrays still, and is in no commit

    @classmethod
    def create(cls, root: Path, attributes: Mapping[str, Any]) -> Store:
        """A new store; what lies there is removed."""
        if root.exists():
            shutil.rmtree(root)
        root.mkdir(parents=True)
        for beside in (previous(root), root.with_name(root.name + LOG_SUFFIX)):
            beside.unlink(missing_ok=True)
        return cls(root, {schema.VERSION_ATTRIBUTE: schema.VERSION, **attributes})

    @classmethod
    def open(cls, root: Path) -> Store:
        """The store as it was committed last.

        Raises:
            StoreError: for a store that is damaged, packed or of another schema.
        """
        path = root / ROOT
        content = read_root(path)
        check_version(content.attributes.get(schema.VERSION_ATTRIBUTE), path)
        if content.packed:
            remedy = "It can only be read; to go on, use the run that it was packed from, or choose another --store."
            raise StoreError(
                Problem(place=str(root), expected="a record that can grow", found="one that was packed", remedy=remedy)
            )
        try:
            store = cls(root, content.attributes, content.sums)
            for name, metadata in content.nodes.items():
                store._add(name, metadata)
            for group, arrays in store._growing.items():
                lengths = {array.metadata["shape"][array.axis] for array in arrays.values()}
                if len(lengths) != 1:
                    raise damaged(path, f"one length of all arrays in {group}", f"{sorted(lengths)}")
                store.lengths[group] = lengths.pop()
        except (KeyError, TypeError, ValueError, StopIteration, AttributeError) as error:
            raise damaged(path, "the metadata of a run", f"{type(error).__name__}: {error}") from None
        return store

    @property
    def groups(self) -> tuple[str, ...]:
        """Paths of the groups that grow."""
        return tuple(self._growing)

    def arrays(self, group: str) -> Mapping[str, GrowingArray]:
        """The growing arrays of a group, by name."""
        return self._growing.get(group, {})

    def has(self, group: str) -> bool:
        """Whether there is such a group."""
        return group in self._nodes

    def metadata(self, path: str) -> Metadata | None:
        """What is stored about a node, or None."""
        return self._nodes.get(path)

    def add_group(self, path: str, attributes: Mapping[str, Any]) -> None:
        """A group, with those above it. What an unfinished attempt left there is removed."""
        folder = self.root / path
        if folder.exists():
            shutil.rmtree(folder)
        parts = path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent not in self._nodes:
                self._write_node(parent, group_metadata({}))
        self._write_node(path, group_metadata(attributes))

    @contextmanager
    def whole(self, path: str) -> Iterator[None]:
        """A group that is in no commit before all within is done: an interruption must not leave half of it."""
        self._begun = path
        yield
        self._begun = ""

    def add_fixed(
        self,
        path: str,
        values: Sequence[Any] | np.ndarray[Any, Any],
        dims: Sequence[str],
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """An array that is written once: text, or numbers."""
        data, dtype, shape = encode(values)
        self._write_node(path, array_metadata(shape, shape, dtype, dims, attributes or {}))
        (self.root / path / ".".join(["c", *("0" for _ in shape)])).write_bytes(data)
        self._log.add(path, self._checksum.of(data))

    def same_fixed(self, path: str, values: Sequence[Any] | np.ndarray[Any, Any], dims: Sequence[str]) -> bool:
        """Whether an array that is written once holds these values."""
        metadata = self._nodes.get(path)
        data, dtype, shape = encode(values)
        file = self.root / path / ".".join(["c", *("0" for _ in shape)])
        described = (metadata or {}).get("dimension_names"), (metadata or {}).get("data_type")
        return described == (list(dims), dtype) and file.is_file() and file.read_bytes() == data

    def add_growing(
        self,
        path: str,
        variable: schema.Variable,
        sizes: Mapping[str, int],
        expected: int | None = None,
    ) -> None:
        """An array that grows.

        Args:
            path: where.
            variable: its dimensions and type.
            sizes: length of each dimension but the growing one.
            expected: how many rows there will probably be; chunks are as large as that allows.
        """
        axis = next(axis for axis, dim in enumerate(variable.dims) if dim in schema.GROWING)
        fixed = [0 if index == axis else sizes[dim] for index, dim in enumerate(variable.dims)]
        row = math.prod(fixed[:axis] + fixed[axis + 1 :]) * np.dtype(variable.dtype).itemsize
        rows = max(1, (UNKNOWN_BYTES if expected is None else CHUNK_BYTES) // max(row, 1))
        rows = rows if expected is None else min(rows, max(expected, 1))
        chunk = list(fixed)
        chunk[axis] = rows
        if axis and row > REPLICA_BYTES:
            chunk[0] = 1
        metadata = array_metadata(fixed, chunk, variable.dtype, variable.dims, variable.attrs)
        self._write_node(path, metadata)

    def write(self, group: str, values: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Write rows past the end of every array of a group, not yet committed.

        Args:
            group: its path.
            values: [R, rows, ...] for each array; [1, rows] for coordinates.
        """
        arrays = self._growing[group]
        assert values.keys() == arrays.keys(), f"{group}: {sorted(values)} instead of {sorted(arrays)}"
        counts = {entry.shape[1] for entry in values.values()}
        assert len(counts) == 1, f"{group}: {counts}"
        start = self.lengths[group]
        for name, array in arrays.items():
            array.write(start, values[name])
        self.lengths[group] = start + counts.pop()

    def commit(self) -> None:
        """Make all that was written visible, in one step."""
        tree, tails = {}, {}
        for path in sorted(self._finished(), key=lambda path: (path.count("/"), path)):
            group, _, name = path.rpartition("/")
            array = self._growing.get(group, {}).get(name)
            tree[path] = array.with_length(self.lengths[group]) if array else self._nodes[path]
            if array and (half := array.tails(self.lengths[group])):
                tails[path] = half
        self._log.flush()
        keep_previous(self.root)
        root = self.root / ROOT
        aside = root.with_name(root.name + PARTIAL)
        sums = {ENTRIES: self._log.committed, TAILS: tails}
        aside.write_bytes(text_of(Root(self.attributes, tree, sums), self._checksum))
        faults.reach(faults.COMMIT)
        aside.replace(root)
        faults.reach(faults.COMMITTED)

    def _finished(self) -> list[str]:
        """Paths of what may be committed: no half group, and none above it that would be empty (a reader looks for the
        members of an empty group on the disk, and would find the half one)."""
        if not self._begun:
            return list(self._nodes)
        whole = [path for path in self._nodes if not f"{path}/".startswith(f"{self._begun}/")]
        above = {path for path in whole if self._begun.startswith(f"{path}/")}
        filled = {path for path in above if any(one.startswith(f"{path}/") for one in whole if one not in above)}
        return [path for path in whole if path not in above or path in filled]

    def rewind(self, lengths: Mapping[str, int]) -> None:
        """Cut every group back to a length (0 where none is given) and commit that.

        Raises:
            StoreError: when the store holds less than that.
        """
        wrong = [
            Problem(place=f"{self.root / group}", expected=f"at least {length} entries",
                    found=str(self.lengths.get(group, 0)),
                    remedy="The store is older than the checkpoint: take both from the same copy.")
            for group, length in lengths.items() if length > self.lengths.get(group, 0)
        ]  # fmt: skip
        if wrong:
            raise StoreError(wrong)
        new = {group: lengths.get(group, 0) for group in self._growing}
        logged, _ = self._log.read()
        full = {}
        for group, arrays in self._growing.items():
            for array in arrays.values():
                array.cut(self.lengths[group], new[group], logged)
                full[key_of(array.path)[0]] = new[group] // array.chunk_rows
        self._log.cut(lambda key: key[2] < full.get(key[0], 1))
        self.lengths = new
        self.commit()

    def trim(self) -> None:
        """Give every array its final shape on disk. Comes after a commit."""
        for group, arrays in self._growing.items():
            for array in arrays.values():
                array.trim(self.lengths[group])
        for left in self.root.rglob(f"*{PARTIAL}"):
            left.unlink(missing_ok=True)
        # A copy by now, no link: what damages the one must not damage the other.
        write_bytes(previous(self.root), (self.root / ROOT).read_bytes())

    def _write_node(self, path: str, metadata: Metadata) -> None:
        folder = self.root / path
        folder.mkdir(exist_ok=True)
        write_metadata(folder, metadata)
        self._add(path, metadata)

    def _add(self, path: str, metadata: Metadata) -> None:
        self._nodes[path] = metadata
        if metadata["node_type"] == "array" and schema.GROWING & set(metadata["dimension_names"]):
            group, _, name = path.rpartition("/")
            self._growing.setdefault(group, {})[name] = GrowingArray(
                self.root, path, metadata, self._log, self._tails.get(path, ())
            )
            self.lengths.setdefault(group, 0)


def write_at(descriptor: int, block: np.ndarray[Any, Any], offset: int) -> None:
    """Write a contiguous block at an offset of a file."""
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
        done += os.pwrite(descriptor, view[done:], offset + done)
    return done


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Replace the metadata of one node."""
    path = folder / ROOT
    aside = path.with_name(path.name + PARTIAL)
    aside.write_text(json.dumps(metadata))
    faults.reach(faults.GROW)
    aside.replace(path)


def array_metadata(
    shape: Sequence[int], chunk: Sequence[int], dtype: str, dims: Iterable[str], attributes: Mapping[str, Any]
) -> Metadata:
    """Metadata of an uncompressed array with its chunks flat in one folder."""
    text = dtype == "string"
    fill: Any = "" if text else {"f": "NaN", "b": False}.get(np.dtype(dtype).kind, 0)
    codec = {"name": "vlen-utf8"} if text else {"name": "bytes", "configuration": {"endian": "little"}}
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [max(extent, 1) for extent in chunk]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": fill,
        "codecs": [codec],
        "attributes": dict(attributes),
        "dimension_names": list(dims),
        "storage_transformers": [],
    }


def encode(values: Sequence[Any] | np.ndarray[Any, Any]) -> tuple[bytes, str, list[int]]:
    """Bytes of a chunk that holds all values, their zarr type and their shape."""
    if all(isinstance(value, str) for value in values) and len(values):
        # Text of any length: fixed-length text has no specification in format 3.
        encoded = [value.encode() for value in values]
        data = struct.pack("<I", len(encoded)) + b"".join(struct.pack("<I", len(entry)) + entry for entry in encoded)
        return data, "string", [len(encoded)]
    array = np.asarray(values)
    assert array.dtype.kind in "iufb", f"numbers or text, found {array.dtype}"
    return array.astype(array.dtype.newbyteorder("<")).tobytes(), array.dtype.name, list(array.shape)
