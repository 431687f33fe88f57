"""The table and figure of a search."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import xarray

from neurosal.analysis import tuning
from neurosal.errors import ExperimentError
from neurosal.settings import Best, Search, Trial, Tuned

LR = "optimizer.lr"
ROUTER = "recipe.options.router"


def trials(scores: dict[float, float | None], router: str | None = None) -> tuple[Trial, ...]:
    more = {} if router is None else {ROUTER: router}
    return tuple(
        Trial(settings={LR: rate, **more}, score=score, deviation=0.01, diverged=2 * (score is None))
        for rate, score in scores.items()
    )


def found(**changes: Any) -> Tuned:
    arms = {
        "bp": Best(
            settings={LR: 0.1}, score=0.9, deviation=0.01, epochs=3, label="BP",
            trials=trials({0.001: 0.3, 0.1: 0.9, 10.0: None}),
        ),
        "fa": Best(
            settings={LR: 0.001}, score=0.8, deviation=0.02, epochs=3, at_edge={LR: "smallest"},
            trials=trials({0.001: 0.8, 0.1: 0.5, 10.0: 0.1}),
        ),
        "lost": Best(epochs=3, trials=trials({0.001: None, 0.1: None, 10.0: None})),
    }  # fmt: skip
    fields: dict[str, Any] = {
        "experiment": "toy", "search": Search(over={LR: (0.001, 0.1, 10.0)}, seeds=(1, 2)),
        "data": {"name": "digits", "train": 1200, "validation": 100}, "arms": arms,
    }  # fmt: skip
    return Tuned(**fields | changes)


def test_the_table_says_best_budget_edges_and_what_diverged() -> None:
    text = str(tuning.table(tuning(found())))
    assert "BP              0.1             90.0 ± 1.0  best of 3" in text
    assert "smallest" in text
    assert "Budget of every arm: 3 settings × 2 seeds × 3 epochs (grid)." in text
    assert "1,200 train, 100 validation; test data was left out" in text
    assert "a better one may lie beyond: fa (optimizer.lr: smallest)." in text
    assert "Replicas that diverged, which rank last: bp 2, lost 6." in text
    assert "every trial diverged: lost." in text


def test_a_panel_shows_each_setting_with_numbers_and_its_best() -> None:
    axes = tuning.figure(tuning(found())).axes[0]
    assert axes.get_xscale() == "log"
    x, y = axes.lines[0].get_data()
    numpy.testing.assert_allclose(x, [0.001, 0.1])
    numpy.testing.assert_allclose(y, [30, 90])
    points = [line.get_data() for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]
    assert ([0.1], [90.0]) in [(list(x), list(y)) for x, y in points]


def test_settings_in_words_stand_in_the_table_alone(tmp_path: Path) -> None:
    both = (*trials({0.1: 0.7, 0.2: 0.6}, "frozen"), *trials({0.1: 0.5, 0.2: 0.9}, "k_means"))
    best = Best(settings={LR: 0.2, ROUTER: "k_means"}, score=0.9, epochs=1, trials=both)
    dataset = tuning(found(arms={"sal": best}))
    assert "k_means" in str(tuning.table(dataset))
    figure = tuning.figure(dataset)
    assert [axes.get_xlabel() for axes in figure.axes] == ["learning rate"]
    numpy.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [70, 90])  # the best at each rate


def test_save_writes_what_can_be_read_back(tmp_path: Path) -> None:
    dataset = tuning(found())
    paths = tuning.save(dataset, tmp_path / "figures")
    again = xarray.open_zarr(paths[0], consolidated=False, chunks=None).load()
    numpy.testing.assert_allclose(again["score"], dataset["score"])
    assert str(tuning.table(again)) == str(tuning.table(dataset))
    assert math.isnan(float(again["best_score"].sel(arm="lost")))


def test_a_search_is_read_from_its_folder_and_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tuned.yaml").write_text(found().to_yaml(), encoding="utf-8")
    xarray.testing.assert_identical(tuning(tmp_path), tuning(found()))
    with pytest.raises(Exception, match="a search that is done"):
        tuning(tmp_path / "nowhere")


def test_arms_that_searched_other_settings_stand_side_by_side() -> None:
    own = Best(settings={LR: 0.1, "recipe.options.areas": 4}, score=0.9, epochs=1, trials=tuple(
        Trial(settings={LR: 0.1, "recipe.options.areas": areas}, score=0.8 + areas / 40) for areas in (2, 4)
    ))  # fmt: skip
    dataset = tuning(found(arms={"bp": found().arms["bp"], "sal": own}))
    rows = dict(zip(("bp", "sal"), tuning.table(dataset).rows, strict=True))
    column = tuning.table(dataset).columns.index("areas")
    assert (rows["bp"][column], rows["sal"][column]) == ("–", "4")
    figure = tuning.figure(dataset)
    named = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert named == [["BP", "sal"], ["sal"]]  # each panel names its own lines


def test_searches_of_arms_that_ran_apart_are_put_together() -> None:
    whole = found()
    parts = [whole.replace(arms={name: best}) for name, best in whole.arms.items()]
    xarray.testing.assert_identical(tuning(parts), tuning(whole))
    with pytest.raises(ExperimentError, match=r"searches\.arms: expected each arm in one search, found bp"):
        tuning([parts[0], whole.replace(arms={"bp": whole.arms["bp"]})])
    other = parts[1].replace(experiment="other", search=whole.search.replace(seeds=(77,)))
    with pytest.raises(ExperimentError, match=r"searches\.experiment.*\n.*searches\.seeds"):
        tuning([parts[0], other])
