"""Series: arms called name_number become lines along the number, with the vote of prototypes beside them."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

import neurosal as ns
from neurosal import analysis
from neurosal.data import DataSpec
from neurosal.errors import ExperimentError
from neurosal.settings import SGD, Arm, Experiment, Recipe, Training, probe

SMALL = DataSpec(name="digits", subset={"train": 200, "test": 100})


def arm(width: int, rule: str, label: str | None = None, **options: object) -> Arm:
    return Arm(
        recipe=Recipe(circuit="mlp", arguments={"sizes": [64, width, 10]}, rule=rule, options=options), label=label
    )


def run_of(folder: Path, arms: dict[str, Arm]) -> ns.Run:
    training = Training(epochs=1, batch_size=32, optimizer=SGD(lr=0.1), record=(probe("vote"),))
    return ns.run(Experiment(name="widths", data=SMALL, arms=arms, seeds=(0, 1), training=training), store=folder)


def test_final_accuracy_stands_by_series_number_and_seed(tmp_path: Path) -> None:
    arms = {"bp_16": arm(16, "bp", "BP, 16"), "bp_4": arm(4, "bp", "BP, 4"), "sal_4": arm(4, "sal", areas=2)}
    run = run_of(tmp_path / "run", arms)
    found = analysis.series(run)
    assert found.number.values.tolist() == [4, 16]
    assert found.attrs["number"] == "units of hidden1"
    assert found.label.values.tolist() == ["BP", "sal"]
    for name, series, number in (("bp_16", "bp", 16), ("bp_4", "bp", 4), ("sal_4", "sal", 4)):
        expected = run.arms[name].tree["metrics/eval"].test_accuracy.values[:, -1]
        numpy.testing.assert_array_equal(found.accuracy.sel(series=series, number=number).values, expected)
        assert float(found.accuracy_mean.sel(series=series, number=number)) == pytest.approx(expected.mean())
    assert numpy.isnan(found.accuracy.sel(series="sal", number=16)).all()
    vote = run.arms["sal_4"].tree["stats/routing/epochs_1"].test_vote_accuracy.values[:, -1, 0]
    assert float(found.vote_mean.sel(series="sal", number=4)) == pytest.approx(vote.mean())
    table = analysis.series.table(found)
    assert [row[0] for row in table.rows] == ["BP", "sal", "vote of prototypes, sal"]
    assert table.rows[1][2] == "–"


def test_the_figure_has_a_line_for_each_series_and_vote(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"bp_4": arm(4, "bp"), "bp_64": arm(64, "bp"), "sal_4": arm(4, "sal", areas=2)})
    panel = analysis.series.figure(analysis.series(run)).axes[0]
    drawn = [line for line in panel.lines if line.get_transform() == panel.transData]
    assert [line.get_xdata().tolist() for line in drawn] == [[4, 64], [4], [4]]
    assert panel.get_xscale() == "log"


def test_arms_without_numbers_are_told_what_to_be_called(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"sal": arm(4, "sal", areas=2)})
    with pytest.raises(ExperimentError, match=r"arms called name_number.*found sal"):
        analysis.series(run)
