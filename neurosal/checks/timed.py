"""Circuits that are trained on samples which take time: what unrolling their steps can do, and what it cannot."""

from __future__ import annotations

from collections.abc import Iterator

from neurosal.checks.view import View
from neurosal.errors import Problem
from neurosal.graph.initialisers import Initialiser
from neurosal.graph.models import Model, Source
from neurosal.graph.neurons import LIF, AdaptiveLIF
from neurosal.graph.population import Population
from neurosal.graph.projection import Projection
from neurosal.graph.synapses import Jump
from neurosal.graph.timed import TimedReadout, TimedSource

SIMULATE = "Circuits with other parts are simulated, not trained in this way."


def check_timed(view: View) -> Iterator[Problem]:
    """Sources of one length, spiking units with linear membranes, one read-out; dense or sparse synapses that act at
    once. Nothing is said of circuits without samples that take time."""
    sources = {name: e.model for name, e in view.populations.items() if isinstance(e.model, TimedSource)}
    if not sources:
        return
    first, reference = next(iter(sources.items()))
    for name, population in view.populations.items():
        place, model = f"populations.{name}", population.model
        if isinstance(model, TimedSource):
            if (model.steps, model.dt_ms) != (reference.steps, reference.dt_ms):
                expected = f"{reference.steps} steps of {reference.dt_ms:g} ms, as {first!r} has"
                yield Problem(place=place, expected=expected, found=f"{model.steps} of {model.dt_ms:g} ms")
        elif isinstance(model, Source) or not isinstance(model, (LIF, TimedReadout)):
            expected = "lif, adaptive_lif or timed_readout (samples take time)"
            yield Problem(place=f"{place}.model", expected=expected, found=model.kind, remedy=SIMULATE)
        elif (name == view.output) != isinstance(model, TimedReadout) and view.output is not None:
            expected = "timed_readout at the output, and nowhere else"
            yield Problem(place=f"{place}.model", expected=expected, found=model.kind)
        else:
            yield from _model(place, model)
        yield from _form(place, population)
    for name, edge in view.projections.items():
        yield from _edge(view, f"projections.{name}", edge)


def _form(place: str, population: Population) -> Iterator[Problem]:
    if population.areas > 1 or population.spatial:
        found = f"{population.areas} areas, extent {population.extent}"
        yield Problem(place=place, expected="one area of units without places", found=found)


def _model(place: str, model: Model) -> Iterator[Problem]:
    """What of a model would make its step another than that of a linear membrane which only jumps."""
    wrong: dict[str, tuple[str, object]] = {}
    for field in ("injected_mv", "injected_pa"):
        if getattr(model, field) is not None:
            wrong[field] = ("none", getattr(model, field).kind)
    for field in ("tau_m_ms", "tau_threshold_ms", "capacitance_pf"):
        if isinstance(getattr(model, field, None), Initialiser):
            wrong[field] = ("one number for all units", getattr(model, field).kind)
    if isinstance(model, AdaptiveLIF):
        for field in ("coupling_ns", "current_step_pa"):
            if getattr(model, field) != 0.0:
                wrong[field] = ("0 (an adapting threshold, no adapting current)", getattr(model, field))
    if isinstance(model, TimedReadout):
        for field in ("bias_mv", "bias_pa", "e_leak_mv"):
            if getattr(model, field) != 0.0:
                wrong[field] = ("0 in a read-out", getattr(model, field))
        if model.start_mv not in (None, 0.0):
            wrong["start_mv"] = ("0 in a read-out", model.start_mv)
    elif isinstance(model, LIF):
        levels = [model.v_threshold_mv, model.e_leak_mv]
        if not any(isinstance(level, Initialiser) for level in levels) and levels[0] <= levels[1]:  # type: ignore[operator]
            wrong["v_threshold_mv"] = ("a threshold above e_leak_mv", model.v_threshold_mv)
    for field, (expected, found) in wrong.items():
        yield Problem(place=f"{place}.model.{field}", expected=expected, found=str(found), remedy=SIMULATE)


def _edge(view: View, place: str, edge: Projection) -> Iterator[Problem]:
    if edge.pathway == "modulatory":
        yield Problem(place=f"{place}.pathway", expected="feedforward, lateral or feedback", found=edge.pathway)
        return
    if edge.wiring.functions != "dense":
        yield Problem(
            place=f"{place}.wiring", expected="dense, or dense with synapses left out", found=edge.wiring.kind
        )
    if edge.plasticity.plastic and edge.plasticity.product is None:
        expected = "delta, kolen_pollack or fixed (samples take time)"
        yield Problem(place=f"{place}.plasticity", expected=expected, found=edge.plasticity.kind)
    if edge.carries == "target":
        yield Problem(place=f"{place}.carries", expected="'error' (samples take time)", found="'target'")
    if edge.pathway == "feedback":
        if edge.synapse is not None:
            expected = "none: feedback carries the error, no spikes"
            yield Problem(place=f"{place}.synapse", expected=expected, found=edge.synapse.kind)
        return
    source = view.model(edge.source)
    if isinstance(source, TimedReadout):
        yield Problem(place=f"{place}.source", expected="a population of spikes", found=repr(edge.source))
    if not isinstance(edge.synapse, Jump) or edge.synapse.variable != "v_mv":
        found = "none" if edge.synapse is None else repr(edge.synapse)
        yield Problem(place=f"{place}.synapse", expected="jump, onto v_mv (samples take time)", found=found)
    if edge.delay_ms != 0:
        expected = "0: a spike of one step acts on the next state update"
        yield Problem(place=f"{place}.delay_ms", expected=expected, found=str(edge.delay_ms))
    if edge.sign is not None or edge.short_term is not None:
        found = edge.sign or "short-term plasticity"
        yield Problem(place=place, expected="no sign and no short-term plasticity", found=found, remedy=SIMULATE)
