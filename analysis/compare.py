"""Arms compared: the final result of each with an interval over seeds, and paired differences over common seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.paired import holm, paired_test, seeds_needed
from neurosal.analysis.recorded import nothing_recorded
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM, described, stacked, text
from neurosal.analysis.style import GREY, caption, look, panels, styled
from neurosal.analysis.tables import Table, listed, number
from neurosal.errors import ExperimentError, Problem, near
from neurosal.record import schema
from neurosal.stats import base, mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DIFFERENCE = "difference"
USUAL = ("test_accuracy", "test_loss", "validation_accuracy", "validation_loss", "train_accuracy", "train_loss")
ALL_PAIRS = 6  # arms up to which every one is compared with every other; of more, each with the first
RESAMPLES = 10_000
ROWS = 24  # differences that a figure shows
REMEDY = "A run is evaluated on the validation and test part of its data: give it one (split)."
Array = numpy.ndarray[Any, Any]


def compute(
    arms: Sequence[ArmRecord], *, measure: str | None = None, baseline: str | None = None, confidence: float = 0.95
) -> xarray.Dataset:
    """Final results of arms with intervals, and their paired differences over common seeds with tests.

    An arm's result is its last recorded value of `measure`, one a seed. Intervals of arms are bootstrap intervals over
    seeds (percentiles of 10,000 resamples) of the mean and of the interquartile mean (the mean of the middle half);
    those of differences are Student's. Tests: paired t and Wilcoxon's signed ranks, corrected by Holm over all pairs.
    Replicas that diverged are in no result.

    Args:
        measure: an evaluation (``test_accuracy``) or a recorded statistic at one of its labels
            (``angle@hidden1_to_output``); None takes the first there is of test accuracy, test loss, validation ...
        baseline: arm with which each other one is compared; None compares every two arms, of more than six each with
            the first.
        confidence: of all intervals.

    Returns:
        Dataset with ``value`` [arm, seed], ``mean``, ``deviation``, ``count``, ``mean_low``, ``mean_high``, ``iqm``,
        ``iqm_low``, ``iqm_high`` [arm], ``first``, ``second`` (names), ``change`` [difference, seed] (first less
        second), and [difference]: ``change_mean``, ``change_low``, ``change_high``, ``common`` (seeds), ``t_p``,
        ``wilcoxon_p``, ``t_holm``, ``wilcoxon_holm`` and ``smallest_p`` (that so many seeds can give).
    """
    shown = contenders(arms)
    _refuse_confidence(confidence)
    measure, found = _results(arms, shown, measure)
    value = stacked(found)
    order = [str(name) for name in value[ARM].values]
    summary = mean_and_deviation(value, dim=schema.SEED)
    dataset = xarray.Dataset({"value": value, **{name: summary[name] for name in summary}})
    intervals = [_intervals(row, confidence) for row in value.values]
    for column, name in enumerate(("mean_low", "mean_high", "iqm", "iqm_low", "iqm_high")):
        dataset[name] = (ARM, numpy.array([entries[column] for entries in intervals]))
    pairs, compared = _pairs(order, shown, baseline)
    dataset = dataset.assign(_differences(value.values, order, pairs, confidence))
    dataset = dataset.assign_coords({schema.SEED: value[schema.SEED]}).assign_coords(described(shown, order))
    dataset = dataset.assign_attrs(run=arms[0].run, measure=measure, confidence=confidence, compared=compared)
    return dataset.assign_attrs(remarks=_remarks(dataset, arms, shown))


# Which numbers -------------------------------------------------------------------------------------------------------


def _refuse_confidence(confidence: float) -> None:
    if not (isinstance(confidence, float) and 0 < confidence < 1):
        raise ExperimentError(Problem(place="confidence", expected="a number between 0 and 1", found=repr(confidence)))


def _results(
    arms: Sequence[ArmRecord], shown: Sequence[Contender], measure: str | None
) -> tuple[str, dict[str, xarray.DataArray]]:
    """The measure, and the last value of each arm that has it, [seed]."""
    known = dict.fromkeys(name for one in shown for name in _measures(one))
    if not known:
        raise nothing_recorded(arms, schema.EVALUATION, "evaluations or statistics", REMEDY)
    usual = [name for name in (*USUAL, *known) if name in known]
    chosen = next((name for name in usual if _finite(shown, name)), usual[0]) if measure is None else measure
    if chosen not in known:
        raise ExperimentError(
            Problem(place="measure", expected="what some arm recorded", found=repr(chosen), remedy=near(chosen, known))
        )
    found = {name: _last(array) for name, array in _finite(shown, chosen).items()}
    if not found:
        raise nothing_recorded(arms, schema.EVALUATION, f"finite values of {chosen}", REMEDY)
    return chosen, found


def _finite(shown: Sequence[Contender], measure: str) -> dict[str, xarray.DataArray]:
    """What was recorded of it, [seed, step], of those that have a number there."""
    arrays = {one.name: _recorded(one, measure) for one in shown if measure in _measures(one)}
    return {name: array for name, array in arrays.items() if numpy.isfinite(array.values).any()}


def _measures(one: Contender) -> list[str]:
    """What can be compared: evaluations, and statistics as ``name@label`` (or by their name where they have none)."""
    evaluation = one.arm.group(schema.EVALUATION)
    names = [str(name) for name in evaluation or () if evaluation is not None and evaluation.sizes[schema.STEP]]
    names.sort(key=lambda name: USUAL.index(name) if name in USUAL else len(USUAL))
    for topic in one.arm.topics(schema.STATISTICS):
        for _, dataset in one.arm.schedules(topic):
            for name, array in dataset.items():
                extra = [dim for dim in array.dims if dim not in (schema.REPLICA, schema.SAMPLE)]
                if not extra:
                    names.append(str(name))
                elif len(extra) == 1 and extra[0] in dataset.coords:
                    names += [f"{name}@{label}" for label in dataset[extra[0]].values.tolist()]
    return list(dict.fromkeys(names))


def _recorded(one: Contender, measure: str) -> xarray.DataArray:
    """[seed, step]."""
    name, _, label = measure.partition("@")
    evaluation = one.arm.group(schema.EVALUATION)
    if not label and evaluation is not None and name in evaluation:
        return one.of(evaluation[name])
    array = one.arm.statistic(name)
    assert array is not None, measure
    extra = [dim for dim in array.dims if dim not in (schema.REPLICA, schema.STEP)]
    # A label of which nothing is known has no place in the statistic.
    return one.of(array.reindex({extra[0]: [label]}).isel({extra[0]: 0}) if extra else array)


def _last(array: xarray.DataArray) -> xarray.DataArray:
    """The value of each seed at the last step where any seed has one."""
    known = numpy.isfinite(array.transpose(schema.SEED, schema.STEP).values).any(axis=0)
    return array.isel({schema.STEP: int(numpy.flatnonzero(known)[-1])}, drop=True).reset_coords(drop=True)


# Intervals and tests -------------------------------------------------------------------------------------------------


def _intervals(values: Array, confidence: float) -> tuple[float, ...]:
    """Bounds of the mean, interquartile mean, and bounds of that."""
    of_mean, of_iqm = (
        base.bootstrap_interval(values, axis=-1, centre=centre, level=confidence, resamples=RESAMPLES)
        for centre in ("mean", "interquartile_mean")
    )
    return tuple(float(entry) for entry in (*of_mean, base.interquartile_mean(values, axis=-1), *of_iqm))


def _pairs(order: Sequence[str], shown: Sequence[Contender], baseline: str | None) -> tuple[list[tuple[int, int]], str]:
    """Places of the arms of each difference, and in words how they were chosen."""
    if baseline is None and len(order) <= ALL_PAIRS:
        return [(later, earlier) for earlier, later in combinations(range(len(order)), 2)], "every two arms"
    names = {one.name: one.arm.name for one in shown}
    matching = [place for place, name in enumerate(order) if baseline in (None, name, names[name])]
    if not matching:
        raise ExperimentError(
            Problem(place="baseline", expected="an arm with a result", found=repr(baseline),
                    remedy=near(str(baseline), order))
        )  # fmt: skip
    base = matching[0]
    return [(place, base) for place in range(len(order)) if place != base], f"each with {order[base]}"


def _differences(
    value: Array, order: Sequence[str], pairs: Sequence[tuple[int, int]], confidence: float
) -> dict[str, tuple[Any, Any]]:
    change = numpy.array([value[first] - value[second] for first, second in pairs]).reshape(len(pairs), value.shape[1])
    change = numpy.where(numpy.isfinite(change), change, numpy.nan)
    tests = [paired_test(row, confidence) for row in change]
    columns: dict[str, Any] = {
        "first": text(order[first] for first, _ in pairs),
        "second": text(order[second] for _, second in pairs),
        "change_mean": numpy.array([_mean(row) for row in change]),
        "change_low": numpy.array([test.low for test in tests]),
        "change_high": numpy.array([test.high for test in tests]),
        "common": numpy.array([test.count for test in tests], dtype=int),
        "t_p": numpy.array([test.t for test in tests]),
        "wilcoxon_p": numpy.array([test.wilcoxon for test in tests]),
        "smallest_p": numpy.array([test.smallest for test in tests]),
    }
    columns["t_holm"], columns["wilcoxon_holm"] = holm(columns["t_p"]), holm(columns["wilcoxon_p"])
    found: dict[str, tuple[Any, Any]] = {name: (DIFFERENCE, column) for name, column in columns.items()}
    return {DIFFERENCE: (DIFFERENCE, numpy.arange(len(pairs))), "change": ((DIFFERENCE, schema.SEED), change), **found}


def _mean(row: Array) -> float:
    known = row[numpy.isfinite(row)]
    return float(known.mean()) if known.size else numpy.nan


def _remarks(dataset: xarray.Dataset, arms: Sequence[ArmRecord], shown: Sequence[Contender]) -> list[str]:
    level, pairs = 1 - dataset.attrs["confidence"], dataset.sizes[DIFFERENCE]
    share = f"{100 * dataset.attrs['confidence']:g} %"
    remarks = [
        f"Arms: {share} bootstrap intervals over seeds (◆ interquartile mean).",
        f"Differences over common seeds, {dataset.attrs['compared']}: {share} by Student's t; chance is 0.",
    ]
    if pairs:
        remarks.append(f"p of paired t and Wilcoxon's signed ranks, corrected by Holm over {_counted(pairs, 'pair')}.")
        common, smallest = dataset["common"].values, dataset["smallest_p"].values
        if not (common > 1).any():
            remarks.append("No two common seeds: nothing can be tested. Run the arms on the same seeds.")
        elif pairs * smallest.min() > level:
            needed = seeds_needed(pairs, level)
            remarks.append(
                f"Too few seeds for Wilcoxon's test: with {int(common.max())} its smallest p is "
                f"{smallest.min():.2g}{f', corrected {min(1.0, pairs * smallest.min()):.2g}' if pairs > 1 else ''}; "
                f"{needed} could go below {level:.2g}. The t test then rests on differences being normal."
            )
        short = [
            f"{row['first'].item()} and {row['second'].item()}"
            for row in (dataset.isel({DIFFERENCE: place}) for place in range(pairs))
            if row["common"].item() < 2
        ]
        if short and (common > 1).any():
            remarks.append(f"Fewer than two common seeds: {listed(short, limit=3)}.")
    lost = [f"{one.title} {sum(one.diverged)} of {len(one.seeds)}" for one in shown if any(one.diverged)]
    if lost:
        remarks.append(f"Diverged, and in no result: {', '.join(lost)}.")
    there = {one.arm.name for one in shown if one.name in dataset[ARM].values}
    if without := [arm.title for arm in arms if arm.name not in there]:
        remarks.append(f"No {dataset.attrs['measure']} was recorded of {listed(without)}.")
    return remarks


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# Table ---------------------------------------------------------------------------------------------------------------


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms, then differences, as rows: mean with its interval, interquartile mean, and the tests of differences."""
    scale, decimals, unit = _unit(dataset.attrs["measure"])
    share = f"{100 * dataset.attrs['confidence']:g} %"
    rows = []
    for index, label in enumerate(dataset["label"].values.tolist()):
        arm = dataset.isel({ARM: index})
        rows.append((
            label, str(int(arm["count"])), _number(scale * arm["mean"], decimals),
            _interval(arm, "mean", scale, decimals), _number(scale * arm["iqm"], decimals),
            _interval(arm, "iqm", scale, decimals), "", "",
        ))  # fmt: skip
    titles = dict(zip(dataset[ARM].values.tolist(), dataset["label"].values.tolist(), strict=True))
    for index in range(dataset.sizes[DIFFERENCE]):
        row = dataset.isel({DIFFERENCE: index})
        rows.append((
            f"{titles[row['first'].item()]} − {titles[row['second'].item()]}", str(int(row["common"])),
            _number(scale * row["change_mean"], decimals, sign=True),
            _interval(row, "change", scale, decimals, sign=True), "", "",
            _probability(row["t_holm"]), _probability(row["wilcoxon_holm"]),
        ))  # fmt: skip
    columns = ("arm", "seeds", f"mean {unit}".strip(), share, "IQM", f"{share} of it", "p t", "p Wilcoxon")
    return Table(
        columns=columns,
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: {_words(dataset.attrs['measure'])} at the end",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset(columns) - {"arm"},
    )


