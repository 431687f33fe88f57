"""CUBA on torch beside Brian2: what is told, what is refused, and how figures of processes are put together."""

from __future__ import annotations

import pytest
from rich.console import Console

from neurosal.bench import cuba
from neurosal.bench.command import COMPARISONS, effort_for
from neurosal.bench.simulating import together
from neurosal.errors import NeurosalError


def entry(simulate: float, everything: float) -> dict[str, float]:
    return {"simulate": simulate, "simulate_per_network_s": simulate, "all_per_network_s": everything}


def test_quick_it_runs_torch_in_processes_and_tells_its_goals(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = COMPARISONS["cuba"](Console(width=200), effort_for("cpu", quick=True))
    assert found["contenders"][cuba.FLOAT32]["network_s"] == pytest.approx(2 * 0.02)
    assert found["contenders"][cuba.FLOAT32]["simulate"] > 0
    assert [goal["met"] for goal in found["goals"]] == [None] * 4
    assert "all told" in capsys.readouterr().out


def test_networks_that_fire_otherwise_are_not_timed() -> None:
    cuba.refuse_other_rates({"one": 5.4, "two": 5.6})
    with pytest.raises(NeurosalError, match=r"silent 0\.00 Hz"):
        cuba.refuse_other_rates({"one": 5.4, "two": 5.6, "silent": 0.0})
    with pytest.raises(NeurosalError, match=r"far 6\.90 Hz"):
        cuba.refuse_other_rates({"one": 5.0, "two": 5.1, "far": 6.9})


def test_goals_take_the_fastest_of_torch_and_the_part_that_they_name() -> None:
    entries = {
        cuba.FLOAT32: entry(0.1, 0.5),
        f"{cuba.FLOAT32}, compiled": entry(0.05, 0.6),
        "torch, 1 replica": entry(0.8, 1.0),
        cuba.CYTHON: entry(1.0, 9.0),
        cuba.TWICE: entry(0.2, 0.4),
        cuba.OURS: entry(1.06, 1.0),
        cuba.THEIRS: entry(1.0, 2.0),
    }
    assert [goal["measured"] for goal in cuba.goals(entries)] == pytest.approx([0.05, 1.25, 1.06, 0.8])
    assert [goal["met"] for goal in cuba.goals(entries)] == [True, True, False, True]


def test_processes_at_the_same_time_count_together() -> None:
    one = {"network_s": 2.0, "rate_hz": 5.0, "seconds": {"build": 1.0, "compile": 3.0, "simulate": 4.0}}
    two = {"network_s": 2.0, "rate_hz": 6.0, "seconds": {"build": 2.0, "compile": 2.0, "simulate": 6.0}}
    found = cuba._entry([one, two], 12.0)
    assert found["simulate_per_network_s"] == 6.0 / 4.0
    assert found["all_per_network_s"] == (2.0 + 3.0 + 6.0) / 4.0
    assert found["rate_hz"] == 5.5


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(NeurosalError, match="KeyError: 'nothing'"):
        together([{"task": "nothing", "threads": 1}])
