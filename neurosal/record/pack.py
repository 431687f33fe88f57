"""Packing a closed store for reading through time: one synapse, or one unit, through all snapshots.

A recording has a snapshot a chunk, so that one synapse through time touches every byte. A packed store has chunks of
128 snapshots of the synapses onto one unit, or a few, in shards, compressed where that pays, with zarr's own checksums.
The new chunks are made aside and moved in under names that the old ones do not have; the replacement of the root's
metadata then makes them the record, as any commit does. Killed before it, the old record opens; after it, the new one.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.errors import Problem, StoreError
from neurosal.record import faults, schema
from neurosal.record.checksums import DEFAULT, LOG_SUFFIX, Checksum, Log
from neurosal.record.files import PARTIAL, store_errors, sync_folder, write_bytes
from neurosal.record.growing import GrowingArray
from neurosal.record.lock import Lock, locked
from neurosal.record.nodes import write_metadata
from neurosal.record.root import PACKED, ROOT, Metadata, Root, previous, read_root, text_of
from neurosal.record.status import read_status
from neurosal.record.verify import fixed_file, growing_axis, look_over

ASIDE_SUFFIX = f".packing{PARTIAL}"
ROWS = 128  # snapshots a chunk: so many are decoded to read one of them
BLOCK_BYTES = 2**19  # a chunk of large rows
SERIES_BYTES = 2**20  # a chunk of small ones: they are read whole
SHARD_BYTES = 2**24  # also bounds the memory that packing takes, to some times this
WORTH = 0.9  # compressed to more than this, the time to decompress is not worth it
SEPARATOR = "/"
NOT_WRITTEN = "a run that no process writes"

Progress = Callable[[int, int], None]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Packed:
    """What packing did to one run: bytes of its store before and after, and which arrays were compressed."""

    folder: Path
    before: int
    after: int
    compressed: tuple[str, ...]


def pack(folder: str | Path, *, out: str | Path | None = None, progress: Progress | None = None) -> list[Packed]:
    """Pack a run, or every arm of an experiment. What is packed already stays as it is.

    Args:
        folder: of the run or experiment.
        out: put a packed copy there and leave the original alone; a new or empty folder.
        progress: called with bytes done and bytes in all, for each run.

    Returns:
        What was done, one entry a run that was packed.

    Raises:
        StoreError: for a run that is being written, is damaged, or (in place) is not at its end.
    """
    folder = Path(folder)
    runs = runs_of(folder)
    for run in runs:
        _refuse(run, in_place=out is None)
    if out is None:
        return [done for run in runs if (done := _pack_run(run, run / schema.STORE, progress)) is not None]
    return _pack_copy(folder, runs, Path(out), progress)


def runs_of(folder: Path) -> list[Path]:
    """The folder of a run itself, or those of all arms of an experiment.

    Raises:
        StoreError: when there is no run.
    """
    if read_status(folder) is None:
        remedy = "Check the path; `neurosal ls` lists the runs below a folder."
        raise StoreError(Problem(place=str(folder), expected="the folder of a run", found="none", remedy=remedy))
    if not (folder / schema.EXPERIMENT_FILE).is_file():
        return [folder]
    arms = folder / schema.ARMS
    return sorted(path for path in arms.iterdir() if read_status(path)) if arms.is_dir() else []


def _refuse(run: Path, *, in_place: bool) -> None:
    status = read_status(run)
    assert status is not None
    if locked(run):
        remedy = "Wait for its end."
        raise StoreError(Problem(place=str(run), expected=NOT_WRITTEN, found="one that is written", remedy=remedy))
    if in_place and not status.finished and not read_root(run / schema.STORE / ROOT).packed:
        remedy = "It could not be resumed any more: bring it to its end with --resume, or pack a copy with --out."
        raise StoreError(
            Problem(place=str(run), expected="a run at its end", found=f"one that is {status.state}", remedy=remedy)
        )


def _pack_copy(folder: Path, runs: Sequence[Path], out: Path, progress: Progress | None) -> list[Packed]:
    with store_errors(out, "write the packed copy there"):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            remedy = "Choose another --out."
            raise StoreError(Problem(place=str(out), expected="a new or empty folder", found="files", remedy=remedy))
        aside = out.with_name(out.name + PARTIAL)
        shutil.rmtree(aside, ignore_errors=True)
        left_out = shutil.ignore_patterns(f"{schema.STORE}*", ".lock", f"*{PARTIAL}")
        shutil.copytree(folder, aside, ignore=left_out)
        done = []
        for run in runs:
            copy = aside / run.relative_to(folder)
            found = _pack_run(run, copy / schema.STORE, progress)
            if found is None:  # packed already
                shutil.copytree(run / schema.STORE, copy / schema.STORE)
            else:
                done.append(Packed(out / run.relative_to(folder), found.before, found.after, found.compressed))
        if out.exists():
            out.rmdir()
        aside.rename(out)
    return done


def _pack_run(run: Path, target: Path, progress: Progress | None) -> Packed | None:
    """Pack a run's store into `target`: its own place, or a new one. None when it was packed before."""
    store = run / schema.STORE
    with store_errors(store, "pack the record"):
        lock = Lock(run) if target == store else None  # a copy may be made of what cannot be written
        try:
            root = read_root(store / ROOT)
            if root.packed:
                if target == store:
                    finish(store, root)
                return None
            looked = look_over(store)
            if wrong := [one for one in looked.damages if one.kind != "left over"]:
                remedy = f"See neurosal doctor {run}, which also repairs."
                raise StoreError(
                    Problem(place=one.place, expected="what was recorded", found=one.found, remedy=remedy)
                    for one in wrong
                )
            aside = target.with_name(target.name + ASIDE_SUFFIX)
            shutil.rmtree(aside, ignore_errors=True)
            before = _size(store)
            nodes, compressed = _write_all(store, root, aside, progress)
            faults.reach(faults.PACK)
            packed = Root(root.attributes, nodes, {PACKED: True})
            if target == store:
                _move_in(aside, store, packed)
            else:
                if read_root(store / ROOT) != root:
                    remedy = "Wait for its end."
                    raise StoreError(
                        Problem(place=str(run), expected=NOT_WRITTEN, found="one that was resumed", remedy=remedy)
                    )
                write_bytes(aside / ROOT, text_of(packed, Checksum(DEFAULT, aside)), durable=True)
                aside.rename(target)
            return Packed(run, before, _size(target), compressed)
        finally:
            if lock is not None:
                lock.release()


