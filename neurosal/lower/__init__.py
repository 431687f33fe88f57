"""Compile: a circuit becomes a plan and a network of tensors, or, in continuous time, numbers that engines share and
objects of Brian2."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name != "to_brian2":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from neurosal.lower.brian2 import to_brian2

    return to_brian2
