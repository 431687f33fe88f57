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

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.errors import Problem, StoreError
from neurosal.record import faults, schema
from neurosal.record.checksums import DEFAULT, LOG_SUFFIX, Checksum, Log, key_of
from neurosal.record.files import PARTIAL, damaged, write_bytes
from neurosal.record.growing import GrowingArray
from neurosal.record.nodes import array_metadata, encode, write_metadata
from neurosal.record.root import ROOT, Metadata, Root, group_metadata, keep_previous, previous, read_root, text_of
from neurosal.record.status import check_version

CHUNK_BYTES = 2**20  # small things are grouped to this along the growing dimension
UNKNOWN_BYTES = 2**16  # the same where nobody said how many rows to expect: a short record must not look like megabytes
REPLICA_BYTES = 2**26  # a row above this is cut into one chunk a replica
TAILS, ENTRIES = "tails", "entries"


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
        self._log.add(key_of(path)[0], self._checksum.of(data))

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
                full[key_of(array.path)[0]] = array.page_at(new[group])[0]
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
