"""Kolen-Pollack: feedback synapses change by the same local product as the forward ones, and come to equal their
transpose.
"""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit, Copy, Initialiser
from neurosal.rules.base import (
    XAVIER,
    add_feedback,
    add_fixed,
    chain,
    initialiser,
    kolen_pollack_for,
    own,
    refuse,
    rule,
)


@rule
def kp(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    to_input: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Kolen-Pollack from a random start: ``e_source = Σ B δ_target`` and ``ΔB = (1/m) Σ_n h_source δ_targetᵀ = ΔWᵀ``.

    No synapse reads another: with equal weight decay λ, ``W - Bᵀ`` shrinks by ``1 - ηλ`` a step under plain SGD;
    without decay it stays. Feedback takes rate and reduction from its forward projection. Forward projections that
    never change get feedback that never changes.

    Args:
        circuit: populations and feedforward projections.
        init: how feedback weights are drawn.

    Returns:
        The circuit with a feedback projection ``{target}_to_{source}`` for each forward one that does not start at an
        input.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.kp(circuits.mlp(3, 4, 2)).projections["output_to_hidden1"].plasticity
        KolenPollack()

    Reference:
        Kolen & Pollack (1994), "Backpropagation without weight transport"; Akrout et al. (2019), arXiv 1904.05391.
    """
    refuse(initialiser("rules.kp.init", init))

    def plastic(circuit: Circuit, forward: str) -> Circuit:
        return add_feedback(
            circuit, forward, own(circuit, forward, init), kolen_pollack_for(circuit.projections[forward])
        )

    return chain(
        circuit,
        plastic,
        add_fixed(init),
        place="rules.kp",
        to_input=to_input,
        keep_feedback=keep_feedback,
        only=only,
        density=density,
    )


@rule
def kp_tied(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    to_input: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Kolen-Pollack that starts as the transpose, ``B(0) = W(0)ᵀ``: weight transport at birth.

    With equal decay B stays Wᵀ, so this is backpropagation in other words; a table that shows it also shows `kp`.

    Args:
        circuit: populations and feedforward projections.
        init: how feedback weights of fixed forward projections are drawn (those of plastic ones are copied).

    Returns:
        The circuit with a feedback projection ``{target}_to_{source}`` for each forward one that does not start at an
        input.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.kp_tied(circuits.mlp(3, 4, 2)).projections["output_to_hidden1"].weights
        Copy(of='hidden1_to_output')

    Reference:
        Kolen & Pollack (1994), "Backpropagation without weight transport"; Akrout et al. (2019), arXiv 1904.05391.
    """
    refuse(initialiser("rules.kp_tied.init", init))

    def plastic(circuit: Circuit, forward: str) -> Circuit:
        return add_feedback(circuit, forward, Copy(of=forward), kolen_pollack_for(circuit.projections[forward]))

    return chain(
        circuit,
        plastic,
        add_fixed(init),
        place="rules.kp_tied",
        to_input=to_input,
        keep_feedback=keep_feedback,
        only=only,
        density=density,
    )
