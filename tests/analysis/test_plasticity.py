"""Plasticity over training, from recorded statistics or from recorded weights alone."""

from __future__ import annotations

import numpy
import pytest
import xarray

from neurosal.analysis import plasticity
from neurosal.errors import ExperimentError
from neurosal.record import schema
from tests.analysis.synthetic import evaluation, tree, weights

STEPS = [0, 10, 20, 30]
SEEDS = {"seed": [0, 1]}
GROUPS = [weights(STEPS, 2, "input_to_hidden1", (3, 8, 5)), weights(STEPS, 2, "hidden1_to_output", (1, 4, 8), seed=1)]


def slow_drift(course: numpy.ndarray) -> list[float]:
    """‖W_t − W_0‖ / ‖W_0‖ of one replica's snapshots, entry by entry."""
    first = course[0].ravel().tolist()
    below = sum(entry**2 for entry in first) ** 0.5
    return [
        sum((now - then) ** 2 for now, then in zip(snapshot.ravel().tolist(), first, strict=True)) ** 0.5 / below
        for snapshot in course
    ]


def test_a_run_that_recorded_weights_alone_has_drift_ranks_turnover_and_distributions() -> None:
    dataset = plasticity(tree(*GROUPS, replicas=SEEDS))
    assert dataset["projection"].values.tolist() == ["input_to_hidden1", "hidden1_to_output"]
    for place, (_, _, values) in enumerate(GROUPS):
        stored = values["weight"]
        for seed in range(2):
            found = dataset["drift"].isel(arm=0, seed=seed, projection=place)
            numpy.testing.assert_allclose(found, slow_drift(stored[seed].astype(float)), rtol=1e-6)
        matrices = numpy.linalg.svd(stored.astype(float), compute_uv=False)
        stable = ((matrices**2).sum(-1) / matrices.max(-1) ** 2).mean(-1)
        numpy.testing.assert_allclose(dataset["stable_rank"].isel(arm=0, projection=place), stable, rtol=1e-6)
        there = numpy.abs(stored) > 0.1 * (stored[:, :1].astype(float) ** 2).mean((-3, -2, -1), keepdims=True) ** 0.5
        kept = (there & there[:, :1]).sum((-3, -2, -1)) / there[:, :1].sum((-3, -2, -1))
        numpy.testing.assert_allclose(dataset["survival"].isel(arm=0, projection=place), kept)
        expected = numpy.quantile(stored.reshape(2, 4, -1), 0.95, axis=-1).mean(0)
        found = dataset["quantiles"].sel(quantile=0.95).isel(arm=0, projection=place)
        numpy.testing.assert_allclose(found, expected, rtol=1e-6)
    assert "update_size" not in dataset
    assert any('ns.probe("update_size"' in remark for remark in dataset.attrs["remarks"])


def test_what_was_recorded_is_taken_in_place_of_what_follows_from_weights() -> None:
    run = tree(*GROUPS, replicas=SEEDS)
    recorded = numpy.arange(2.0 * 4 * 2).reshape(2, 4, 2)
    sample = xarray.Dataset(
        {"drift": (("replica", "sample", "projection"), recorded)},
        coords={"step": ("sample", STEPS), "projection": ["input_to_hidden1", "hidden1_to_output"]},
    )
    run[f"{schema.PLASTICITY}/every_10"] = xarray.DataTree(sample)
    dataset = plasticity(run)
    numpy.testing.assert_array_equal(dataset["drift"].isel(arm=0), recorded)
    assert float(dataset["stable_rank"].min()) > 1


def test_only_so_many_snapshots_are_read_and_first_and_last_are_among_them() -> None:
    dataset = plasticity(tree(*GROUPS, replicas=SEEDS), snapshots=2)
    assert dataset["step"].values.tolist() == [0, 30]


def test_the_table_has_the_end_and_the_figure_a_row_for_each_measure_and_one_of_weights() -> None:
    dataset = plasticity(tree(*GROUPS, replicas=SEEDS))
    table = plasticity.table(dataset)
    column = table.columns.index("drift")
    mean, deviation = (
        float(dataset[f"drift_{what}"].isel(arm=0, step=-1, projection=0)) for what in ("mean", "deviation")
    )
    assert table.rows[0][column] == f"{mean:.2f} ± {deviation:.2f}"
    figure = plasticity.figure(dataset)
    measures = sum(f"{name}_mean" in dataset for name in ("drift", "effective_rank", "stable_rank", "turnover",
                                                          "survival", "hoyer", "lognormality"))  # fmt: skip
    assert len(figure.axes) == 2 * (measures + 1)
    numpy.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), dataset["drift_mean"].isel(arm=0, projection=0))


def test_a_run_without_weights_is_told_which_probe_to_add() -> None:
    with pytest.raises(ExperimentError, match=r'ns\.probe\("weight", every=100\)'):
        plasticity(tree(evaluation(STEPS, 2), replicas=SEEDS))
