"""What a comparison of engines says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from neurosal.graph.dynamics import unit_of

if TYPE_CHECKING:
    from neurosal.runner.crosschecking import CrossCheck, Divergence

WORDS = {"mv": "mV", "pa": "pA", "ns": "nS", "hz": "Hz", "ms": "ms", "pf": "pF", "gohm": "GΩ"}


def said(found: CrossCheck) -> str:
    """The report, line by line."""
    return "\n".join(_lines(found))


def _lines(found: CrossCheck) -> Iterator[str]:
    verdict = "agree" if found.agrees else "do not agree"
    yield (
        f"{found.circuit}: torch and Brian2 {verdict} ({found.duration_ms:g} ms in steps of {found.dt_ms:g} ms, "
        f"seed {found.seed}, float64)"
    )
    for name, (first, second) in found.spikes.items():
        if first or second:
            yield f"  spikes of {name}: {first:,} on torch, {second:,} on Brian2"
    if found.identical:
        yield "  all spikes are the same" if any(map(any, found.spikes.values())) else "  no spikes"
    if found.divergence is not None:
        yield from _divergence(found.divergence)
    if found.gaps:
        worst = max(found.gaps, key=lambda gap: (gap.relative != gap.relative, gap.relative))
        where = "at the end" if found.divergence is None else "at the start of that step"
        yield (
            f"  largest difference of {len(found.gaps)} variables of state and synapses {where}: "
            f"{worst.absolute:.3g} ({worst.relative:.3g} of the largest value), {worst.place}"
        )
    for name, (here, there) in found.changed.items():
        yield f"  weights of {name} that changed: {100 * here:.3g} % on torch, {100 * there:.3g} % on Brian2"
    for row in found.compared:
        yield f"  {row}"
    for engine, seconds in found.timing.items():
        yield f"  {engine}: " + ", ".join(f"{what} {value:.2f} s" for what, value in seconds.items())
    for fault in found.faults:
        yield f"  fault: {fault}"
    for gap in found.missing:
        yield f"  no evidence: {gap}"


def _divergence(first: Divergence) -> Iterator[str]:
    word = WORDS.get(unit_of(first.variable), "")
    others = f", and {first.others} more spikes of that step" if first.others else ""
    yield (
        f"  first different spike: {first.population} unit {first.unit} at {first.time_ms:g} ms (step {first.step}), "
        f"on {first.engine} only{others}"
    )
    if first.variable:
        margin = "" if first.margin is None else f"; {abs(first.margin):.3g} {word} from its threshold"
        yield (
            f"  its {first.variable} at the start of that step: {first.torch!r} on torch, {first.brian2!r} on Brian2"
            f"{margin}"
        )
