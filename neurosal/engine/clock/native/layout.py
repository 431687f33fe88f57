"""The structures of program.cpp, filled with addresses of tensors.

Addresses are kept: tensors are to be changed in place, and whoever fills a structure holds them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

_NUMBER, _ADDRESS = ctypes.c_int64, ctypes.c_void_p


def _fields(numbers: str, addresses: str) -> list[tuple[str, Any]]:
    return [*((name, _NUMBER) for name in numbers.split()), *((name, _ADDRESS) for name in addresses.split())]


class Group(ctypes.Structure):
    """Populations of one block, or all sources."""

    _fields_ = _fields("populations replicas", "first units")


class Input(ctypes.Structure):
    """What varies from unit to unit, or in time."""

    _fields_ = (("values", _ADDRESS), *_fields("rows every width", ""))


class Block(ctypes.Structure):
    """Units with the same equations."""

    _fields_ = (("group", Group), *_fields("law states inputs opens size refractory", "state open input"))


class Outlets(ctypes.Structure):
    """Edges by the unit that they leave."""

    _fields_ = _fields("delays units size", "delay rows begin count apart by_replica place")


class Wires(ctypes.Structure):
    """Synapses that never change."""

    _fields_ = (("outlets", Outlets), *_fields("group", "post weight open state"))


class Plan(ctypes.Structure):
    """A circuit in which nothing else happens."""

    _fields_ = _fields("blocks groups wires", "block group longest wire")


class Known(ctypes.Structure):
    """Spikes that are known before some steps."""

    _fields_ = (*_fields("", "spikes counts"), ("ages", _NUMBER), *_fields("", "sent times begin"))


class Firing(ctypes.Structure):
    """Sums of how a population fires."""

    _fields_ = _fields("units kept bin settle",
                       "place of_units pending counts products population_squares")  # fmt: skip


def address(tensor: Tensor | None) -> int | None:
    """Where a tensor begins, None for none."""
    return None if tensor is None else tensor.data_ptr()


def numbers(values: Iterable[int]) -> Any:
    """Whole numbers as an array of C."""
    found = list(values)
    return (_NUMBER * max(len(found), 1))(*found)


def addresses(values: Iterable[int | None]) -> Any:
    """Addresses as an array of C."""
    found = list(values)
    return (_ADDRESS * max(len(found), 1))(*found)


def array(kind: Any, values: Sequence[Any]) -> Any:
    """Structures one after the other."""
    return (kind * max(len(values), 1))(*values)


def group_of(first: Sequence[int], units: Sequence[int], replicas: int) -> tuple[Group, Any]:
    """Populations, and what is to be held for them."""
    held = numbers(first), numbers(units)
    return Group(len(first), replicas, *map(ctypes.addressof, held)), held


def of_type(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor as the program reads it: of its type, each value beside the next."""
    return tensor.to(dtype).contiguous()
