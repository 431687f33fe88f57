"""Symmetry over training: how far feedback paths come to agree with the forward weights, against what chance gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.measured import measured as measured_of
from neurosal.analysis.offline import SNAPSHOTS, labelled
from neurosal.analysis.recorded import gather, gather_each, missing_arms, not_compared, nothing_recorded
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM, described
from neurosal.analysis.style import (
    CHANCE,
    GREY,
    caption,
    curve,
    horizontal,
    legend,
    logarithmic_if_wide,
    over_seeds,
    panels,
    styled,
    time_axis,
)
from neurosal.analysis.tables import Table, listed, plus_minus
from neurosal.graph.circuit import Circuit
from neurosal.record import schema
from neurosal.stats import chance_band, mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 4  # pairs that a figure shows; of more, some that lie evenly spaced from first to last
EXACT = 0.01  # degrees; an update angle below it is rounding
CENTRED, UNITS, KAPPA, SLOPE = "centred_angle", "unit_angle", "sign_kappa", "slope"
ROWS = {
    schema.ANGLE: "weight angle (°)",
    CENTRED: "centred angle (°)",
    UNITS: "angle of units (°)",
    KAPPA: "signs, Cohen's κ",
    SLOPE: "slope of B on W",
    schema.NORM_RATIO: "norm ratio ‖B‖ / ‖W‖",
    schema.UPDATE_ANGLE: "update angle to BP (°)",
    schema.ERROR_ANGLE: "error angle to BP (°)",
}
DECIMALS = {schema.NORM_RATIO: 2, KAPPA: 2, SLOPE: 2}  # of all others 1
HEADINGS = {
    schema.ANGLE: "angle °", CENTRED: "centred °", UNITS: "units °", KAPPA: "κ of signs", SLOPE: "slope",
    schema.NORM_RATIO: "norm ratio", schema.UPDATE_ANGLE: "update angle °", schema.ERROR_ANGLE: "error angle °",
}  # fmt: skip
REMEDY = (
    'Add ns.probe("angle", every=10) to what is recorded (or "norm_ratio", "update_angle" or "error_angle"), or '
    'ns.probe("weight") of both ways.'
)


def compute(arms: Sequence[ArmRecord]) -> xarray.Dataset:
    """Angle, norm ratio and what else was recorded of feedback against forward weights, and of changes against those of
    BP, over training.

    Where no arm recorded angle or norm ratio they are computed from recorded weights.

    Returns:
        Dataset with, of ``angle``, ``centred_angle``, ``unit_angle`` (degrees, mean over units), ``sign_kappa``,
        ``slope``, ``norm_ratio``, ``update_angle`` and ``error_angle`` (degrees), what there is: ``m`` [arm, seed,
        step, pair], ``m_mean``, ``m_deviation``, ``m_count`` [arm, step, pair]. ``pair`` is the forward projection, for
        error angles the population; ``chance_low`` and ``chance_high`` [arm, pair] bound 90° ± 57.3°/√n for its n
        weights. Replicas that diverged are in no mean.
    """
    shown = contenders(arms)
    sources = dict.fromkeys((schema.ANGLE, CENTRED, KAPPA, SLOPE, schema.NORM_RATIO), schema.SYMMETRY)
    sources |= {schema.UPDATE_ANGLE: schema.CREDIT, schema.ERROR_ANGLE: schema.CREDIT}
    gathered = {name: found for name, topic in sources.items() if (found := gather(shown, topic, name))}
    if (units := gather_each(shown, _unit_angle)) is not None:
        gathered[UNITS] = units
    for name in (schema.ANGLE, schema.NORM_RATIO):
        if schema.ANGLE not in gathered or schema.NORM_RATIO not in gathered:
            computed = gather_each(shown, partial(_computed, name))
            gathered |= {} if computed is None else {name: computed}
    if not gathered:
        raise nothing_recorded(arms, schema.SYMMETRY, "angle, norm_ratio, update_angle or error_angle", REMEDY)
    measured, epochs = {}, []
    for name, (array, epoch) in gathered.items():
        own = {dim: schema.PAIR for dim in (schema.PROJECTION, schema.POPULATION) if dim in array.dims}
        array = array.rename(own)
        summary = mean_and_deviation(array, dim=schema.SEED)
        measured[name] = array
        measured |= {f"{name}_{part}": summary[part] for part in ("mean", "deviation", "count")}
        epochs.append(epoch)
    order = [
        contender.name
        for contender in shown
        if any(contender.name in array[ARM].values for array, _ in gathered.values())
    ]
    # Changes are recorded of every projection that learns: their order is the circuit's.
    listings = [array[schema.PAIR].values.tolist() for _, array in sorted(measured.items(), key=_changes_first)]
    pairs = list(dict.fromkeys(label for listing in listings for label in listing))
    steps = sorted({step for array in measured.values() for step in array[schema.STEP].values.tolist()})
    labels = {ARM: order, schema.PAIR: pairs, schema.STEP: steps}
    dataset = xarray.Dataset({name: array.reindex(_within(labels, array)) for name, array in measured.items()})
    epoch = epochs[0].reindex({ARM: order, schema.STEP: steps})
    for other in epochs[1:]:
        epoch = epoch.fillna(other.reindex({ARM: order, schema.STEP: steps}))
    dataset = dataset.assign_coords(epoch=epoch).assign_coords(described(shown, order))
    dataset = dataset.assign(_chance([contender for contender in shown if contender.name in order], pairs))
    return dataset.assign_attrs(_remarks(arms, shown, order, dataset))


def _computed(name: str, one: Contender) -> xarray.DataArray | None:
    """Recorded, or from recorded weights of both ways."""
    return measured_of(one.arm, name, snapshots=SNAPSHOTS)


def _unit_angle(one: Contender) -> xarray.DataArray | None:
    """Recorded angles of units, their mean, [replica, step, pair]."""
    topics = one.arm.children(schema.UNITS)
    found = {name: one.arm.finest(f"{schema.UNITS}/{name}", UNITS) for name in topics}
    means = {
        name: array.mean([dim for dim in array.dims if dim not in (schema.REPLICA, schema.STEP)], keep_attrs=True)
        for name, array in found.items()
        if array is not None
    }
    return labelled(means, schema.PAIR) if means else None


def _changes_first(entry: tuple[str, Any]) -> bool:
    return not entry[0].startswith(schema.UPDATE_ANGLE)


def _within(labels: Mapping[str, Sequence[Any]], array: xarray.DataArray) -> dict[str, Sequence[Any]]:
    """The labels of the dimensions that an array has."""
    return {dim: entries for dim, entries in labels.items() if dim in array.dims}


def _chance(shown: Sequence[Contender], pairs: Sequence[str]) -> dict[str, tuple[tuple[str, str], numpy.ndarray]]:
    """Bounds of the chance band of each arm and pair; NaN where the count of weights was not recorded."""
    counts = numpy.full((len(shown), len(pairs)), numpy.nan)
    for row, contender in enumerate(shown):
        circuit = contender.arm.circuit
        for pair in pairs:
            if circuit is not None and pair in circuit.projections:  # of longer paths only a record tells
                counts[row, pairs.index(pair)] = circuit.areas_of(pair) * prod(_shape(circuit, pair))
        array = contender.arm.finest(schema.SYMMETRY, schema.ANGLE)
        if array is not None and schema.PAIR_WEIGHTS in array.coords:
            for pair, weights in zip(
                array[schema.PAIR].values.tolist(), array[schema.PAIR_WEIGHTS].values.tolist(), strict=True
            ):
                counts[row, pairs.index(pair)] = weights
    low, high = chance_band(counts)
    return {"chance_low": ((ARM, schema.PAIR), low), "chance_high": ((ARM, schema.PAIR), high)}


def _shape(circuit: Circuit, projection: str) -> tuple[int, ...]:
    """Of the weights of one area."""
    edge = circuit.projections[projection]
    post, pre = (circuit.populations[end].extent for end in (edge.target, edge.source))
    return (*post, *pre) if edge.wiring.kind == "one_to_one" else edge.wiring.weight_shape(post, pre)


def _remarks(
    arms: Sequence[ArmRecord], shown: Sequence[Contender], order: Sequence[str], dataset: xarray.Dataset
) -> dict[str, object]:
    remarks = []
    if schema.ANGLE in dataset:
        remarks.append(
            "Angle 0°: the feedback path is the transpose up to scale. "
            "Grey: chance, 90°\xa0±\xa057.3°/√n for n weights."
        )
    if KAPPA in dataset or SLOPE in dataset:
        remarks.append("κ and slope: chance 0; a transpose has 1 (dotted).")
    lacking: dict[str, list[str]] = {}
    for name in ROWS:
        if name in dataset:
            there = [str(arm) for arm in dataset[ARM].values if dataset[name].sel({ARM: arm}).notnull().any()]
            if without := missing_arms(arms, shown, there):
                lacking.setdefault(listed(without), []).append(name.replace("_", " "))
    remarks += [f"Not recorded of {who}: {listed(what)}." for who, what in lacking.items()]
    remarks += not_compared(arms)
    return {"run": arms[0].run, "remarks": remarks}


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms and pairs as rows: what symmetry there is at the end, mean ± sd over seeds, beside chance."""
    measures = [name for name in ROWS if name in dataset]
    rows = []
    for arm in range(dataset.sizes[ARM]):
        for pair in range(dataset.sizes[schema.PAIR]):
            part = dataset.isel({ARM: arm, schema.PAIR: pair})
            entries = [_at_the_end(part, name, decimals=DECIMALS.get(name, 1)) for name in measures]
            if any(entry != "–" for entry in entries):
                half = float(part["chance_high"] - part["chance_low"]) / 2
                chance = f"90 ± {half:.1f}" if numpy.isfinite(half) else "–"
                rows.append((str(part["label"].values), str(part[schema.PAIR].values), *entries, chance))
    columns = ("arm", "projection", *(HEADINGS[name] for name in measures), "chance °")
    return Table(
        columns=columns,
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: symmetry at the end, mean ± sd over seeds",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset(columns) - {"arm", "projection"},
    )


