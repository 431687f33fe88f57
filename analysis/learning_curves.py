"""Learning curves: accuracy and loss on the parts of the data over training, and the table of final results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.recipes import FIELDS, NAMES, parameters, recipe, shared
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM, described, epochs_of, stacked, text
from neurosal.analysis.style import (
    caption,
    curve,
    horizontal,
    label_lines,
    logarithmic_if_wide,
    over_seeds,
    panels,
    styled,
    time_axis,
)
from neurosal.analysis.tables import Table, listed, number, plus_minus
from neurosal.errors import ExperimentError, Problem
from neurosal.record import schema
from neurosal.stats import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = ("test", "validation", "train")
MEASURES = ("accuracy", "loss")
FINE = 1e-3  # deviation of an accuracy below which tables show hundredths of percents


def compute(arms: Sequence[ArmRecord]) -> xarray.Dataset:
    """Accuracy and loss on each part of the data over training: mean and deviation over seeds, and the final table.

    Returns a Dataset with, for each recorded measure m (``test_accuracy``, ``validation_loss``, ...): ``m`` [arm,
    seed, step], ``m_mean``, ``m_deviation``, ``m_count`` [arm, step], and ``final_m_mean``, ``final_m_deviation``
    [arm] at the arm's last step. ``epoch`` [arm, step] is the step in passes over the training part. Along ``arm``
    stand label, note, recipe and counts: ``seeds``, ``diverged`` (in no mean: a replica whose numbers stopped being
        finite has no result), ``tried`` (settings, of which the one with the best validation is shown) and ``edge``.
    """
    shown = contenders(arms)
    curves: dict[str, dict[str, xarray.DataArray]] = {}
    epochs: dict[str, xarray.DataArray] = {}
    for contender in shown:
        evaluation = contender.arm.group(schema.EVALUATION)
        if evaluation is None or not evaluation.sizes[schema.STEP]:
            continue
        for name, array in evaluation.items():
            part, _, measure = str(name).partition("_")
            if part in PARTS and measure in MEASURES and numpy.isfinite(array.values).any():
                curves.setdefault(str(name), {})[contender.name] = contender.of(array)
        epochs[contender.name] = epochs_of(evaluation)
    if not curves:
        raise ExperimentError(_nothing(arms))
    every = [contender for contender in shown if contender.name in epochs]
    names = [contender.name for contender in every]
    dataset = xarray.Dataset({"epoch": stacked(epochs)}).set_coords("epoch")
    for measure in sorted(curves, key=_order):
        whole = stacked(curves[measure]).reindex({ARM: names})
        summary = mean_and_deviation(whole, dim=schema.SEED)
        final = _final(whole)
        dataset = dataset.assign({
            measure: whole.assign_attrs(long_name=measure.replace("_", " "), units="1"),
            f"{measure}_mean": summary["mean"],
            f"{measure}_deviation": summary["deviation"],
            f"{measure}_count": summary["count"],
            f"final_{measure}_mean": final["mean"],
            f"final_{measure}_deviation": final["deviation"],
        })  # fmt: skip
    dataset = dataset.assign_coords({ARM: text(names)}).assign_coords(described(shown, names))
    return dataset.assign_coords(_circumstances(every)).assign_attrs(_remarks(every, arms))


def _order(measure: str) -> tuple[int, int]:
    part, _, kind = measure.partition("_")
    return MEASURES.index(kind), PARTS.index(part)


def _final(curve: xarray.DataArray) -> xarray.Dataset:
    """Mean and deviation over seeds at each arm's last step."""
    known = numpy.isfinite(curve.transpose(ARM, schema.SEED, schema.STEP).values).any(axis=1)
    last = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)
    return mean_and_deviation(curve.isel({schema.STEP: xarray.DataArray(last, dims=ARM)}), dim=schema.SEED)


