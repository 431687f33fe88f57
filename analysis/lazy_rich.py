"""Lazy or rich learning: how far weights and kernels move, and how the kernel comes to know the classes, against
accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.courses import Measure, Row, course_figure, end_table, gathered, lacking, remarked
from neurosal.analysis.decimation import POINTS
from neurosal.analysis.measured import spaced
from neurosal.analysis.offline import SNAPSHOTS, activities_of, along, labelled, measures
from neurosal.analysis.recorded import nothing_recorded
from neurosal.analysis.samples import SHARED, at, classes, since_start
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM, stacked
from neurosal.analysis.style import look
from neurosal.analysis.tables import Table
from neurosal.record import schema
from neurosal.stats import base, mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TARGET = "target"
DRIFT, DISTANCE, ALIGNMENT = "drift", "activity_kernel_distance", "debiased_target_alignment"
MEASURES = (
    Measure(name=DRIFT, label="drift ‖W − W₀‖ / ‖W₀‖", heading="drift", wide=30),
    Measure(name=DISTANCE, label="kernel distance", heading="kernel distance", decimals=3, limits=(-0.02, None)),
    Measure(name=ALIGNMENT, label="kernel and classes", heading="kernel-target alignment", chance=0),
)
ACCURACIES = ("test_accuracy", "validation_accuracy", "train_accuracy")
REMEDY = (
    'Add ns.probe("weight", every=100) (or "drift") to what is recorded; for kernels '
    'ns.probe("activity_kernel_distance", every=100) and ns.probe("debiased_target_alignment", every=100).'
)
Array = numpy.ndarray[Any, Any]


def compute(arms: Sequence[ArmRecord], *, snapshots: int = SNAPSHOTS, points: int | None = POINTS) -> xarray.Dataset:
    """Movement of weights, distance of activity kernels from the start, and their alignment with the classes, over
    training and against accuracy.

    Drift is recorded or follows from weights. Kernels are those of recorded activities, h hᵀ: their distance from the
    start over the samples that both records hold, their alignment (debiased) recorded or with the classes that the
    error at the output tells. A network that learns while all of it stays near 0 is lazy.

    Args:
        snapshots: of recorded weights and activities, at most so many are read.
        points: longer recorded curves are thinned to so many; None keeps all.

    Returns:
        Dataset with, for m in ``drift``, ``activity_kernel_distance``, ``debiased_target_alignment``, what there is:
        ``m`` [arm, seed, step, target] (of feedforward projections, or populations), ``m_mean``, ``m_deviation``,
        ``m_count`` [arm, step, target]; and ``accuracy`` with ``accuracy_mean`` [arm, step] where the network was
        evaluated at the same steps.
    """
    shown = contenders(arms)
    found = measures(shown, (DRIFT, ALIGNMENT), snapshots)
    found.setdefault(ALIGNMENT, {})
    found[DISTANCE] = {}
    for one in shown:
        if one.name in found.get(DRIFT, {}) and one.arm.circuit is not None:
            forward = set(one.arm.circuit.select(pathway="feedforward"))
            drift = found[DRIFT][one.name]
            found[DRIFT][one.name] = drift.sel({schema.PROJECTION: [
                name for name in drift[schema.PROJECTION].values.tolist() if name in forward
            ]})  # fmt: skip
        distance = one.arm.statistic(DISTANCE)
        if distance is None:
            distance = since_start(one.arm, lambda first, now: base.activity_kernel_distance(now, first), snapshots)
        if distance is not None:
            found[DISTANCE][one.name] = distance
        if one.name not in found[ALIGNMENT] and (alignment := _alignment(one.arm, snapshots)) is not None:
            found[ALIGNMENT][one.name] = alignment
    own = {DRIFT: schema.PROJECTION, DISTANCE: schema.POPULATION, ALIGNMENT: schema.POPULATION}
    there = {
        name: {arm: array.rename({own[name]: TARGET}) for arm, array in arrays.items()}
        for name, arrays in found.items()
        if arrays
    }
    if not there:
        raise nothing_recorded(arms, schema.PROJECTIONS, "weights, or activities", REMEDY)
    known = (arm.circuit for arm in arms if arm.circuit)
    order = list(dict.fromkeys(name for circuit in known for name in (*circuit.projections, *circuit.populations)))
    dataset = gathered(shown, there, TARGET, order, points).assign_attrs(run=arms[0].run)
    dataset = dataset.assign(_accuracy(shown, dataset))
    remarks = ["Lazy: learns while weights and kernels stay near 0. Alignment (debiased): chance 0, 1 at best."]
    if DISTANCE not in there:
        remarks.append(f'No kernel distance: {SHARED}. Add ns.probe("activity_kernel_distance").')
    if ALIGNMENT not in there:
        remarks.append(
            'No alignment: add ns.probe("debiased_target_alignment"), or "activity" and "error" of "output".'
        )
    if "accuracy" not in dataset:
        remarks.append("No accuracy at the steps of these records: evaluate and record on one schedule.")
    return dataset.assign_attrs(remarks=remarked(dataset, *remarks, *lacking(dataset, MEASURES)))


def _alignment(arm: ArmRecord, snapshots: int) -> xarray.DataArray | None:
    """[replica, step, population] from activities and the error at the output of the same samples."""
    if arm.circuit is None or len(arm.circuit.outputs) != 1:
        return None
    error = arm.finest(f"{schema.PROBES}/{arm.circuit.output}", schema.ERROR)
    if error is None:
        return None
    columns = {}
    for name, array in activities_of(arm).items():
        if name in arm.circuit.inputs:  # its kernel does not learn
            continue
        known = array[schema.STEP].values.tolist()
        steps = sorted(set(known) & set(error[schema.STEP].values.tolist()))
        chosen = [steps[place] for place in spaced(len(steps), snapshots)] if steps else []
        rows = []
        for step in chosen:
            activity, label = at(array, step), classes(at(error, step))
            trials = min(activity.shape[1], label.shape[1])
            rows.append(numpy.asarray(base.debiased_target_alignment(activity[:, :trials], label[:, :trials])))
        if rows:
            columns[name] = along(array, [known.index(step) for step in chosen], rows)
    return labelled(columns, schema.POPULATION) if columns else None


def _accuracy(shown: Sequence[Contender], dataset: xarray.Dataset) -> dict[str, Any]:
    """The first accuracy that was evaluated, at the steps of the dataset."""
    names, steps = dataset[ARM].values.tolist(), dataset[schema.STEP].values.tolist()
    groups = {one.name: (one, one.arm.group(schema.EVALUATION)) for one in shown if one.name in names}
    for measure in ACCURACIES:
        found = {
            name: one.of(group[measure]).reindex({schema.STEP: steps})
            for name, (one, group) in groups.items()
            if group is not None and measure in group
        }
        if found and any(numpy.isfinite(array.values).any() for array in found.values()):
            whole = stacked(found).reindex({ARM: dataset[ARM]})
            return {"accuracy": whole, "accuracy_mean": mean_and_deviation(whole, dim=schema.SEED)["mean"]}
    return {}


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms and projections or populations as rows: each measure at the end, mean ± sd over seeds."""
    return end_table(dataset, MEASURES, TARGET, heading="projection or population", title="lazy or rich")


