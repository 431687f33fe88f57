"""Running an experiment: every arm as one tensor program of seeds × varied settings, each in a folder of its own."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurosal import library
from neurosal.checks import check_experiment
from neurosal.checks.experiment import load_once
from neurosal.data import Dataset
from neurosal.engine.compiled import refuse_way
from neurosal.engine.inputs import pick_device
from neurosal.engine.network import compile
from neurosal.errors import ExperimentError, Problem
from neurosal.graph import Circuit
from neurosal.processes import Ranks
from neurosal.record import ExperimentFolder, Run, open_run, schema
from neurosal.record.files import read_yaml_file
from neurosal.record.refusing import refuse_other
from neurosal.runner.areas import refuse_undivided
from neurosal.runner.course import Program, course_of
from neurosal.runner.pace import forget_peak
from neurosal.runner.recordable import recordable
from neurosal.runner.sharing import Mine, led, status_of
from neurosal.runner.training import train
from neurosal.settings import Arm, Experiment, Probe, Training

Progress = Callable[[int, int, str], None]


def run(
    experiment: Experiment,
    *,
    store: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
    ranks: Ranks | None = None,
) -> Run:
    """Run an experiment, arm by arm; what `neurosal run` calls.

    Args:
        store: folder of the run; without one ``runs/{name}``.
        resume: go on with an experiment that was interrupted (finished arms are left alone); start it when there is
            none, and only open it when it is finished. Refused where the experiment is not that of the run.
        progress: called with (steps done, steps in all, arm).
        ranks: the processes that run it together, from `neurosal.processes.join`; each calls this with the same.

    Raises:
        ExperimentError: with every problem of the experiment, before anything is written. StoreError: when the store
            cannot be used.
    """
    check_experiment(experiment)
    where = pick_device(device)
    contenders = contenders_of(experiment)
    for way in dict.fromkeys(one.training.step for one in contenders):
        refuse_way(way, where)
    refuse_undivided(ranks, {one.name: (one.circuit, len(one.seeds), one.program) for one in contenders})
    folder = Path(store) if store is not None else Path("runs") / experiment.name
    status = status_of(ranks, folder) if resume else None
    asked = experiment.to_dict()
    if status is not None and status.finished:
        refuse_other(folder / schema.EXPERIMENT_FILE, read_yaml_file(folder / schema.EXPERIMENT_FILE), asked)
        return open_run(folder)
    data = load_once(experiment.data)  # the check has read it already: once is enough in memory, too
    provenance: dict[str, Any] = {"data": data.provenance()}
    if ranks is not None:
        provenance["processes"] = {"count": ranks.count, "parallel": ranks.parallel}
    target = led(
        ranks,
        lambda: (
            ExperimentFolder.create(folder, experiment=asked, provenance=provenance)
            if status is None
            else ExperimentFolder.resume(folder, experiment=asked)
        ),
    )
    state, message = "failed", ""
    try:
        state, message = _arms(contenders, data, folder, target, status is not None, device, progress, ranks)
    except KeyboardInterrupt:
        state = "interrupted"
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise
    finally:
        if target is not None:
            target.close(state, message)
    if ranks is not None:
        ranks.tell()  # the folder is closed
    return open_run(folder)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One arm, ready to be trained.

    Args:
        training: with one value a replica of each setting that varies, and the probes that this circuit has targets
            for.
        varied: name of each setting that varies → its value for each replica.
        program: phases, cycles and tasks.
    """

    name: str
    circuit: Circuit
    training: Training
    seeds: tuple[int, ...]
    varied: dict[str, list[Any]]
    program: Program


def contenders_of(experiment: Experiment) -> list[Contender]:
    """The arms of an experiment, ready to be trained.

    The experiment's own probes record what an arm has (one without feedback has no angle); every one must be of use in
    some arm, and an arm's own in that arm.

    Raises:
        ExperimentError: for probes that are of no use.
    """
    found: list[Contender] = []
    problems: list[Problem] = []
    useless: dict[Probe, Problem] = {}
    useful: set[Probe] = set()
    for name, arm in experiment.arms.items():
        seeds, varied, training = replicas(experiment, experiment.training_of(name), arm.trials)
        circuit = circuit_of(arm, name)
        known = recordable(circuit, training.loss)
        wrong = {probe: problem for probe in training.record if (problem := known.misfit(probe)) is not None}
        if "record" in arm.training:
            problems += [replace(problem, place=f"arms.{name}.training.{problem.place}") for problem in wrong.values()]
        else:
            useless |= wrong
            useful |= set(training.record) - set(wrong)
            training = training.replace(record=tuple(probe for probe in training.record if probe not in wrong))
        phases, cycles = experiment.phases_of(name)
        program = Program(phases=phases, cycles=cycles, tasks=dict(experiment.tasks))
        found.append(
            Contender(name=name, circuit=circuit, training=training, seeds=seeds, varied=varied, program=program)
        )
    problems += [
        replace(problem, place=f"training.{problem.place}") for probe, problem in useless.items() if probe not in useful
    ]
    if problems:
        raise ExperimentError(problems)
    return found


