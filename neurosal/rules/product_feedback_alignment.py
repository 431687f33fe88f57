"""Product feedback alignment: error returns over a relay, first through fixed synapses, then through plastic ones."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit, Dense, Initialiser, Orthogonal, Own, Population, Projection, Relay, XavierUniform
from neurosal.plasticity import Fixed
from neurosal.rules.base import (
    XAVIER,
    add_feedback,
    add_fixed,
    chain,
    follow_route,
    initialiser,
    kolen_pollack_for,
    own,
    positive,
    refuse,
    rule,
    share,
)


@rule
def pfa(
    circuit: Circuit,
    *,
    expansion: float = 10,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    to_input: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Product feedback alignment: ``δ_relay = B δ_target``, ``e_source = R δ_relay``.

    B is fixed, and ``ΔR = (1/m) Σ_n h_source δ_relayᵀ``. The relay has ρ times as many units as the population it
    hears from. B is Xavier uniform with gain ``√((1 + 1/ρ)/2)``, which makes the expected ``BᵀB`` the identity. Under
    plain SGD ``R - Wᵀ Bᵀ`` only decays, by ``1 - ηλ`` a step, so the path R B turns towards Wᵀ until the angle is
    arctan(1/√ρ). With a density p of both hops the gain is ``√((1 + 1/ρ)/2/p)``, with the same effect on ``BᵀB``, and
    the angle about arctan(1/√(pρ)). Wiring that is not dense has no room for an expansion and takes Kolen-Pollack
    feedback without a relay.

    Args:
        circuit: populations and feedforward projections.
        expansion: ρ.
        init: how R (and fixed feedback) is drawn.

    Returns:
        The circuit with a population ``relay_{projection}`` and two feedback projections for each plastic forward one
        that does not start at an input. A relay has the areas of the population it hears from, and its route.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.pfa(circuits.mlp(3, 4, 2)).populations["relay_hidden1_to_output"]
        Population(size=20, model=Relay())

    Reference:
        Li et al. (2024), "Deep learning without weight symmetry", arXiv 2405.20594.
    """
    place = "rules.pfa"
    numbers = [*positive(f"{place}.expansion", expansion), *share(f"{place}.density", density)]
    refuse([*numbers, *initialiser(f"{place}.init", init)])

    def plastic(circuit: Circuit, forward: str) -> Circuit:
        units = circuit.populations[circuit.projections[forward].target].units
        size = max(1, round(expansion * units))
        return _over_relay(circuit, forward, size, XavierUniform(gain=((1 + units / size) / 2 / density) ** 0.5), init)

    return chain(
        circuit,
        plastic,
        add_fixed(init),
        place=place,
        to_input=to_input,
        keep_feedback=keep_feedback,
        only=only,
        density=density,
    )


@rule
def pfa_o(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    to_input: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Product feedback alignment without expansion, through an orthogonal B.

    The relay is as large as the population it hears from. As `pfa`, with ``BᵀB = I`` exactly: with ``R = Wᵀ Bᵀ`` it
    is backpropagation to rounding, and under decay R B comes to equal Wᵀ. With a density p < 1 the gain is ``√(1/p)``,
    and B is orthogonal only on average.

    Args:
        circuit: populations and feedforward projections.
        init: how R (and fixed feedback) is drawn.

    Returns:
        The circuit with relays as `pfa` adds them.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.pfa_o(circuits.mlp(3, 4, 2)).projections["output_to_relay_hidden1_to_output"].weights
        Own(init=Orthogonal())

    Reference:
        Li et al. (2024), "Deep learning without weight symmetry", arXiv 2405.20594.
    """
    refuse([*initialiser("rules.pfa_o.init", init), *share("rules.pfa_o.density", density)])

    def plastic(circuit: Circuit, forward: str) -> Circuit:
        units = circuit.populations[circuit.projections[forward].target].units
        return _over_relay(circuit, forward, units, Orthogonal(gain=density**-0.5), init)

    return chain(
        circuit,
        plastic,
        add_fixed(init),
        place="rules.pfa_o",
        to_input=to_input,
        keep_feedback=keep_feedback,
        only=only,
        density=density,
    )


def _over_relay(circuit: Circuit, forward: str, size: int, first: Initialiser, second: Initialiser) -> Circuit:
    """The circuit with a relay of `size` units on the way back of a projection, its hops drawn from these two."""
    entry = circuit.projections[forward]
    plasticity = kolen_pollack_for(entry)
    if not isinstance(entry.wiring, Dense):
        return add_feedback(circuit, forward, own(circuit, forward, second), plasticity)
    relay = circuit.free_name(f"relay_{forward}")
    circuit = circuit.with_populations(
        **{relay: Population(size=size, model=Relay(), areas=circuit.populations[entry.target].areas)}
    )
    hops = [(entry.target, relay, first, Fixed()), (relay, entry.source, second, plasticity)]
    for source, target, init, change in hops:
        weights: Own = own(circuit, forward, init)
        circuit = circuit.with_projections(
            **{
                circuit.free_name(f"{source}_to_{target}"): Projection(
                    source=source, target=target, pathway="feedback", weights=weights, plasticity=change
                )
            }
        )
    return follow_route(circuit, relay, entry.target)