def _size(store: Path) -> int:
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file())


# Swapping -------------------------------------------------------------------------------------------------------------


def _move_in(aside: Path, store: Path, packed: Root) -> None:
    """Put the new chunks beside the old ones, commit, and drop the old ones."""
    arrays = [path for path, node in packed.nodes.items() if node["node_type"] == "array"]
    for path in arrays:
        new, place = aside / path / "c", store / path / "c"
        shutil.rmtree(place, ignore_errors=True)  # of a packing that was killed before its commit
        if new.is_dir():
            new.rename(place)
        sync_folder(store / path)
        faults.reach(faults.PACK)
    write_bytes(store / ROOT, text_of(packed, Checksum(DEFAULT, store)), durable=True)
    faults.reach(faults.PACK)
    finish(store, packed)


def finish(store: Path, packed: Root) -> None:
    """Drop what a packed store has no use for: the chunks and the log of the time before. Also where a packing was
    killed after its commit."""
    for path, node in packed.nodes.items():
        if node["node_type"] != "array":
            continue
        write_metadata(store / path, node)
        faults.reach(faults.PACK)
        for file in (store / path).glob("c.*"):
            file.unlink()
    store.with_name(store.name + LOG_SUFFIX).unlink(missing_ok=True)
    write_bytes(previous(store), (store / ROOT).read_bytes())
    shutil.rmtree(store.with_name(store.name + ASIDE_SUFFIX), ignore_errors=True)


def _sync_all(folder: Path) -> None:
    """Wait until everything below a folder is on the disk: the old chunks are about to go."""
    for path, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(Path(path) / name, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(path))


# Writing --------------------------------------------------------------------------------------------------------------


