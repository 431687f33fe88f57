"""How fast a run goes and what memory it takes, and who is told."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import Any

import pytest
import torch

from neurosal import rules
from neurosal.cli.progress import Progress
from neurosal.record.status import read_status
from neurosal.runner import pace
from neurosal.runner.experiment import Told
from neurosal.runner.pace import Pace, forget_peak, peak_memory, words_of
from tests.runner.making import CHAIN, trained

CPU = torch.device("cpu")


class Clock:
    """Time that passes only when told."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(pace, "time", found)
    return found


def test_samples_a_second_and_time_left_leave_out_what_is_no_training(clock: Clock) -> None:
    found = Pace(10, CPU)
    with found.paused():
        clock.now += 50
    found.begin(2)
    for _ in range(4):
        clock.now += 2
        found.step(16)
    with found.paused():
        clock.now += 30
    report = found.report()
    assert report["samples_per_second"] == 8
    assert report["training_seconds"] == 8
    assert report["seconds_left"] == 8  # four of ten are left after two that were there and four of two seconds


def test_it_is_told_every_second_and_at_the_end(clock: Clock) -> None:
    found = Pace(5, CPU)
    found.begin(0)
    told = []
    for _ in range(5):
        clock.now += 0.4
        told.append(found.step(1))
    assert told == [False, False, True, False, True]


@pytest.mark.skipif(not pace.REFERENCES.exists(), reason="peaks are read where Linux tells them")
def test_the_peak_is_that_since_it_was_forgotten() -> None:
    forget_peak()
    before = peak_memory()
    with mmap.mmap(-1, 1 << 26) as room:  # given back at once, whatever the heap keeps
        for _ in range(64):
            room.write(bytes(1 << 20))
    assert peak_memory() >= before + 60_000_000
    forget_peak()
    assert peak_memory() < before + 50_000_000


def test_a_run_keeps_its_pace_in_its_status(tmp_path: Path) -> None:
    told: list[str] = []

    class Told:
        def __call__(self, *_: Any) -> None: ...

        def at_pace(self, words: str) -> None:
            told.append(words)

    trained(rules.kp(CHAIN), tmp_path / "run", progress=Told())
    status = read_status(tmp_path / "run")
    assert status is not None
    assert min(status.samples_per_second, status.training_seconds, status.peak_memory_bytes) > 0
    assert "samples/s, peak" in told[-1]
    content = json.loads((tmp_path / "run" / "status.json").read_text())
    assert "seconds_left" not in content  # nothing is, and what is unknown is not written
    assert content["schema"] == "1.0"


def test_arms_tell_their_pace_to_whoever_listens() -> None:
    bar = Progress(shown=False)
    told = Told(bar, before=10, total=30, name="bp")
    told.at_pace("8 samples/s")
    assert bar._pace == "8 samples/s"
    Told(lambda *_: None, before=0, total=1, name="bp").at_pace("nobody listens")


@pytest.mark.parametrize(("speed", "words"), [(0.1234, "0.12"), (8.0, "8"), (123456.0, "123,456")])
def test_words_are_as_exact_as_they_need_to_be(speed: float, words: str) -> None:
    assert words_of({"samples_per_second": speed, "peak_memory_bytes": 1000}) == f"{words} samples/s, peak 1.0 kB"
