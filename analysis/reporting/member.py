"""The report as a member of the library's analyses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurosal.analysis.reporting.page import Page, page_of, sections_of
from neurosal.analysis.reporting.study import study_of

FILE = "report.html"


class Report:
    """One HTML page of all that a run recorded; it opens offline, and a run that goes on or was killed has one too.

    Found by its name as every analysis is. Where an analysis returns a Dataset, it returns a `Page`.

    Example:
        ``report("runs/digits")`` is a page, ``report.save(page, "figures")`` writes ``figures/report.html``.
    """

    name = "report"

    def __call__(self, run: Any) -> Page:
        """The page.

        Args:
            run: a `Run`, the folder of one, or an xarray.DataTree of its schema; or a list of them.

        Raises:
            StoreError: for a folder that holds no run.
        """
        return page_of(study_of(run))

    def table(self, page: Page) -> Page:
        """The page itself: printed, it says what it holds."""
        return page

    def save(self, page: Page, folder: str | Path) -> list[Path]:
        """Write ``report.html`` into `folder`, which is made; an older one is replaced."""
        return [self.write(page, Path(folder) / FILE)]

    def figures(self, run: Any, folder: str | Path) -> list[Path]:
        """Write what the page shows as figures for papers: circuits and charts, each as PDF with its fonts embedded and
        as SVG with letters as outlines; older ones are replaced.

        Args:
            run: as for the page.
            folder: is made.

        Returns:
            The paths.

        Raises:
            StoreError: for a folder that holds no run.
        """
        from neurosal.analysis.reporting.paper import write_figures  # matplotlib, which the page does without

        study = study_of(run)
        return write_figures(sections_of(study), study, Path(folder))

    def write(self, page: Page, path: str | Path) -> Path:
        """Write the page to a file; its folder is made."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.html, encoding="utf-8")
        return path


report = Report()
