"""What a group of the record holds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from neurosal.record.schema.names import EPOCH, GROWING, REPLICA, STEP


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One array of a group: its dimensions in stored order, its type, and attributes (`units`, `long_name`)."""

    dims: tuple[str, ...]
    dtype: str = "float64"
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """Fixed labels or numbers along fixed dimensions of a group; long ones (of synapses) as an array."""

    dims: tuple[str, ...]
    values: tuple[Any, ...] | np.ndarray[Any, Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.values, np.ndarray):
            values = self.values.copy()
            values.flags.writeable = False
            object.__setattr__(self, "values", values)
        else:
            object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of variables that grow together along one dimension.

    Args:
        path: e.g. ``"stats/symmetry/every_10"``.
        growing: the dimension along which `Recorder.append` adds one entry to every variable, `Recorder.extend` many;
            second after `replica`, or first of all.
        variables: by name; dims start with (`replica`, growing), or all of them with (growing,).
        sizes: length of each fixed dimension except `replica`.
        coords: fixed coordinates; those of `replica` are added by the recorder where there is that dimension.
        along: coordinates along the growing dimension; `step` and `epoch` where none are given.
    """

    path: str
    growing: str
    variables: Mapping[str, Variable]
    sizes: Mapping[str, int] = field(default_factory=dict)
    coords: Mapping[str, Coordinate] = field(default_factory=dict)
    along: Mapping[str, Variable] | None = None

    def __post_init__(self) -> None:
        assert self.growing in GROWING, self.growing
        along = training_progress(self.growing) if self.along is None else dict(self.along)
        assert all(variable.dims == (self.growing,) for variable in along.values()), f"{self.path}: {along}"
        object.__setattr__(self, "along", MappingProxyType(along))
        sizes = dict(self.sizes)
        for name, coordinate in self.coords.items():
            if coordinate.dims == (name,):
                sizes.setdefault(name, len(coordinate.values))
        for name, variable in self.variables.items():
            first = (REPLICA, self.growing) if self.has_replicas else (self.growing,)
            assert variable.dims[: len(first)] == first, f"{self.path}/{name}: {variable.dims}"
            assert len(set(variable.dims)) == len(variable.dims), f"{self.path}/{name}: {variable.dims}"
            missing = [dim for dim in variable.dims[len(first) :] if dim not in sizes]
            assert not missing, f"{self.path}/{name}: no size of {missing}"
        object.__setattr__(self, "variables", MappingProxyType(dict(self.variables)))
        object.__setattr__(self, "sizes", MappingProxyType(sizes))
        object.__setattr__(self, "coords", MappingProxyType(dict(self.coords)))

    @property
    def arrays(self) -> Mapping[str, Variable]:
        """All that grows: variables, and the coordinates along the growing dimension."""
        return {**self.variables, **(self.along or {})}

    @property
    def has_replicas(self) -> bool:
        """Whether its variables have an entry for each replica."""
        return any(REPLICA in variable.dims for variable in self.variables.values())


def training_progress(growing: str) -> dict[str, Variable]:
    """The usual coordinates along a growing dimension: how far training was."""
    return {
        STEP: Variable(dims=(growing,), dtype="int64", attrs={"long_name": "steps done", "units": "1"}),
        EPOCH: Variable(dims=(growing,), attrs={"long_name": "passes over the training part", "units": "1"}),
    }
