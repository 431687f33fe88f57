"""Relays that need no signals of their own: where it costs less, the two hops over a linear relay are joined.

A relay hears from one population along fixed synapses B and sends to one along R. Then ``e = R (B δ) = (R B) δ``, and
``ΔR = Σ h (B δ)ᵀ = (Σ h δᵀ) Bᵀ``: the product that forward synapses between the same two populations change by, times
Bᵀ. With t units at its source, r in it and s at its target, the relay costs ``N (t r + r s)`` multiplications for the
error and ``N r s`` for the change, joined ``t r s + N t s`` and ``t r s``: that is cheaper once there are somewhat more
samples than units that the relay hears from. Along a convolution every place counts as a sample, so that it nearly
always is.

What is chosen follows from sizes alone, so that a run that is resumed does the same operations. Records of a relay are
made the long way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, prod

from neurosal.graph import Projection, Relay
from neurosal.graph.convolution import Convolution, Reversed
from neurosal.lower.plan import Backward, Change, Contraction, Plan, Term

# In multiplications that take as long, measured on two cores with AVX-512:
WORD = 16  # a number on its way to or from memory
CALLS = 1 << 21  # the operations that the joined way calls more, and that its products have fewer rows


def contractions(plan: Plan) -> tuple[Contraction, ...]:
    """The relays of a plan that may be joined, each with the samples from which that costs less."""
    found = []
    for name, population in plan.circuit.populations.items():
        if isinstance(population.model, Relay) and (hops := _hops(plan, name)) is not None:
            least = _least(plan, *hops)
            if least is not None:
                found.append(Contraction(relay=name, first=hops[0], second=hops[1], source=_source(plan, name),
                                         target=plan.circuit.projections[hops[1]].target, least=least))  # fmt: skip
    return tuple(found)


def joined_at(plan: Plan, samples: int) -> tuple[Contraction, ...]:
    """The relays of a plan that are joined in a batch of so many samples."""
    return tuple(each for each in plan.contractions if samples >= each.least)


def contracted(plan: Plan, joined: Sequence[Contraction]) -> Plan:
    """The plan without the signals of these relays."""
    phases: list[Backward | Change | None] = list(plan.backward)
    relays = {each.relay for each in joined}
    for index, phase in enumerate(plan.backward):
        if isinstance(phase, Backward):
            mine = tuple(each for each in joined if each.second in phase.projections)
            phases[index] = None if phase.population in relays else replace(phase, contracted=mine)
    for each in joined:
        own, shared = _change(plan, each.second), _shared(plan, each.second)
        if own is None:
            continue
        assert shared is not None
        # A change by one product comes after the last reader of all that it changes.
        here = next(i for i, phase in enumerate(phases) if _changes(phase, shared))
        there = plan.backward.index(own)
        phases[there] = None
        merged = phases[here]
        assert isinstance(merged, Change)
        phases[here] = None
        phases[max(here, there)] = replace(merged, contracted=(*merged.contracted, each))
    return replace(plan, backward=tuple(phase for phase in phases if phase is not None))


def _changes(phase: Backward | Change | None, change: Change) -> bool:
    return isinstance(phase, Change) and phase.plain == change


# Which relays ---------------------------------------------------------------------------------------------------------


def _source(plan: Plan, relay: str) -> str:
    return next(edge.source for edge in plan.circuit.projections.values() if edge.target == relay)


def _hops(plan: Plan, relay: str) -> tuple[str, str] | None:
    """The projections to and from a relay that may be joined; None for others."""
    circuit = plan.circuit
    to = [name for name, edge in circuit.projections.items() if edge.target == relay]
    away = [name for name, edge in circuit.projections.items() if edge.source == relay]
    if len(to) != 1 or len(away) != 1 or plan.routes:
        return None
    first, second = to[0], away[0]
    hops = [circuit.projections[name] for name in (first, second)]
    if any(isinstance(circuit.populations[end].model, Relay) for end in (hops[0].source, hops[1].target)):
        return None  # of relays in a row, one may hear from another that has no signal then
    if not all(edge.tied_to is None and edge.carries == "error" for edge in hops) or not _joins(*hops):
        return None
    if any(owner in to + away for name, owner in plan.owners.items() if name not in to + away):
        return None  # others read these synapses, or change them
    if circuit.learns(first) or relay not in plan.with_error or hops[1].target not in plan.with_error:
        return None
    if circuit.learns(second) and (_change(plan, second) is None or _shared(plan, second) is None):
        return None
    return first, second


def _joins(first: Projection, second: Projection) -> bool:
    """Whether the product of these weights is a weight of the second wiring: dense ones, and a convolution after one
    of single places."""
    if first.wiring.functions == second.wiring.functions == "dense":
        return True
    here, there = first.wiring.reversed(), second.wiring.reversed()
    if not isinstance(here, Convolution) or not isinstance(there, Convolution):
        return False
    single = all(size == 1 for size in (*here.kernels, *here.strides)) and not any(map(any, here.edges))
    return single and here.groups == there.groups


def _change(plan: Plan, projection: str) -> Change | None:
    """The change of this projection alone, by one product."""
    found = [change for change in plan.changes if projection in change.projections]
    alone = len(found) == 1 and found[0].projections == (projection,) and len(found[0].terms) == 1
    return found[0] if alone and not found[0].biases else None


def _shared(plan: Plan, second: str) -> Change | None:
    """The change by the product of the population that the relay hears from with the one that it sends to."""
    own, relay = _change(plan, second), plan.circuit.projections[second].source
    if own is None or own.terms[0].post != (relay, "error"):
        return None
    term: Term = replace(own.terms[0], post=(_source(plan, relay), "error"))
    return next((change for change in plan.changes if change.terms == (term,)), None)


# What it costs --------------------------------------------------------------------------------------------------------


def _least(plan: Plan, first: str, second: str) -> int | None:
    """Samples from which the joined way costs no more; None where it always costs more.

    Both costs grow by the same amount with each sample.
    """
    edges, populations = plan.circuit.projections, plan.circuit.populations
    source, relay, target = (
        populations[name].extent for name in (edges[first].source, edges[first].target, edges[second].target)
    )
    into, out_of = edges[first].wiring, edges[second].wiring
    b, r, both = (
        prod(wiring.weight_shape(*ends))
        for wiring, *ends in ((into, relay, source), (out_of, target, relay), (out_of, target, source))
    )
    places, inside = 1, prod(relay)
    if isinstance(out_of, Reversed):
        assert isinstance(out_of.wiring, Convolution)
        places, inside = prod(relay[1:]), relay[0] // out_of.wiring.groups
    plastic = plan.circuit.learns(second)
    # Of the relay, whose rows are written, and read twice; B and R are read either way, and R is written.
    each = places * (b + (1 + plastic) * r) + WORD * 3 * prod(relay)
    joined_each = places * both
    # What is joined and the change of W pass through memory.
    fixed = (1 + plastic) * inside * both + WORD * (2 + 4 * plastic) * both + CALLS
    return max(1, ceil(fixed / (each - joined_each))) if each > joined_each else None
