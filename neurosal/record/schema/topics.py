"""The groups of a record, one function a topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from neurosal.record.schema.measures import Attributes
from neurosal.record.schema.measures import variables as measured
from neurosal.record.schema.names import (
    ACCURACY,
    ACTIVITY,
    ANGLE,
    AREA,
    CREDIT,
    CYCLE,
    ERROR,
    ERROR_ANGLE,
    EVALUATION,
    LEFT_OUT,
    LOSS,
    NORM_RATIO,
    PAIR,
    PAIR_WEIGHTS,
    PHASE,
    PHASE_INDEX,
    PHASES,
    POPULATION,
    POPULATION_COLUMNS,
    PROBES,
    PROJECTION,
    PROJECTIONS,
    REPLICA,
    ROUTING,
    SAMPLE,
    SNAPSHOT,
    STEP,
    SYMMETRY,
    TASK,
    TASKS,
    TRAIN,
    TRIAL,
    UPDATE,
    UPDATE_ANGLE,
    USAGE,
    VOTE_ACCURACY,
    WEIGHT,
    WITHIN,
    place_coordinates,
    units_dimension,
    weight_dimensions,
)
from neurosal.record.schema.values import Coordinate, Group, Variable


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
        columns[column] = [fields[column]["kind"] if column in fields else "" for fields in edges.values()]
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


def symmetry(
    schedule: str,
    pairs: Mapping[str, int],
    statistics: Attributes | None = None,
    *,
    left_out: Mapping[str, str] | None = None,
) -> Group:
    """Statistics of forward projections and their effective feedback paths.

    Args:
        schedule: from `schedule_name`.
        pairs: name of each forward projection → its count of weights n (areas add up), for the chance band
            90° ± 57.3°/√n.
        statistics: name → attributes; None: angle and norm ratio.
        left_out: forward paths with feedback that cannot be compared → why; kept as an attribute of `pair`.
    """
    if statistics is None:
        statistics = {
            ANGLE: {"long_name": "angle between forward weights and feedback path", "units": "degree"},
            NORM_RATIO: {"long_name": "norm of the feedback path over norm of forward weights", "units": "1"},
        }
    without = {LEFT_OUT: "; ".join(f"{name}: {reason}" for name, reason in left_out.items())} if left_out else {}
    return Group(
        path=f"{SYMMETRY}/{schedule}",
        growing=SAMPLE,
        variables=measured(statistics, PAIR),
        coords={
            PAIR: Coordinate(dims=(PAIR,), values=tuple(pairs), attrs={"long_name": "forward projection"} | without),
            PAIR_WEIGHTS: Coordinate(
                dims=(PAIR,), values=tuple(pairs.values()), attrs={"long_name": "weights compared", "units": "1"}
            ),
        },
    )


def credit(
    schedule: str,
    projections: Sequence[str],
    populations: Sequence[str] = (),
    *,
    angles: bool = True,
    statistics: Attributes | None = None,
) -> Group:
    """What is compared with backpropagation of the same state and batch: changes by projection, errors by population.

    Args:
        angles: with the angles between the changes of projections.
        statistics: others of these changes, name → attributes.
    """
    variables, coords = measured(statistics or {}, PROJECTION), {}
    if projections:
        attrs = {"long_name": "angle between the change and that of backpropagation", "units": "degree"}
        if angles:
            variables[UPDATE_ANGLE] = Variable(dims=(REPLICA, SAMPLE, PROJECTION), attrs=attrs)
        coords[PROJECTION] = Coordinate(dims=(PROJECTION,), values=tuple(projections))
    if populations:
        attrs = {"long_name": "angle between the error and that of backpropagation, mean over samples"}
        variables[ERROR_ANGLE] = Variable(dims=(REPLICA, SAMPLE, POPULATION), attrs=attrs | {"units": "degree"})
        coords[POPULATION] = Coordinate(dims=(POPULATION,), values=tuple(populations))
    return Group(path=f"{CREDIT}/{schedule}", growing=SAMPLE, variables=variables, coords=coords)


def routing(
    schedule: str,
    areas: Mapping[str, int],
    *,
    usage: bool = True,
    votes: Sequence[str] = (),
    statistics: Attributes | None = None,
) -> Group:
    """What each population's router does.

    Args:
        schedule: from `schedule_name`.
        areas: name of each population with areas → how many it has.
        usage: with the share of the samples that each area took; NaN beyond a population's last area.
        votes: parts of the data with a `<part>_vote_accuracy`: that of answering with the commonest training label of
            the area that a sample takes.
        statistics: of the usage, name → attributes.
    """
    dims = (REPLICA, SAMPLE, POPULATION)
    variables = measured(statistics or {}, POPULATION)
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
    post: tuple[str, int] | None = None,
    pre: tuple[str, int] | None = None,
    sizes: Mapping[str, int] | None = None,
    areas: int = 1,
    what: Sequence[str] = (WEIGHT,),
    dtype: str = "float32",
) -> Group:
    """Snapshots of a projection's weights and proposed changes, in its own direction.

    Args:
        name: of the projection.
        post, pre: name and count of units of the target and the source; pre None for weights with one entry a target
            unit (one-to-one).
        sizes: in place of both, the dimensions of weights of any other form in order, with their lengths; those of
            convolutions are called as `kernel_dimensions` says.
        areas: K of the weights.
        what: `weight`, `update` or both.
        dtype: of the network.
    """
    if sizes is None:
        assert post is not None, name
        if pre is None:
            sizes = {units_dimension(post[0]): post[1]}
        else:
            sizes = dict(zip(weight_dimensions(post[0], pre[0]), (post[1], pre[1]), strict=True))
    sizes = {AREA: areas, **sizes}
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
    name: str,
    schedule: str,
    *,
    units: int,
    trials: int,
    what: Sequence[str] = (ACTIVITY,),
    dtype: str = "float32",
    extent: Sequence[int] = (),
) -> Group:
    """What a population does on the first `trials` samples of the step's batch.

    Args:
        name: of the population.
        units: how many units it has.
        trials: samples kept; where a batch has fewer, floats are padded with NaN and areas with -1.
        what: of `activity`, `error` [replica, sample, trial, <population>] and `area` [replica, sample, trial].
        dtype: of the network.
        extent: of a population with places, (channels, rows, columns) or (channels, length): units then carry the
            coordinates `<name>_channel`, `<name>_row` and `<name>_column`, or `<name>_channel` and `<name>_place`.
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
        coords=_places(name, unit, extent) if {*what} != {AREA} else {},
    )


def _places(name: str, unit: str, extent: Sequence[int]) -> dict[str, Coordinate]:
    """Which channel, row and column each unit is."""
    axes = place_coordinates(name, extent)
    grids = np.indices(tuple(axes.values())) if axes else ()
    return {
        axis: Coordinate(dims=(unit,), values=grid.ravel(), attrs={"long_name": axis.replace("_", " ")})
        for axis, grid in zip(axes, grids, strict=True)
    }
