"""A progress bar with rate and time left, on a terminal only."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """Shows one bar for each arm, named after it.

    `update(done, total, text)` may be called as often as one likes; drawing is limited to a few times a second.
    """

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None
        self._text: str | None = None

    def __enter__(self) -> Progress:
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            rate = TextColumn("{task.fields[rate]}")
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                MofNCompleteColumn(),
                rate,
                TimeRemainingColumn(),
            )
            self._bar = Bars(*columns, console=Console(stderr=True), refresh_per_second=4)
            self._bar.start()
        return self

    def update(self, done: int, total: int, text: str = "") -> None:
        """So many steps of so many are done of what `text` names; another text begins another bar."""
        if self._bar is None:
            return
        if text != self._text:
            self._text = text
            self._task = self._bar.add_task(text, total=total, rate="")
        speed = next(task.speed for task in self._bar.tasks if task.id == self._task)
        self._bar.update(self._task, completed=done, total=total, rate=f"{speed:.0f}/s" if speed else "")

    def stop(self) -> None:
        """Take the bars away from the terminal."""
        if self._bar is not None:
            self._bar.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
