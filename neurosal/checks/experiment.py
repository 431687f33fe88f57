"""The check of an experiment: its arms, training, data, seeds, varied settings and probes, every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import prod
from typing import Any

from neurosal import library
from neurosal.checks.circuit import problems_in
from neurosal.checks.images import augmentation_problems
from neurosal.checks.learning import nothing_changes
from neurosal.checks.memory import available_memory, estimate_run, memory_problem
from neurosal.checks.names import name_problems
from neurosal.checks.phases import Arms, phase_problems, task_problems
from neurosal.checks.search import search_problems
from neurosal.checks.spiking import SIMULATE, in_time
from neurosal.checks.view import View, readable, view_of
from neurosal.data import Dataset, DataSpec
from neurosal.errors import ExperimentError, NeurosalError, Problem, near
from neurosal.graph.circuit import Circuit
from neurosal.graph.files import misread
from neurosal.graph.models import Rate
from neurosal.graph.timed import targets_of
from neurosal.graph.value import shown
from neurosal.settings.experiment import Arm, Experiment, overlaid
from neurosal.settings.phases import Phase
from neurosal.settings.probes import KINDS, Probe
from neurosal.settings.search import Search
from neurosal.settings.training import Training

LARGEST_SEED = 2**63 - 1
STATISTICS_OF_PROJECTIONS = (
    "pair", "weight", "change", "update", "credit", "step",
    "sample_changes", "area_changes", "kernels", "kernel_labels",
)  # fmt: skip
OF_PROJECTIONS = ("weight", "update", "angle", "norm_ratio", "update_angle")


@dataclass
class ExperimentView:
    """An experiment under check, as far as it could be read; None and absence stand for what could not."""

    name: str | None = None
    arms: dict[str, Arm] = field(default_factory=dict)
    written: dict[str, Any] = field(default_factory=dict)  # circuits written out in arms that could not be read
    arm_names: list[str] = field(default_factory=list)
    data: DataSpec | None = None
    training: Training | None = None
    seeds: tuple[int, ...] | None = None
    vary: Mapping[str, tuple[float, ...]] | None = None
    analyses: tuple[str, ...] = ()
    search: Search | None = None
    phases: tuple[Phase | None, ...] = ()
    cycles: int = 1
    tasks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    slips: list[Problem] = field(default_factory=list)


def check_experiment(experiment: Experiment) -> Experiment:
    """The same experiment, when it can be run.

    Raises:
        ExperimentError: with every problem: of each arm's circuit and training, of the data, seeds, varied settings,
            probes, analyses, and of memory.
    """
    found = list(_problems(_complete(experiment)))
    if found:
        raise ExperimentError(found)
    return experiment


def check_experiment_data(data: Any) -> tuple[Experiment | None, list[Problem]]:
    """An experiment's dict, and all that is wrong with it. No experiment when something is wrong."""
    library.load_plasticity()
    try:
        experiment = Experiment.from_dict(data)
        found = list(misread(data, experiment))
        view = _complete(experiment) if not found else _partial(data)
    except NeurosalError as wrong:
        experiment, found, view = None, list(wrong.problems), _partial(data)
    found += [problem for problem in view.slips if problem not in found]
    found += [problem for problem in _problems(view) if problem not in found]
    return (None if found else experiment), found


def _complete(experiment: Experiment) -> ExperimentView:
    return ExperimentView(
        name=experiment.name, arms=dict(experiment.arms), arm_names=list(experiment.arms), data=experiment.data,
        training=experiment.training, seeds=experiment.seeds, vary=experiment.vary, analyses=experiment.analyses,
        search=experiment.search, phases=experiment.phases, cycles=experiment.cycles, tasks=experiment.tasks,
    )  # fmt: skip


