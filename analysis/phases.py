"""Phases over training: accuracy and alignment with the phases marked, and how each phase begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.recorded import gather
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM, described, epochs_of, stacked, text
from neurosal.analysis.style import GREY, caption, curve, legend, look, over_seeds, panels, styled
from neurosal.analysis.tables import Table, listed, plus_minus
from neurosal.errors import ExperimentError, Problem
from neurosal.record import schema
from neurosal.stats import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VISIT, MEASURE = "visit", "measure"
ACCURACIES = ("test_accuracy", "validation_accuracy")
PANELS, SHADES = 3, ("#F3F3F3", "#FFFFFF")
Array = numpy.ndarray[Any, Any]


def compute(arms: Sequence[ArmRecord]) -> xarray.Dataset:
    """Accuracy and weight angles over training, and accuracy at the beginning and end of each phase.

    Returns a Dataset with ``accuracy`` [arm, seed, step, measure] (over all classes, or of each task where there are
    tasks), ``angle`` [arm, seed, sample_step, pair] where it was recorded, and of each phase that began: ``phase``,
    ``begin_epoch``, ``begin`` and ``end`` [arm, seed, visit, measure], ``begin`` just after what is done to the circuit
    then (NaN for tasks). Of cycles only the whole is shown.
    """
    shown = [one for one in contenders(arms) if one.arm.phases and one.arm.group(schema.PHASES) is not None]
    curves = {one.name: found for one in shown if (found := _accuracy(one)) is not None}
    if not curves:
        raise ExperimentError(
            Problem(
                place=listed([arm.place for arm in arms], limit=3),
                expected=f"phases and evaluations (groups {schema.PHASES}, {schema.EVALUATION})",
                found="none",
                remedy="Run an experiment with phases, on data with a test or validation part.",
            )
        )
    shown = [one for one in shown if one.name in curves]
    names = [one.name for one in shown]
    epochs = {one.name: epochs_of(_evaluation(one)) for one in shown}
    dataset = xarray.Dataset({"accuracy": stacked(curves), "epoch": stacked(epochs)}).set_coords("epoch")
    visits = {one.name: _visits(one, curves[one.name]) for one in shown}
    for variable in ("phase", "begin_epoch", "begin_step", "begin", "end"):
        dataset[variable] = stacked({name: visit[variable] for name, visit in visits.items()})
    angles = gather(shown, schema.SYMMETRY, schema.ANGLE)
    if angles is not None:
        angle, epoch = (array.rename({schema.STEP: "sample_step"}) for array in angles)
        dataset = dataset.assign(angle=angle.reindex({ARM: names}))
        dataset = dataset.assign_coords(angle_epoch=epoch.reindex({ARM: names}))
    dataset["course"] = (ARM, text(_in_words(one.arm) for one in shown))
    dataset = dataset.assign_coords({ARM: text(names)}).assign_coords(described(shown, names))
    remarks = [] if not any(one.arm.cycles > 1 for one in shown) else [
        f"{one.title}: {_in_words(one.arm)}." for one in shown if one.arm.cycles > 1
    ]  # fmt: skip
    return dataset.assign_attrs({"run": arms[0].run, "remarks": remarks})


def _evaluation(one: Contender) -> xarray.Dataset:
    tasks = one.arm.group(schema.TASKS)
    found = one.arm.group(schema.EVALUATION) if tasks is None else tasks
    return xarray.Dataset() if found is None else found


def _accuracy(one: Contender) -> xarray.DataArray | None:
    """[seed, step, measure]: of each task, or over all classes."""
    group = _evaluation(one)
    if schema.TASK in group.dims:
        return one.of(group[schema.ACCURACY].assign_coords({schema.TASK: group[schema.TASK]})).rename(
            {schema.TASK: MEASURE}
        )
    for name in ACCURACIES:
        if name in group:
            return one.of(group[name]).expand_dims({MEASURE: [name.replace("_", " ")]}, axis=-1)
    return None


def _visits(one: Contender, accuracy: xarray.DataArray) -> xarray.Dataset:
    """Beginnings of phases [visit], and accuracies there and at the end [seed, visit, measure]."""
    group = one.arm.group(schema.PHASES)
    assert group is not None
    names, steps = group[schema.PHASE].values, group[schema.STEP].values
    numbers = group[schema.PHASE_INDEX].values[0]
    count = len(steps) if one.arm.cycles == 1 else 0
    seeds, measures = accuracy[schema.SEED].values, accuracy[MEASURE].values
    begin = numpy.full((len(seeds), count, len(measures)), numpy.nan)
    judged = next((name for name in ACCURACIES if name in group), None)
    if judged is not None and schema.TASK not in _evaluation(one).dims and count:
        begin[:, :, 0] = one.of(group[judged]).values[:, :count]
    end, there = numpy.full_like(begin, numpy.nan), accuracy[schema.STEP].values
    for visit in range(count):
        until = steps[visit + 1] if visit + 1 < count else numpy.inf
        rows = numpy.flatnonzero((there <= until) & (there > steps[visit]))
        if rows.size:
            end[:, visit] = accuracy.transpose(schema.SEED, schema.STEP, MEASURE).values[:, rows[-1]]
    coords = {VISIT: range(count), schema.SEED: seeds, MEASURE: measures}
    dims = (schema.SEED, VISIT, MEASURE)
    return xarray.Dataset(
        {
            "phase": (VISIT, text(names[number] for number in numbers[:count])),
            "begin_epoch": (VISIT, group[schema.EPOCH].values[:count].astype(float)),
            "begin_step": (VISIT, steps[:count].astype(float)),
            "begin": (dims, begin),
            "end": (dims, end),
        },
        coords=coords,
    )


def _in_words(arm: ArmRecord) -> str:
    parts = []
    for phase in arm.phases:
        steps, epochs = phase.get("steps"), phase.get("epochs")
        count, unit = (steps, "step") if epochs is None else (epochs, "epoch")
        parts.append(f"{phase['name']} ({count} {unit}{'' if count == 1 else 's'})")
    return f"{', '.join(parts)}{f', {arm.cycles:,} times' if arm.cycles > 1 else ''}"


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms and their phases as rows: accuracy just after the beginning of each and at its end, in percent."""
    measures = [str(name) for name in dataset[MEASURE].values]
    begun = bool(numpy.isfinite(dataset["begin"].values).any())
    several = len(measures) > 1
    columns = ["arm", "phase", *(["at its beginning %"] if begun else [])]
    columns += [f"{name} at its end %" if several else "at its end %" for name in measures]
    rows = []
    end = _final(dataset)
    for index, label in enumerate(dataset["label"].values.tolist()):
        arm = dataset.isel({ARM: index})
        phases = [str(name) for name in arm["phase"].values if isinstance(name, str) and name]
        if not phases:
            cells = [_percent(end[index, :, number]) for number in range(len(measures))]
            rows.append((label, str(arm["course"].values), *(["–"] if begun else []), *cells))
        for visit, phase in enumerate(phases):
            cells = [_percent(arm["begin"].values[:, visit, 0])] if begun else []
            cells += [_percent(arm["end"].values[:, visit, number]) for number in range(len(measures))]
            rows.append((label if visit == 0 else "", phase, *cells))
    return Table(
        columns=tuple(columns),
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: phases, mean ± sd over seeds",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset(columns) - {"arm", "phase"},
    )


