"""Use of areas over training: how evenly a population's areas share the samples, and how many are left without any."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.offline import labelled
from neurosal.analysis.recorded import gather, gather_each, missing_arms, nothing_recorded
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM, described
from neurosal.analysis.style import GREY, caption, curve, horizontal, label_lines, over_seeds, panels, styled, time_axis
from neurosal.analysis.tables import Table, listed, plus_minus
from neurosal.record import schema
from neurosal.stats import dead_areas, mean_and_deviation, usage_entropy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DEAD = 0.1  # share of the even share below which an area counts as dead
RANK = "rank"
EXTRA = {  # statistics that are shown where they were recorded: label of the axis, heading, what chance gives
    "switch_rate": ("share of samples", "switch rate", "Switch rate: since the start; chance 1 − 1/K for even areas."),
    "corrected_information": ("bits, less bias", "bits about class", "Bits about the class, less bias: chance 0."),
    "area_angle": (
        "degrees",
        "angle of areas °",
        "Angle of areas: of forward weights and feedback in each, mean; chance 90°.",
    ),
}
REMEDY = 'Add ns.probe("usage", every=10) to what is recorded; only circuits whose populations have areas have it.'


def compute(arms: Sequence[ArmRecord]) -> xarray.Dataset:
    """Usage of areas over training, its entropy, and the number of dead areas, for each population with areas.

    Returns a Dataset with ``usage`` [arm, seed, step, population, area] (share of samples), ``entropy`` (relative: 1
    is even, 0 is one area for all) and ``dead`` (areas with less than a tenth of the even share) [arm, seed, step,
    population], each of the two with ``_mean``, ``_deviation``, ``_count`` over seeds, and ``ranked_mean``,
    ``ranked_deviation`` [arm, step, population, rank]: usage times the number of areas, from the most used area to the
    least (areas have no names that would hold across seeds, ranks do). Replicas that diverged are in no mean.
    """
    shown = contenders(arms)
    gathered = gather(shown, schema.ROUTING, schema.USAGE)
    if gathered is None:
        raise nothing_recorded(arms, schema.ROUTING, "usage", REMEDY)
    usage, epoch = gathered
    order = usage[ARM].values.tolist()
    dataset = xarray.Dataset({schema.USAGE: usage})
    measures = {
        "entropy": usage_entropy(usage, dim=schema.AREA),
        "dead": dead_areas(usage, dim=schema.AREA, below=DEAD),
    }
    for name, array in measures.items():
        summary = mean_and_deviation(array, dim=schema.SEED)
        dataset = dataset.assign({name: array.rename(name), **{f"{name}_{part}": summary[part] for part in summary}})
    summary = mean_and_deviation(_ranked(usage), dim=schema.SEED)
    dataset = dataset.assign(ranked_mean=summary["mean"], ranked_deviation=summary["deviation"])
    dataset = dataset.assign_coords(epoch=epoch).assign_coords(described(shown, order))
    dataset = dataset.assign(_extra(shown, dataset))
    remarks = [f"Dead: less than {DEAD:.0%} of the even share of samples."]
    remarks += [chance for name, (_, _, chance) in EXTRA.items() if name in dataset]
    if without := missing_arms(arms, shown, order):
        remarks.append(f"No usage was recorded of {listed(without)}.")
    return dataset.assign_attrs(run=arms[0].run, remarks=remarks)


def _extra(shown: Sequence[Contender], dataset: xarray.Dataset) -> dict[str, xarray.DataArray]:
    """The statistics of `EXTRA` that were recorded, with mean, deviation and count, at the steps of the dataset."""
    found: dict[str, xarray.DataArray] = {}
    for name in EXTRA:
        own = partial(_statistic, name) if name != "area_angle" else _area_angle
        gathered = gather_each(shown, own)
        if gathered is None:
            continue
        array = gathered[0].reindex({dim: dataset[dim] for dim in (ARM, schema.STEP, schema.POPULATION)})
        summary = mean_and_deviation(array, dim=schema.SEED)
        found |= {name: array, **{f"{name}_{part}": summary[part] for part in summary}}
    return found


def _statistic(name: str, one: Contender) -> xarray.DataArray | None:
    return one.arm.statistic(name)


def _area_angle(one: Contender) -> xarray.DataArray | None:
    """Mean over areas of the angle of each area, by the population that the projection reaches: [replica, step,
    population]. Of several projections to one population the first."""
    circuit = one.arm.circuit
    means: dict[str, xarray.DataArray] = {}
    for name in one.arm.children(schema.UNITS):
        array = one.arm.finest(f"{schema.UNITS}/{name}", "area_angle")
        if array is not None and circuit is not None and name in circuit.projections:
            target = circuit.projections[name].target
            means.setdefault(target, array.mean(schema.AREA, keep_attrs=True))
    return labelled(means, schema.POPULATION) if means else None


def _ranked(usage: xarray.DataArray) -> xarray.DataArray:
    """Usage times the number of areas, in falling order; NaN last, where there are fewer areas."""
    ordered = -numpy.sort(-usage.transpose(..., schema.AREA).values, axis=-1)
    dims = [dim for dim in usage.dims if dim != schema.AREA]
    relative = ordered * numpy.isfinite(ordered).sum(axis=-1, keepdims=True)
    coords = {dim: usage[dim] for dim in dims if dim in usage.coords}
    return xarray.DataArray(
        relative, dims=[*dims, RANK], coords=coords | {RANK: numpy.arange(1, ordered.shape[-1] + 1)}
    )


def _populations(dataset: xarray.Dataset) -> list[tuple[str, list[int]]]:
    """What to show: a title and the places of populations, together for those that always use the same areas (they
    share a route)."""
    usage = dataset[schema.USAGE].transpose(schema.POPULATION, ...).values
    groups: list[list[int]] = []
    for place in range(usage.shape[0]):
        for group in groups:
            if numpy.array_equal(usage[group[0]], usage[place], equal_nan=True):
                group.append(place)
                break
        else:
            groups.append([place])
    names = dataset[schema.POPULATION].values.tolist()
    return [
        (listed([names[place] for place in group], limit=3) + (" (one route)" if len(group) > 1 else ""), group)
        for group in groups
    ]


def _part(dataset: xarray.Dataset, group: Sequence[int]) -> xarray.Dataset:
    """Of populations that share a route the first; of angles, which projections have of their own, the mean."""
    part = dataset.isel({schema.POPULATION: group[0]})
    own = [str(name) for name in dataset if str(name).startswith("area_angle_")]
    return part.assign(
        {name: dataset[name].isel({schema.POPULATION: list(group)}).mean(schema.POPULATION) for name in own}
    )


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms and populations as rows: entropy, dead areas and the share of the most used area at the end, mean ± sd over
    seeds."""
    rows = []
    for title, group in _populations(dataset):
        for index in range(dataset.sizes[ARM]):
            part = _part(dataset, group).isel({ARM: index})
            known = numpy.flatnonzero(numpy.isfinite(part["dead_mean"].values))
            if not known.size:
                continue
            last = part.isel({schema.STEP: int(known[-1])})
            areas = int(numpy.isfinite(last[schema.USAGE].values).any(axis=0).sum())
            most = last.isel({RANK: 0})
            rows.append((
                str(part["label"].values), title, str(areas),
                plus_minus(float(last["entropy_mean"]), float(last["entropy_deviation"]), 3),
                plus_minus(float(last["dead_mean"]), float(last["dead_deviation"]), 1),
                plus_minus(100 * float(most["ranked_mean"]) / areas, 100 * float(most["ranked_deviation"]) / areas, 1),
                *(_last(part, name, 1 if name == "area_angle" else 2) for name in EXTRA if name in dataset),
            ))  # fmt: skip
    more = [heading for name, (_, heading, _) in EXTRA.items() if name in dataset]
    columns = ("arm", "population", "areas", "relative entropy", "dead areas", "most used area %", *more)
    return Table(
        columns=columns,
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: use of areas at the end, mean ± sd over seeds",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset(columns) - {"arm", "population"},
    )


