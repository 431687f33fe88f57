"""Many processes that carry one run: torch.distributed behind a few verbs, for what torchrun starts.

Only `asked` and `speaks` work without torch; nothing else of this package is imported where there is one process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurosal.processes.joining import join
    from neurosal.processes.ranks import Ranks, Waiting

__all__ = ["PARALLEL", "Ranks", "Waiting", "asked", "join", "speaks"]

PARALLEL = ("data", "replicas", "areas")
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells each process
_LAZY = {"join": "joining", "Ranks": "ranks", "Waiting": "ranks"}


def asked(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is one of several that torchrun started.

    Example:
        >>> asked({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}), asked({})
        (True, False)
    """
    return all(name in environment for name in NEEDED) and int(environment["WORLD_SIZE"]) > 1


def speaks(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the one that prints: the only one, or the first of several."""
    return not asked(environment) or environment["RANK"] == "0"


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
