"""Series: the final result against a number in which arms differ, such as a width; arms are called ``name_number``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy
import xarray

from neurosal.analysis.contenders import contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import stacked, text
from neurosal.analysis.style import caption, curve, label_lines, panels, styled
from neurosal.analysis.tables import Table, plus_minus
from neurosal.errors import ExperimentError, Problem
from neurosal.record import schema
from neurosal.stats import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = re.compile(r"(?P<series>.+)_(?P<number>\d+)")
SERIES, NUMBER = "series", "number"
MEASURE = "test_accuracy"
VOTE = f"test_{schema.VOTE_ACCURACY}"


def compute(arms: Sequence[ArmRecord]) -> xarray.Dataset:
    """Final test accuracy of arms called ``name_number``: one line a name, along the number.

    Returns a Dataset with ``accuracy`` [series, number, seed], its ``accuracy_mean``, ``accuracy_deviation`` [series,
    number], and of series with areas whose run recorded it (``probe("vote")``) the accuracy of the vote of prototypes,
    ``vote_mean`` and ``vote_deviation``. Replicas that diverged are in no mean.

    Raises:
        ExperimentError: where no arm is called so, or none was evaluated on test data with labels.
    """
    final: dict[tuple[str, int], xarray.DataArray] = {}
    votes: dict[tuple[str, int], xarray.DataArray] = {}
    labels: dict[str, str] = {}
    sizes: list[set[str]] = []
    for contender in contenders(arms):
        found, evaluation = NAMED.fullmatch(contender.arm.name), contender.arm.group(schema.EVALUATION)
        if found is None or evaluation is None or MEASURE not in evaluation or not evaluation.sizes[schema.STEP]:
            continue
        place = (found["series"], int(found["number"]))
        final[place] = contender.of(evaluation[MEASURE]).isel({schema.STEP: -1}, drop=True)
        labels.setdefault(place[0], re.sub(rf"(_|,? ){place[1]}$", "", contender.title))
        if place[0] == next(iter(labels)) and contender.arm.circuit is not None:
            populations = contender.arm.circuit.populations
            sizes.append({name for name, population in populations.items() if population.units == place[1]})
        vote = contender.arm.finest(schema.ROUTING, VOTE)
        if vote is not None:
            votes[place] = contender.of(vote).isel({schema.STEP: -1, schema.POPULATION: 0}, drop=True)
    if not final:
        expected = "arms called name_number, evaluated on test data with labels"
        found_names = ", ".join(arm.name for arm in arms) or "no arm"
        raise ExperimentError(Problem(place=arms[0].run if arms else "run", expected=expected, found=found_names))
    names, numbers = list(labels), sorted({number for _, number in final})
    accuracy = _spread(final, names, numbers)
    summary = mean_and_deviation(accuracy, dim=schema.SEED)
    values = {
        "accuracy": accuracy,
        "accuracy_mean": summary["mean"],
        "accuracy_deviation": summary["deviation"],
    }
    if votes:
        vote_summary = mean_and_deviation(_spread(votes, names, numbers), dim=schema.SEED)
        values |= {"vote_mean": vote_summary["mean"], "vote_deviation": vote_summary["deviation"]}
    dataset = xarray.Dataset(values).assign_coords(label=(SERIES, text(labels.values())))
    common = sorted(set.intersection(*sizes)) if sizes else []
    what = f"units of {common[0]}" if len(common) == 1 else "number in the arm's name"
    return dataset.assign_attrs(run=arms[0].run, number=what, seeds=int(accuracy.sizes[schema.SEED]))


def _spread(
    found: dict[tuple[str, int], xarray.DataArray], names: Sequence[str], numbers: Sequence[int]
) -> xarray.DataArray:
    """[series, number, seed], NaN where there is no such arm."""
    whole = stacked({f"{name}_{number}": array for (name, number), array in found.items()})
    rows = list(found)
    values = numpy.full((len(names), len(numbers), whole.sizes[schema.SEED]), numpy.nan)
    for row, (name, number) in enumerate(rows):
        values[names.index(name), numbers.index(number)] = whole.values[row]
    coords = {SERIES: text(names), NUMBER: list(numbers), schema.SEED: whole[schema.SEED].values}
    return xarray.DataArray(values, dims=(SERIES, NUMBER, schema.SEED), coords=coords)


def tabulate(dataset: xarray.Dataset) -> Table:
    """Series as rows, numbers as columns: test accuracy in percent, mean ± sd over seeds."""
    numbers = [str(number) for number in dataset[NUMBER].values.tolist()]
    rows = [
        (label, *_cells(dataset, "accuracy", row)) for row, label in enumerate(dataset["label"].values.tolist())
    ] + [
        (f"vote of prototypes, {label}", *_cells(dataset, "vote", row)) for row, label in _voting(dataset)
    ]  # fmt: skip
    return Table(
        columns=("arm", *numbers),
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: test accuracy %, mean ± sd over {dataset.attrs['seeds']} seeds",
        numbers=frozenset(numbers),
    )


def _voting(dataset: xarray.Dataset) -> list[tuple[int, str]]:
    """The series whose areas vote; of those with the same votes (one router, other learning) the first."""
    if "vote_mean" not in dataset:
        return []
    found: list[tuple[int, str]] = []
    seen: list[numpy.ndarray] = []
    for row, label in enumerate(dataset["label"].values.tolist()):
        values = dataset["vote_mean"].values[row]
        if numpy.isfinite(values).any() and not any(numpy.array_equal(values, one, equal_nan=True) for one in seen):
            found.append((row, label))
            seen.append(values)
    return found


def _cells(dataset: xarray.Dataset, what: str, row: int) -> list[str]:
    mean, deviation = (100 * dataset[f"{what}_{part}"].values[row] for part in ("mean", "deviation"))
    return [plus_minus(float(m), float(d)) for m, d in zip(mean, deviation, strict=True)]


def draw(dataset: xarray.Dataset) -> Figure:
    """Test accuracy against the number, a line a series; votes of prototypes are lines too."""
    numbers = dataset[NUMBER].values.astype(float)
    lines = [
        (label, *(100 * dataset[f"accuracy_{part}"].values[row] for part in ("mean", "deviation")))
        for row, label in enumerate(dataset["label"].values.tolist())
    ]
    lines += [
        (f"vote of prototypes, {label}", *(100 * dataset[f"vote_{part}"].values[row] for part in ("mean", "deviation")))
        for row, label in _voting(dataset)
    ]
    with styled():
        figure, axes = panels(1, 1, width=9.0, height=4.6)
        panel = axes[0, 0]
        if (numbers > 0).all() and numbers.max() > 4 * numbers.min():
            panel.set_xscale("log", base=2)
        ends = {}
        for position, (_, mean, deviation) in enumerate(lines):
            end = curve(panel, numbers, mean, deviation, position)
            if end is not None:
                ends[position] = end
        panel.set_xticks(numbers, [f"{number:g}" for number in numbers])
        panel.minorticks_off()
        panel.set_ylabel("test accuracy (%)")
        panel.set_xlabel(str(dataset.attrs["number"]))
        label_lines(panel, ends, {position: label for position, (label, *_) in enumerate(lines)})
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        caption(figure, [f"Mean over {dataset.attrs['seeds']} seeds, band ± 1 sd."], width=110)
    return figure


series = Analysis(name="series", compute=compute, draw=draw, tabulate=tabulate)
