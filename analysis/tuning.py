"""What a search for settings found: the best of each arm with its budget, and the score against each setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contract import Analysis
from neurosal.analysis.stacking import ARM, text
from neurosal.analysis.style import caption, curve, label_lines, look, panels, styled
from neurosal.analysis.tables import Table, number, plus_minus
from neurosal.errors import ExperimentError, Problem
from neurosal.settings.tuned import Tuned, is_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRIAL = "trial"
# What searches must share to stand in one table.
COMMON: dict[str, Callable[[Tuned], Any]] = {
    "experiment": lambda tuned: tuned.experiment,
    "measure": lambda tuned: tuned.measure,
    "data": lambda tuned: dict(tuned.data),
    "seeds": lambda tuned: tuned.search.seeds,
    "epochs": lambda tuned: tuned.search.epochs,
    "method": lambda tuned: tuned.search.method,
}
WIDE = 30  # ratio of the largest value to the smallest from which on an axis is logarithmic


def compute(tuned: Tuned) -> xarray.Dataset:
    """Scores of all trials of a search, and the best settings of each arm.

    Returns a Dataset with ``score``, ``deviation`` (over seeds), ``diverged`` (seeds) and each setting by its path
    [arm, trial] (NaN, or empty text, where an arm tried fewer), ``best_score``, ``best_deviation``, ``edge`` and
    ``best <path>`` [arm].
    """
    arms, most = list(tuned.arms.values()), max(len(best.trials) for best in tuned.arms.values())
    paths = list(dict.fromkeys(path for best in arms for trial in best.trials for path in trial.settings))
    columns: dict[str, tuple[tuple[str, ...], Any]] = {}
    for name in ("score", "deviation", "diverged"):
        columns[name] = (ARM, TRIAL), _table([[getattr(trial, name) for trial in best.trials] for best in arms], most)
    for path in paths:
        columns[path] = (
            (ARM, TRIAL),
            _table([[trial.settings.get(path) for trial in best.trials] for best in arms], most),
        )
        columns[f"best {path}"] = (ARM,), _table([[best.settings.get(path)] for best in arms], 1)[:, 0]
    columns["best_score"] = (ARM,), _table([[best.score] for best in arms], 1)[:, 0]
    columns["best_deviation"] = (ARM,), _table([[best.deviation] for best in arms], 1)[:, 0]
    edges = ["; ".join(f"{path}: {side}" for path, side in best.at_edge.items()) for best in arms]
    dataset = xarray.Dataset({name: (dims, values) for name, (dims, values) in columns.items()})
    return dataset.assign_coords(
        {
            ARM: text(tuned.arms),
            "label": (ARM, text(best.label or name for name, best in tuned.arms.items())),
            "trials": (ARM, numpy.array([len(best.trials) for best in arms])),
            "edge": (ARM, text(edges)),
        }
    ).assign_attrs(run=tuned.experiment, measure=tuned.measure, paths=paths, remarks=_remarks(tuned))


def _table(rows: list[list[Any]], length: int) -> numpy.ndarray[Any, Any]:
    """Rows of one length: numbers with NaN, or texts with nothing, where there is none."""
    if all(value is None or is_number(value) for row in rows for value in row):
        filled = [[math.nan if value is None else float(value) for value in row] for row in rows]
        return numpy.array([row + [math.nan] * (length - len(row)) for row in filled])
    words = [["" if value is None else str(value) for value in row] for row in rows]
    return numpy.array([row + [""] * (length - len(row)) for row in words], dtype=object)


def _remarks(tuned: Tuned) -> list[str]:
    search, arms = tuned.search, tuned.arms
    counts = sorted({len(best.trials) for best in arms.values()})
    epochs = sorted({best.epochs for best in arms.values()})
    spent = f"{_span(counts)} settings × {len(search.seeds)} seeds × {_span(epochs)} epochs"
    remarks = [f"Budget of every arm: {spent} ({search.method})."]
    parts = [f"{tuned.data[name]:,} {name}" for name in ("train", "validation") if name in tuned.data]
    if parts:
        remarks.append(f"Samples: {', '.join(parts)}; test data was left out.")
    ended = "after the last epoch" if search.criterion == "final" else "at its best evaluation"
    remarks.append(f"Score: validation {tuned.measure} {ended}, mean ± sd over seeds; of equal ones the smaller value.")
    edges = [f"{name} ({path}: {side})" for name, best in arms.items() for path, side in best.at_edge.items()]
    if edges:
        remarks.append(f"At the edge of what was tried, so that a better one may lie beyond: {', '.join(edges)}.")
    lost = [f"{name} {best.diverged}" for name, best in arms.items() if best.diverged]
    if lost:
        remarks.append(f"Replicas that diverged, which rank last: {', '.join(lost)}.")
    if none := [name for name, best in arms.items() if not best.settings]:
        remarks.append(f"Nothing found, every trial diverged: {', '.join(none)}.")
    return remarks


def _span(values: list[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms as rows: the best settings, their score, and whether they lie at an edge."""
    accurate = dataset.attrs["measure"] == "accuracy"
    scale, decimals = (100, 1) if accurate else (1, 4)
    heading = "validation accuracy %" if accurate else "validation loss"
    columns: dict[str, list[str]] = {"arm": dataset["label"].values.tolist()}
    for path in dataset.attrs["paths"]:
        values = dataset[f"best {path}"].values.tolist()
        columns[_short(path)] = [value if isinstance(value, str) else number(value) for value in values]
    scores = zip(dataset["best_score"].values, dataset["best_deviation"].values, strict=True)
    columns[heading] = [plus_minus(scale * mean, scale * deviation, decimals) for mean, deviation in scores]
    columns["settings"] = [f"best of {count}" for count in dataset["trials"].values.tolist()]
    if any(dataset["edge"].values):
        columns["at the edge"] = dataset["edge"].values.tolist()
    return Table(
        columns=tuple(columns),
        rows=tuple(zip(*columns.values(), strict=True)),
        title=f"{dataset.attrs['run']}: best settings on validation data",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset({heading, *map(_short, dataset.attrs["paths"])}),
    )


