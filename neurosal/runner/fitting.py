"""Whether a network, its training and what varies over replicas fit each other, and where their run lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neurosal.engine.network import Network
from neurosal.errors import ExperimentError, Problem
from neurosal.graph import Circuit
from neurosal.record import schema
from neurosal.settings.training import Training


def refuse_other_types(network: Any, training: Any) -> None:
    """The two arguments that are most easily taken for something else."""
    wrong = []
    if not isinstance(network, Network):
        remedy = "Compile it first: ns.compile(circuit)." if isinstance(network, Circuit) else ""
        found = type(network).__name__
        wrong.append(Problem(place="network", expected="a network from compile", found=found, remedy=remedy))
    if training is not None and not isinstance(training, Training):
        remedy = "Make one with ns.Training(...), or give its fields as keywords."
        wrong.append(Problem(place="training", expected="a Training", found=type(training).__name__, remedy=remedy))
    if wrong:
        raise ExperimentError(wrong)


def folder_of(name: str, resume: bool) -> Path:
    """``runs/{name}``, with a number behind it where that is taken by a run that is not to be resumed."""
    folder, count = Path("runs") / name, 2
    while folder.exists() and not resume:
        folder, count = Path("runs") / f"{name}_{count}", count + 1
    return folder


def of_type(network: Network, training: Training) -> Training:
    """The training with the network's types and step; refused where it asks for others."""
    dtype = str(network.dtype).removeprefix("torch.")
    own = {
        "dtype": ("the type", training.dtype, dtype),
        "compute": ("the type of products", training.compute or training.dtype, network.compute),
        "step": ("the step", training.step, network.way),
        "recompute": ("the segments", training.recompute, network.recompute),
    }
    problems = [
        Problem(
            place=f"training.{name}",
            expected=f"{what} of the network, {has}",
            found=str(asked),
            remedy=f"Compile the network with {name}={asked!r}.",
        )
        for name, (what, asked, has) in own.items()
        if name in training.model_fields_set and asked != has
    ]
    if problems:
        raise ExperimentError(problems)
    return training.replace(dtype=dtype, compute=network.compute, step=network.way, recompute=network.recompute)


def replicas_of(network: Network, varied: Mapping[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """The seed of each replica, and the value of each setting that varies; refused where there are not as many."""
    count = len(network.seeds_in_run)
    replicas = {schema.SEED: list(network.seeds_in_run)} | {name: list(values) for name, values in varied.items()}
    problems = [
        Problem(
            place=f"replicas.{name}",
            expected=f"{len(network.seeds_in_run)} values (one a replica)",
            found=str(len(values)),
        )
        for name, values in replicas.items()
        if len(values) != count
    ]
    if problems:
        raise ExperimentError(problems)
    return replicas