def _last(part: xarray.Dataset, name: str, decimals: int) -> str:
    known = numpy.flatnonzero(numpy.isfinite(part[f"{name}_mean"].values))
    if not known.size:
        return "–"
    last = part.isel({schema.STEP: int(known[-1])})
    return plus_minus(float(last[f"{name}_mean"]), float(last[f"{name}_deviation"]), decimals)


def draw(dataset: xarray.Dataset) -> Figure:
    """Rows: populations (those that share a route once); columns: entropy and dead areas over training, use by rank at
    the end, and other statistics of areas that were recorded."""
    shown = _populations(dataset)
    extra = [name for name in EXTRA if name in dataset]
    with styled():
        figure, axes = panels(len(shown) * (2 if extra else 1), 3, width=11.5, height=3.0)
        for place, (title, group) in enumerate(shown):
            part, row = _part(dataset, group), place * (2 if extra else 1)
            _over_time(axes[row, 0], part, "entropy", title=f"{title}\nevenness of use", label="relative entropy")
            _over_time(axes[row, 1], part, "dead", title="dead areas", label="areas")
            _by_rank(axes[row, 2], part)
            for column, name in enumerate(extra):
                label, heading, _ = EXTRA[name]
                _over_time(axes[row + 1, column], part, name, title=heading, label=label)
            for column in range(len(extra), 3 if extra else 0):
                axes[row + 1, column].set_axis_off()
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        caption(figure, [over_seeds(dataset), *dataset.attrs["remarks"]], width=150)
    return figure


