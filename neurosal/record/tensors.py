"""Tensors in one safetensors file, written and read piece by piece: no second copy of them is ever in memory.

The file is what every reader of safetensors knows: eight bytes with the length of a JSON header, the header, then the
bytes of each tensor one after the other. Ours is written straight from where the tensors lie; tensors that lie
otherwise (turned, on a GPU) go through one piece of them at a time. `TensorFile` maps the file into memory, or reads a
tensor straight into storage that is there.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from neurosal.record import faults
from neurosal.record.checksums import DEFAULT, Checksum

Array = np.ndarray[Any, Any]

TYPES: dict[str, str] = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16", "uint32": "U32",
    "int32": "I32", "float32": "F32", "uint64": "U64", "int64": "I64", "float64": "F64",
}  # fmt: skip
NAMES = {code: name for name, code in TYPES.items()}
METADATA = "__metadata__"
MAX_HEADER = 100_000_000  # as other readers of this format have it
WRITTEN = 1 << 23  # bytes that are checked and written together
MOVED = 1 << 26  # bytes of a tensor that goes through host memory at a time
HALVES = 1 << 10  # the same, where a test watches the writing


def type_of(tensor: Any) -> str:
    """Name of the type of an array or a torch tensor."""
    return str(tensor.dtype).removeprefix("torch.")


def bytes_of(tensor: Any) -> int:
    """Bytes that an array or a torch tensor takes in a file."""
    return math.prod(tensor.shape) * np.dtype(type_of(tensor)).itemsize


def copy_of(tensor: Any) -> Array:
    """An array or a torch tensor as an array of its own."""
    return np.array(tensor if isinstance(tensor, np.ndarray) else tensor.detach().cpu().numpy())


def write_tensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> int:
    """Write arrays or torch tensors into a new file; returns the checksum of all of it.

    Raises:
        OSError: when the system refuses. TypeError: for a type that the format does not have.
    """
    # The largest types first: each tensor then begins where its type may stand in memory.
    names = sorted(tensors, key=lambda name: (-np.dtype(type_of(tensors[name])).itemsize, name))
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + bytes_of(tensor)
        header[name] = {
            "dtype": TYPES[type_of(tensor)], "shape": list(map(int, tensor.shape)), "data_offsets": [start, end],
        }  # fmt: skip
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    checksum = Checksum(DEFAULT, path)
    total = 0
    with path.open("wb", buffering=0) as file:
        for data in (len(text).to_bytes(8, "little") + text,):
            total = checksum.of(data, total)
            _write(file, memoryview(data))
        for name in names:
            for piece in _pieces(tensors[name]):
                flat, size = piece.reshape(-1).view(np.uint8), HALVES if faults.armed() else WRITTEN
                for begin in range(0, len(flat), size):
                    total = checksum.of(flat[begin : begin + size], total)
                    _write(file, flat[begin : begin + size].data)
                    faults.reach(faults.CHECKPOINT_TENSORS)
    return total


def _write(file: Any, data: memoryview) -> None:
    done = 0
    while done < len(data):
        done += file.write(data[done:])


def _pieces(tensor: Any) -> Iterator[Array]:
    """Contiguous arrays that make up a tensor, in order."""
    if not isinstance(tensor, np.ndarray):
        if tensor.device.type != "cpu" and tensor.dim() and bytes_of(tensor) > MOVED:
            for part in tensor:
                yield from _pieces(part)
            return
        tensor = tensor.detach().cpu().numpy()
    if tensor.flags.c_contiguous or not tensor.ndim or tensor.nbytes <= MOVED:
        yield np.asarray(tensor, order="C")  # np.ascontiguousarray would give arrays without axes one
        return
    for part in tensor:
        yield from _pieces(part)


class TensorFile(Mapping[str, Array]):
    """The tensors of a file by name, mapped into memory: read when they are looked at, and never written back.

    Attributes:
        metadata: what stands beside the tensors.

    Raises:
        ValueError: for a file that is none, or was cut off. OSError: when the system refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(_exactly(file, 8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ValueError(f"a header of {length} bytes in a file of {size}")
            header = json.loads(_exactly(file, length))
        if not isinstance(header, dict):
            raise ValueError("a header that is no mapping")
        self._start = 8 + length
        self.metadata: dict[str, str] = header.pop(METADATA, None) or {}
        self._entries = {name: _entry(name, entry) for name, entry in header.items()}
        end = 0
        for first, last in sorted((entry[2], entry[3]) for entry in self._entries.values()):
            if first != end:
                raise ValueError(f"tensors that begin at byte {first} where {end} was expected")
            end = last
        if self._start + end != size:
            raise ValueError(f"{size} bytes where {self._start + end} were expected")

    def __getitem__(self, name: str) -> Array:
        dtype, shape, first, last = self._entries[name]
        if first == last:
            return np.zeros(shape, dtype)
        return np.memmap(self.path, dtype, mode="c", offset=self._start + first, shape=shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Axes of a tensor, without a look at it."""
        return self._entries[name][1]

    def type(self, name: str) -> str:
        """Name of the type of a tensor."""
        return self._entries[name][0].name

    def read_into(self, name: str, storage: Array) -> None:
        """Read a tensor straight into a contiguous array of its type and size."""
        dtype, shape, first, _ = self._entries[name]
        assert (storage.dtype, storage.shape, storage.flags.c_contiguous) == (dtype, shape, True), name
        with self.path.open("rb", buffering=0) as file:
            file.seek(self._start + first)
            target, done = storage.reshape(-1).view(np.uint8).data, 0
            while done < len(target):
                count = file.readinto(target[done:])
                if not count:
                    raise ValueError(f"{self.path} ends within {name!r}")
                done += count


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError(f"{len(data)} bytes where {count} were expected")
    return data


def _entry(name: str, entry: Any) -> tuple[np.dtype[Any], tuple[int, ...], int, int]:
    """Type, shape, first byte and the one after the last."""
    try:
        dtype, shape = np.dtype(NAMES[entry["dtype"]]), tuple(entry["shape"])
        first, last = entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"an entry for {name!r} that says no type, shape and place") from None
    numbers = [*shape, first, last]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError(f"an entry for {name!r} with {numbers}")
    if last - first != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{last - first} bytes for {name!r} of shape {list(shape)}")
    return dtype, shape, first, last