def draw(dataset: xarray.Dataset) -> Figure:
    """Rows: measures over training; below, accuracy against each of them (mean over projections or populations), one
    line an arm from start (hollow) to end."""
    below = []
    there = [measure for measure in MEASURES if measure.name in dataset]
    if "accuracy" in dataset:

        def against(axes: Axes, column: int) -> None:
            _against(axes, dataset, there[column])

        below = [Row(panels=len(there), label="accuracy (%)", draw=against)]
    return course_figure(dataset, MEASURES, TARGET, below=below)


def _against(axes: Axes, dataset: xarray.Dataset, measure: Measure) -> None:
    for index, position in enumerate(dataset["position"].values.tolist()):
        arm = dataset.isel({ARM: index})
        x = arm[f"{measure.name}_mean"].mean(TARGET).values
        y = 100 * arm["accuracy_mean"].values
        known, color = numpy.isfinite(x) & numpy.isfinite(y), look(position)["color"]
        if known.any():
            axes.plot(x[known], y[known], color=color, linewidth=1.4, marker=".", markersize=4)
            axes.plot(x[known][:1], y[known][:1], "o", color=color, markerfacecolor="white", markersize=5)
    axes.set_xlabel(f"{measure.heading}, mean")


lazy_rich = Analysis(name="lazy_rich", compute=compute, draw=draw, tabulate=tabulate, about="training")