def _at_the_end(part: xarray.Dataset, name: str, decimals: int) -> str:
    known = numpy.flatnonzero(numpy.isfinite(part[f"{name}_mean"].values))
    if not known.size:
        return "–"
    last = part.isel({schema.STEP: int(known[-1])})
    return plus_minus(float(last[f"{name}_mean"]), float(last[f"{name}_deviation"]), decimals)


def draw(dataset: xarray.Dataset) -> Figure:
    """Rows: angle with its chance band, norm ratio, update angle; in each, the projections that have it (four at
    most)."""
    rows, left_out = {}, []
    for name in ROWS:
        if name in dataset:
            rows[name], remark = _shown_pairs(dataset, name)
            left_out += [remark] if remark else []
    columns = max(len(places) for places in rows.values())
    several = dataset.sizes[ARM] > 1
    with styled():
        figure, axes = panels(
            len(rows), columns, width=max(6.5, 1.2 + 1.6 * several + 2.9 * columns), height=2.5, sharex=True
        )
        for row, (name, places) in enumerate(rows.items()):
            for column, place in enumerate(places):
                _panel(axes[row, column], dataset.isel({schema.PAIR: place}), name)
            for column in range(len(places), columns):
                axes[row, column].set_axis_off()
            axes[row, 0].set_ylabel(ROWS[name])
        for column in range(columns):  # a column's time stands below its last panel
            last = max(row for row, places in enumerate(rows.values()) if column < len(places))
            time_axis(axes[last, column], dataset)
            axes[last, column].tick_params(labelbottom=True)
        if several:
            legend(figure, dataset)
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        remarks = [over_seeds(dataset), *left_out, *dataset.attrs["remarks"]]
        caption(figure, remarks, width=int(13 * figure.get_figwidth()))
    return figure


