"""A disk that stands still until it is let go, for tests of what happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

import numpy as np

from neurosal.record import Recorder, faults, schema

BIG = schema.projection("big", "every_1", post=("hidden", 256), pre=("hidden", 512))  # 1 MiB a row and two replicas
ROW_BYTES = 2 * 256 * 512 * 4 + 16
REPLICAS = {"seed": [0, 1]}


class StuckDisk:
    """Blocks are written once `go` was called; `waiting` says that one is about to be."""

    def __init__(self) -> None:
        self._free, self.waiting = threading.Event(), threading.Event()

    def __call__(self, point: str) -> None:
        if point == faults.BLOCK_WRITE:
            self.waiting.set()
            assert self._free.wait(60)

    def go(self) -> None:
        self._free.set()


@contextmanager
def stuck() -> Iterator[StuckDisk]:
    """Blocks wait within; at the end they are let go."""
    disk = StuckDisk()
    with faults.installed(disk):
        try:
            yield disk
        finally:
            disk.go()


def create(folder: Path, **options: object) -> Recorder:
    """A recorder with a group of big rows and one of small ones."""
    recorder = Recorder.create(folder, circuit={}, settings={}, replicas=REPLICAS, **options)  # type: ignore[arg-type]
    declare(recorder)
    return recorder


def declare(recorder: Recorder) -> None:
    recorder.declare(BIG)
    recorder.declare(schema.training_metrics())


def add_big(recorder: Recorder, *steps: int) -> None:
    for step in steps:
        recorder.append(BIG.path, step=step, epoch=0, values={"weight": np.full((2, 1, 256, 512), step, "float32")})


def add_small(recorder: Recorder, *steps: int) -> None:
    for step in steps:
        recorder.append(schema.TRAIN, step=step, epoch=0, values={"loss": np.full(2, step)})


def wait_for(reached: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something that another thread does is done."""
    for _ in range(int(seconds * 100)):
        if reached():
            return
        sleep(0.01)
    raise AssertionError("it never came to be")
