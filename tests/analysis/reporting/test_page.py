"""The page without a browser: its numbers are the store's, its text is text, and it says how the run stands."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import numpy
import pytest

from neurosal.analysis import report
from neurosal.analysis.reporting.page import LIBRARY, asset
from neurosal.errors import StoreError
from neurosal.record import ExperimentFolder, open_run, schema
from tests.analysis.reporting.making import EVIL, SEEDS, STEPS, Read, experiment, killed, one_run
from tests.analysis.synthetic import evaluation, stored_experiment
from tests.cli.invoking import invoke

CLOSE = {"rtol": 5.01e-6, "atol": 1e-12}  # six digits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms that went to their end; read only."""
    return experiment(tmp_path_factory.mktemp("study") / "run")


@pytest.fixture(scope="module")
def read(folder: Path) -> Read:
    return page(folder)


def page(*folders: Path) -> Read:
    return Read(report(list(folders)).html)


# Numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ["test_accuracy", "validation_accuracy", "test_loss"])
def test_curves_on_the_page_are_those_of_the_store(measure: str, folder: Path, read: Read) -> None:
    chart = read.chart(f"curve-{measure.replace('_', '-')}")
    scale = 100 if "accuracy" in measure else 1
    assert len(chart["lines"]) == 3
    for line, arm in zip(chart["lines"], open_run(folder).arms.values(), strict=True):
        stored = scale * arm.tree[f"metrics/eval/{measure}"].values
        numpy.testing.assert_allclose(line["x"], numpy.array(STEPS) / 10, **CLOSE)
        numpy.testing.assert_allclose(line["y"], stored.mean(axis=0), **CLOSE)
        spread = stored.std(axis=0, ddof=1)
        numpy.testing.assert_allclose(line["high"], stored.mean(axis=0) + spread, **CLOSE)
        numpy.testing.assert_allclose(line["low"], stored.mean(axis=0) - spread, **CLOSE)


def test_results_on_the_page_are_the_last_of_the_store_seed_by_seed(folder: Path, read: Read) -> None:
    for point, arm in zip(read.chart("final-test-accuracy")["points"], open_run(folder).arms.values(), strict=True):
        stored = 100 * arm.tree["metrics/eval/test_accuracy"].values[:, -1]
        numpy.testing.assert_allclose(point["values"], stored, **CLOSE)
        assert point["seeds"] == list(range(SEEDS))
        numpy.testing.assert_allclose(point["mean"], stored.mean(), **CLOSE)
        assert f"{stored.mean():.1f} ± {stored.std(ddof=1):.1f}" in read.text


def test_a_diverged_replica_is_in_no_mean_and_is_counted(tmp_path: Path) -> None:
    group, steps, values = evaluation(STEPS, SEEDS)
    for array in values.values():
        array[1, 3:] = numpy.nan
    arm = {"groups": [(group, steps, values)], "replicas": {"seed": range(SEEDS)}}
    folder = stored_experiment(tmp_path / "lost", {"name": "lost", "arms": {"bp": {}}}, {"bp": arm})
    read = page(folder)
    (line,) = read.chart("curve-test-accuracy")["lines"]
    numpy.testing.assert_allclose(line["y"], 100 * values["test_accuracy"][[0, 2]].mean(axis=0), **CLOSE)
    assert "1 of 3" in read.text
    assert "diverged replicas" in read.text


# Text ------------------------------------------------------------------------------------------------------------


def test_text_of_users_stays_text(tmp_path: Path) -> None:
    labels = {"bp": EVIL, "kp": "κ < π & co", "sal": "${alert(1)}"}
    folder = experiment(tmp_path / "run", labels, title=EVIL, description=EVIL)
    read = page(folder)
    assert len(read.all("script")) == 3
    assert not [attributes for attributes in read.all("img") if attributes.get("src") == "x"]
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert EVIL in read.text
    assert "κ < π & co" in read.text
    assert [arm["title"] for arm in read.numbers["arms"]] == list(labels.values())