def _short(path: str) -> str:
    return {"optimizer.lr": "learning rate", "optimizer.weight_decay": "decay"}.get(path, path.rpartition(".")[2])


def draw(dataset: xarray.Dataset) -> Figure:
    """A panel for each setting with numbers: the best score that each of its values had, with a band of ± 1 sd."""
    paths = [path for path in dataset.attrs["paths"] if dataset[path].dtype.kind == "f"]
    with styled():
        figure, axes = panels(max(1, len(paths)), 1, width=8.0, height=3.6)
        for row, path in enumerate(paths):
            _panel(axes[row, 0], dataset, path)
        if not paths:
            axes[0, 0].set_visible(False)
        figure.suptitle(f"{dataset.attrs['run']}: search on validation data", x=0.01, ha="left", fontweight="bold")
        caption(figure, dataset.attrs["remarks"])
    return figure


def _panel(axes: Axes, dataset: xarray.Dataset, path: str) -> None:
    scale = 100 if dataset.attrs["measure"] == "accuracy" else 1
    sign = 1 if dataset.attrs["measure"] == "accuracy" else -1
    ends: dict[int, tuple[float, float]] = {}
    for index in range(dataset.sizes[ARM]):
        arm = dataset.isel({ARM: index})
        values, score = arm[path].values, arm["score"].values
        ranks = numpy.where(arm["diverged"].values > 0, -numpy.inf, sign * score)  # diverged ones rank last
        tried = sorted(set(values[numpy.isfinite(values)].tolist()))
        chosen = [max(numpy.flatnonzero(values == value), key=lambda place: ranks[place]) for value in tried]
        deviation = arm["deviation"].values[chosen]
        end = curve(axes, tried, scale * score[chosen], scale * deviation, index)
        best = float(arm[f"best {path}"])
        axes.plot([best], [scale * float(arm["best_score"])], "o", color=look(index)["color"], markersize=5)
        if end is not None:
            ends[index] = end
    known = dataset[path].values[numpy.isfinite(dataset[path].values)]
    if known.size and known.min() > 0 and known.max() / known.min() > WIDE:
        axes.set_xscale("log")
    axes.set_xlabel(_short(path))
    axes.set_ylabel("validation accuracy (%)" if scale == 100 else "validation loss")
    if dataset.sizes[ARM] > 1:
        label_lines(axes, ends, dict(enumerate(dataset["label"].values.tolist())))


class OfSearch(Analysis):
    """An analysis of a search in place of a run: call it with a `Tuned`, the folder of a search or its file."""

    def __call__(self, run: Tuned | str | Path | Any, **options: Any) -> xarray.Dataset:
        """The numbers. A list of searches, of other arms of one experiment each, is put together.

        Raises:
            ExperimentError: for a folder without a search that is done, and for searches that are not of one experiment
                with one budget, or that share an arm.
        """
        self.refuse_unknown(options)
        runs = run if isinstance(run, list | tuple) else [run]
        found = [one if isinstance(one, Tuned) else Tuned.open(getattr(one, "folder", one)) for one in runs]
        return self.compute(_joined(found))

    @staticmethod
    def open(path: str | Path) -> Tuned:
        """What `neurosal analyse` gives to the analysis."""
        return Tuned.open(path)


def _joined(found: Sequence[Tuned]) -> Tuned:
    """Searches of arms that ran apart as one."""
    first, arms = found[0], dict(found[0].arms)
    problems = []
    for other in found[1:]:
        for what, of in COMMON.items():
            if of(other) != of(first):
                problems.append(Problem(place=f"searches.{what}", expected=str(of(first)), found=str(of(other))))
        twice = [name for name in other.arms if name in arms]
        if twice:
            problems.append(Problem(place="searches.arms", expected="each arm in one search", found=", ".join(twice)))
        arms |= other.arms
    if problems:
        raise ExperimentError(problems)
    return first.replace(arms=arms)


tuning = OfSearch(name="tuning", compute=compute, draw=draw, tabulate=tabulate)
