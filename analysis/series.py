"""Series: results at the end against a number in which arms differ, such as a width; arms are ``name_number``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.measured import TOPICS, measured
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import stacked, text
from neurosal.analysis.style import caption, curve, label_lines, legend, panels, styled
from neurosal.analysis.tables import Table, plus_minus
from neurosal.errors import ExperimentError, Problem, near
from neurosal.record import schema
from neurosal.stats import mean_and_deviation
from neurosal.stats.catalogue import probes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED = re.compile(r"(?P<series>.+)_(?P<number>\d+)")
SERIES, NUMBER = "series", "number"
ACCURACY = "test_accuracy"
VOTE = f"test_{schema.VOTE_ACCURACY}"
EVALUATED = ("test_accuracy", "test_loss", "validation_accuracy", "validation_loss")
COLUMNS = 3  # of panels
TARGETS = (schema.PAIR, schema.PROJECTION, schema.POPULATION)


@dataclass(frozen=True)
class Shown:
    """How one measure is written: label of its axis, what values are multiplied by, decimals in tables."""

    label: str
    factor: float = 1.0
    decimals: int = 3


SHOWN = {
    "test_accuracy": Shown("test accuracy (%)", 100, 1),
    "validation_accuracy": Shown("validation accuracy (%)", 100, 1),
    VOTE: Shown("vote of prototypes (%)", 100, 1),
    "test_loss": Shown("test loss"),
    "update_angle": Shown("update angle to BP (°)", decimals=1),
    "angle": Shown("angle of feedback (°)", decimals=1),
    "usage_entropy": Shown("relative entropy of use"),
    "interference": Shown("cosine between classes"),
    "interference_within": Shown("cosine within areas"),
    "interference_across": Shown("cosine across areas"),
}


def compute(
    arms: Sequence[ArmRecord],
    *,
    measures: Sequence[str] = (ACCURACY,),
    target: str | None = None,
    last: int = 1,
    along: str = "",
) -> xarray.Dataset:
    """Final results of arms called ``name_number``: one line a name, along the number.

    Args:
        measures: "test_accuracy", "test_loss" or another evaluation, "test_vote_accuracy", and statistics that were
            recorded (or that can be computed from what was), e.g. "update_angle", "usage_entropy", "interference".
        target: the projection or population of which statistics are taken; None takes the mean over all.
        last: statistics are means over so many records at the end, as each is of one batch only.
        along: what the number is called; by default the population whose size it is.

    Returns a Dataset with, for each measure m, ``m`` [series, number, seed], ``m_mean``, ``m_deviation`` [series,
    number]; test accuracy is called ``accuracy``, and beside it, of series with areas whose run recorded it
    (``probe("vote")``), stands the accuracy of the vote of prototypes, ``vote_mean`` and ``vote_deviation``. Replicas
    that diverged are in no mean.

    Raises:
        ExperimentError: where no arm is called so, or a measure is not known or of no arm.
    """
    _refuse(measures, last)
    measures = (measures,) if isinstance(measures, str) else tuple(measures)
    found: dict[str, dict[tuple[str, int], xarray.DataArray]] = {name: {} for name in (*measures, VOTE)}
    labels: dict[str, str] = {}
    sizes: list[set[str]] = []
    for contender in contenders(arms):
        named = NAMED.fullmatch(contender.arm.name)
        if named is None:
            continue
        place = (named["series"], int(named["number"]))
        wanted = (*measures, VOTE) if ACCURACY in measures else measures
        values = {name: _value(contender, name, target, last) for name in wanted}
        for name, value in values.items():
            if value is not None:
                found[name][place] = value
                labels.setdefault(place[0], re.sub(rf"(_|,? ){place[1]}$", "", contender.title))
        if place[0] == next(iter(labels), None) and contender.arm.circuit is not None:
            populations = contender.arm.circuit.populations
            sizes.append({name for name, population in populations.items() if population.units == place[1]})
    _refuse_absent(arms, found, measures)
    common = sorted(set.intersection(*sizes)) if sizes else []
    what = f"units of {common[0]}" if len(common) == 1 else "number in the arm's name"
    dataset = _summary(found, list(labels)).assign_coords(label=(SERIES, text(labels.values())))
    return dataset.assign_attrs(
        run=arms[0].run, number=along or what, seeds=int(dataset.sizes[schema.SEED]), measures=list(measures), last=last
    )


def _summary(found: Mapping[str, Mapping[tuple[str, int], xarray.DataArray]], names: Sequence[str]) -> xarray.Dataset:
    """Each measure [series, number, seed], of votes only what is shown, with mean and deviation over seeds."""
    numbers = sorted({number for places in found.values() for _, number in places})
    dataset = xarray.Dataset()
    for name, places in found.items():
        if places:
            array = _spread(places, names, numbers)
            summary = mean_and_deviation(array, dim=schema.SEED)
            dataset = dataset.assign({} if name == VOTE else {_short(name): array})
            dataset = dataset.assign({f"{_short(name)}_{part}": summary[part] for part in ("mean", "deviation")})
    return dataset


def _refuse(measures: Sequence[str], last: int) -> None:
    """Raises `ExperimentError` for measures that nothing is called, and a number of records that is none."""
    known = [*EVALUATED, VOTE, *(name for name, entry in probes().items() if entry.of in TOPICS and not entry.per)]
    asked = (measures,) if isinstance(measures, str) else measures
    problems = [
        Problem(place="measures", expected="an evaluation or a statistic", found=repr(name), remedy=near(name, known))
        for name in asked
        if name not in known
    ]
    if not isinstance(last, int) or last < 1:
        problems.append(Problem(place="last", expected="a positive whole number", found=repr(last)))
    if problems:
        raise ExperimentError(problems)


def _refuse_absent(
    arms: Sequence[ArmRecord], found: Mapping[str, Mapping[tuple[str, int], xarray.DataArray]], measures: Sequence[str]
) -> None:
    absent = [name for name in measures if not found[name]]
    if not absent:
        return
    names = ", ".join(arm.name for arm in arms) or "no arm"
    expected = "arms called name_number, evaluated on test data with labels"
    if absent != [ACCURACY]:
        expected = f"arms called name_number, with a record of {' and '.join(absent)}"
    raise ExperimentError(Problem(place=arms[0].run if arms else "run", expected=expected, found=names))


def _value(contender: Contender, measure: str, target: str | None, last: int) -> xarray.DataArray | None:
    """One measure of a contender at the end, [seed]; None where it was not recorded."""
    if measure in EVALUATED:
        evaluation = contender.arm.group(schema.EVALUATION)
        if evaluation is None or measure not in evaluation or not evaluation.sizes[schema.STEP]:
            return None
        return contender.of(evaluation[measure]).isel({schema.STEP: -1}, drop=True)
    if measure == VOTE:
        vote = contender.arm.finest(schema.ROUTING, VOTE)
        return None if vote is None else contender.of(vote).isel({schema.STEP: -1, schema.POPULATION: 0}, drop=True)
    array = contender.arm.statistic(measure)
    if array is None:
        array = measured(contender.arm, measure, target)
    if array is None:
        return None
    own = next((dim for dim in TARGETS if dim in array.dims), None)
    if own is not None and target is not None:
        if target not in array[own].values.tolist():
            return None
        array = array.sel({own: target}, drop=True)
    part = contender.of(array).isel({schema.STEP: slice(-last, None)})
    return part.mean([dim for dim in part.dims if dim != schema.SEED], skipna=True)


def _short(measure: str) -> str:
    """What a measure is called in the dataset."""
    return {ACCURACY: "accuracy", VOTE: "vote"}.get(measure, measure)


def _spread(
    found: Mapping[tuple[str, int], xarray.DataArray], names: Sequence[str], numbers: Sequence[int]
) -> xarray.DataArray:
    """[series, number, seed], NaN where there is no such arm."""
    whole = stacked({f"{name}_{number}": array for (name, number), array in found.items()})
    rows = list(found)
    values = numpy.full((len(names), len(numbers), whole.sizes[schema.SEED]), numpy.nan)
    for row, (name, number) in enumerate(rows):
        values[names.index(name), numbers.index(number)] = whole.values[row]
    coords = {SERIES: text(names), NUMBER: list(numbers), schema.SEED: whole[schema.SEED].values}
    return xarray.DataArray(values, dims=(SERIES, NUMBER, schema.SEED), coords=coords)


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


def _cells(dataset: xarray.Dataset, what: str, row: int, factor: float = 100, decimals: int = 1) -> list[str]:
    mean, deviation = (factor * dataset[f"{what}_{part}"].values[row] for part in ("mean", "deviation"))
    return [plus_minus(float(m), float(d), decimals) for m, d in zip(mean, deviation, strict=True)]


def _shown(measure: str) -> Shown:
    return SHOWN.get(measure, Shown(measure.replace("_", " ")))


def tabulate(dataset: xarray.Dataset) -> Table:
    """Series as rows (once for each measure), numbers as columns: mean ± sd over seeds."""
    numbers = [str(number) for number in dataset[NUMBER].values.tolist()]
    measures = dataset.attrs["measures"]
    several = len(measures) > 1
    rows: list[tuple[str, ...]] = []
    for name in measures:
        look = _shown(name)
        heading = (look.label.replace(" (%)", " %").replace(" (°)", " °"),) if several else ()
        labels = list(enumerate(dataset["label"].values.tolist()))
        for row, label in _voting(dataset) if name == VOTE else labels:
            cells = _cells(dataset, _short(name), row, look.factor, look.decimals)
            if not several or any(cell != "–" for cell in cells):
                rows.append((label, *heading, *cells))
        if name == ACCURACY and VOTE not in measures:
            votes = [(f"vote of prototypes, {label}", _cells(dataset, "vote", row)) for row, label in _voting(dataset)]
            rows += [(label, *heading, *cells) for label, cells in votes]
    what = "results at the end" if several else _shown(measures[0]).label.replace(" (%)", " %").replace(" (°)", " °")
    return Table(
        columns=("arm", *(("measure",) if several else ()), *numbers),
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: {what}, mean ± sd over {dataset.attrs['seeds']} seeds",
        numbers=frozenset(numbers),
    )


def draw(dataset: xarray.Dataset) -> Figure:
    """A panel for each measure against the number, a line a series; votes of prototypes are lines beside accuracy."""
    measures = dataset.attrs["measures"]
    every = {**dict(enumerate(dataset["label"].values.tolist())), **_voices(dataset)}
    with styled():
        several = len(measures) > 1
        rows = 1 if len(measures) <= COLUMNS else -(-len(measures) // COLUMNS)
        columns = -(-len(measures) // rows)
        width = 3.4 * columns + 1.8 if several else 9.0
        figure, axes = panels(rows, columns, width=width, height=(3.8 if rows == 1 else 2.8) if several else 4.6)
        for place, panel in enumerate(axes.flat):
            if place >= len(measures):
                panel.set_axis_off()
                continue
            ends = _panel(panel, dataset, measures[place])
            if not several:
                label_lines(panel, ends, every)
        if several:
            coords = {"position": ("line", list(every)), "label": ("line", text(every.values()))}
            legend(figure, xarray.Dataset(coords=coords))
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        remarks = [f"Mean over {dataset.attrs['seeds']} seeds, band ± 1 sd."]
        if dataset.attrs["last"] > 1:
            remarks.append(f"Statistics are means over the last {dataset.attrs['last']} records.")
        caption(figure, remarks, width=110)
    return figure


def _voices(dataset: xarray.Dataset) -> dict[int, str]:
    """Place → label of the votes that are shown, after the series."""
    if VOTE in dataset.attrs["measures"]:
        return {}  # they have a panel, in which they look as their series do
    count = dataset.sizes[SERIES]
    return {count + place: f"vote of prototypes, {label}" for place, (_, label) in enumerate(_voting(dataset))}


def _panel(panel: Axes, dataset: xarray.Dataset, measure: str) -> dict[int, tuple[float, float]]:
    """Lines of one measure; returns where they end."""
    numbers, look, ends = dataset[NUMBER].values.astype(float), _shown(measure), {}
    lines = [(_short(measure), row) for row in range(dataset.sizes[SERIES])]
    if measure == ACCURACY and VOTE not in dataset.attrs["measures"]:
        lines += [("vote", row) for row, _ in _voting(dataset)]
    if (numbers > 0).all() and numbers.max() > 4 * numbers.min():
        panel.set_xscale("log", base=2)
    for position, (name, row) in enumerate(lines):
        mean, deviation = (look.factor * dataset[f"{name}_{part}"].values[row] for part in ("mean", "deviation"))
        end = curve(panel, numbers, mean, deviation, position)
        if end is not None:
            ends[position] = end
    panel.set_xticks(numbers, [f"{number:g}" for number in numbers])
    panel.minorticks_off()
    panel.set_ylabel(look.label)
    panel.set_xlabel(str(dataset.attrs["number"]))
    return ends


series = Analysis(name="series", compute=compute, draw=draw, tabulate=tabulate, about="training")
