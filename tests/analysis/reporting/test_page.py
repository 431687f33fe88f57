"""The page without a browser: its numbers are the store's, its text is text, and it says how the run stands."""

from __future__ import annotations

import gzip
import hashlib
import re
from itertools import pairwise
from pathlib import Path

import numpy
import pytest

from neurosal.analysis import report
from neurosal.analysis.reporting.page import LIBRARY, asset
from neurosal.analysis.reporting.results import bounded
from neurosal.errors import StoreError
from neurosal.record import ExperimentFolder, open_run, schema
from tests.analysis.reporting.making import (
    EVIL,
    SEEDS,
    STEPS,
    WEIGHTS,
    Read,
    circuit,
    experiment,
    groups,
    killed,
    one_run,
)
from tests.analysis.synthetic import evaluation, stored, stored_experiment
from tests.analysis.synthetic import tree as synthetic_tree
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
    assert len(read.all("figcaption")) == len(read.all("figure")) > len(boxes)  # circuits are figures too
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


# Statistics, areas, weights, tasks -------------------------------------------------------------------------------


def test_symmetry_and_credit_on_the_page_are_those_of_the_store(folder: Path, read: Read) -> None:
    arms = open_run(folder).arms
    for topic, group, variable in (
        ("symmetry", "every_10", "angle"),
        ("symmetry", "every_10", "norm_ratio"),
        ("credit", "epochs_1", "update_angle"),
    ):
        chart = read.chart(f"map-{topic}-{variable}".replace("_", "-"))
        expected, rows = [], []
        for label, arm in zip(("BP", "KP", "SAL"), arms.values(), strict=True):
            array = arm.tree[f"stats/{topic}/{group}/{variable}"]
            dim = array.dims[2]
            expected += array.values.mean(axis=0).T.tolist()
            rows += [f"{label} · {name}" for name in array[dim].values]
        numpy.testing.assert_allclose(chart["values"], expected, **CLOSE)
        assert chart["rows"] == rows
        for row, values in zip(rows, expected, strict=True):
            label, _, entry = row.partition(" · ")
            line_chart = read.chart(f"line-{topic}-{variable}-{entry}".replace("_", "-"))
            (line,) = [line for line in line_chart["lines"] if line["name"] == label]
            numpy.testing.assert_allclose(line["y"], values, **CLOSE)


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("angle", True), ("update_angle", True), ("error_angle", True), ("test_accuracy", True), ("test_loss", False),
     ("norm_ratio", False)],
)  # fmt: skip
def test_only_measures_without_an_upper_bound_have_logarithmic_axes(variable: str, expected: bool) -> None:
    """An angle of tied weights is 0 up to rounding: beside one of 90° that is no wide range."""
    assert bounded(variable) is expected


def test_the_band_of_chance_is_that_of_the_weights_compared(read: Read) -> None:
    for pair, count in WEIGHTS.items():
        chart = read.chart(f"line-symmetry-angle-{pair}".replace("_", "-"))
        numpy.testing.assert_allclose(
            chart["chance"], [90 - 57.29578 / count**0.5, 90 + 57.29578 / count**0.5], rtol=1e-5
        )


def test_area_maps_are_the_use_of_one_seed_over_the_even_share(folder: Path, read: Read) -> None:
    usage = open_run(folder).arms["sal"].tree["stats/routing/every_10/usage"].values
    for place, (population, count) in enumerate({"hidden1": 4, "hidden2": 2}.items()):
        chart = read.chart(f"areas-2-{population}")
        numpy.testing.assert_allclose(chart["values"], count * usage[0, :, place, :count].T, **CLOSE)
        assert (chart["arm"], len(chart["rows"])) == (2, count)
    shares = usage[:, :, 0, :4]
    entropy = -(shares * numpy.log2(shares)).sum(axis=-1) / 2
    (line,) = read.chart("areas-evenness-0")["lines"]
    numpy.testing.assert_allclose(line["y"], entropy.mean(axis=0), **CLOSE)


