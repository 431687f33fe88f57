"""Direct random target projection: the target itself, in place of the error, reaches every population."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit, Initialiser
from neurosal.rules.base import XAVIER, rule
from neurosal.rules.direct import Space, direct


@rule
def drtp(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    space: Space = "units",
    kernel: int = 4,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Direct random target projection: ``e_p = B_p y`` with y the one-hot label (or the target's values), B_p fixed.

    Hidden populations need not wait for the output: the label stands in for the sign of the error. Only the weights
    into the output see an error. B has no preferred sign, so neither has the way in which y enters. What carries no
    error has no angle to forward weights: probes of symmetry leave it out.

    Args:
        circuit: populations and feedforward projections, with one output.
        init: how feedback weights are drawn.
        keep_feedback: accept a circuit with feedback, and serve only the populations that it does not reach.
        only: names of the populations to serve; None for all.

    Returns:
        The circuit with fixed projections ``{output}_to_{population}`` that carry the target.

    Raises:
        CircuitError: for a circuit that has feedback already or not exactly one output, and for unknown or wrong
            options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.drtp(circuits.mlp(3, 4, 2)).projections["output_to_hidden1"].carries
        'target'

    Reference:
        Frenkel, Lefebvre & Bol (2021), "Learning without feedback: fixed random learning signals allow for feedforward
        training of deep neural networks", Frontiers in Neuroscience 15; arXiv 1909.01311.
    """
    return direct(
        circuit,
        init,
        place="rules.drtp",
        keep_feedback=keep_feedback,
        only=only,
        density=density,
        carries="target",
        space=space,
        kernel=kernel,
    )
