"""The page in a browser: it draws all figures without a complaint, answers the mouse, and fits a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurosal.analysis import report
from tests.analysis.reporting.browser import NAMES, Browser, browser, found
from tests.analysis.reporting.making import EVIL, experiment

pytestmark = pytest.mark.skipif(found() is None, reason=f"no browser here: none of {', '.join(NAMES)}")

MARKS = ".scatterlayer path, .scatterlayer .point, .heatmaplayer image, .barlayer path"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    labels = {"bp": EVIL, "kp": "KP", "sal": "SAL"}
    return report.write(report(experiment(folder / "run", labels)), folder / "page.html")


@pytest.fixture(scope="module")
def chromium(folder: Path) -> Iterator[Browser]:
    with browser(folder / "profile") as one:
        yield one


@pytest.fixture
def opened(chromium: Browser, file: Path) -> Browser:
    """The page, wide and light, without complaints."""
    chromium.size(1280, 900)
    chromium.prefers("light")
    chromium.open(file)
    return chromium


def contrast(one: list[float], other: list[float]) -> float:
    """Of two colours, as WCAG defines it."""

    def luminance(colour: list[float]) -> float:
        channels = [c / 255 for c in colour[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def rgb(page: Browser, element: str, attribute: str) -> list[float]:
    text = page.run(f"getComputedStyle(document.querySelector({element!r})).{attribute}")
    return [float(part) for part in text.partition("(")[2].rstrip(")").split(",")]


def test_all_figures_are_drawn_without_errors_and_without_the_network(opened: Browser, folder: Path) -> None:
    charts = opened.run("neurosal.page.charts.map((chart) => chart.name)")
    assert charts
    for name in charts:
        marks = opened.run(f"""document.querySelectorAll('[data-chart="{name}"] :is({MARKS})').length""")
        assert marks > 0, name
    assert opened.errors == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert opened.run("document.querySelectorAll('script').length") == 3  # the library's packed text is gone again
    assert opened.picture(folder / "page.png").stat().st_size > 20_000


def test_labels_of_users_run_nothing_in_the_browser(opened: Browser) -> None:
    assert opened.run("document.querySelectorAll('img').length") == 0
    assert opened.run("document.body.textContent.includes(\"<script>alert('label')</script>\")")


def test_pointing_at_a_line_shows_its_value(opened: Browser) -> None:
    box = "document.querySelector('[data-chart=\"curve-test-accuracy\"]')"
    opened.run(f"{box}.scrollIntoView({{block: 'center'}})")
    shown = ""
    for attempt in range(50):  # a page that still draws may forget where the mouse is: it moves on
        x, y = opened.run(f"""(() => {{
            const drag = {box}.querySelector('.nsewdrag').getBoundingClientRect();
            return [drag.x + drag.width / 2, drag.y + drag.height / 2];
        }})()""")
        opened.point(x + attempt % 2, y)
        opened.run("new Promise((done) => setTimeout(done, 60))")
        shown = opened.run(f"{box}.querySelector('.hoverlayer').textContent")
        if shown:
            break
    assert "KP" in shown
    assert "±" in shown


def test_a_chip_hides_its_arm_in_all_figures_and_shows_it_again(opened: Browser) -> None:
    count = "document.querySelectorAll('[data-chart=\"curve-test-accuracy\"] .scatterlayer .js-line').length"
    before = opened.run(count)
    opened.run("document.querySelectorAll('.chip')[1].click()")
    opened.run("neurosal.drawAll()")
    assert opened.run(count) == before * 2 / 3
    assert opened.run("document.querySelectorAll('.chip')[1].getAttribute('aria-pressed')") == "false"
    opened.run("document.querySelectorAll('.chip')[1].click()")
    opened.run("neurosal.drawAll()")
    assert opened.run(count) == before


def test_a_phone_scrolls_down_only(chromium: Browser, file: Path, folder: Path) -> None:
    chromium.size(360, 740, phone=True)
    chromium.open(file)
    assert chromium.run("document.documentElement.scrollWidth") <= 360
    wide = chromium.run(
        "[...document.querySelectorAll('.chart svg.main-svg')].map((svg) => svg.getBoundingClientRect().right)"
    )
    assert max(wide) <= 360
    chromium.picture(folder / "phone.png")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(theme: str, chromium: Browser, file: Path) -> None:
    chromium.size(1280, 900)
    chromium.prefers(theme)
    chromium.open(file)
    paper = rgb(chromium, "body", "backgroundColor")
    assert (sum(paper[:3]) < 150) == (theme == "dark")
    for element in ("body", "h1", "td", ".lead", ".note", "a", ".badge", "figcaption"):
        assert contrast(rgb(chromium, element, "color"), paper) >= 4.5, element
    for element in (".xtick text", ".ytick text"):
        assert contrast(rgb(chromium, element, "fill"), paper) >= 4.5, element
    lines = chromium.run("""[...document.querySelectorAll('.scatterlayer .js-line')]
        .map((line) => getComputedStyle(line))
        .filter((style) => parseFloat(style.strokeWidth) > 1).map((style) => style.stroke)""")
    palette = chromium.run(f"neurosal.page.colours.{theme}")
    own = {tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for colour in palette}
    drawn = {tuple(int(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3]) for colour in lines}
    assert drawn
    assert drawn <= own  # and not those of the other theme
    for colour in set(lines):
        assert contrast([float(part) for part in colour.partition("(")[2].rstrip(")").split(",")], paper) >= 2.2, colour


def test_the_switch_goes_through_the_themes_and_figures_follow(opened: Browser) -> None:
    seen: dict[str, Any] = {}
    for _ in range(3):
        opened.run("document.getElementById('theme').click()")
        opened.run("neurosal.drawAll()")
        seen[opened.run("document.getElementById('theme').textContent")] = rgb(opened, ".xtick text", "fill")
    assert set(seen) == {"Theme: auto", "Theme: light", "Theme: dark"}
    assert seen["Theme: dark"] != seen["Theme: light"] == seen["Theme: auto"]


def test_paper_is_white_and_shows_all_figures(chromium: Browser, file: Path) -> None:
    chromium.size(1280, 900)
    chromium.prefers("dark")
    chromium.open(file)
    chromium.run("window.dispatchEvent(new Event('beforeprint'))")
    chromium("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    white = [255.0, 255.0, 255.0]
    assert rgb(chromium, "body", "backgroundColor")[:3] == white
    for element, attribute in (("h1", "color"), (".xtick text", "fill"), (".drawing text", "fill")):
        assert contrast(rgb(chromium, element, attribute), white) >= 4.5, element
    inside = chromium.run("""[...document.querySelectorAll('.chart')].every((box) => {
        const svg = box.querySelector('svg.main-svg');
        return svg && svg.getBoundingClientRect().right <= box.parentElement.getBoundingClientRect().right + 1;
    })""")
    assert inside
    chromium("Emulation.setEmulatedMedia", media="", features=[])
    assert len(chromium("Page.printToPDF")["data"]) > 20_000
    assert chromium.errors == []
