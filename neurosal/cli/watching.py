"""Watching a run: curves in the terminal from what it has committed, until it ends."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from neurosal.checks.memory import in_words
from neurosal.cli.curves import draw
from neurosal.cli.keeping import when
from neurosal.errors import StoreError
from neurosal.record.following import Follower, Panel
from neurosal.record.index import age, state_of
from neurosal.record.status import Status

PLAIN_WIDTH, PLAIN_HEIGHT = 100, 10
AROUND = 4  # lines of a panel around its plot: title, axis, legend, a blank one
PATIENCE = 5  # looks in a row that may fail while a run is resumed


def watch_store(folder: Path, show: list[str], *, once: bool, every: float) -> None:
    """Draw the curves of a run until it ends, or until Ctrl-C. One plain frame where there is no terminal.

    Raises:
        StoreError: when there is no run, it is damaged, or has no such variable.
    """
    follower = Follower(folder, show)
    if once or not sys.stdout.isatty():
        console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
        console.print(frame(follower, console.width, PLAIN_HEIGHT))
        return
    console = Console(highlight=False)
    try:
        with Live(console=console, auto_refresh=False, transient=False, vertical_overflow="crop") as live:
            failed = 0
            while True:
                ended = not going(follower.status)  # asked before the look: what came last is then in it
                try:
                    live.update(frame(follower, console.width, _room(console)), refresh=True)
                    failed = 0
                except StoreError:
                    failed += 1  # a run that is just being resumed; a damaged one stays so
                    if failed >= PATIENCE or ended:
                        raise
                if ended:
                    return
                time.sleep(every)
    except KeyboardInterrupt:
        return  # the run goes on; only the watching ends


def going(status: Status) -> bool:
    """Whether more may come."""
    return status.state == "running" and status.alive


def frame(follower: Follower, width: int, height: int) -> Any:
    """One picture: how the run stands, and a panel for each variable.

    Args:
        height: lines of all plots together on a terminal; of each one elsewhere.
    """
    panels = follower.look()
    parts: list[Text] = [heading(follower)]
    if not panels:
        parts.append(Text("Nothing is recorded yet.", style="dim"))
    each = _height(panels, height) if height > PLAIN_HEIGHT else height
    parts += [draw(panel, min(width, 160), each) for panel in panels]
    return Group(*parts)


def heading(follower: Follower) -> Text:
    """Name, state, and how far it is."""
    status = follower.status
    text = Text(str(follower.folder), style="bold")
    text.append(f"  {state_of(status)}, step {status.step:,}, epoch {status.epoch:.4g}", style="not bold")
    if status.samples_per_second:
        text.append(f", {status.samples_per_second:,.4g} samples/s", style="not bold")
    if status.peak_memory_bytes:
        text.append(f", peak {in_words(status.peak_memory_bytes)}", style="not bold")
    if going(status) and status.seconds_left:
        text.append(f", {timedelta(seconds=round(status.seconds_left))} left", style="not bold")
    text.append(f", {when(age(status), status.updated)}", style="not bold dim")
    if status.message:
        text.append(f"\n{status.message}", style="not bold")
    return text


def _room(console: Console) -> int:
    return max(console.height - 3, PLAIN_HEIGHT + 1)


def _height(panels: list[Panel], room: int) -> int:
    legends = sum(-(-len(panel.curves) // 3) - 1 for panel in panels)
    return max(3, (room - legends) // max(len(panels), 1) - AROUND + 1)
