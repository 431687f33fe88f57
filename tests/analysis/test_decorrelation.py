"""Correlation, dimensions and variance kept, of the built-in experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

import neurosal as ns
from neurosal.analysis import decorrelation as analysis
from neurosal.checks import check_experiment
from neurosal.errors import ExperimentError
from neurosal.experiments import lateral_decorrelation


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    experiment = lateral_decorrelation()
    assert check_experiment(experiment) is experiment
    return ns.run(experiment.replace(seeds=(0, 1)), store=tmp_path_factory.mktemp("decorrelation") / "run")


def test_units_alone_come_to_one_component_and_with_inhibition_to_as_many_as_they_are(run: Any) -> None:
    end = analysis(run).isel(step=-1)
    one, several, lateral = (end.sel(arm=name) for name in ("oja_one", "oja", "oja_lateral"))
    assert (one["captured"] > 0.99).all()
    assert (several["correlation"] > 0.95).all()
    assert (several["dimensions"] < 1.1).all()
    assert (several["captured"] < 0.7).all()
    assert (lateral["correlation"] < 0.1).all()
    assert (lateral["dimensions"] > 3).all()
    assert (lateral["captured"] > 0.98).all()


def test_measures_are_those_of_the_records(run: Any) -> None:
    dataset = analysis(run)
    tree = run.arms["oja_lateral"].tree
    y = tree["probes/output/epochs_1"].activity.values[1, 3].astype(float)
    y = y[numpy.isfinite(y).all(-1)]
    correlations = [abs(numpy.corrcoef(y[:, i], y[:, j])[0, 1]) for i in range(4) for j in range(i)]
    values = numpy.linalg.eigvalsh(numpy.cov(y.T))
    part = dataset.sel(arm="oja_lateral").isel(seed=1, step=3)
    assert abs(float(part["correlation"]) - numpy.mean(correlations)) < 1e-6
    assert abs(float(part["dimensions"]) - values.sum() ** 2 / (values**2).sum()) < 1e-6
    x = tree["probes/input/epochs_1"].activity.values[1].reshape(-1, 16).astype(float)
    covariance = numpy.cov(x[numpy.isfinite(x).all(-1)].T)
    basis, _ = numpy.linalg.qr(tree["projections/input_to_output/epochs_1"].weight.values[1, 3, 0].astype(float).T)
    kept = numpy.trace(basis.T @ covariance @ basis) / numpy.sort(numpy.linalg.eigvalsh(covariance))[-4:].sum()
    assert abs(float(part["captured"]) - kept) < 1e-6
    assert numpy.isnan(dataset.sel(arm="oja_one")["correlation"]).all()


def test_figure_and_table_show_every_arm(run: Any) -> None:
    dataset = analysis(run)
    assert len(analysis.figure(dataset).axes) == 3
    assert [row[0] for row in analysis.table(dataset).rows] == ["1 unit", "4 units", "4 units, lateral"]


def test_a_run_without_these_records_is_told_which_probes_to_add(tmp_path: Path) -> None:
    experiment = lateral_decorrelation()
    training = experiment.training.replace(record=(ns.probe("weight"),), epochs=1)
    short = experiment.replace(seeds=(0,), training=training, arms={"oja": experiment.arms["oja"]})
    with pytest.raises(ExperimentError, match=r'ns\.probe\("activity", "input"\)'):
        analysis(ns.run(short, store=tmp_path / "run"))


def test_an_arm_in_which_nothing_learns_without_an_error_is_refused() -> None:
    experiment = lateral_decorrelation()
    recipe = experiment.arms["oja"].recipe
    assert recipe is not None
    mlp = recipe.replace(circuit="mlp", arguments={"sizes": [16, 8, 4]}, rule="bp")
    arms = {**experiment.arms, "bp": experiment.arms["oja"].replace(recipe=mlp)}
    with pytest.raises(ExperimentError, match=r"arms\.bp\.training\.loss.*delta, which learns from an error"):
        check_experiment(experiment.replace(arms=arms))
