"""The commands and their exit codes: 0 done, 2 bad input, 3 diverged, 4 store unusable, 5 a process of several lost,
6 two engines do not agree, 130 interrupted."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from neurosal.errors import ExperimentError, NeurosalError, Problem, near
from neurosal.processes import PARALLEL, asked, speaks

DEBUG = "NEUROSAL_DEBUG"
INTERRUPTED, UNEXPECTED = 130, 1


class Commands(TyperGroup):
    """Ends every command with one message and its exit code; a traceback only where it was asked for."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except KeyboardInterrupt:
            fail(
                "Interrupted. What was recorded so far is in the store; run again with --resume to go on.", INTERRUPTED
            )
        except NeurosalError as wrong:
            if os.environ.get(DEBUG) == "1":
                raise
            fail(str(wrong), wrong.exit_code)
        except BrokenPipeError:  # the reader of our output (a pager, head) went away
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(0) from None
        except Exception as wrong:
            # Typer's own ways out (usage errors, Exit) carry an exit code; their classes have no public home.
            if hasattr(wrong, "exit_code") or isinstance(wrong, typer.Abort) or os.environ.get(DEBUG) == "1":
                raise
            text = " ".join(str(wrong).split())[:500]
            fail(f"Unexpected {type(wrong).__name__}: {text}\nThis is a mistake in neurosal or in a package it uses. "
                 f"{DEBUG}=1 shows where.", UNEXPECTED)  # fmt: skip


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning without the line of our code that gave it."""
    if speaks():
        typer.echo(f"Warning: {message}", err=True)


@contextmanager
def joined(parallel: str, timeout: float, device: str) -> Iterator[Any]:
    """The processes that torchrun started, as one of them; None where there are no others, and then nothing is
    imported."""
    if parallel not in PARALLEL:
        found = Problem(
            place="--parallel", expected=", ".join(PARALLEL), found=repr(parallel), remedy=near(parallel, PARALLEL)
        )
        raise ExperimentError(found)
    if not asked():
        yield None
        return
    from neurosal.processes import join

    with join(parallel, timeout, device) as ranks:
        yield ranks


def fail(message: str, code: int) -> NoReturn:
    """Print to standard error and leave."""
    if speaks():
        typer.echo(message, err=True)
    raise typer.Exit(code) from None


app = typer.Typer(
    name="neurosal", cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Neural circuits with separate feedforward and feedback synapses: describe, check, train, record, compare.",
)  # fmt: skip

CHANGE = "Change an argument of the circuit, e.g. scale=0.05, or a field."
SourceArgument = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name of the library, or a YAML file.")]


def _version(wanted: bool) -> None:
    if wanted:
        from neurosal.version import __version__

        typer.echo(f"neurosal {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and leave.")
    ] = False,
) -> None:
    """Options that stand before a command."""


@app.command("list")
def list_members(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[circuits|rules|experiments|analyses|parts|statistics|data]", help="Only these."),
    ] = None,
) -> None:
    """Say what the library has."""
    from neurosal.cli.listing import print_members

    print_members(what)


@app.command()
def show(
    source: SourceArgument,
    assignment: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help=CHANGE)] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="table|yaml|dot|picture|memory|brian2", help="How to show it.")
    ] = "table",
    out: Annotated[Path | None, typer.Option("--out", help="Write it to this file.")] = None,
    rule: Annotated[str | None, typer.Option("--rule", help="Show a circuit after this rule.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="An option of the rule.")
    ] = None,
    arm: Annotated[str | None, typer.Option("--arm", help="Show the circuit of this arm of an experiment.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples a step, for --format memory.")] = 32,
    recompute: Annotated[int, typer.Option("--recompute", min=1, help="Segments, for --format memory.")] = 1,
    duration_ms: Annotated[
        float, typer.Option("--duration-ms", min=0, help="Of the simulation, for --format brian2.")
    ] = 1000.0,
    dt_ms: Annotated[float, typer.Option("--dt-ms", min=1e-6, help="Time step, for --format brian2.")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn, for --format brian2.")] = 0,
) -> None:
    """Show a circuit or an experiment."""
    from neurosal.cli.showing import show_source

    show_source(
        source, form, assignment or [], out=out, rule=rule, options=option or [], arm=arm, batch=batch,
        recompute=recompute, duration_ms=duration_ms, dt_ms=dt_ms, seed=seed,
    )  # fmt: skip


@app.command()
def check(
    sources: Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help="Names of the library, or YAML files.")],
) -> None:
    """Check circuits and experiments; list every problem."""
    from neurosal.cli.showing import check_sources

    check_sources(sources)


@app.command()
def run(
    source: SourceArgument,
    assignment: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a field, e.g. training.epochs=3.")
    ] = None,
    store: Annotated[Path | None, typer.Option("--store", help="Folder to record into; runs/NAME by default.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the store stops; start it if there is none.")
    ] = False,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
    tuned: Annotated[
        list[Path] | None,
        typer.Option("--tuned", metavar="FILE", help="Lay in what neurosal tune found (tuned.yaml); may be repeated."),
    ] = None,
    arm: Annotated[
        list[str] | None, typer.Option("--arm", help="Only this arm; several may be given. See analyse STORE...")
    ] = None,
    parallel: Annotated[
        str,
        typer.Option(
            "--parallel", metavar="data|replicas|areas", help="What processes share out, where torchrun starts several."
        ),
    ] = "data",
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds after which a process that does not answer is lost.")
    ] = 600,
) -> None:
    """Run an experiment, record it and print its final table."""
    from neurosal.cli.running import run_experiment

    changes, found = assignment or [], tuned or []
    with joined(parallel, timeout, device) as ranks:
        run_experiment(
            source, changes, store=store, resume=resume, device=device, tuned=found, arms=arm or [], ranks=ranks
        )


@app.command()
def tune(
    source: SourceArgument,
    assignment: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a field, e.g. search.over.optimizer.lr=[0.1,0.3]."),
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="Folder of the search; runs/NAME_tune by default.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the store stops; start it if there is none.")
    ] = False,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
    extend: Annotated[
        bool, typer.Option("--extend", help="Widen the grid by its own ratio until no best value is at its edge.")
    ] = False,
    arm: Annotated[list[str] | None, typer.Option("--arm", help="Only this arm; several may be given.")] = None,
) -> None:
    """Search for the settings of each arm that are best on validation data."""
    from neurosal.cli.tuning import tune_experiment

    tune_experiment(source, assignment or [], store=store, resume=resume, device=device, extend=extend, arms=arm or [])


@app.command()
def simulate(
    source: SourceArgument,
    assignment: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help=CHANGE)] = None,
    duration_ms: Annotated[float, typer.Option("--duration-ms", help="How long, in ms.")] = 1000.0,
    dt_ms: Annotated[float, typer.Option("--dt-ms", help="Time step, in ms.")] = 0.1,
    seeds: Annotated[str, typer.Option("--seeds", metavar="0,1,2|0-9", help="One replica each.")] = "0",
    graph_seed: Annotated[
        int | None, typer.Option("--graph-seed", help="One graph for all replicas, that of this seed.")
    ] = None,
    backend: Annotated[str, typer.Option("--backend", metavar="torch|brian2", help="Which engine.")] = "torch",
    mode: Annotated[
        str | None,
        typer.Option("--mode", metavar="eager|compiled|numpy|cython|standalone", help="Of the engine."),
    ] = None,
    record: Annotated[
        list[str] | None,
        typer.Option(
            "--record",
            metavar="WHAT",
            help="spikes[:POPULATION], state:POPULATION.VARIABLE@MS, weights:PROJECTION@MS; all spikes by default.",
        ),
    ] = None,
    store: Annotated[Path | None, typer.Option("--store", help="Folder to record into; runs/NAME by default.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the store stops; start it if there is none.")
    ] = False,
    checkpoint_every_ms: Annotated[
        float | None,
        typer.Option(
            "--checkpoint-every-ms",
            help="Of the simulation, after which a state to resume from is kept; about once a minute of real time by "
            "default, 0 for never.",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where torch computes.")] = "auto",
    settle_ms: Annotated[float, typer.Option("--settle-ms", help="What the summary leaves out at the start.")] = 0.0,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="Another field of the simulation, e.g. window_ms=50."),
    ] = None,
) -> None:
    """Simulate a circuit in continuous time, record it and say how it fired."""
    from neurosal.cli.simulating import simulate_source

    fields = {"duration_ms": duration_ms, "dt_ms": dt_ms, "backend": backend, "mode": mode, "settle_ms": settle_ms,
              "graph_seed": graph_seed, "checkpoint_every_ms": checkpoint_every_ms}  # fmt: skip
    given = {name: value for name, value in fields.items() if value is not None}
    simulate_source(source, assignment or [], given, seeds=seeds, record=record or [], options=option or [],
                    store=store, resume=resume, device=device)  # fmt: skip


@app.command()
def classify(
    source: SourceArgument,
    assignment: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help=CHANGE)] = None,
    train: Annotated[int, typer.Option("--train", help="Samples to learn from.")] = 10_000,
    assign: Annotated[int, typer.Option("--assign", help="Training samples that give neurons their labels.")] = 10_000,
    test: Annotated[int, typer.Option("--test", help="Test samples.")] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="Of all random numbers.")] = 0,
    dt_ms: Annotated[float, typer.Option("--dt-ms", help="Time step, in ms.")] = 0.5,
    mode: Annotated[str, typer.Option("--mode", metavar="standalone|cython|numpy", help="Of Brian2.")] = "standalone",
    store: Annotated[Path | None, typer.Option("--store", help="Folder to keep it in; runs/NAME by default.")] = None,
) -> None:
    """Let a spiking circuit learn from images without labels, then judge it by labels; goes on where it stopped."""
    from neurosal.cli.classifying import classify_source

    options = {"train": train, "assign": assign, "test": test, "seed": seed, "dt_ms": dt_ms, "mode": mode}
    classify_source(source, assignment or [], options, store=store)


@app.command()
def analyse(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An analysis; see neurosal list analyses.")],
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="Folders of stored runs; several are put together.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the figure and the numbers; the first store's by default.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="NAME=VALUE", help="Of the analysis; several may be given.")
    ] = None,
) -> None:
    """Analyse stored runs: print the table, write figure and numbers."""
    from neurosal.cli.running import analyse_stores

    analyse_stores(name, stores, out, option or [])


@app.command()
def report(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="Folders of stored runs; several come on one page.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file to write; report.html in the first store by default.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Write its figures as PDF and SVG too, for papers.")
    ] = None,
) -> None:
    """Write all that runs recorded as one HTML page that opens offline."""
    from neurosal.cli.running import write_report

    write_report(stores, out, figures)


@app.command()
def data(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A data set; without it, all are listed.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch it from upstream if it is not here.")] = False,
) -> None:
    """Say which data sets there are, or what one of them holds."""
    from neurosal.cli.listing import print_data, print_data_set

    if name is None and download:
        raise ExperimentError(Problem(place="--download", expected="the name of a data set", found="none"))
    if name is None:
        print_data()
    else:
        print_data_set(name, download=download)


@app.command("ls")
def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to look for runs.")] = Path("runs"),
    form: Annotated[str, typer.Option("--format", metavar="table|json", help="How to show them.")] = "table",
) -> None:
    """List the runs below a folder, from their status files."""
    from neurosal.cli.keeping import print_index

    print_index(folder, form)


@app.command()
def watch(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder of a run or an experiment.")],
    show: Annotated[
        list[str] | None, typer.Option("--show", metavar="GROUP/NAME", help="What to draw; several may be given.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Draw one frame and leave.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between frames.")] = 2.0,
) -> None:
    """Draw the curves of a run in the terminal while it goes on."""
    from neurosal.cli.watching import watch_store

    watch_store(store, show or [], once=once, every=every)


@app.command()
def pack(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder of a run or an experiment that is closed.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Put a packed copy there, and leave the original as it is.")
    ] = None,
) -> None:
    """Lay a closed store out for reading through time, compressed where that pays."""
    from neurosal.cli.keeping import pack_store

    pack_store(store, out)


@app.command()
def doctor(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Folder of a run or an experiment.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Cut the record before the first damage, and put right what can be.")
    ] = False,
) -> None:
    """Say whether a stored run is whole; exit code 4 where it is not."""
    from neurosal.cli.keeping import doctor_store

    doctor_store(store, repair=repair)


@app.command()
def crosscheck(
    source: SourceArgument,
    assignment: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help=CHANGE)] = None,
    duration_ms: Annotated[float, typer.Option("--duration-ms", help="How long to simulate.")] = 1000.0,
    dt_ms: Annotated[float, typer.Option("--dt-ms", help="Time step.")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of edges, weights, first state and sources.")] = 0,
    seeds: Annotated[
        int, typer.Option("--seeds", min=1, help="Replicas that measure the spread, where the engines part.")
    ] = 5,
    torch: Annotated[str, typer.Option("--torch", metavar="eager|compiled", help="Way of torch.")] = "eager",
    replicas: Annotated[
        int, typer.Option("--replicas", min=1, help="That torch simulates at once, and Brian2 one by one.")
    ] = 1,
    brian2: Annotated[
        str, typer.Option("--brian2", metavar="numpy|cython|standalone", help="Way of Brian2.")
    ] = "numpy",
    merge: Annotated[
        bool, typer.Option("--merge", help="Let like populations share a group in Brian2, as simulate does.")
    ] = False,
    graph_seed: Annotated[
        int | None, typer.Option("--graph-seed", min=0, help="One graph for all replicas, that of this seed.")
    ] = None,
) -> None:
    """Simulate a circuit on torch and on Brian2; exit code 6 where they do not agree."""
    from neurosal.cli.crosschecking import crosscheck_source

    crosscheck_source(
        source, assignment or [], duration_ms=duration_ms, dt_ms=dt_ms, seed=seed, seeds=seeds, torch=torch,
        replicas=replicas, brian2=brian2, merge=merge, graph_seed=graph_seed,
    )  # fmt: skip


@app.command()
def bench(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHAT]",
            help="rules, replicas, areas, precision, kernels, depth, convolution, memory, scale, eprop, cuba, graphs, "
            "or record or part of it: recording, spikes, statistics, report, reading. All by default.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write what was measured to this JSON file.")] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", help="Say what got slower or faster since this file was written.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    quick: Annotated[bool, typer.Option("--quick", help="Works of milliseconds, to try the bench itself.")] = False,
) -> None:
    """Measure speed against torch on this machine."""
    from importlib import import_module

    import_module("neurosal.bench").main(what, out=out, compare=compare, device=device, quick=quick)


def main() -> None:
    """Entry point of the command ``neurosal``."""
    # Before torch is loaded: its threads spin while they wait for each other, and beside other work on the same cores
    # that made steps up to ten times slower. A short spin, then sleep. What the user set stands.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        app()
    except SystemExit as end:
        if asked() and end.code:  # at the end of Python, torch waits ten seconds and more for processes that are gone
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code if isinstance(end.code, int) else UNEXPECTED)
        raise
