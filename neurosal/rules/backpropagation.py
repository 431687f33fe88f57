"""Backpropagation: error returns through the transpose of the forward weights."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit
from neurosal.rules.base import add_tied, chain, rule


@rule
def bp(
    circuit: Circuit, *, to_input: bool = False, keep_feedback: bool = False, only: Collection[str] | None = None
) -> Circuit:
    """Backpropagation, the baseline: ``e_source = Σ Wᵀ δ_target``.

    This is weight transport: feedback reads the forward weights at every moment.

    Args:
        circuit: populations and feedforward projections; parallel edges, skips and fixed projections all pass error
            back.

    Returns:
        The circuit with a feedback projection ``{target}_to_{source}``, `Transpose` of its forward one, for each that
        does not start at an input.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.bp(circuits.mlp(3, 4, 2)).projections["output_to_hidden1"].weights
        Transpose(of='hidden1_to_output')

    Reference:
        Rumelhart, Hinton & Williams (1986), "Learning representations by back-propagating errors", Nature 323.
    """
    return chain(
        circuit, add_tied(), add_tied(), place="rules.bp", to_input=to_input, keep_feedback=keep_feedback, only=only
    )
