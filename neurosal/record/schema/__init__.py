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
    /stats/plasticity/<schedule>            stable_rank, drift, ... [replica, sample, projection]
    /stats/population/<schedule>            participation_ratio, ... [replica, sample, population]
    /stats/units/<target>/<schedule>        unit_angle, ... [replica, sample, <post>]; of a target with places
                                            [replica, sample, <post>_channel]
    /probes/<population>/<schedule>         activity, error [replica, sample, trial, <population>],
                                            area [replica, sample, trial]

Simulations in time have

    /spikes/<population>                    time_ms, unit, replica_index [event]
    /windows/<population>                   first_event, events [replica, window]
    /traces/<population>/<schedule>         v_mv, ... [replica, sample, <population>]
    /projections/<projection>/<schedule>    weight [replica, snapshot, synapse], with pre and post of each synapse

where windows carry `step` (done at their end), `start_ms` and `stop_ms`, and samples and snapshots `step` and
`time_ms`. In all others, every growing dimension carries the coordinates `step` (so many steps were done; 0 is before
training) and `epoch`. `replica` carries `seed` and each varied setting. Dimensions of units carry the population's
name, so that feedforward and feedback weights align by name and a square pair cannot be compared the wrong way round.

Weights of convolutions are [replica, snapshot, area, <post>_channel, <pre>_channel, kernel_row, kernel_column] (along a
length `kernel_place`), with groups [..., group, <post>_channel_in_group, <pre>_channel_in_group, ...]: a kernel of
feedback has its rows and columns where that of the forward projection has them, so that both align by name. Units of
populations with places are one dimension as all others, in the order of channels, rows and columns, and carry the
coordinates `<population>_channel`, `<population>_row` and `<population>_column`; `pair` has an attribute `left_out`
that says which feedback could not be compared, and why.

<schedule> is `every_10`, `epochs_1` or `log_8`.
"""

from neurosal.record.schema.measures import plasticity, population_statistics, unit_statistics
from neurosal.record.schema.names import (
    ACCURACY,
    ACTIVITY,
    ANGLE,
    AREA,
    ARMS,
    CHECKPOINTS,
    CIRCUIT_FILE,
    CREDIT,
    CYCLE,
    ENVIRONMENT_FILE,
    EPOCH,
    ERROR,
    ERROR_ANGLE,
    EVALUATION,
    EVENT,
    EVENTS,
    EXPERIMENT_FILE,
    FIRST_EVENT,
    GRAPH,
    GROUP,
    GROWING,
    IN_GROUP,
    KERNEL_COLUMN,
    KERNEL_PLACE,
    KERNEL_ROW,
    LEFT_OUT,
    LOSS,
    NORM_RATIO,
    PAIR,
    PAIR_WEIGHTS,
    PHASE,
    PHASE_INDEX,
    PHASES,
    PLASTICITY,
    POPULATION,
    POPULATION_COLUMNS,
    POPULATION_STATS,
    POST,
    PRE,
    PROBES,
    PROJECTION,
    PROJECTIONS,
    REPLICA,
    REPLICA_INDEX,
    RESERVED,
    ROUTING,
    SAMPLE,
    SEED,
    SETTINGS_FILE,
    SNAPSHOT,
    SPIKES,
    START_MS,
    STATISTICS,
    STATUS_FILE,
    STEP,
    STOP_MS,
    STORE,
    SYMMETRY,
    SYNAPSE,
    TASK,
    TASKS,
    TIME_MS,
    TRACES,
    TRAIN,
    TRIAL,
    UNIT,
    UNITS,
    UPDATE,
    UPDATE_ANGLE,
    USAGE,
    VERSION,
    VERSION_ATTRIBUTE,
    VOTE_ACCURACY,
    WEIGHT,
    WINDOW,
    WINDOWS,
    WITHIN,
    Scheduled,
    channels_dimension,
    kernel_dimensions,
    place_coordinates,
    schedule_name,
    units_dimension,
    weight_dimensions,
)
from neurosal.record.schema.spiking import spike_windows, spikes, synapses, traces
from neurosal.record.schema.topics import (
    credit,
    evaluation_metrics,
    graph,
    phase_metrics,
    population,
    projection,
    routing,
    symmetry,
    task_metrics,
    training_metrics,
)
from neurosal.record.schema.values import Coordinate, Group, Variable

__all__ = [
    "ACCURACY",
    "ACTIVITY",
    "ANGLE",
    "AREA",
    "ARMS",
    "CHECKPOINTS",
    "CIRCUIT_FILE",
    "CREDIT",
    "CYCLE",
    "ENVIRONMENT_FILE",
    "EPOCH",
    "ERROR",
    "ERROR_ANGLE",
    "EVALUATION",
    "EVENT",
    "EVENTS",
    "EXPERIMENT_FILE",
    "FIRST_EVENT",
    "GRAPH",
    "GROUP",
    "GROWING",
    "IN_GROUP",
    "KERNEL_COLUMN",
    "KERNEL_PLACE",
    "KERNEL_ROW",
    "LEFT_OUT",
    "LOSS",
    "NORM_RATIO",
    "PAIR",
    "PAIR_WEIGHTS",
    "PHASE",
    "PHASES",
    "PHASE_INDEX",
    "PLASTICITY",
    "POPULATION",
    "POPULATION_COLUMNS",
    "POPULATION_STATS",
    "POST",
    "PRE",
    "PROBES",
    "PROJECTION",
    "PROJECTIONS",
    "REPLICA",
    "REPLICA_INDEX",
    "RESERVED",
    "ROUTING",
    "SAMPLE",
    "SEED",
    "SETTINGS_FILE",
    "SNAPSHOT",
    "SPIKES",
    "START_MS",
    "STATISTICS",
    "STATUS_FILE",
    "STEP",
    "STOP_MS",
    "STORE",
    "SYMMETRY",
    "SYNAPSE",
    "TASK",
    "TASKS",
    "TIME_MS",
    "TRACES",
    "TRAIN",
    "TRIAL",
    "UNIT",
    "UNITS",
    "UPDATE",
    "UPDATE_ANGLE",
    "USAGE",
    "VERSION",
    "VERSION_ATTRIBUTE",
    "VOTE_ACCURACY",
    "WEIGHT",
    "WINDOW",
    "WINDOWS",
    "WITHIN",
    "Coordinate",
    "Group",
    "Scheduled",
    "Variable",
    "channels_dimension",
    "credit",
    "evaluation_metrics",
    "graph",
    "kernel_dimensions",
    "phase_metrics",
    "place_coordinates",
    "plasticity",
    "population",
    "population_statistics",
    "projection",
    "routing",
    "schedule_name",
    "spike_windows",
    "spikes",
    "symmetry",
    "synapses",
    "task_metrics",
    "traces",
    "training_metrics",
    "unit_statistics",
    "units_dimension",
    "weight_dimensions",
]
