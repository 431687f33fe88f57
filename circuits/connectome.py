"""Wiring of worm and fly as a circuit of rates in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.connectomes import load_connectome
from neurosal.errors import CircuitError, Problem
from neurosal.graph import (
    Circuit,
    Continuous,
    EdgeList,
    Given,
    LeakyRate,
    OneToOne,
    Own,
    Population,
    Projection,
    Uniform,
    Wiring,
)
from neurosal.graph.value import shown

Array = np.ndarray[Any, Any]


def connectome(
    of: str = "cook2019_herm",
    *,
    gap_junctions: bool = True,
    radius: float = 0.9,
    tau_ms: float = 10.0,
    folder: str | Path | None = None,
    name: str = "connectome",
) -> Circuit:
    """Every neuron of a worm, or cell type of the fly's medulla, as a rate, and every connection that was counted.

    ``τ dr_i/dt = -r_i + tanh(Σ_j w_ij r_j + Σ_j g_ij (r_j - r_i))``: chemical synapses w, as large as they were counted
    and with their sign where it is known (the worm's are not: all are positive), and gap junctions g, which pull both
    sides together. Both are divided by one number, so that the largest eigenvalue of the whole matrix is as large as
    `radius`: below 1 the circuit comes to rest. Neurons stand in the order of ``load_connectome(of).neurons``.

    Args:
        of: which, see `neurosal.data.connectomes.load_connectome`. The worm's ship with the package, the fly's do not.
        gap_junctions: whether there are g.
        radius: of the spectrum.
        tau_ms: τ.
        folder: with the files of wiring; None looks where data sets are looked for.
        name: of the circuit.

    Raises:
        DataError: for wiring that is not there.
        CircuitError: unless `radius` is above 0.

    Example:
        >>> circuit = connectome("white1986")
        >>> circuit.populations["neurons"].units, len(circuit.projections["chemical"].wiring.edges)
        (309, 2386)

    Reference:
        White et al. (1986), doi 10.1098/rstb.1986.0056; Varshney et al. (2011), arXiv 0907.2373; Cook et al. (2019),
        doi 10.1038/s41586-019-1352-7; Witvliet et al. (2021), doi 10.1038/s41586-021-03778-8; of the fly, Takemura et
        al. (2015), doi 10.1073/pnas.1509820112, and Lappalainen et al. (2024), doi 10.1038/s41586-024-07939-3.
    """
    if not radius > 0:
        raise CircuitError(Problem(place="radius", expected="a number above 0", found=shown(radius)))
    wiring = load_connectome(of, folder=folder)
    chemical, gap = wiring.chemical, wiring.gap if gap_junctions else None
    if gap is not None:
        gap = gap - np.diag(np.diag(gap))  # a neuron has none with itself
    whole = chemical if gap is None else chemical + gap - np.diag(gap.sum(1))
    scale = radius / float(np.abs(np.linalg.eigvals(whole)).max())
    projections = {"chemical": _projection(*_edges(chemical, scale))}
    if gap is not None and gap.any():
        projections["gap"] = _projection(*_edges(gap, scale))
        projections["gap_own"] = _projection(OneToOne(), (-scale * gap.sum(1)).tolist())
    model = LeakyRate(tau_ms=tau_ms, activation="tanh", start=Uniform(low=-0.5, high=0.5))
    return Circuit(
        name=name, populations={"neurons": Population(size=len(whole), model=model)}, projections=projections
    )


def _edges(matrix: Array, scale: float) -> tuple[EdgeList, list[float]]:
    """The connections of a matrix [post, pre], as (pre, post), and their weights."""
    post, pre = np.nonzero(matrix)
    wiring = EdgeList(edges=tuple(zip(pre.tolist(), post.tolist(), strict=True)), allow_autapses=True)
    return wiring, (scale * matrix[post, pre]).tolist()


def _projection(wiring: Wiring, weights: list[float]) -> Projection:
    return Projection(
        source="neurons",
        target="neurons",
        pathway="lateral",
        wiring=wiring,
        weights=Own(init=Given(values=tuple(weights))),
        synapse=Continuous(),
    )
