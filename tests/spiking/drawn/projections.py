"""Synapses between two populations: what they do, which there are, their weights, delays and signs."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import log
from typing import Any

import networkx
from hypothesis import strategies as st

from neurosal.graph import (
    AlphaConductance,
    AlphaCurrent,
    Constant,
    Continuous,
    ContinuousModulation,
    Copy,
    Dense,
    Dynamical,
    EdgeList,
    Emitter,
    ExponentialConductance,
    ExponentialCurrent,
    ExponentialDrive,
    FixedInDegree,
    FixedOutDegree,
    FixedTotal,
    Given,
    Jump,
    LogNormal,
    Modulation,
    Normal,
    OneToOne,
    OneToOthers,
    Own,
    Population,
    Projection,
    Sparse,
    Synapse,
    Transpose,
    TruncatedNormal,
    Uniform,
    XavierNormal,
    XavierUniform,
)
from neurosal.graph.dynamics import unit_of
from neurosal.plasticity import Fixed
from tests.spiking.drawn.learning import Place, plasticities, short_terms
from tests.spiking.drawn.numbers import between, bounded, many
from tests.spiking.drawn.populations import once_a_step, some

SIZES = {"mv": 6.0, "pa": 250.0, "ns": 4.0, "": 0.5}  # of weights, by the unit of what they change
UNBOUNDED = ("normal", "xavier_normal", "xavier_uniform", "log_normal")


@dataclass
class Growing:
    """A circuit that projections are added to.

    Attributes:
        signals: population → signal → the synapse that brings it.
        owned: signals of one projection only, that are taken.
    """

    populations: dict[str, Population]
    projections: dict[str, Projection] = field(default_factory=dict)
    signals: dict[str, dict[str, Synapse]] = field(default_factory=dict)

    def add(self, edge: Projection) -> str:
        """A projection under a name of its own."""
        name = f"{len(self.projections)}_{edge.source}_to_{edge.target}"
        self.projections[name] = edge
        return name

    def model(self, name: str) -> Any:
        return self.populations[name].model

    def state(self, name: str) -> list[str]:
        """State variables of a population's model."""
        model = self.model(name)
        return [*model.dynamics().equations] if isinstance(model, Dynamical) else []

    def spikes(self, name: str) -> bool:
        model = self.model(name)
        return isinstance(model, Emitter) or bool(model.dynamics().threshold)


def wirings(draw: st.DrawFn, pre: int, post: int, recurrent: bool) -> Any:
    """Which synapses there are."""
    kinds = ["dense", "sparse", "in", "out", "total", "edges", "edges"] + ["one", "others"] * (pre == post)
    autapses = {"allow_autapses": True} if recurrent and draw(st.booleans()) else {}
    free = not recurrent or bool(autapses)
    kind = draw(st.sampled_from(kinds))
    match kind:
        case "dense":
            return Dense(**autapses)
        case "sparse":
            return Sparse(density=draw(between(0.1, 1)), **autapses)
        case "in":
            return FixedInDegree(inputs=draw(st.integers(1, min(pre if free else pre - 1, 6))), **autapses)
        case "out":
            return FixedOutDegree(outputs=draw(st.integers(1, min(post if free else post - 1, 6))), **autapses)
        case "total":
            return FixedTotal(synapses=draw(st.integers(1, 2 * min(pre, 8) * post)))
        case "one":
            return OneToOne()
        case "others":
            return OneToOthers()
    pairs = [(i, j) for i, j in product(range(min(pre, 8)), range(post)) if free or i != j]
    listed = draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=12, unique=True))
    if recurrent and draw(st.booleans()):
        return EdgeList.from_networkx(networkx.DiGraph(listed), nodes=range(pre), **autapses)
    return EdgeList(edges=tuple(listed), **autapses)


def _count(wiring: Any, post: int) -> int | None:
    """How many synapses, where numbers may be given for each."""
    return len(wiring.edges) if isinstance(wiring, EdgeList) else post if isinstance(wiring, OneToOne) else None


