"""Variants of a network: other plasticity on the same weights and the same memory of optimiser and plasticity."""

from __future__ import annotations

import copy
from collections.abc import Collection

from neurosal.engine.compiled import TracedSteps
from neurosal.engine.network import Network
from neurosal.graph import Circuit


def variant(network: Network, circuit: Circuit, held: Collection[str] = ()) -> Network:
    """A twin that learns in the network's place: weights, states of optimiser and plasticity, routers and frozen
    replicas are those of the network.

    Args:
        circuit: with the populations and projections of the network's circuit, or some of them; plasticity may differ.
        held: routers that do not change at all, not even their running mean and usage.
    """
    other = network.twin(circuit)
    for name, state in list(other._routers.items()):
        plasticity = circuit.projections[name].plasticity
        if name in held or plasticity != state.plasticity:
            own = copy.copy(state)
            own.plasticity, own.held = plasticity, name in held
            other._routers[name] = own
    other._learner.states = network._learner.states
    other._learner.plasticity_states = network._learner.plasticity_states
    other._state.frozen = network._state.frozen
    if network._traced is not None:
        other.way, other._traced = network.way, TracedSteps(network.way)
    other.together = None if network.together is None else network.together.of(other)
    return other
