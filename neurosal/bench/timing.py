"""Fair timing on noisy machines: contenders take turns in one process, each at its own best number of threads; medians
count.

A heat finds the best number of threads of each contender and warms it up; the turns that follow are what is reported.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from neurosal.engine import products

Step = Callable[[], object]
FEWEST_TURNS = 5
LONG = 0.3  # seconds of a step with the most threads, from which fewer are not tried
SHORT = 0.02  # seconds of a step, up to which a change of threads is followed by a step that does not count


@dataclass(frozen=True)
class Timing:
    """Seconds a step: median over turns at the best number of threads, and the quartiles."""

    median: float
    low: float
    high: float
    threads: int
    turns: int = 0


@dataclass(frozen=True)
class Effort:
    """How long contenders are timed, on what.

    Args:
        threads: numbers of threads to try.
        turns: how often contenders take turns at most; a row that would take longer than `seconds_a_row` has fewer,
            but `FEWEST_TURNS`.
        seconds_a_turn: how long a contender steps in one turn (one step at least).
        device: where they run; on a GPU threads do not matter, and are not tried.
        quick: works of milliseconds, to try the bench itself.
    """

    threads: tuple[int, ...] = (1,)
    turns: int = 21
    seconds_a_turn: float = 0.15
    seconds_a_row: float = 20.0
    device: str = "cpu"
    quick: bool = False

    def shorter(self, seconds_a_row: float) -> Effort:
        """The same with at most that long a row."""
        return replace(self, seconds_a_row=min(seconds_a_row, self.seconds_a_row))


Heat = tuple[int, float]  # best number of threads, seconds a step there


def interleaved(
    contenders: Mapping[str, Step], effort: Effort, heats: Mapping[str, Heat] | None = None
) -> dict[str, Timing]:
    """Time contenders in turns A B C, C B A, A B C, ..., each at the number of threads that is best for it.

    Args:
        contenders: their steps.
        effort: how long.
        heats: of those whose heat has been run already.
    """
    with threads_put_back():
        heats = {name: (heats or {}).get(name) or heat(step, effort) for name, step in contenders.items()}
        repeats = {name: max(1, int(effort.seconds_a_turn / max(heats[name][1], 1e-7))) for name in contenders}
        a_turn = sum(repeats[name] * heats[name][1] for name in contenders)
        turns = min(effort.turns, max(min(FEWEST_TURNS, effort.turns), int(effort.seconds_a_row / max(a_turn, 1e-7))))
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(turns):
            # Whoever comes second finds the caches as the first one left them: so the order goes both ways.
            for name in list(contenders) if turn % 2 == 0 else list(contenders)[::-1]:
                count = heats[name][0]
                if torch.get_num_threads() != count:
                    torch.set_num_threads(count)
                    if heats[name][1] < SHORT:
                        contenders[name]()
                taken[name].append(seconds(contenders[name], repeats[name], effort.device))
    return {name: timing(taken[name], heats[name][0]) for name in contenders}


def timing(taken: list[float], threads: int) -> Timing:
    """Median and quartiles of what was taken."""
    low, median, high = statistics.quantiles(taken, n=4) if len(taken) > 1 else taken * 3
    return Timing(median, low, high, threads, len(taken))


def heat(step: Step, effort: Effort) -> Heat:
    """(best number of threads, seconds a step there), after a warm-up: the best of a few short timings each. The most
    threads come first; a step that takes long even there is made of large products, and is not tried with fewer."""
    found: dict[int, float] = {}
    for count in sorted(effort.threads, reverse=True):
        torch.set_num_threads(count)
        once = min(seconds(step, 1, effort.device) for _ in range(2))
        found[count] = once
        if once > LONG:
            break
        if once < SHORT:
            step()
        repeats = max(1, int(effort.seconds_a_turn / 3 / max(once, 1e-7)))
        found[count] = min(once, *(seconds(step, repeats, effort.device) for _ in range(3 if once < SHORT else 2)))
    best = min(found, key=lambda count: found[count])
    return best, found[best]


def seconds(step: Step, repeats: int, device: str = "cpu") -> float:
    """Seconds a step over that many; on a GPU between two events, so that the host's waiting does not count."""
    if torch.device(device).type == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(repeats):
            step()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / repeats
    start_s = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start_s) / repeats


@contextmanager
def threads_put_back() -> Iterator[None]:
    """The number of threads afterwards is what it was before, whatever happens."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def matrix_rate(effort: Effort, size: int = 1024, dtype: torch.dtype = torch.float32) -> float:
    """Floating-point operations a second of a large matrix product: the best of all numbers of threads and of the
    libraries that torch has for it."""
    size = 64 if effort.quick else size
    a, b = (torch.randn(size, size, device=effort.device).to(dtype) for _ in range(2))
    ways: list[Step] = [lambda: torch.mm(a, b), lambda: products.multiply(a, b)]
    return max(_best(way, 2.0 * size**3, effort) for way in ways)


def mm_rate(effort: Effort, size: int = 1024) -> float:
    """That of `torch.mm` alone, in float32: what torch's own layers reach."""
    size = 64 if effort.quick else size
    a, b = (torch.randn(size, size, device=effort.device) for _ in range(2))
    return _best(lambda: torch.mm(a, b), 2.0 * size**3, effort)


def copy_rate(effort: Effort, size: int) -> float:
    """Bytes a second, read and written, of copying half of `size` bytes into the other half: what fits a cache is
    copied faster, so a work is compared with a copy as large as what it touches."""
    half = max(1 << 16, min(size // 2, 1 << (16 if effort.quick else 27)))
    source = torch.zeros(half, dtype=torch.uint8, device=effort.device)
    target = torch.ones_like(source)
    return _best(lambda: target.copy_(source), 2.0 * half, effort)


def _best(work: Step, amount: float, effort: Effort) -> float:
    best = 0.0
    with threads_put_back():
        for count in effort.threads:
            torch.set_num_threads(count)
            work()
            best = max(best, *(amount / seconds(work, 3, effort.device) for _ in range(6)))
    return best
