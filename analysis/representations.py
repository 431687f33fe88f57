"""Representations over training: their dimensions, dead and sparse units, and how alike those of populations and arms
are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.courses import Measure, Row, course_figure, end_table, gathered, lacking, remarked
from neurosal.analysis.decimation import POINTS
from neurosal.analysis.offline import SNAPSHOTS, activities_of, measures
from neurosal.analysis.recorded import nothing_recorded
from neurosal.analysis.samples import SHARED, since_start
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM
from neurosal.analysis.tables import Table
from neurosal.record import schema
from neurosal.stats import base

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = (
    Measure(name="participation_ratio", label="participation ratio", heading="participation ratio", decimals=1,
            limits=(0, None)),
    Measure(name="dead_units", label="dead units (%)", heading="dead units %", decimals=1, factor=100,
            limits=(-2, None)),
    Measure(name="lifetime_sparsity", label="sparsity of units", heading="sparsity of units"),
    Measure(name="cka_to_start", label="CKA with the start", heading="CKA with the start", chance=0),
)  # fmt: skip
STATISTICS = ("participation_ratio", "dead_units", "lifetime_sparsity")
OTHER = "other"
REMEDY = 'Add ns.probe("activity", every=100, samples=128) to what is recorded, and the same of "input".'
Array = numpy.ndarray[Any, Any]


def compute(arms: Sequence[ArmRecord], *, snapshots: int = SNAPSHOTS, points: int | None = POINTS) -> xarray.Dataset:
    """Dimensions, dead and sparse units of populations over training, and the likeness of their representations.

    Likeness is debiased linear CKA, and for populations RSA (Spearman's, of correlation distances), at the last record.
    Populations are compared on the samples of one step; arms on those of one step and seed, which all arms of an
    experiment see alike; a population with itself at the start on the samples that both records share, which the
    recorded input tells.

    Args:
        snapshots: of recorded activities, at most so many are read.
        points: longer recorded curves are thinned to so many; None keeps all.

    Returns:
        Dataset with, for m in ``participation_ratio``, ``dead_units``, ``lifetime_sparsity``, ``cka_to_start``, what
        there is: ``m`` [arm, seed, step, population], ``m_mean``, ``m_deviation``, ``m_count`` [arm, step, population];
        and ``cka`` and ``rsa`` [arm, population, other], ``cka_arms`` [population, arm, other_arm], mean over seeds.
    """
    shown = contenders(arms)
    found = measures(shown, STATISTICS, snapshots)
    start = {one.name: array for one in shown if (array := _with_start(one.arm, snapshots)) is not None}
    if start:
        found["cka_to_start"] = start
    if not found:
        raise nothing_recorded(arms, schema.PROBES, "activities or statistics of them", REMEDY)
    order = list(dict.fromkeys(name for arm in arms if arm.circuit for name in arm.circuit.populations))
    dataset = gathered(shown, found, schema.POPULATION, order, points).assign_attrs(run=arms[0].run)
    dataset = dataset.assign(_between(shown, dataset))
    remarks = [
        "Chance of CKA and RSA: 0. Participation ratio: at most the number of units, or of samples less one.",
        "Dead: not active on any recorded sample.",
    ]
    if not start:
        remarks.append(f'No CKA with the start: {SHARED}. Add ns.probe("debiased_cka").')
    return dataset.assign_attrs(remarks=remarked(dataset, *remarks, *lacking(dataset, MEASURES[:3])))


def _with_start(arm: ArmRecord, snapshots: int) -> xarray.DataArray | None:
    """Debiased CKA of populations with themselves at the start: recorded, or from samples that come again."""
    recorded = arm.statistic("debiased_cka")
    return since_start(arm, base.debiased_cka, snapshots) if recorded is None else recorded


def _between(shown: Sequence[Contender], dataset: xarray.Dataset) -> dict[str, tuple[tuple[str, ...], Array]]:
    """CKA and RSA of populations of each arm, and CKA of arms in each population, at the last common record."""
    names, labels = dataset[ARM].values.tolist(), dataset[schema.POPULATION].values.tolist()
    last = {}
    for one in shown:
        recorded = {name: array for name, array in activities_of(one.arm).items() if name in labels}
        if one.name in names and recorded:
            steps = set.intersection(*(set(array[schema.STEP].values.tolist()) for array in recorded.values()))
            if steps:
                last[one.name] = max(steps), {name: one.of(array.sel({schema.STEP: max(steps)})) for name, array in
                                              recorded.items()}  # fmt: skip
    if not last:
        return {}
    cka = numpy.full((len(names), len(labels), len(labels)), numpy.nan)
    rsa, arms = cka.copy(), numpy.full((len(labels), len(names), len(names)), numpy.nan)
    for name, (_, activity) in last.items():
        for here, x in activity.items():
            for there, y in activity.items():
                place = names.index(name), labels.index(here), labels.index(there)
                cka[place] = _over_seeds(base.debiased_cka, x, y)
                rsa[place] = _over_seeds(base.rsa, x, y)
    for first, (step, mine) in last.items():
        for second, (other_step, theirs) in last.items():
            for population in set(mine) & set(theirs) if step == other_step else ():
                place = labels.index(population), names.index(first), names.index(second)
                arms[place] = _over_seeds(base.debiased_cka, mine[population], theirs[population])
    between = (ARM, schema.POPULATION, OTHER)
    return {
        "cka": (between, cka), "rsa": (between, rsa),
        "cka_arms": ((schema.POPULATION, ARM, f"{OTHER}_{ARM}"), arms),
    }  # fmt: skip


def _over_seeds(statistic: Any, one: xarray.DataArray, other: xarray.DataArray) -> float:
    """Mean over common seeds, over the samples that both have."""
    seeds = [seed for seed in one[schema.SEED].values.tolist() if seed in other[schema.SEED].values]
    if not seeds:
        return numpy.nan
    x, y = (array.sel({schema.SEED: seeds}).values for array in (one, other))
    trials = min(x.shape[1], y.shape[1])
    found = numpy.asarray(statistic(x[:, :trials], y[:, :trials]))
    found = found[numpy.isfinite(found)]
    return float(found.mean()) if found.size else numpy.nan


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms and populations as rows: each measure at the end, mean ± sd over seeds."""
    return end_table(dataset, MEASURES, schema.POPULATION, heading="population", title="representations")


def draw(dataset: xarray.Dataset) -> Figure:
    """Rows: measures over training; CKA between populations of each arm, RSA below its diagonal; and CKA between arms
    in each population."""
    below = []
    if "cka" in dataset:
        labels = dataset[schema.POPULATION].values.tolist()

        def populations(axes: Axes, column: int) -> None:
            arm = dataset.isel({ARM: column})
            cka, rsa = (arm[name].transpose(schema.POPULATION, OTHER).values for name in ("cka", "rsa"))
            lower = numpy.tril(numpy.ones(cka.shape, bool), -1)
            _matrix(axes, numpy.where(lower, rsa, cka), labels, str(arm["label"].values))

        below.append(Row(panels=dataset.sizes[ARM], label="CKA above, RSA below", draw=populations))
    if "cka_arms" in dataset and dataset.sizes[ARM] > 1:
        arms = dataset["cka_arms"].transpose(schema.POPULATION, ...).values
        known = [place for place in range(len(arms)) if numpy.isfinite(arms[place]).any()]

        def between(axes: Axes, column: int) -> None:
            part = dataset.isel({schema.POPULATION: known[column]})
            title = str(part[schema.POPULATION].values)
            _matrix(axes, part["cka_arms"].transpose(ARM, ...).values, dataset["label"].values.tolist(), title)

        below.append(Row(panels=len(known), label="CKA between arms", draw=between))
    return course_figure(dataset, MEASURES, schema.POPULATION, below=below)


def _matrix(axes: Axes, values: Array, labels: Sequence[str], title: str) -> None:
    """A square of likenesses with its numbers; white is chance."""
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for row, entries in enumerate(values):
        for column, value in enumerate(entries):
            if numpy.isfinite(value) and len(labels) <= 8:
                color = "white" if value > 0.75 else "#333333"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize=7.5)
    axes.set_yticks(range(len(labels)), labels, fontsize=7.5)
    axes.grid(visible=False)
    axes.set_title(title, fontsize=9.5)


representations = Analysis(name="representations", compute=compute, draw=draw, tabulate=tabulate, about="training")
