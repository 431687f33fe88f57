"""Python's search for garbage, kept from what a simulation began with.

Half a million objects are there when torch and the rest are imported. To look through all of them takes a tenth of a
second or more, as much as some windows of a simulation.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

SWEEP_EVERY = 10  # times as long as to look through all objects for garbage takes
_swept = {"at": 0.0, "took": 0.0}  # seconds: when this process was, and how long it took


@contextmanager
def passed_over() -> Iterator[None]:
    """What there is at the beginning is not looked through until the end; what is made in between is.

    Example:
        >>> import gc
        >>> with passed_over():
        ...     gc.get_freeze_count() > 0
        True
    """
    if gc.get_freeze_count():  # who froze what there was did so for as long as they like
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def rarely_swept() -> Iterator[None]:
    """For what looks for garbage itself, as Brian2 before every run, only to warn of objects that are in no network: it
    finds a tenth of the time at most all that there is."""
    began = time.perf_counter()
    if not gc.get_freeze_count() and began - _swept["at"] > SWEEP_EVERY * _swept["took"]:
        gc.collect()
        _swept.update(at=time.perf_counter(), took=time.perf_counter() - began)
    with passed_over():
        yield
