"""What can be recorded of a circuit: the targets that it has for each kind of probe, from the graph alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from neurosal.engine.losses import NO_LOSS
from neurosal.errors import Problem, near
from neurosal.graph import Circuit, Relay, timing_of
from neurosal.lower.paths import Pair, comparable, left_out
from neurosal.lower.plan import Change, Plan, plan
from neurosal.rules import bp, bptt
from neurosal.settings.probes import KINDS, Probe, What
from neurosal.stats.catalogue import find

PAIRED = ("angle", "norm_ratio")  # kinds that are of pairs; all other statistics of pairs are of the registry


@dataclass(frozen=True)
class Recordable:
    """The targets of probes of one circuit.

    Args:
        plan: of the circuit.
        loss: with which it learns; without one there is no error to record.
    """

    plan: Plan
    loss: str = "cross_entropy"

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Forward paths with feedback whose areas can be compared one by one."""
        return comparable(self.plan)

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Forward paths with feedback that cannot be compared, and why."""
        return left_out(self.plan)

    @cached_property
    def reference(self) -> Circuit:
        """The backpropagation form of the circuit: its forward part, with tied feedback."""
        circuit = self.plan.circuit
        relays = [name for name, entry in circuit.populations.items() if isinstance(entry.model, Relay)]
        forward = circuit.without([*circuit.select(pathway="feedback"), *relays])
        return bp(forward) if timing_of(circuit) is None else bptt(forward, through_reset=True)

    @cached_property
    def compared(self) -> list[str]:
        """Feedforward projections (where samples take time lateral ones, too) that both the circuit and its
        backpropagation form change."""
        both = set(_changed(self.plan.changes)) & set(_changed(plan(self.reference).changes))
        circuit = self.plan.circuit
        pathways = ("feedforward",) if timing_of(circuit) is None else ("feedforward", "lateral")
        return [name for name, edge in circuit.projections.items() if edge.pathway in pathways and name in both]

    @cached_property
    def misled(self) -> list[str]:
        """Populations below the output that receive an error, here and in the backpropagation form."""
        both = self.plan.with_error & plan(self.reference).with_error - {self.plan.output.population}
        return [name for name in self.plan.circuit.populations if name in both]

    def usual(self, what: What) -> list[str]:
        """What a probe without a target takes."""
        match what:
            case "weight":
                return list(self.plan.owners)
            case "update":
                return _changed(self.plan.without_error if self.loss == NO_LOSS else self.plan.changes)
            case "angle" | "norm_ratio":
                return [pair.name for pair in self.pairs]
            case "error_angle":
                return self.misled
            case "update_angle":
                return [] if self.loss == NO_LOSS else self.compared
            case "usage" | "area" | "vote":
                return list(self.plan.routes)
            case "error":
                reached = frozenset() if self.loss == NO_LOSS else self.plan.with_error
                return [name for name in self.plan.circuit.populations if name in reached]
            case "activity":
                return [name for name in self.known("activity") if name not in self.plan.circuit.inputs]
        return self._measurable(find(what).of)

    def _measurable(self, of: str) -> list[str]:
        """What a statistic can be taken of."""
        match of:
            case "pair":
                return [pair.name for pair in self.pairs]
            case "weight" | "change":
                return self._matrices(self.plan.owners)
            case "update":
                return self._matrices(self.usual("update"))
            case "credit":
                return self._matrices(self.usual("update_angle"))
            case "activity":
                return self.usual("activity")
            case "activity_labels":
                return self.usual("activity") if self.loss == "cross_entropy" else []
            case "activities":
                return self.usual("activity")
            case "usage" | "routes":
                return list(self.plan.routes)
            case "routes_labels":
                return list(self.plan.routes) if self.loss == "cross_entropy" else []
            case "step":
                return self._matrices(self.usual("update_angle"))
            case "sample_changes" | "area_changes" | "kernels" | "kernel_labels":
                return [name for name in self.usual("update_angle") if self._by_sample(name, of)]
        return []

    def _by_sample(self, projection: str, of: str) -> bool:
        """Whether the gradient of a projection is a sum of products of one sample's error and activity, and there are
        the areas and classes that a source asks for."""
        edge = self.plan.circuit.projections[projection]
        areas = of != "area_changes" or self.plan.circuit.populations[edge.target].areas > 1
        return edge.wiring.kind == "dense" and areas and (self.loss == "cross_entropy" or of == "kernels")

    def _matrices(self, names: Iterable[str]) -> list[str]:
        """Those with weights [post, pre]; one-to-one synapses are no matrix."""
        edges = self.plan.circuit.projections
        return [name for name in names if edges[self.plan.owners[name]].wiring.kind != "one_to_one"]

    def known(self, what: What) -> list[str]:
        """What a probe may name: also the activity of inputs."""
        if what == "activity" or (what not in KINDS and find(what).of.startswith("activit") and self.usual(what)):
            return [name for name, e in self.plan.circuit.populations.items() if not isinstance(e.model, Relay)]
        return self.usual(what)

    def targets(self, probes: Iterable[Probe]) -> list[str]:
        """The targets of these probes of one kind, in the circuit's order."""
        chosen: set[str] = set()
        what: What | None = None
        for probe in probes:
            what = probe.what
            chosen |= set(self.usual(what)) if probe.target is None else {probe.target}
        return [] if what is None else [name for name in self.known(what) if name in chosen]

    def misfit(self, probe: Probe) -> Problem | None:
        """What is wrong with a probe of this circuit."""
        known = self.known(probe.what)
        if probe.target in known or (probe.target is None and known):
            return None
        if probe.target is None:
            return Problem(
                place=f"record.{probe.what}", expected="something in this circuit to record", found="nothing"
            )
        of_pairs = probe.what in PAIRED or (probe.what not in KINDS and find(probe.what).of == "pair")
        reason = self.left_out.get(probe.target or "") if of_pairs else None
        return Problem(
            place=f"record.{probe.what}",
            expected="a target that this circuit has for it",
            found=repr(probe.target) + (f", which cannot be compared: {reason}" if reason else ""),
            remedy="" if reason else near(probe.target, known),
        )


def recordable(circuit: Circuit, loss: str = "cross_entropy") -> Recordable:
    """What can be recorded of a circuit that passed the checks and learns with this loss."""
    return Recordable(plan(circuit), loss)


def _changed(changes: Iterable[Change]) -> list[str]:
    return [name for change in changes for name in change.projections]
