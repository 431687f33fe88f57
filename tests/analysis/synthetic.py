"""Runs as a trainer would store them, made up: groups come from the schema's own functions, numbers from formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import xarray

from neurosal.record import ExperimentFolder, Recorder, schema

Values = Mapping[str, numpy.ndarray[Any, Any]]


def dataset(
    group: schema.Group, replicas: Mapping[str, Sequence[Any]], steps: Sequence[int], values: Values, *, epoch: int = 10
) -> xarray.Dataset:
    """One group as xarray reads it; `values` [replica, growing, ...] for each variable, `epoch` steps make an epoch."""
    grown = group.growing
    coords: dict[str, Any] = {name: ((schema.REPLICA,), list(column)) for name, column in replicas.items()}
    coords |= {name: (entry.dims, list(entry.values)) for name, entry in group.coords.items()}
    coords |= {schema.STEP: ((grown,), list(steps)), schema.EPOCH: ((grown,), [step / epoch for step in steps])}
    assert values.keys() == group.variables.keys()
    return xarray.Dataset(
        {name: (variable.dims, values[name]) for name, variable in group.variables.items()}, coords=coords
    )


def tree(
    *groups: tuple[schema.Group, Sequence[int], Values], replicas: Mapping[str, Sequence[Any]], name: str = "run"
) -> xarray.DataTree:
    """The record of one arm."""
    return xarray.DataTree.from_dict(
        {f"/{group.path}": dataset(group, replicas, steps, values) for group, steps, values in groups}, name=name
    )


def stored(
    folder: Path,
    *groups: tuple[schema.Group, Sequence[int], Values],
    replicas: Mapping[str, Sequence[Any]],
    circuit: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """The same, recorded into a folder."""
    with Recorder.create(folder, circuit=circuit or {}, settings=settings or {}, replicas=replicas) as recorder:
        for group, steps, values in groups:
            recorder.declare(group)
            for index, step in enumerate(steps):
                entry = {name: array[:, index] for name, array in values.items()}
                recorder.append(group.path, step=step, epoch=step / 10, values=entry)
    return folder


def stored_experiment(folder: Path, experiment: Mapping[str, Any], arms: Mapping[str, Mapping[str, Any]]) -> Path:
    """An experiment with arms: name → arguments of `stored` (`groups` among them)."""
    opened = ExperimentFolder.create(folder, experiment=experiment)
    for name, arguments in arms.items():
        fields = dict(arguments)
        stored(opened.arm(name), *fields.pop("groups"), **fields)
    opened.close()
    return folder


def evaluation(
    steps: Sequence[int],
    seeds: int,
    *,
    final: float = 0.95,
    rate: float = 0.02,
    spread: float = 0.01,
    parts: Sequence[str] = ("validation", "test"),
    accuracy: bool = True,
    seed: int = 0,
) -> tuple[schema.Group, Sequence[int], Values]:
    """Accuracy that rises towards `final`, and a loss that falls with it."""
    generator = numpy.random.default_rng(seed)
    group = schema.evaluation_metrics(parts, accuracy=accuracy)
    shape = 1 - numpy.exp(-rate * numpy.asarray(steps, dtype=float))
    values: dict[str, numpy.ndarray[Any, Any]] = {}
    for part in parts:
        own = generator.normal(0, spread, (seeds, 1)) + generator.normal(0, spread / 3, (seeds, len(steps)))
        reached = numpy.clip(0.1 + (final - 0.1) * shape + own * shape, 0, 1)
        values[f"{part}_loss"] = -numpy.log(numpy.clip(reached, 0.05, 0.999))
        if accuracy:
            values[f"{part}_accuracy"] = reached
    return group, steps, values


def symmetry(
    steps: Sequence[int],
    seeds: int,
    pairs: Mapping[str, int],
    *,
    schedule: str = "every_10",
    final: float = 20.0,
    rate: float = 0.02,
    seed: int = 0,
) -> tuple[schema.Group, Sequence[int], Values]:
    """Angles that fall from chance to `final`, norm ratios that go to 1."""
    generator = numpy.random.default_rng(seed)
    shape = numpy.exp(-rate * numpy.asarray(steps, dtype=float))[None, :, None]
    depth = 1 + 0.3 * numpy.arange(len(pairs))[None, None, :]
    start = 90 + generator.normal(0, 1, (seeds, 1, len(pairs)))
    angle = (
        final * depth
        + (start - final * depth) * shape
        + generator.normal(0, 0.5, (seeds, len(steps), len(pairs))) * (1 - shape)
    )
    ratio = 1 + 0.4 * shape + generator.normal(0, 0.02, (seeds, len(steps), len(pairs)))
    return schema.symmetry(schedule, pairs), steps, {"angle": angle, "norm_ratio": ratio}


def credit(
    steps: Sequence[int], seeds: int, projections: Sequence[str], *, final: float = 15.0, seed: int = 0
) -> tuple[schema.Group, Sequence[int], Values]:
    """Update angles that fall from 90 degrees to `final`."""
    generator = numpy.random.default_rng(seed)
    shape = numpy.exp(-0.02 * numpy.asarray(steps, dtype=float))[None, :, None]
    angle = final + (90 - final) * shape + generator.normal(0, 2, (seeds, len(steps), len(projections)))
    return schema.credit("epochs_1", projections), steps, {"update_angle": angle}


def routing(
    steps: Sequence[int], seeds: int, areas: Mapping[str, int], *, unevenness: float = 1.0, seed: int = 0
) -> tuple[schema.Group, Sequence[int], Values]:
    """Shares that start even and drift apart by `unevenness`."""
    generator = numpy.random.default_rng(seed)
    group = schema.routing("every_10", areas)
    most = max(areas.values())
    usage = numpy.full((seeds, len(steps), len(areas), most), numpy.nan)
    time = numpy.asarray(steps, dtype=float) / max(max(steps), 1)
    for index, count in enumerate(areas.values()):
        taste = generator.normal(0, unevenness, (seeds, 1, count)) * time[None, :, None]
        share = numpy.exp(taste)
        usage[:, :, index, :count] = share / share.sum(axis=-1, keepdims=True)
    return group, steps, {"usage": usage}


def weights(
    steps: Sequence[int], seeds: int, name: str, shape: tuple[int, int, int], *, moving: float = 0.1, seed: int = 0
) -> tuple[schema.Group, Sequence[int], Values]:
    """Snapshots of a projection ``source_to_target`` of shape (areas, post, pre): a random walk."""
    generator = numpy.random.default_rng(seed)
    source, _, target = name.partition("_to_")
    areas, post, pre = shape
    group = schema.projection(name, "every_10", post=(target, post), pre=(source, pre), areas=areas)
    moves = generator.normal(0, moving, (seeds, len(steps), *shape))
    moves[:, 0] = generator.normal(0, 1, (seeds, *shape))
    return group, steps, {"weight": numpy.cumsum(moves, axis=1).astype("float32")}


def activity(
    steps: Sequence[int], seeds: int, name: str, trials: int, units: int, *, seed: int = 0
) -> tuple[schema.Group, Sequence[int], Values]:
    """Activities of a population, rectified noise."""
    generator = numpy.random.default_rng(seed)
    group = schema.population(name, "every_10", units=units, trials=trials)
    values = numpy.maximum(generator.normal(0, 1, (seeds, len(steps), trials, units)), 0)
    return group, steps, {"activity": values.astype("float32")}
