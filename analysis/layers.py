"""Symmetry by layer and channel: where in a deep circuit feedback comes to agree with the forward weights, and whether
all channels of a layer do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.courses import gathered, remarked
from neurosal.analysis.decimation import POINTS
from neurosal.analysis.offline import SNAPSHOTS
from neurosal.analysis.offline import measures as recorded
from neurosal.analysis.recorded import missing_arms, not_compared, nothing_recorded
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM
from neurosal.analysis.style import GREY, caption, horizontal, legend, look, panels, styled
from neurosal.analysis.tables import Table, listed, plus_minus
from neurosal.record import schema

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = {schema.ANGLE: "angle (°)", schema.NORM_RATIO: "norm ratio ‖B‖ / ‖W‖"}
OF_UNITS = {schema.ANGLE: "unit_angle", schema.NORM_RATIO: "unit_norm_ratio"}
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
QUANTILE = "quantile"
MAPS = 8  # arms of which a figure shows the course by layer
NAMED = 14  # more layers are numbered
REMEDY = (
    'Add ns.probe("angle", every=100) to what is recorded, and ns.probe("unit_angle", every=1000) for the angles of '
    'channels; or ns.probe("weight", every=1000) of both ways.'
)


def compute(arms: Sequence[ArmRecord], *, snapshots: int = SNAPSHOTS, points: int | None = POINTS) -> xarray.Dataset:
    """Angle and norm ratio between forward weights and feedback paths, by layer and by channel.

    Statistics that were recorded are taken as they are; the others are computed from recorded weights.

    Args:
        snapshots: of recorded weights, at most so many are read.
        points: longer recorded curves are thinned to so many; None keeps all.

    Returns:
        Dataset with, for m in ``angle`` and ``norm_ratio``: ``m`` [arm, seed, step, pair], ``m_mean``,
        ``m_deviation``, ``m_count`` [arm, step, pair], pairs in the order of the circuit; and where channels (units of
        layers without places) were recorded ``unit_angle`` and ``unit_norm_ratio`` [arm, pair, quantile]: quantiles
        over the channels of all seeds, at the last record.
    """
    shown = contenders(arms)
    found = recorded(shown, list(LABELS), snapshots)
    if not found:
        raise nothing_recorded(arms, schema.SYMMETRY, "angle or norm_ratio", REMEDY)
    dataset = gathered(shown, found, schema.PAIR, _order(arms), points).assign_attrs(run=arms[0].run)
    for name in OF_UNITS.values():
        spread = _spread(shown, dataset, name)
        if numpy.isfinite(spread).any():
            dataset[name] = (ARM, schema.PAIR, QUANTILE), spread
            dataset = dataset.assign_coords({QUANTILE: numpy.array(SHARES)})
    remarks = ["Angle 0°: the feedback path is the transpose up to scale; chance 90°."]
    if OF_UNITS[schema.ANGLE] in dataset:
        remarks.append("Bars: 10 to 90 % of the channels of a layer, all seeds; thick 25 to 75 %.")
    else:
        remarks.append('No channels: add ns.probe("unit_angle", every=1000).')
    if without := missing_arms(arms, shown, [str(name) for name in dataset[ARM].values]):
        remarks.append(f"Not recorded of {listed(without)}.")
    remarks += not_compared(arms)
    return dataset.assign_attrs(remarks=remarked(dataset, *remarks))


def _order(arms: Sequence[ArmRecord]) -> list[str]:
    """Pairs in the order in which the signal meets them."""
    found: dict[str, None] = {}
    for arm in arms:
        if arm.circuit is not None:
            for source in arm.circuit.layers():
                edges = arm.circuit.select(pathway="feedforward", source=source)
                found |= dict.fromkeys([*edges, *(f"{source}_to_{other}" for other in arm.circuit.populations)])
    return list(found)


def _spread(shown: Sequence[Contender], dataset: xarray.Dataset, name: str) -> numpy.ndarray[Any, Any]:
    """Quantiles of a statistic over the units of each pair and all seeds, at its last record."""
    values = numpy.full((dataset.sizes[ARM], dataset.sizes[schema.PAIR], len(SHARES)), numpy.nan)
    rows = {str(arm): row for row, arm in enumerate(dataset[ARM].values)}
    for one in shown:
        if one.name not in rows:
            continue
        for column, pair in enumerate(dataset[schema.PAIR].values):
            array = one.arm.finest(f"{schema.UNITS}/{pair}", name)
            if array is None:
                continue
            last = one.of(array.isel({schema.STEP: -1})).values
            if numpy.isfinite(last).any():
                values[rows[one.name], column] = numpy.nanquantile(last, SHARES)
    return values


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms and layers as rows: angle at the start and at the end, norm ratio, mean ± sd over seeds, and the middle 80 %
    of channels."""
    rows = []
    for arm in range(dataset.sizes[ARM]):
        for pair in range(dataset.sizes[schema.PAIR]):
            part = dataset.isel({ARM: arm, schema.PAIR: pair})
            start, end = (_at(part, schema.ANGLE, place, 1) for place in (0, -1))
            if end == "–":
                continue
            ratio = _at(part, schema.NORM_RATIO, -1, 2)
            name = OF_UNITS[schema.ANGLE]
            low, high = part[name].values[[0, -1]] if name in part else (numpy.nan, numpy.nan)
            channels = f"{low:.1f} – {high:.1f}" if numpy.isfinite([low, high]).all() else "–"
            rows.append((str(part["label"].values), str(part[schema.PAIR].values), start, end, channels, ratio))
    columns = ("arm", "layer", "angle at first °", "angle °", "channels, 10 – 90 % °", "norm ratio")
    return Table(
        columns=columns,
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: symmetry by layer at the end, mean ± sd over seeds",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset(columns) - {"arm", "layer"},
    )


