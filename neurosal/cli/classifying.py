"""Learning without labels, judged by labels."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from neurosal.cli.progress import Progress
from neurosal.cli.running import RUNS
from neurosal.cli.sources import look_up
from neurosal.errors import CircuitError, Problem
from neurosal.graph.circuit import Circuit


def classify_source(source: str, assignments: list[str], options: dict[str, Any], *, store: Path | None) -> None:
    """Train a circuit, assign labels to its neurons, test it, and print how well it went.

    Args:
        options: of `neurosal.runner.classifying.classify`.

    Raises:
        NeurosalError: for bad input, and a store that cannot be used.
    """
    found = look_up(source, assignments)
    if found.kind == "experiment" and not found.problems:
        raise CircuitError(Problem(place=source, expected="a circuit", found="an experiment",
                                   remedy="neurosal run runs experiments."))  # fmt: skip
    circuit = found.checked()
    assert isinstance(circuit, Circuit)
    folder = store or RUNS / circuit.name
    with Progress() as progress:
        result = import_module("neurosal.runner.classifying").classify(circuit, folder, told=progress, **options)
    typer.echo("\n".join(result.lines()))
    typer.echo(f"\nKept in {folder}")
