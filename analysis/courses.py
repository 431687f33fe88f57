"""Several measures over training, each of several labels (projections, populations, pairs): one way to gather, draw and
tabulate them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender
from neurosal.analysis.decimation import POINTS, thinned
from neurosal.analysis.stacking import ARM, described, epochs_of, stacked, text
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
from neurosal.record import schema
from neurosal.stats import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 4  # labels that a figure shows; of more, some that lie evenly spaced from first to last
Found = Mapping[str, Mapping[str, xarray.DataArray]]  # measure → contender → [replica, step, label]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How one measure is shown.

    Args:
        name: in the dataset.
        label: of its vertical axis.
        heading: of its column.
        decimals: in tables.
        chance: level that chance gives, drawn as a line; None: chance has no one level.
        says: what is written at that line.
        limits: of the vertical axis; None where the data decide.
        factor: what values are multiplied by to be shown.
        wide: ratio of values from which on the axis is logarithmic; 0 never.
    """

    name: str
    label: str
    heading: str
    decimals: int = 2
    chance: float | None = None
    says: str = "chance"
    limits: tuple[float | None, float | None] | None = None
    factor: float = 1.0
    wide: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """Another row of panels below the curves: how many, the label of its axis, and (axes, column) → drawn."""

    panels: int
    label: str
    draw: Callable[[Axes, int], None]


def gathered(
    shown: Sequence[Contender], found: Found, dim: str, order: Sequence[str] = (), points: int | None = POINTS
) -> xarray.Dataset:
    """Measures of all contenders in one Dataset.

    Args:
        shown: all contenders, which decide order and colours.
        found: measure → contender's name → [replica, step, `dim`].
        dim: of the labels.
        order: of labels; others follow as they come.
        points: curves that are longer are thinned to so many; None keeps all.

    Returns:
        Dataset with, for each measure m, ``m`` [arm, seed, step, dim], ``m_mean``, ``m_deviation``, ``m_count`` [arm,
        step, dim], the coordinate ``epoch`` [arm, step], and along ``arm`` what `described` gives. Steps are those of
        all measures together: where one was not recorded it is NaN. Replicas that diverged are NaN.
    """
    by_name = {contender.name: contender for contender in shown}
    whole, epochs, share = {}, [], 1
    for measure, arrays in found.items():
        short = {name: thinned(array, dim=schema.STEP, points=points) for name, array in arrays.items()}
        share = max(share, *(array.attrs.get("records_per_point", 1) for array in short.values()))
        whole[measure] = stacked({name: by_name[name].of(array) for name, array in short.items()})
        epochs.append(stacked({name: epochs_of(array) for name, array in short.items()}))
    names = [name for name in by_name if any(name in arrays for arrays in found.values())]
    known = dict.fromkeys(label for array in whole.values() for label in array[dim].values.tolist())
    labels = [label for label in order if label in known] + [label for label in known if label not in order]
    steps = sorted({step for array in whole.values() for step in array[schema.STEP].values.tolist()})
    place = {ARM: text(names), schema.STEP: steps, dim: text(labels)}
    dataset = xarray.Dataset()
    for measure, array in whole.items():
        array = array.reindex(place)
        summary = mean_and_deviation(array, dim=schema.SEED)
        parts = {f"{measure}_{part}": summary[part] for part in ("mean", "deviation", "count")}
        dataset = dataset.assign({measure: array.rename(measure), **parts})
    epoch = epochs[0].reindex({ARM: place[ARM], schema.STEP: steps})
    for other in epochs[1:]:
        epoch = epoch.fillna(other.reindex({ARM: place[ARM], schema.STEP: steps}))
    dataset = dataset.assign_coords(epoch=epoch).assign_coords(described(shown, names))
    return dataset.assign_attrs(records_per_point=int(share))


def remarked(dataset: xarray.Dataset, *remarks: str) -> list[str]:
    """Remarks below figure and table, with what thinning did."""
    share = int(dataset.attrs.get("records_per_point", 1))
    thin = [f"Each point is the mean of up to {share} records; first and last are records."] if share > 1 else []
    return [*remarks, *thin]


def lacking(dataset: xarray.Dataset, measures: Sequence[Measure]) -> list[str]:
    """Which arms have no record of which measures, where others have."""
    without: dict[str, list[str]] = {}
    for measure in measures:
        if measure.name in dataset:
            there = dataset[measure.name].notnull().any([dim for dim in dataset[measure.name].dims if dim != ARM])
            titles = dataset["label"].values[~there.values].tolist()
            if titles:
                without.setdefault(listed(titles), []).append(measure.heading.rstrip(" °%"))
    return [f"Not recorded of {who}: {listed(what)}." for who, what in without.items()]


def at_the_end(part: xarray.Dataset, measure: Measure) -> str:
    """Last mean ± deviation of one arm and label, as text."""
    known = numpy.flatnonzero(numpy.isfinite(part[f"{measure.name}_mean"].values))
    if not known.size:
        return "–"
    last = part.isel({schema.STEP: int(known[-1])})
    mean, deviation = (measure.factor * float(last[f"{measure.name}_{what}"]) for what in ("mean", "deviation"))
    return plus_minus(mean, deviation, measure.decimals)


