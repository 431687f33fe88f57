"""Several stores as one run: arms side by side, seeds put together, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import xarray

import neurosal as ns
from neurosal import analysis
from neurosal.data import DataSpec
from neurosal.errors import ExperimentError
from neurosal.settings import SGD, Arm, Experiment, Recipe, Training, probe
from tests.cli.invoking import invoke

TRAINING = Training(epochs=2, batch_size=32, optimizer=SGD(lr=0.1), record=(probe("angle"),))


def experiment(*rules: str, seeds: tuple[int, ...] = (0, 1), **changes: Any) -> Experiment:
    arms = {rule: Arm(recipe=Recipe(circuit="mlp", arguments={"sizes": [64, 8, 10]}, rule=rule)) for rule in rules}
    data = DataSpec(name="digits", subset={"train": 200, "test": 100})
    return Experiment(name="small", data=data, arms=arms, seeds=seeds, training=TRAINING.replace(**changes))


def test_arms_run_apart_stand_side_by_side(tmp_path: Path) -> None:
    whole = ns.run(experiment("bp", "fa", "kp"), store=tmp_path / "whole")
    apart = [ns.run(experiment(*some), store=tmp_path / some[0]) for some in (("bp",), ("fa", "kp"))]
    for one in (analysis.learning_curves, analysis.symmetry):
        expected = one(whole)
        xarray.testing.assert_equal(one(apart), expected)
        assert str(one.table(one(apart))) == str(one.table(expected))


def test_seeds_run_apart_are_put_together(tmp_path: Path) -> None:
    whole = ns.run(experiment("fa", seeds=(0, 1, 2)), store=tmp_path / "whole")
    apart = [ns.run(experiment("fa", seeds=seeds), store=tmp_path / str(len(seeds))) for seeds in ((0, 1), (2,))]
    found, expected = analysis.learning_curves(apart), analysis.learning_curves(whole)
    assert found.seeds.values.tolist() == [3]
    numpy.testing.assert_allclose(found.test_loss.values, expected.test_loss.values, rtol=1e-5)
    numpy.testing.assert_allclose(
        analysis.symmetry(apart).angle.values, analysis.symmetry(whole).angle.values, rtol=1e-5
    )


def test_what_does_not_belong_together_is_refused_with_both_places(tmp_path: Path) -> None:
    first = ns.run(experiment("fa"), store=tmp_path / "first")
    same = ns.run(experiment("fa", seeds=(1, 2)), store=tmp_path / "same")
    other = ns.run(experiment("fa", seeds=(5,), batch_size=16), store=tmp_path / "other")
    with pytest.raises(ExperimentError, match=r"same.*replicas that .*first.* does not have.*seed"):
        analysis.learning_curves([first, same])
    with pytest.raises(ExperimentError, match=r"other.*the training of .*first"):
        analysis.learning_curves([first, other])


def test_the_command_line_runs_single_arms_and_analyses_several_stores(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    small = experiment("bp", "fa", "kp", record=(probe("angle"), probe("usage")))
    routed = Arm(recipe=Recipe(circuit="mlp", arguments={"sizes": [64, 8, 10]}, rule="sal", options={"areas": 2}))
    file.write_text(small.replace(arms=dict(small.arms) | {"sal": routed}).to_yaml(), encoding="utf-8")
    invoke("run", file, "--arm", "bp", "--store", tmp_path / "one")
    invoke("run", file, "--arm", "fa", "--arm", "kp", "--store", tmp_path / "two")
    output = invoke("analyse", "learning_curves", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "out")[0]
    assert [line.split()[0] for line in output.splitlines()[3:6]] == ["bp", "fa", "kp"]
    assert (tmp_path / "out" / "learning_curves.png").exists()
    error = invoke("run", file, "--arm", "pb", "--store", tmp_path / "three", code=2)[1]
    assert "found 'pb'. There are: bp, fa, kp, sal" in error
    assert not (tmp_path / "three").exists()
