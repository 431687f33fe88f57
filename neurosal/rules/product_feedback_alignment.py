"""Product feedback alignment: error returns over a relay, first through fixed synapses, then through plastic ones."""

from __future__ import annotations

from collections.abc import Callable, Collection

from neurosal.graph import Circuit, Initialiser, Orthogonal, Own, Projection, XavierUniform
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
from neurosal.rules.space import relay_between, relay_of


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
    the angle about arctan(1/√(pρ)).

    Along a convolution the relay has ρ times the channels of the population it hears from, at the same places: B is a
    1×1 convolution (its fans are channels) and R has the kernel of W, so that ``R - Bᵀ∘W`` decays, B acting on the
    channels of W. Groups are kept by both. One-to-one wiring has no room for an expansion and takes Kolen-Pollack
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
        return _over_relay(
            circuit, forward, expansion, lambda ratio: XavierUniform(gain=((1 + ratio) / 2 / density) ** 0.5), init
        )

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
        return _over_relay(circuit, forward, 1, lambda _: Orthogonal(gain=density**-0.5), init)

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


def _over_relay(
    circuit: Circuit, forward: str, expansion: float, first: Callable[[float], Initialiser], second: Initialiser
) -> Circuit:
    """The circuit with a relay on the way back of a projection.

    Args:
        first: initialiser of the first hop, from the ratio of its fans (how many units a relay unit hears from, over
            how many relay units one of those reaches).
        second: that of the second.
    """
    entry, place = circuit.projections[forward], circuit.populations
    target, plasticity = place[entry.target], kolen_pollack_for(entry)
    found = relay_between(entry, target, expansion)
    if found is None:
        return add_feedback(circuit, forward, own(circuit, forward, second), plasticity)
    extent, into, out_of = found
    heard, reached = into.fans(extent, target.extent)
    relay = circuit.free_name(f"relay_{forward}")
    circuit = circuit.with_populations(**{relay: relay_of(extent, target.areas)})
    hops = [
        (entry.target, relay, into, first(heard / reached), Fixed()),
        (relay, entry.source, out_of, second, plasticity),
    ]
    for source, target_name, wiring, init, change in hops:
        weights: Own = own(circuit, forward, init)
        circuit = circuit.with_projections(
            **{
                circuit.free_name(f"{source}_to_{target_name}"): Projection(
                    source=source,
                    target=target_name,
                    pathway="feedback",
                    wiring=wiring,
                    weights=weights,
                    plasticity=change,
                )
            }
        )
    return follow_route(circuit, relay, entry.target)
