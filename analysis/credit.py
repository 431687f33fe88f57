"""Credit over training: how changes and errors stand to those of backpropagation, what they do to the loss, and whether
classes ask for changes that hinder each other; as heat maps of projection × step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.courses import Measure, end_table, gathered, lacking, remarked
from neurosal.analysis.decimation import POINTS
from neurosal.analysis.measured import spaced
from neurosal.analysis.offline import SNAPSHOTS, along, labelled
from neurosal.analysis.recorded import nothing_recorded
from neurosal.analysis.samples import classes
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM
from neurosal.analysis.style import caption, horizontal, panels, styled
from neurosal.analysis.tables import Table, listed
from neurosal.record import schema
from neurosal.stats.catalogue import measure as measure_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TARGET = "target"
INTERFERENCE = ("interference", "interference_within", "interference_across")
MEASURES = (
    Measure(name="update_angle", label="update angle\nto BP (°)", heading="update angle °", decimals=1, chance=90),
    Measure(name="error_angle", label="error angle\nto BP (°)", heading="error angle °", decimals=1, chance=90),
    Measure(name="realised_decrease", label="realised\ndecrease", heading="realised decrease", decimals=4, chance=0),
    Measure(name="predicted_decrease", label="predicted\ndecrease", heading="predicted decrease", decimals=4, chance=0),
    Measure(name="decrease_ratio", label="realised /\npredicted", heading="realised / predicted", chance=1),
    Measure(name="interference", label="cosine\nbetween classes", heading="interference", decimals=3, chance=0),
    Measure(name="interference_within", label="cosine\nwithin areas", heading="within areas", decimals=3, chance=0),
    Measure(name="interference_across", label="cosine\nacross areas", heading="across areas", decimals=3, chance=0),
)
COLUMNS, LABELS = 6, 14  # arms and targets that a figure shows
REMEDY = (
    'Add ns.probe("update_angle", every=100), ns.probe("error_angle", every=100), ns.probe("decrease_ratio", every=100)'
    ' and ns.probe("interference", every=100) to what is recorded.'
)


def compute(arms: Sequence[ArmRecord], *, snapshots: int = SNAPSHOTS, points: int | None = POINTS) -> xarray.Dataset:
    """Angles of changes and errors to those of backpropagation, decreases of the loss, and interference of classes.

    Angles and decreases are what was recorded. Interference, the mean cosine between the changes that different classes
    ask for, is computed where it was not recorded from the errors and activities of the same samples; their classes are
    where the error at the output is lowest, which is the label for cross-entropy and for one-hot targets.

    Args:
        snapshots: of recorded errors and activities, at most so many are read.
        points: longer recorded curves are thinned to so many; None keeps all.

    Returns:
        Dataset with, for m in ``update_angle``, ``error_angle`` (degrees), ``realised_decrease``,
        ``predicted_decrease``, ``decrease_ratio``, ``interference``, ``interference_within``, ``interference_across``,
        what there is: ``m`` [arm, seed, step, target], ``m_mean``, ``m_deviation``, ``m_count`` [arm, step, target];
        ``target`` is a projection, for error angles a population.
    """
    shown = contenders(arms)
    found: dict[str, dict[str, xarray.DataArray]] = {measure.name: {} for measure in MEASURES}
    for one in shown:
        for name, array in {**_interference(one.arm, snapshots), **_recorded(one.arm)}.items():
            found[name][one.name] = array
    found = {name: arrays for name, arrays in found.items() if arrays}
    if not found:
        raise nothing_recorded(arms, schema.CREDIT, "angles to backpropagation, or errors and activities", REMEDY)
    order = list(dict.fromkeys(
        name for arm in arms if arm.circuit
        for name in (*arm.circuit.select(pathway="feedforward"), *arm.circuit.populations)
    ))  # fmt: skip
    dataset = gathered(shown, found, TARGET, order, points).assign_attrs(run=arms[0].run)
    remarks = [
        "Chance (white): 90° to backpropagation, cosine 0, no decrease. Blue: below it, red: above. Grey: no record.",
        "Realised / predicted: 1 (white) while the loss is linear in the step.",
    ]
    if not any(name in found for name in INTERFERENCE):
        remarks.append('No interference: add ns.probe("interference"), or "error" and "activity", of inputs too.')
    if "realised_decrease" not in found and "decrease_ratio" not in found:
        remarks.append('No decrease of the loss: add ns.probe("realised_decrease") and ns.probe("decrease_ratio").')
    if without := _silent(arms, shown, dataset):
        remarks.append(f"Nothing was recorded of {listed(without)}.")
    return dataset.assign_attrs(remarks=remarked(dataset, *remarks, *lacking(dataset, MEASURES[:5])))


def _silent(arms: Sequence[ArmRecord], shown: Sequence[Contender], dataset: xarray.Dataset) -> list[str]:
    there = {one.arm.name for one in shown if one.name in dataset[ARM].values}
    return [arm.title for arm in arms if arm.name not in there]


def _recorded(arm: ArmRecord) -> dict[str, xarray.DataArray]:
    """Recorded measures of projections or populations, [replica, step, target]."""
    found = {}
    for measure in MEASURES:
        array = arm.statistic(measure.name)
        own = [dim for dim in (schema.PROJECTION, schema.POPULATION) if array is not None and dim in array.dims]
        if array is not None and own:
            found[measure.name] = array.rename({own[0]: TARGET}).transpose(schema.REPLICA, schema.STEP, TARGET)
    return found


def _interference(arm: ArmRecord, snapshots: int) -> dict[str, xarray.DataArray]:
    """Interference of feedforward projections whose errors and activities were recorded at the same steps."""
    circuit = arm.circuit
    if circuit is None or len(circuit.outputs) != 1:
        return {}

    def of(population: str, variable: str) -> xarray.DataArray | None:
        return arm.finest(f"{schema.PROBES}/{population}", variable)

    last, columns = of(circuit.output, schema.ERROR), {}
    for name, edge in circuit.select(pathway="feedforward").items():
        error, activity = of(edge.target, schema.ERROR), of(edge.source, schema.ACTIVITY)
        if last is None or error is None or activity is None or edge.wiring.kind != "dense":
            continue
        records = {"error": error, "activity": activity, "last": last}
        if circuit.populations[edge.target].areas > 1:
            area = of(edge.target, schema.AREA)
            if area is None:
                continue
            records["area"] = area
        columns[name] = _over_steps(records, snapshots)
    found = {}
    for name in INTERFERENCE:
        parts = {target: column[name] for target, column in columns.items() if name in column}
        if parts:
            found[name] = labelled(parts, TARGET)
    return found


def _over_steps(records: Mapping[str, xarray.DataArray], snapshots: int) -> dict[str, xarray.DataArray]:
    """[replica, step] of each kind of interference, at the steps that all records share."""
    steps = sorted(set.intersection(*(set(array[schema.STEP].values.tolist()) for array in records.values())))
    if not steps:
        return {}
    chosen = [steps[place] for place in spaced(len(steps), snapshots)]
    kinds = INTERFERENCE if "area" in records else INTERFERENCE[:1]
    trials = min(array.sizes[schema.TRIAL] for array in records.values())
    rows: dict[str, list[Any]] = {name: [] for name in kinds}
    for step in chosen:
        values = {
            name: array.sel({schema.STEP: step}).isel({schema.TRIAL: slice(trials)}).values
            for name, array in records.items()
        }
        label = classes(values["last"])
        area = values.get("area", numpy.zeros_like(label))
        found = measure_all(list(kinds), values["error"], values["activity"], label, area)
        for name in kinds:
            rows[name].append(found[name])
    like = records["error"]
    places = [like[schema.STEP].values.tolist().index(step) for step in chosen]
    return {name: along(like, places, entries) for name, entries in rows.items()}


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms and targets as rows: each measure at the end, mean ± sd over seeds."""
    return end_table(dataset, MEASURES, TARGET, heading="projection or population", title="credit")


