"""Names of files, groups, dimensions and variables of stored runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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
DIRECTION = "direction"
EVENT = "event"
WINDOW = "window"
SYNAPSE = "synapse"
GROUP = "group"  # of channels
IN_GROUP = "_in_group"  # of channels, counted within their group
KERNEL_ROW = "kernel_row"
KERNEL_COLUMN = "kernel_column"
KERNEL_PLACE = "kernel_place"  # along a length
GROWING = frozenset({STEP, SAMPLE, SNAPSHOT, EVENT, WINDOW})

# Coordinates that are not dimensions.
EPOCH = "epoch"
SEED = "seed"
PAIR_WEIGHTS = "pair_weights"
TIME_MS = "time_ms"
START_MS = "start_ms"
STOP_MS = "stop_ms"
PRE = "pre"
POST = "post"

# Attributes.
LEFT_OUT = "left_out"

# Groups.
GRAPH = "graph"
TRAIN = "metrics/train"
EVALUATION = "metrics/eval"
TASKS = "metrics/tasks"
PHASES = "metrics/phases"
STATISTICS = "stats"
SYMMETRY = "stats/symmetry"
CREDIT = "stats/credit"
ROUTING = "stats/routing"
PLASTICITY = "stats/plasticity"
POPULATION_STATS = "stats/population"
UNITS = "stats/units"
FIRING_STATS = "stats/firing"
PROJECTIONS = "projections"
PROBES = "probes"
SPIKES = "spikes"
WINDOWS = "windows"
TRACES = "traces"

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
UNIT = "unit"
REPLICA_INDEX = "replica_index"
FIRST_EVENT = "first_event"
EVENTS = "events"
RATE_HZ = "rate_hz"
INTERVAL_CV = "interval_cv"
CORRELATION = "correlation"
POPULATION_FANO = "population_fano"
LAST_SPIKE_MS = "last_spike_ms"
RECENT_RATE_HZ = "recent_rate_hz"
NOT_FINITE_MS = "not_finite_ms"

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
        DIRECTION,
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
        EVENT,
        WINDOW,
        SYNAPSE,
        GROUP,
        KERNEL_ROW,
        KERNEL_COLUMN,
        KERNEL_PLACE,
        TIME_MS,
        START_MS,
        STOP_MS,
        PRE,
        POST,
        UNIT,
        REPLICA_INDEX,
        FIRST_EVENT,
        EVENTS,
    }
)


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


def channels_dimension(population: str) -> str:
    """Dimension of the channels of a population that has places."""
    return f"{population}_channel"


def place_coordinates(population: str, extent: Sequence[int]) -> dict[str, int]:
    """Coordinates that say which channel and place each of a population's units is: their names and lengths, in the
    order in which units are counted. None without places."""
    axes = {2: ("channel", "place"), 3: ("channel", "row", "column")}.get(len(extent), ())
    return {f"{population}_{axis}": length for axis, length in zip(axes, extent, strict=False)}


def kernel_dimensions(post: str, pre: str, *, axes: int, groups: bool = False) -> tuple[str, ...]:
    """Dimensions of the weights of a convolution with so many axes of space: channels carry the populations' names, so
    that feedforward and feedback align by name; in groups they are counted within their group."""
    first, second = channels_dimension(post), channels_dimension(pre)
    if groups:
        first, second = f"{first}{IN_GROUP}", f"{second}{IN_GROUP}"
    places = {1: (KERNEL_PLACE,), 2: (KERNEL_ROW, KERNEL_COLUMN)}[axes]
    return (*((GROUP,) if groups else ()), first, f"{second}_pre" if first == second else second, *places)


def weight_dimensions(post: str, pre: str) -> tuple[str, str]:
    """Dimensions (post, pre) of weights; `<name>_pre` for the second one when both are the same population."""
    first, second = units_dimension(post), units_dimension(pre)
    return first, f"{second}_pre" if first == second else second
