"""Relays: where feedback over a relay stands at the end of training, beside what it converges to, derived and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.converged import Product, product_of
from neurosal.analysis.measured import measured
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import ARM, described, text
from neurosal.analysis.style import GREY, caption, look, panels, styled
from neurosal.analysis.tables import Table, number, plus_minus
from neurosal.errors import ExperimentError, Problem
from neurosal.lower.paths import pairs
from neurosal.record import schema
from neurosal.stats import mean_and_deviation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXPANSION, DENSITY, DRAW, SIZE = "expansion", "density", "draw", "size"
MEASURES = (schema.ANGLE, schema.NORM_RATIO)
FACES = {schema.ANGLE: ("path angle at the end (°)", 1), schema.NORM_RATIO: ("norm ratio ‖path‖ / ‖W‖", 3)}
REMEDY = 'Train with a rule that adds relays (pfa), and add ns.probe("angle", epochs=1) to what is recorded.'


def compute(
    arms: Sequence[ArmRecord], *, draws: int = 10, sizes: Sequence[int] = (), receives: int = 512, seed: int = 0
) -> xarray.Dataset:
    """Angle and norm ratio of the paths over relays at the end, beside the converged ones, and accuracy.

    For every arm with relays and every forward projection along which error returns over one, with ρ units of the relay
    for each that sends error and density p of the second hop:

    - ``m`` [arm, seed, pair] for m in ``angle`` (degrees) and ``norm_ratio``: at the end of training, as recorded;
    - ``m_limit`` [arm, pair]: the limit for many units, ``arctan(1/√(p ρ))`` and, with B scaled so that the expected
      BᵀB is the identity, ``p √(1 + 1/(p ρ))``;
    - ``m_expected`` [arm, pair]: the same for as many units as there are, ``tan² = (n - 1)/(p m) + (κ/p² - 1)/m``;
    - ``m_drawn`` [arm, pair, draw]: of random W and B and R = Wᵀ Bᵀ of these sizes, in which nothing was trained, and
      ``m_drawn_size`` [arm, size, draw] the same for other sizes;
    - ``accuracy`` [arm, seed] on the test part, of arms without relays too.

    Args:
        draws: how many.
        sizes: units n that send error, for which paths are drawn beside those of the circuits.
        receives: units that get error there.
        seed: of all draws.

    Returns:
        A Dataset, with ``m_mean`` and ``m_deviation`` over seeds; coordinates ``expansion`` and ``density`` [arm].

    Raises:
        ExperimentError: where no arm has a relay, or nothing was recorded of it.

    Reference: Li et al. (2024), "Deep learning without weight symmetry", arXiv 2405.20594; finite sizes are ours.
    """
    _refuse(draws, sizes, receives)
    shown = contenders(arms)
    products = {one.name: _products(one.arm) for one in shown}
    recorded = {one.name: {name: _at_the_end(one, name) for name in MEASURES} for one in shown if products[one.name]}
    if not any(array is not None for found in recorded.values() for array in found.values()):
        raise ExperimentError(
            Problem(
                place=arms[0].run if arms else "run",
                expected="arms with relays, and a record of angle or norm_ratio",
                found="none",
                remedy=REMEDY,
            )
        )
    names = [one.name for one in shown]
    labels = list(dict.fromkeys(pair for found in products.values() for pair in found))
    dataset = _trained(shown, recorded, labels)
    generator = numpy.random.default_rng(seed)
    shape = (len(names), len(labels))
    derived = {f"{m}_{kind}": numpy.full(shape, numpy.nan) for m in MEASURES for kind in ("limit", "expected")}
    drawn = {m: numpy.full((*shape, draws), numpy.nan) for m in MEASURES}
    others = {m: numpy.full((len(names), len(sizes), draws), numpy.nan) for m in MEASURES}
    for row, name in enumerate(names):
        for pair, product in products[name].items():
            column = labels.index(pair)
            for kind, values in (("limit", product.many_units()), ("expected", product.expected())):
                for measure, value in zip(MEASURES, values, strict=True):
                    derived[f"{measure}_{kind}"][row, column] = value
            _draw(product, generator, [drawn[m][row, column] for m in MEASURES])
        for place, size in enumerate(sizes) if products[name] else ():
            other = _resized(next(iter(products[name].values())), int(size), receives)
            _draw(other, generator, [others[m][row, place] for m in MEASURES])
    dataset = dataset.assign({name: ((ARM, schema.PAIR), values) for name, values in derived.items()})
    dataset = dataset.assign({f"{m}_drawn": ((ARM, schema.PAIR, DRAW), drawn[m]) for m in MEASURES})
    if sizes:
        dataset = dataset.assign({f"{m}_drawn_size": ((ARM, SIZE, DRAW), others[m]) for m in MEASURES})
        dataset = dataset.assign_coords({SIZE: list(sizes)})
    some = [next(iter(products[name].values()), None) for name in names]
    dataset = dataset.assign_coords(described(shown, names)).assign_coords(
        expansion=(ARM, numpy.array([numpy.nan if one is None else one.expansion for one in some])),
        density=(ARM, numpy.array([numpy.nan if one is None else one.second for one in some])),
    )
    return dataset.assign_attrs(run=arms[0].run, seeds=int(dataset.sizes[schema.SEED]), draws=draws)


def _refuse(draws: int, sizes: Sequence[int], receives: int) -> None:
    wrong = [("draws", draws), ("receives", receives), *(("sizes", size) for size in sizes)]
    problems = [
        Problem(place=place, expected="a positive whole number", found=repr(value))
        for place, value in wrong
        if not isinstance(value, int) or value < 1
    ]
    if problems:
        raise ExperimentError(problems)


def _products(arm: ArmRecord) -> dict[str, Product]:
    """The relays of an arm, by the forward projection along which error returns."""
    found = {} if arm.circuit is None else {pair.name: product_of(arm.circuit, pair) for pair in pairs(arm.circuit)}
    return {name: product for name, product in found.items() if product is not None}


def _resized(product: Product, sends: int, receives: int) -> Product:
    """The same ρ and densities for another number of units, B scaled to an expected BᵀB of the identity."""
    relay = max(1, round(product.expansion * sends))
    return Product(
        sends=sends, relay=relay, receives=receives, first=product.first, second=product.second,
        deviation=(relay * product.first) ** -0.5, kurtosis=product.kurtosis, orthogonal=product.orthogonal,
    )  # fmt: skip


def _draw(product: Product, generator: numpy.random.Generator, into: Sequence[Any]) -> None:
    if not product.orthogonal:  # there is nothing random in its product
        for draw in range(len(into[0])):
            into[0][draw], into[1][draw] = product.drawn(generator)


def _at_the_end(one: Contender, name: str) -> xarray.DataArray | None:
    """A statistic at the end, [seed, pair]."""
    array = one.arm.statistic(name)
    array = measured(one.arm, name, snapshots=1) if array is None else array
    return None if array is None else one.of(array).isel({schema.STEP: -1}, drop=True)


def _trained(
    shown: Sequence[Contender], recorded: Mapping[str, Mapping[str, xarray.DataArray | None]], labels: Sequence[str]
) -> xarray.Dataset:
    """What was recorded, [arm, seed, pair], and accuracy [arm, seed]; NaN where there is nothing."""
    seeds = sorted({seed for one in shown for seed in one.seeds})
    names = [one.name for one in shown]
    values = {m: numpy.full((len(names), len(seeds), len(labels)), numpy.nan) for m in MEASURES}
    accuracy = numpy.full((len(names), len(seeds)), numpy.nan)
    for row, one in enumerate(shown):
        places = [seeds.index(seed) for seed in one.seeds]
        for measure, array in recorded.get(one.name, {}).items():
            for pair in [] if array is None else [pair for pair in labels if pair in array[schema.PAIR].values]:
                assert array is not None
                values[measure][row, places, labels.index(pair)] = array.sel({schema.PAIR: pair}).values
        evaluation = one.arm.group(schema.EVALUATION)
        if evaluation is not None and "test_accuracy" in evaluation and evaluation.sizes[schema.STEP]:
            accuracy[row, places] = one.of(evaluation["test_accuracy"]).isel({schema.STEP: -1}).values
    coords = {ARM: text(names), schema.SEED: seeds, schema.PAIR: text(labels)}
    arrays = {m: xarray.DataArray(values[m], dims=(ARM, schema.SEED, schema.PAIR)) for m in MEASURES}
    arrays["accuracy"] = xarray.DataArray(accuracy, dims=(ARM, schema.SEED))
    dataset = xarray.Dataset(arrays, coords=coords)
    for name in arrays:
        summary = mean_and_deviation(dataset[name], dim=schema.SEED)
        dataset = dataset.assign({f"{name}_{part}": summary[part] for part in ("mean", "deviation")})
    return dataset


def tabulate(dataset: xarray.Dataset) -> Table:
    """Arms and projections as rows: accuracy, and angle and norm ratio at the end beside the derived and drawn ones,
    mean ± sd over seeds or draws."""
    rows = []
    for arm in dataset[ARM].values:
        own = dataset.sel({ARM: arm})
        accuracy = plus_minus(100 * float(own["accuracy_mean"]), 100 * float(own["accuracy_deviation"]), 2)
        there = [pair for pair in dataset[schema.PAIR].values if numpy.isfinite(own["angle_limit"].sel(pair=pair))]
        for place, pair in enumerate(there or [None]):
            cells = ["–"] * 8
            if pair is not None:
                part = own.sel({schema.PAIR: pair})
                cells = [cell for measure in MEASURES for cell in _cells(part, measure, f"{measure}_drawn")]
            label = str(own["label"].values)
            rows.append((label, accuracy if place == 0 else "", "–" if pair is None else str(pair), *cells))
        for size in dataset[SIZE].values.tolist() if SIZE in dataset.dims and there else ():
            part = own.sel({SIZE: size})
            cells = [cell for m in MEASURES for cell in ("–", "–", "–", _over_draws(part[f"{m}_drawn_size"], m))]
            if any(cell != "–" for cell in cells):
                rows.append((str(own["label"].values), "", f"{size} units, drawn alone", *cells))
    heads = [f"{name}{part}" for name in ("angle °", "norm ratio") for part in ("", ", limit", ", derived", ", drawn")]
    columns = ("arm", "test accuracy %", "projection", *heads)
    return Table(
        columns=columns,
        rows=tuple(rows),
        title=f"{dataset.attrs['run']}: feedback over relays at the end, mean ± sd over {dataset.attrs['seeds']} seeds",
        remarks=_remarks(dataset),
        numbers=frozenset(columns) - {"arm", "projection"},
    )


def _remarks(dataset: xarray.Dataset) -> tuple[str, ...]:
    return (
        "Limit: arctan(1/√(pρ)) and p √(1 + 1/(pρ)), for many units at one ρ; p is the density of both hops.",
        "Derived: for n units that send error and m of the relay, tan² = (n − 1)/(p m) + (κ/p² − 1)/m, κ = 9/5.",
        f"Drawn: {dataset.attrs['draws']} draws of W, B and converged R of these sizes; nothing is trained there.",
    )


def _cells(part: xarray.Dataset, measure: str, drawn: str) -> list[str]:
    decimals = FACES[measure][1]
    trained = plus_minus(float(part[f"{measure}_mean"]), float(part[f"{measure}_deviation"]), decimals)
    derived = [f"{float(part[f'{measure}_{kind}']):.{decimals}f}" for kind in ("limit", "expected")]
    return [trained, *derived, _over_draws(part[drawn], measure)]


def _over_draws(array: xarray.DataArray, measure: str) -> str:
    values = array.values[numpy.isfinite(array.values)]
    if not values.size:
        return "–"
    deviation = float(values.std(ddof=1)) if values.size > 1 else float("nan")
    return plus_minus(float(values.mean()), deviation, FACES[measure][1])


def along(dataset: xarray.Dataset) -> str:
    """What differs between arms: the expansion, or the density where that does and expansions agree."""
    densities, expansions = ({*dataset[name].values[numpy.isfinite(dataset[name].values)].tolist()}
                             for name in (DENSITY, EXPANSION))  # fmt: skip
    return DENSITY if len(densities) > 1 and len(expansions) == 1 else EXPANSION


def draw(dataset: xarray.Dataset) -> Figure:
    """Accuracy, angle and norm ratio against expansion or density: trained (points with bars), drawn (crosses), derived
    for these sizes (lines) and for many units (dashes)."""
    what = along(dataset)
    with styled():
        figure, axes = panels(1, 3, width=12.5, height=4.2)
        x = dataset[what].values
        _accuracy(axes[0, 0], dataset, x)
        for column, measure in enumerate(MEASURES, start=1):
            _measure(axes[0, column], dataset, x, measure)
        ticks = sorted({value for value in x.tolist() if numpy.isfinite(value)})
        for panel in axes[0]:
            if ticks[-1] > 4 * ticks[0]:
                panel.set_xscale("log")
            panel.set_xticks(ticks, [number(tick) for tick in ticks])
            panel.minorticks_off()
            panel.set_xlabel("units of the relay per unit, ρ" if what == EXPANSION else "density of feedback, p")
        axes[0, 1].legend(frameon=False, fontsize=8)
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        said = f"Points: trained, mean ± sd over {dataset.attrs['seeds']} seeds. Crosses: drawn and converged without "
        said += "training. Lines: derived for that many units; dashes: for many units."
        caption(figure, [said], width=150)
    return figure


def _accuracy(panel: Axes, dataset: xarray.Dataset, x: Any) -> None:
    mean, deviation = (100 * dataset[f"accuracy_{part}"].values for part in ("mean", "deviation"))
    there = numpy.isfinite(x) & numpy.isfinite(mean) & ~_orthogonal(dataset)
    order = numpy.argsort(x[there])
    panel.errorbar(x[there][order], mean[there][order], numpy.nan_to_num(deviation[there][order]), marker="o",
                   markersize=3.5, capsize=2, **look(0))  # fmt: skip
    beside = ~there & numpy.isfinite(mean)
    lowest = float((mean - numpy.nan_to_num(deviation))[there].min()) if there.any() else 0.0
    left_out = []
    for place, row in enumerate(numpy.flatnonzero(beside).tolist(), start=1):
        label = str(dataset["label"].values[row])
        if lowest - mean[row] > 2:  # it would squeeze all others together
            left_out.append(f"{label} {mean[row]:.1f} %")
            continue
        panel.axhline(mean[row], linewidth=1.2, linestyle=":", color=look(place)["color"], label=label)
    if left_out:
        panel.plot([], [], linestyle="none", label=f"below: {', '.join(left_out)}")
    if beside.any():
        panel.legend(frameon=False, fontsize=8)
    panel.set_ylabel("test accuracy (%)")


def _orthogonal(dataset: xarray.Dataset) -> Any:
    """Arms whose B is orthogonal: they stand beside the curve, not on it."""
    return ~(dataset["angle_limit"] > 0).any(schema.PAIR).values


def _measure(panel: Axes, dataset: xarray.Dataset, x: Any, measure: str) -> None:
    mean, deviation = (dataset[f"{measure}_{part}"] for part in ("mean", "deviation"))
    keep = ~_orthogonal(dataset)
    for position, pair in enumerate(dataset[schema.PAIR].values.tolist()):
        style = look(position)
        there = keep & numpy.isfinite(dataset[f"{measure}_limit"].sel(pair=pair).values)
        order = numpy.argsort(x[there])
        at = x[there][order]
        panel.plot(at, dataset[f"{measure}_expected"].sel(pair=pair).values[there][order], color=style["color"],
                   linewidth=1.2)  # fmt: skip
        middle, bar = (array.sel(pair=pair).values[there][order] for array in (mean, deviation))
        panel.errorbar(at, middle, numpy.nan_to_num(bar), linestyle="none", marker="o", markersize=4, capsize=2,
                       color=style["color"], label=pair)  # fmt: skip
        drawn = dataset[f"{measure}_drawn"].sel(pair=pair).values[there][order]
        panel.plot(at.repeat(drawn.shape[1]), drawn.ravel(), linestyle="none", marker="x", markersize=3, alpha=0.4,
                   color=style["color"])  # fmt: skip
    limit = numpy.nanmean(dataset[f"{measure}_limit"].values[keep], axis=1) if keep.any() else numpy.array([])
    order = numpy.argsort(x[keep])
    panel.plot(x[keep][order], limit[order], linestyle="--", color=GREY, linewidth=1.2, label="many units")
    panel.set_ylabel(FACES[measure][0])
    panel.set_ylim(bottom=0)


relays = Analysis(name="relays", compute=compute, draw=draw, tabulate=tabulate, about="training")