def _percent(values: Array) -> str:
    summary = mean_and_deviation(xarray.DataArray(values, dims=schema.SEED), dim=schema.SEED)
    mean, deviation = float(summary["mean"]), float(summary["deviation"])
    return "–" if numpy.isnan(mean) else plus_minus(100 * mean, 100 * deviation, 1)


def _final(dataset: xarray.Dataset) -> Array:
    """Accuracy at each arm's last evaluation, [arm, seed, measure]."""
    values = dataset["accuracy"].transpose(ARM, schema.SEED, schema.STEP, MEASURE).values
    known = numpy.isfinite(values).any(axis=(1, 3))
    last = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    return numpy.stack([values[arm, :, step] for arm, step in enumerate(last)])


# Figure --------------------------------------------------------------------------------------------------------------


def draw(dataset: xarray.Dataset) -> Figure:
    """One panel a measure and a pair of projections, over epochs of learning; phases that all arms share are shaded,
    others marked where they begin. What noise does before anything is learned stands in panels on the left."""
    measures = [str(name) for name in dataset[MEASURE].values]
    pairs = [str(name) for name in dataset[schema.PAIR].values][:PANELS] if "angle" in dataset else []
    noise = _noise_first(dataset) if pairs else 0.0
    rows = len(measures) + len(pairs)
    with styled():
        ratios = {"width_ratios": [1, 2.6]} if noise else {}
        figure, axes = panels(rows, 2 if noise else 1, width=10, height=2.5 if rows > 1 else 3.4, gridspec_kw=ratios)
        shared = _shared(dataset)
        for row, measure in enumerate(measures):
            axes[row, -1].set_ylabel("accuracy (%)")
            axes[row, -1].set_title(measure if len(measures) == 1 else f"accuracy of the task {measure}")
            _accuracies(axes[row, -1], dataset, row)
        for row, pair in enumerate(pairs, start=len(measures)):
            _angles(axes[row, -1], dataset, pair, "angle_epoch", numpy.inf)
            axes[row, -1].set_title(f"angle of {pair} to its feedback")
            for column in range(2 if noise else 1):
                axes[row, column].axhline(90, color=GREY, linewidth=0.8, linestyle=":")
                axes[row, column].set_ylim(0, 100)
            axes[row, 0].set_ylabel("weight angle (°)")
            if noise:
                _angles(axes[row, 0], dataset, pair, "sample_step", noise)
                axes[row, 0].set_title("noise before learning")
                axes[row, 0].set_xlabel("step" if row == rows - 1 else "")
        if noise:
            for row in range(len(measures)):
                axes[row, 0].set_visible(False)
        for index, panel in enumerate(axes[:, -1]):
            _shade(panel, shared, named=index == 0)
        axes[-1, -1].set_xlabel("epoch of learning")
        legend(figure, dataset)
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        dots = not shared and any(len(_boundaries(dataset, arm)) > 1 for arm in range(dataset.sizes[ARM]))
        marks = ["Dots: a phase begins."] if dots else []
        caption(figure, [" ".join([over_seeds(dataset), *marks]), *dataset.attrs["remarks"]])
    return figure


