"""Wiring as edges with weights: of a trained circuit, whose areas are neurons of their own, and of worm and fly."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from neurosal.data.connectomes import FLY, FLY_TITLE, SOURCES, WORM, WORMS, connectome_file
from neurosal.data.places import FOLDER_VARIABLE
from neurosal.graph.circuit import Circuit
from neurosal.lower.plan import Plan, plan
from neurosal.stats import base

Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Wired:
    """One network.

    Args:
        name: for figures and tables.
        kind: "circuit", "chemical", "gap" or "fly".
        nodes: how many neurons.
        edges: [edge, (post, pre)], without connections of a neuron with itself.
        weights: [edge]; signed where signs are known.
        signed: whether they are.
        blocks: of each edge, which pair of populations it joins; one for all where there are none.
        room: block → how many edges it could have.
        back: block → the block of the way back, where there is one.
    """

    name: str
    kind: str
    nodes: int
    edges: Array
    weights: Array
    signed: bool
    blocks: Array
    room: Mapping[int, int]
    back: Mapping[int, int]

    @property
    def density(self) -> float:
        """Share of the directed connections that could be."""
        return len(self.edges) / (self.nodes * (self.nodes - 1))

    @property
    def expected(self) -> float:
        """Reciprocity if edges lay anywhere within their pair of populations: the mean density of the way back."""
        if not len(self.edges):
            return float("nan")
        counts = {block: int((self.blocks == block).sum()) for block in self.room}
        share = {block: counts[block] / self.room[block] for block in self.room if self.room[block]}
        likely = sum(count * share.get(self.back.get(block, -1), 0.0) for block, count in counts.items())
        return likely / len(self.edges)


def strengths_both_ways(wired: Wired) -> Array:
    """Weights of both directions of each reciprocal pair, [pair, 2], each pair in both orders."""
    there, back = _answers(wired)
    return numpy.stack([wired.weights[there], back[there]], axis=1)


def angle_both_ways(wired: Wired) -> float:
    """Degrees between a network and its transpose, each as a vector over all pairs of neurons: 0 where every connection
    is answered by one as strong. Connections without any way back (from inputs) are left out; NaN if all are."""
    ways = numpy.isin(wired.blocks, list(wired.back))
    if not ways.any():
        return float("nan")
    there, back = _answers(wired)
    alone = wired.weights[ways & ~there]
    nothing = numpy.zeros_like(alone)
    # All places that have a connection or answer one: the connections, then the empty places opposite those alone.
    return float(base.angle(numpy.concatenate([wired.weights[ways], nothing]),
                            numpy.concatenate([back[ways], alone]), axis=0))  # fmt: skip


def _answers(wired: Wired) -> tuple[Array, Array]:
    """Of each edge whether it is answered, and the weight of the answer, 0 where there is none."""
    if not len(wired.edges):
        return numpy.zeros(0, bool), numpy.zeros(0)
    post, pre = wired.edges[:, 0].astype(numpy.int64), wired.edges[:, 1].astype(numpy.int64)
    keys, reverse = post * wired.nodes + pre, pre * wired.nodes + post
    order = numpy.argsort(keys)
    place = numpy.minimum(numpy.searchsorted(keys[order], reverse), len(keys) - 1)
    there = keys[order][place] == reverse
    return there, numpy.where(there, wired.weights[order][place], 0.0)


# Circuits ------------------------------------------------------------------------------------------------------------


def of_circuit(name: str, circuit: Circuit, weights: Mapping[str, Array], share: float) -> Wired:
    """The strongest synapses of a circuit as one network.

    Every unit of every area is a neuron. A synapse from or to a population whose areas are chosen together with those
    of its own joins the same areas; else it comes from (or goes to) every area of the other population.

    Args:
        name: for figures.
        circuit: whose `weights` these are, projection → [area, post, pre]; projections without weights are left out.
        share: of each projection's synapses, the strongest that are kept; zeros are no synapses.
    """
    planned = plan(circuit)
    first, nodes = {}, 0
    for population, entry in circuit.populations.items():
        first[population] = nodes
        nodes += entry.areas * entry.units
    edges, values, blocks, room = [], [], [], {}
    sides: dict[int, tuple[str, str, int, int]] = {}
    for projection, weight in weights.items():
        edge = circuit.projections[projection]
        size = numpy.abs(weight)
        kept = max(1, round(share * size.size))
        limit = numpy.partition(size.ravel(), size.size - kept)[size.size - kept]
        area, post, pre = numpy.nonzero((size >= limit) & (size > 0))
        strength = weight[area, post, pre]
        for target_area, source_area, some in _joined(circuit, planned, edge.source, edge.target, weight.shape[0]):
            chosen = area == some
            here = first[edge.target] + target_area * circuit.populations[edge.target].units + post[chosen]
            there = first[edge.source] + source_area * circuit.populations[edge.source].units + pre[chosen]
            block = len(sides)
            sides[block] = (edge.target, edge.source, target_area, source_area)
            room[block] = weight.shape[1] * weight.shape[2]
            edges.append(numpy.stack([here, there], axis=1))
            values.append(strength[chosen])
            blocks.append(numpy.full(int(chosen.sum()), block))
    ways = {side: block for block, side in sides.items()}
    back = {
        block: ways[other]
        for block, (target, source, a, b) in sides.items()
        if (other := (source, target, b, a)) in ways
    }
    joined = numpy.concatenate(edges) if edges else numpy.zeros((0, 2), int)
    apart = joined[:, 0] != joined[:, 1]
    return Wired(
        name=name, kind="circuit", nodes=nodes, edges=joined[apart],
        weights=numpy.concatenate(values)[apart] if values else numpy.zeros(0), signed=True,
        blocks=numpy.concatenate(blocks)[apart] if blocks else numpy.zeros(0, int), room=room, back=back,
    )  # fmt: skip


def _joined(circuit: Circuit, planned: Plan, source: str, target: str, areas: int) -> list[tuple[int, int, int]]:
    """(area of the target, area of the source, area of the weights) of every copy of a projection's synapses."""
    here, there = circuit.populations[target].areas, circuit.populations[source].areas
    together = planned.routes.get(source) is not None and planned.routes.get(source) == planned.routes.get(target)
    if here > 1 and there > 1 and together:
        return [(area, area, area if areas > 1 else 0) for area in range(here)]
    # Weights have the areas of the one or the other population; each of the other's areas sees the same ones.
    of_target = areas > 1 and areas == here
    return [(a, b, (a if of_target else b) if areas > 1 else 0) for a in range(here) for b in range(there)]


