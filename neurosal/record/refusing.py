"""What a recorder refuses: folders that hold something else, and runs that were begun with something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.errors import Problem, StoreError
from neurosal.record import schema
from neurosal.record.checksums import SUMS_FILE
from neurosal.record.files import read_json
from neurosal.record.status import read_status
from neurosal.record.store import ROOT, Store

# How records wait for the disk: that may be another way when a run goes on.
MAY_CHANGE = {"queue_mb", "when_full"}


def refuse_run(folder: Path) -> None:
    """Refuse a folder that holds a run or an experiment already, or files that are none of ours.

    Raises:
        StoreError: saying how to go on.
    """
    status = read_status(folder)
    remedy = "Go on with it by --resume, or choose another --store."
    if status is not None:
        raise StoreError(
            Problem(place=str(folder), expected="a new or empty folder", found=f"a run ({status.state})", remedy=remedy)
        )
    if foreign := _foreign(folder):
        found = f"{', '.join(foreign[:3])}{' and more' if len(foreign) > 3 else ''}"
        raise StoreError(
            Problem(place=str(folder), expected="a new or empty folder", found=found, remedy="Choose another --store.")
        )
    root = folder / schema.STORE / ROOT
    if root.is_file() and any(path != schema.GRAPH and "/" not in path for path in _stored_groups(root)):
        # Not what a beginning that was cut short leaves: never write over it.
        raise StoreError(
            Problem(place=str(folder), expected="a new or empty folder",
                    found=f"{schema.STORE} without {schema.STATUS_FILE}", remedy="Choose another --store.")
        )  # fmt: skip


def _foreign(folder: Path) -> list[str]:
    """What lies in a folder and is neither hidden nor of a run, be it of one whose beginning was cut short."""
    ours = (
        schema.STORE, schema.CHECKPOINTS, schema.ARMS, schema.CIRCUIT_FILE, schema.SETTINGS_FILE,
        schema.EXPERIMENT_FILE, schema.ENVIRONMENT_FILE, schema.STATUS_FILE, SUMS_FILE, ".",
    )  # fmt: skip
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(ours))


def _stored_groups(root: Path) -> list[str]:
    tree = read_json(root).get("consolidated_metadata", {}).get("metadata", {})
    return [path for path, metadata in tree.items() if metadata.get("node_type") == "group"]


def refuse_other(path: Path, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse to go on with what a run was not begun with.

    Raises:
        StoreError: for each difference.
    """
    remedy = "Resume with what the run was begun with, or choose another --store."
    problems = [
        Problem(place=f"{path}: {place}", expected=repr(expected), found=repr(found), remedy=remedy)
        for place, expected, found in _differences(plain(stored), plain(given))
    ]
    if problems:
        raise StoreError(problems)


def _differences(stored: Any, given: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(stored, dict) and isinstance(given, dict):
        for key in [key for key in {**stored, **given} if key not in MAY_CHANGE]:
            yield from _differences(stored.get(key), given.get(key), f"{place}.{key}" if place else str(key))
    elif stored != given:
        yield place, stored, given


def refuse_other_group(
    store: Store,
    group: schema.Group,
    growing: Mapping[str, schema.Variable],
    coords: Mapping[str, schema.Coordinate],
    sizes: Mapping[str, int],
) -> None:
    """Refuse a group that is stored otherwise than it is declared now.

    Raises:
        StoreError: saying in what.
    """
    problems = []

    def compare(name: str, expected: object, found: object) -> None:
        if expected != found:
            remedy = "Resume with the settings and probes of the first run, or choose another --store."
            problems.append(
                Problem(place=f"{group.path}/{name}", expected=str(expected), found=str(found), remedy=remedy)
            )

    stored = store.arrays(group.path)
    compare("", sorted(growing), sorted(stored))
    for name in growing.keys() & stored.keys():
        variable, array = growing[name], stored[name]
        axis = variable.dims.index(group.growing)
        shape = [sizes[dim] for dim in variable.dims if dim != group.growing]
        found = [extent for index, extent in enumerate(array.metadata["shape"]) if index != axis]
        compare(
            name,
            (variable.dims, variable.dtype, shape),
            (tuple(array.metadata["dimension_names"]), array.metadata["data_type"], found),
        )
    for name, coordinate in coords.items():
        same = store.same_fixed(f"{group.path}/{name}", coordinate.values, coordinate.dims)
        compare(name, "the stored values", "the stored values" if same else "others")
    if problems:
        raise StoreError(problems)


def plain(value: Any) -> Any:
    """A value as JSON and YAML can hold it."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value
