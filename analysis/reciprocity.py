"""Reciprocity of a trained circuit beside that of real wiring: who answers whom, how strongly, and against chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import xarray

from neurosal.analysis.contenders import Contender, contenders
from neurosal.analysis.contract import Analysis
from neurosal.analysis.offline import snapshot, weights_of
from neurosal.analysis.recorded import nothing_recorded
from neurosal.analysis.sources import ArmRecord
from neurosal.analysis.stacking import text
from neurosal.analysis.style import GREY, caption, look, panels, styled
from neurosal.analysis.tables import Table, number, plus_minus
from neurosal.analysis.wirings import Wired, angle_both_ways, of_circuit, real, strengths_both_ways
from neurosal.errors import ExperimentError, Problem
from neurosal.record import schema
from neurosal.stats import base

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NETWORK, TRIAD, SHARE = "network", "triad", "share"
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
CONNECTED = 3  # the first three of the 16 triads do not connect all three neurons
MOST_EDGES = 100_000  # of which random graphs with the same degrees are drawn
SWAPS = 10  # tried per connection between two of them
SHOWN_TRIADS = ("worm, Cook 2019", "fly, medulla cell types")
REMEDY = 'Add ns.probe("weight") to what is recorded: wiring is read off the last recorded weights.'
MARKS = {"chemical": ("o", "worm, chemical"), "gap": ("s", "worm, gap junctions"), "fly": ("^", "fly, cell types")}
NULLS = ("null", "z", "motif", "angle_null")
MEASURED = ("density", "reciprocity", "within", "null", "z", "signed", "magnitude", "angle", "signed_start",
            "magnitude_start", "angle_start", "angle_null")  # fmt: skip
Array = numpy.ndarray[Any, Any]


def compute(
    arms: Sequence[ArmRecord], *, share: float = 0.1, draws: int = 50, data: str | Path | None = None
) -> xarray.Dataset:
    """Reciprocity of the strongest synapses of trained circuits, and of worm and fly, against density and against
    random graphs with the same degrees; triad motifs; and how like the strengths of both directions are.

    A circuit's neurons are the units of all populations, those of every area for themselves; its synapses are those of
    which weights were recorded last.

    Args:
        share: of each projection's synapses, the strongest that count as connections (trained wiring is often dense).
        draws: random graphs with the same degrees, for z and motifs; 0 for none.
        data: folder with real wiring; None looks in NEUROSAL_DATA.

    Returns:
        Dataset along ``network`` (arms, then real ones) with ``kind``, ``nodes``, ``edges``, ``density``,
        ``reciprocity``, ``within`` (expected if connections lay anywhere within their pair of populations), ``null``,
        ``z`` (against the same degrees), ``signed`` (Pearson's correlation of both directions' weights over reciprocal
        pairs), ``magnitude`` (Spearman's, of sizes), ``angle`` (between the whole network and its transpose), all also
        before training (``_start``, over all synapses), each with ``_deviation`` over seeds; ``angle_null`` (in graphs
        with the same degrees, weights dealt out anew); ``motif`` [network, triad] z of connected triads, as a vector of
        length 1; and ``curve_density``, ``curve_reciprocity`` [network, share].
    """
    if not 0 < share <= 1:
        raise ExperimentError(Problem(place="share", expected="above 0, at most 1", found=repr(share)))
    shown = [one for one in contenders(arms) if one.arm.circuit is not None and weights_of(one.arm)]
    if not shown:
        raise nothing_recorded(arms, schema.PROJECTIONS, "weights", REMEDY)
    wild, said = real(data)
    said = [*_unrecorded(shown), *said]
    rows = [_of_contender(one, share, draws) for one in shown]
    # Gap junctions go both ways by their nature: chance has nothing to say of them.
    rows += [_of_network(wired, 0 if wired.kind == "gap" else draws) for wired in wild]
    names = [one.title for one in shown] + [wired.name for wired in wild]
    kinds = ["circuit"] * len(shown) + [wired.kind for wired in wild]
    columns = {
        name: (NETWORK, numpy.array([row[name] for row in rows], float)) for name in ("nodes", "edges", *MEASURED)
    }
    columns |= {
        f"{name}_deviation": (NETWORK, numpy.array([row.get(f"{name}_deviation", numpy.nan) for row in rows], float))
        for name in MEASURED
    }
    dataset = xarray.Dataset(columns)
    dataset["motif"] = (NETWORK, TRIAD), numpy.stack([row["motif"] for row in rows])
    for name in ("curve_density", "curve_reciprocity"):
        dataset[name] = (
            (NETWORK, SHARE),
            numpy.stack([row.get(name, numpy.full(len(SHARES), numpy.nan)) for row in rows]),
        )
    dataset = dataset.assign_coords(
        {
            NETWORK: text(names),
            "kind": (NETWORK, text(kinds)),
            TRIAD: text(base.TRIADS[CONNECTED:]),
            SHARE: list(SHARES),
        }
    )
    every = contenders(arms)
    places = [every.index(one) if one in every else 0 for one in shown] + [0] * len(wild)
    dataset = dataset.assign_coords(position=(NETWORK, numpy.array(places)))
    return dataset.assign_attrs(
        run=arms[0].run, share=share, draws=draws, remarks=_remarks(dataset, share, draws, said)
    )


def _unrecorded(shown: Sequence[Contender]) -> list[str]:
    """Says which projections are missing: without its way back no connection is answered, whatever the circuit has."""
    without: dict[str, list[str]] = {}
    for one in shown:
        assert one.arm.circuit is not None
        known = weights_of(one.arm)
        lacking = [
            name
            for name, edge in one.arm.circuit.projections.items()
            if edge.pathway != "modulatory" and name not in known
        ]
        if lacking:
            without.setdefault(", ".join(lacking), []).append(one.title)
    return [f"Weights not recorded, so left out, of {', '.join(arms)}: {names}." for names, arms in without.items()]


def _remarks(dataset: xarray.Dataset, share: float, draws: int, said: Sequence[str]) -> list[str]:
    remarks = [
        f"Circuits: the strongest {100 * share:g} % of each projection's synapses at the end; lines: other shares.",
        "Chance: density (grey line); within pairs: density of the way back within each pair of populations.",
        "Same degrees: random graphs in which every neuron keeps its counts (of circuits one seed's).",
        "Strengths: over reciprocal pairs, both orders; chance is 0. Before training: hollow.",
        "Angle: between a network and its transpose; chance is 90° for weights of both signs, less for sizes alone.",
    ]
    if draws and not numpy.isfinite(dataset["z"].values[dataset["kind"].values == "circuit"]).all():
        remarks.append(
            f"No random graphs for circuits of more than {MOST_EDGES:,} connections; a smaller share has them."
        )
    return [*remarks, *said]


# Numbers -------------------------------------------------------------------------------------------------------------


def _of_contender(one: Contender, share: float, draws: int) -> dict[str, Any]:
    """Mean and deviation over the seeds that did not diverge."""
    recorded = weights_of(one.arm)
    last = {name: snapshot(array, array.sizes[schema.STEP] - 1) for name, array in recorded.items()}
    first = {name: snapshot(array, 0) for name, array in recorded.items()}
    assert one.arm.circuit is not None
    rows: list[dict[str, Any]] = []
    for replica, lost in zip(one.replicas, one.diverged, strict=True):
        if lost:
            continue
        weights = {name: array[replica] for name, array in last.items()}
        networks = [of_circuit(one.title, one.arm.circuit, weights, part) for part in SHARES]
        row = _of_network(of_circuit(one.title, one.arm.circuit, weights, share), 0 if rows else draws)
        row["curve_density"] = numpy.array([wired.density for wired in networks])
        row["curve_reciprocity"] = numpy.array([_reciprocity(wired) for wired in networks])
        # Which synapses are strongest depends on the weights themselves: strengths are compared over all of them.
        row |= _strengths(networks[-1])
        begin = {name: array[replica] for name, array in first.items()}
        before = _strengths(of_circuit(one.title, one.arm.circuit, begin, 1.0))
        row |= {f"{name}_start": value for name, value in before.items()}
        rows.append(row)
    if not rows:
        none = dict.fromkeys(("nodes", "edges", *MEASURED), numpy.nan)
        return {**none, "motif": numpy.full(len(base.TRIADS) - CONNECTED, numpy.nan)}
    # Random graphs were drawn for the first seed alone.
    whole = {name: numpy.stack([row[name] for row in rows]).mean(0) for name in rows[0] if name not in NULLS}
    if len(rows) > 1:
        spread = [name for name in MEASURED if name not in NULLS]
        whole |= {f"{name}_deviation": numpy.std([row[name] for row in rows], ddof=1) for name in spread}
    return whole | {name: rows[0][name] for name in NULLS}


def _of_network(wired: Wired, draws: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "nodes": wired.nodes, "edges": len(wired.edges), "density": wired.density, "reciprocity": _reciprocity(wired),
        "within": wired.expected, **_strengths(wired), "signed_start": numpy.nan, "magnitude_start": numpy.nan,
        "angle_start": numpy.nan,
    }  # fmt: skip
    return found | _against_degrees(wired, draws)


def _reciprocity(wired: Wired) -> float:
    return float(base.edge_reciprocity(wired.edges, wired.nodes))


def _against_degrees(wired: Wired, draws: int) -> dict[str, Any]:
    """Reciprocity and triads beside their values in random graphs with the same degrees."""
    none: dict[str, Any] = dict.fromkeys(("null", "z", "angle_null"), numpy.nan)
    none |= {"motif": numpy.full(len(base.TRIADS) - CONNECTED, numpy.nan)}
    if draws < 2 or not 1 < len(wired.edges) <= MOST_EDGES:
        return none

    dealt = numpy.random.default_rng(0)

    def both(pairs: Array, nodes: int) -> Array:
        shuffled = replace(wired, edges=pairs, weights=dealt.permutation(wired.weights))
        angle = angle_both_ways(shuffled) if wired.kind != "circuit" else numpy.nan
        found = (base.edge_reciprocity(pairs, nodes), angle, *base.edge_triads(pairs, nodes)[CONNECTED:])
        return numpy.array(found)

    observed = both(wired.edges, wired.nodes)
    null = base.configuration_null(_sparse(wired), both, draws=draws, tries=SWAPS)
    z = base.z_score(observed, null)
    motif = numpy.nan_to_num(z[2:])
    length = float(numpy.linalg.norm(motif))
    return {"null": float(null[:, 0].mean()), "z": float(z[0]), "angle_null": float(null[:, 1].mean()),
            "motif": motif / length if length else none["motif"]}  # fmt: skip


def _sparse(wired: Wired) -> Any:
    from scipy.sparse import csr_array

    ones = numpy.ones(len(wired.edges), numpy.int8)
    return csr_array((ones, (wired.edges[:, 0], wired.edges[:, 1])), shape=(wired.nodes, wired.nodes))


def _strengths(wired: Wired) -> dict[str, float]:
    """How like both directions are: of reciprocal pairs Pearson's correlation of signed weights, Spearman's of sizes;
    and the angle between the network and its transpose."""
    from scipy.stats import rankdata

    pairs = strengths_both_ways(wired) if len(wired.edges) else numpy.zeros((0, 2))
    sizes = numpy.abs(pairs)
    ranks = numpy.stack([rankdata(sizes[:, 0]), rankdata(sizes[:, 1])], axis=1) if len(pairs) else pairs
    signed = _correlation(pairs) if wired.signed else numpy.nan
    return {"signed": signed, "magnitude": _correlation(ranks), "angle": angle_both_ways(wired)}


def _correlation(pairs: Array) -> float:
    if len(pairs) < 3:
        return numpy.nan
    centred = pairs - pairs.mean(0)
    below = float((centred[:, 0] ** 2).sum() * (centred[:, 1] ** 2).sum()) ** 0.5
    return float((centred[:, 0] * centred[:, 1]).sum() / below) if below else numpy.nan


# Table and figure ----------------------------------------------------------------------------------------------------


def tabulate(dataset: xarray.Dataset) -> Table:
    """Networks as rows: size, density, reciprocity beside its chance levels, and the likeness of strengths."""
    columns = ("network", "neurons", "connections", "density", "reciprocity", "within pairs", "same degrees", "z",
               "signed", "magnitude", "angle °", "signed before", "magnitude before", "angle ° before",
               "angle ° same degrees")  # fmt: skip
    rows = []
    for place in range(dataset.sizes[NETWORK]):
        one = dataset.isel({NETWORK: place})

        def entry(name: str, decimals: int = 3, one: xarray.Dataset = one) -> str:
            return plus_minus(float(one[name]), float(one[f"{name}_deviation"]), decimals)

        rows.append((
            str(one[NETWORK].values), number(float(one["nodes"])), number(round(float(one["edges"]))), entry("density"),
            entry("reciprocity"), entry("within"), entry("null"), entry("z", 1), entry("signed", 2),
            entry("magnitude", 2), entry("angle", 1), entry("signed_start", 2), entry("magnitude_start", 2),
            entry("angle_start", 1), entry("angle_null", 1),
        ))  # fmt: skip
    return Table(
        columns=columns, rows=tuple(rows), title=f"{dataset.attrs['run']}: reciprocity beside real wiring",
        remarks=tuple(dataset.attrs["remarks"]), numbers=frozenset(columns[1:]),
    )  # fmt: skip


def draw(dataset: xarray.Dataset) -> Figure:
    """Reciprocity against density; reciprocity beside graphs with the same degrees; strengths of both directions; and
    triad motifs."""
    with styled():
        figure, axes = panels(2, 2, width=11.5, height=3.9)
        _against_density(axes[0, 0], dataset)
        _against_null(axes[0, 1], dataset)
        _alike(axes[1, 0], dataset)
        _motifs(axes[1, 1], dataset)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8.5)
        figure.suptitle(dataset.attrs["run"], x=0.01, ha="left", fontweight="bold")
        caption(figure, dataset.attrs["remarks"], width=150)
    return figure


def _networks(dataset: xarray.Dataset) -> list[tuple[xarray.Dataset, dict[str, Any], str]]:
    """Each network with its mark and its label in the legend ("" after the first of a kind)."""
    found, said = [], set()
    for place, kind in enumerate(dataset["kind"].values.tolist()):
        one = dataset.isel({NETWORK: place})
        if kind == "circuit":
            style = {"color": look(int(one["position"]))["color"], "marker": "D", "markersize": 6}
            label = str(one[NETWORK].values)
        else:
            mark, label = MARKS[kind]
            style = {"color": "#444444", "marker": mark, "markersize": 5, "markerfacecolor": "#BBBBBB"}
            label = "" if label in said else label
            said.add(MARKS[kind][1])
        found.append((one, style, label))
    return found


def _against_density(axes: Axes, dataset: xarray.Dataset) -> None:
    low = numpy.nanmin([dataset["density"].min(), dataset["curve_density"].where(dataset["curve_density"] > 0).min()])
    chance = numpy.geomspace(low / 1.5, 1, 50)
    axes.plot(chance, chance, color=GREY, linewidth=1)
    axes.text(0.5, 0.42, "chance", color=GREY, fontsize=8, va="top")
    for one, style, label in _networks(dataset):
        axes.plot(one["curve_density"], one["curve_reciprocity"], color=style["color"], linewidth=1)
        axes.plot([float(one["density"])], [float(one["reciprocity"])], linestyle="", label=label or None, **style)
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("density")
    axes.set_ylabel("reciprocity")
    axes.set_title("reciprocity against density")


def _against_null(axes: Axes, dataset: xarray.Dataset) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    widest = max(0.5, 1.1 * float(dataset["null"].max().fillna(0)))
    axes.text(0.97 * widest, 0.94 * widest, "chance", color=GREY, fontsize=8, ha="right", va="top")
    for one, style, _ in _networks(dataset):
        axes.plot([float(one["null"])], [float(one["reciprocity"])], linestyle="", **style)
    axes.set_xlim(-0.02, widest)
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel(f"mean of {dataset.attrs['draws']} random graphs with the same degrees")
    axes.set_ylabel("reciprocity")
    axes.set_title("reciprocity against the same degrees")


def _alike(axes: Axes, dataset: xarray.Dataset) -> None:
    axes.axvline(0, color=GREY, linewidth=1)
    axes.axhline(0, color=GREY, linewidth=1)
    unsigned = []
    for one, style, _ in _networks(dataset):
        x, y = float(one["magnitude"]), float(one["signed"])
        if not numpy.isfinite(y):
            unsigned.append(x)
            continue
        start = float(one["magnitude_start"]), float(one["signed_start"])
        if numpy.isfinite(start).all():
            axes.plot([start[0], x], [start[1], y], color=style["color"], linewidth=0.8)
            axes.plot([start[0]], [start[1]], linestyle="", **{**style, "markerfacecolor": "white"})
        axes.plot([x], [y], linestyle="", **style)
    for x in unsigned:  # chemical synapses and gap junctions of the worm have sizes alone
        axes.plot([x, x], [-1.05, -0.97], color="#444444", linewidth=1)
    axes.set_xlim(-1.05, 1.05)
    axes.set_ylim(-1.05, 1.1)
    axes.set_xlabel("sizes, Spearman (ticks below: worm)")
    axes.set_ylabel("signed weights, Pearson")
    axes.set_title("strengths of both directions")


def _motifs(axes: Axes, dataset: xarray.Dataset) -> None:
    places = numpy.arange(dataset.sizes[TRIAD])
    axes.axhline(0, color=GREY, linewidth=1)
    for one, style, _ in _networks(dataset):
        name = str(one[NETWORK].values)
        if str(one["kind"].values) == "circuit" or name in SHOWN_TRIADS:
            dashed = "-" if str(one["kind"].values) == "circuit" else "--"
            axes.plot(places, one["motif"], linestyle=dashed, linewidth=1.3, **{**style, "markersize": 3.5})
    axes.set_xticks(places, dataset[TRIAD].values.tolist(), rotation=60, fontsize=8)
    axes.set_ylabel("z, as a vector of length 1")
    axes.set_title("triads against the same degrees")


reciprocity = Analysis(name="reciprocity", compute=compute, draw=draw, tabulate=tabulate)