def draw(dataset: xarray.Dataset) -> Figure:
    """Rows: measures; columns: arms (six at most); in each panel projections (or populations) × step, mean over
    seeds."""
    rows = [measure for measure in MEASURES if measure.name in dataset]
    columns = min(dataset.sizes[ARM], COLUMNS)
    most = max(len(_targets(dataset, measure)) for measure in rows)
    with styled():
        width = 3.0 + 2.1 * columns
        figure, axes = panels(len(rows), columns, width=width, height=max(1.6, 0.9 + 0.24 * most), sharex=True)
        for row, measure in enumerate(rows):
            scale = _scale(dataset, measure)
            mesh = [_heat(axes[row, column], dataset, measure, column, scale) for column in range(columns)]
            figure.colorbar(mesh[-1], ax=list(axes[row]), label=measure.label, pad=0.01, aspect=12)
            for column in range(columns):
                axes[row, column].tick_params(labelleft=column == 0, length=0)
        for column in range(columns):
            axes[0, column].set_title(str(dataset["label"].values[column]))
            axes[-1, column].set_xlabel(horizontal(dataset)[1])
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        seeds = dataset.sizes[schema.SEED]
        remarks = [f"Mean over {seeds} seeds." if seeds > 1 else "One seed.", *dataset.attrs["remarks"]]
        if columns < dataset.sizes[ARM]:
            remarks.append(f"{columns} of {dataset.sizes[ARM]} arms; the table has all.")
        caption(figure, remarks, width=int(13 * width))
    return figure


