"""Experiments: arms, varied settings, what is refused before anything is written, going on between arms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import neurosal as ns
from neurosal.errors import ExperimentError, StoreError
from neurosal.runner.experiment import contenders_of, replicas
from neurosal.runner.training import DivergedWarning
from tests.cli.invoking import SMALL, invoke, small
from tests.runner.making import must_hold_the_same


def experiment_of(**changes: Any) -> Any:
    fields = {**SMALL, "training": {"epochs": 2, "optimizer": {"kind": "sgd", "lr": 0.1}}, **changes}
    return ns.Experiment.from_dict(fields)


def sized(*sizes: int, **recipe: Any) -> dict[str, Any]:
    return {"recipe": {"circuit": "mlp", "arguments": {"sizes": [64, *sizes, 10]}, **recipe}}


def test_each_arm_is_a_run_of_its_own_with_its_own_training(tmp_path: Path) -> None:
    arms = {**SMALL["arms"], "bp": {**SMALL["arms"]["bp"], "training": {"epochs": 3, "optimizer": {"lr": 0.3}}}}
    run = ns.run(experiment_of(arms=arms), store=tmp_path / "run", device="cpu")
    assert list(run.arms) == ["bp", "sal"]
    assert run.arms["bp"].settings["training"]["epochs"] == 3
    assert run.arms["bp"].settings["training"]["optimizer"]["lr"] == 0.3
    assert run.arms["sal"].settings["training"]["epochs"] == 2
    assert [len(arm.tree["metrics/eval"].step) for arm in run.arms.values()] == [4, 3]
    assert run.status.state == "done"
    assert run.status.step == (3 + 2) * 7
    alone = ns.train(
        ns.compile(run.arms["sal"].circuit, seeds=(0, 1), device="cpu"),
        experiment_of().data.load(), experiment_of().training, store=tmp_path / "alone",
    )  # fmt: skip
    must_hold_the_same(run.arms["sal"], alone)


def test_varied_settings_are_replicas_beside_the_seeds(tmp_path: Path) -> None:
    asked = experiment_of(vary={"optimizer.lr": [0.1, 0.3], "optimizer.weight_decay": [0.0, 0.01]}, seeds=[3, 5])
    seeds, varied, training = replicas(asked, asked.training)
    assert seeds == (3, 3, 3, 3, 5, 5, 5, 5)
    assert varied == {"lr": [0.1, 0.1, 0.3, 0.3] * 2, "weight_decay": [0.0, 0.01] * 4}
    assert (training.optimizer.lr, training.optimizer.weight_decay) == tuple(map(tuple, varied.values()))
    run = ns.run(asked, store=tmp_path / "run", device="cpu")
    record = run.arms["bp"].tree["metrics/eval"]
    assert record.seed.values.tolist() == list(seeds)
    assert record.lr.values.tolist() == varied["lr"]
    alone = experiment_of(
        seeds=[5], training={"epochs": 2, "optimizer": {"kind": "sgd", "lr": 0.3, "weight_decay": 0.01}}
    )
    other = ns.run(alone, store=tmp_path / "alone", device="cpu").arms["bp"].tree["metrics/eval"]
    np.testing.assert_allclose(record.test_loss.values[-1], other.test_loss.values[0], rtol=1e-5)


def test_progress_counts_over_all_arms(tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    ns.run(experiment_of(), store=tmp_path / "run", device="cpu", progress=lambda *args: told.append(args))
    steps = 2 * 7
    assert [entry[0] for entry in told] == list(range(1, 2 * steps + 1))
    assert {entry[1] for entry in told} == {2 * steps}
    assert [entry[2] for entry in told] == ["bp"] * steps + ["sal"] * steps


@pytest.mark.parametrize("after", [5, 14, 15, 20])
def test_an_interrupted_experiment_goes_on_and_leaves_finished_arms_alone(after: int, tmp_path: Path) -> None:
    asked = experiment_of(training={"epochs": 2, "checkpoint_every": 1, "record": [{"what": "angle", "every": 2}]})
    expected = ns.run(asked, store=tmp_path / "whole", device="cpu")

    def stop(done: int, _: int, __: str) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ns.run(asked, store=tmp_path / "run", device="cpu", progress=stop)
    assert ns.open_run(tmp_path / "run").status.state == "interrupted"
    bp = tmp_path / "run" / "arms" / "bp"
    files = {path: path.stat().st_mtime_ns for path in bp.rglob("*") if path.name != ".lock"}
    told: list[str] = []
    run = ns.run(asked, store=tmp_path / "run", device="cpu", resume=True, progress=lambda *args: told.append(args[2]))
    if after > 14:
        assert set(told) == {"sal"}
        assert files == {path: path.stat().st_mtime_ns for path in bp.rglob("*") if path.name != ".lock"}
    for name, arm in run.arms.items():
        must_hold_the_same(arm, expected.arms[name])
    assert run.status.state == "done"


def test_a_finished_experiment_is_opened_and_another_is_refused(tmp_path: Path) -> None:
    asked = experiment_of()
    first = ns.run(asked, store=tmp_path / "run", device="cpu")
    again = ns.run(asked, store=tmp_path / "run", device="cpu", resume=True)
    assert again.status == first.status
    with pytest.raises(StoreError, match=r"experiment.yaml: seeds: expected \[0, 1\], found \[0, 1, 2\]"):
        ns.run(experiment_of(seeds=[0, 1, 2]), store=tmp_path / "run", device="cpu", resume=True)
    with pytest.raises(StoreError, match="--resume"):
        ns.run(asked, store=tmp_path / "run", device="cpu")


def test_a_single_run_is_no_experiment_to_resume(tmp_path: Path) -> None:
    ns.run(experiment_of(), store=tmp_path / "run", device="cpu")
    (tmp_path / "run" / "arms" / "bp").rename(tmp_path / "single")
    with pytest.raises(StoreError):
        ns.run(experiment_of(), store=tmp_path / "single", device="cpu", resume=True)


def test_the_store_is_called_after_the_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ns.run(experiment_of(arms={"bp": SMALL["arms"]["bp"]}), device="cpu")
    assert (tmp_path / "runs" / "small" / "arms" / "bp" / "status.json").is_file()


# Probes of experiments with different arms ---------------------------------------------------------------------------


def test_each_arm_records_what_it_has_of_the_experiments_probes(tmp_path: Path) -> None:
    probes = [
        {"what": "angle", "target": "hidden1_to_output"},
        {"what": "usage", "target": "hidden1"},
        {"what": "weight", "target": "output_to_hidden1"},
        {"what": "weight", "target": "hidden1_to_output"},
    ]
    probes = [{**probe, "epochs": 1} for probe in probes]
    arms = {name: sized(4, rule=name) for name in ("shallow", "fa")} | {"sal": SMALL["arms"]["sal"]}
    run = ns.run(
        experiment_of(arms=arms, training={"epochs": 1, "record": probes}), store=tmp_path / "run", device="cpu"
    )
    groups = {name: {node.path for node in arm.tree.subtree} for name, arm in run.arms.items()}
    recorded = {
        name: [place in groups[name] for place in (
            "/stats/symmetry/epochs_1", "/stats/routing/epochs_1", "/projections/output_to_hidden1/epochs_1",
            "/projections/hidden1_to_output/epochs_1",
        )]
        for name in arms
    }  # fmt: skip
    assert recorded == {
        "shallow": [False, False, False, True], "fa": [True, False, True, True], "sal": [True, True, True, True],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"record": [{"what": "usage", "target": "input", "epochs": 1}]}}, r"training\.record\.usage"),
        (
            {"arms": {"a": {**sized(4, rule="shallow"), "training": {"record": [
                {"what": "angle", "target": "hidden1_to_output", "epochs": 1}]}}, "b": sized(4, rule="fa")}},
            r"arms\.a\.training\.record\.angle",
        ),
        ({"seeds": [1, 1]}, "each seed once"),
        ({"arms": {"a": sized(4), "b": {"recipe": {"circuit": "mlp", "arguments": {"sizes": [9, 10]}}}}}, "64 units"),
        ({"training": {"optimizer": {"kind": "sgd", "lr": [0.1, 0.2, 0.3]}}}, "3 values"),
    ],
    ids=["no arm has it", "this arm has it not", "seeds", "sizes", "rates"],
)  # fmt: skip
def test_problems_are_told_before_anything_is_written(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=message):
        ns.run(experiment_of(**changes), store=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_told_before_anything_is_written(tmp_path: Path) -> None:
    device = "cuda:7" if torch.cuda.is_available() else "cuda"
    with pytest.raises(ExperimentError, match="device"):
        ns.run(experiment_of(), store=tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


def test_built_in_experiments_have_a_use_for_every_probe() -> None:
    for name in ("sal_digits", "sal_digits_rates"):
        asked = ns.load_experiment(name)
        ready = contenders_of(asked)
        assert [one.name for one in ready] == list(asked.arms)
        assert any(one.training.record == asked.training.record for one in ready)


# Divergence ----------------------------------------------------------------------------------------------------------

SICK = {"epochs": 2, "optimizer": {"kind": "sgd", "lr": 0.1}}


def test_an_arm_that_diverges_lets_the_others_go_on_and_names_itself(tmp_path: Path) -> None:
    arms = {"sick": {**sized(4, rule="fa"), "training": {"optimizer": {"lr": 1e30}}}, "well": sized(4, rule="fa")}
    with pytest.warns(DivergedWarning):
        run = ns.run(experiment_of(arms=arms, training=SICK), store=tmp_path / "run", device="cpu")
    assert run.status.state == "diverged"
    assert run.status.message.startswith("sick: replica 0 (seed 0)")
    assert run.arms["well"].status.state == "done"
    assert (
        ns.run(experiment_of(arms=arms, training=SICK), store=tmp_path / "run", device="cpu", resume=True).status
        == run.status
    )


def test_a_diverged_experiment_ends_the_command_line_with_3(tmp_path: Path) -> None:
    file = small(tmp_path, vary={"optimizer.lr": [0.1, 1e30]}, training=SICK)
    output, error = invoke("run", file, "--store", tmp_path / "store", "--device", "cpu", code=3)
    assert "mean ± sd" in output
    for part in ("stopped being finite", "replica 1", "lr 1e+30", "projection 'input_to_hidden1'", "by step"):
        assert part in error, part
    assert ns.open_run(tmp_path / "store").status.state == "diverged"
    invoke("run", file, "--store", tmp_path / "store", "--device", "cpu", "--resume", code=3)
