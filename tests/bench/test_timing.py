"""Turns, threads, medians."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from neurosal.bench.timing import Effort, copy_rate, interleaved, matrix_rate, timing
from tests.bench.making import EFFORT


def test_contenders_take_turns_each_at_its_best_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    taken: list[tuple[str, int]] = []
    clock = [0.0]
    cost = {("a", 1): 0.0625, ("a", 2): 0.1875, ("b", 1): 0.25, ("b", 2): 0.125}

    def contender(name: str) -> Any:
        def step() -> None:
            taken.append((name, torch.get_num_threads()))
            clock[0] += cost[name, torch.get_num_threads()]

        return step

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    effort = Effort((1, 2), turns=4, seconds_a_turn=0.05, seconds_a_row=1e3)
    try:
        timings = interleaved({"a": contender("a"), "b": contender("b")}, effort)
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(before)
    assert (timings["a"].median, timings["a"].threads) == (0.0625, 1)
    assert (timings["b"].median, timings["b"].threads) == (0.125, 2)
    assert taken[-8:] == [("a", 1), ("b", 2), ("b", 2), ("a", 1)] * 2


def test_a_step_that_takes_long_with_the_most_threads_is_not_tried_with_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    clock = [0.0]

    def step() -> None:
        tried.append(torch.get_num_threads())
        clock[0] += 1.0

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    found = interleaved({"a": step}, Effort((1, 2), turns=2, seconds_a_turn=0.1, seconds_a_row=0.1))
    assert (found["a"].threads, set(tried)) == (2, {2})


def test_slow_contenders_take_fewer_turns_but_not_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def step() -> None:
        clock[0] += 1.0

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    for seconds_a_row, turns in ((100.0, 21), (10.0, 10), (2.0, 5)):
        effort = Effort((1,), turns=21, seconds_a_turn=0.1, seconds_a_row=seconds_a_row)
        assert interleaved({"a": step}, effort)["a"].turns == turns


def test_threads_are_put_back_when_a_contender_fails() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        interleaved({"a": fail}, Effort((before + 1,)))
    assert torch.get_num_threads() == before


def test_rates_are_measured() -> None:
    assert matrix_rate(EFFORT) > 1e6
    assert copy_rate(EFFORT, 1 << 20) > 1e6


def test_quartiles_are_those_of_the_turns() -> None:
    found = timing([4.0, 1.0, 3.0, 2.0, 5.0], 1)
    assert (found.low, found.median, found.high, found.turns) == (1.5, 3.0, 4.5, 5)