def _targets(dataset: xarray.Dataset, measure: Measure) -> list[int]:
    """Places of the targets that have a measure, LABELS of them at most."""
    means = dataset[f"{measure.name}_mean"].transpose(TARGET, ...).values
    there = numpy.flatnonzero(numpy.isfinite(means).reshape(len(means), -1).any(1)).tolist()
    return [there[place] for place in spaced(len(there), LABELS)]


def _scale(dataset: xarray.Dataset, measure: Measure) -> tuple[float, float]:
    """Around chance, as wide as all but the most extreme of the data; 0° to 180° for angles."""
    if measure.name.endswith("angle"):
        return 0.0, 180.0
    middle = measure.chance or 0.0
    away = numpy.abs(dataset[f"{measure.name}_mean"].values - middle)
    away = away[numpy.isfinite(away)]
    reach = float(numpy.quantile(away, 0.98)) if away.size else 1.0
    return middle - (reach or 1.0), middle + (reach or 1.0)


def _heat(axes: Axes, dataset: xarray.Dataset, measure: Measure, column: int, scale: tuple[float, float]) -> Any:
    targets = _targets(dataset, measure)
    arm = dataset.isel({ARM: column, TARGET: targets})
    values = arm[f"{measure.name}_mean"].transpose(TARGET, schema.STEP).values
    x = numpy.broadcast_to(arm[horizontal(dataset)[0]].values, arm.sizes[schema.STEP]).astype(float)
    known = numpy.isfinite(values).any(axis=0) & numpy.isfinite(x)
    # An arm without this measure has an empty panel, with the colours of the others.
    x, values = (x[known], values[:, known]) if known.any() else (numpy.array([0.0]), values[:, :1])
    middle = (x[1:] + x[:-1]) / 2
    half = float(x[-1] - x[-2]) / 2 if len(x) > 1 else 0.5
    edges = numpy.array([x[0], *middle.tolist(), x[-1] + half])
    low, high = scale
    rows = numpy.arange(len(targets) + 1)
    mesh = axes.pcolormesh(edges, rows, values, cmap="RdBu_r", vmin=low, vmax=high, rasterized=True)
    axes.set_yticks(numpy.arange(len(targets)) + 0.5, arm[TARGET].values.tolist(), fontsize=8)
    axes.set_ylim(len(targets), 0)
    axes.grid(visible=False)
    axes.set_facecolor("#E9E9E9")
    return mesh


credit = Analysis(name="credit", compute=compute, draw=draw, tabulate=tabulate, about="training")
