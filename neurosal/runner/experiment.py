"""Running an experiment: every arm as one tensor program of seeds × varied settings, each in a folder of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neurosal import library
from neurosal.checks import check_experiment
from neurosal.data import Dataset
from neurosal.engine.network import compile
from neurosal.graph import Circuit
from neurosal.record import ExperimentFolder, Recorder, Run, open_run
from neurosal.runner.training import train
from neurosal.settings import Arm, Experiment, Training

Progress = Callable[[int, int, str], None]


def run(
    experiment: Experiment,
    *,
    store: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Run:
    """Run an experiment, arm by arm; what `neurosal run` calls.

    Args:
        store: folder of the run; without one ``runs/{name}``.
        resume: go on with an experiment that was interrupted (finished arms are left alone); start it when there is
            none.
        progress: called with (steps done, steps in all, arm).

    Raises:
        ExperimentError: with every problem of the experiment, before anything is written. StoreError: when the store
            cannot be used.
    """
    check_experiment(experiment)
    folder = Path(store) if store is not None else Path("runs") / experiment.name
    status = Recorder.status(folder) if resume else None
    if status is not None and status.state in ("done", "diverged"):
        return open_run(folder)
    data = experiment.data.load()
    asked = experiment.to_dict()
    if status is not None:
        target = ExperimentFolder.resume(folder, experiment=asked)
    else:
        target = ExperimentFolder.create(folder, experiment=asked, provenance={"data": data.provenance()})
    state, message = "failed", ""
    try:
        state, message = _arms(experiment, data, target, status is not None, device, progress)
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise
    finally:
        target.close(state, message)
    return open_run(folder)


def _arms(
    experiment: Experiment,
    data: Dataset,
    target: ExperimentFolder,
    resume: bool,
    device: str,
    progress: Progress | None,
) -> tuple[str, str]:
    steps = {name: _steps(experiment.training_of(name), data) for name in experiment.arms}
    total, before, diverged = sum(steps.values()), 0, []
    for name, arm in experiment.arms.items():
        training = experiment.training_of(name)
        seeds, varied, training = replicas(experiment, training)
        network = compile(circuit_of(arm, name), seeds=seeds, device=device, dtype=training.dtype)

        def told(done: int, _: int, __: str, before: int = before, name: str = name) -> None:
            if progress is not None:
                progress(before + done, total, name)

        arm_run = train(network, data, training, store=target.arm(name), resume=resume, progress=told, replicas=varied)
        if arm_run.status.state == "diverged":
            diverged.append(f"{name}: {arm_run.status.message}")
        before += steps[name]
        target.heartbeat(step=before, epoch=float(training.epochs))
    return ("diverged", "\n".join(diverged)) if diverged else ("done", "")


def circuit_of(arm: Arm, name: str = "arm") -> Circuit:
    """The circuit of an arm: written out, or built from its recipe."""
    if arm.circuit is not None:
        return arm.circuit
    assert arm.recipe is not None
    return library.build(arm.recipe, place=f"arms.{name}.recipe")


def replicas(experiment: Experiment, training: Training) -> tuple[tuple[int, ...], dict[str, list[Any]], Training]:
    """Seeds × varied settings as replicas: the seed of each, the value of each varied setting, and the training with
    values per replica.

    The last varied setting changes fastest, the seed slowest.
    """
    names = list(experiment.vary)
    table = list(itertools.product(experiment.seeds, *(experiment.vary[name] for name in names)))
    varied = {name.rpartition(".")[2]: [row[1 + column] for row in table] for column, name in enumerate(names)}
    changes = {name: tuple(values) for name, values in varied.items()}
    optimizer = training.optimizer.replace(**changes) if changes else training.optimizer
    return tuple(int(row[0]) for row in table), varied, training.replace(optimizer=optimizer)


def _steps(training: Training, data: Dataset) -> int:
    return training.epochs * -(-len(data.train.y) // training.batch_size)
