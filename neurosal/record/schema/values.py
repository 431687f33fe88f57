"""What a group of the record holds, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from neurosal.record.schema.names import GROWING, REPLICA


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
    """Fixed labels or numbers along fixed dimensions of a group."""

    dims: tuple[str, ...]
    values: tuple[Any, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of variables that grow together along one dimension.

    Args:
        path: e.g. ``"stats/symmetry/every_10"``.
        growing: the dimension along which `Recorder.append` adds one entry to every variable; second after `replica`.
        variables: by name; dims start with (`replica`, growing).
        sizes: length of each fixed dimension except `replica`.
        coords: fixed coordinates; `replica`'s, `step` and `epoch` are added by the recorder.
    """

    path: str
    growing: str
    variables: Mapping[str, Variable]
    sizes: Mapping[str, int] = field(default_factory=dict)
    coords: Mapping[str, Coordinate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.growing in GROWING, self.growing
        sizes = dict(self.sizes)
        for name, coordinate in self.coords.items():
            if coordinate.dims == (name,):
                sizes.setdefault(name, len(coordinate.values))
        for name, variable in self.variables.items():
            assert variable.dims[:2] == (REPLICA, self.growing), f"{self.path}/{name}: {variable.dims}"
            assert len(set(variable.dims)) == len(variable.dims), f"{self.path}/{name}: {variable.dims}"
            missing = [dim for dim in variable.dims[2:] if dim not in sizes]
            assert not missing, f"{self.path}/{name}: no size of {missing}"
        object.__setattr__(self, "variables", MappingProxyType(dict(self.variables)))
        object.__setattr__(self, "sizes", MappingProxyType(sizes))
        object.__setattr__(self, "coords", MappingProxyType(dict(self.coords)))
