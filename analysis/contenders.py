"""What figures and tables show of an arm: its replicas at one setting, chosen on validation where settings were varied.

An arm whose replicas vary settings is shown at the setting that is best at the end on the *validation* part; the test
part is never looked at for that. Settings with fewer diverged replicas come first. Without a validation part nothing
can be chosen, and each setting is shown for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
import xarray

from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.tables import number
from neurosal.record import schema

CHOSEN_BY = (
    ("validation_accuracy", 1.0),
    ("validation_loss", -1.0),
)  # the first that was recorded; and what makes it better


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An arm at one setting.

    Args:
        arm: whose record it is.
        name, title: of the arm, with the setting where several are shown.
        replicas: which of the arm's replicas have that setting.
        seeds: their seeds.
        settings: name → value of what varies between the arm's replicas.
        tried: how many settings the arm has.
        edge: says where a chosen value is the smallest or largest that was tried.
        diverged: for each of the replicas, whether its numbers stopped being finite.
        lost: diverged replicas at the settings that were not chosen.
    """

    arm: ArmRecord
    name: str
    title: str
    replicas: tuple[int, ...]
    seeds: tuple[int, ...]
    settings: Mapping[str, float] = field(default_factory=dict)
    tried: int = 1
    edge: str = ""
    diverged: tuple[bool, ...] = ()
    lost: int = 0

    def of(self, array: xarray.DataArray) -> xarray.DataArray:
        """This contender's part of a recorded array, [seed, ...]. Diverged replicas are NaN: they have no result, but
        are not hidden."""
        part = array.isel({schema.REPLICA: list(self.replicas)}).reset_coords(drop=True).load()
        part = part.rename({schema.REPLICA: schema.SEED}).assign_coords({schema.SEED: list(self.seeds)})
        finished = xarray.DataArray(
            ~numpy.array(self.diverged), dims=schema.SEED, coords={schema.SEED: list(self.seeds)}
        )
        return part.where(finished)


def contenders(arms: Sequence[ArmRecord]) -> list[Contender]:
    """What to show of each arm, in the arms' order."""
    return [contender for arm in arms for contender in _of_arm(arm)]


def _of_arm(arm: ArmRecord) -> list[Contender]:
    record = _with_replicas(arm)
    if record is None:
        return []
    count = record.sizes[schema.REPLICA]
    seeds = record[schema.SEED].values if schema.SEED in record.coords else numpy.arange(count)
    names = _varied(record)
    values = [tuple(float(record[name].values[index]) for name in names) for index in range(count)]
    diverged = _diverged(arm, count)
    tried = list(dict.fromkeys(values))
    best = _best(arm, values, diverged, tried) if len(tried) > 1 else tried[0]
    shown = []
    for setting in tried:
        if best is not None and setting != best:
            continue
        replicas = tuple(index for index in range(count) if values[index] == setting)
        settings = dict(zip(names, setting, strict=True))
        suffix = " ".join(f"{name} {number(value)}" for name, value in settings.items()) if best is None else ""
        shown.append(
            Contender(
                arm=arm,
                name=f"{arm.name} {suffix}".strip(),
                title=f"{arm.title} {suffix}".strip(),
                replicas=replicas,
                seeds=tuple(int(seeds[index]) for index in replicas),
                settings=settings,
                tried=len(tried),
                edge=_edge(settings, names, tried) if best is not None else "",
                diverged=tuple(bool(diverged[index]) for index in replicas),
                lost=int(sum(diverged)) - int(sum(diverged[list(replicas)])),
            )
        )
    return shown


def _with_replicas(arm: ArmRecord) -> xarray.Dataset | None:
    """Any group of the record that says which replicas there are."""
    for node in arm.tree.subtree:
        dataset = node.to_dataset(inherit=False)
        if schema.REPLICA in dataset.sizes:
            return dataset
    return None


def _varied(record: xarray.Dataset) -> list[str]:
    return [
        str(name)
        for name, coordinate in record.coords.items()
        if coordinate.dims == (schema.REPLICA,)
        and name not in (schema.REPLICA, schema.SEED)
        and len(numpy.unique(coordinate.values)) > 1
    ]


def _diverged(arm: ArmRecord, count: int) -> numpy.ndarray[Any, Any]:
    """Which replicas lost finite numbers: a loss that is NaN or infinite at some step, in training or evaluation."""
    lost = numpy.zeros(count, dtype=bool)
    for path in (schema.TRAIN, schema.EVALUATION):
        dataset = arm.group(path)
        for name, array in (dataset or {}).items():
            finite = numpy.isfinite(array.transpose(schema.REPLICA, schema.STEP).values)
            if str(name).endswith(schema.LOSS) and finite.any():  # all NaN: that part of the data does not exist
                lost |= ~finite.all(axis=1)
    return lost


def _best(
    arm: ArmRecord,
    values: Sequence[tuple[float, ...]],
    diverged: numpy.ndarray[Any, Any],
    tried: Sequence[tuple[float, ...]],
) -> tuple[float, ...] | None:
    """The setting with the fewest diverged replicas and, among those, the best mean on validation at the end; None
    without validation."""
    evaluation = arm.group(schema.EVALUATION)
    for name, sign in CHOSEN_BY:
        if evaluation is None or name not in evaluation or not evaluation.sizes[schema.STEP]:
            continue
        final = sign * evaluation[name].isel({schema.STEP: -1}).values
        if not numpy.isfinite(final[~diverged]).any():
            continue
        scores = []
        for setting in tried:
            here = numpy.array([value == setting for value in values])
            finished = final[here & ~diverged]
            scores.append((-int(diverged[here].sum()), float(finished.mean()) if finished.size else -numpy.inf))
        return tried[max(range(len(tried)), key=scores.__getitem__)]
    return None


def _edge(settings: Mapping[str, float], names: Sequence[str], tried: Sequence[tuple[float, ...]]) -> str:
    said = []
    for column, name in enumerate(names):
        values = sorted({setting[column] for setting in tried})
        if len(values) > 1 and settings[name] in (values[0], values[-1]):
            which = "smallest" if settings[name] == values[0] else "largest"
            said.append(f"{name} {number(settings[name])} is the {which} of {len(values)} tried")
    return "; ".join(said)
