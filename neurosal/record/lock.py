"""One process at a time writes a run."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
import uuid
import weakref
from pathlib import Path

from neurosal.errors import Problem, StoreError
from neurosal.record.clock import now

try:
    import fcntl
except ImportError:  # pragma: no cover - no such locks on this system
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"
_held: weakref.WeakSet[Lock] = weakref.WeakSet()


class Lock:
    """Held by the one process that writes a run; the system drops it when the process ends, however it ends.

    The file says who holds it: process, since when, and a number that is the same for all processes of one machine.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            StoreError: when another process has it, with which one.
        """
        self._path = folder / LOCK_FILE
        self._descriptor: int | None = None
        if fcntl is None:  # pragma: no cover
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if not _take(descriptor):
                remedy = "Wait for it or end it, or choose another --store."
                raise StoreError(
                    Problem(place=str(folder), expected="a run that no process writes",
                            found=f"one that {_told(descriptor)} writes", remedy=remedy)
                )  # fmt: skip
            content = json.dumps({"pid": os.getpid(), "since": now(), "machine": _machine()}) + "\n"
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, content.encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _held.add(self)

    def check(self) -> None:
        """Make sure that the folder is still the one that was locked: not removed, and not begun anew by another.

        Raises:
            OSError: when it is not.
        """
        if self._descriptor is None:
            return
        if not os.path.samestat(self._path.stat(), os.fstat(self._descriptor)):
            found = "another folder than the one that was written"
            raise FileNotFoundError(errno.ENOENT, found, str(self._path.parent))

    def release(self) -> None:
        """Give the lock back."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


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


def _take(descriptor: int) -> bool:
    for _ in range(5):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.02)  # a reader that asks whether the run is alive holds it for a moment
        except OSError:
            return True  # some network file systems have no locks; recording works without
    return False


def _told(descriptor: int) -> str:
    """Who holds a lock, as its file says."""
    try:
        content = json.loads(os.pread(descriptor, 4096, 0))
        pid, since, machine = int(content["pid"]), str(content["since"]), str(content["machine"])
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    where = "this process" if pid == os.getpid() else f"process {pid}"
    if machine != _machine():
        where = f"process {pid} of another machine"
    return f"{where} (since {since})"


def _machine() -> str:
    """A number of this machine since it was started, which names nothing."""
    try:
        raw = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        raw = str(uuid.getnode()).encode()
    return hashlib.sha256(raw).hexdigest()[:16]


def _close_in_child() -> None:
    """A child has the file open as well, and would hold the lock after its parent's end."""
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
