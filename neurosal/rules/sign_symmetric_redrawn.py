"""Sign-symmetric feedback with random magnitudes that are drawn anew for every batch."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit, Initialiser
from neurosal.rules.base import XAVIER, add_signs, chain, initialiser, refuse, rule


@rule
def brsf(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    to_input: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Batchwise random-magnitude sign-concordant feedback (brSF): ``e_source = Σ |M_t| sign(W)ᵀ δ_target``, M_t new at
    every training step t.

    M_t follows from (seed, projection, t), so that a resumed run and a replica alone meet the same. Between steps
    weights and probes show the magnitudes of the step to come.

    Args:
        circuit: populations and feedforward projections; signs of projections that never change are transported too.
        init: how M is drawn.

    Returns:
        The circuit with a feedback projection ``{target}_to_{source}``, `SignOf` its forward one, for each that does
        not start at an input; constant skips get the same constant back.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.brsf(circuits.mlp(3, 4, 2)).projections["output_to_hidden1"].weights
        SignOf(of='hidden1_to_output', magnitudes='redrawn')

    Reference:
        Liao, Leibo & Poggio (2016), "How important is weight symmetry in backpropagation?", arXiv 1510.05067;
        Moskovitz,
        Litwin-Kumar & Abbott (2018), arXiv 1812.06488.
    """
    refuse(initialiser("rules.brsf.init", init))
    signs = add_signs(magnitudes="redrawn", init=init)
    return chain(
        circuit,
        signs,
        signs,
        place="rules.brsf",
        to_input=to_input,
        keep_feedback=keep_feedback,
        only=only,
        density=density,
    )