def weights(draw: st.DrawFn, size: float, wiring: Any, post: int, sign: str | None) -> tuple[Any, float, float]:
    """First weights, and the bounds between which they are (infinite where there are none)."""
    low, high = draw(st.sampled_from([(-1.0, 1.0), (0.2, 1.0)])) if sign is None else (0.2, 1.0)
    if sign == "inhibitory":
        low, high = -high, -low
    low, high = low * size, high * size
    kinds = ["uniform", "constant", "truncated_normal", *UNBOUNDED]
    kinds += ["given"] * 3 * (_count(wiring, post) is not None)
    kind = draw(st.sampled_from(kinds))
    inf = float("inf")
    made: Any
    match kind:
        case "given":
            return Given(values=draw(many(low, high, _count(wiring, post) or 1))), low, high
        case "constant":
            return Constant(value=draw(between(low, high)) or size), low, high
        case "truncated_normal":
            return TruncatedNormal(mean=(low + high) / 2, std=(high - low) / 3, low=low, high=high), low, high
        case "normal":
            made = Normal(mean=(low + high) / 2, std=size / 4)
        case "xavier_normal":
            made = XavierNormal(gain=size / 2)
        case "xavier_uniform":
            made = XavierUniform(gain=size / 2)
        case "log_normal" if sign != "inhibitory":
            return LogNormal(log_mean=log(size / 2), log_std=0.5), 0.0, inf
        case _:
            return Uniform(low=low, high=high), low, high
    return made, 0.0 if sign == "excitatory" else -inf, 0.0 if sign == "inhibitory" else inf


def delays(draw: st.DrawFn, wiring: Any, post: int) -> Any:
    """One number for all, or one for each synapse."""
    single = st.sampled_from([0.0, 0.1, 0.25, 0.3, 1.0, 3.0])
    drawn = bounded(0.0, 2.5, _count(wiring, post) or 1).filter(
        lambda some: not isinstance(some, Given) or _count(wiring, post) is not None
    )
    return draw(st.one_of(single, drawn))


def synapses(draw: st.DrawFn, growing: Growing, source: str, target: str) -> Synapse | None:
    """What a projection does at its target; None where nothing suits both."""
    ports = growing.model(target).dynamics().ports
    number = len(growing.projections)
    receptor = {"receptor": f"own_{number}"} if draw(st.booleans()) else {}
    tau = {"tau_ms": draw(between(1, 12))}
    membrane = "drive_mv" in ports
    kinds: list[Any] = []
    if growing.spikes(source):
        kinds += [ExponentialDrive, ExponentialCurrent, AlphaCurrent, ExponentialConductance, AlphaConductance,
                  Jump] if membrane else [Jump]  # fmt: skip
    if growing.state(source):
        kinds += [Continuous] * (2 if growing.spikes(source) else 1)
    if not kinds:
        return None
    kind = draw(st.sampled_from(kinds))
    if kind is Jump:
        own = [name for name in growing.state(target) if name not in ("theta_mv",)]
        return Jump(variable=draw(st.sampled_from([own[0], own[0], *own])), **receptor)
    if kind is Continuous:
        port = draw(st.sampled_from(list(ports)))
        return Continuous(variable=draw(st.sampled_from(growing.state(source))), port=port, **receptor)
    if kind in (ExponentialConductance, AlphaConductance):
        tau |= some(draw, reversal_mv=st.just(-80.0))
        if kind is ExponentialConductance:
            tau |= some(draw, start_ns=st.one_of(between(0, 2), st.just(Uniform(low=0, high=3))))
    return kind(**tau, **receptor)


def size_of(growing: Growing, synapse: Any, source: str) -> float:
    """Of weights that do something."""
    if isinstance(synapse, Continuous):
        heard = {"": 1.0, "mv": 0.02, "pa": 0.02, "mv_per_ms": 0.1}.get(unit_of(synapse.variable), 0.1)
        return heard * {"drive": 0.5, "drive_mv": 6.0, "current_pa": 50.0}[synapse.port]
    if isinstance(synapse, Jump):
        if synapse.variable in ("v_mv", "adaptation_mv"):
            return 4.0
        return {"r": 0.3, "w_pa": 20.0}.get(synapse.variable, 0.5)
    return SIZES[synapse.unit]


