"""Schema 1.0 of stored runs: the only place where names of groups, dimensions and variables are spelled.

One group a topic and schedule, one growing dimension a group, the replica first, no coordinates on parent groups:

    /graph                                  population, projection: what the circuit is (static)
    /metrics/train                          loss [replica, step]
    /metrics/eval                           test_accuracy, ... [replica, step]
    /metrics/tasks                          accuracy, within [replica, step, task]
    /metrics/phases                         phase_index, cycle, test_accuracy, ... [replica, sample]
    /stats/symmetry/<schedule>              angle, norm_ratio [replica, sample, pair]
    /stats/credit/<schedule>                update_angle [replica, sample, projection],
                                            error_angle [replica, sample, population]
    /stats/routing/<schedule>               usage [replica, sample, population, area],
                                            test_vote_accuracy, ... [replica, sample, population]
    /projections/<projection>/<schedule>    weight, update [replica, snapshot, area, <post>, <pre>]
    /probes/<population>/<schedule>         activity, error [replica, sample, trial, <population>],
                                            area [replica, sample, trial]

Every growing dimension carries the coordinates `step` (so many steps were done; 0 is before training) and `epoch`;
`replica` carries `seed` and each varied setting. Dimensions of units carry the population's name, so that feedforward
and feedback weights align by name and a square pair cannot be compared the wrong way round. <schedule> is `every_10`,
`epochs_1` or `log_8`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType
from typing import Any, Protocol

VERSION = "1.0"
VERSION_ATTRIBUTE = "neurosal_schema"

# Files and folders of a run.
STORE = "store.zarr"
CHECKPOINTS = "checkpoints"
ARMS = "arms"
CIRCUIT_FILE = "circuit.yaml"
SETTINGS_FILE = "settings.yaml"
EXPERIMENT_FILE = "experiment.yaml"
ENVIRONMENT_FILE = "environment.json"
STATUS_FILE = "status.json"

# Dimensions.
REPLICA = "replica"
STEP = "step"
SAMPLE = "sample"
SNAPSHOT = "snapshot"
PAIR = "pair"
POPULATION = "population"
PROJECTION = "projection"
AREA = "area"
TRIAL = "trial"
TASK = "task"
PHASE = "phase"
GROWING = frozenset({STEP, SAMPLE, SNAPSHOT})

# Coordinates that are not dimensions.
EPOCH = "epoch"
SEED = "seed"
PAIR_WEIGHTS = "pair_weights"

# Groups.
GRAPH = "graph"
TRAIN = "metrics/train"
EVALUATION = "metrics/eval"
TASKS = "metrics/tasks"
PHASES = "metrics/phases"
SYMMETRY = "stats/symmetry"
CREDIT = "stats/credit"
ROUTING = "stats/routing"
PROJECTIONS = "projections"
PROBES = "probes"

# Columns of /graph that list populations; all others list projections.
POPULATION_COLUMNS = (POPULATION, "size", "areas", "model")

# Variables.
LOSS = "loss"
ANGLE = "angle"
NORM_RATIO = "norm_ratio"
UPDATE_ANGLE = "update_angle"
ERROR_ANGLE = "error_angle"
USAGE = "usage"
VOTE_ACCURACY = "vote_accuracy"
WEIGHT = "weight"
UPDATE = "update"
ACTIVITY = "activity"
ERROR = "error"
ACCURACY = "accuracy"
WITHIN = "within"
PHASE_INDEX = "phase_index"
CYCLE = "cycle"

# Names that a dimension of units cannot have, because they mean something else in some group.
RESERVED = frozenset(
    {
        REPLICA,
        STEP,
        SAMPLE,
        SNAPSHOT,
        PAIR,
        POPULATION,
        PROJECTION,
        AREA,
        TRIAL,
        TASK,
        PHASE,
        EPOCH,
        SEED,
        PAIR_WEIGHTS,
        LOSS,
        ANGLE,
        NORM_RATIO,
        UPDATE_ANGLE,
        USAGE,
        WEIGHT,
        UPDATE,
        ACTIVITY,
        ERROR,
        ACCURACY,
        WITHIN,
        PHASE_INDEX,
        CYCLE,
    }
)


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One array of a group: its dimensions in stored order, its type, and attributes (`units`, `long_name`)."""

    dims: tuple[str, ...]
    dtype: str = "float64"
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """Fixed labels or numbers along fixed dimensions of a group."""

    dims: tuple[str, ...]
    values: tuple[Any, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of variables that grow together along one dimension.

    Args:
        path: e.g. ``"stats/symmetry/every_10"``.
        growing: the dimension along which `Recorder.append` adds one entry to every variable; second after `replica`.
        variables: by name; dims start with (`replica`, growing).
        sizes: length of each fixed dimension except `replica`.
        coords: fixed coordinates; `replica`'s, `step` and `epoch` are added by the recorder.
    """

    path: str
    growing: str
    variables: Mapping[str, Variable]
    sizes: Mapping[str, int] = field(default_factory=dict)
    coords: Mapping[str, Coordinate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.growing in GROWING, self.growing
        sizes = dict(self.sizes)
        for name, coordinate in self.coords.items():
            if coordinate.dims == (name,):
                sizes.setdefault(name, len(coordinate.values))
        for name, variable in self.variables.items():
            assert variable.dims[:2] == (REPLICA, self.growing), f"{self.path}/{name}: {variable.dims}"
            assert len(set(variable.dims)) == len(variable.dims), f"{self.path}/{name}: {variable.dims}"
            missing = [dim for dim in variable.dims[2:] if dim not in sizes]
            assert not missing, f"{self.path}/{name}: no size of {missing}"
        object.__setattr__(self, "variables", MappingProxyType(dict(self.variables)))
        object.__setattr__(self, "sizes", MappingProxyType(sizes))
        object.__setattr__(self, "coords", MappingProxyType(dict(self.coords)))


class Scheduled(Protocol):
    """What a schedule's name is read from: a probe."""

    @property
    def every(self) -> int | None: ...
    @property
    def epochs(self) -> int | None: ...
    @property
    def log(self) -> int | None: ...


def schedule_name(probe: Scheduled) -> str:
    """Name of a probe's schedule in group paths: `every_10`, `epochs_1` or `log_8`."""
    for kind in ("every", "epochs", "log"):
        if (count := getattr(probe, kind)) is not None:
            return f"{kind}_{count}"
    raise AssertionError("a probe has one of every, epochs and log")


def units_dimension(population: str) -> str:
    """Dimension of a population's units: its name, or `<name>_units` where the name means something else here."""
    return f"{population}_units" if population in RESERVED else population


def weight_dimensions(post: str, pre: str) -> tuple[str, str]:
    """Dimensions (post, pre) of weights; `<name>_pre` for the second one when both are the same population."""
    first, second = units_dimension(post), units_dimension(pre)
    return first, f"{second}_pre" if first == second else second


# Groups by topic ----------------------------------------------------------------------------------------------------


def graph(circuit: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Columns of `/graph` from a circuit's dict. `pair` is the first projection the other way round, or "".

    Args:
        circuit: what `Circuit.to_dict` made.
    """
    columns: dict[str, list[Any]] = {name: [] for name in POPULATION_COLUMNS}
    for name, fields in circuit.get("populations", {}).items():
        size = fields["size"] if "size" in fields else prod(fields["shape"])
        for column, value in zip(
            POPULATION_COLUMNS, (name, size, fields["areas"], fields["model"]["kind"]), strict=True
        ):
            columns[column].append(value)
    edges = circuit.get("projections", {})
    columns[PROJECTION] = list(edges)
    for column in ("source", "target", "pathway"):
        columns[column] = [fields[column] for fields in edges.values()]
    for column in ("wiring", "weights", "plasticity"):
        columns[column] = [fields[column]["kind"] for fields in edges.values()]
    returning = {"feedforward": "feedback", "feedback": "feedforward", "lateral": "lateral"}
    columns[PAIR] = [
        next((
            other for other, back in edges.items()
            if other != name and back["pathway"] == returning.get(fields["pathway"])
            and (back["source"], back["target"]) == (fields["target"], fields["source"])
        ), "")
        for name, fields in edges.items()
    ]  # fmt: skip
    return columns


def training_metrics() -> Group:
    """Loss of the step's batch: mean over samples, for each replica."""
    return Group(
        path=TRAIN,
        growing=STEP,
        variables={
            LOSS: Variable(dims=(REPLICA, STEP), attrs={"long_name": "training loss of the batch", "units": "1"}),
        },
    )


def evaluation_metrics(parts: Sequence[str] = ("train", "validation", "test"), *, accuracy: bool = True) -> Group:
    """`<part>_loss` and, for classification, `<part>_accuracy` (share of samples, 0 to 1) for each part of the data."""
    variables = {}
    for part in parts:
        variables[f"{part}_loss"] = Variable(dims=(REPLICA, STEP), attrs={"long_name": f"{part} loss", "units": "1"})
        if accuracy:
            variables[f"{part}_accuracy"] = Variable(
                dims=(REPLICA, STEP), attrs={"long_name": f"{part} accuracy", "units": "1"}
            )
    return Group(path=EVALUATION, growing=STEP, variables=variables)


def task_metrics(tasks: Sequence[str]) -> Group:
    """Accuracy of each task's classes (share of their samples, 0 to 1): over all outputs, and within, where only the
    outputs of the task's classes are compared."""
    dims = (REPLICA, STEP, TASK)
    names = {ACCURACY: "accuracy over all outputs", WITHIN: "accuracy among the outputs of the task's classes"}
    return Group(
        path=TASKS,
        growing=STEP,
        variables={name: Variable(dims=dims, attrs={"long_name": text, "units": "1"}) for name, text in names.items()},
        coords={TASK: Coordinate(dims=(TASK,), values=tuple(tasks))},
    )


def phase_metrics(phases: Sequence[str], parts: Sequence[str] = (), *, accuracy: bool = True) -> Group:
    """Beginnings of phases: which one, in which cycle, and how the network does just after what is done to it then.
    Each begins after `step` steps; two may begin at the same. Of very many cycles only the first is recorded."""
    dims = (REPLICA, SAMPLE)
    judged = evaluation_metrics(parts, accuracy=accuracy).variables
    return Group(
        path=PHASES,
        growing=SAMPLE,
        variables={
            PHASE_INDEX: Variable(dims=dims, dtype="int64", attrs={"long_name": "number of the phase that begins"}),
            CYCLE: Variable(dims=dims, dtype="int64", attrs={"long_name": "number of the cycle"}),
            **{name: Variable(dims=dims, attrs=variable.attrs) for name, variable in judged.items()},
        },
        coords={PHASE: Coordinate(dims=(PHASE,), values=tuple(phases), attrs={"long_name": "phase"})},
    )


def symmetry(schedule: str, pairs: Mapping[str, int]) -> Group:
    """Angle and norm ratio between forward projections and their effective feedback paths.

    Args:
        schedule: from `schedule_name`.
        pairs: name of each forward projection → its count of weights n (areas add up), for the chance band
            90° ± 57.3°/√n.
    """
    dims = (REPLICA, SAMPLE, PAIR)
    return Group(
        path=f"{SYMMETRY}/{schedule}",
        growing=SAMPLE,
        variables={
            ANGLE: Variable(
                dims=dims, attrs={"long_name": "angle between forward weights and feedback path", "units": "degree"}
            ),
            NORM_RATIO: Variable(
                dims=dims, attrs={"long_name": "norm of the feedback path over norm of forward weights", "units": "1"}
            ),
        },
        coords={
            PAIR: Coordinate(dims=(PAIR,), values=tuple(pairs), attrs={"long_name": "forward projection"}),
            PAIR_WEIGHTS: Coordinate(
                dims=(PAIR,), values=tuple(pairs.values()), attrs={"long_name": "weights compared", "units": "1"}
            ),
        },
    )


def credit(schedule: str, projections: Sequence[str], populations: Sequence[str] = ()) -> Group:
    """Angles to backpropagation of the same state and batch: of changes by projection, of errors by population."""
    variables, coords = {}, {}
    if projections:
        attrs = {"long_name": "angle between the change and that of backpropagation", "units": "degree"}
        variables[UPDATE_ANGLE] = Variable(dims=(REPLICA, SAMPLE, PROJECTION), attrs=attrs)
        coords[PROJECTION] = Coordinate(dims=(PROJECTION,), values=tuple(projections))
    if populations:
        attrs = {"long_name": "angle between the error and that of backpropagation, mean over samples"}
        variables[ERROR_ANGLE] = Variable(dims=(REPLICA, SAMPLE, POPULATION), attrs=attrs | {"units": "degree"})
        coords[POPULATION] = Coordinate(dims=(POPULATION,), values=tuple(populations))
    return Group(path=f"{CREDIT}/{schedule}", growing=SAMPLE, variables=variables, coords=coords)


def routing(schedule: str, areas: Mapping[str, int], *, usage: bool = True, votes: Sequence[str] = ()) -> Group:
    """What each population's router does.

    Args:
        schedule: from `schedule_name`.
        areas: name of each population with areas → how many it has.
        usage: with the share of the samples that each area took; NaN beyond a population's last area.
        votes: parts of the data with a `<part>_vote_accuracy`: that of answering with the commonest training label of
            the area that a sample takes.
    """
    dims = (REPLICA, SAMPLE, POPULATION)
    variables = {}
    if usage:
        attrs = {"long_name": "share of samples that took the area", "units": "1"}
        variables[USAGE] = Variable(dims=(*dims, AREA), attrs=attrs)
    for part in votes:
        attrs = {"long_name": f"{part} accuracy of the vote of areas", "units": "1"}
        variables[f"{part}_{VOTE_ACCURACY}"] = Variable(dims=dims, attrs=attrs)
    return Group(
        path=f"{ROUTING}/{schedule}",
        growing=SAMPLE,
        variables=variables,
        sizes={AREA: max(areas.values())} if usage else {},
        coords={POPULATION: Coordinate(dims=(POPULATION,), values=tuple(areas))},
    )


def projection(
    name: str,
    schedule: str,
    *,
    post: tuple[str, int],
    pre: tuple[str, int] | None,
    areas: int = 1,
    what: Sequence[str] = (WEIGHT,),
    dtype: str = "float32",
) -> Group:
    """Snapshots of a projection's weights and proposed changes, in its own direction.

    Args:
        name: of the projection.
        post, pre: name and count of units of the target and the source; pre None for weights with one entry a target
            unit (one-to-one).
        areas: K of the weights.
        what: `weight`, `update` or both.
        dtype: of the network.
    """
    if pre is None:
        sizes = {AREA: areas, units_dimension(post[0]): post[1]}
    else:
        post_dim, pre_dim = weight_dimensions(post[0], pre[0])
        sizes = {AREA: areas, post_dim: post[1], pre_dim: pre[1]}
    names = {WEIGHT: "synaptic weights", UPDATE: "proposed change, with the sign of a gradient"}
    return Group(
        path=f"{PROJECTIONS}/{name}/{schedule}",
        growing=SNAPSHOT,
        sizes=sizes,
        variables={
            entry: Variable(
                dims=(REPLICA, SNAPSHOT, *sizes), dtype=dtype, attrs={"long_name": names[entry], "units": "1"}
            )
            for entry in what
        },
    )


def population(
    name: str, schedule: str, *, units: int, trials: int, what: Sequence[str] = (ACTIVITY,), dtype: str = "float32"
) -> Group:
    """What a population does on the first `trials` samples of the step's batch.

    Args:
        name: of the population.
        units: how many units it has.
        trials: samples kept; where a batch has fewer, floats are padded with NaN and areas with -1.
        what: of `activity`, `error` [replica, sample, trial, <population>] and `area` [replica, sample, trial].
        dtype: of the network.
    """
    dims = (REPLICA, SAMPLE, TRIAL)
    unit = units_dimension(name)
    known = {
        ACTIVITY: Variable(dims=(*dims, unit), dtype=dtype, attrs={"long_name": f"activity of {name}", "units": "1"}),
        ERROR: Variable(dims=(*dims, unit), dtype=dtype, attrs={"long_name": f"error at {name}", "units": "1"}),
        AREA: Variable(dims=dims, dtype="int32", attrs={"long_name": f"selected area of {name}", "units": "1"}),
    }
    return Group(
        path=f"{PROBES}/{name}/{schedule}",
        growing=SAMPLE,
        sizes={TRIAL: trials, unit: units},
        variables={entry: known[entry] for entry in what},
    )
