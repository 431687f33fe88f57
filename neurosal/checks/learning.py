"""Whether a circuit can learn at all with the loss that it is given."""

from __future__ import annotations

from neurosal.errors import Problem
from neurosal.graph.circuit import Circuit
from neurosal.graph.wiring import Router


def nothing_changes(circuit: Circuit) -> Problem | None:
    """The problem that nothing in this circuit changes without an error, or None where something does.

    Example:
        >>> from neurosal import circuits
        >>> print(nothing_changes(circuits.mlp(4, 3, 2)).found)
        delta, which learns from an error
    """
    waiting: set[str] = set()
    for name, edge in circuit.projections.items():
        kind, plasticity = edge.plasticity.kind, edge.plasticity
        if isinstance(edge.wiring, Router) and plasticity.plastic:
            return None
        if circuit.learns(name):
            if not any(need.endswith("error") for need in plasticity.needs):
                return None
            waiting.add(f"{kind}, which learns from an error")
        elif plasticity.while_driven and edge.pathway != "modulatory":
            waiting.add(f"{kind}, which acts while noise drives its target")
    return Problem(
        place="loss",
        expected="plasticity that needs no error (the loss is none)",
        found="; ".join(sorted(waiting)) or "no plastic projection",
        remedy="Choose a loss, give a projection plasticity such as hebbian or oja, or drive a population with noise "
        "(circuit.driven_at).",
    )
