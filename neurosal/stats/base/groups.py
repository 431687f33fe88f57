"""Samples in groups (classes, areas), for statistics of plain arrays."""

from __future__ import annotations

from typing import Any

import numpy

from neurosal.stats.base.arrays import namespace, wide


def members(group: Any, like: Any) -> Any:
    """[..., sample, group] in float64, 1 where a sample is of the group; a negative number is none. `like` says where
    a tensor lies."""
    functions = namespace(group)
    group = numpy.asarray(group) if functions is numpy else group
    groups = functions.arange(max(int(group.max()) + 1, 1), device=group.device)
    found = wide(group[..., None] == groups)
    if functions is namespace(like):
        return found
    return found.cpu().numpy() if functions is not numpy else namespace(like).as_tensor(found, device=like.device)
