"""What a layer makes of its input without an error: correlation of its units, and the components that it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.recorded import missing_arms, nothing_recorded
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM, described, epochs_of, stacked
from neurosal.analysis.style import GREY, caption, curve, horizontal, label_lines, over_seeds, panels, styled, time_axis
from neurosal.analysis.tables import Table, listed, plus_minus
from neurosal.record import schema
from neurosal.stats import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = {
    "correlation": ("correlation of units", "mean |correlation| of two units"),
    "dimensions": ("dimensions of the output", "participation ratio"),
    "captured": ("variance kept", "share of the most possible"),
}
NEGLIGIBLE = 0.05  # directions of the weights below this share of the largest are taken for noise
REMEDY = 'Add ns.probe("activity", "input"), ns.probe("activity", "output") and ns.probe("weight") to what is recorded.'


def compute(arms: Sequence[ArmRecord]) -> xarray.Dataset:
    """Correlation and dimensions of the output, and the variance of the input that its weights keep, over training.

    Returns a Dataset with ``correlation`` (mean absolute correlation of two output units over the recorded samples;
    none with one unit), ``dimensions`` (participation ratio of the output's covariance: the number of directions that
    share its variance) and ``captured`` (variance of the input within the directions of the weights, as a share of what
    as many first principal components hold; components are those of all recorded inputs) [arm, seed, step], each with
    ``_mean``, ``_deviation``, ``_count`` over seeds.
    """
    shown = contenders(arms)
    measured = {contender.name: found for contender in shown if (found := _of(contender)) is not None}
    if not measured:
        raise nothing_recorded(arms, schema.PROBES, "activity and weights", REMEDY)
    dataset = xarray.Dataset()
    for name in MEASURES:
        array = stacked({arm: found[name] for arm, found in measured.items()}).rename(name)
        summary = mean_and_deviation(array, dim=schema.SEED)
        dataset = dataset.assign({name: array, **{f"{name}_{part}": summary[part] for part in summary}})
    order = dataset[ARM].values.tolist()
    epoch = stacked({arm: found["epoch"] for arm, found in measured.items()})
    dataset = dataset.assign_coords(epoch=epoch).assign_coords(described(shown, order))
    remarks = [
        "Correlation: mean |correlation| of two outputs.",
        "Variance kept: of the input along the weights, over that along as many principal components.",
    ]
    if without := missing_arms(arms, shown, order):
        remarks.append(f"Not recorded of {listed(without)}.")
    return dataset.assign_attrs(run=arms[0].run, remarks=remarks)


def _of(contender: Contender) -> dict[str, xarray.DataArray] | None:
    """The measures of one arm, [seed, step], where it recorded input, output and the weights between."""
    arm = contender.arm
    if arm.circuit is None or len(arm.circuit.inputs) != 1 or len(arm.circuit.outputs) != 1:
        return None
    source, target = arm.circuit.inputs[0], arm.circuit.output
    between = list(arm.circuit.select(pathway="feedforward", source=source, target=target))
    if len(between) != 1:
        return None
    records = {
        "x": arm.finest(f"{schema.PROBES}/{source}", schema.ACTIVITY),
        "y": arm.finest(f"{schema.PROBES}/{target}", schema.ACTIVITY),
        "w": arm.finest(f"{schema.PROJECTIONS}/{between[0]}", schema.WEIGHT),
    }
    found = {name: array for name, array in records.items() if array is not None}
    if len(found) < len(records) or found["w"].sizes[schema.AREA] > 1:
        return None
    x, y, w = (contender.of(found[name]).astype(float) for name in "xyw")
    inputs, outputs, weights = x.values, y.values, w.values[:, :, 0]
    return {
        "correlation": _over(y, [[_correlation(rows) for rows in seed] for seed in outputs]),
        "dimensions": _over(y, [[_dimensions(rows) for rows in seed] for seed in outputs]),
        "captured": _over(w, [_captured(*pair) for pair in zip(weights, inputs, strict=True)]),
        "epoch": epochs_of(found["w"]),
    }


def _over(like: xarray.DataArray, values: Any) -> xarray.DataArray:
    dims = (schema.SEED, schema.STEP)
    return xarray.DataArray(numpy.array(values, dtype=float), dims=dims, coords={dim: like[dim] for dim in dims})


def _known(rows: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    """Samples that there were: a smaller batch is filled up with NaN."""
    kept: numpy.ndarray[Any, Any] = rows[numpy.isfinite(rows).all(axis=-1)]
    return kept


def _correlation(rows: numpy.ndarray[Any, Any]) -> float:
    rows = _known(rows)
    if rows.shape[0] < 2 or rows.shape[1] < 2:
        return numpy.nan
    centred = rows - rows.mean(axis=0)
    length = numpy.linalg.norm(centred, axis=0)
    if not length.all():
        return numpy.nan
    matrix = centred.T @ centred / numpy.outer(length, length)
    return float(numpy.abs(matrix[~numpy.eye(len(matrix), dtype=bool)]).mean())


def _dimensions(rows: numpy.ndarray[Any, Any]) -> float:
    rows = _known(rows)
    if len(rows) < 2:
        return numpy.nan
    covariance = numpy.atleast_2d(numpy.cov(rows.T))
    square = float((covariance**2).sum())
    return float(numpy.trace(covariance)) ** 2 / square if square else numpy.nan


def _captured(weights: numpy.ndarray[Any, Any], inputs: numpy.ndarray[Any, Any]) -> list[float]:
    """Share at each snapshot of the weights [step, post, pre] of one seed; inputs [step, trial, pre]."""
    rows = _known(inputs.reshape(-1, inputs.shape[-1]))
    if len(rows) < 2:
        return [numpy.nan] * len(weights)
    covariance = numpy.cov(rows.T)
    best = numpy.sort(numpy.linalg.eigvalsh(covariance))[::-1][: weights.shape[1]].sum()
    shares = []
    for matrix in weights:
        if not numpy.isfinite(matrix).all():
            shares.append(numpy.nan)
            continue
        _, sizes, directions = numpy.linalg.svd(matrix, full_matrices=False)
        kept = directions[sizes > NEGLIGIBLE * sizes[0]]
        shares.append(float(numpy.trace(kept @ covariance @ kept.T) / best))
    return shares


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms as rows: the three measures at the start and at the end, mean ± sd over seeds."""
    rows = []
    for index in range(dataset.sizes[ARM]):
        part = dataset.isel({ARM: index})
        cells = [str(part["label"].values)]
        for name in MEASURES:
            known = numpy.flatnonzero(numpy.isfinite(part[f"{name}_mean"].values))
            for step in (known[0], known[-1]) if known.size else ():
                at = part.isel({schema.STEP: int(step)})
                cells.append(plus_minus(float(at[f"{name}_mean"]), float(at[f"{name}_deviation"]), 2))
            if not known.size:
                cells += ["–", "–"]
        rows.append(tuple(cells))
    columns = ("arm", *(f"{name}{when}" for name in MEASURES for when in (" at first", "")))
    return Table(
        columns=columns,
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: outputs at first and at the end, mean ± sd over seeds",
        remarks=tuple(dataset.attrs["remarks"]),
        numbers=frozenset(columns) - {"arm"},
    )