def _write_all(
    store: Path, root: Root, aside: Path, progress: Progress | None
) -> tuple[dict[str, Metadata], tuple[str, ...]]:
    """Write every node of a store anew, into another folder. Returns their metadata and which were compressed."""
    nodes: dict[str, Metadata] = {}
    compressed = []
    total = sum(_bytes_of(node) for node in root.nodes.values()) if progress else 0
    done = 0
    aside.mkdir(parents=True)
    for path, node in root.nodes.items():
        folder = aside / path
        folder.mkdir()
        if node["node_type"] == "group":
            nodes[path] = node
        elif growing_axis(node) is None:
            nodes[path] = _write_fixed(store, path, node, folder)
        else:
            source = GrowingArray(store, path, node, Log(store, Checksum(DEFAULT, store)))
            nodes[path], smaller = _write_growing(source, folder)
            compressed += [path] if smaller else []
        write_metadata(folder, nodes[path])
        if progress:
            done += _bytes_of(node)
            progress(done, total)
    _sync_all(aside)
    return nodes, tuple(compressed)


def _bytes_of(node: Metadata) -> int:
    if growing_axis(node) is None:
        return 0
    return math.prod(node["shape"]) * np.dtype(node["data_type"]).itemsize


def _write_fixed(store: Path, path: str, node: Metadata, folder: Path) -> Metadata:
    """The same bytes, with zarr's checksum behind them."""
    raw = fixed_file(store, path, node).read_bytes()
    new = {**node, "codecs": [*node["codecs"], {"name": "crc32c"}]}
    new["chunk_key_encoding"] = {"name": "default", "configuration": {"separator": SEPARATOR}}
    file = folder.joinpath("c", *("0" for _ in node["shape"]))
    file.parent.mkdir(parents=True)
    file.write_bytes(raw + Checksum("crc32c", file).of(raw).to_bytes(4, "little"))
    return new


