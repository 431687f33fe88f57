"""The whole program of a projection's synapses: short-term plasticity, transmission, plasticity, bounds of its sign."""

from __future__ import annotations

from dataclasses import replace

from neurosal.errors import CircuitError, Problem
from neurosal.graph import Program, Projection


def program_of(name: str, edge: Projection) -> Program:
    """What happens at the synapses of a projection, in the order in which it happens.

    Raises:
        CircuitError: for a plasticity that is not for synapses of spikes.
    """
    learning = edge.plasticity.program()
    if learning is None:
        raise CircuitError(
            Problem(
                place=f"projections.{name}.plasticity",
                expected="a plasticity for synapses in continuous time",
                found=edge.plasticity.kind,
                remedy="Take fixed, or one that says a program.",
            )
        )
    if edge.sign is not None and learning.plastic:
        bound = "w = maximum(w, 0)" if edge.sign == "excitatory" else "w = minimum(w, 0)"

        def kept(statements: tuple[str, ...]) -> tuple[str, ...]:
            return (*statements, bound) if any(text.lstrip().startswith("w ") for text in statements) else statements

        learning = replace(learning, on_pre=kept(learning.on_pre), on_post=kept(learning.on_post),
                           each_step=kept(learning.each_step))  # fmt: skip
    if edge.short_term is None:
        return learning
    short = edge.short_term.program()
    return replace(
        learning,
        variables={**short.variables, **learning.variables},
        decays={**short.decays, **learning.decays},
        constants={**short.constants, **learning.constants},
        before=(*short.before, *learning.before),
        transmits=short.transmits,
    )
