"""Fair timing on noisy machines: contenders take turns, each at its own best number of threads; medians count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Step = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds a step: median over turns at the best number of threads, and the quartiles."""

    median: float
    low: float
    high: float
    threads: int


def interleaved(
    contenders: Mapping[str, Step], *, threads: tuple[int, ...], turns: int, seconds_a_turn: float
) -> dict[str, Timing]:
    """Time every contender at every number of threads, in turns A B C A B C ..., and keep its best."""
    before = torch.get_num_threads()
    taken: dict[tuple[str, int], list[float]] = {(name, count): [] for count in threads for name in contenders}
    try:
        for count in threads:
            torch.set_num_threads(count)
            repeats = {name: _repeats(step, seconds_a_turn) for name, step in contenders.items()}
            for _ in range(turns):
                for name, step in contenders.items():
                    taken[name, count].append(_seconds(step, repeats[name]))
    finally:
        torch.set_num_threads(before)
    result = {}
    for name in contenders:
        best = min(threads, key=lambda count: statistics.median(taken[name, count]))
        low, median, high = statistics.quantiles(taken[name, best], n=4)
        result[name] = Timing(median, low, high, best)
    return result


def _repeats(step: Step, seconds: float) -> int:
    for _ in range(3):
        step()
    return max(1, int(seconds / max(_seconds(step, 3), 1e-6)))


def _seconds(step: Step, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


def matrix_rate(threads: tuple[int, ...], size: int = 1024) -> float:
    """Floating-point operations a second of a large float32 matrix product, the best of all numbers of threads."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    before, best = torch.get_num_threads(), 0.0
    try:
        for count in threads:
            torch.set_num_threads(count)
            best = max(best, *(2 * size**3 / _seconds(lambda: torch.mm(a, b), 3) for _ in range(10)))
    finally:
        torch.set_num_threads(before)
    return best
