"""Feedback alignment: error returns through fixed random synapses of its own."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit, Initialiser
from neurosal.rules.base import XAVIER, add_fixed, chain, initialiser, refuse, rule


@rule
def fa(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    to_input: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Feedback alignment: ``e_source = Σ B δ_target`` with B random and fixed; forward weights come to align with it.

    Args:
        circuit: populations and feedforward projections.
        init: how feedback weights are drawn.

    Returns:
        The circuit with a fixed feedback projection ``{target}_to_{source}`` for each forward one that does not start
        at an input; constant skips get the same constant back.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.fa(circuits.mlp(3, 4, 2)).projections["output_to_hidden1"].plasticity
        Fixed()

    Reference:
        Lillicrap et al. (2016), "Random synaptic feedback weights support error backpropagation for deep learning",
        arXiv 1411.0247.
    """
    refuse(initialiser("rules.fa.init", init))
    return chain(
        circuit,
        add_fixed(init),
        add_fixed(init),
        place="rules.fa",
        to_input=to_input,
        keep_feedback=keep_feedback,
        only=only,
        density=density,
    )
