"""How fast a run goes and what memory it takes: for the one who waits, and for the table that is made of it later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from neurosal.checks.memory import in_words

LOOKED_EVERY = 1.0  # seconds: a look costs as much as a step of a small network
STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory(device: torch.device | None = None) -> int:
    """The most bytes that this process had resident at a time, or that it had on a GPU; 0 where nobody knows."""
    if device is not None and device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    with suppress(OSError, ValueError, IndexError):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # pragma: no cover - not on Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak(device: torch.device | None = None) -> None:
    """From now on `peak_memory` counts anew, where the system lets it."""
    if device is not None and device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        REFERENCES.write_text("5")


class Pace:
    """Samples a second of training (evaluations and checkpoints left out), peak memory and time left.

    Args:
        total: steps of the whole run.
    """

    def __init__(self, total: int, device: torch.device) -> None:
        self.total, self.device = total, device
        self.steps = self.samples = self.done = 0
        self._began = self._looked = time.monotonic()
        self._paused = 0.0

    def begin(self, done: int) -> None:
        """Training starts, or goes on, after so many steps."""
        self.done, self._paused = done, 0.0
        self._began = self._looked = time.monotonic()

    def step(self, samples: int) -> bool:
        """A step of so many samples was done; whether it is time to say how it goes."""
        self.steps += 1
        self.done += 1
        self.samples += samples
        now = time.monotonic()
        if now - self._looked < LOOKED_EVERY and self.done < self.total:
            return False
        self._looked = now
        return True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What is done inside is no training."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._paused += time.monotonic() - start

    def report(self) -> dict[str, float | int]:
        """As `status.json` has it."""
        seconds = max(time.monotonic() - self._began - self._paused, 1e-9)
        left = (self.total - self.done) * seconds / self.steps if self.steps else 0.0
        return {
            "samples_per_second": float(f"{self.samples / seconds:.4g}"),
            "training_seconds": round(seconds, 3),
            "seconds_left": round(left, 1),
            "peak_memory_bytes": peak_memory(self.device),
        }


def words_of(report: dict[str, float | int]) -> str:
    """A report as a progress line has it.

    Example:
        >>> words_of({"samples_per_second": 1234.0, "peak_memory_bytes": 9_600_000_000})
        '1,234 samples/s, peak 9.6 GB'
    """
    speed = report["samples_per_second"]
    fast = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
    return f"{fast} samples/s, peak {in_words(int(report['peak_memory_bytes']))}"
