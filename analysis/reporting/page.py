"""The page as a whole: one HTML file with its styles, script, chart library and numbers, which needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from neurosal.analysis.reporting.charts import Chart
from neurosal.analysis.reporting.drawings import drawings
from neurosal.analysis.reporting.maps import areas, tasks, weights
from neurosal.analysis.reporting.markup import Markup, script_json, tag
from neurosal.analysis.reporting.overview import overview
from neurosal.analysis.reporting.results import curves, results
from neurosal.analysis.reporting.section import Section
from neurosal.analysis.reporting.spikes import spikes
from neurosal.analysis.reporting.statistics import statistics
from neurosal.analysis.reporting.study import Study
from neurosal.analysis.style import COLOURS
from neurosal.version import __version__

SMALL = 2_000_000  # bytes that a page has at most, if fewer points can help
FEWEST_POINTS = 500
LIBRARY = "plotly-cartesian.min.js.gz"
# The same hues on a dark page, where the paper's dark ones would sink.
DARK = ("#4BA3E3", "#F0803C", "#2CC295", "#E79CC6", "#F0B429", "#8FD0F5", "#B8BDC4")
DASHES = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True)
class Page:
    """A report: its title, the charts it shows and its HTML."""

    title: str
    charts: Sequence[Chart]
    html: str

    def __str__(self) -> str:
        return f"Report on {self.title}: {len(self.charts)} figures, {len(self.html.encode()) / 1e6:.2f} MB"

    def _repr_html_(self) -> str:
        return tag("p", str(self))


def page_of(study: Study) -> Page:
    """The page of a study, with fewer points where it would be too large."""
    sections = sections_of(study)
    charts = [chart for section in sections for chart in section.charts]
    page = Page(title=study.title, charts=charts, html=_html(study, sections, charts))
    if len(page.html) > SMALL and study.points > FEWEST_POINTS:
        return page_of(replace(study, points=study.points // 3))
    return page


def sections_of(study: Study) -> list[Section]:
    """The parts of the page that there is something to say in."""
    made = [overview(study), drawings(study), results(study), curves(study), spikes(study), *statistics(study),
            areas(study), weights(study), tasks(study)]  # fmt: skip
    return [section for section in made if section is not None]


@cache
def asset(name: str) -> bytes:
    """A file of the folder `assets`."""
    return (resources.files("neurosal.analysis.reporting") / "assets" / name).read_bytes()


def _html(study: Study, sections: Sequence[Section], charts: Sequence[Chart]) -> str:
    numbers = script_json({
        "arms": [{"name": one.arm.name, "title": one.title} for one in study.shown],
        "colours": {"light": COLOURS, "dark": DARK}, "dashes": DASHES,
        "charts": [chart.fields() for chart in charts],
    })  # fmt: skip
    # Only the scripts of this file run, and nothing is ever fetched, whatever a label may hold.
    nonce = hashlib.sha256(numbers.encode()).hexdigest()[:32]
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src 'nonce-{nonce}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="generator", content=f"neurosal {__version__}"),
        tag("title", f"{study.title} · report"),
        tag("style", Markup(asset("report.css").decode())),
    )
    library = Markup(base64.b64encode(asset(LIBRARY)).decode())
    scripts = [
        tag("script", numbers, id="numbers", type="application/json"),
        tag("script", library, id="library", type="application/gzip"),
        tag("script", Markup(asset("report.js").decode()), nonce=nonce),
    ]
    body = tag("body", _top(study, sections), tag("main", [section.html() for section in sections]), _foot(), scripts)
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _top(study: Study, sections: Sequence[Section]) -> Markup:
    links = [tag("a", section.title, href=f"#{section.name}") for section in sections]
    switch = tag("button", "Theme", id="theme", type="button", title="Light, dark or as the system has it")
    chips = [
        tag("button", tag("i"), one.title, type="button", class_="chip", data_arm=place, aria_pressed="true")
        for place, one in enumerate(study.shown)
    ]
    arms = (
        tag("div", chips, class_="arms", role="group", aria_label="Arms shown in the figures")
        if len(chips) > 1
        else None
    )
    return Markup(
        tag(
            "header",
            tag("div", tag("h1", study.title), switch, class_="title"),
            tag("nav", links, aria_label="Sections"),
        )
        + (tag("div", arms, class_="bar") if arms else "")
        + tag("noscript", tag("p", "Figures need JavaScript; tables can be read without.", class_="warning"))
    )


def _foot() -> Markup:
    said = (
        f"Made with neurosal {__version__}. Figures: plotly.js (MIT licence, © Plotly, Inc.), kept in this file; "
        "nothing is loaded from elsewhere."
    )
    return tag("footer", tag("p", said))