def end_table(dataset: xarray.Dataset, measures: Sequence[Measure], dim: str, *, heading: str, title: str) -> Table:
    """Arms and labels as rows, measures at the end as columns."""
    there = [measure for measure in measures if measure.name in dataset]
    rows = []
    for arm in range(dataset.sizes[ARM]):
        for place in range(dataset.sizes[dim]):
            part = dataset.isel({ARM: arm, dim: place})
            entries = [at_the_end(part, measure) for measure in there]
            if any(entry != "–" for entry in entries):
                rows.append((str(part["label"].values), str(part[dim].values), *entries))
    columns = ("arm", heading, *(measure.heading for measure in there))
    return Table(
        columns=columns,
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: {title} at the end, mean ± sd over seeds",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset(columns[2:]),
    )


def course_figure(
    dataset: xarray.Dataset,
    measures: Sequence[Measure],
    dim: str,
    *,
    bands: Mapping[str, tuple[str, str]] | None = None,
    below: Sequence[Row] = (),
) -> Figure:
    """Rows: measures; columns: labels that have them (four at most), arms as lines.

    Args:
        bands: measure → names of the variables [arm, dim] between which chance lies.
        below: more rows.
    """
    rows = {measure: shown_labels(dataset, measure.name, dim) for measure in measures if measure.name in dataset}
    columns = max(max(len(places) for places in rows.values()), *(min(extra.panels, PANELS) for extra in below), 1)
    several = dataset.sizes[ARM] > 1
    counts = {measure: int(_there(dataset, measure.name, dim).sum()) for measure in rows}
    fewer = {
        measure.label: (len(rows[measure]), count) for measure, count in counts.items() if len(rows[measure]) < count
    }
    if len(fewer) == len(rows) and len(set(fewer.values())) == 1:  # once for all
        fewer = {"Columns": next(iter(fewer.values()))}
    said = [f"{label}: {few} of {count} {dim}s." for label, (few, count) in fewer.items()]
    said += [f"{extra.label}: {columns} of {extra.panels} shown." for extra in below if extra.panels > columns]
    with styled():
        width = max(6.5, 1.2 + 1.6 * several + 2.9 * columns)
        figure, axes = panels(len(rows) + len(below), columns, width=width, height=2.3)
        for row, (measure, places) in enumerate(rows.items()):
            for column in range(columns):
                if column < len(places):
                    part = dataset.isel({dim: places[column]})
                    _panel(axes[row, column], part, measure, (bands or {}).get(measure.name))
                    axes[row, column].set_title(str(part[dim].values), fontsize=9.5)
                    # A column's time stands below its last panel.
                    time_axis(axes[row, column], dataset)
                    if any(column < len(other) for other in list(rows.values())[row + 1 :]):
                        axes[row, column].set_xlabel("")
                        axes[row, column].tick_params(labelbottom=False)
                else:
                    axes[row, column].set_axis_off()
            axes[row, 0].set_ylabel(measure.label)
        for place, extra in enumerate(below):
            for column in range(columns):
                if column < extra.panels:
                    extra.draw(axes[len(rows) + place, column], column)
                else:
                    axes[len(rows) + place, column].set_axis_off()
            axes[len(rows) + place, 0].set_ylabel(extra.label)
        if several:
            legend(figure, dataset)
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        caption(figure, [over_seeds(dataset), *said, *dataset.attrs["remarks"]], width=int(13 * figure.get_figwidth()))
    return figure


def _there(dataset: xarray.Dataset, name: str, dim: str) -> numpy.ndarray[Any, Any]:
    means = dataset[f"{name}_mean"].transpose(dim, ...).values
    return numpy.isfinite(means).reshape(len(means), -1).any(axis=1)


def shown_labels(dataset: xarray.Dataset, name: str, dim: str, most: int = PANELS) -> list[int]:
    """Places of the labels that a figure shows of a measure: evenly spaced from the first to the last that has it."""
    there = numpy.flatnonzero(_there(dataset, name, dim)).tolist()
    return [there[at] for at in sorted({round(at) for at in numpy.linspace(0, len(there) - 1, min(most, len(there)))})]


def _panel(axes: Axes, part: xarray.Dataset, measure: Measure, band: tuple[str, str] | None) -> None:
    along, _ = horizontal(part)
    for index, position in enumerate(part["position"].values.tolist()):
        arm = part.isel({ARM: index})
        x = numpy.broadcast_to(arm[along].values, arm.sizes[schema.STEP])
        mean, deviation = (measure.factor * arm[f"{measure.name}_{what}"].values for what in ("mean", "deviation"))
        curve(axes, x, mean, deviation, position)
    if measure.wide:
        logarithmic_if_wide(axes, measure.factor * part[f"{measure.name}_mean"].values, factor=measure.wide)
    if measure.limits is not None:
        axes.set_ylim(*measure.limits)
    if band is not None and numpy.isfinite(part[band[0]].values).any():
        low, high = float(part[band[0]].min()), float(part[band[1]].max())
        axes.axhspan(low, high, color=CHANCE, zorder=0.4, linewidth=0)
    if measure.chance is not None:
        axes.axhline(measure.chance, color=GREY, linewidth=1, zorder=1)
        low, high = axes.get_ylim()
        below = measure.chance > low + 0.85 * (high - low)
        axes.text(
            0.99, measure.chance, measure.says, color=GREY, fontsize=8, ha="right", va="top" if below else "bottom",
            transform=axes.get_yaxis_transform(), clip_on=True,
        )  # fmt: skip
