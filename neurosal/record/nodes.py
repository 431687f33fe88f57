"""Metadata of single nodes of a store, and the bytes of arrays that are written once."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.record import faults
from neurosal.record.files import PARTIAL
from neurosal.record.root import ROOT, Metadata


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