def projection(draw: st.DrawFn, growing: Growing, source: str, target: str, **fixed: Any) -> None:
    """Add synapses of any kind between two populations.

    Args:
        fixed: fields that are not drawn.
    """
    synapse = fixed.pop("synapse", None) or synapses(draw, growing, source, target)
    if synapse is None:
        return
    pre, post = growing.populations[source].units, growing.populations[target].units
    continuous = bool(synapse.joined("x").continuous)
    learns = fixed.pop("learns", True) and once_a_step(growing.model(source))
    wiring = wirings(draw, pre, post, source == target)
    sign = draw(st.sampled_from([None, None, "excitatory", "inhibitory"]))
    size = size_of(growing, synapse, source)
    init, low, high = weights(draw, size, wiring, post, sign)
    # A signal that says how the synapses change that bring it grows without bound.
    signals = [name for name in growing.signals.get(target, {}) if name != getattr(synapse, "variable", "")]
    signals += [name for name in growing.state(target) if name in ("v_mv", "r", "theta_mv")
                and name != synapse.joined("x").lands]  # fmt: skip
    place = Place(
        low, high, size, arrivals=not continuous, spikes=growing.spikes(target),
        rates="r" in growing.state(source) and "r" in growing.state(target),
        membrane="v_mv" in growing.state(target) and synapse.joined("x").lands != "v_mv", signals=signals,
    )  # fmt: skip
    plastic = draw(plasticities(place)) if learns and draw(st.integers(0, 3)) else Fixed()
    growing.add(
        Projection(
            source=source, target=target, synapse=synapse, wiring=wiring, weights=Own(init=init), sign=sign,
            delay_ms=0.0 if continuous else delays(draw, wiring, post), plasticity=plastic,
            short_term=None if continuous or not once_a_step(growing.model(source)) else draw(short_terms()), **fixed,
        )
    )  # fmt: skip


def modulation(draw: st.DrawFn, growing: Growing, source: str, target: str) -> None:
    """Bring a signal to a population that plasticity there may read."""
    known = growing.signals.setdefault(target, {})
    if growing.spikes(source) and draw(st.booleans()):
        variable = draw(st.sampled_from(["reward", "dopamine"]))
        synapse: Synapse = known.get(variable) or Modulation(
            variable=variable, **some(draw, tau_ms=between(2, 30), receptor=st.just(f"heard_{variable}"))
        )
    else:
        state = growing.state(source)
        if not state or {"gate", "error"} & set(known):  # each of these needs a receptor of its own
            return
        variable = draw(st.sampled_from(["gate", "error"]))
        synapse = ContinuousModulation(variable=variable, of=draw(st.sampled_from(state)), tau_ms=draw(between(1, 20)),
                                       **some(draw, receptor=st.just("heard")))  # fmt: skip
    known[variable] = synapse
    projection(draw, growing, source, target, synapse=synapse, pathway="modulatory",
               learns=draw(st.integers(0, 4)) == 0)  # fmt: skip


def again(draw: st.DrawFn, growing: Growing, name: str) -> None:
    """The same synapses once more: equal ones share their state."""
    edge = growing.projections[name]
    assert edge.synapse is not None
    if not edge.synapse.joined("x").continuous:
        projection(draw, growing, edge.source, edge.target, synapse=edge.synapse)


def turned(draw: st.DrawFn, growing: Growing, name: str) -> None:
    """The way back, with the weights of a projection."""
    edge = growing.projections[name]
    if isinstance(growing.model(edge.source), Emitter) or not isinstance(edge.weights, Own):
        return
    synapse = synapses(draw, growing, edge.target, edge.source)
    if synapse is None:
        return
    wiring, post = edge.wiring.reversed(), growing.populations[edge.source].units
    program = edge.plasticity.program()
    assert program is not None
    tied = not program.plastic and draw(st.booleans())
    continuous = bool(synapse.joined("x").continuous)
    growing.add(
        Projection(
            source=edge.target, target=edge.source, pathway="feedback", synapse=synapse, wiring=wiring,
            weights=(Transpose if tied else Copy)(of=name), sign=draw(st.sampled_from([None, edge.sign])),
            delay_ms=0.0 if continuous else delays(draw, wiring, post), plasticity=Fixed(),
            short_term=None if continuous or tied else draw(short_terms()),
        )
    )  # fmt: skip
