"""Figures for papers: the same numbers as on the page, fonts that journals take, text that is no formula."""

from __future__ import annotations

import re
from pathlib import Path

import numpy
import pytest

from neurosal.analysis import report
from neurosal.analysis.reporting.charts import Lines
from neurosal.analysis.reporting.page import sections_of
from neurosal.analysis.reporting.paper import draw
from neurosal.analysis.reporting.section import Figures
from neurosal.analysis.reporting.study import study_of
from neurosal.analysis.style import look
from tests.analysis.reporting.making import experiment
from tests.cli.invoking import invoke


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return experiment(tmp_path_factory.mktemp("paper") / "run", {"bp": "BP $x", "kp": "K_P $\\frac{$", "sal": "SAL"})


def test_circuits_and_charts_are_written_as_pdf_and_svg_with_fonts_that_travel(folder: Path, tmp_path: Path) -> None:
    output, _ = invoke("report", folder, "--out", tmp_path / "page.html", "--figures", tmp_path / "figures")
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    for name in ("circuit-1", "circuit-2", "circuit-3", "results", "curves", "symmetry-1", "credit", "areas-2"):
        assert {f"{name}.pdf", f"{name}.svg"} <= names
    assert f"Wrote {len(names)} files" in output
    for path in (tmp_path / "figures").iterdir():
        content = path.read_bytes()
        if path.suffix == ".pdf":
            assert b"/FontFile2" in content
            assert b"/Type3" not in content
        else:
            assert b"<text" not in content  # letters are outlines
            assert re.search(rb"<path", content)
    first = (tmp_path / "figures" / "curves.pdf").read_bytes()
    report.figures(folder, tmp_path / "figures")
    assert (tmp_path / "figures" / "curves.pdf").read_bytes() == first


def test_lines_of_a_figure_are_those_of_the_page_in_the_arms_colours(folder: Path) -> None:
    study = study_of(folder)
    (group,) = [part.charts for section in sections_of(study) if section.name == "curves"
                for part in section.body if isinstance(part, Figures)]  # fmt: skip
    axes = draw(group, [one.title for one in study.shown]).axes[: len(group)]
    for chart, panel in zip(group, axes, strict=True):
        assert isinstance(chart, Lines)
        drawn = [line for line in panel.lines if len(line.get_xdata()) > 1]
        for line, own in zip(chart.lines, drawn, strict=True):
            numpy.testing.assert_allclose(own.get_ydata(), line.y)
            assert own.get_color() == look(line.arm)["color"]
