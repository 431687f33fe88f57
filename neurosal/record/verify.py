"""Looking a store over: its metadata, its files and their checksums. Changes nothing; a running store may be looked at.

What is found is a list of `Damage`, each with the rows of its group that can still be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.errors import StoreError
from neurosal.record import schema
from neurosal.record.checksums import Checksum, Key, Log, key_of
from neurosal.record.files import read_json
from neurosal.record.growing import GrowingArray
from neurosal.record.root import ROOT, Metadata, Root, read_root
from neurosal.record.status import check_version
from neurosal.record.store import ENTRIES, TAILS

Progress = Callable[[int], None]  # is told how many bytes more were looked at


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One thing that is wrong with a run.

    Args:
        place: file or folder.
        found: what is wrong there.
        means: what that means for the record.
        kind: what can be done about it: "rows" (cut before them), "fixed" (labels, from a copy), "metadata" (rewritten
            from the root), "root" (the root of the commit before), "log" (summed again), "checkpoint" (put aside),
            "left over" (removed; no damage in itself) or "file" (nothing).
        node: path of the array in the store.
        rows: so many rows of its group are good.
    """

    place: str
    found: str
    means: str
    kind: str
    node: str = ""
    rows: int | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.found}. {self.means}"


@dataclass
class Looked:
    """What was looked at in a store, and what is wrong with it."""

    store: Path
    root: Root | None = None
    damages: list[Damage] = field(default_factory=list)
    chunks: int = 0
    bytes: int = 0
    unsummed: int = 0  # pages without a checksum: an earlier release wrote them

    @property
    def packed(self) -> bool:
        """Whether the store was packed."""
        return self.root is not None and self.root.packed

    @property
    def lengths(self) -> dict[str, int]:
        """Committed length of each group that grows."""
        return {} if self.root is None else lengths_of(self.root)


def growing_axis(node: Metadata) -> int | None:
    """The axis along which an array grows; None for one that does not, and for a group."""
    if node.get("node_type") != "array":
        return None
    return next((axis for axis, dim in enumerate(node["dimension_names"]) if dim in schema.GROWING), None)


def lengths_of(root: Root) -> dict[str, int]:
    """Length of each group that grows; the least where its arrays disagree."""
    found: dict[str, int] = {}
    for path, node in root.nodes.items():
        if (axis := growing_axis(node)) is not None:
            group = path.rpartition("/")[0]
            found[group] = min(found.get(group, node["shape"][axis]), node["shape"][axis])
    return found


def look_over(store: Path, progress: Progress = lambda _: None) -> Looked:
    """Everything that is wrong with the store of one run.

    Args:
        store: the zarr folder.
        progress: called with bytes as they are read.
    """
    looked = Looked(store)
    try:
        root = looked.root = read_root(store / ROOT)
        check_version(root.attributes.get(schema.VERSION_ATTRIBUTE), store / ROOT)
    except StoreError as error:
        looked.root = None
        newer = any("schema" in problem.found for problem in error.problems)
        means = "Another release of neurosal wrote it." if newer else "No reader can open the record."
        looked.damages += [
            Damage(place=problem.place, found=f"expected {problem.expected}, found {problem.found}", means=means,
                   kind="file" if newer else "root")
            for problem in error.problems
        ]  # fmt: skip
        return looked
    try:
        looked.damages += _disagreeing(store, root)
        if not looked.damages:
            looked.damages += _nodes(store, root)
            looked.damages += (_packed_values if root.packed else _values)(store, root, looked, progress)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        looked.damages.append(
            Damage(place=str(store / ROOT), found=f"no metadata of a run ({type(error).__name__}: {error})",
                   means="Readers cannot open the record.", kind="root")
        )  # fmt: skip
    return looked


def _disagreeing(store: Path, root: Root) -> Iterator[Damage]:
    """Groups whose arrays have several lengths."""
    lengths: dict[str, dict[int, str]] = {}
    for path, node in root.nodes.items():
        if (axis := growing_axis(node)) is not None:
            group, _, name = path.rpartition("/")
            lengths.setdefault(group, {})[node["shape"][axis]] = name
    for group, found in lengths.items():
        if len(found) > 1:
            yield Damage(
                place=str(store / ROOT), found=f"arrays of {group} have the lengths {sorted(found)}",
                means="Readers refuse that group, or read values that were never recorded.", kind="root",
            )  # fmt: skip


def _nodes(store: Path, root: Root) -> Iterator[Damage]:
    """Each node's own metadata: readers do not need it while the root's is there, writers and repairs do."""
    means = "Readers take the root's metadata, so nothing is lost; without the root that node cannot be opened."
    for path, node in root.nodes.items():
        place = store / path / ROOT
        try:
            own = read_json(place)
        except StoreError as error:
            yield Damage(place=str(place), found=error.problems[0].found, means=means, kind="metadata", node=path)
            continue
        axis = growing_axis(node)
        expected: Metadata = dict(node)
        if axis is not None and isinstance(own.get("shape"), list) and len(own["shape"]) == len(node["shape"]):
            longer = own["shape"][axis]
            if isinstance(longer, int) and longer >= node["shape"][axis]:  # preallocated while it is written
                expected["shape"] = [*node["shape"][:axis], longer, *node["shape"][axis + 1 :]]
        if own != expected:
            found = ", ".join(sorted(key for key in {*own, *expected} if own.get(key) != expected.get(key)))
            yield Damage(
                place=str(place), found=f"other metadata than the root has ({found})", means=means, kind="metadata",
                node=path,
            )  # fmt: skip