def _unit(measure: str) -> tuple[float, int, str]:
    """Factor, decimals and unit in which a measure is shown."""
    if "accuracy" in measure:
        return 100.0, 2, "%"
    return (1.0, 1, "°") if "angle" in measure.partition("@")[0] else (1.0, 4, "")


def _words(measure: str) -> str:
    name, _, label = measure.partition("@")
    return name.replace("_", " ") + (f" of {label}" if label else "")


def _number(value: Any, decimals: int, *, sign: bool = False) -> str:
    value = float(value)
    return (f"{value:+.{decimals}f}" if sign else f"{value:.{decimals}f}") if numpy.isfinite(value) else "–"


def _interval(row: xarray.Dataset, name: str, scale: float, decimals: int, *, sign: bool = False) -> str:
    low, high = (scale * float(row[f"{name}_{end}"]) for end in ("low", "high"))
    if not numpy.isfinite([low, high]).all():
        return "–"
    return f"{_number(low, decimals, sign=sign)} to {_number(high, decimals, sign=sign)}"


def _probability(value: Any) -> str:
    value = float(value)
    return "–" if not numpy.isfinite(value) else number(value, 2) if value < 0.1 else f"{value:.2f}"


# Figure --------------------------------------------------------------------------------------------------------------


def draw(dataset: xarray.Dataset) -> Figure:
    """Left: each arm's seeds, mean with interval and interquartile mean. Right: paired differences, their mean with
    interval, and Holm's p of the t test."""
    arms, differences = dataset.sizes[ARM], min(dataset.sizes[DIFFERENCE], ROWS)
    columns = 2 if differences else 1
    with styled():
        height = 1.5 + 0.3 * max(arms, differences, 3)
        figure, axes = panels(1, columns, width=5.6 * columns, height=height)
        _arms(axes[0, 0], dataset)
        if differences:
            _changes(axes[0, 1], dataset.isel({DIFFERENCE: slice(differences)}))
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        remarks = list(dataset.attrs["remarks"])
        if differences < dataset.sizes[DIFFERENCE]:
            remarks.append(f"{differences} of {dataset.sizes[DIFFERENCE]} differences; the table has all.")
        caption(figure, remarks, width=int(13 * figure.get_figwidth()))
    return figure


