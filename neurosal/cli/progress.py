"""A progress bar with rate, peak memory and time left, on a terminal only."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """One bar for the whole run, which says what is going on in it."""

    def __init__(self, *, shown: bool = True) -> None:
        self.shown = shown and sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None
        self._pace = ""

    def __enter__(self) -> Progress:
        if self.shown:
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.TaskProgressColumn(),
                progress.TextColumn("{task.fields[rate]}"),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
                refresh_per_second=4,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, rate="")
            self._bar.start()
        return self

    def update(self, done: int, total: int, text: str = "") -> None:
        """So many steps of so many are done; `text` names what is running. May be called as often as one likes."""
        if self._bar is not None:
            speed = self._bar.tasks[0].speed
            rate = self._pace or (f"{speed:,.0f} steps/s" if speed else "")
            self._bar.update(self._task, completed=done, total=total, description=text, rate=rate)

    __call__ = update

    def at_pace(self, words: str) -> None:
        """How fast it goes and what memory it takes."""
        self._pace = words

    def stop(self) -> None:
        """Take the bar away from the terminal."""
        if self._bar is not None:
            self._bar.stop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
