"""Tasks learned one after the other: what is known of each after each, and measures of what is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal import stats
from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM, described, stacked, text
from neurosal.analysis.style import caption, panels, styled
from neurosal.analysis.tables import Table, listed, plus_minus
from neurosal.errors import ExperimentError, Problem
from neurosal.record import schema
from neurosal.stats import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AFTER = "after"
KINDS = {schema.ACCURACY: "all outputs", schema.WITHIN: "within the task's classes"}
MEASURES = {
    "average": (stats.average_accuracy, "average"),
    "learning": (stats.learning_accuracy, "learning accuracy"),
    "forgetting": (stats.forgetting, "forgetting"),
    "backward": (stats.backward_transfer, "backward transfer"),
}
VOTE = f"test_{schema.VOTE_ACCURACY}"
Array = numpy.ndarray[Any, Any]


def compute(arms: Sequence[ArmRecord]) -> xarray.Dataset:
    """Accuracy of each task after each, and average, learning accuracy, forgetting and backward transfer.

    Returns a Dataset with ``accuracy`` (over all outputs) and ``within`` (among the outputs of the task's classes),
    [arm, seed, after, task], tasks in the order in which they were learned, and of both the measures of
    `neurosal.stats` [arm, seed], e.g. ``accuracy_forgetting``. ``vote`` [arm, seed] is the accuracy of the vote of
    areas over all classes, where it was recorded.

    A task is learned in the phase that has its classes.
    """
    shown = [one for one in contenders(arms) if one.arm.cycles == 1 and len(_learned(one.arm)) > 1]
    matrices = {kind: {one.name: _matrix(one, kind) for one in shown} for kind in KINDS}
    if not shown:
        raise ExperimentError(
            Problem(
                place=listed([arm.place for arm in arms], limit=3),
                expected=f"tasks (group {schema.TASKS}) and phases that have the classes of two of them or more",
                found="none",
                remedy="Give the experiment tasks, and a phase with the classes of each.",
            )
        )
    names = [one.name for one in shown]
    dataset = xarray.Dataset({kind: stacked(found) for kind, found in matrices.items()})
    for kind in KINDS:
        whole = dataset[kind].transpose(ARM, schema.SEED, AFTER, schema.TASK)
        for name, (measure, _) in MEASURES.items():
            dataset[f"{kind}_{name}"] = ((ARM, schema.SEED), measure(whole.values))
    votes = {one.name: vote for one in shown if (vote := _vote(one)) is not None}
    if votes:
        dataset["vote"] = stacked(votes).reindex({ARM: names})
    dataset = dataset.assign_coords({ARM: text(names)}).assign_coords(described(shown, names))
    remarks = [
        "Average: of all tasks after the last. Learning accuracy: of each task just after it was learned.",
        "Forgetting: fall from the best to the end, of the tasks before the last.",
        "Within: only the outputs of the task's own classes are compared (the task is told).",
    ]
    if votes:
        remarks.append("Vote: answering with the commonest label of the area, labels of all tasks at once.")
    return dataset.assign_attrs({"run": arms[0].run, "remarks": remarks})


def _learned(arm: ArmRecord) -> list[tuple[int, str]]:
    """(number of the phase, task) in the order of learning."""
    owner = {frozenset(classes): name for name, classes in arm.tasks.items()}
    found = [(number, owner.get(frozenset(phase.get("classes") or ()))) for number, phase in enumerate(arm.phases)]
    return [(number, task) for number, task in found if task is not None]


def _matrix(one: Contender, kind: str) -> xarray.DataArray:
    """[seed, after, task] from the last evaluation of each task's phase."""
    group, begun = one.arm.group(schema.TASKS), one.arm.group(schema.PHASES)
    learned = _learned(one.arm)
    tasks = [task for _, task in learned]
    assert group is not None
    assert begun is not None
    values = one.of(group[kind].assign_coords({schema.TASK: group[schema.TASK]})).sel({schema.TASK: tasks})
    begins = dict(zip(begun["phase_index"].values[0].tolist(), begun[schema.STEP].values.tolist(), strict=True))
    there = group[schema.STEP].values
    rows = []
    for number, _ in learned:
        until = begins.get(number + 1, numpy.inf)
        done = numpy.flatnonzero((there <= until) & (there > begins.get(number, numpy.inf)))
        part = values.isel({schema.STEP: int(done[-1])}) if done.size else values.isel({schema.STEP: 0}) * numpy.nan
        rows.append(part.reset_coords(drop=True))
    matrix = xarray.concat(rows, dim=AFTER, coords="minimal", compat="override").assign_coords({AFTER: text(tasks)})
    return matrix.transpose(schema.SEED, AFTER, schema.TASK)


def _vote(one: Contender) -> xarray.DataArray | None:
    array = one.arm.finest(schema.ROUTING, VOTE)
    if array is None:
        return None
    return one.of(array).isel({schema.STEP: -1, schema.POPULATION: -1}).reset_coords(drop=True)


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms as rows, measures in percent as columns."""
    columns: dict[str, list[str]] = {"arm": dataset["label"].values.tolist()}
    for kind, where in ((schema.ACCURACY, ""), (schema.WITHIN, ", within")):
        for name, (_, label) in MEASURES.items():
            if not where or name != "backward":
                columns[f"{label}{where}"] = _percents(dataset[f"{kind}_{name}"])
    if "vote" in dataset:
        columns["vote of areas"] = _percents(dataset["vote"])
    return Table(
        columns=tuple(columns),
        rows=tuple(zip(*columns.values(), strict=True)),
        title=f"{dataset.attrs['run']}: %, mean ± sd over seeds",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset(columns) - {"arm"},
    )


def _percents(values: xarray.DataArray) -> list[str]:
    summary = mean_and_deviation(values, dim=schema.SEED)
    pairs = zip(summary["mean"].values.tolist(), summary["deviation"].values.tolist(), strict=True)
    return ["–" if numpy.isnan(mean) else plus_minus(100 * mean, 100 * deviation, 1) for mean, deviation in pairs]


def draw(dataset: xarray.Dataset) -> Figure:
    """One matrix an arm: accuracy of each task (columns) after each was learned (rows); above over all outputs, below
    within the task's classes."""
    arms, tasks = dataset.sizes[ARM], [str(name) for name in dataset[schema.TASK].values]
    with styled():
        figure, axes = panels(2, arms, width=1.2 + 1.95 * arms, height=2.35)
        image = None
        for row, (kind, where) in enumerate(KINDS.items()):
            mean = 100 * dataset[kind].mean(schema.SEED).transpose(ARM, AFTER, schema.TASK).values
            for arm, label in enumerate(dataset["label"].values.tolist()):
                panel = axes[row, arm]
                image = panel.imshow(mean[arm], vmin=0, vmax=100, cmap="cividis", aspect="equal")
                _numbers(panel, mean[arm])
                panel.grid(False)
                panel.set_xticks(range(len(tasks)), [_short(task) for task in tasks], fontsize=7, rotation=45)
                panel.set_yticks(range(len(tasks)), [_short(task) for task in tasks] if arm == 0 else [], fontsize=7)
                if row == 0:
                    panel.set_title(label.replace(" (", "\n("), fontsize=8.5)
            axes[row, 0].set_ylabel(f"{where}\nafter learning", fontsize=8.5)
        assert image is not None
        bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.015)
        bar.set_label("accuracy (%)", fontsize=8.5)
        bar.ax.tick_params(labelsize=8)
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        seeds = dataset.sizes[schema.SEED]
        caption(figure, [f"Columns: the task that is judged. Mean over {seeds} seed{'' if seeds == 1 else 's'}."])
    return figure


def _numbers(axes: Any, values: Array) -> None:
    for row, entries in enumerate(values.tolist()):
        for column, value in enumerate(entries):
            if numpy.isfinite(value):
                colour = "#222222" if value > 55 else "#FFFFFF"
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)


def _short(task: str) -> str:
    return task.rpartition("_")[2] or task


forgetting = Analysis(name="forgetting", compute=compute, draw=draw, tabulate=tabulate, about="training")
