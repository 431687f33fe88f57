"""The check of a circuit in continuous time: ends, models, wiring, synapses, delays and signs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from neurosal.checks.draws import (
    as_many_problems,
    bounds_problems,
    delays_problems,
    drawable_problems,
    signed_problems,
)
from neurosal.checks.programs import equation_problems, program_problems, unfit_for_exact
from neurosal.checks.space import fitting
from neurosal.checks.view import View
from neurosal.errors import CircuitError, Problem, near
from neurosal.graph import (
    Circuit,
    Dense,
    Dynamical,
    Dynamics,
    EdgeList,
    Emitter,
    FixedTotal,
    Initialiser,
    Joined,
    OneToOne,
    OneToOthers,
    Own,
    Projection,
    SpikeTrain,
    timing_of,
)
from neurosal.graph.dynamics import names_in
from neurosal.graph.value import shown

KINDS = ("dense", "edge_list", "fixed_in_degree", "fixed_out_degree", "fixed_total", "one_to_one", "one_to_others",
         "sparse")  # fmt: skip
TRAIN = "Circuits of rates without time are compiled and trained: `ns.compile`, `ns.train`."
SIMULATE = "Circuits in continuous time are simulated: `ns.simulate`."


def in_time(circuit: Circuit) -> bool:
    """Whether a circuit has populations in continuous time (or sources of spikes), so that `simulate` runs it; not
    where samples take time (`TimedSource`), which are trained on.

    Example:
        >>> from neurosal.graph import LIF, Circuit, Population
        >>> in_time(Circuit(populations={"cells": Population(size=3, model=LIF())}))
        True
    """
    models = [population.model for population in circuit.populations.values()]
    return any(isinstance(model, (Dynamical, Emitter)) for model in models) and timing_of(circuit) is None


def refuse_time(circuit: Circuit) -> None:
    """Refuses a circuit in continuous time where one of rates is needed.

    Raises:
        CircuitError: which says that `simulate` runs it.
    """
    if in_time(circuit):
        raise CircuitError(
            Problem(place=f"circuit {circuit.name!r}", expected="a circuit of rates without time",
                    found="one in continuous time", remedy=SIMULATE)
        )  # fmt: skip


def refuse_no_time(circuit: Circuit) -> None:
    """Refuses a circuit of rates without time where one in continuous time is needed.

    Raises:
        CircuitError: which says that `compile` and `train` are for it.
    """
    if not in_time(circuit):
        raise CircuitError(
            Problem(place=f"circuit {circuit.name!r}", expected="a circuit in continuous time",
                    found="one of rates without time", remedy=TRAIN)
        )  # fmt: skip


@dataclass(frozen=True)
class Met:
    """A population in continuous time, with what its synapses bring along, as far as all of it can be read.

    Attributes:
        dynamics: of its model; None for sources of spikes.
        joined: what each projection that ends here brings along, by projection.
        state: names of all state variables.
    """

    dynamics: Dynamics | None
    joined: Mapping[str, Joined]
    state: frozenset[str]

    @property
    def spikes(self) -> bool:
        """Whether it sends spikes."""
        return self.dynamics is None or bool(self.dynamics.threshold)


def time_problems(view: View) -> Iterator[Problem]:
    """Everything that does not fit in a circuit in continuous time."""
    met = _met(view.circuit)
    for look in (check_models, check_synapses, check_clashes, check_wiring, check_origins, check_learning):
        yield from look(view, met)


def _met(circuit: Circuit) -> dict[str, Met]:
    found = {}
    for name, population in circuit.populations.items():
        if isinstance(population.model, Emitter):
            found[name] = Met(None, {}, frozenset())
        elif isinstance(population.model, Dynamical):
            edges = circuit.select(target=name)
            joined = {
                key: edge.synapse.joined(edge.synapse.receptor or _receptor(edges, edge).replace("-", "_"))
                for key, edge in edges.items()
                if edge.synapse is not None
            }
            dynamics = population.model.dynamics()
            state = {*dynamics.equations, *(variable for entry in joined.values() for variable in entry.equations)}
            found[name] = Met(dynamics, joined, frozenset(state))
    return found


def _receptor(edges: Mapping[str, Projection], edge: Projection) -> str:
    """Equal synapses share their state, which is called as the first of them; continuous ones have each their own."""
    assert edge.synapse is not None
    alone = edge.synapse.joined("x").continuous
    return next(name for name, other in edges.items() if (other is edge if alone else other.synapse == edge.synapse))


# Populations ---------------------------------------------------------------------------------------------------------


def check_models(view: View, met: Mapping[str, Met]) -> Iterator[Problem]:
    """Something there, all of it in time, with equations whose names exist, and nothing that only rates have."""
    if not view.known_populations:
        yield Problem(place="populations", expected="at least one", found="none")
    for name, population in view.populations.items():
        place = f"populations.{name}"
        if name not in met:
            others = ", ".join(repr(other) for other in list(met)[:3])
            yield Problem(
                place=f"{place}.model", expected=f"a model in continuous time, or a source of spikes, as {others} have",
                found=population.model.kind,
                remedy="A circuit runs in time or is trained without it; rates in time have a model of their own.",
            )  # fmt: skip
            continue
        if population.areas > 1:
            yield Problem(
                place=f"{place}.areas", expected="1 (routers choose areas of rates)", found=str(population.areas)
            )
        if isinstance(population.model, SpikeTrain):
            yield from _train(place, population.model, population.units)
        dynamics = met[name].dynamics
        if dynamics is not None:
            slips = list(equation_problems(f"{place}.model", dynamics, met[name].joined))
            yield from slips or _exact(place, view.circuit.select(target=name), met[name])


def _exact(place: str, edges: Mapping[str, Projection], met: Met) -> Iterator[Problem]:
    """The method exact is for linear equations; conductances make products of states."""
    dynamics = met.dynamics
    assert dynamics is not None
    fits = all(port in dynamics.ports for joined in met.joined.values() for port in joined.adds)
    if dynamics.method != "exact" or not fits:
        return
    own = [name for name in met.joined if _receptor(edges, edges[name]) == name]
    try:
        unfit, vast = unfit_for_exact(dynamics, met.joined, own)
    except NameError:  # a synapse that reads what is not there, which is said where it is
        return
    if unfit:
        yield Problem(
            place=f"{place}.model.method", expected="a method for equations that are not linear",
            found=f"'exact', with {'; '.join(unfit)} and what its synapses add",
            remedy="Take exponential_euler, euler or rk4.",
        )  # fmt: skip
    if vast:
        yield Problem(
            place=f"{place}.model", expected="constants with which its equations can be computed",
            found=f"{'; '.join(vast)}, which is not finite",
            remedy="A time constant is far too short, or a number far too large.",
        )  # fmt: skip


def _train(place: str, model: SpikeTrain, units: int) -> Iterator[Problem]:
    far = sorted({unit for unit in model.units if not 0 <= unit < units})
    if far:
        yield Problem(
            place=f"{place}.model.units", expected=f"units from 0 to {units - 1}",
            found=", ".join(map(str, far[:5])) + (", ..." if len(far) > 5 else ""),
        )  # fmt: skip
    if any(time < 0 for time in model.times_ms):
        yield Problem(place=f"{place}.model.times_ms", expected="times from 0 on", found=str(min(model.times_ms)))


# Projections ---------------------------------------------------------------------------------------------------------


def check_synapses(view: View, met: Mapping[str, Met]) -> Iterator[Problem]:
    """Each projection starts where signals come from, and has a synapse that its target can take."""
    for name, edge in view.projections.items():
        place = f"projections.{name}"
        source, target = met.get(edge.source), met.get(edge.target)
        if target is not None and target.dynamics is None:
            yield Problem(
                place=f"{place}.target", expected="a population that computes its state",
                found=f"{edge.target!r}, a source of spikes ({view.populations[edge.target].model.kind})",
                remedy="Nothing reaches a source; turn the projection round or remove it.",
            )  # fmt: skip
        elif edge.synapse is None:
            yield Problem(
                place=f"{place}.synapse", expected="what its spikes do where they arrive", found="nothing",
                remedy="Give it a synapse, such as exponential_current; jump raises the membrane potential at once.",
            )  # fmt: skip
        elif target is not None and target.dynamics is not None:
            yield from _taken(place, edge, target)
        if edge.carries != "error":
            yield Problem(
                place=f"{place}.carries", expected="'error' (only rates carry targets)", found=repr(edge.carries)
            )
        if edge.synapse is not None and source is not None:
            yield from _sent(place, edge, source, edge.synapse.joined("x").continuous)


def _taken(place: str, edge: Projection, target: Met) -> Iterator[Problem]:
    """The target's model has the ports and variables that the synapse speaks of."""
    assert edge.synapse is not None
    assert target.dynamics is not None
    joined = edge.synapse.joined("x")
    receptor = edge.synapse.receptor
    if receptor is not None and not re.fullmatch("[a-z0-9_]+", receptor):
        yield Problem(
            place=f"{place}.synapse.receptor", expected="a name of letters a-z, digits and _", found=shown(receptor)
        )
    for port in joined.adds:
        if port not in target.dynamics.ports:
            yield Problem(
                place=f"{place}.synapse", expected=f"a synapse that {edge.target!r} can take",
                found=f"{edge.synapse.kind}, which adds to {port}", remedy=near(port, target.dynamics.ports),
            )  # fmt: skip
    if not joined.continuous and joined.lands not in {*joined.equations, *target.state}:
        yield Problem(
            place=f"{place}.synapse", expected=f"a state variable of {edge.target!r}", found=repr(joined.lands),
            remedy=near(joined.lands, target.state),
        )  # fmt: skip
    known = {*joined.equations, *joined.constants, *target.state, *target.dynamics.constants, *target.dynamics.timed}
    if joined.continuous:
        known.add(joined.lands)
    read = frozenset().union(*(names_in(text) for text in (*joined.equations.values(), *joined.adds.values())))
    for name in sorted(read - known):
        yield Problem(
            place=f"{place}.synapse", expected=f"a synapse that reads what {edge.target!r} has",
            found=f"{edge.synapse.kind}, which reads {name}", remedy=near(name, target.state),
        )  # fmt: skip