def test_the_page_fetches_nothing(folder: Path) -> None:
    html = report(folder).html
    read = Read(html)
    for _, attributes in read.elements:
        for name in ("src", "href", "action", "srcset", "data"):
            assert not attributes.get(name) or str(attributes[name]).startswith("#")
    (policy,) = [entry["content"] for entry in read.all("meta") if entry.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "@import" not in html
    assert "url(" not in asset("report.css").decode()


def test_every_figure_has_words_and_numbers_beside_it(read: Read) -> None:
    boxes = [attributes for _, attributes in read.elements if "data-chart" in attributes]
    assert {box["data-chart"] for box in boxes} == {chart["name"] for chart in read.numbers["charts"]}
    assert all(box["role"] == "img" and len(str(box["aria-label"])) > 20 for box in boxes)
    assert len(read.all("figcaption")) == len(boxes)
    assert len({box["data-chart"] for box in boxes}) == len(boxes)


# How it stands ---------------------------------------------------------------------------------------------------


def test_the_page_says_what_was_run(tmp_path: Path) -> None:
    read = page(one_run(tmp_path / "run"))
    for said in ("training.epochs", "training.batch_size", "packages.numpy", "0–2", "done"):
        assert said in read.text


def test_a_killed_run_has_a_page_that_says_so(tmp_path: Path) -> None:
    read = page(killed(one_run(tmp_path / "run")))
    assert "stopped without saying why" in read.text
    assert "did not come to its end" in read.text
    assert len(read.chart("curve-test-accuracy")["lines"]) == 1
    assert "did not come to its end" not in page(one_run(tmp_path / "good")).text


def test_a_run_that_goes_on_has_a_page_that_says_so(tmp_path: Path) -> None:
    folder = ExperimentFolder.create(tmp_path / "run", experiment={"name": "two", "arms": {"bp": {}}})
    read = page(tmp_path / "run")
    assert "still running" in read.text
    assert "not begun" in read.text
    assert read.numbers["charts"] == []
    folder.close()


def test_an_arm_that_cannot_be_read_leaves_the_others_on_the_page(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "run")
    (folder / schema.ARMS / "kp" / schema.STORE / "zarr.json").write_text("{}")
    read = page(folder)
    assert "The record of arm kp cannot be read" in read.text
    assert [line["name"] for line in read.chart("curve-test-accuracy")["lines"]] == ["BP", "SAL"]


def test_runs_side_by_side_keep_arms_of_one_name_apart(tmp_path: Path) -> None:
    first, second = experiment(tmp_path / "one", title="First"), experiment(tmp_path / "two", title="Second")
    read = page(first, second)
    names = [line["name"] for line in read.chart("curve-test-accuracy")["lines"]]
    assert names[0] == "BP (First)"
    assert names[3] == "BP (Second)"
    assert len(names) == 6


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the folder of a run"):
        report(tmp_path)


# What it is made of ----------------------------------------------------------------------------------------------


def test_the_chart_library_is_the_published_file_and_its_licence_lies_beside_it() -> None:
    library = gzip.decompress(asset(LIBRARY))
    # plotly-cartesian.min.js of plotly.js-cartesian-dist-min 4.1.1 on npm
    assert hashlib.sha256(library).hexdigest() == "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"
    assert b"MIT" in asset("LICENSE.plotly")
    assert re.search(rb"plotly\.js \(cartesian - minified\) v4\.1\.1", library)


def test_the_command_writes_the_page_into_the_store_or_where_it_is_told(tmp_path: Path) -> None:
    folder = experiment(tmp_path / "run")
    output, _ = invoke("report", folder)
    assert f"Wrote {folder / 'report.html'}" in output
    assert (folder / "report.html").stat().st_size < 2_000_000
    invoke("report", folder, "--out", tmp_path / "else" / "page.html")
    assert (tmp_path / "else" / "page.html").read_bytes() == (folder / "report.html").read_bytes()
    assert "the folder of a run" in invoke("report", tmp_path / "none", code=4)[1]
    (tmp_path / "file").write_text("")
    assert "a file that can be written" in invoke("report", folder, "--out", tmp_path / "file" / "page.html", code=2)[1]
