"""Looking after stored runs: which there are, how they stand, whether they are whole, and packing them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import typer

from neurosal.cli.progress import Progress
from neurosal.errors import ExperimentError, Problem, StoreError, near

FORMS = ("table", "json")


def print_index(folder: Path, form: str) -> None:
    """Print the runs below a folder.

    Raises:
        NeurosalError: for an unknown form, or a folder that is not there.
    """
    from neurosal.record.index import index, size_of

    if form not in FORMS:
        raise ExperimentError(
            Problem(place="--format", expected=" or ".join(FORMS), found=repr(form), remedy=near(form, FORMS))
        )
    entries = [replace(entry, bytes=size_of(folder / entry.folder)) for entry in index(folder)]
    if form == "json":
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=1))
        return
    if not entries:
        typer.echo(f"No runs below {folder}.")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    headings = ("run", "name", "state", "step", "epoch", "updated", "size")
    for heading in headings:
        right = heading in ("step", "epoch", "size")
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading != "run", overflow="fold")
    colours = {"running": "green", "damaged": "red", "failed": "red", "killed": "yellow", "diverged": "yellow"}
    for entry in entries:
        arms = f" ({entry.arms} arms)" if entry.kind == "experiment" else ""
        state = f"[{colour}]{entry.state}[/]" if (colour := colours.get(entry.state)) else entry.state
        known = entry.state != "damaged"
        table.add_row(
            entry.folder, entry.name + arms, state, f"{entry.step:,}" if known else "",
            f"{entry.epoch:.4g}" if known else "", when(entry.age_s, entry.updated), size(entry.bytes or 0),
        )  # fmt: skip
    terminal = sys.stdout.isatty()
    Console(width=None if terminal else 160, highlight=False).print(table)
    for entry in entries:
        if entry.state in ("damaged", "failed") and entry.message:
            typer.echo(f"{entry.folder}: {entry.message}")


def when(age_s: float | None, updated: str) -> str:
    """How long ago, in the largest unit that fits; the time itself where it is still to come."""
    if age_s is None:
        return f"{updated} (another clock)" if updated else ""
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60)):
        if age_s >= seconds:
            return f"{age_s / seconds:.0f} {unit} ago"
    return f"{age_s:.0f} s ago"


def size(count: float) -> str:
    """Bytes for people to read."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def doctor_store(store: Path, *, repair: bool) -> None:
    """Say whether a run is whole; with `repair`, put right what can be.

    Raises:
        StoreError: when it is not whole (any more), or cannot be looked at.
    """
    from neurosal.record.doctor import examine

    with Progress() as progress:
        seen = [0]

        def more(count: int) -> None:
            seen[0] += count
            progress.update(seen[0] // 2**20, 0, "MB looked at")

        diagnosis = examine(store, more if progress.shown else lambda _: None)
    _print_diagnosis(diagnosis)
    if repair and (not diagnosis.healthy or _left_over(diagnosis)):
        from neurosal.record.repair import repair as mend

        result = mend(store)
        for line in result.done:
            typer.echo(f"Repaired: {line}")
        for line in result.lost:
            typer.echo(f"Lost: {line}")
        if not result.lost:
            typer.echo("Nothing was lost.")
        diagnosis = result.after
        typer.echo("The run is whole now." if diagnosis.healthy else "What follows could not be put right:")
    elif not diagnosis.healthy:
        typer.echo("--repair cuts the record before the first damage and puts right what can be.")
    if not diagnosis.healthy:
        raise StoreError(
            Problem(place=one.place, expected="what was written", found=one.found, remedy=one.means)
            for one in diagnosis.all_damages
        )


def stored(source: str) -> bool:
    """Whether a source is the folder of a stored run."""
    from neurosal.record import schema

    return (Path(source) / schema.STATUS_FILE).is_file()


def show_stored(folder: Path) -> None:
    """Print a stored run: of a simulation how it fired, else how it stands.

    Raises:
        StoreError: for one that is damaged.
    """
    from neurosal.record.run import open_run
    from neurosal.record.simulated import SIMULATION, Simulated

    run = open_run(folder)
    typer.echo(repr(Simulated.of(run) if SIMULATION in run.settings else run))


def _left_over(diagnosis: Any) -> bool:
    return bool(diagnosis.left_over) or any(_left_over(arm) for arm in diagnosis.arms.values())


def _print_diagnosis(diagnosis: Any, name: str = "") -> None:
    looked = diagnosis.looked
    head = f"{name or diagnosis.folder}: {'whole' if diagnosis.healthy else 'damaged'}"
    if looked is not None and looked.root is not None:
        packed = "packed, " if looked.root.packed else ""
        entries = sum(looked.lengths.values())
        head += f" ({packed}{len(looked.lengths)} groups, {entries:,} entries, {looked.chunks:,} chunks"
        head += f", {size(looked.bytes)} looked at)"
    typer.echo(head)
    for note in diagnosis.notes:
        typer.echo(f"  note: {note}")
    for one in diagnosis.left_over:
        typer.echo(f"  left over: {one.place}")
    for arm, below in diagnosis.arms.items():
        _print_diagnosis(below, arm)


def pack_store(store: Path, out: Path | None) -> None:
    """Pack a run or an experiment and say what came of it.

    Raises:
        StoreError: for one that is being written, damaged, or not at its end.
    """
    from neurosal.record.pack import pack

    with Progress() as progress:
        shown = (lambda done, total: progress.update(done, total, "packing")) if progress.shown else None
        done = pack(store, out=out, progress=shown)
    for one in done:
        compressed = f"{len(one.compressed)} arrays compressed" if one.compressed else "nothing compressed"
        typer.echo(f"{one.folder}: {size(one.before)} packed to {size(one.after)}, {compressed}")
    if not done:
        typer.echo(f"{store}: packed already" if out is None else f"{out}: a copy of what was packed already")
