"""Backpropagation through time: error returns along every synapse, also to the past."""

from __future__ import annotations

from collections.abc import Collection

from neurosal.graph import Circuit, Dynamical, Projection, Transpose
from neurosal.plasticity import Fixed
from neurosal.rules.base import add_tied, chain, flag, passing_reset, refuse, rule


@rule
def bptt(
    circuit: Circuit,
    *,
    through_reset: bool = False,
    keep_feedback: bool = False,
    only: Collection[str] | None = None,
) -> Circuit:
    """Backpropagation through time, the reference of e-prop: as `bp`, and error travels back along recurrent synapses
    from each step to the one before.

    As it stands it differs from `eprop` in that alone: like there, no error passes the jump by which a spike resets its
    unit. The whole gradient asks for ``through_reset=True``. Over many steps that is no detail: a spike uses up what
    drove the unit, and without that the gradient may grow without bound along recurrent synapses (docs/eprop.md).

    Args:
        circuit: as of `eprop`.
        through_reset: error passes the jump of the reset, too.

    Returns:
        The circuit with a feedback projection, `Transpose` of its forward one, for each projection of spikes: those
        within a population are called ``{projection}_in_time``.

    Raises:
        CircuitError: for a circuit that has feedback already, and for unknown or wrong options.

    Example:
        >>> from neurosal import circuits, rules
        >>> list(rules.bptt(circuits.row_reader()).select(pathway="feedback"))
        ['output_to_hidden', 'hidden_to_hidden_in_time']

    Reference:
        Werbos (1990), "Backpropagation through time: what it does and how to do it", Proceedings of the IEEE 78;
        with spikes Bellec et al. (2018), arXiv 1803.09574.
    """
    within = {
        name: edge
        for name, edge in circuit.select(pathway="lateral").items()
        if edge.source == edge.target and isinstance(circuit.populations[edge.source].model, Dynamical)
    }
    refuse(flag("rules.bptt.through_reset", through_reset))
    served = None if only is None else [name for name in only if name not in within]
    circuit = chain(
        circuit, add_tied(), add_tied(), place="rules.bptt", to_input=False, keep_feedback=keep_feedback, only=served
    )
    if through_reset:
        circuit = passing_reset(circuit)
    for name, edge in within.items():
        if only is None or name in only:
            back = Projection(
                source=edge.target,
                target=edge.source,
                pathway="feedback",
                wiring=edge.wiring.returning(name),
                weights=Transpose(of=name),
                plasticity=Fixed(),
            )
            circuit = circuit.with_projections(**{circuit.free_name(f"{name}_in_time"): back})
    return circuit