def layout(shape: Sequence[int], axis: int, itemsize: int, *, last: bool = False) -> tuple[Shape, Shape]:
    """Chunks and shards of an array that grows along `axis`: blocks through time.

    Args:
        last: keep the last axis (synapses onto one unit) together as far as possible; else blocks have about equal
            extents.

    Example:
        >>> layout((1, 300, 1, 1000, 784), 1, 4, last=True)
        ((1, 128, 1, 1, 784), (1, 128, 1, 41, 784))
        >>> layout((5, 1000), 1, 8)
        ((5, 1000), (5, 1000))
    """
    length = max(shape[axis], 1)
    chunk = [max(extent, 1) for extent in shape]
    row = math.prod(chunk) // length * itemsize
    if row * ROWS <= SERIES_BYTES:
        chunk[axis] = min(length, max(1, SERIES_BYTES // row))
    else:
        chunk[axis] = min(length, ROWS)
        whole, parts = list(chunk), [1] * len(chunk)
        while math.prod(chunk) * itemsize > BLOCK_BYTES:
            others = [other for other in range(len(chunk)) if other != axis]
            if last and max(chunk[other] for other in others[:-1]) > 1:
                others.pop()
            largest = max(others, key=lambda other: chunk[other])
            if chunk[largest] == 1:
                break
            parts[largest] *= 2
            chunk[largest] = -(-whole[largest] // parts[largest])
    shard = list(chunk)
    for other in [*range(len(shape) - 1, axis, -1), *range(axis), axis]:
        fits = SHARD_BYTES // (math.prod(shard) * itemsize)
        needed = -(-max(shape[other], 1) // chunk[other])
        shard[other] = chunk[other] * max(1, min(fits, needed))
        if fits < needed:
            break
    return tuple(chunk), tuple(shard)


def _write_growing(source: GrowingArray, folder: Path) -> tuple[Metadata, bool]:
    """Write one array through time. Returns its metadata, and whether it is compressed."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec, TransposeCodec

    shape = tuple(source.metadata["shape"])
    synapses = source.metadata["dimension_names"][source.axis] == schema.SNAPSHOT
    chunk, shard = layout(shape, source.axis, source.dtype.itemsize, last=synapses and len(shape) > source.axis + 2)
    last = (*(axis for axis in range(len(shape)) if axis != source.axis), source.axis)  # time lies together

    turned = [TransposeCodec(order=last)] if list(last) != sorted(last) else []
    fill = source.metadata["fill_value"]
    fill = float(fill) if isinstance(fill, str) else fill  # NaN

    def make(place: Any, extent: Shape, whole: Shape, squeeze: bool) -> Any:
        options: dict[str, Any] = {"shards": whole} if whole != chunk else {}
        blosc = BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=source.dtype.itemsize)
        return zarr.create_array(
            place, shape=extent, chunks=chunk, dtype=source.dtype, fill_value=fill,
            filters=turned, compressors=[*([blosc] if squeeze else []), Crc32cCodec()],
            chunk_key_encoding={"name": "default", "separator": SEPARATOR}, attributes=source.metadata["attributes"],
            dimension_names=source.metadata["dimension_names"], config={"write_empty_chunks": True}, **options,
        )  # fmt: skip

    squeeze = False
    if shape[source.axis]:
        squeeze = _worth(source, chunk, lambda: make(zarr.storage.MemoryStore(), chunk, chunk, True))
    array = make(folder, shape, shard, squeeze)
    for region in _regions(shape, shard):
        values = _read(source, region)
        array[region] = values
        back = np.asarray(array[region])
        if back.dtype != values.dtype or back.tobytes() != values.tobytes():
            remedy = "Nothing was changed. Check the disk and the memory, and pack again."
            raise StoreError(
                Problem(place=str(folder), expected="the values that were packed", found="others", remedy=remedy)
            )
    written: Metadata = json.loads((folder / ROOT).read_bytes())
    return written, squeeze


def _worth(source: GrowingArray, chunk: Shape, make: Callable[[], Any]) -> bool:
    """Whether compression pays: by the first, a middle and the last chunk."""
    shape = source.metadata["shape"]
    counts = [-(-extent // size) for extent, size in zip(shape, chunk, strict=True)]
    raw = small = 0
    for share in (0.0, 0.5, 1.0):
        starts = [int(share * (count - 1)) * size for count, size in zip(counts, chunk, strict=True)]
        region = tuple(slice(a, min(a + size, e)) for a, size, e in zip(starts, chunk, shape, strict=True))
        values = _read(source, region)
        array = make()
        array[tuple(slice(0, extent) for extent in values.shape)] = values
        raw += values.nbytes
        small += array.nbytes_stored()
    return small <= WORTH * raw


def _regions(shape: Sequence[int], shard: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    yield from product(
        *([slice(a, min(a + size, extent)) for a in range(0, extent, size)]
          for extent, size in zip(shape, shard, strict=True))
    )  # fmt: skip


def _read(source: GrowingArray, region: tuple[slice, ...]) -> np.ndarray[Any, Any]:
    """Values of a region, straight from the chunks' files."""
    rows = region[source.axis]
    parts = region[0] if source.axis else slice(0, 1)
    rest = region[source.axis + 1 :]
    sizes = (parts.stop - parts.start, rows.stop - rows.start, *(one.stop - one.start for one in rest))
    found = np.empty(sizes, source.dtype)
    extents = (source.chunk_replicas, source.chunk_rows, *source.rest)
    for part in range(parts.start // source.chunk_replicas, -(-parts.stop // source.chunk_replicas)):
        base = part * source.chunk_replicas
        low, high = max(parts.start, base), min(parts.stop, base + source.chunk_replicas)
        for number in range(rows.start // source.chunk_rows, -(-rows.stop // source.chunk_rows)):
            begin = number * source.chunk_rows
            first, end = max(rows.start, begin), min(rows.stop, begin + source.chunk_rows)
            values = np.memmap(source.chunk_file(part, number), source.dtype, "r", shape=extents)
            found[low - parts.start : high - parts.start, first - rows.start : end - rows.start] = values[
                (slice(low - base, high - base), slice(first - begin, end - begin), *rest)
            ]
            del values
    return found if source.axis else found[0]
