"""Searching for settings from the command line."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import typer

from neurosal import library
from neurosal.cli.progress import Progress
from neurosal.cli.running import FIGURES, RUNS, experiment_of, only, save, table_of
from neurosal.settings.tuned import TUNED_FILE, Tuned

ANALYSIS = "tuning"


def tune_experiment(
    source: str,
    assignments: list[str],
    *,
    store: Path | None,
    resume: bool,
    device: str,
    extend: bool,
    arms: Iterable[str] = (),
) -> None:
    """Check an experiment and its search, run it (or that of only some arms), print what was found.

    Raises:
        NeurosalError: for bad input and a store that cannot be used.
    """
    experiment = experiment_of(source, [*assignments, "search.extend=true"] if extend else assignments)
    experiment = only(experiment, arms)
    folder = store or RUNS / f"{experiment.name}_tune"
    tune = import_module("neurosal.runner").tune
    with Progress() as progress:
        shown = progress.update if progress.shown else None
        tuned = tune(experiment, store=folder, resume=resume, device=device, progress=shown)
    report(tuned, folder)


def report(tuned: Tuned, folder: Path) -> None:
    """Print the table of a search, and write table and figure into its folder."""
    analysis = library.find("analyses", ANALYSIS)
    dataset = analysis(tuned)
    typer.echo(str(table_of(analysis, dataset)))
    save(analysis, dataset, folder / FIGURES)
    typer.echo(f"\nRecorded in {folder}; lay it into a run: neurosal run NAME --tuned {folder / TUNED_FILE}")
    for name, best in tuned.arms.items():
        for path, side in best.at_edge.items():
            said = f"{name}: the best {path}, {best.settings[path]}, is the {side} that was tried"
            typer.echo(f"Warning: {said}; --resume --extend goes on.", err=True)
