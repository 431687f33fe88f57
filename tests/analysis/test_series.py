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
    apart = analysis.series(run, measures=["test_accuracy", "test_vote_accuracy"])
    assert float(apart.vote_mean.sel(series="sal", number=4)) == pytest.approx(vote.mean())
    assert [row[:2] for row in analysis.series.table(apart).rows] == [
        ("BP", "test accuracy %"), ("sal", "test accuracy %"), ("sal", "vote of prototypes %"),
    ]  # fmt: skip
    assert [panel.get_ylabel() for panel in analysis.series.figure(apart).axes] == [
        "test accuracy (%)", "vote of prototypes (%)",
    ]  # fmt: skip
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


def test_any_measure_is_shown_at_the_end_over_the_last_records_and_targets(tmp_path: Path) -> None:
    record = (
        probe("usage"),
        probe("update_angle", every=2),
        probe("interference_within", every=2),
    )
    training = Training(epochs=1, batch_size=32, optimizer=SGD(lr=0.1), record=record)
    arms = {"sal_1": arm(8, "fa", "FA, 1"), "sal_4": arm(8, "sal", "FA, 4", areas=4, feedback="fa")}
    run = ns.run(
        Experiment(name="areas", data=SMALL, arms=arms, seeds=(0, 1), training=training), store=tmp_path / "run"
    )
    names = ["test_loss", "usage_entropy", "update_angle", "interference_within"]
    found = analysis.series(run, measures=names, last=2, along="areas")
    tree = run.arms["sal_4"].tree
    loss = tree["metrics/eval"].test_loss.values[:, -1]
    numpy.testing.assert_array_equal(found.test_loss.sel(series="sal", number=4).values, loss)
    angle = tree["stats/credit/every_2"].update_angle
    assert angle.projection.values.tolist() == ["input_to_hidden1", "hidden1_to_output"]
    assert found.update_angle.sel(number=4).values.squeeze() == pytest.approx(angle.values[:, -2:].mean((1, 2)))
    one = analysis.series(run, measures=["update_angle"], target="hidden1_to_output")
    assert one.update_angle.sel(number=4).values.squeeze() == pytest.approx(angle.values[:, -1, 1])
    entropy = ns.stats.usage_entropy(tree["stats/routing/epochs_1"].usage, dim="area")
    assert found.usage_entropy.sel(number=4).values.squeeze() == pytest.approx(entropy.values[:, -2:].mean((1, 2)))
    assert numpy.isnan(found.usage_entropy.sel(number=1)).all()  # one area: nothing to choose
    table = analysis.series.table(found)
    assert table.columns == ("arm", "measure", "1", "4")
    assert [row[:2] for row in table.rows] == [
        ("FA", "test loss"),
        ("FA", "relative entropy of use"),
        ("FA", "update angle to BP °"),
        ("FA", "cosine within areas"),
    ]
    figure = analysis.series.figure(found)
    assert [panel.get_ylabel() for panel in figure.axes][:2] == ["test loss", "relative entropy of use"]
    assert {panel.get_xlabel() for panel in figure.axes} == {"areas"}


def test_a_measure_that_is_not_known_or_not_recorded_is_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"sal_4": arm(4, "sal", areas=2)})
    with pytest.raises(ExperimentError, match=r"measures: .*found 'update_angel'\. Did you mean 'update_angle'"):
        analysis.series(run, measures=["update_angel"])
    with pytest.raises(ExperimentError, match=r"record of update_angle, found sal_4"):
        analysis.series(run, measures=["update_angle"])
    with pytest.raises(ExperimentError, match=r"last: expected a positive whole number, found 0"):
        analysis.series(run, last=0)
