"""One process at a time writes a run."""

from __future__ import annotations

import os
import time
from pathlib import Path

from neurosal.errors import Problem, StoreError

try:
    import fcntl
except ImportError:  # pragma: no cover - no such locks on this system
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"


class Lock:
    """Held by the one process that writes a run; the system drops it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            StoreError: when another process has it.
        """
        self._descriptor: int | None = None
        if fcntl is None:  # pragma: no cover
            return
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            for attempt in range(5):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if attempt == 4:
                        raise
                    time.sleep(0.02)  # a reader that asks whether the run is alive holds it for a moment
        except BlockingIOError:
            os.close(descriptor)
            remedy = "Wait for it or end it, or choose another --store."
            raise StoreError(
                Problem(
                    place=str(folder), expected="a run that no process writes", found="one that does", remedy=remedy
                )
            ) from None
        except OSError:
            os.close(descriptor)  # some network file systems have no locks; recording works without
            return
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def locked(folder: Path) -> bool:
    """Whether a process holds the run in `folder` open for writing."""
    if fcntl is None:  # pragma: no cover
        return False
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
