"""E-prop: every spiking population hears the read-out's error at every step, and nothing of what it did to others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from neurosal.graph import Circuit, Dense, Initialiser, Own, Projection
from neurosal.plasticity import Fixed
from neurosal.rules.base import (
    XAVIER,
    add_tied,
    chain,
    flag,
    initialiser,
    kolen_pollack_for,
    learning_inputs,
    names,
    no_feedback,
    one_of,
    passing_reset,
    refuse,
    rule,
)

Feedback = Literal["symmetric", "random", "adaptive"]


@rule
def eprop(
    circuit: Circuit,
    *,
    feedback: Feedback = "symmetric",
    init: Initialiser = XAVIER,
    through_reset: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """E-prop: ``ΔW_ji = -η Σ_t L_j ē_ji`` with the learning signal ``L = B (y - y*)`` of the read-out on a feedback
    projection of its own, and the eligibility trace ``ē`` of the synapse. No error travels along recurrent synapses.

    Args:
        circuit: populations in time (`TimedSource`, `LIF`, `AdaptiveLIF`, `TimedReadout`) and their projections.
        feedback: B: "symmetric", at every moment the transpose of the read-out's weights (weight transport), and for a
            population that the read-out does not hear of those along the way; "random", drawn and fixed; "adaptive",
            drawn, then changed by the product that changes the read-out's weights, as in Kolen & Pollack (decay of the
            optimiser brings both together).
        init: how B is drawn.
        through_reset: the eligibility trace knows of the jump by which a spike resets its unit; the paper's does not.
        keep_feedback: accept a circuit with feedback, and serve only the populations that it does not reach.
        only: names of the populations to serve; None for all.

    Returns:
        The circuit with a feedback projection ``{output}_to_{population}`` for each population with a plastic input.

    Raises:
        CircuitError: for a circuit that has feedback already or not exactly one output, and for unknown or wrong
            options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.eprop(circuits.row_reader(), feedback="random").projections["output_to_hidden"].pathway
        'feedback'

    Reference:
        Bellec et al. (2020), "A solution to the learning dilemma for recurrent networks of spiking neurons", Nature
        Communications 11:3625.
    """
    place = "rules.eprop"
    refuse(
        [
            *one_of(f"{place}.feedback", feedback, ("symmetric", "random", "adaptive")),
            *initialiser(f"{place}.init", init),
            *flag(f"{place}.through_reset", through_reset),
            *flag(f"{place}.keep_feedback", keep_feedback),
            *names(f"{place}.only", only, circuit.populations),
            *no_feedback(place, circuit, keep_feedback is True),
        ]
    )
    if through_reset:
        circuit = passing_reset(circuit)
    if feedback == "symmetric":
        chosen = circuit.select(pathway="feedforward")
        served = None if only is None else [name for name, entry in chosen.items() if entry.source in only]
        return chain(
            circuit, add_tied(), add_tied(), place=place, to_input=False, keep_feedback=keep_feedback, only=served
        )
    output = circuit.output
    reached = {entry.target for entry in circuit.select(pathway="feedback").values()}
    for name in circuit.populations:
        if name == output or name in reached or (only is not None and name not in only):
            continue
        if learning_inputs(circuit, name) or _learns_within(circuit, name):
            circuit = _heard(circuit, name, feedback, init)
    return circuit


def _learns_within(circuit: Circuit, population: str) -> bool:
    return any(entry.plasticity.plastic for entry in circuit.select(pathway="lateral", target=population).values())


def _heard(circuit: Circuit, population: str, feedback: Feedback, init: Initialiser) -> Circuit:
    """The circuit in which a population hears the read-out's error."""
    output = circuit.output
    forward = circuit.select(pathway="feedforward", source=population, target=output)
    into = next(iter(forward.values()), None) or next(
        (circuit.projections[name] for name in learning_inputs(circuit, output)), None
    )
    learns = feedback == "adaptive" and into is not None and into.plasticity.plastic
    edge = Projection(
        source=output,
        target=population,
        pathway="feedback",
        wiring=Dense(),
        weights=Own(init=init),
        plasticity=kolen_pollack_for(into) if learns and into is not None else Fixed(),
    )
    return circuit.with_projections(**{circuit.free_name(f"{output}_to_{population}"): edge})
