"""Plasticity over training: how far weights move, how fast, what rank they have, and which synapses last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.courses import Measure, Row, course_figure, end_table, gathered, lacking, remarked, shown_labels
from neurosal.analysis.decimation import POINTS
from neurosal.analysis.offline import SNAPSHOTS, measures, over_snapshots, weights_of
from neurosal.analysis.recorded import nothing_recorded
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM
from neurosal.analysis.style import horizontal, look, time_axis
from neurosal.analysis.tables import Table
from neurosal.record import schema
from neurosal.stats import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = (
    Measure(name="drift", label="drift ‖W − W₀‖ / ‖W₀‖", heading="drift", wide=30),
    Measure(name="update_size", label="update size ‖ΔW‖ / ‖W‖", heading="update size", decimals=4, wide=10),
    Measure(name="effective_rank", label="effective rank", heading="effective rank", decimals=1, limits=(0, None)),
    Measure(name="stable_rank", label="stable rank", heading="stable rank", decimals=1, limits=(0, None)),
    Measure(name="turnover", label="turnover of synapses", heading="turnover", limits=(-0.02, None)),
    Measure(name="survival", label="survival of synapses", heading="survival", limits=(None, 1.02)),
    Measure(name="hoyer", label="sparsity (Hoyer)", heading="Hoyer"),
    Measure(name="lognormality", label="log-normality (AIC)", heading="log-normality", decimals=0, chance=0,
            says="as good as another model"),
)  # fmt: skip
SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
QUANTILE, QUANTILES = "quantile", "quantiles"
Array = numpy.ndarray[Any, Any]
REMEDY = (
    'Add ns.probe("weight", every=100) to what is recorded, ns.probe("update_size", every=100) for the size of '
    'updates, and ns.probe("drift", every=10) and the like for finer curves.'
)


REMARKS = (
    "Drift, turnover and survival are against the start; a synapse is there while |w| > 0.1 rms(W₀).",
    "Chance: independent entries have stable rank post·pre / (√post + √pre)².",
    "Log-normality: AIC of the best other model less that of the log-normal, which has it above 10; Gaussian: < 0.",
)


def compute(arms: Sequence[ArmRecord], *, snapshots: int = SNAPSHOTS, points: int | None = POINTS) -> xarray.Dataset:
    """Drift, size of updates, ranks, turnover and survival, sparsity and the distribution of weights over training.

    Statistics that were recorded are taken as they are; the others are computed from recorded weights.

    Args:
        snapshots: of recorded weights, at most so many are read.
        points: longer recorded curves are thinned to so many; None keeps all.

    Returns:
        Dataset with, for m in ``drift``, ``update_size``, ``effective_rank``, ``stable_rank``, ``turnover``,
        ``survival``, ``hoyer``, ``lognormality``, what there is: ``m`` [arm, seed, step, projection], ``m_mean``,
        ``m_deviation``, ``m_count`` [arm, step, projection]; and of recorded weights ``quantiles`` [arm, step,
        projection, quantile] over synapses, mean over seeds.
    """
    shown = contenders(arms)
    found = measures(shown, [measure.name for measure in MEASURES], snapshots)
    if not found:
        raise nothing_recorded(arms, schema.PROJECTIONS, "weights or statistics of them", REMEDY)
    order = list(dict.fromkeys(name for arm in arms if arm.circuit for name in arm.circuit.projections))
    dataset = gathered(shown, found, schema.PROJECTION, order, points).assign_attrs(run=arms[0].run)
    dataset = dataset.assign(_distributions(shown, dataset, snapshots))
    remarks = list(REMARKS)
    if "update_size" not in found:
        remarks.append('No size of updates: add ns.probe("update_size", every=100), or "update" beside "weight".')
    if QUANTILES not in dataset:
        remarks.append('No distributions: add ns.probe("weight", every=100).')
    return dataset.assign_attrs(remarks=remarked(dataset, *remarks, *lacking(dataset, MEASURES)))


def _distributions(
    shown: Sequence[Contender], dataset: xarray.Dataset, snapshots: int
) -> dict[str, tuple[Any, Any] | xarray.DataArray]:
    """Quantiles of recorded weights over synapses, [arm, step, projection, quantile], mean over seeds."""
    names, labels = dataset[ARM].values.tolist(), dataset[schema.PROJECTION].values.tolist()
    steps = {step: place for place, step in enumerate(dataset[schema.STEP].values.tolist())}
    values = numpy.full((len(names), len(steps), len(labels), len(SHARES)), numpy.nan)
    for one in shown:
        for projection, array in weights_of(one.arm).items() if one.name in names else ():
            found = one.of(over_snapshots(array, _shares, snapshots)[QUANTILES])
            there = [step for step in found[schema.STEP].values.tolist() if step in steps]
            rows, found = [steps[step] for step in there], found.sel({schema.STEP: there})
            if projection in labels:
                mean = mean_and_deviation(found, dim=schema.SEED)["mean"].values
                values[names.index(one.name), rows, labels.index(projection)] = mean
    if not numpy.isfinite(values).any():
        return {}
    dims = (ARM, schema.STEP, schema.PROJECTION, QUANTILE)
    return {QUANTILES: (dims, values), QUANTILE: (QUANTILE, numpy.array(SHARES))}


def _shares(weights: Array) -> dict[str, Array]:
    """Quantiles of [replica, ...] weights, [replica, quantile]."""
    return {QUANTILES: numpy.quantile(weights.reshape(len(weights), -1), SHARES, axis=1).T}


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms and projections as rows: each measure at the end, mean ± sd over seeds."""
    return end_table(dataset, MEASURES, schema.PROJECTION, heading="projection", title="plasticity")


def draw(dataset: xarray.Dataset) -> Figure:
    """Rows: measures, and below them the distribution of weights; columns: projections (four at most)."""
    below = []
    if QUANTILES in dataset:
        places = max(
            (shown_labels(dataset, one.name, schema.PROJECTION) for one in MEASURES if one.name in dataset), key=len
        )

        def weights(axes: Axes, column: int) -> None:
            _weights(axes, dataset.isel({schema.PROJECTION: places[column]}))

        below = [Row(panels=len(places), label="weights: 5, 25, 50, 75, 95 %", draw=weights)]
    return course_figure(dataset, MEASURES, schema.PROJECTION, below=below)


def _weights(axes: Axes, part: xarray.Dataset) -> None:
    """Median, quartiles and the middle 90 % of weights over training, one colour an arm."""
    along, _ = horizontal(part)
    for index, position in enumerate(part["position"].values.tolist()):
        arm, color = part.isel({ARM: index}), look(position)["color"]
        x = numpy.broadcast_to(arm[along].values, arm.sizes[schema.STEP])
        values = arm[QUANTILES].transpose(schema.STEP, QUANTILE).values
        there = numpy.isfinite(values).all(axis=1)
        for share, width in ((0.05, 0.8), (0.25, 1.2), (0.5, 1.9), (0.75, 1.2), (0.95, 0.8)):
            axes.plot(x[there], values[there, SHARES.index(share)], linewidth=width, color=color)
    axes.set_title(str(part[schema.PROJECTION].values), fontsize=9.5)
    time_axis(axes, part)


plasticity = Analysis(name="plasticity", compute=compute, draw=draw, tabulate=tabulate, about="training")
