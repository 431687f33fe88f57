"""Direct Kolen-Pollack: direct feedback changes by the product of what it joins."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit, Initialiser
from neurosal.plasticity import KolenPollack
from neurosal.rules.base import XAVIER, kolen_pollack_for, rule
from neurosal.rules.direct import Space, direct


@rule
def dkp(
    circuit: Circuit,
    *,
    init: Initialiser = XAVIER,
    density: float = 1.0,
    space: Space = "units",
    kernel: int = 4,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Direct Kolen-Pollack: ``e_p = B_p δ_output`` and ``ΔB_p = (1/m) Σ_n h_p δ_outputᵀ``.

    Direct feedback as in `dfa`, whose synapses change by the activity of the population where they end and the error
    of the output where they start, with the decay of all weights. Into the last hidden population this is `kp`, and
    W - Bᵀ shrinks by ``1 - ηλ`` a step; further below B_p follows what the forward path does on average. Rate and
    reduction are those of the first plastic projection into the output.

    Args:
        circuit: populations and feedforward projections, with one output.
        init: how feedback weights are drawn.
        keep_feedback: accept a circuit with feedback, and serve only the populations that it does not reach.
        only: names of the populations to serve; None for all.

    Returns:
        The circuit with plastic projections ``{output}_to_{population}``.

    Raises:
        CircuitError: for a circuit that has feedback already or not exactly one output, and for unknown or wrong
            options.

    Example:
        >>> from neurosal import circuits, rules
        >>> rules.dkp(circuits.mlp(3, 4, 2)).projections["output_to_hidden1"].plasticity
        KolenPollack()

    Reference:
        Webster, Choi & Ahn (2021), "Learning the connections in direct feedback alignment", submission to ICLR,
        OpenReview zgGmAx9ZcY.
    """
    return direct(
        circuit,
        init,
        place="rules.dkp",
        keep_feedback=keep_feedback,
        only=only,
        density=density,
        space=space,
        kernel=kernel,
        plasticity=lambda entry: KolenPollack() if entry is None else kolen_pollack_for(entry),
    )
