"""Searching for settings on validation data: every arm with the same budget, the trials of an arm as replicas of one
tensor program wherever they keep shapes. Each round is an experiment of its own, so that it is recorded and resumed as
any other."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurosal.checks import check_experiment
from neurosal.checks.experiment import load_once
from neurosal.checks.memory import estimate, machine_memory
from neurosal.data import DataSpec
from neurosal.data.spec import count
from neurosal.engine.inputs import pick_device
from neurosal.errors import ExperimentError, Problem, StoreError
from neurosal.graph.value import FrozenMap
from neurosal.record import Run
from neurosal.record.files import read_yaml_file, store_errors, write_yaml
from neurosal.record.refusing import refuse_other
from neurosal.runner.asking import require_optuna
from neurosal.runner.experiment import circuit_of, run
from neurosal.runner.proposing import at_edge, proposals
from neurosal.runner.scoring import Score, measure_of, scores_of
from neurosal.runner.training import DivergedWarning
from neurosal.settings.experiment import Arm, Experiment
from neurosal.settings.search import Search
from neurosal.settings.tuned import TUNED_FILE, Best, Trial, Tuned, best_of, with_settings

Progress = Callable[[int, int, str], None]
SEARCH_FILE, ROUNDS = "search.yaml", "rounds"
MEMORY_SHARE = 0.25  # of the machine's memory that the replicas of one program may need at most


def tune(
    experiment: Experiment,
    search: Search | None = None,
    *,
    store: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: Progress | None = None,
) -> Tuned:
    """Search for the settings of each arm that are best on validation data; what `neurosal tune` calls.

    Test data is left out: the experiments that are run have no test part. Probes are not recorded.

    Args:
        experiment: whose arms are tuned. What it varies plays no part.
        search: in place of the experiment's own.
        store: folder for the runs and for `tuned.yaml`; without one ``runs/{name}_tune``.
        resume: go on with a search that was stopped; start it when there is none. A finished one may be extended.
        progress: called with (steps done, steps in all, arm) in each round.

    Returns:
        The best settings with all that was tried; ``tuned.apply(experiment)`` lays them into the arms.

    Raises:
        ExperimentError: with every problem of the experiment and the search, before anything is written. StoreError:
            when the store cannot be used.

    Example:
        >>> search = Search(over={"optimizer.lr": (0.03, 0.1, 0.3, 1.0)})
        >>> best = tune(ns.load_experiment("sal_digits"), search).apply(ns.load_experiment("sal_digits"))
        ... # doctest: +SKIP
    """
    asked = experiment if search is None else experiment.replace(search=search)
    if asked.search is None:
        remedy = "Give it a search, e.g. Search(over={'optimizer.lr': (0.01, 0.1, 1.0)})."
        raise ExperimentError(Problem(place="search", expected="what to search for", found="nothing", remedy=remedy))
    check_experiment(asked)
    _refuse_epochs_of_phases(asked)
    if asked.search.method == "optuna":
        require_optuna()
    pick_device(device)
    data, facts = searched_data(asked.data, asked.search.validation)
    measure = measure_of(asked)
    folder = Path(store) if store is not None else Path("runs") / f"{experiment.name}_tune"
    memory = _begin(folder, asked, resume)
    trials: dict[str, list[Trial]] = {name: [] for name in asked.arms}
    for turn in itertools.count(1):
        asking = proposals(asked, trials, turn, measure)
        if not any(asking.values()):
            break
        programs = [one for name, settings in asking.items() for one in programs_of(asked, name, settings, memory)]
        searched = _experiment(asked, data, programs, turn)
        place = folder / ROUNDS / str(turn)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DivergedWarning
            )  # settings that diverge are part of a search: they are counted
            result = run(searched, store=place, resume=resume, device=device, progress=progress)
        _take(trials, programs, result, asked.search, turn, measure)
    tuned = Tuned(
        experiment=asked.name, search=asked.search, measure=measure, data=facts,
        arms={name: _best(asked, name, tuple(found), measure) for name, found in trials.items()},
    )  # fmt: skip
    with store_errors(folder, "write the result"):
        write_yaml(folder / TUNED_FILE, tuned.to_dict())
    return tuned


def _refuse_epochs_of_phases(asked: Experiment) -> None:
    """Epochs of the search are not laid over phases, which say themselves how long they last."""
    problems = [
        Problem(place="search.epochs", expected=f"none (arm {name!r} has phases)", found=str(asked.search.epochs))
        for name in asked.arms
        if asked.search is not None and asked.search.epochs is not None and asked.phases_of(name)[0]
    ]
    if problems:
        raise ExperimentError(problems)


def _begin(folder: Path, asked: Experiment, resume: bool) -> int | None:
    """Say in the store what is asked; the memory that programs are cut to, which a resumed search keeps."""
    file, request = folder / SEARCH_FILE, asked.to_dict()
    if file.is_file() and resume:
        stored = read_yaml_file(file)
        for content in (request, stored.get("experiment") or {}):  # a search that is done may be extended
            (content.get("search") or {}).pop("extend", None)
        refuse_other(file, stored.get("experiment") or {}, request)
        memory = stored.get("memory")
        return memory if isinstance(memory, int) else None
    with store_errors(folder, "make a search there"):
        if folder.is_file() or (folder.exists() and any(folder.iterdir())):
            remedy = "Go on with it by --resume, or choose another --store."
            found = "a search" if file.is_file() else "something else"
            raise StoreError(Problem(place=str(folder), expected="a new or empty folder", found=found, remedy=remedy))
        folder.mkdir(parents=True, exist_ok=True)
        memory = machine_memory()
        write_yaml(file, {"memory": memory, "experiment": request} if memory else {"experiment": request})
    return memory


def searched_data(spec: DataSpec, validation: int | float) -> tuple[DataSpec, dict[str, Any]]:
    """The data of a search: without its test part, and with a validation part out of the training part where it has
    none; and its name, fingerprint and sizes.

    Raises:
        ExperimentError: when that leaves nothing to train on or nothing to judge by.
    """
    spec = spec.replace(subset=spec.subset.replace(test=0))
    data = load_once(spec)
    whole = len(data.train)
    if not len(data.validation):
        judged = count(validation, whole)
        if not 0 < judged < whole:
            expected = f"a part of the {whole} training samples that leaves some to train on"
            raise ExperimentError(Problem(place="search.validation", expected=expected, found=f"{judged} samples"))
        split = spec.split.replace(train=None, validation=judged)
        fewer = None if spec.subset.train is None else whole - judged
        spec = spec.replace(split=split, subset=spec.subset.replace(train=fewer, validation=None))
        data = load_once(spec)
    sizes = {"train": len(data.train), "validation": len(data.validation)}
    return spec, {"name": data.name, "sha256": data.sha256, **sizes}


# Programs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Program:
    """Trials of one arm that are one tensor program.

    Args:
        name: unique among the programs of a round.
        arm: whose trials they are.
        changed: the arm with what all of them share.
        settings: of each trial.
    """

    name: str
    arm: str
    changed: Arm
    settings: tuple[Mapping[str, Any], ...]


def programs_of(
    experiment: Experiment, name: str, settings: Sequence[Mapping[str, Any]], memory: int | None
) -> list[Program]:
    """The settings of an arm as tensor programs: those that differ only in what keeps shapes go together, as many as
    fit into a share of the memory."""
    arm, search = experiment.arms[name], experiment.search
    assert search is not None
    budget: dict[str, Any] = {"record": []}
    budget |= {key: value for key in ("epochs", "evaluate_every") if (value := getattr(search, key)) is not None}
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for entry in settings:
        optimizer = experiment.replace(arms={name: with_settings(arm, entry)}).training_of(name).optimizer
        kept = {f"optimizer.{setting}" for setting in type(optimizer).per_replica}
        fixed = FrozenMap({path: value for path, value in entry.items() if path not in kept})
        groups.setdefault(fixed, []).append(entry)
    found: list[tuple[Arm, tuple[Mapping[str, Any], ...]]] = []
    for fixed, together in groups.items():
        changed = with_settings(arm, fixed)
        changed = changed.replace(training={**changed.training, **budget})
        most = _at_once(experiment, changed, len(search.seeds), memory)
        for first in range(0, len(together), most):
            some = tuple(together[first : first + most])
            varied = tuple({path: entry[path] for path in entry if path not in fixed} for entry in some)
            found.append((changed.replace(trials=varied if varied[0] else None), some))
    names = [name] if len(found) == 1 else [f"{name}--{number}" for number in range(1, len(found) + 1)]
    return [
        Program(name=called, arm=name, changed=changed, settings=some)
        for called, (changed, some) in zip(names, found, strict=True)
    ]


def _at_once(experiment: Experiment, arm: Arm, seeds: int, memory: int | None) -> int:
    """How many trials fit into a share of the memory together; at least one, which the check judges."""
    if memory is None:
        return 1 << 30
    training = experiment.replace(arms={"arm": arm}, search=None).training_of("arm")
    each = sum(estimate(circuit_of(arm), seeds, training.batch_size, training.dtype, training.optimizer).values())
    return max(1, int(memory * MEMORY_SHARE) // max(1, each))


def _experiment(asked: Experiment, data: DataSpec, programs: Sequence[Program], turn: int) -> Experiment:
    """One round as an experiment."""
    assert asked.search is not None
    return asked.replace(
        title=f"{asked.title or asked.name}: search, round {turn}",
        data=data,
        arms={one.name: one.changed for one in programs},
        seeds=asked.search.seeds,
        vary={},
        analyses=(),
        search=None,
    )


# Results -------------------------------------------------------------------------------------------------------------


def _take(
    trials: dict[str, list[Trial]], programs: Sequence[Program], result: Run, search: Search, turn: int, measure: str
) -> None:
    """Put the trials of a finished round to the others."""
    for one in programs:
        scores = scores_of(result.arms[one.name], len(one.settings), len(search.seeds), search.criterion, measure)
        trials[one.arm] += [_trial(settings, score, turn) for settings, score in zip(one.settings, scores, strict=True)]


def _trial(settings: Mapping[str, Any], score: Score, turn: int) -> Trial:
    return Trial(settings=settings, score=score.mean, deviation=score.deviation, diverged=score.diverged, round=turn)


def _best(asked: Experiment, name: str, trials: tuple[Trial, ...], measure: str) -> Best:
    assert asked.search is not None
    best = best_of(trials, measure)
    phases, cycles = asked.phases_of(name)
    lasting = cycles * sum(phase.epochs or 0 for phase in phases)  # those that are told in steps count none
    epochs = lasting or asked.search.epochs or asked.training_of(name).epochs
    label = asked.arms[name].label
    if best is None:
        return Best(epochs=epochs, trials=trials, label=label)
    return Best(
        settings=best.settings, score=best.score, deviation=best.deviation, epochs=epochs, trials=trials, label=label,
        at_edge=at_edge(asked.search.over_of(name), best.settings, trials),
    )  # fmt: skip
