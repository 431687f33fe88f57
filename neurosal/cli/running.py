"""Running experiments and analysing stored runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from neurosal import library
from neurosal.cli.progress import Progress
from neurosal.cli.showing import unwritable
from neurosal.cli.sources import assigned, look_up
from neurosal.errors import DivergedError, ExperimentError, Problem, near
from neurosal.settings.experiment import Experiment
from neurosal.settings.tuned import Tuned

FINAL_TABLE = "learning_curves"
RUNS, FIGURES = Path("runs"), "figures"
REPORT = "report"


def experiment_of(source: str, assignments: list[str]) -> Experiment:
    """The experiment that `source` names, changed and checked.

    Raises:
        NeurosalError: for what is none, or has problems.
    """
    found = look_up(source, assignments)
    if found.kind == "circuit" and not found.problems:
        remedy = "Name it in the recipe of an arm; neurosal show sal_digits --format yaml is an example."
        raise ExperimentError(Problem(place=source, expected="an experiment", found="a circuit", remedy=remedy))
    experiment = found.checked()
    assert isinstance(experiment, Experiment)
    return experiment


def run_experiment(
    source: str,
    assignments: list[str],
    *,
    store: Path | None,
    resume: bool,
    device: str,
    tuned: Iterable[Path] = (),
    arms: Iterable[str] = (),
    ranks: Any = None,
) -> None:
    """Check an experiment, run it and print its final table.

    Args:
        arms: run only these; all where none is named.
        tuned: what searches found, laid into the arms one after the other.
        ranks: the processes that run it together; only the first of them prints.

    Raises:
        NeurosalError: for bad input, a store that cannot be used, and numbers that stopped being finite (after the
            table was printed).
    """
    experiment = experiment_of(source, assignments)
    for found in tuned:
        experiment = Tuned.open(found).apply(experiment)
    experiment = only(experiment, arms)
    folder = store or RUNS / experiment.name
    runner = import_module("neurosal.runner.training")  # torch loads here, when all that needs no torch is checked
    run = import_module("neurosal.runner").run
    warnings.simplefilter("ignore", runner.DivergedWarning)  # said at the end, with the exit code
    leads = ranks is None or ranks.leads
    with Progress(shown=leads) as progress:
        told = progress if progress.shown else None
        result = run(experiment, store=folder, resume=resume, device=device, progress=told, ranks=ranks)
    if leads:
        report(folder, experiment.analyses)
        typer.echo(f"\nRecorded in {folder}")
    if result.status.state == "diverged":
        raise DivergedError(f"Numbers stopped being finite; the other replicas went on.\n{result.status.message}")


def only(experiment: Experiment, arms: Iterable[str]) -> Experiment:
    """The experiment with these arms; all where none is named."""
    arms = list(arms)
    unknown = [name for name in arms if name not in experiment.arms]
    if unknown:
        raise ExperimentError(
            Problem(
                place="--arm",
                expected=f"an arm of {experiment.name}",
                found=repr(name),
                remedy=near(name, experiment.arms),
            )
            for name in unknown
        )
    chosen = {name: arm for name, arm in experiment.arms.items() if name in arms}
    if not chosen:
        return experiment
    search = experiment.search
    if search is not None:  # what it says of other arms has no place here
        search = search.replace(arms={name: over for name, over in search.arms.items() if name in chosen})
    # A probe that only the arms left out have something for is no mistake of these.
    circuit_of = import_module("neurosal.runner.experiment").circuit_of
    recordable = import_module("neurosal.runner.recordable").recordable
    known = [recordable(circuit_of(arm, name)) for name, arm in chosen.items()]
    record = tuple(probe for probe in experiment.training.record if any(one.misfit(probe) is None for one in known))
    training = experiment.training.replace(record=record)
    return experiment.replace(arms=chosen, search=search, training=training)


def report(folder: Path, analyses: Iterable[str]) -> None:
    """Print the final table of a stored run, and write the figures and numbers of its analyses into it."""
    from neurosal.record.run import open_run

    run = open_run(folder)
    analyses = tuple(analyses)
    printed = False
    for name in dict.fromkeys((FINAL_TABLE, *analyses)):
        analysis = library.find("analyses", name)
        try:
            dataset = analysis(run)
        except ExperimentError as wrong:  # the run is good, only not recorded for this
            if name not in analyses and analyses:
                continue  # what learns without an error has no learning curves, and did not ask for them
            typer.echo(f"No {name}: {'; '.join(str(problem) for problem in wrong.problems) or wrong}", err=True)
            continue
        if not printed:  # the final table, or else the first that there is
            typer.echo(str(table_of(analysis, dataset)))
            printed = True
        if name in analyses:
            save(analysis, dataset, folder / FIGURES)


def save(analysis: Callable[..., Any], dataset: Any, folder: Path) -> list[Path]:
    """Write figure and numbers of an analysis, where it has them.

    Raises:
        ExperimentError: for a folder that cannot be written.
    """
    write = getattr(analysis, "save", None)
    try:
        return [] if write is None else list(write(dataset, folder))
    except OSError as wrong:
        raise unwritable(Path(wrong.filename or folder), wrong) from None


def table_of(analysis: Callable[..., Any], dataset: Any) -> Any:
    """The table of an analysis; the numbers themselves where it has none."""
    table = getattr(analysis, "table", None)
    return dataset if table is None else table(dataset)


def analyse_stores(name: str, stores: list[Path], out: Path | None, options: Iterable[str] = ()) -> None:
    """Print the table of an analysis of one run, or of several put together, and write its figure and numbers.

    An analysis that has an `open` of its own reads other folders than those of runs.

    Args:
        options: of the analysis, ``name=value`` each; the value is read by the rules of files.

    Raises:
        NeurosalError: for an unknown analysis, a folder without a run, and a run that did not record what is needed.
    """
    from neurosal.record.run import open_run

    analysis = library.find("analyses", name, place="analysis")
    given, _, problems = assigned({}, options, place="--option")
    if problems:
        raise ExperimentError(problems)
    runs = [getattr(analysis, "open", open_run)(store) for store in stores]
    dataset = analysis(runs if len(runs) > 1 else runs[0], **given)
    typer.echo(str(table_of(analysis, dataset)))
    for path in save(analysis, dataset, out or stores[0] / FIGURES):
        typer.echo(f"Wrote {path}")


def write_report(stores: list[Path], out: Path | None, figures: Path | None = None) -> None:
    """Write the page of one run, or of several, and say what it holds; with `figures` also its figures for papers.

    Raises:
        NeurosalError: for a folder without a run, and a file that cannot be written.
    """
    found: Any = library.find("analyses", REPORT)
    page = found(stores)
    path = out or stores[0] / f"{REPORT}.html"
    try:
        found.write(page, path)
        typer.echo(f"{page}\nWrote {path}")
        if figures is not None:
            drawn = found.figures(stores, figures)
            typer.echo(f"Wrote {len(drawn)} files into {figures}")
    except OSError as wrong:
        raise unwritable(Path(wrong.filename or path), wrong) from None