def _values(store: Path, root: Root, looked: Looked, progress: Progress) -> Iterator[Damage]:
    checksum = Checksum(root.sums.get("algorithm", "crc32"), store / ROOT)
    log = Log(store, checksum, int(root.sums.get(ENTRIES, 0)))
    logged, wrong = log.read()
    if wrong:
        yield Damage(
            place=str(log.file), found=f"of {log.committed} checksums {wrong}", kind="log",
            means="The values may be good, but those cannot be verified.",
        )  # fmt: skip
    for path, node in root.nodes.items():
        if node["node_type"] != "array":
            continue
        if growing_axis(node) is None:
            yield from _fixed(store, path, node, logged, checksum, looked)
            continue
        tails = root.sums.get(TAILS, {}).get(path, ())
        array = GrowingArray(store, path, node, log, tails)
        yield from _chunks(array, logged, tails, checksum, looked, progress)


def fixed_file(store: Path, path: str, node: Metadata) -> Path:
    """Where an array that does not grow has its values."""
    separator = node["chunk_key_encoding"]["configuration"]["separator"]
    return store / path / separator.join(["c", *("0" for _ in node["shape"])])


def _fixed(
    store: Path, path: str, node: Metadata, logged: dict[Key, int], checksum: Checksum, looked: Looked
) -> Iterator[Damage]:
    file = fixed_file(store, path, node)
    group, _, name = path.rpartition("/")
    means = f"The labels {name} of {group} cannot be read, or are wrong; its values are not concerned."
    looked.chunks += 1
    try:
        raw = file.read_bytes()
    except OSError as error:
        yield Damage(place=str(file), found=error.strerror or str(error), means=means, kind="fixed", node=path)
        return
    looked.bytes += len(raw)
    noted = logged.get(key_of(path))
    if noted is None:
        looked.unsummed += 1
    elif checksum.of(raw) != noted:
        yield Damage(place=str(file), found="not the bytes that were written", means=means, kind="fixed", node=path)


def _chunks(
    array: GrowingArray, logged: dict[Key, int], tails: Any, checksum: Checksum, looked: Looked, progress: Progress
) -> Iterator[Damage]:
    """Damaged chunks of an array that grows."""
    length = array.metadata["shape"][array.axis]
    for chunk in range(-(-length // array.chunk_rows)):
        whole = [chunk * array.pages, (chunk + 1) * array.pages - 1]
        for part in range(array.replica_chunks):
            looked.chunks += 1
            try:
                slabs = array.chunk(part, chunk)
                bad = _bad_pages(array, part, chunk, slabs, logged, tails, checksum, looked)
            except StoreError as error:
                found, bad = f"{error.problems[0].found} instead of {error.problems[0].expected}", whole
            except OSError as error:
                found, bad = error.strerror or str(error), whole
            else:
                looked.bytes += array.chunk_bytes
                progress(array.chunk_bytes)
                found = "not the values that were recorded"
            if not bad:
                continue
            first = array.first_row(bad[0])
            last = min(length, array.first_row(bad[-1]) + array.page_length(bad[-1])) - 1
            yield Damage(
                place=str(array.chunk_file(part, chunk)), found=found, kind="rows", node=array.path, rows=first,
                means=f"Entries {first} to {last} of {array.path} are wrong or read as missing.",
            )  # fmt: skip


def _bad_pages(
    array: GrowingArray, part: int, chunk: int, slabs: np.ndarray[Any, Any], logged: dict[Key, int], tails: Any,
    checksum: Checksum, looked: Looked,
) -> list[int]:  # fmt: skip
    """Committed pages of a chunk whose checksum is another."""
    length = array.metadata["shape"][array.axis]
    key, bad = key_of(array.path)[0], []
    for page in range(chunk * array.pages, (chunk + 1) * array.pages):
        rows = min(array.page_length(page), length - array.first_row(page))
        if rows <= 0:
            break
        noted = logged.get((key, part, page))
        if rows < array.page_length(page):
            noted = tails[part] if part < len(tails) else None
        if noted is None:
            looked.unsummed += 1
        elif checksum.together(array.sums(part, page, rows, slabs)) != noted:
            bad.append(page)
    return bad


# Packed stores --------------------------------------------------------------------------------------------------------


def _packed_values(store: Path, root: Root, looked: Looked, progress: Progress) -> Iterator[Damage]:
    """zarr's own checksums, which every chunk of a packed store and every index of a shard carries."""
    import zarr

    tree = zarr.open_group(store, mode="r", use_consolidated=True)
    for path, node in root.nodes.items():
        if node["node_type"] != "array":
            continue
        axis = growing_axis(node)
        shape, grid = node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"]
        separator = node["chunk_key_encoding"]["configuration"]["separator"]
        array: Any = tree[path]
        counts = [-(-extent // chunk) for extent, chunk in zip(shape, grid, strict=True)]
        for index in np.ndindex(*counts):
            file = store / path / separator.join(["c", *map(str, index)])
            looked.chunks += 1
            region = tuple(slice(i * c, min((i + 1) * c, e)) for i, c, e in zip(index, grid, shape, strict=True))
            try:
                size = file.stat().st_size
                array[region]  # raises where a checksum is another
                looked.bytes += size
                progress(math.prod(grid) * max(1, np.dtype(array.dtype).itemsize))
                continue
            except OSError as error:
                found = error.strerror or str(error)
            except Exception:  # a damaged shard ends in errors of many kinds, by the codec that meets it first
                found = "not the bytes that were written"
            group, _, name = path.rpartition("/")
            if axis is None:
                means = f"The labels {name} of {group} cannot be read, or are wrong; its values are not concerned."
                yield Damage(place=str(file), found=found, means=means, kind="fixed", node=path)
                continue
            first, last = region[axis].start, region[axis].stop - 1
            means = f"Some of the entries {first} to {last} of {path} cannot be read."
            yield Damage(place=str(file), found=found, means=means, kind="rows", node=path, rows=first)