def _circumstances(every: Sequence[Contender]) -> dict[str, tuple[str, Any]]:
    recipes = [recipe(contender) for contender in every]
    columns: dict[str, tuple[str, Any]] = {}
    for name in FIELDS:
        values = [known.get(name) for known in recipes]
        if all(value is None for value in values):
            continue
        if any(isinstance(value, str) for value in values):
            columns[name] = (ARM, text(value or "" for value in values))
        else:
            columns[name] = (ARM, numpy.array([math.nan if value is None else value for value in values], dtype=float))
    counts = [parameters(contender.arm.circuit) for contender in every]
    columns["parameters"] = (ARM, numpy.array([forward for forward, _ in counts]))
    columns["feedback_parameters"] = (ARM, numpy.array([feedback for _, feedback in counts]))
    columns["seeds"] = (ARM, numpy.array([len(contender.seeds) for contender in every]))
    columns["diverged"] = (ARM, numpy.array([sum(contender.diverged) for contender in every]))
    columns["diverged_elsewhere"] = (ARM, numpy.array([contender.lost for contender in every]))
    columns["tried"] = (ARM, numpy.array([contender.tried for contender in every]))
    columns["edge"] = (ARM, text(contender.edge for contender in every))
    return columns


def _remarks(every: Sequence[Contender], arms: Sequence[ArmRecord]) -> dict[str, Any]:
    """What belongs below table and figure, kept with the numbers."""
    names = {contender.arm.name for contender in every}
    missing = [arm.title for arm in arms if arm.name not in names]
    remarks = []
    if same := shared([recipe(contender) for contender in every]):
        said = [
            f"{NAMES.get(name, name)} {value if isinstance(value, str) else number(value)}"
            for name, value in same.items()
        ]
        remarks.append(f"{'All arms' if len(every) > 1 else 'Recipe'}: {', '.join(said)}.")
    chosen = [contender for contender in every if contender.tried > 1]
    if any(contender.title == contender.arm.title for contender in chosen):
        remarks.append(
            "Settings that vary are shown at the best on the validation part; the test part has no say in it."
        )
    elif chosen:
        remarks.append("Without a validation part no setting can be chosen: all are shown.")
    edges = [f"{contender.title}: {contender.edge}" for contender in every if contender.edge]
    if edges:
        remarks.append(f"At the edge of its grid, so that a better one may lie beyond: {'; '.join(edges)}.")
    lost = [
        f"{contender.title} {sum(contender.diverged)} of {len(contender.seeds)}"
        for contender in every
        if any(contender.diverged)
    ]
    if lost:
        remarks.append(f"Diverged, and in no mean: {', '.join(lost)}.")
    elsewhere = [f"{contender.title} {contender.lost}" for contender in chosen if contender.lost]
    if elsewhere:
        remarks.append(f"Replicas that diverged at settings not shown: {', '.join(elsewhere)}.")
    short = [
        f"{contender.title} at epoch {number(reached)}" for contender in every if (reached := _unfinished(contender))
    ]
    if short:
        remarks.append(f"Not trained to the end yet: {', '.join(short)}.")
    if missing:
        remarks.append(f"Not evaluated yet: {listed(missing)}.")
    return {"run": arms[0].run, "remarks": remarks}


def _unfinished(contender: Contender) -> float | None:
    """The last evaluated epoch of an arm that has not come to the end of its training."""
    evaluation, planned = contender.arm.group(schema.EVALUATION), contender.arm.training.get("epochs")
    if evaluation is None or not isinstance(planned, int) or all(contender.diverged):
        return None
    reached = float(epochs_of(evaluation).isel({schema.STEP: -1}))
    return reached if reached < planned - 1e-6 else None


