"""Memory that one step frees, the next one takes up again.

As it comes, the C library on Linux hands freed memory above some megabytes back to the system, and the system gives it
again page by page, each set to zero: a step of 512 samples in 16 areas, five layers of 1024 units, spent 56 of 218 ms
so (50 of 149 ms with direct feedback). So the library is told to keep up to 256 MiB.

A tensor above 32 MiB comes from the system however that is set, unless no tensor may. That is asked only by networks
that have such: four replicas of a ResNet-20 with 128 samples, whose first populations take 34 MiB, spent 410 of 1560 ms
on pages. All holds for the whole process; who has set limits by MALLOC_* or GLIBC_TUNABLES, keeps them.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # malloc.h
KEPT = 256 << 20  # bytes of freed memory at the end of the heap from which it is handed back
LARGEST = 32 << 20  # bytes of one tensor up to which it comes from the heap, the most the library takes
KEPT_OF_LARGE = 1 << 30  # the same where tensors are larger than that


@cache
def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory; whether it was told."""
    return _told({MMAP_THRESHOLD: LARGEST, TRIM_THRESHOLD: KEPT})


@cache
def keep_large_tensors() -> bool:
    """Tell it to keep that of tensors larger than `LARGEST` too."""
    return _told({MMAP_MAX: 0, TRIM_THRESHOLD: KEPT_OF_LARGE})


def _told(limits: dict[int, int]) -> bool:
    own = [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]
    if own or not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(bool(mallopt(which, value)) for which, value in limits.items())