def _shown_pairs(dataset: xarray.Dataset, name: str) -> tuple[list[int], str]:
    """Places of the projections to draw, and what to say of those that are not.

    What every arm shares exactly with backpropagation all the time (at the read-out: it has the true error) needs no
    panel.
    """
    means = dataset[f"{name}_mean"].transpose(schema.PAIR, ...).values
    there = [place for place in range(len(means)) if numpy.isfinite(means[place]).any()]
    exact = [place for place in there if name == schema.UPDATE_ANGLE and numpy.nanmax(means[place]) < EXACT]
    drawn = [place for place in there if place not in exact] or there
    few = [
        drawn[index]
        for index in sorted({round(at) for at in numpy.linspace(0, len(drawn) - 1, min(PANELS, len(drawn)))})
    ]
    said = []
    if len(drawn) < len(there):
        said.append(
            f"0° in all arms, not drawn: {listed([str(dataset[schema.PAIR].values[place]) for place in exact])}."
        )
    if len(few) < len(drawn):
        said.append(f"{len(few)} of {len(drawn)} projections.")
    what = ROWS[name].partition(" (")[0]
    return few, f"{what[0].upper()}{what[1:]}: {' '.join(said)}" if said else ""


def _panel(axes: Axes, part: xarray.Dataset, name: str) -> None:
    along, _ = horizontal(part)
    if name == schema.NORM_RATIO:
        axes.axhline(1, color=GREY, linewidth=1, zorder=1)
        logarithmic_if_wide(axes, part[f"{name}_mean"].values, factor=10)
    elif name in (KAPPA, SLOPE):
        axes.axhline(0, color=GREY, linewidth=1, zorder=1)
        axes.text(0.99, 0, "chance", color=GREY, fontsize=8, ha="right", va="bottom",
                  transform=axes.get_yaxis_transform())  # fmt: skip
        axes.axhline(1, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
    else:
        _angles(axes, part, with_band=name in (schema.ANGLE, CENTRED))
    for index, position in enumerate(part["position"].values.tolist()):
        arm = part.isel({ARM: index})
        x = numpy.broadcast_to(arm[along].values, arm.sizes[schema.STEP])
        curve(axes, x, arm[f"{name}_mean"].values, arm[f"{name}_deviation"].values, position)
    axes.set_title(str(part[schema.PAIR].values), fontsize=9.5)


def _angles(axes: Axes, part: xarray.Dataset, *, with_band: bool) -> None:
    kinds = (schema.ANGLE, CENTRED, UNITS, schema.UPDATE_ANGLE, schema.ERROR_ANGLE)
    means = [f"{kind}_mean" for kind in kinds]
    highest = float(numpy.nanmax([100.0, *(part[mean].max() for mean in means if mean in part)]))
    axes.set_ylim(-3, min(highest + 5, 183))
    axes.set_yticks([tick for tick in (0, 30, 60, 90, 120, 150, 180) if tick <= highest + 5])
    axes.axhline(90, color=GREY, linewidth=1, zorder=1)
    axes.text(0.99, 90, "chance", color=GREY, fontsize=8, ha="right", va="bottom", transform=axes.get_yaxis_transform())
    if with_band and numpy.isfinite(part["chance_low"].values).any():
        axes.axhspan(
            float(part["chance_low"].min()), float(part["chance_high"].max()), color=CHANCE, zorder=0.4, linewidth=0
        )


symmetry = Analysis(name="symmetry", compute=compute, draw=draw, tabulate=tabulate, about="training")
