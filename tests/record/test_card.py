"""Runs in a notebook: a card that says what there is, escaped, and figures that show themselves."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from neurosal.record import ExperimentFolder, open_run, schema
from tests.analysis.reporting.making import EVIL, circuit, experiment, killed, one_run


class Text(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def card(folder: Path) -> Text:
    return Text(open_run(folder)._repr_html_())


def test_a_card_says_what_it_is_how_it_stands_and_its_last_figures(tmp_path: Path) -> None:
    folder = one_run(tmp_path / "run")
    said = card(folder).text
    values = 100 * open_run(folder).tree["metrics/eval/test_accuracy"].values[:, -1]
    assert f"test accuracy {values.mean():.1f} ± {values.std(ddof=1):.1f} %" in said
    assert "done" in said
    assert circuit("kp")["name"] in said
    assert "stopped without saying why" in card(killed(folder)).text


def test_the_card_of_an_experiment_lists_its_arms_and_runs_none_of_their_text(tmp_path: Path) -> None:
    said = card(experiment(tmp_path / "run", {"bp": EVIL, "kp": "KP"}, title=EVIL))
    assert said.text.count(EVIL) == 2
    assert not {"script", "img"} & said.tags
    assert said.text.count("test accuracy") == 2


def test_a_damaged_run_has_a_card_too(tmp_path: Path) -> None:
    whole = experiment(tmp_path / "run")
    (whole / schema.ARMS / "kp" / schema.STORE / "zarr.json").write_text("{}")
    said = card(whole).text
    assert "StoreError" in said
    assert "SAL" in said
    single = one_run(tmp_path / "one")
    (single / schema.STORE / "zarr.json").unlink()
    assert "StoreError" in card(single).text


def test_a_run_without_anything_has_a_card(tmp_path: Path) -> None:
    folder = ExperimentFolder.create(tmp_path / "run", experiment={"name": "two", "arms": {"bp": {}}})
    assert "running" in card(tmp_path / "run").text
    folder.close()


@pytest.mark.parametrize("name", ["symmetry", "curves", "areas"])
def test_plots_are_figures_that_a_notebook_shows_without_pyplot(name: str, tmp_path: Path) -> None:
    run = open_run(experiment(tmp_path / "run"))
    assert name in dir(run.plot)
    figure = getattr(run.plot, name)()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert figure.axes