def _sent(place: str, edge: Projection, source: Met, heard: str) -> Iterator[Problem]:
    """The source has what the synapse hears: spikes, or a variable all the time."""
    assert edge.synapse is not None
    if not heard:
        if not source.spikes:
            yield Problem(
                place=f"{place}.source", expected=f"a population that spikes ({edge.synapse.kind} hears spikes)",
                found=f"{edge.source!r}, whose model has no threshold",
                remedy="Give the projection the synapse continuous, or the population a threshold.",
            )  # fmt: skip
        return
    if heard not in source.state:
        yield Problem(
            place=f"{place}.synapse.variable", expected=f"a state variable of {edge.source!r}", found=repr(heard),
            remedy=near(heard, source.state),
        )  # fmt: skip
    if edge.delay_ms != 0:
        yield Problem(
            place=f"{place}.delay_ms", expected=f"0 ({edge.synapse.kind} hears its source all the time)",
            found=shown(edge.delay_ms), remedy="Only spikes have delays.",
        )  # fmt: skip
    if edge.short_term is not None:
        yield Problem(
            place=f"{place}.short_term", expected=f"none ({edge.synapse.kind} transmits no spikes)",
            found=edge.short_term.kind,
        )  # fmt: skip


def check_clashes(view: View, met: Mapping[str, Met]) -> Iterator[Problem]:
    """Names of the equations that two different receptors of one population both have."""
    for population, entry in met.items():
        if entry.dynamics is None:
            continue
        model = entry.dynamics
        owner: dict[str, tuple[object, str]] = {}
        values: dict[str, Any] = dict(model.constants)
        for name, joined in entry.joined.items():
            synapse = view.projections[name].synapse
            mine = name if joined.continuous else synapse
            taken = [
                text for text in joined.equations if text in model.equations or owner.get(text, (mine,))[0] != mine
            ]
            taken += [text for text, value in joined.constants.items() if values.get(text, value) != value]
            if taken:
                by = owner.get(taken[0], (None, f"the model of {population!r}"))[1]
                yield Problem(
                    place=f"projections.{name}.synapse.receptor", expected="names that nothing else has",
                    found=f"{', '.join(taken)}, which {by} has already", remedy="Give it another receptor.",
                )  # fmt: skip
            for text in (*joined.equations, *joined.constants):
                owner.setdefault(text, (mine, repr(name)))
            values = {**joined.constants, **values}