def _partial(data: Any) -> ExperimentView:
    view = ExperimentView()
    if not isinstance(data, Mapping):
        return view
    arms = data.get("arms")
    if isinstance(arms, Mapping):
        view.arm_names = [str(name) for name in arms]
        view.arms, malformed, view.slips = readable(arms, Arm, "arms")
        written = {
            str(name): entry["circuit"]
            for name, entry in arms.items()
            if isinstance(entry, Mapping) and "circuit" in entry
        }
        view.written = {name: written[name] for name in malformed if name in written}
    for key, cls in (("data", DataSpec), ("training", Training)):
        values, _, slips = readable({key: data.get(key, {})}, cls, "")
        setattr(view, key, values.get(key))
        view.slips += [replace(slip, place=slip.place.removeprefix(".")) for slip in slips]
    phases = data.get("phases")
    if isinstance(phases, (list, tuple)):
        read, _, slips = readable({str(number): entry for number, entry in enumerate(phases)}, Phase, "phases")
        view.phases = tuple(read.get(str(number)) for number in range(len(phases)))
        view.slips += slips
    # The fields that are no values of their own are read through an experiment that is otherwise valid.
    valid = {"name": "valid", "data": {"name": "digits"}, "arms": {"valid": {"recipe": {"circuit": "mlp"}}}}
    for key in ("name", "seeds", "vary", "analyses", "search", "cycles", "tasks"):
        if key in data:
            rest, _, slips = readable({key: {**valid, key: data[key]}}, Experiment, "")
            view.slips += [replace(slip, place=slip.place.removeprefix(f".{key}.")) for slip in slips]
            if rest:
                setattr(view, key, getattr(rest[key], key))
    return view


def _problems(view: ExperimentView) -> Iterator[Problem]:
    if view.name is not None:
        yield from (replace(entry, place="name") for entry in name_problems("name", [view.name]))
    yield from name_problems("arms", view.arm_names)
    dataset = None
    try:
        dataset = None if view.data is None else load_once(view.data)
    except NeurosalError as wrong:
        yield from _under("data", wrong.problems, "data")
    circuits: dict[str, Circuit] = {}
    for name in view.arm_names:
        yield from _circuit_of(view, name, circuits)
    trainings: dict[str, Training] = {}
    for name, arm in view.arms.items():
        yield from _training_of(view, name, arm, trainings)
    if dataset is not None and not any(dataset.provenance()["samples"][part] for part in ("validation", "test")):
        remedy = "Leave data.split.test out, or give it or data.split.validation a share."
        yield Problem(
            place="data.split", expected="a test or a validation part to judge by", found="neither", remedy=remedy
        )
    for name, circuit in circuits.items():
        if dataset is not None:
            yield from _data_fits(name, circuit, trainings.get(name), dataset)
    yield from _seeds(view)
    yield from _vary(view, trainings)
    yield from _probes(view, trainings, circuits)
    yield from _phases(view, trainings, circuits, dataset)
    for index, analysis in enumerate(view.analyses):
        try:
            library.find("analyses", analysis, place=f"analyses.{index}")
        except NeurosalError as wrong:
            yield from wrong.problems
    if view.search is not None:
        yield from search_problems(view.search, view.arms, trainings)
    yield from _memory(view, trainings, circuits, dataset)


def _under(prefix: str, problems: Iterable[Problem], fallback: str = "") -> Iterator[Problem]:
    for problem in problems:
        place = f"{prefix}: {problem.place}" if problem.place else prefix or fallback
        yield replace(problem, place=place)


@lru_cache(maxsize=4)
def _loaded(request: str) -> Dataset:
    return DataSpec.from_yaml(request).load()


def load_once(request: DataSpec) -> Dataset:
    """The data set of a request; the last few are kept, because arms and files often share one."""
    return _loaded(request.to_yaml())


# Arms ----------------------------------------------------------------------------------------------------------------


