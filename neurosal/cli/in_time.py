"""What `show` and `check` say of circuits in continuous time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from rich.console import RenderableType

from neurosal.checks.memory import in_words as in_bytes
from neurosal.checks.synapses import estimate_in_time, synapse_count
from neurosal.cli.listing import in_words, table
from neurosal.graph import Circuit, Own, Projection
from neurosal.graph.projection import Pathway


def time_tables(circuit: Circuit) -> Iterable[RenderableType]:
    """Populations, then projections by pathway, then how many units and synapses there are."""
    yield f"{circuit!r}\n"
    rows = table("population", "units>", "model")
    for name, population in circuit.populations.items():
        rows.add_row(name, "×".join(f"{size:,}" for size in population.extent), in_words(population.model))
    yield rows
    for pathway in get_args(Pathway):
        edges = circuit.select(pathway=pathway)
        if edges:
            yield ""
            columns = ("from", "to", "wiring", "synapse", "weights", "delay (ms)", "plasticity", "synapses>")
            rows = table(pathway, *columns)
            for name, edge in edges.items():
                rows.add_row(name, edge.source, edge.target, *_said(edge), f"{synapse_count(circuit, name):,}")
            yield rows
    needs = estimate_in_time(circuit)
    parts = ", ".join(f"{part} {in_bytes(size)}" for part, size in needs.items())
    yield f"\n{in_short(circuit)}; memory of a replica: {parts}"


def in_short(circuit: Circuit) -> str:
    """How large it is.

    Example:
        >>> from neurosal.graph import LIF, Circuit, Population
        >>> in_short(Circuit(populations={"cells": Population(size=3, model=LIF())}))
        '1 populations, 0 projections, 3 units, 0 synapses in continuous time'
    """
    units = sum(population.units for population in circuit.populations.values())
    synapses = sum(synapse_count(circuit, name) for name in circuit.projections)
    counts = f"{len(circuit.populations)} populations, {len(circuit.projections)} projections"
    return f"{counts}, {units:,} units, {synapses:,} synapses in continuous time"


def _said(edge: Projection) -> tuple[str, ...]:
    """Wiring, synapse, weights, delay and plasticity of a projection, in words."""
    weights = edge.weights
    drawn = in_words(weights.init) if isinstance(weights, Own) else f"{weights.kind} of {getattr(weights, 'of', '')}"
    delay = f"{edge.delay_ms:g}" if isinstance(edge.delay_ms, (int, float)) else in_words(edge.delay_ms)
    changes = [in_words(edge.plasticity), *([] if edge.short_term is None else [in_words(edge.short_term)])]
    synapse = "" if edge.synapse is None else in_words(edge.synapse)
    return in_words(edge.wiring), synapse, drawn + (f", {edge.sign}" if edge.sign else ""), delay, ", ".join(changes)
