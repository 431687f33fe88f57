"""Searches: what they try, what they judge by, and that they never see test data."""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurosal as ns
from neurosal.data import DataSpec, Split
from neurosal.data.dataset import Dataset
from neurosal.errors import ExperimentError, StoreError
from neurosal.graph.files import read_yaml
from neurosal.runner import tuning
from neurosal.settings import SGD, Arm, Experiment, Recipe, Search, Training, Tuned

LR = "optimizer.lr"


def arm(rule: str = "bp", **fields: Any) -> Arm:
    options = fields.pop("options", {})
    recipe = Recipe(circuit="mlp", arguments={"sizes": [64, 6, 10]}, rule=rule, options=options)
    return Arm(recipe=recipe, **fields)


def asked(rates: Any = (0.001, 0.3, 1000.0), arms: Any = None, **changes: Any) -> Experiment:
    search = Search(**{"over": {LR: rates}, "seeds": (7, 8), "validation": 40, **changes.pop("search", {})})
    fields: dict[str, Any] = {
        "name": "toy",
        "data": DataSpec(name="digits", scaling="symmetric", subset={"train": 200, "test": 100}),
        "arms": arms or {"bp": arm()},
        "training": Training(epochs=2, optimizer=SGD(lr=0.1), checkpoint_every=1),
        "search": search,
    }
    return Experiment(**fields | changes)


def tuned(experiment: Experiment, store: Path, **options: Any) -> Tuned:
    return ns.tune(experiment, store=store, device="cpu", **options)


# What is found -------------------------------------------------------------------------------------------------------


def test_the_better_rate_is_found_and_scored_as_by_hand(tmp_path: Path) -> None:
    found = tuned(asked(arms={"bp": arm(), "fa": arm("fa")}), tmp_path / "search")
    assert {name: best.settings for name, best in found.arms.items()} == {"bp": {LR: 0.3}, "fa": {LR: 0.3}}
    best = found.arms["bp"]
    assert not best.at_edge
    assert [trial.settings[LR] for trial in best.trials] == [0.001, 0.3, 1000]
    spec = asked().data.replace(split=Split(validation=40), subset={"train": 160, "test": 0})
    scores = []
    for seed in (7, 8):
        network = ns.compile(ns.rules.bp(ns.circuits.mlp(64, 6, 10)), seeds=[seed], device="cpu")
        run = ns.train(network, spec.load(), epochs=2, optimizer=SGD(lr=0.3), store=tmp_path / str(seed), batch_size=16)
        scores.append(float(run.tree["metrics/eval"].validation_accuracy[0, -1]))
    assert best.score == pytest.approx(statistics.mean(scores), abs=1e-7)
    assert best.deviation == pytest.approx(statistics.stdev(scores), abs=1e-7)
    assert (found.data["train"], found.data["validation"]) == (160, 40)


def test_what_is_found_is_stored_and_lies_in_the_arms_of_the_experiment(tmp_path: Path) -> None:
    experiment = asked(arms={"bp": arm(note="weight transport"), "fa": arm("fa")})
    found = tuned(experiment, tmp_path / "search")
    for path in (tmp_path / "search", tmp_path / "search" / "tuned.yaml"):
        assert Tuned.open(path) == found
    assert Tuned.from_yaml(found.to_yaml()) == found
    applied = found.apply(experiment)
    assert applied.training_of("bp").optimizer.lr == 0.3
    assert applied.arms["bp"].note == "weight transport; tuned on validation: best of 3"
    assert applied.replace(arms=experiment.arms) == experiment
    assert ns.run(applied, store=tmp_path / "run", device="cpu").status.state == "done"


def test_the_same_seeds_give_the_same_result_bit_for_bit(tmp_path: Path) -> None:
    first, second = (tuned(asked(), tmp_path / name) for name in ("a", "b"))
    assert first == second
    assert (tmp_path / "a" / "tuned.yaml").read_bytes() == (tmp_path / "b" / "tuned.yaml").read_bytes()