def _nothing(arms: Sequence[ArmRecord]) -> Problem:
    return Problem(
        place=listed([arm.place for arm in arms], limit=3),
        expected=f"evaluations (group {schema.EVALUATION})",
        found="none",
        remedy="A run is evaluated before its first step and after its last, on the validation and test part of its "
        "data: give it one (split).",
    )


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms as rows: final result in percent, mean ± sd over seeds, with the recipe where arms differ in it."""
    main = next(part for part in PARTS if f"{part}_loss" in dataset or f"{part}_accuracy" in dataset)
    parts = [
        part
        for part in dict.fromkeys((main, "validation"))
        if any(f"{part}_{measure}" in dataset for measure in MEASURES)
    ]
    columns: dict[str, list[str]] = {"arm": dataset["label"].values.tolist()}
    for part in parts:
        accurate = f"{part}_accuracy" in dataset
        measure = f"{part}_accuracy" if accurate else f"{part}_loss"
        mean, deviation = dataset[f"final_{measure}_mean"].values, dataset[f"final_{measure}_deviation"].values
        fine = 2 if numpy.nanmin(deviation, initial=numpy.inf) < FINE or not numpy.isfinite(deviation).any() else 1
        scale, decimals, heading = (100, fine, f"{part} accuracy %") if accurate else (1, 4, f"{part} loss")
        columns[heading] = [plus_minus(scale * m, scale * d, decimals) for m, d in zip(mean, deviation, strict=True)]
    columns["seeds"] = [
        f"{seeds - lost} of {seeds}" if lost else str(seeds)
        for seeds, lost in zip(dataset["seeds"].values.tolist(), dataset["diverged"].values.tolist(), strict=True)
    ]
    for name in FIELDS:
        if name in dataset.coords and len(set(dataset[name].values.tolist())) > 1:
            columns[NAMES.get(name, name)] = [
                value if isinstance(value, str) else number(value) for value in dataset[name].values.tolist()
            ]
    if (dataset["tried"] > 1).any():
        columns["settings"] = [
            f"best of {tried}" if tried > 1 else "given" for tried in dataset["tried"].values.tolist()
        ]
    if dataset["parameters"].notnull().any():
        columns["parameters"] = [number(value) for value in dataset["parameters"].values.tolist()]
    if any(dataset["note"].values):
        columns["note"] = dataset["note"].values.tolist()
    return Table(
        columns=tuple(columns),
        rows=tuple(zip(*columns.values(), strict=True)),
        title=f"{dataset.attrs['run']}: after training, mean ± sd over seeds",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset(columns) - {"arm", "note", "settings", "optimiser", "schedule", "loss"},
    )


def draw(dataset: xarray.Dataset) -> Figure:
    """Rows: test and validation (training where there is neither); columns: accuracy and loss. Mean over seeds, band ±
    1 sd."""
    parts = [part for part in PARTS[:2] if f"{part}_loss" in dataset or f"{part}_accuracy" in dataset] or ["train"]
    measures = [measure for measure in MEASURES if any(f"{part}_{measure}" in dataset for part in parts)]
    with styled():
        figure, axes = panels(len(parts), len(measures), sharex=True)
        for row, part in enumerate(parts):
            for column, measure in enumerate(measures):
                _panel(axes[row, column], dataset, part, measure)
        for below in axes[-1]:
            time_axis(below, dataset)
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        caption(figure, [over_seeds(dataset), *dataset.attrs["remarks"]])
    return figure


def _panel(axes: Axes, dataset: xarray.Dataset, part: str, measure: str) -> None:
    name = f"{part}_{measure}"
    if name not in dataset:
        axes.set_visible(False)
        return
    along, _ = horizontal(dataset)
    scale = 100 if measure == "accuracy" else 1
    ends: dict[int, tuple[float, float]] = {}
    for index, position in enumerate(dataset["position"].values.tolist()):
        arm = dataset.isel({ARM: index})
        x = numpy.broadcast_to(arm[along].values, arm.sizes[schema.STEP])
        end = curve(axes, x, scale * arm[f"{name}_mean"].values, scale * arm[f"{name}_deviation"].values, position)
        if end is not None:
            ends[position] = end
    axes.set_ylabel("accuracy (%)" if measure == "accuracy" else "loss")
    axes.set_title(f"{part} {measure}")
    if measure == "accuracy":
        axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    else:
        logarithmic_if_wide(axes, dataset[f"{name}_mean"].values)
    if dataset.sizes[ARM] > 1:
        labels = dict(zip(dataset["position"].values.tolist(), dataset["label"].values.tolist(), strict=True))
        label_lines(axes, ends, labels)


learning_curves = Analysis(name="learning_curves", compute=compute, draw=draw, tabulate=tabulate, about="training")
