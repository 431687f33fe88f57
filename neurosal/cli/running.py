"""Running experiments and analysing stored runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from neurosal import library
from neurosal.cli.progress import Progress
from neurosal.cli.showing import unwritable
from neurosal.cli.sources import look_up
from neurosal.errors import DivergedError, ExperimentError, Problem
from neurosal.settings.experiment import Experiment

FINAL_TABLE = "learning_curves"
RUNS = Path("runs")


def run_experiment(source: str, assignments: list[str], *, store: Path | None, resume: bool, device: str) -> None:
    """Check an experiment, run it and print its final table.

    Raises:
        NeurosalError: for bad input, a store that cannot be used, and numbers that stopped being finite (after the
            table was printed).
    """
    found = look_up(source, assignments)
    if found.kind == "circuit" and not found.problems:
        remedy = "Name it in the recipe of an arm; neurosal show sal_digits --format yaml is an example."
        raise ExperimentError(Problem(place=source, expected="an experiment", found="a circuit", remedy=remedy))
    experiment = found.checked()
    assert isinstance(experiment, Experiment)
    folder = store or RUNS / experiment.name
    run = import_module("neurosal.runner").run  # torch loads here, after everything that needs no torch was checked
    with Progress() as progress:
        result = run(
            experiment, store=folder, resume=resume, device=device, progress=progress.update if progress.shown else None
        )
    print_final_table(folder)
    typer.echo(f"\nRecorded in {folder}")
    if result.status.state == "diverged":
        raise DivergedError(f"Numbers stopped being finite; the other replicas went on.\n{result.status.message}")


def print_final_table(folder: Path) -> None:
    """The table of final results of a stored run."""
    from neurosal.record.run import open_run

    analysis = library.find("analyses", FINAL_TABLE)
    typer.echo(str(_table_of(analysis, analysis(open_run(folder)))))


def _table_of(analysis: Callable[..., Any], dataset: Any) -> Any:
    table = getattr(analysis, "table", None)
    return dataset if table is None else table(dataset)


def analyse_store(name: str, store: Path, out: Path | None) -> None:
    """Print the table of an analysis, and write its figure and numbers.

    Raises:
        NeurosalError: for an unknown analysis, a folder without a run, and a run that did not record what is needed.
    """
    from neurosal.record.run import open_run

    analysis = library.find("analyses", name, place="analysis")
    dataset = analysis(open_run(store))
    typer.echo(str(_table_of(analysis, dataset)))
    save = getattr(analysis, "save", None)
    if save is None:
        return
    folder = out or store / "figures"
    try:
        paths = save(dataset, folder)
    except OSError as wrong:
        raise unwritable(Path(wrong.filename or folder), wrong) from None
    sys.stdout.flush()
    for path in paths:
        typer.echo(f"Wrote {path}")
