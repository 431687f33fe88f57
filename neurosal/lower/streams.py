"""Random streams keyed by (seed, name of the object): the same replica draws the same numbers whatever runs beside
it."""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, *name: object) -> torch.Generator:
    """A generator of its own for an object. Always on the CPU, so that devices start from equal numbers.

    Example:
        >>> import torch
        >>> first = torch.rand(2, generator=stream(0, "input_to_hidden1"))
        >>> torch.equal(first, torch.rand(2, generator=stream(0, "input_to_hidden1")))
        True
    """
    return torch.Generator().manual_seed(number(seed, *name))


def number(seed: int, *name: object) -> int:
    """The seed of an object's own generator, on whatever device that is."""
    key = "/".join([str(seed), *(str(part) for part in name)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
