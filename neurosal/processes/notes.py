"""Notes that processes leave where all can read them, whatever becomes of the one that wrote them: who it is, and how
it ended."""

from __future__ import annotations

import json
import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

SIGNALLED = "it was told to end"
LONGEST = 400


class Notes:
    """The notes of the processes of one run, in the store through which they met.

    Attributes:
        readable: whether the store answered when it was last asked: it ends with the process that holds it.
    """

    def __init__(self, store: Any, rank: int) -> None:
        self._store, self._rank = store, rank
        self._left = False
        self.readable = True
        self._known: dict[int, tuple[str, int]] = {}
        store.set(f"who/{rank}", json.dumps([socket.gethostname(), os.getpid()]))

    def leave(self, text: str) -> None:
        """Say how this process ends; the first note counts."""
        if self._left:
            return
        self._left = True
        try:
            self._store.set(f"end/{self._rank}", f"={' '.join(text.split())[:LONGEST]}")
            self._store.check([f"end/{self._rank}"])  # setting does not wait for an answer: it is there before we end
        except Exception:
            return

    def of(self, rank: int) -> str | None:
        """How another process ended; None where it has not said so."""
        key = f"end/{rank}"
        try:
            said = str(self._store.get(key).decode())[1:] if self._store.check([key]) else None
        except Exception:
            self.readable = False
            return None
        self.readable = True
        return said

    def gone(self, rank: int) -> bool:
        """Whether another process has certainly ended: where it ran on this machine and the system lets us look."""
        try:
            if rank not in self._known:
                self._store.set_timeout(timedelta(seconds=2))
                host, process = json.loads(self._store.get(f"who/{rank}").decode())
                self._known[rank] = (host, process)
            host, process = self._known[rank]
            if host != socket.gethostname() or not Path("/proc/self/stat").exists():
                return False
            stat = Path(f"/proc/{process}/stat").read_text()
        except FileNotFoundError:
            return True
        except Exception:
            return False
        return stat.rpartition(")")[2].split()[0] in ("Z", "X")