def _at(part: xarray.Dataset, name: str, place: int, decimals: int) -> str:
    """The first (0) or last (-1) value that there is."""
    if f"{name}_mean" not in part:
        return "–"
    known = numpy.flatnonzero(numpy.isfinite(part[f"{name}_mean"].values))
    if not known.size:
        return "–"
    there = part.isel({schema.STEP: int(known[place])})
    return plus_minus(float(there[f"{name}_mean"]), float(there[f"{name}_deviation"]), decimals)


def draw(dataset: xarray.Dataset) -> Figure:
    """Angle and norm ratio at the end by layer, with what channels do, and below them the course of the angle of each
    arm, layer by layer."""
    several = dataset.sizes[ARM] > 1
    rows = [name for name in LABELS if f"{name}_mean" in dataset]
    mapped = [place for place in range(dataset.sizes[ARM]) if _course(dataset, place) is not None][:MAPS]
    columns, below = 2, -(-len(mapped) // 2)
    with styled():
        figure, axes = panels(1 + below, columns, width=9.5 + 1.6 * several, height=2.7)
        for column in range(columns):
            if column < len(rows):
                _by_layer(axes[0, column], dataset, rows[column])
            else:
                axes[0, column].set_axis_off()
        drawn = None
        for index in range(columns * below):
            axis = axes[1 + index // columns, index % columns]
            if index < len(mapped):
                drawn = _map(axis, dataset, mapped[index])
            else:
                axis.set_axis_off()
        if drawn is not None:
            figure.colorbar(drawn, ax=list(axes[1:].ravel()), label="angle (°)", shrink=0.8)
        if several:
            legend(figure, dataset)
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        left = [f"{len(mapped)} of {dataset.sizes[ARM]} arms have a course."] if below and len(mapped) == MAPS else []
        caption(figure, [*left, *dataset.attrs["remarks"]], width=int(13 * figure.get_figwidth()))
    return figure


def _by_layer(axes: Axes, dataset: xarray.Dataset, name: str) -> None:
    places = numpy.arange(dataset.sizes[schema.PAIR])
    for index, position in enumerate(dataset["position"].values.tolist()):
        arm, style = dataset.isel({ARM: index}), look(position)
        values = _last(arm[f"{name}_mean"])
        known = numpy.isfinite(values)
        shift = 0.12 * (index - (dataset.sizes[ARM] - 1) / 2) if dataset.sizes[ARM] < 7 else 0.0
        axes.plot(places[known] + shift, values[known], marker="o", markersize=3.2, linewidth=1.2, **style)
        if OF_UNITS[name] in dataset:
            spread = arm[OF_UNITS[name]].transpose(schema.PAIR, QUANTILE).values
            for low, high, width in ((0, -1, 1.0), (1, -2, 2.6)):
                axes.vlines(
                    places + shift, spread[:, low], spread[:, high], color=style["color"], linewidth=width, alpha=0.6
                )
    if name == schema.ANGLE:
        axes.axhline(90, color=GREY, linewidth=1, zorder=1)
        axes.text(0.99, 90, "chance", color=GREY, fontsize=8, ha="right", va="bottom",
                  transform=axes.get_yaxis_transform())  # fmt: skip
        axes.set_ylim(bottom=-3)
    else:
        axes.axhline(1, color=GREY, linewidth=1, zorder=1)
    axes.set_title(LABELS[name])
    axes.set_xlim(-0.5, len(places) - 0.5)
    _layers(axes.xaxis, dataset)


def _layers(axis: Any, dataset: xarray.Dataset) -> None:
    """Names of layers along an axis, or numbers where there are many."""
    names = [str(name) for name in dataset[schema.PAIR].values]
    if len(names) > NAMED:
        axis.set_label_text("layer, in the order of the circuit")
        return
    options: dict[str, Any] = {"rotation": 30, "ha": "right"} if axis.axis_name == "x" else {}
    axis.set_ticks(range(len(names)), names, fontsize=8, **options)


def _last(means: xarray.DataArray) -> numpy.ndarray[Any, Any]:
    """The last value of each layer that is known."""
    values = means.transpose(schema.STEP, schema.PAIR).values
    found = numpy.full(values.shape[1], numpy.nan)
    for row in values:
        found = numpy.where(numpy.isfinite(row), row, found)
    return found


def _course(dataset: xarray.Dataset, arm: int) -> xarray.Dataset | None:
    """The steps at which an arm's angles are known; None with fewer than two."""
    if f"{schema.ANGLE}_mean" not in dataset:
        return None
    part = dataset.isel({ARM: arm})
    known = part[f"{schema.ANGLE}_mean"].notnull().any(schema.PAIR).values
    return part.isel({schema.STEP: known}) if known.sum() > 1 else None


def _map(axes: Axes, dataset: xarray.Dataset, arm: int) -> Any:
    """The angle over time (across) by layer (down)."""
    part = _course(dataset, arm)
    assert part is not None
    along, label = horizontal(dataset)
    times = numpy.broadcast_to(part[along].values, part.sizes[schema.STEP]).astype(float)
    values = part[f"{schema.ANGLE}_mean"].transpose(schema.PAIR, schema.STEP).values
    drawn = axes.pcolormesh(
        times, numpy.arange(len(values)), values, shading="nearest", vmin=0, vmax=90, cmap="viridis", rasterized=True
    )
    axes.set_xlim(times[0], times[-1])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_title(str(part["label"].values), color=look(int(part["position"].values))["color"], fontsize=9.5)
    axes.set_xlabel(label)
    _layers(axes.yaxis, dataset)
    return drawn


layers = Analysis(name="layers", compute=compute, draw=draw, tabulate=tabulate, about="training")