def check_wiring(view: View, met: Mapping[str, Met]) -> Iterator[Problem]:
    """Wiring of single units that fits both ends, and weights, delays and signs that can be drawn."""
    for name, edge in view.projections.items():
        place = f"projections.{name}"
        source, target = view.populations.get(edge.source), view.populations.get(edge.target)
        if not isinstance(edge.wiring, (Dense, OneToOne, OneToOthers, FixedTotal)):
            yield Problem(
                place=f"{place}.wiring", expected="wiring of single units", found=edge.wiring.kind,
                remedy=f"There are: {', '.join(KINDS)}.",
            )  # fmt: skip
        elif source is not None and target is not None:
            reason = edge.wiring.mismatch(target.extent, source.extent)
            if reason is not None:
                expected, _, found = reason.partition(", found ")
                yield Problem(
                    place=f"{place}.wiring", expected=expected,
                    found=f"{found or 'others'} ({edge.source!r}, {edge.target!r})",
                    remedy=fitting(edge.wiring, edge.source, edge.target, target.extent, source.extent),
                )  # fmt: skip
            if edge.source == edge.target:
                yield from _autapses(place, edge, target.units)
        if isinstance(edge.weights, Own):
            yield from drawable_problems(f"{place}.weights.init", edge.weights.init)
            yield from as_many_problems(f"{place}.weights.init", edge, edge.weights.init)
            yield from signed_problems(place, edge, edge.weights.init)
        yield from bounds_problems(place, edge, view.projections)
        if isinstance(edge.delay_ms, Initialiser):
            yield from drawable_problems(f"{place}.delay_ms", edge.delay_ms)
            yield from delays_problems(f"{place}.delay_ms", edge.delay_ms)
            yield from as_many_problems(f"{place}.delay_ms", edge, edge.delay_ms)