# Real wiring ---------------------------------------------------------------------------------------------------------


def real(folder: str | Path | None = None) -> tuple[list[Wired], list[str]]:
    """Worm and fly, and what to say of those that are not here.

    Args:
        folder: with ``celegans_connectomes.npz`` and ``fly_medulla_fib25.npz``; None looks in NEUROSAL_DATA and the
            cache.
    """
    found, said = [], []
    for name, read in ((WORM, _worm), (FLY, _fly)):
        path = connectome_file(name, folder, shipped=False)
        if path is None:
            said.append(
                f"No {name}.npz in {folder or f'{FOLDER_VARIABLE}={os.environ.get(FOLDER_VARIABLE, chr(39) * 2)}'}: "
                f"set {FOLDER_VARIABLE} to a folder that has it, to see real wiring beside."
            )
            continue
        try:
            with numpy.load(path, allow_pickle=False) as content:
                found += read(content)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as wrong:
            said.append(f"{path} cannot be read as wiring ({type(wrong).__name__}: {wrong}).")
            continue
        said.append(f"Sources, {SOURCES[name]}.")
    return found, said


def _worm(content: Any) -> list[Wired]:
    kinds = (("chem", "chemical", ""), ("gap", "gap", ", gap junctions"))
    return [
        _of_matrix(f"{title}{ending}", kind, content[f"{name}_{part}"].T, signed=False)
        for part, kind, ending in kinds
        for name, title in WORMS.items()
        if f"{name}_{part}" in content
    ]


def _fly(content: Any) -> list[Wired]:
    return [_of_matrix(FLY_TITLE, "fly", (content["weights"] * content["sign"]).T, signed=True)]


def _of_matrix(name: str, kind: str, matrix: Array, *, signed: bool) -> Wired:
    """From [post, pre]; the files have [pre, post]."""
    nodes = len(matrix)
    post, pre = numpy.nonzero(matrix)
    apart = post != pre
    edges = numpy.stack([post[apart], pre[apart]], axis=1)
    return Wired(
        name=name, kind=kind, nodes=nodes, edges=edges, weights=matrix[post[apart], pre[apart]].astype(float),
        signed=signed, blocks=numpy.zeros(len(edges), int), room={0: nodes * (nodes - 1)}, back={0: 0},
    )  # fmt: skip