def _circuit_of(view: ExperimentView, name: str, circuits: dict[str, Circuit]) -> Iterator[Problem]:
    """What is wrong with the circuit of an arm; a sound one is put into `circuits`."""
    arm = view.arms.get(name)
    if arm is None:
        seen = view_of(view.written[name])[0] if name in view.written else None
        if seen is not None:
            yield from (replace(problem, place=f"arms.{name}.circuit.{problem.place}") for problem in problems_in(seen))
        return
    if arm.recipe is not None:
        place = f"arms.{name}.recipe"
        try:
            circuit = library.build(arm.recipe, place=place)
        except NeurosalError as wrong:
            yield from wrong.problems
            return
        found = list(_under(place, problems_in(View(circuit))))
    else:
        assert arm.circuit is not None
        circuit = arm.circuit
        found = [
            replace(problem, place=f"arms.{name}.circuit.{problem.place}") for problem in problems_in(View(circuit))
        ]
    if not found and in_time(circuit):
        found = [Problem(place=f"arms.{name}", expected="a circuit of rates without time, which can be trained",
                         found=f"{circuit.name!r}, in continuous time", remedy=SIMULATE)]  # fmt: skip
    yield from found
    if not found:
        circuits[name] = circuit


def _training_of(view: ExperimentView, name: str, arm: Arm, trainings: dict[str, Training]) -> Iterator[Problem]:
    if view.training is None:
        return
    place = f"arms.{name}.training"
    try:
        training = Training.from_dict(overlaid(view.training.to_dict(), arm.training), place=place)
    except NeurosalError as wrong:
        yield from wrong.problems
        return
    slips = list(misread(arm.training, training, place))
    yield from slips
    if not slips:
        trainings[name] = training


def _data_fits(name: str, circuit: Circuit, training: Training | None, dataset: Dataset) -> Iterator[Problem]:
    """Sizes of inputs and output, and a loss that fits both the targets and the output."""
    place = f"arms.{name}"
    features = dataset.features
    wanted = features if isinstance(features, Mapping) else {circuit.inputs[0]: features}
    if set(wanted) != set(circuit.inputs):
        expected = (
            f"the inputs of {dataset.name}: {', '.join(wanted)}" if isinstance(features, Mapping) else "one input"
        )
        yield Problem(place=place, expected=expected, found=", ".join(circuit.inputs))
    for source, shape in wanted.items():
        if source in circuit.inputs and prod(shape) != circuit.populations[source].features:
            timed = circuit.populations[source].features != circuit.populations[source].units
            what = f"{'units × frames' if timed else 'units'} in {source!r} (the data set {dataset.name})"
            yield Problem(
                place=place, expected=f"{prod(shape)} {what}",
                found=str(circuit.populations[source].features), remedy="" if timed else _size_remedy(0, prod(shape)),
            )  # fmt: skip
    output, wanted_outputs = circuit.populations[circuit.output], targets_of(circuit)
    targets = training is None or training.loss != "none"  # else nobody looks at them
    if targets and wanted_outputs != dataset.outputs:
        what = "classes" if dataset.classes else "targets"
        each = wanted_outputs != output.units
        yield Problem(
            place=place,
            expected=f"{dataset.outputs} {'units × steps' if each else 'units'} in {circuit.output!r} "
            f"(the {what} of {dataset.name})",
            found=str(wanted_outputs), remedy="" if each else _size_remedy(-1, dataset.outputs),
        )  # fmt: skip
    if training is None:
        return
    for wrong in augmentation_problems(training.augment, dataset):
        yield replace(wrong, place=f"{place}.training.{wrong.place}")
    if training.loss == "none" and (problem := nothing_changes(circuit)) is not None:
        yield replace(problem, place=f"{place}.training.loss")
    if training.loss == "cross_entropy" and not dataset.classes:
        yield Problem(
            place=f"{place}.training.loss",
            expected=f"mse or bce (the targets of {dataset.name} are numbers)",
            found="cross_entropy",
        )
    if (
        training.loss in ("cross_entropy", "bce")
        and isinstance(output.model, Rate)
        and output.model.activation != "linear"
    ):
        yield Problem(
            place=place, expected=f"a linear output (the loss {training.loss} takes logits)",
            found=f"{circuit.output!r} with {output.model.activation}", remedy="Make it linear, or take the loss mse.",
        )  # fmt: skip


def _size_remedy(index: int, size: int) -> str:
    return f"With a recipe, make {'the first' if index == 0 else 'the last'} of its sizes {size}."