# Test data -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [Split(), Split(train=0.8, test=0.2), Split(validation=0.2), Split(test=100)])
def test_test_data_is_poison_and_is_never_touched(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = asked(data=DataSpec(name="digits", split=split), training=Training(epochs=1, optimizer=SGD(lr=0.1)))
    whole = experiment.data.load()
    test = {tuple(row) for row in whole.content.inputs["input"][whole._used[whole.test.index]].reshape(-1, 64).tolist()}
    assert len(test) >= 100
    parts = Dataset._part
    seen: list[Any] = []

    def watched(self: Dataset, number: int) -> Any:
        part = parts(self, number)
        if number == 2:
            assert len(part) == 0, "test data was asked for"
        seen.append(self.content.inputs["input"][self._used[part.index]].reshape(-1, 64))
        return part

    monkeypatch.setattr(Dataset, "_part", watched)
    found = tuned(experiment, tmp_path / "search")
    touched = {tuple(row) for rows in seen for row in rows.tolist()}
    assert touched
    assert not touched & test
    run = ns.open_run(tmp_path / "search" / "rounds" / "1")
    assert {str(name) for name in run.arms["bp"].tree["metrics/eval"].data_vars} == {
        "validation_loss", "validation_accuracy",
    }  # fmt: skip
    assert found.data["train"] + found.data["validation"] == len(whole.train) + len(whole.validation)


def test_poisoned_test_data_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(120, 64)).astype("float32"), random.integers(10, size=120)
    results = []
    for name, poison in (("clean", 0.0), ("poisoned", 1e6)):
        folder = tmp_path / name
        folder.mkdir()
        np.savez(
            folder / f"own_{name}.npz", x_train=x, y_train=y, x_test=x[:30] + poison, y_test=(y[:30] + int(poison)) % 10
        )
        monkeypatch.setenv("NEUROSAL_DATA", str(folder))
        spec = DataSpec(name=f"own_{name}", scaling="standardise")
        results.append(tuned(asked(data=spec), tmp_path / f"{name}_search"))
    assert results[0].data["sha256"] != results[1].data["sha256"]
    assert results[0].arms == results[1].arms


# Resuming ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 13, 25])
def test_a_search_that_was_killed_goes_on_to_the_same_result(steps: int, tmp_path: Path) -> None:
    experiment = asked(arms={"bp": arm(), "fa": arm("fa")})
    whole = tuned(experiment, tmp_path / "whole")
    count = itertools.count(1)

    def stop(*_: Any) -> None:
        if next(count) == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(experiment, tmp_path / "killed", progress=stop)
    assert not (tmp_path / "killed" / "tuned.yaml").exists()
    assert tuned(experiment, tmp_path / "killed", resume=True) == whole
    assert tuned(experiment, tmp_path / "killed", resume=True) == whole  # finished: only opened
    assert tuned(experiment, tmp_path / "new", resume=True) == whole  # absent: started


def test_a_store_is_neither_overwritten_nor_gone_on_with_by_another_search(tmp_path: Path) -> None:
    tuned(asked(), tmp_path / "search")
    with pytest.raises(StoreError, match="--resume"):
        tuned(asked(), tmp_path / "search")
    with pytest.raises(StoreError, match=r"search\.over\.optimizer\.lr"):
        tuned(asked(rates=(0.1, 0.2)), tmp_path / "search", resume=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="something else"):
        tuned(asked(), tmp_path / "mine", resume=True)


# Edges, ties, divergence ---------------------------------------------------------------------------------------------


def test_a_best_value_at_an_edge_is_marked_and_extending_goes_on_until_it_is_inside(tmp_path: Path) -> None:
    training = Training(epochs=6, optimizer=SGD(lr=0.1), evaluate_every=6)
    experiment = asked(rates=(0.01, 0.03), arms={"bp": arm(), "shallow": arm("shallow")}, training=training)
    found = tuned(experiment, tmp_path / "search")
    assert found.arms["bp"].at_edge == {LR: "largest"}
    longer = experiment.replace(search=experiment.search.replace(extend=True))
    extended = tuned(longer, tmp_path / "search", resume=True)
    tried = {name: [trial.settings[LR] for trial in best.trials] for name, best in extended.arms.items()}
    assert tried["bp"] == tried["shallow"]  # the same budget for every arm
    assert tried["bp"] == pytest.approx([0.01 * 3**power for power in range(len(tried["bp"]))], rel=1e-3)
    assert not any(best.at_edge for best in extended.arms.values())
    assert extended.arms["bp"].trials[:2] == found.arms["bp"].trials
    assert [trial.round for trial in extended.arms["bp"].trials] == [1, *range(1, len(tried["bp"]))]
    assert extended == tuned(longer, tmp_path / "at_once")


def test_of_equal_scores_the_smaller_rate_is_taken(tmp_path: Path) -> None:
    found = tuned(asked(rates=(3e-9, 1e-9, 2e-9)), tmp_path / "search")  # no rate at which anything changes
    assert len({trial.score for trial in found.arms["bp"].trials}) == 1
    assert found.arms["bp"].settings == {LR: 1e-9}


def test_trials_that_diverge_rank_last_and_are_counted(tmp_path: Path) -> None:
    found = tuned(asked(rates=(1e-7, 1e30)), tmp_path / "search").arms["bp"]
    assert [trial.diverged for trial in found.trials] == [0, 2]
    assert found.trials[1].score is None
    assert found.settings == {LR: 1e-7}
    assert found.diverged == 2


def test_an_arm_whose_trials_all_diverge_has_no_best_and_cannot_be_applied(tmp_path: Path) -> None:
    experiment = asked(rates=(1e29, 1e30))
    found = tuned(experiment, tmp_path / "search")
    best = found.arms["bp"]
    assert (dict(best.settings), best.score, best.diverged) == ({}, None, 4)
    with pytest.raises(ExperimentError, match="every trial diverged"):
        found.apply(experiment)


# Programs ------------------------------------------------------------------------------------------------------------


