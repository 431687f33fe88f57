"""The root's metadata: the one file whose replacement is the commit. It carries the checksum of its own bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurosal.record import schema
from neurosal.record.checksums import Checksum
from neurosal.record.files import MAX_JSON_BYTES, PARTIAL, damaged, store_errors
from neurosal.record.status import check_version

ROOT = "zarr.json"
PREVIOUS_SUFFIX = ".previous.json"  # beside the store: the root of the commit before
SUMS = "neurosal_checksums"  # within the consolidated metadata, where zarr does not look and xarray shows nothing
PACKED = "packed"
_NO_SUM = "00000000"
_END = '"}}}'  # after the checksum of the file itself, which is its last entry

Metadata = dict[str, Any]


@dataclass(frozen=True)
class Root:
    """What a root's metadata says.

    Args:
        attributes: of the root group.
        nodes: path → metadata of every group and array, with the committed shapes.
        sums: the algorithm of the checksums, how many entries of the log count, and the sums of half-full chunks;
            empty for a store that has none.
    """

    attributes: Metadata
    nodes: dict[str, Metadata]
    sums: Metadata = field(default_factory=dict)

    @property
    def packed(self) -> bool:
        """Whether the store was packed: chunks are as zarr wrote them, and nothing can be added."""
        return bool(self.sums.get(PACKED))


def group_metadata(attributes: Mapping[str, Any]) -> Metadata:
    """Metadata of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def previous(root: Path) -> Path:
    """Where the root of the commit before lies, for the store at `root`."""
    return root.with_name(root.name + PREVIOUS_SUFFIX)


def text_of(content: Root, checksum: Checksum) -> bytes:
    """The file, sealed."""
    whole = group_metadata(content.attributes)
    sums = {name: entry for name, entry in content.sums.items() if name not in ("algorithm", "own")}
    whole["consolidated_metadata"] = {
        "kind": "inline", "must_understand": False, "metadata": content.nodes,
        SUMS: {"algorithm": checksum.name, **sums, "own": _NO_SUM},
    }  # fmt: skip
    raw = json.dumps(whole).encode()
    assert raw.endswith(f"{_NO_SUM}{_END}".encode())
    return raw[: -len(_NO_SUM + _END)] + f"{checksum.of(raw):08x}{_END}".encode()


def read_root(path: Path) -> Root:
    """Read a root and hold it against its own checksum. One without any (of an earlier release) is taken as it is.

    Raises:
        StoreError: for a file that is absent, unreadable, or not what was written.
    """
    with store_errors(path, "read it"):
        if path.stat().st_size > MAX_JSON_BYTES:
            raise damaged(path, f"at most {MAX_JSON_BYTES} bytes", f"{path.stat().st_size} bytes")
        raw = path.read_bytes()
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise damaged(path, "JSON", str(error)) from None
    try:
        consolidated = content["consolidated_metadata"]
        nodes = dict(consolidated["metadata"])
        sums = dict(consolidated.get(SUMS, {}))
        found = Root(dict(content["attributes"]), nodes, sums)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, "the metadata of a run", f"{type(error).__name__}: {error}") from None
    own = raw[-len(_NO_SUM + _END) : -len(_END)]
    if SUMS in consolidated or raw[: -len(_NO_SUM + _END)].endswith(b'"own": "'):
        check_version(found.attributes.get(schema.VERSION_ATTRIBUTE), path)  # another release may seal in another way
        seal = Checksum(sums.get("algorithm"), path)
        total = f"{seal.of(raw[: -len(_NO_SUM + _END)] + f'{_NO_SUM}{_END}'.encode()):08x}"
        if own != total.encode() or sums.get("own") != total:
            raise damaged(path, f"the metadata that was written ({seal.name} {sums.get('own')})", f"{total}")
    return found


def keep_previous(root: Path) -> None:
    """Keep the root as it is under its second name, so that one damaged file is not the end of a record."""
    aside = previous(root).with_name(previous(root).name + PARTIAL)
    aside.unlink(missing_ok=True)
    with suppress(OSError):  # a file system without links; or there is no root yet
        os.link(root / ROOT, aside)
        aside.replace(previous(root))
