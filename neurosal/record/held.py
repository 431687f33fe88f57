"""A record that stays in memory, with the methods of `Recorder` that simulations use: without a store, a run offers the
same tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurosal.record import schema

if TYPE_CHECKING:
    import xarray

Array = np.ndarray[Any, Any]


class HeldRecorder:
    """Rows of groups, in memory.

    Args:
        replicas: `seed` and each varied setting → one value a replica.

    Example:
        >>> recorder = HeldRecorder({"seed": [0]})
        >>> recorder.declare(schema.spikes("cells", 3))
        >>> recorder.extend("spikes/cells", {"time_ms": [1.0, 2.0], "unit": [0, 2], "replica_index": [0, 0]})
        True
        >>> recorder.tree()["spikes/cells"].unit.values
        array([0, 2], dtype=int32)
    """

    def __init__(self, replicas: Mapping[str, Sequence[Any]]) -> None:
        self.replicas = {name: list(values) for name, values in replicas.items()}
        self.lengths: dict[str, int] = {}
        self._groups: dict[str, schema.Group] = {}
        self._rows: dict[str, dict[str, list[Array]]] = {}

    def declare(self, group: schema.Group, *, expected: int | None = None) -> None:
        """Say what a group will hold."""
        self._groups[group.path] = group
        self._rows[group.path] = {name: [] for name in group.arrays}
        self.lengths[group.path] = 0

    def extend(self, path: str, values: Mapping[str, Any]) -> bool:
        """Add many entries at once to every variable of a group; see `Recorder.extend`."""
        arrays = self._groups[path].arrays
        assert values.keys() == arrays.keys(), f"{path}: {sorted(values)} instead of {sorted(arrays)}"
        count = 0
        for name, variable in arrays.items():
            value = np.array(values[name], dtype=variable.dtype)
            count = value.shape[variable.dims.index(self._groups[path].growing)]
            self._rows[path][name].append(value)
        self.lengths[path] += count
        return True

    def reached(self, *, step: int, epoch: float) -> None:
        """Say how far the run is: nobody asks here."""

    def maybe_commit(self) -> None:
        """Nothing is to be committed."""

    def tree(self) -> xarray.DataTree:
        """All of it, laid out as `open_run(...).tree` is."""
        import xarray

        return xarray.DataTree.from_dict({path: self._dataset(group) for path, group in self._groups.items()})

    def _dataset(self, group: schema.Group) -> xarray.Dataset:
        import xarray

        sizes = {**group.sizes, schema.REPLICA: len(self.replicas[schema.SEED]), group.growing: 0}
        found = {}
        for name, variable in group.arrays.items():
            parts = self._rows[group.path][name]
            empty = np.zeros([sizes[dim] for dim in variable.dims], variable.dtype)
            values = np.concatenate(parts, axis=variable.dims.index(group.growing)) if parts else empty
            found[name] = (variable.dims, values, dict(variable.attrs))
        coords: dict[str, Any] = {
            name: (coordinate.dims, np.asarray(coordinate.values), dict(coordinate.attrs))
            for name, coordinate in group.coords.items()
        }
        if group.has_replicas:
            coords |= {name: (schema.REPLICA, values) for name, values in self.replicas.items()}
        along = set(group.along or {})
        return xarray.Dataset(
            {name: entry for name, entry in found.items() if name not in along},
            coords | {name: entry for name, entry in found.items() if name in along},
        )