def _autapses(place: str, edge: Projection, units: int) -> Iterator[Problem]:
    """Degrees that only autapses could make up, and autapses that are listed but not allowed."""
    wiring = edge.wiring
    if not isinstance(wiring, Dense) or wiring.allow_autapses:
        return
    if getattr(wiring, "inputs", getattr(wiring, "outputs", 0)) == units:
        yield Problem(
            place=f"{place}.wiring", expected=f"a degree below {units}, the number of units (autapses are not allowed)",
            found=str(units),
        )  # fmt: skip
    if isinstance(wiring, EdgeList) and any(pre == post for pre, post in wiring.edges):
        found = [str(pair) for pair in wiring.edges if pair[0] == pair[1]]
        yield Problem(
            place=f"{place}.wiring.edges", expected="no autapses (they are not allowed)",
            found=", ".join(found[:5]) + (", ..." if len(found) > 5 else ""),
            remedy="Leave them out, or allow autapses.",
        )  # fmt: skip


# Origins and plasticity ----------------------------------------------------------------------------------------------


def check_origins(view: View, met: Mapping[str, Met]) -> Iterator[Problem]:
    """Weights that come from another projection: it is there, the other way round, and has weights of its own."""
    for name, edge in view.projections.items():
        place = f"projections.{name}"
        if isinstance(edge.weights, Own):
            continue
        of = str(getattr(edge.weights, "of", ""))
        if edge.weights.kind not in ("copy", "transpose"):
            yield Problem(
                place=f"{place}.weights", expected="own, copy or transpose (in continuous time)",
                found=edge.weights.kind,
            )  # fmt: skip
        elif of == name or of not in view.known_projections:
            yield Problem(
                place=f"{place}.weights.of", expected="the name of another projection",
                found="itself" if of == name else shown(of), remedy=near(of, view.known_projections - {name}),
            )  # fmt: skip
        elif of in view.projections:
            yield from _origin(view, place, edge, of)