def _noise_first(dataset: xarray.Dataset) -> float:
    """Steps of the longest noise phase with which an arm begins: its second phase begins at epoch 0."""
    late = [
        float(steps[1])
        for steps, epochs in zip(dataset["begin_step"].values, dataset["begin_epoch"].values, strict=True)
        if len(steps) > 1 and numpy.isfinite(steps[1]) and epochs[1] == 0
    ]
    return max(late, default=0.0)


def _boundaries(dataset: xarray.Dataset, arm: int) -> list[tuple[float, str]]:
    """Epoch and name of each phase of an arm, noise left out."""
    epochs, names = dataset["begin_epoch"].values[arm], dataset["phase"].values[arm]
    found = [(float(epoch), str(name)) for epoch, name in zip(epochs, names, strict=True) if numpy.isfinite(epoch)]
    return [entry for place, entry in enumerate(found) if place + 1 == len(found) or found[place + 1][0] > entry[0]]


def _shared(dataset: xarray.Dataset) -> list[tuple[float, str]]:
    """The phases, where all arms that have several have the same."""
    found = [_boundaries(dataset, arm) for arm in range(dataset.sizes[ARM])]
    several = [entry for entry in found if len(entry) > 1]
    return several[0] if several and len(several) == len(found) and all(e == several[0] for e in several) else []


