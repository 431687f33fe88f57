"""Places at which a test can stop or break a recording; without a handler nothing happens there.

A test in the same process sets a handler with `installed`; a test that needs a whole process killed starts it with
``NEUROSAL_FAULT`` set to ``"<point>:<count>"``, and the process sends itself SIGKILL when it comes to that point for
the count-th time (the first is 1).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

VARIABLE = "NEUROSAL_FAULT"

BLOCK_WRITE = "block write"  # half of the bytes of a block are in the file
COMMIT = "commit"  # the new root is written aside, the old one is still in place
COMMITTED = "committed"  # the new root is in place, the status does not say so yet
GROW = "grow"  # new metadata of an array or group are written aside
CHECKPOINT_TENSORS = "checkpoint tensors"  # a piece of the tensors is written
CHECKPOINT_BEGUN = "checkpoint begun"  # the tensors are written, the rest is not
CHECKPOINT_WRITTEN = "checkpoint written"  # complete, but not yet under its name
CHECKPOINT_RENAMED = "checkpoint renamed"  # under its name, older ones not yet removed
TRIM = "trim"  # the last commit is made, an array's own shape not yet
PACK = "pack"  # between two steps of packing; no recording comes to it
POINTS = (
    BLOCK_WRITE, COMMIT, COMMITTED, GROW, CHECKPOINT_TENSORS, CHECKPOINT_BEGUN, CHECKPOINT_WRITTEN, CHECKPOINT_RENAMED,
    TRIM,
)  # fmt: skip

Handler = Callable[[str], None]


def kill_at(point: str, count: int) -> Handler:
    """A handler that sends this process SIGKILL when it comes to `point` for the count-th time."""
    assert point in POINTS, f"{point!r} is none of {POINTS}"
    seen = 0

    def handler(reached: str) -> None:
        nonlocal seen
        seen += reached == point
        if seen >= count:
            os.kill(os.getpid(), signal.SIGKILL)

    return handler


def _from_environment() -> Handler | None:
    point, _, count = os.environ.get(VARIABLE, "").partition(":")
    return kill_at(point, int(count or 1)) if point else None


_handler: Handler | None = _from_environment()


def armed() -> bool:
    """Whether a handler is there: only then are blocks written in two halves, tensors in small pieces."""
    return _handler is not None


def reach(point: str) -> None:
    """Say that `point` is reached."""
    if _handler is not None:
        _handler(point)


@contextmanager
def installed(handler: Handler) -> Iterator[None]:
    """Call `handler` with the name of each point that is reached."""
    global _handler
    before, _handler = _handler, handler
    try:
        yield
    finally:
        _handler = before