def test_settings_that_keep_shapes_are_one_program_and_others_their_own(tmp_path: Path) -> None:
    over = {"batch_size": (16, 50), "recipe.options.areas": (2, 3), LR: (0.1, 0.3), "optimizer.momentum": (0.0, 0.9)}
    experiment = asked(arms={"sal": arm("sal")}, search={"over": over, "seeds": (7, 8)})
    experiment = experiment.replace(training=experiment.training.replace(epochs=1))
    found = tuned(experiment, tmp_path / "search").arms["sal"]
    run = ns.open_run(tmp_path / "search" / "rounds" / "1")
    assert {name: one.tree["metrics/eval"].sizes["replica"] for name, one in run.arms.items()} == {
        f"sal--{number}": 8 for number in (1, 2, 3, 4)
    }
    assert [dict(trial.settings) for trial in found.trials] == [
        dict(zip(over, row, strict=True)) for row in itertools.product(*over.values())
    ]
    for number, (batch, areas) in enumerate(itertools.product((16, 50), (2, 3)), start=1):
        one = run.arms[f"sal--{number}"]
        assert one.settings["training"]["batch_size"] == batch
        assert one.circuit.populations["hidden1"].areas == areas


def test_programs_are_cut_where_memory_is_short_with_the_same_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tuned(asked(), tmp_path / "whole")
    monkeypatch.setattr(tuning, "machine_memory", lambda: 200_000)
    cut = tuned(asked(), tmp_path / "cut")
    assert len(ns.open_run(tmp_path / "cut" / "rounds" / "1").arms) == 3
    for one, other in zip(whole.arms["bp"].trials, cut.arms["bp"].trials, strict=True):
        assert one.settings == other.settings
        assert one.score == pytest.approx(other.score, abs=0.026)  # one sample: kernels of other shapes round otherwise
    monkeypatch.setattr(tuning, "machine_memory", lambda: 1 << 40)
    assert tuned(asked(), tmp_path / "cut", resume=True) == cut  # a resumed search keeps its programs


def test_the_budget_of_the_search_is_laid_over_that_of_the_arms(tmp_path: Path) -> None:
    arms = {"bp": arm(training={"epochs": 5}), "fa": arm("fa")}
    found = tuned(asked(arms=arms, search={"epochs": 1, "evaluate_every": 1}), tmp_path / "search")
    assert {best.epochs for best in found.arms.values()} == {1}
    run = ns.open_run(tmp_path / "search" / "rounds" / "1")
    assert {one.status.epoch for one in run.arms.values()} == {1}
    assert read_yaml(tmp_path / "search" / "search.yaml").data["experiment"]["arms"]["bp"]["training"] == {"epochs": 5}


def test_the_best_evaluation_may_be_judged_in_place_of_the_last(tmp_path: Path) -> None:
    final = tuned(asked(), tmp_path / "final").arms["bp"]
    best = tuned(asked(search={"criterion": "best"}), tmp_path / "best").arms["bp"]
    curves = ns.open_run(tmp_path / "final" / "rounds" / "1").arms["bp"].tree["metrics/eval"].validation_accuracy
    for index in range(3):
        means = curves.values.reshape(2, 3, -1)[:, index].mean(0)
        assert final.trials[index].score == pytest.approx(means[-1])
        assert best.trials[index].score == pytest.approx(means.max())


def test_loss_judges_where_targets_are_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 64)).astype("float32")
    np.savez(tmp_path / "numbers.npz", x=x, y=x[:, :10] * 2)
    monkeypatch.setenv("NEUROSAL_DATA", str(tmp_path))
    training = Training(epochs=2, optimizer=SGD(lr=0.1), loss="mse")
    found = tuned(asked(rates=(1e-6, 0.1), training=training, data=DataSpec(name="numbers")), tmp_path / "search")
    assert found.measure == "loss"
    scores = [trial.score for trial in found.arms["bp"].trials]
    assert scores[1] < scores[0]
    assert found.arms["bp"].settings == {LR: 0.1}


def test_accuracy_judges_classes_whatever_the_loss(tmp_path: Path) -> None:
    training = Training(epochs=2, optimizer=SGD(lr=0.1), loss="mse")
    found = tuned(asked(rates=(1e-6, 0.5), training=training), tmp_path / "search")
    assert found.measure == "accuracy"
    run = ns.open_run(tmp_path / "search" / "rounds" / "1").arms["bp"].tree["metrics/eval"]
    means = run.validation_accuracy.values[:, -1].reshape(2, 2).mean(0)
    assert [trial.score for trial in found.arms["bp"].trials] == pytest.approx(means)


def test_arms_without_a_loss_have_nothing_to_judge_by(tmp_path: Path) -> None:
    training = Training(epochs=1, optimizer=SGD(lr=0.1), loss="none")
    with pytest.raises(ExperimentError, match="the loss is none"):
        tuned(asked(training=training), tmp_path / "search")
    assert not (tmp_path / "search").exists()
