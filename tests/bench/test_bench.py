"""The bench on a tiny work: what it times, what it refuses, what it writes."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from neurosal.bench import command, reading, statistics
from neurosal.bench.contenders import RULES, Work, agree, ours, theirs, torch_model
from neurosal.bench.timing import interleaved, matrix_rate
from neurosal.engine.learning import Learner
from neurosal.errors import ExperimentError, NeurosalError, StoreError
from tests.cli.invoking import invoke

TINY = Work((6, 5, 4, 3), 8)
SEEDS = Work((6, 5, 3), 8, replicas=3)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons of milliseconds."""
    monkeypatch.setattr(command, "COMPARISONS", {"rules": {TINY: ("bp", "dfa")}, "replicas": {SEEDS: ("kp",)}})
    monkeypatch.setattr(command, "OTHERS", {"statistics": functools.partial(statistics.compare, work=SEEDS)})
    monkeypatch.setattr(command, "matrix_rate", lambda threads: matrix_rate(threads, size=8))
    monkeypatch.setitem(command.main.__kwdefaults__, "turns", 3)
    monkeypatch.setitem(command.main.__kwdefaults__, "seconds_a_turn", 0.001)


def test_a_bench_prints_ratios_and_writes_what_it_measured(
    tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = command.main(out=tmp_path / "bench.json")
    printed = capsys.readouterr().out
    assert "6-5-4-3, batch 8: time a step over torch backpropagation" in printed
    assert "6-5-3, batch 8, 3 seeds" in printed
    assert json.loads((tmp_path / "bench.json").read_text()) == report
    first, second, third = report["results"]
    assert third["comparison"] == "statistics"
    assert list(first["contenders"]) == ["torch backprop", "torch backprop, fused SGD", "bp", "dfa"]
    assert (first["comparison"], second["comparison"]) == ("rules", "replicas")
    best = min(first["contenders"][name]["median_s"] for name in ("torch backprop", "torch backprop, fused SGD"))
    for entry in first["contenders"].values():
        assert 0 < entry["low_s"] <= entry["median_s"] <= entry["high_s"]
        assert entry["ratio"] == pytest.approx(entry["median_s"] / best)
        assert entry["threads"] in report["threads"]
    assert report["machine"]["torch"] == torch.__version__


def test_statistics_are_timed_beside_the_steps_between_them(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = command.main("statistics")["results"]
    assert "unit_angle" in found["statistics"]
    assert "principal_angles" not in found["statistics"]  # too dear for every few steps
    for rule in ("fa", "kp"):
        step, taken = (found["contenders"][f"{rule} {what}"]["median_s"] for what in ("step", "statistics"))
        assert found["added"][rule] == pytest.approx(taken / (10 * step))
    assert f"{len(found['statistics'])} statistics of symmetry every 10 steps" in capsys.readouterr().out


def test_reading_is_timed_as_recorded_and_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = reading.compare(Console(width=160), turns=2, sizes=(20, 30, 10), snapshots=70, folder=tmp_path)
    printed = capsys.readouterr().out
    assert "reading 20-30-10, 70 snapshots" in printed
    assert "one synapse through time" in printed
    for files in ("warm", "cold"):
        for entry in row[files].values():
            assert entry["faster"] == pytest.approx(entry["recorded_s"] / entry["packed_s"])
    assert row["bytes_recorded"] > 70 * 4 * (20 * 30 + 30 * 10)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_the_command_line_measures_one_comparison_and_writes_it(tiny: None, tmp_path: Path) -> None:
    invoke("bench", "replicas", "--out", tmp_path / "bench.json")
    assert [entry["comparison"] for entry in json.loads((tmp_path / "bench.json").read_text())["results"]] == [
        "replicas"
    ]


def test_what_cannot_be_measured_or_written_is_told_at_once(
    tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "interleaved", lambda *_, **__: pytest.fail("it measured"))
    with pytest.raises(ExperimentError, match=r"bench: expected a comparison, found 'rulez'\. Did you mean 'rules'"):
        command.main("rulez")
    with pytest.raises(StoreError, match="write what was measured"):
        command.main(out=tmp_path / "none" / "bench.json")
    assert "Did you mean 'rules'" in invoke("bench", "rulez", code=2)[1]


# Nothing wrong is timed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("work", [TINY, SEEDS], ids=str)
def test_a_right_engine_is_timed(work: Work) -> None:
    agree(work)


def test_an_engine_that_changes_too_little_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = Learner.learn

    def half(self: Any, change: Any, *rest: Any) -> None:
        if "hidden1_to_hidden2" not in change.projections:
            learn(self, change, *rest)

    monkeypatch.setattr(Learner, "learn", half)
    with pytest.raises(NeurosalError, match="hidden1_to_hidden2; nothing is timed"):
        agree(TINY)


def test_a_wrong_engine_stops_the_bench_before_it_prints(
    tiny: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Learner, "learn", lambda *_: None)
    with pytest.raises(NeurosalError, match="differs from autograd"):
        command.main("rules")
    assert capsys.readouterr().out == ""


# Contenders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_of_the_bench_takes_its_step(rule: str) -> None:
    for work in (TINY, SEEDS):
        loss = ours(work, rule)()
        assert loss.shape == (work.replicas,)  # type: ignore[attr-defined]


@pytest.mark.parametrize("fused", [False, True])
def test_torch_trains_one_model_for_each_replica(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[Any] = []

    def remembered(work: Work) -> Any:
        models.append(torch_model(work))
        return models[-1]

    monkeypatch.setattr("neurosal.bench.contenders.torch_model", remembered)
    step = theirs(SEEDS, fused=fused)
    before = [[parameter.detach().clone() for parameter in model.parameters()] for model in models]
    step()
    assert len(models) == 3
    for model, old in zip(models, before, strict=True):
        assert any(not torch.equal(new, was) for new, was in zip(model.parameters(), old, strict=True))


def test_both_get_the_same_batch_and_the_same_net() -> None:
    x, y = SEEDS.data()
    assert (x.shape, y.shape) == ((3, 8, 6), (3, 8))
    assert torch.equal(x, SEEDS.data()[0])
    sizes = [tuple(p.shape) for p in torch_model(TINY).parameters()]
    assert sizes == [(5, 6), (5,), (4, 5), (4,), (3, 4), (3,)]
    populations = TINY.circuit().populations.values()
    assert [population.units for population in populations] == [6, 5, 4, 3]
    assert [getattr(population.model, "activation", None) for population in populations] == [
        None,
        "relu",
        "relu",
        "linear",
    ]


def test_operations_are_those_of_the_products_of_a_step() -> None:
    forward = 6 * 5 + 5 * 4 + 4 * 3
    assert TINY.operations() == 2 * 8 * (forward + forward + forward - 6 * 5)
    assert Work(TINY.sizes, 8, replicas=4).operations() == 4 * TINY.operations()


# Timing --------------------------------------------------------------------------------------------------------------


def test_contenders_take_turns_at_each_number_of_threads_and_keep_their_best(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    taken: list[tuple[str, int]] = []
    clock = [0.0]
    cost = {("a", 1): 1.0, ("a", 2): 3.0, ("b", 1): 4.0, ("b", 2): 2.0}

    def contender(name: str) -> Any:
        def step() -> None:
            taken.append((name, torch.get_num_threads()))
            clock[0] += cost[name, torch.get_num_threads()]

        return step

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    try:
        timings = interleaved({"a": contender("a"), "b": contender("b")}, threads=(1, 2), turns=4, seconds_a_turn=1.0)
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(before)
    assert (timings["a"].median, timings["a"].threads) == (1.0, 1)
    assert (timings["b"].median, timings["b"].threads) == (2.0, 2)
    turns = [name for name, count in taken if count == 1][-8:]
    assert turns == ["a", "b"] * 4


def test_threads_are_put_back_when_a_contender_fails() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        interleaved({"a": fail}, threads=(1, 2), turns=2, seconds_a_turn=0.001)
    assert torch.get_num_threads() == before
    assert matrix_rate((1,), size=16) > 0
    assert torch.get_num_threads() == before
