"""Records that are larger than memory: their large arrays become dask arrays, of which xarray computes block by block.

Smaller records stay plain: a dask graph costs about a millisecond a block, which they do not need.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING
from uuid import uuid4

from neurosal.record import schema

if TYPE_CHECKING:
    import xarray

LARGE = 2**24  # bytes from which an array of a large record is worth blocks
BLOCK = 2**26  # bytes of a block


def memory_limit() -> int:
    """Bytes above which a record is opened in blocks where nobody says otherwise: half of this machine's memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):  # a system that does not tell
        return 2**32


def too_large(tree: xarray.DataTree, above: int | None = None) -> bool:
    """Whether a record is to be opened in blocks: it is large, and dask is installed.

    Args:
        above: bytes of a record above which it is; None is half of the memory.
    """
    limit = memory_limit() if above is None else above
    total = sum(array.nbytes for node in tree.subtree for array in node.to_dataset(inherit=False).data_vars.values())
    return total > limit and find_spec("dask") is not None


def in_blocks(tree: xarray.DataTree) -> xarray.DataTree:
    """The same record with its large arrays as dask arrays.

    Blocks are whole chunks of the store along the growing dimension, about 64 MB each: none is read twice.

    Args:
        tree: opened lazily.
    """
    datasets = {node.path: _blocked(node.to_dataset(inherit=False)) for node in tree.subtree}
    blocked = type(tree).from_dict(datasets, name=tree.name)
    blocked.attrs = dict(tree.attrs)
    return blocked


def _blocked(dataset: xarray.Dataset) -> xarray.Dataset:
    for name, array in dataset.data_vars.items():
        growing = next((dim for dim in array.dims if dim in schema.GROWING), None)
        if growing is None or array.nbytes <= LARGE:
            continue
        stored = (array.encoding.get("preferred_chunks") or {}).get(growing, 1)
        row = array.nbytes // array.sizes[growing]
        rows = max(1, BLOCK // max(row * stored, 1)) * stored
        # Its own name: without one dask looks at the data to find one.
        blocks = array.variable.chunk({growing: rows}, name=f"{name}-{uuid4().hex}")
        dataset = dataset.assign({name: (array.dims, blocks.data, array.attrs)})
    return dataset