def _arms(
    contenders: list[Contender],
    data: Dataset,
    folder: Path,
    target: ExperimentFolder | None,
    resume: bool,
    device: str,
    progress: Progress | None,
    ranks: Ranks | None,
) -> tuple[str, str]:
    steps = {one.name: course_of(one.program, one.training, data).total for one in contenders}
    total, before, diverged = sum(steps.values()), 0, []
    for one in contenders:
        forget_peak(pick_device(device))  # each arm tells its own
        shares = ranks is not None and ranks.parallel == "replicas"
        mine = Mine(ranks, len(one.seeds)) if shares and ranks is not None else None
        held = ranks.share if ranks is not None and ranks.parallel == "areas" else None
        seeds = one.seeds if mine is None else one.seeds[mine.first : mine.end]
        network = compile(
            one.circuit,
            seeds=seeds,
            device=device,
            dtype=one.training.dtype,
            compute=one.training.compute,
            step=one.training.step,
            recompute=one.training.recompute,
            held=held,
        )
        network.seeds_in_run = one.seeds
        program, told = one.program, None if progress is None else Told(progress, before, total, one.name)
        arm = train(
            network, data, one.training, store=folder / schema.ARMS / one.name, resume=resume, progress=told,
            replicas=one.varied, phases=program.phases, cycles=program.cycles, tasks=program.tasks, ranks=ranks,
        )  # fmt: skip
        del network
        gc.collect()  # a network holds itself in a circle, and the next one may need its memory
        if arm.status.state == "diverged":
            diverged.append(f"{one.name}: {arm.status.message}")
        before += steps[one.name]
        if target is not None:
            target.heartbeat(step=before, epoch=float(one.training.epochs))
    return ("diverged", "\n".join(diverged)) if diverged else ("done", "")


class Told:
    """Progress of one arm, told as part of that of all."""

    def __init__(self, progress: Progress, before: int, total: int, name: str) -> None:
        self.progress, self.before, self.total, self.name = progress, before, total, name

    def __call__(self, done: int, _: int, phase: str) -> None:
        self.progress(self.before + done, self.total, f"{self.name}, {phase}" if phase else self.name)

    def at_pace(self, words: str) -> None:
        """How fast it goes."""
        getattr(self.progress, "at_pace", str)(words)


def circuit_of(arm: Arm, name: str = "arm") -> Circuit:
    """The circuit of an arm: written out, or built from its recipe."""
    if arm.circuit is not None:
        return arm.circuit
    assert arm.recipe is not None
    return library.build(arm.recipe, place=f"arms.{name}.recipe")


def replicas(
    experiment: Experiment, training: Training, trials: Sequence[Mapping[str, float]] | None = None
) -> tuple[tuple[int, ...], dict[str, list[Any]], Training]:
    """Seeds × varied settings as replicas: the seed of each, the value of each varied setting, and the training with
    values per replica.

    The last varied setting changes fastest, the seed slowest.

    Args:
        trials: of the arm, in place of what the experiment varies.
    """
    names = list(experiment.vary) if trials is None else list(trials[0])
    settings = (
        itertools.product(*experiment.vary.values())
        if trials is None
        else (tuple(trial[name] for name in names) for trial in trials)
    )
    table = [(seed, *row) for seed, row in itertools.product(experiment.seeds, list(settings))]
    varied = {name.rpartition(".")[2]: [row[1 + column] for row in table] for column, name in enumerate(names)}
    changes = {name: tuple(values) for name, values in varied.items()}
    optimizer = training.optimizer.replace(**changes) if changes else training.optimizer
    return tuple(int(row[0]) for row in table), varied, training.replace(optimizer=optimizer)