def _over_time(axes: Axes, part: xarray.Dataset, name: str, *, title: str, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    along, _ = horizontal(part)
    ends: dict[int, tuple[float, float]] = {}
    for index, position in enumerate(part["position"].values.tolist()):
        arm = part.isel({ARM: index})
        x = numpy.broadcast_to(arm[along].values, arm.sizes[schema.STEP])
        end = curve(axes, x, arm[f"{name}_mean"].values, arm[f"{name}_deviation"].values, position)
        if end is not None:
            ends[position] = end
    if name in EXTRA:
        if not ends:
            axes.set_axis_off()
            return
    elif name == "entropy":
        axes.axhline(1, color=GREY, linewidth=1, zorder=1)
        axes.set_ylim(top=1.02)
    else:
        axes.set_ylim(bottom=0, top=max(axes.get_ylim()[1], 1))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set_title(title)
    axes.set_ylabel(label)
    time_axis(axes, part)
    _labelled(axes, part, ends)


def _by_rank(axes: Axes, part: xarray.Dataset) -> None:
    from matplotlib.ticker import MaxNLocator

    ends: dict[int, tuple[float, float]] = {}
    for index, position in enumerate(part["position"].values.tolist()):
        arm = part.isel({ARM: index})
        known = numpy.flatnonzero(numpy.isfinite(arm["ranked_mean"].values).any(axis=-1))
        if known.size:
            last = arm.isel({schema.STEP: int(known[-1])})
            end = curve(axes, last[RANK].values, last["ranked_mean"].values, last["ranked_deviation"].values, position)
            if end is not None:
                ends[position] = end
    axes.axhline(1, color=GREY, linewidth=1, zorder=1)
    axes.set_ylim(bottom=0)
    axes.set_title("use at the end, most used area first")
    axes.set_ylabel("use / even share")
    axes.set_xlabel("rank of area")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    _labelled(axes, part, ends)


def _labelled(axes: Axes, part: xarray.Dataset, ends: dict[int, tuple[float, float]]) -> None:
    if part.sizes[ARM] > 1:
        label_lines(axes, ends, dict(zip(part["position"].values.tolist(), part["label"].values.tolist(), strict=True)))


areas = Analysis(name="areas", compute=compute, draw=draw, tabulate=tabulate, about="training")
