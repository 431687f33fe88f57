"""Use of areas over time."""

from __future__ import annotations

import math

import numpy
import pytest
import xarray

from neurosal.analysis import areas as analysis
from neurosal.errors import ExperimentError
from tests.analysis.synthetic import evaluation, routing, tree

STEPS = [0, 10, 20]
SEEDS = {"seed": [0, 1]}


def test_entropy_and_dead_areas_are_those_of_the_stored_usage_for_each_population() -> None:
    group, steps, values = routing(STEPS, 2, {"hidden1": 8, "output": 4}, unevenness=3)
    dataset = analysis(tree((group, steps, values), replicas=SEEDS))
    for place, count in enumerate((8, 4)):
        usage = values["usage"][:, :, place, :count]
        entropy = -(usage * numpy.log(usage)).sum(axis=-1) / math.log(count)
        numpy.testing.assert_allclose(dataset["entropy_mean"].isel(arm=0, population=place), entropy.mean(axis=0))
        dead = (usage < 0.1 / count).sum(axis=-1)
        numpy.testing.assert_allclose(dataset["dead_mean"].isel(arm=0, population=place), dead.mean(axis=0))
    numpy.testing.assert_allclose(dataset["usage"].isel(arm=0), values["usage"])


def test_usage_by_rank_falls_from_the_most_used_area_and_averages_one() -> None:
    dataset = analysis(tree(routing(STEPS, 2, {"hidden1": 8, "output": 4}, unevenness=2), replicas=SEEDS))
    ranked = dataset["ranked_mean"].isel(arm=0, step=-1)
    hidden, output = ranked.sel(population="hidden1"), ranked.sel(population="output").dropna("rank")
    assert (numpy.diff(hidden) <= 0).all()
    assert output.sizes["rank"] == 4
    numpy.testing.assert_allclose([hidden.mean(), output.mean()], 1)


def test_arms_with_other_numbers_of_areas_stand_side_by_side() -> None:
    arms = {
        "sal16": tree(routing(STEPS, 2, {"hidden1": 16}), replicas=SEEDS),
        "sal4": tree(routing(STEPS, 2, {"hidden1": 4}), replicas=SEEDS),
        "bp": tree(evaluation(STEPS, 2), replicas=SEEDS),
    }
    dataset = analysis(xarray.DataTree(children=arms))
    numpy.testing.assert_allclose(dataset["entropy_mean"].isel(step=0), 1)
    table = analysis.table(dataset)
    assert [row[:3] for row in table.rows] == [("sal16", "hidden1", "16"), ("sal4", "hidden1", "4")]
    assert table.remarks[-1] == "No usage was recorded of bp."


def test_populations_that_share_a_route_are_shown_once() -> None:
    group, steps, values = routing(STEPS, 2, {"hidden1": 4, "hidden2": 4, "output": 4})
    values["usage"][:, :, 1] = values["usage"][:, :, 0]
    dataset = analysis(tree((group, steps, values), replicas=SEEDS))
    assert [row[1] for row in analysis.table(dataset).rows] == ["hidden1 and hidden2 (one route)", "output"]
    assert len(analysis.figure(dataset).axes) == 2 * 3


def test_a_run_without_usage_is_told_which_probe_to_add() -> None:
    with pytest.raises(ExperimentError, match=r'expected a record of usage.*ns\.probe\("usage", every=10\)'):
        analysis(tree(evaluation(STEPS, 2), replicas=SEEDS))


def test_switches_and_bits_about_the_class_are_shown_where_they_were_recorded() -> None:
    run = tree(routing(STEPS, 2, {"hidden1": 4, "output": 4}, unevenness=2), replicas=SEEDS)
    group = run["stats/routing/every_10"].to_dataset()
    rate = group.usage.isel(area=0, drop=True)
    run["stats/routing/every_10"] = xarray.DataTree(group.assign(switch_rate=rate, corrected_information=2 * rate))
    dataset = analysis(run)
    numpy.testing.assert_allclose(dataset["switch_rate_mean"].isel(arm=0), rate.mean("replica"))
    table = analysis.table(dataset)
    assert table.columns[-2:] == ("switch rate", "bits about class")
    assert table.rows[0][-1] == f"{float(2 * rate[:, -1, 0].mean()):.2f} ± {float(2 * rate[:, -1, 0].std(ddof=1)):.2f}"
    assert len(analysis.figure(dataset).axes) == 2 * 2 * 3