def test_weights_are_shown_as_their_histogram(tmp_path: Path) -> None:
    drawn = numpy.random.default_rng(0).normal(size=(2, 3, 1, 20, 30)).astype(numpy.float32)
    group = schema.projection("hidden_to_out", "epochs_1", post=("out", 20), pre=("hidden", 30))
    stored(tmp_path / "run", (group, [0, 5, 9], {"weight": drawn}), replicas={"seed": [0, 1]})
    chart = page(tmp_path / "run").chart("weights-hidden-to-out")
    start, end = chart["lines"]
    assert (start["faint"], end.get("faint")) == (True, None)
    width = end["x"][1] - end["x"][0]
    for line, snapshot in ((start, 0), (end, 2)):
        values = drawn[:, snapshot].ravel()
        edges = numpy.array([*line["x"], line["x"][-1] + width]) - width / 2
        counts = [((values >= low) & (values < high)).sum() for low, high in pairwise(edges)]
        numpy.testing.assert_allclose(
            line["y"], numpy.array(counts) / values.size / width, atol=3 / values.size / width
        )
        assert 0.99 < sum(line["y"]) * width <= 1.0001


def test_tasks_are_shown_as_what_is_known_of_each_after_each(tmp_path: Path) -> None:
    steps, accuracy = [0, 10, 20], numpy.random.default_rng(1).random((2, 3, 2))
    tasks = (schema.task_metrics(["low", "high"]), steps, {"accuracy": accuracy, "within": accuracy})
    begun = (schema.phase_metrics(["first", "second"]), [0, 10],
             {"phase_index": numpy.array([[0, 1]] * 2), "cycle": numpy.zeros((2, 2), dtype=int)})  # fmt: skip
    settings = {
        "tasks": {"low": [0, 1], "high": [2, 3]},
        "phases": [{"name": "first", "classes": [0, 1]}, {"name": "second", "classes": [2, 3]}],
    }
    stored(tmp_path / "run", tasks, begun, replicas={"seed": [0, 1]}, settings=settings)
    read = page(tmp_path / "run")
    matrix = read.chart("tasks-accuracy-0")
    numpy.testing.assert_allclose(matrix["values"], 100 * accuracy[:, 1:].mean(axis=0), **CLOSE)
    assert (matrix["columns"], matrix["rows"]) == (["low", "high"], ["after low", "after high"])
    curve = read.chart("task-1")
    numpy.testing.assert_allclose(curve["lines"][0]["y"], 100 * accuracy[:, :, 1].mean(axis=0), **CLOSE)
    assert [mark["label"] for mark in curve["marks"]] == ["first", "second"]
    assert [mark["x"] for mark in curve["marks"]] == [0, 1]


def test_a_long_record_is_decimated_and_the_page_says_so(tmp_path: Path) -> None:
    steps = list(range(5000))
    angle = numpy.random.default_rng(2).random((2, 5000, 1))
    group = schema.symmetry("every_1", {"a_to_b": 12})
    tree = synthetic_tree((group, steps, {"angle": angle, "norm_ratio": angle}), replicas={"seed": [0, 1]})
    read = Read(report(tree).html)
    (line,) = read.chart("line-symmetry-angle-a-to-b")["lines"]
    assert 300 < len(line["y"]) <= 600
    assert (line["y"][0], line["y"][-1]) == pytest.approx((angle[:, 0].mean(), angle[:, -1].mean()), rel=1e-5)
    assert (min(line["least"]), max(line["most"])) == pytest.approx((angle.min(), angle.max()), rel=1e-5)
    assert "Decimated: a point is the mean of up to 9 records." in read.text


# Circuits --------------------------------------------------------------------------------------------------------


def test_circuits_are_drawn_with_every_projection_of_either_pathway(folder: Path, read: Read) -> None:
    drawn: dict[str, set[str]] = {}
    kinds = {
        str(attributes["class"]) for tag, attributes in read.elements
        if tag == "path" and str(attributes.get("class", "")).startswith("edge")
    }  # fmt: skip
    for attributes in (attributes for tag, attributes in read.elements if tag == "g"):
        for what in ("data-projection", "data-population"):
            if what in attributes:
                drawn.setdefault(what, set()).add(str(attributes[what]))
    for arm in open_run(folder).arms.values():
        assert arm.circuit is not None
        assert set(arm.circuit.projections) <= drawn["data-projection"]
        assert set(arm.circuit.populations) <= drawn["data-population"]
    assert {"edge feedforward solid", "edge feedback solid", "edge feedback dashdot", "edge modulatory dotted"} <= kinds


def test_arms_with_one_circuit_share_a_drawing(tmp_path: Path) -> None:
    arm = {"groups": groups("kp"), "replicas": {"seed": range(SEEDS)}, "circuit": circuit("kp")}
    described = {"name": "twins", "arms": {"one": {}, "two": {}}}
    read = page(stored_experiment(tmp_path / "run", described, {"one": arm, "two": arm}))
    populations = [attributes for tag, attributes in read.elements if tag == "g" and "data-population" in attributes]
    assert len(populations) == 4
    assert "one, two" in read.text
