"""Learning curves: what is averaged, what is chosen, and what a reader is told beside the numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import xarray

from neurosal import circuits, rules
from neurosal.analysis import learning_curves
from neurosal.errors import ExperimentError, StoreError
from neurosal.record import open_run, schema
from neurosal.settings import SGD, Training
from tests.analysis.synthetic import evaluation, stored, stored_experiment, symmetry, tree

STEPS = [0, 10, 20]


def results(
    final: dict[str, list[float]], *, steps: int = 3
) -> tuple[schema.Group, list[int], dict[str, numpy.ndarray]]:
    """Evaluations that end at given values of each measure, one for each replica, and go there on a line."""
    parts = list(dict.fromkeys(name.partition("_")[0] for name in final))
    group = schema.evaluation_metrics(parts)
    rise = numpy.linspace(0, 1, steps)
    count = len(next(iter(final.values())))
    values = {name: numpy.outer(final.get(name, [1.0] * count), rise) for name in group.variables}
    return group, [10 * index for index in range(steps)], values


def experiment(**arms: xarray.DataTree) -> xarray.DataTree:
    return xarray.DataTree(name="study", children=arms)


def test_mean_and_deviation_over_seeds_are_those_of_the_stored_numbers() -> None:
    group, steps, values = evaluation(STEPS, 4)
    dataset = learning_curves(tree((group, steps, values), replicas={"seed": [3, 5, 7, 9]}))
    accuracy = values["test_accuracy"]
    numpy.testing.assert_allclose(dataset["test_accuracy_mean"].isel(arm=0), accuracy.mean(axis=0))
    numpy.testing.assert_allclose(dataset["test_accuracy_deviation"].isel(arm=0), accuracy.std(axis=0, ddof=1))
    numpy.testing.assert_allclose(dataset["final_test_accuracy_mean"], accuracy[:, -1].mean())
    numpy.testing.assert_allclose(dataset["final_test_accuracy_deviation"], accuracy[:, -1].std(ddof=1))
    assert dataset["seed"].values.tolist() == [3, 5, 7, 9]
    numpy.testing.assert_allclose(dataset["epoch"].isel(arm=0), [0, 1, 2])


def test_arms_with_other_steps_keep_their_own_and_end_at_their_own_last_one() -> None:
    short, long = evaluation([0, 10], 2), evaluation([0, 7, 14, 21], 2, seed=1)
    dataset = learning_curves(
        experiment(short=tree(short, replicas={"seed": [0, 1]}), long=tree(long, replicas={"seed": [0, 1]}))
    )
    assert dataset["arm"].values.tolist() == ["short", "long"]
    numpy.testing.assert_allclose(
        dataset["test_loss_mean"].sel(arm="short").dropna("step"), short[2]["test_loss"].mean(axis=0)
    )
    numpy.testing.assert_allclose(dataset["test_loss_mean"].sel(arm="long").dropna("step")["step"], [0, 7, 14, 21])
    numpy.testing.assert_allclose(dataset["final_test_loss_mean"].sel(arm="short"), short[2]["test_loss"][:, -1].mean())


def test_a_diverged_replica_is_in_no_mean_but_counted_and_told() -> None:
    group, steps, values = evaluation(STEPS, 3)
    values = {name: array.copy() for name, array in values.items()}
    for array in values.values():
        array[1, 2:] = math.nan
    dataset = learning_curves(experiment(kp=tree((group, steps, values), replicas={"seed": [0, 1, 2]})))
    numpy.testing.assert_allclose(dataset["final_test_accuracy_mean"], values["test_accuracy"][[0, 2], -1].mean())
    numpy.testing.assert_allclose(dataset["test_accuracy_mean"].isel(step=1), values["test_accuracy"][[0, 2], 1].mean())
    table = learning_curves.table(dataset)
    assert "2 of 3" in table.rows[0]
    assert any("Diverged, and in no mean: kp 1 of 3" in remark for remark in table.remarks)


def test_a_replica_whose_training_loss_was_not_finite_counts_as_diverged_though_its_frozen_state_was_evaluated() -> (
    None
):
    training = schema.training_metrics(), STEPS, {"loss": numpy.array([[1.0, 0.5, 0.2], [1.0, math.inf, math.nan]])}
    dataset = learning_curves(tree(evaluation(STEPS, 2), training, replicas={"seed": [0, 1]}))
    assert dataset["diverged"].values.tolist() == [1]


def test_an_arm_that_diverged_as_a_whole_stays_in_the_table_without_a_result() -> None:
    group, steps, values = evaluation(STEPS, 2)
    lost = {name: numpy.where(numpy.arange(3) > 0, math.nan, array) for name, array in values.items()}
    dataset = learning_curves(
        experiment(
            bp=tree((group, steps, values), replicas={"seed": [0, 1]}),
            fa=tree((group, steps, lost), replicas={"seed": [0, 1]}),
        )
    )
    row = learning_curves.table(dataset).rows[1]
    assert row[:4] == ("fa", "–", "–", "0 of 2")


def test_the_setting_is_chosen_on_validation_whatever_the_test_part_says() -> None:
    final = {"validation_accuracy": [0.8, 0.9, 0.7] * 2, "test_accuracy": [0.95, 0.6, 0.99, 0.97, 0.62, 0.98]}
    run = tree(results(final), replicas={"seed": [0, 0, 0, 1, 1, 1], "lr": [0.1, 0.2, 0.4] * 2})
    dataset = learning_curves(run)
    numpy.testing.assert_allclose(dataset["lr"], 0.2)
    numpy.testing.assert_allclose(dataset["final_test_accuracy_mean"], 0.61)
    assert dataset["seed"].values.tolist() == [0, 1]
    table = learning_curves.table(dataset)
    assert "best of 3" in table.rows[0]
    assert any("best on the validation part" in remark for remark in table.remarks)
    assert not any("edge" in remark for remark in table.remarks)


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [([0.9, 0.8, 0.7], "lr 0.1 is the smallest of 3"), ([0.7, 0.8, 0.9], "lr 0.4 is the largest of 3")],
)
def test_a_choice_at_the_edge_of_its_grid_is_told(accuracy: list[float], said: str) -> None:
    run = tree(
        results({"validation_accuracy": accuracy, "test_accuracy": accuracy}),
        replicas={"seed": [0, 0, 0], "lr": [0.1, 0.2, 0.4]},
    )
    assert any(said in remark for remark in learning_curves.table(learning_curves(run)).remarks)


def test_a_setting_at_which_fewer_replicas_diverged_comes_first() -> None:
    final = {"validation_accuracy": [0.7, 0.7, 0.99, math.nan], "test_accuracy": [0.7, 0.7, 0.99, math.nan]}
    group, steps, values = results(final)
    for name, array in values.items():
        if name.endswith("loss"):
            array[3, 1:] = math.nan
    run = tree((group, steps, values), replicas={"seed": [0, 1, 0, 1], "lr": [0.1, 0.1, 1.0, 1.0]})
    dataset = learning_curves(run)
    numpy.testing.assert_allclose(dataset["lr"], 0.1)
    assert any("settings not shown: run 1" in remark for remark in dataset.attrs["remarks"])


def test_without_a_validation_part_nothing_is_chosen_and_every_setting_is_shown() -> None:
    run = tree(
        results({"test_accuracy": [0.7, 0.9, 0.72, 0.92]}), replicas={"seed": [0, 0, 1, 1], "lr": [0.1, 1e-4] * 2}
    )
    dataset = learning_curves(run)
    assert dataset["label"].values.tolist() == ["run lr 0.1", "run lr 1e-4"]
    numpy.testing.assert_allclose(dataset["final_test_accuracy_mean"], [0.71, 0.91])
    assert any("no setting can be chosen" in remark for remark in dataset.attrs["remarks"])


def test_regression_is_chosen_and_tabulated_by_loss() -> None:
    group = schema.evaluation_metrics(("validation", "test"), accuracy=False)
    values = {"validation_loss": numpy.array([[1, 0.5], [1, 0.2]]), "test_loss": numpy.array([[1, 0.4], [1, 0.3]])}
    dataset = learning_curves(tree((group, [0, 10], values), replicas={"seed": [0, 0], "lr": [0.1, 0.2]}))
    numpy.testing.assert_allclose(dataset["lr"], 0.2)
    assert learning_curves.table(dataset).columns[:3] == ("arm", "test loss", "validation loss")


def test_a_run_without_evaluations_is_told_so() -> None:
    with pytest.raises(ExperimentError, match="metrics/eval"):
        learning_curves(tree(symmetry(STEPS, 1, {"a_to_b": 6}), replicas={"seed": [0]}))


def test_an_arm_that_was_not_evaluated_is_left_out_and_named() -> None:
    dataset = learning_curves(
        experiment(
            bp=tree(evaluation(STEPS, 1), replicas={"seed": [0]}),
            kp=tree(symmetry(STEPS, 1, {"a_to_b": 6}), replicas={"seed": [0]}),
        )
    )
    assert dataset["arm"].values.tolist() == ["bp"]
    assert any("Not evaluated yet: kp" in remark for remark in dataset.attrs["remarks"])


def test_what_is_no_run_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"expected a Run, its folder or an .*DataTree, found int"):
        learning_curves(3)
    with pytest.raises(ExperimentError, match="found no group at all"):
        learning_curves(xarray.DataTree())
    with pytest.raises(StoreError):
        learning_curves("no/such/folder")


def pair_of_arms(folder: Path) -> Path:
    """Two arms of unlike recipe, recorded; the second is at its first of two epochs."""
    training = Training(epochs=2, batch_size=16, optimizer=SGD(lr=0.1)).to_dict()
    described: dict[str, Any] = {
        "name": "pair",
        "title": "A pair",
        "training": training,
        "arms": {
            "bp": {"label": "BP", "note": "tied"},
            "sal": {"training": {"optimizer": {"lr": 1e-4}}},
        },
    }
    base = circuits.mlp(784, 256, 10)
    whole, half = evaluation([0, 10, 20], 2), evaluation([0, 10], 2, seed=1)
    fast = Training(epochs=2, batch_size=16, optimizer=SGD(lr=1e-4)).to_dict()
    arms = {
        "sal": {"groups": [half], "circuit": rules.sal(base, areas=16).to_dict(), "settings": {"training": fast}},
        "bp": {"groups": [whole], "circuit": rules.bp(base).to_dict(), "settings": {"training": training}},
    }
    return stored_experiment(
        folder, described, {name: {**fields, "replicas": {"seed": [0, 1]}} for name, fields in arms.items()}
    )


def test_a_recorded_experiment_is_tabulated_with_labels_recipe_and_parameters(tmp_path: Path) -> None:
    dataset = learning_curves(pair_of_arms(tmp_path / "pair"))
    table = learning_curves.table(dataset)
    assert table.title.startswith("A pair")
    columns = dict(zip(table.columns, zip(*table.rows, strict=True), strict=True))
    assert columns["arm"] == ("BP", "sal")
    assert columns["learning rate"] == ("0.1", "1e-4")
    assert columns["parameters"] == ("203,530", "3,256,480")
    assert columns["note"] == ("tied", "")
    assert any(
        remark.startswith("All arms: optimiser SGD, decay 0, momentum 0, batch 16, epochs 2")
        for remark in table.remarks
    )
    assert any("Not trained to the end yet: sal at epoch 1" in remark for remark in table.remarks)
    assert not any("BP at epoch" in remark for remark in table.remarks)


def test_own_feedback_counts_as_parameters_apart_and_tied_feedback_not_at_all(tmp_path: Path) -> None:
    dataset = learning_curves(pair_of_arms(tmp_path / "pair"))
    assert dataset["feedback_parameters"].values.tolist() == [0, 16 * 256 * 10]


def test_run_folder_and_tree_give_the_same_numbers(tmp_path: Path) -> None:
    group = evaluation(STEPS, 3)
    folder = stored(tmp_path / "run", group, replicas={"seed": [0, 1, 2]})
    from_folder, from_run = learning_curves(folder), learning_curves(open_run(folder))
    xarray.testing.assert_identical(from_folder, from_run)
    xarray.testing.assert_identical(from_folder, learning_curves(str(folder)))
    from_tree = learning_curves(tree(group, replicas={"seed": [0, 1, 2]}))
    xarray.testing.assert_allclose(from_tree["test_accuracy_mean"], from_folder["test_accuracy_mean"])
