"""Sign-symmetric feedback with fixed random magnitudes."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit, Initialiser
from neurosal.rules.base import XAVIER, add_signs, chain, initialiser, refuse, rule


@rule
def frsf(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    to_input: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Fixed random-magnitude sign-concordant feedback (frSF): ``e_source = Σ |M| sign(W)ᵀ δ_target``, M drawn once.

    The angle that probes report is that of the feedback that is used, |M| sign(W)ᵀ; with M and W from one uniform
    distribution it starts at arccos 3/4 = 41.4°.

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
        >>> rules.frsf(circuits.mlp(3, 4, 2)).projections["output_to_hidden1"].weights
        SignOf(of='hidden1_to_output', magnitudes='fixed')

    Reference:
        Liao, Leibo & Poggio (2016), "How important is weight symmetry in backpropagation?", arXiv 1510.05067;
        Moskovitz,
        Litwin-Kumar & Abbott (2018), arXiv 1812.06488.
    """
    refuse(initialiser("rules.frsf.init", init))
    signs = add_signs(magnitudes="fixed", init=init)
    return chain(
        circuit,
        signs,
        signs,
        place="rules.frsf",
        to_input=to_input,
        keep_feedback=keep_feedback,
        only=only,
        density=density,
    )
