"""The plasticity experiments run, small, and their analyses say what happened."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosal as ns
from neurosal import analysis, experiments
from neurosal.errors import ExperimentError
from neurosal.settings import Experiment, Phase

NAMES = ("weight_mirror", "align_then_learn", "freeze_feedback", "lesion_recover", "split_digits", "transfer")


def short(phase: Phase) -> Phase:
    return phase.replace(epochs=1) if phase.steps is None else phase.replace(steps=min(phase.steps, 20))


def small(name: str) -> Experiment:
    """One seed, three arms at most, every phase as short as can be."""
    made: Experiment = getattr(experiments, name)()
    arms = {
        arm: value
        if value.phases is None
        else value.replace(phases=tuple(map(short, value.phases)), cycles=value.cycles and 30)
        for arm, value in [list(made.arms.items())[place] for place in (0, 3, -2)]
    }
    return made.replace(seeds=(0,), arms=arms, phases=tuple(map(short, made.phases)))


@pytest.fixture(scope="module", params=NAMES)
def ran(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Any]:
    made = small(request.param)
    return made, ns.run(made, store=tmp_path_factory.mktemp("runs") / made.name, device="cpu")


def test_it_runs_to_its_end_and_comes_back_from_yaml(ran: tuple[Experiment, Any]) -> None:
    made, run = ran
    assert run.status.state == "done"
    assert Experiment.from_yaml(made.to_yaml()) == made


def test_its_analyses_draw_and_tabulate_it(ran: tuple[Experiment, Any], tmp_path: Path) -> None:
    made, run = ran
    assert len(made.analyses) == 2
    for name in made.analyses:
        member = getattr(analysis, name)
        dataset = member(run)
        table = member.table(dataset)
        titles = {arm.label for arm in made.arms.values()}
        assert titles <= {row[0] for row in table.rows}
        assert len(member.save(dataset, tmp_path)) == 4


def test_forgetting_is_that_of_the_recorded_accuracies(tmp_path: Path) -> None:
    made = small("split_digits")
    run = ns.run(made, store=tmp_path / "run", device="cpu")
    dataset = analysis.forgetting(run)
    record = run.arms["bp"].tree["metrics/tasks"]
    ends = [*run.arms["bp"].tree["metrics/phases"].step.values[1:].tolist(), int(record.step.values[-1])]
    matrix = np.array([record.accuracy.sel(step=end).values[0] for end in ends])
    np.testing.assert_array_equal(dataset.accuracy.sel(arm="bp").values[0], matrix)
    assert float(dataset.accuracy_forgetting.sel(arm="bp")[0]) == float(ns.stats.forgetting(matrix))
    assert dataset.vote.sel(arm="sal").notnull().all()
    assert math.isnan(float(dataset.vote.sel(arm="bp")[0]))


def test_what_a_lesion_does_at_once_and_what_comes_back_are_told_apart(tmp_path: Path) -> None:
    run = ns.run(small("lesion_recover"), store=tmp_path / "run", device="cpu")
    dataset = analysis.phases(run)
    begins, ends = (dataset[name].sel(arm="bp").values[0, :, 0] for name in ("begin", "end"))
    assert dataset.phase.sel(arm="bp").values.tolist() == ["intact", "units_lost", "synapses_lost", "restored"]
    evaluated = run.arms["bp"].tree["metrics/eval"].test_accuracy.values[0]
    np.testing.assert_array_equal(ends, evaluated[1:])
    assert begins[0] == evaluated[0]
    assert begins[1] < ends[0] - 0.1


@pytest.mark.parametrize("member", [analysis.phases, analysis.forgetting])
def test_runs_without_phases_are_refused_in_words(member: Any, tmp_path: Path) -> None:
    network = ns.compile(ns.rules.bp(ns.circuits.mlp(64, 5, 10)), device="cpu")
    run = ns.train(
        network, ns.data.load("digits"), epochs=1, batch_size=256, optimizer=ns.SGD(), store=tmp_path / "run"
    )
    with pytest.raises(ExperimentError, match="phases"):
        member(run)
