"""Sign-symmetric feedback with uniform magnitudes: only the signs of forward weights are transported."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit
from neurosal.rules.base import add_signs, chain, positive, refuse, rule


@rule
def usf(
    circuit: Circuit,
    *,
    magnitude: float | None = None,
    density: float = 1.0,
    to_input: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Uniform sign-concordant feedback (uSF): ``e_source = Σ s sign(W)ᵀ δ_target`` with one magnitude s.

    Signs of weights are transported at every moment, magnitudes never. At the start, with W uniform, the angle between
    B and Wᵀ is 30°: its cosine is √3/2. Where a weight is exactly 0, so is its feedback.

    Args:
        circuit: populations and feedforward projections; signs of projections that never change are transported too.
        magnitude: s; None takes the standard deviation of Xavier initialisation.

    Returns:
        The circuit with a feedback projection ``{target}_to_{source}``, `SignOf` its forward one, for each that does
        not start at an input; constant skips get the same constant back.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.usf(circuits.mlp(3, 4, 2)).projections["output_to_hidden1"].weights
        SignOf(of='hidden1_to_output')

    Reference:
        Liao, Leibo & Poggio (2016), "How important is weight symmetry in backpropagation?", arXiv 1510.05067;
        Xiao et al. (2018), "Biologically-plausible learning algorithms can scale to large datasets", arXiv 1811.03567.
    """
    refuse([] if magnitude is None else positive("rules.usf.magnitude", magnitude))
    signs = add_signs(magnitude=magnitude)
    return chain(
        circuit,
        signs,
        signs,
        place="rules.usf",
        to_input=to_input,
        keep_feedback=keep_feedback,
        only=only,
        density=density,
    )
