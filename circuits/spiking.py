"""Input, one recurrent population of spiking units, read-out: what both circuits of e-prop are made of."""

from __future__ import annotations

from neurosal.graph import Circuit, Jump, Normal, Own, Population, Projection
from neurosal.graph.projection import Pathway
from neurosal.plasticity import Delta


def one_population(
    name: str,
    *,
    source: Population,
    hidden: Population,
    readout: Population,
    input_gain: float,
    recurrent_gain: float,
    readout_gain: float,
) -> Circuit:
    """The three populations and the projections between them, all of which learn. It has no feedback: a rule adds that.

    Args:
        input_gain, recurrent_gain, readout_gain: weights are normal with mean 0 and this standard deviation, in mV,
            over the square root of the units that they come from.
    """

    def edge(start: str, end: str, gain: float, units: int, pathway: Pathway = "feedforward") -> Projection:
        weights = Own(init=Normal(std=gain * units**-0.5))
        return Projection(
            source=start, target=end, pathway=pathway, weights=weights, synapse=Jump(), plasticity=Delta()
        )

    return Circuit(
        name=name,
        populations={"input": source, "hidden": hidden, "output": readout},
        projections={
            "input_to_hidden": edge("input", "hidden", input_gain, source.units),
            "hidden_to_hidden": edge("hidden", "hidden", recurrent_gain, hidden.units, "lateral"),
            "hidden_to_output": edge("hidden", "output", readout_gain, hidden.units),
        },
    )
