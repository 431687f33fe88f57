"""Rows of groups are collected to blocks of about 1 MB before they go to the store."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurosal.record.store import CHUNK_BYTES, Store

Array = np.ndarray[Any, Any]


class BlockWriter:
    """Collects rows of groups and writes them to the store in blocks. All writing of values goes through here."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[str, list[dict[str, Array]]] = {}
        self._bytes: dict[str, int] = {}

    def put(self, group: str, row: dict[str, Array]) -> None:
        """Take one row, with the growing axis present. It is copied unless it is written at once."""
        size = sum(entry.nbytes for entry in row.values())
        if size >= CHUNK_BYTES:
            self.flush(group)
            self._store.write(group, row)
            return
        self._rows.setdefault(group, []).append({name: entry.copy() for name, entry in row.items()})
        self._bytes[group] = self._bytes.get(group, 0) + size
        if self._bytes[group] >= CHUNK_BYTES:
            self.flush(group)

    def flush(self, group: str | None = None) -> None:
        """Write what was collected, of one group or of all."""
        for path in [group] if group is not None else list(self._rows):
            rows = self._rows.pop(path, [])
            self._bytes.pop(path, None)
            if rows:
                self._store.write(path, {name: np.concatenate([row[name] for row in rows], axis=1) for name in rows[0]})
