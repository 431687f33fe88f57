"""Symmetry over time: angles and ratios as they were recorded, beside what chance gives."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import xarray

from neurosal import circuits, rules
from neurosal.analysis import symmetry as analysis
from neurosal.errors import ExperimentError
from tests.analysis.synthetic import credit, evaluation, stored, symmetry, tree, weights

STEPS = list(range(0, 60, 10))
PAIRS = {"hidden1_to_hidden2": 400, "hidden2_to_output": 100}
SEEDS = {"seed": [0, 1, 2]}


def test_means_are_those_of_the_stored_numbers_and_pairs_keep_their_names() -> None:
    group, steps, values = symmetry(STEPS, 3, PAIRS)
    dataset = analysis(tree((group, steps, values), replicas=SEEDS))
    assert dataset["pair"].values.tolist() == list(PAIRS)
    numpy.testing.assert_allclose(dataset["angle_mean"].isel(arm=0), values["angle"].mean(axis=0))
    numpy.testing.assert_allclose(dataset["norm_ratio_deviation"].isel(arm=0), values["norm_ratio"].std(axis=0, ddof=1))
    numpy.testing.assert_allclose(dataset["step"], STEPS)
    numpy.testing.assert_allclose(dataset["epoch"].isel(arm=0), numpy.array(STEPS) / 10)


def test_the_chance_band_is_that_of_the_weights_of_each_arm_and_pair() -> None:
    many = {name: 16 * count for name, count in PAIRS.items()}
    dataset = analysis(
        xarray.DataTree(
            children={
                "kp": tree(symmetry(STEPS, 3, PAIRS), replicas=SEEDS),
                "sal": tree(symmetry(STEPS, 3, many), replicas=SEEDS),
            }
        )
    )
    half = (dataset["chance_high"] - dataset["chance_low"]) / 2
    numpy.testing.assert_allclose(half.sel(arm="kp"), [57.29578 / 20, 57.29578 / 10], rtol=1e-6)
    numpy.testing.assert_allclose(half.sel(arm="sal"), half.sel(arm="kp") / 4)
    chance = dict(zip(analysis.table(dataset).columns, analysis.table(dataset).rows[0], strict=True))["chance °"]
    assert chance == "90 ± 2.9"


def test_update_angles_on_another_schedule_and_of_more_projections_stand_beside_the_others() -> None:
    projections = ["input_to_hidden1", *PAIRS]
    changed = credit([0, 25, 50], 3, projections)
    dataset = analysis(tree(symmetry(STEPS, 3, PAIRS), changed, replicas=SEEDS))
    assert dataset["pair"].values.tolist() == projections
    assert dataset["step"].values.tolist() == sorted({*STEPS, 25})
    found = dataset["update_angle_mean"].isel(arm=0).dropna("step")
    numpy.testing.assert_allclose(found, changed[2]["update_angle"].mean(axis=0))
    assert numpy.isfinite(dataset["epoch"]).all()
    assert dataset["angle_mean"].sel(pair="input_to_hidden1").isnull().all()


def test_arms_with_other_pairs_and_steps_are_matched_by_name() -> None:
    one = symmetry(STEPS, 3, PAIRS)
    other = symmetry([0, 7, 50], 3, {"hidden2_to_output": 100, "hidden1_to_output": 30}, seed=1)
    dataset = analysis(xarray.DataTree(children={"a": tree(one, replicas=SEEDS), "b": tree(other, replicas=SEEDS)}))
    assert dataset["pair"].values.tolist() == ["hidden1_to_hidden2", "hidden2_to_output", "hidden1_to_output"]
    found = dataset["angle_mean"].sel(arm="b", pair="hidden1_to_output").dropna("step")
    numpy.testing.assert_allclose(found, other[2]["angle"][:, :, 1].mean(axis=0))
    assert found["step"].values.tolist() == [0, 7, 50]


def test_of_several_schedules_the_one_that_recorded_most_is_taken() -> None:
    coarse, fine = symmetry([0, 50], 3, PAIRS, schedule="epochs_5"), symmetry(STEPS, 3, PAIRS, schedule="every_10")
    dataset = analysis(tree(coarse, fine, replicas=SEEDS))
    numpy.testing.assert_allclose(dataset["angle_mean"].isel(arm=0), fine[2]["angle"].mean(axis=0))


def test_replicas_that_diverged_are_in_no_mean() -> None:
    group, steps, values = evaluation(STEPS, 3)
    values = {name: array.copy() for name, array in values.items()}
    values["test_loss"][1, -1] = numpy.nan
    recorded = symmetry(STEPS, 3, PAIRS)
    dataset = analysis(tree((group, steps, values), recorded, replicas=SEEDS))
    numpy.testing.assert_allclose(dataset["angle_mean"].isel(arm=0), recorded[2]["angle"][[0, 2]].mean(axis=0))


def test_an_arm_without_a_record_is_left_out_and_named_once() -> None:
    arms = {
        "kp": tree(symmetry(STEPS, 3, PAIRS), replicas=SEEDS),
        "shallow": tree(evaluation(STEPS, 3), replicas=SEEDS),
    }
    dataset = analysis(xarray.DataTree(children=arms))
    assert dataset["arm"].values.tolist() == ["kp"]
    told = [remark for remark in dataset.attrs["remarks"] if "shallow" in remark]
    assert told == ["Not recorded of shallow: angle and norm ratio."]


def test_a_run_without_a_record_is_told_which_probe_to_add() -> None:
    with pytest.raises(ExperimentError, match=r'expected a record of angle.*ns\.probe\("angle", every=10\)') as caught:
        analysis(tree(evaluation(STEPS, 3), replicas=SEEDS))
    assert len(caught.value.problems) == 1


def test_update_angles_alone_are_enough() -> None:
    dataset = analysis(tree(credit(STEPS, 3, list(PAIRS)), replicas=SEEDS))
    assert analysis.table(dataset).columns == ("arm", "projection", "update angle °", "chance °")
    assert analysis.figure(dataset).axes


def test_a_wide_axis_of_norm_ratios_holds_the_largest() -> None:
    group, steps, values = symmetry(STEPS, 3, {"a_to_b": 100})
    values["norm_ratio"] = numpy.broadcast_to(numpy.geomspace(40.0, 1.0, len(STEPS))[None, :, None], (3, len(STEPS), 1))
    figure = analysis.figure(analysis(tree((group, steps, values), replicas=SEEDS)))
    (axes,) = [axes for axes in figure.axes if axes.get_yscale() == "log"]
    assert axes.get_ylim()[0] < 1
    assert axes.get_ylim()[1] > 40


def test_a_run_that_recorded_weights_alone_has_its_angles(tmp_path: Path) -> None:
    circuit = rules.fa(circuits.mlp(5, 6, 4))
    groups = [
        weights([0, 10], 2, "hidden1_to_output", (1, 4, 6)),
        weights([0, 10], 2, "output_to_hidden1", (1, 6, 4), seed=1),
    ]
    folder = stored(tmp_path / "run", *groups, replicas={"seed": [0, 1]}, circuit=circuit.to_dict())
    dataset = analysis(folder)
    w, b = (group[2]["weight"].astype(float) for group in groups)
    for seed in range(2):
        for step in range(2):
            forward, back = w[seed, step, 0].ravel(), b[seed, step, 0].T.ravel()
            cosine = forward @ back / numpy.linalg.norm(forward) / numpy.linalg.norm(back)
            found = float(dataset["angle"].isel(arm=0, seed=seed, step=step, pair=0))
            assert found == pytest.approx(numpy.degrees(numpy.arccos(cosine)), abs=1e-4)
    assert float(dataset["chance_high"][0, 0]) == pytest.approx(90 + 57.29578 / 24**0.5)


def test_other_statistics_are_shown_where_they_were_recorded() -> None:
    run = tree(symmetry(STEPS, 3, {"a_to_b": 100}), replicas=SEEDS)
    group = run["stats/symmetry/every_10"].to_dataset()
    kappa = group.angle / 180
    run["stats/symmetry/every_10"] = xarray.DataTree(group.assign(sign_kappa=kappa, slope=2 * kappa))
    units = numpy.arange(3.0 * len(STEPS) * 2).reshape(3, len(STEPS), 2)
    run["stats/units/a_to_b/every_10"] = xarray.DataTree(
        xarray.Dataset({"unit_angle": (("replica", "sample", "b"), units)}, coords={"step": ("sample", list(STEPS))})
    )
    dataset = analysis(run)
    numpy.testing.assert_allclose(dataset["sign_kappa"].isel(arm=0, pair=0), kappa.isel(pair=0))
    numpy.testing.assert_allclose(dataset["unit_angle"].isel(arm=0, pair=0), units.mean(-1))
    assert {"κ of signs", "slope", "units °"} <= set(analysis.table(dataset).columns)
    assert len(analysis.figure(dataset).axes) == 5
