"""Paths that are no matrices of units and no kernels, as what each unit of the target sends back to each of the source.

Forward weights and feedback are laid out in different ways where feedback comes directly from the output to a
population with places. What both do to an error at one unit of the target can be compared in any case: one backward
sweep of as many samples as the target has units, through the functions with which the network itself learns. Linear:
what units in between do to the signal is left out, as everywhere.

Letters: R replica, U unit of the target, S unit of the source.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurosal.engine.network import Network
from neurosal.engine.wiring import Kernel, Reversed, make_kernel
from neurosal.lower.paths import Pair, Route


def responses(network: Network, pair: Pair) -> tuple[Tensor, Tensor]:
    """What an error at each unit of the target becomes at the source, along the forward path and along the feedback:
    both [R, 1, U, S]; of a target with places [R, 1, channel of the target, place · S]."""
    circuit = network.circuit
    source, target = circuit.populations[pair.source], circuit.populations[pair.target]
    eye = torch.eye(target.units, dtype=network.dtype, device=network.device).unflatten(1, target.extent)
    lead = (target.units,) if network.replicas == 1 else (network.replicas, target.units)
    rows = eye.expand(*lead, *target.extent)
    # Of all routes between two populations at once: as much as a sweep, however many there are.
    there = _arrived(network, pair.forward, rows, at=pair.source, start=pair.target, pulled=True)
    back = _arrived(network, pair.feedback, rows, at=pair.source, start=pair.target, pulled=False)
    shape = (network.replicas, 1, target.extent[0], -1) if len(target.extent) > 1 else (
        network.replicas, 1, target.units, source.units
    )  # fmt: skip
    return there.reshape(shape), back.reshape(shape)


def _arrived(network: Network, routes: tuple[Route, ...], rows: Tensor, *, at: str, start: str, pulled: bool) -> Tensor:
    """Rows at one end, passed along all these routes from the other."""
    edges = dict.fromkeys(name for route in routes for name in route)
    known: dict[str, Tensor] = {start: rows}

    def arrived(population: str) -> Tensor:
        if population not in known:
            found: Tensor | None = None
            for name in edges:
                edge = network.circuit.projections[name]
                here, before = (edge.source, edge.target) if pulled else (edge.target, edge.source)
                if here == population:
                    more = _passed(network, name, arrived(before), pulled=pulled)
                    found = more if found is None else found + more
            assert found is not None, f"nothing arrives at {population}"
            known[population] = found
        return known[population]

    return arrived(at)


def _passed(network: Network, name: str, rows: Tensor, *, pulled: bool) -> Tensor:
    """Rows passed along one projection, or pulled back through it."""
    weights = network.weights
    # In the type of the weights, whatever the network computes in.
    stored = make_kernel(weights.stored_wiring(name), *weights.extents(name), weights.form(name))
    kernel: Kernel = Reversed(stored) if name in network.plan.reversed else stored
    weight = None
    if not network.circuit.projections[name].wiring.weightless:
        weight = weights.inner(name, weights.oriented(name, weights[name]))  # signs with their magnitudes
    found: Tensor = (kernel.pull if pulled else kernel.apply)(weight, rows, None)  # type: ignore[arg-type]
    return found
