"""Works of microseconds for the tests of the bench."""

from __future__ import annotations

import io

from rich.console import Console

from neurosal.bench.timing import Effort
from neurosal.bench.works import Work

TINY = Work((6, 5, 4, 3), 8)
SEEDS = Work((6, 5, 3), 8, replicas=3)
AREAS = Work((16, 12, 8, 4), 60, areas=4)
EFFORT = Effort((1,), turns=3, seconds_a_turn=1e-4, seconds_a_row=0.05, quick=True)


def console() -> Console:
    """One that nobody reads, but `printed` may."""
    return Console(file=io.StringIO(), width=160)


def printed(where: Console) -> str:
    """What was printed."""
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()