# Replicas and records ------------------------------------------------------------------------------------------------


def _seeds(view: ExperimentView) -> Iterator[Problem]:
    first: dict[int, int] = {}
    for index, seed in enumerate(view.seeds or ()):
        place = f"seeds.{index}"
        if not 0 <= seed <= LARGEST_SEED:
            yield Problem(place=place, expected="a whole number from 0 to 2^63 - 1", found=shown(seed))
        if first.setdefault(seed, index) != index:
            yield Problem(
                place=place, expected="each seed once", found=f"{seed} again", remedy="Equal seeds give equal replicas."
            )


def _vary(view: ExperimentView, trainings: Mapping[str, Training]) -> Iterator[Problem]:
    for path, values in (view.vary or {}).items():
        place = f"vary.{path}"
        if not values:
            yield Problem(place=place, expected="at least one value", found="none")
        if len(set(values)) != len(values):
            yield Problem(place=place, expected="each value once", found=shown(list(values)))
        for name, training in trainings.items():
            known = [f"optimizer.{entry}" for entry in type(training.optimizer).per_replica]
            if path not in known:
                kind = training.optimizer.kind
                yield Problem(
                    place=place,
                    expected=f"a setting that keeps shapes (arm {name!r} trains with {kind})",
                    found=shown(path),
                    remedy=f"{near(path, known)} What changes shapes belongs into arms.",
                )
                break
            try:
                Training.from_dict(overlaid(training.to_dict(), {"optimizer": {path.partition(".")[2]: list(values)}}))
            except NeurosalError as wrong:
                yield from (replace(problem, place=place) for problem in wrong.problems)
                break
    yield from _trials(view, trainings)
    yield from _tuples(view, trainings)


def _trials(view: ExperimentView, trainings: Mapping[str, Training]) -> Iterator[Problem]:
    """Trials of an arm: of the same settings each, which keep shapes."""
    for name, training in trainings.items():
        trials = view.arms[name].trials or ()
        known = [f"optimizer.{entry}" for entry in type(training.optimizer).per_replica]
        for index, trial in enumerate(trials):
            place = f"arms.{name}.trials.{index}"
            if set(trial) != set(trials[0]) or not trial:
                expected = f"values of {', '.join(trials[0]) or 'some setting'}, as the first trial"
                yield Problem(place=place, expected=expected, found=", ".join(trial) or "none")
            for path, value in trial.items():
                if path not in known:
                    kind = training.optimizer.kind
                    expected = f"a setting that keeps shapes (arm {name!r} trains with {kind})"
                    yield Problem(place=place, expected=expected, found=shown(path), remedy=near(path, known))
                    continue
                try:
                    Training.from_dict(overlaid(training.to_dict(), {"optimizer": {path.partition(".")[2]: value}}))
                except NeurosalError as wrong:
                    yield from (replace(problem, place=f"{place}.{path}") for problem in wrong.problems)


def _replicas(view: ExperimentView, name: str) -> int:
    """Replicas of an arm."""
    if name in view.arms and view.arms[name].trials is not None:
        return len(view.seeds or (0,)) * len(view.arms[name].trials or ())
    return len(view.seeds or (0,)) * prod(max(1, len(values)) for values in (view.vary or {}).values())


def _tuples(view: ExperimentView, trainings: Mapping[str, Training]) -> Iterator[Problem]:
    """A setting with a value for each replica has as many as there are."""
    if view.seeds is None or view.vary is None:
        return
    for name, training in trainings.items():
        count, trials = _replicas(view, name), view.arms[name].trials or ()
        varied = {*view.vary, *(path for trial in trials for path in trial)}
        for setting in type(training.optimizer).per_replica:
            value = getattr(training.optimizer, setting)
            if isinstance(value, tuple) and len(value) != count and f"optimizer.{setting}" not in varied:
                below = view.arms[name].training.get("optimizer")
                mine = isinstance(below, Mapping) and setting in below
                yield Problem(
                    place=f"arms.{name}.training.optimizer.{setting}" if mine else f"training.optimizer.{setting}",
                    expected=f"one value, or one for each of the {count} replicas (seeds × varied settings)",
                    found=f"{len(value)} values",
                    remedy=f"To try them all, write vary: {{optimizer.{setting}: [...]}}.",
                )  # fmt: skip
                if not mine:
                    return


