"""Direct feedback alignment: the output's error reaches every population through fixed random synapses."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit, Initialiser
from neurosal.rules.base import XAVIER, rule
from neurosal.rules.direct import Space, direct


@rule
def dfa(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    space: Space = "units",
    kernel: int = 4,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Direct feedback alignment: ``e_p = B_p δ_output`` for every population p that has a plastic input, and no other
    feedback.

    Args:
        circuit: populations and feedforward projections, with one output.
        init: how feedback weights are drawn.
        keep_feedback: accept a circuit with feedback, and serve only the populations that it does not reach.
        only: names of the populations to serve; None for all.

    Returns:
        The circuit with fixed projections ``{output}_to_{population}``.

    Raises:
        CircuitError: for a circuit that has feedback already or not exactly one output, and for unknown or wrong
            options.

    Example:
        >>> from neurosal import circuits, rules
        >>> list(rules.dfa(circuits.mlp(3, 4, 4, 2)).select(pathway="feedback"))
        ['output_to_hidden1', 'output_to_hidden2']

    Reference:
        Nøkland (2016), "Direct feedback alignment provides learning in deep neural networks", arXiv 1609.01596; at
        scale arXiv 2006.12878.
    """
    return direct(
        circuit,
        init,
        place="rules.dfa",
        keep_feedback=keep_feedback,
        only=only,
        density=density,
        space=space,
        kernel=kernel,
    )