def draw(dataset: xarray.Dataset) -> Figure:
    """One panel a measure, over training."""
    with styled():
        figure, axes = panels(1, len(MEASURES), width=11.5, height=3.3)
        for place, (name, (title, label)) in enumerate(MEASURES.items()):
            _over_time(axes[0, place], dataset, name, title, label)
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        caption(figure, [over_seeds(dataset), *dataset.attrs["remarks"]], width=150)
    return figure


def _over_time(axes: Axes, dataset: xarray.Dataset, name: str, title: str, label: str) -> None:
    along, _ = horizontal(dataset)
    ends: dict[int, tuple[float, float]] = {}
    for index, position in enumerate(dataset["position"].values.tolist()):
        arm = dataset.isel({ARM: index})
        x = numpy.broadcast_to(arm[along].values, arm.sizes[schema.STEP])
        end = curve(axes, x, arm[f"{name}_mean"].values, arm[f"{name}_deviation"].values, position)
        if end is not None:
            ends[position] = end
    if name != "correlation":
        axes.axhline(1, color=GREY, linewidth=1, zorder=1)
    axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.set_ylabel(label)
    time_axis(axes, dataset)
    labels = dict(zip(dataset["position"].values.tolist(), dataset["label"].values.tolist(), strict=True))
    label_lines(axes, ends, labels)


decorrelation = Analysis(name="decorrelation", compute=compute, draw=draw, tabulate=tabulate, about="training")