def _probes(
    view: ExperimentView, trainings: Mapping[str, Training], circuits: Mapping[str, Circuit]
) -> Iterator[Problem]:
    """Probes of things that exist: in some arm for the experiment's, in that arm for an arm's own."""
    unread = set(view.arm_names) - set(circuits)
    if view.training is not None and circuits and not unread:
        yield from _targets("training.record", view.training.record, circuits.values())
    for name, training in trainings.items():
        if "record" in view.arms[name].training and name in circuits:
            yield from _targets(f"arms.{name}.training.record", training.record, [circuits[name]])


def _phases(
    view: ExperimentView, trainings: Mapping[str, Training], circuits: Mapping[str, Circuit], dataset: Dataset | None
) -> Iterator[Problem]:
    """Phases of the experiment against the arms that go through them, and those of each arm."""
    yield from task_problems(view.tasks, dataset)

    def of(names: Iterable[str], place: str, cycles: int) -> Arms:
        names = [name for name in names if name in circuits]
        return Arms(
            place=place, circuits={name: circuits[name] for name in names}, dataset=dataset, cycles=cycles,
            trainings={name: trainings[name] for name in names if name in trainings},
        )  # fmt: skip

    shared = [name for name in view.arm_names if name not in view.arms or view.arms[name].phases is None]
    yield from phase_problems(view.phases, of(shared, "phases", view.cycles))
    for name, arm in view.arms.items():
        if arm.phases is not None:
            cycles = view.cycles if arm.cycles is None else arm.cycles
            yield from phase_problems(arm.phases, of([name], f"arms.{name}.phases", cycles))


def _of_projections(what: str) -> bool:
    if what in KINDS:
        return what in OF_PROJECTIONS
    from neurosal.stats.catalogue import find  # only where a statistic is recorded, for it brings xarray along

    return find(what).of in STATISTICS_OF_PROJECTIONS


def _targets(place: str, probes: Iterable[Probe], circuits: Iterable[Circuit]) -> Iterator[Problem]:
    circuits, seen = list(circuits), set()
    for index, probe in enumerate(probes):
        if probe in seen:
            yield Problem(place=f"{place}.{index}", expected="each probe once", found=repr(probe))
        seen.add(probe)
        table = "projections" if _of_projections(probe.what) else "populations"
        known = {name for circuit in circuits for name in getattr(circuit, table)}
        if probe.target is not None and probe.target not in known:
            yield Problem(
                place=f"{place}.{index}.target",
                expected=f"the name of a {table[:-1]} ({probe.what} is recorded there)",
                found=shown(probe.target),
                remedy=near(probe.target, known),
            )


def _memory(
    view: ExperimentView, trainings: Mapping[str, Training], circuits: Mapping[str, Circuit], dataset: Dataset | None
) -> Iterator[Problem]:
    free = available_memory()
    sizes = {} if dataset is None else dataset.provenance()["samples"]
    judged = max((sizes.get(part, 0) for part in ("validation", "test")), default=0)
    for name in [name for name in circuits if name in trainings]:
        training, replicas = trainings[name], _replicas(view, name)
        features = sum(circuits[name].populations[each].features for each in circuits[name].inputs)
        as_bytes = dataset is not None and dataset.stays_bytes(
            {each: circuits[name].populations[each].extent for each in circuits[name].inputs}
        )
        needs = estimate_run(circuits[name], replicas, training, sum(sizes.values()), features, judged, as_bytes)
        remedy = f"Take fewer than {replicas} replicas, smaller batches or smaller populations."
        problem = memory_problem(needs, free, place=f"arms.{name}", remedy=remedy)
        if problem is not None:
            yield problem