def _origin(view: View, place: str, edge: Projection, of: str) -> Iterator[Problem]:
    origin = view.projections[of]
    if not isinstance(origin.weights, Own):
        yield Problem(
            place=f"{place}.weights.of", expected="a projection with weights of its own",
            found=f"{of!r}, whose weights come from {getattr(origin.weights, 'of', '')!r}",
        )  # fmt: skip
        return
    ends = [view.populations.get(end) for end in (edge.source, edge.target, origin.source, origin.target)]
    if all(end is not None for end in ends):
        source, target, below, above = (end.units for end in ends if end is not None)
        if (source, target) != (above, below):
            yield Problem(
                place=f"{place}.weights", expected=f"the transpose of {of!r}: {above} units to {below}",
                found=f"{source} units to {target}",
                remedy=f"A projection from {origin.target!r} to {origin.source!r} fits.",
            )  # fmt: skip
        elif edge.wiring != origin.wiring.reversed():
            yield Problem(
                place=f"{place}.wiring", expected=f"{origin.wiring.reversed()!r}, the reverse of that of {of!r}",
                found=repr(edge.wiring),
            )  # fmt: skip
    if edge.sign is not None and edge.sign != origin.sign:
        yield Problem(
            place=f"{place}.sign", expected=f"the sign of {of!r}, where its weights come from: {origin.sign}",
            found=edge.sign,
        )  # fmt: skip
    moving = [side for side, each in (("it", edge), (repr(of), origin)) if _moves(each)]
    if edge.weights.kind == "transpose" and moving:
        yield Problem(
            place=f"{place}.weights", expected="copy, own synapses that start as the transpose",
            found=f"transpose, while {' and '.join(moving)} learns", remedy="Spikes change every synapse by itself.",
        )  # fmt: skip


def _moves(edge: Projection) -> bool:
    program = edge.plasticity.program()
    return program is not None and program.plastic


def check_learning(view: View, met: Mapping[str, Met]) -> Iterator[Problem]:
    """Plasticity that says what happens at a synapse, in names that exist there."""
    for name, edge in view.projections.items():
        place = f"projections.{name}"
        learning = edge.plasticity.program()
        if learning is None and edge.synapse is None and edge.plasticity.kind == "delta":
            continue  # the usual one of projections without a synapse, which is said already
        if learning is None:
            kinds = sorted(
                kind for kind, member in type(edge.plasticity).members.items() if _for_time(member)
            )  # fmt: skip
            yield Problem(
                place=f"{place}.plasticity", expected="a plasticity for synapses in continuous time",
                found=edge.plasticity.kind, remedy=f"There are: {', '.join(kinds)}.",
            )  # fmt: skip
            continue
        source, target = met.get(edge.source), met.get(edge.target)
        short = None if edge.short_term is None else edge.short_term.program()
        state = (None if source is None else source.state, None if target is None else target.state)
        yield from program_problems(place, learning, short, *state)
        if learning.on_post and target is not None and not target.spikes:
            yield Problem(
                place=f"{place}.plasticity", expected=f"one that waits for no spikes of {edge.target!r}",
                found=f"{edge.plasticity.kind}, and the model of {edge.target!r} has no threshold",
            )  # fmt: skip
        read = frozenset().union(*(names_in(text) for text in (*learning.before, *learning.on_pre, "0")))
        if target is not None and name in target.joined and f"post.{target.joined[name].lands}" in read:
            yield Problem(
                place=f"{place}.plasticity", expected="one that does not read what its own spikes change at once",
                found=f"{edge.plasticity.kind}, which reads post.{target.joined[name].lands} at an arrival",
                remedy="Arrivals of a step have no order among each other; read it in each_step, or take a synapse "
                "with a state of its own.",
            )  # fmt: skip
        if learning.on_pre and edge.synapse is not None and edge.synapse.joined("x").continuous:
            yield Problem(
                place=f"{place}.plasticity", expected=f"one that waits for no spikes ({edge.synapse.kind} has none)",
                found=edge.plasticity.kind,
            )  # fmt: skip


def _for_time(member: type) -> bool:
    from neurosal.graph import Plasticity

    assert issubclass(member, Plasticity)
    return member.program is not Plasticity.program


def check_no_time(view: View) -> Iterator[Problem]:
    """Rates have no synapses of spikes, and what belongs to these."""
    if timing_of(view.circuit) is not None:
        return
    for name, edge in view.projections.items():
        for field, value in (("synapse", edge.synapse), ("sign", edge.sign), ("short_term", edge.short_term)):
            if value is not None:
                found = shown(value) if isinstance(value, str) else value.kind
                yield Problem(
                    place=f"projections.{name}.{field}",
                    expected="none (its populations are rates without time)",
                    found=found,
                    remedy="Give the populations models in continuous time, or leave it out.",
                )
        if edge.delay_ms != 0:
            yield Problem(
                place=f"projections.{name}.delay_ms",
                expected="0 (its populations are rates without time)",
                found=shown(edge.delay_ms),
            )
