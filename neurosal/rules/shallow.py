"""Shallow: no feedback at all, so only what ends at the output learns."""

from __future__ import annotations

from neurosal.graph import Circuit
from neurosal.rules.base import no_feedback, refuse, rule


@rule
def shallow(circuit: Circuit) -> Circuit:
    """The baseline without credit assignment: ``e = 0`` below the output, so hidden weights stay as they were drawn.

    Every table of a rule shows it: what a rule gains over it is what its feedback is worth.

    Returns:
        The circuit as it is.

    Raises:
        CircuitError: for a circuit that has feedback.

    Example:
        >>> from neurosal.graph import Circuit
        >>> shallow(Circuit(name="empty"))
        Circuit('empty', 0 populations, 0 projections)

    Reference:
        The baseline of Launay et al. (2020), arXiv 2006.12878.
    """
    refuse(no_feedback("rules.shallow", circuit))
    return circuit