def _arms(axes: Axes, dataset: xarray.Dataset) -> None:
    scale, _, unit = _unit(dataset.attrs["measure"])
    for row, position in enumerate(dataset["position"].values.tolist()):
        arm, color = dataset.isel({ARM: row}), look(position)["color"]
        _dots(axes, row, scale * arm["value"].values, color)
        _bar(axes, row, [scale * float(arm[name]) for name in ("mean", "mean_low", "mean_high")], color)
        axes.plot([scale * float(arm["iqm"])], [row + 0.22], "D", color=color, markersize=3.5)
    _rows(axes, dataset["label"].values.tolist())
    axes.set_title(f"{_words(dataset.attrs['measure'])} at the end{f' ({unit})' if unit else ''}")


def _changes(axes: Axes, part: xarray.Dataset) -> None:
    scale, _, unit = _unit(part.attrs["measure"])
    titles = dict(zip(part[ARM].values.tolist(), part["label"].values.tolist(), strict=True))
    colours = {
        name: look(position)["color"]
        for name, position in zip(part[ARM].values.tolist(), part["position"].values.tolist(), strict=True)
    }
    axes.axvline(0, color=GREY, linewidth=1, zorder=1)
    names = []
    for row in range(part.sizes[DIFFERENCE]):
        one = part.isel({DIFFERENCE: row})
        color = colours[one["first"].item()]
        _dots(axes, row, scale * one["change"].values, color)
        _bar(axes, row, [scale * float(one[f"change_{name}"]) for name in ("mean", "low", "high")], color)
        names.append(f"{titles[one['first'].item()]} − {titles[one['second'].item()]}")
        axes.text(
            1.02, row, f"p {_probability(one['t_holm'])}", fontsize=8, va="center", color="#555555",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
    _rows(axes, names)
    points = unit.replace("%", "points")
    axes.set_title(f"paired differences{f' ({points})' if points else ''}, p of t by Holm")


def _dots(axes: Axes, row: int, seeds: Array, color: str) -> None:
    at = numpy.full(seeds.size, row - 0.2)
    axes.plot(seeds, at, "o", color=color, alpha=0.4, markersize=4, markeredgewidth=0)


def _bar(axes: Axes, row: int, interval: Sequence[float], color: str) -> None:
    mean, low, high = interval
    if numpy.isfinite([low, high]).all():
        axes.plot([low, high], [row, row], color=color, linewidth=2)
    axes.plot([mean], [row], "|", color=color, markersize=11, markeredgewidth=2.2)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.05)


compare = Analysis(name="compare", compute=compute, draw=draw, tabulate=tabulate)