def _shade(axes: Axes, phases: Sequence[tuple[float, str]], *, named: bool) -> None:
    end = axes.get_xlim()[1]
    if named and phases:
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom - 0.12 * (top - bottom), top)  # room for the names
    for number, (begin, name) in enumerate(phases):
        until = phases[number + 1][0] if number + 1 < len(phases) else end
        axes.axvspan(begin, until, color=SHADES[number % 2], zorder=-10, linewidth=0)
        if named:
            axes.text(
                (begin + until) / 2, 0.02, name.replace("_", " "), fontsize=8, color="#555555", ha="center",
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
    if phases:
        axes.set_xlim(right=end)


def _accuracies(axes: Axes, dataset: xarray.Dataset, measure: int) -> None:
    values = dataset["accuracy"].transpose(ARM, schema.SEED, schema.STEP, MEASURE).values[..., measure]
    begins = dataset["begin"].transpose(ARM, schema.SEED, VISIT, MEASURE).values[..., measure]
    for arm, position in enumerate(dataset["position"].values.tolist()):
        # What is done at the beginning of a phase shows as a step: the end of the last one and the beginning stand at
        # the same epoch.
        x = numpy.concatenate([dataset["epoch"].values[arm], dataset["begin_epoch"].values[arm][1:]])
        y = 100 * numpy.concatenate([values[arm], begins[arm][:, 1:]], axis=1)
        order = numpy.argsort(numpy.nan_to_num(x, nan=numpy.inf), kind="stable")
        _band(axes, x[order], y[:, order], position)
        if not _shared(dataset):
            _mark(axes, dataset, arm, x[order], y[:, order], position)


def _mark(axes: Axes, dataset: xarray.Dataset, arm: int, x: Array, y: Array, position: int) -> None:
    """Dots on a curve where phases begin."""
    known = numpy.isfinite(x) & numpy.isfinite(y).any(axis=0)
    if not known.any():
        return
    at = numpy.array([epoch for epoch, _ in _boundaries(dataset, arm)[1:]])
    means = numpy.interp(at, x[known], numpy.nanmean(y[:, known], axis=0))
    axes.plot(at, means, "o", color=look(position)["color"], markersize=5, zorder=5)


def _angles(axes: Axes, dataset: xarray.Dataset, pair: str, along: str, until: float) -> None:
    angles = dataset["angle"].sel({schema.PAIR: pair}).transpose(ARM, schema.SEED, "sample_step").values
    for arm, position in enumerate(dataset["position"].values.tolist()):
        x = numpy.broadcast_to(dataset[along].values, (dataset.sizes[ARM], angles.shape[-1]))[arm]
        if until < numpy.inf:
            epochs = dataset["angle_epoch"].values[arm]
            if len(_boundaries(dataset, arm)) == numpy.isfinite(dataset["begin_epoch"].values[arm]).sum():
                continue  # no noise first
            y = numpy.where((epochs == 0)[None, :], angles[arm], numpy.nan)
        else:
            y = angles[arm]
            # Of what noise did before the first epoch only the outcome stands here.
            zero = numpy.flatnonzero((x == 0) & numpy.isfinite(y).any(axis=0))
            y = numpy.where(numpy.isin(numpy.arange(len(x)), zero[:-1])[None, :], numpy.nan, y)
        _band(axes, x, y, position)
        if until == numpy.inf and not _shared(dataset):
            _mark(axes, dataset, arm, x, y, position)


def _band(axes: Axes, x: Array, y: Array, position: int) -> None:
    known = numpy.isfinite(x) & numpy.isfinite(y).any(axis=0)
    rows = y[:, known]
    deviation = numpy.nanstd(rows, axis=0, ddof=1) if len(rows) > 1 else numpy.zeros(rows.shape[1])
    curve(axes, x[known], numpy.nanmean(rows, axis=0), deviation, position)


phases = Analysis(name="phases", compute=compute, draw=draw, tabulate=tabulate, about="training")
