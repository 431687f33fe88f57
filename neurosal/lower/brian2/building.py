"""Plain objects of Brian2 for a circuit, with the numbers that all engines share put in.

Nothing global changes: objects have a clock of their own, and all names that their code uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurosal.errors import CircuitError, ExperimentError, Problem
from neurosal.graph import Circuit, InhomogeneousPoisson, PoissonSource, SpikeTrain
from neurosal.lower.brian2.describing import Description, Group, Joint, Namespace, describe
from neurosal.lower.brian2.emitting import refuse_learning_from_many, sending, several_in_a_step
from neurosal.lower.brian2.naming import identifier, unit
from neurosal.lower.brian2.quiet import quiet
from neurosal.lower.spiking import Realised, realise
from neurosal.lower.spiking.realising import BLOCK

Array = np.ndarray[Any, Any]


@dataclass
class Built:
    """Objects of Brian2 by the names of the circuit.

    Attributes:
        network: of all of them.
        groups: group → `NeuronGroup`.
        sources: population → its group of spikes.
        lanes: population → how often one of its units may spike in a step; unit ``k * N + i`` is unit i once more.
        inputs: projection → `PoissonInput`, for sources that have no units in Brian2.
        synapses: projection → (`Synapses`, first synapse, synapse after the last); absent where there are none.
        spikes: group or source → `SpikeMonitor`.
    """

    network: Any
    description: Description
    realised: Realised
    clock: Any
    groups: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    lanes: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    synapses: dict[str, tuple[Any, int, int]] = field(default_factory=dict)
    spikes: dict[str, Any] = field(default_factory=dict)

    def feed(self, first: int, steps: int) -> None:
        """Give sources that are fed their spikes of some steps, in place of those they had."""
        import brian2

        for population, group in self.sources.items():
            step_L, unit_L, _ = laned(self.realised, population, steps, first)
            group.set_spikes(unit_L, step_L * self.realised.dt_ms * brian2.ms, sorted=True)


def to_brian2(circuit: Circuit | Realised, seed: int = 0, dt_ms: float = 0.1, *, sources: str = "own",
              duration_ms: float | None = None, spikes: bool = False, merge: bool = False,
              graph_seed: int | None = None) -> Any:  # fmt: skip
    """A circuit as a `brian2.Network` of plain objects, which have the names of populations and projections.

    Args:
        circuit: described, or with its numbers.
        seed: of the numbers: edges, weights, first state.
        dt_ms: time step.
        sources: "own" draws Poisson spikes with Brian2's random numbers (see `brian2.seed`), "shared" sends those that
            all engines share, for which `duration_ms` says how many. Of its own, a source of merged trains that reach
            one unit each becomes a `PoissonInput`, which has no delay: its spikes only begin earlier by that.
        duration_ms: how long shared spikes last.
        spikes: whether each population has a `SpikeMonitor`, named ``spikes_`` and its name.
        merge: whether populations of the same equations share a group, which is faster.
        graph_seed: of the graph (synapses, delays, first weights, constants of single units), where it is not `seed`.

    Raises:
        CircuitError: for what Brian2 cannot do.

    Example:
        >>> from neurosal.graph import Circuit, LIF, Population
        >>> cells = Population(size=2, model=LIF(bias_mv=30.0))
        >>> network = to_brian2(Circuit(populations={"cells": cells}), spikes=True)
        >>> network["cells"].v[:]
        array([-70., -70.]) * mvolt
    """
    realised = circuit if isinstance(circuit, Realised) else realise(circuit, seed, dt_ms, graph_seed)
    return build(realised, sources=sources, duration_ms=duration_ms, spikes=spikes, merge=merge).network


@quiet()
def build(realised: Realised, *, sources: str = "shared", duration_ms: float | None = None,
          spikes: bool | Iterable[str] = True, merge: bool = False, given: Mapping[str, Any] | None = None,
          clock: Any = None) -> Built:  # fmt: skip
    """Objects of Brian2 for one replica.

    Args:
        sources: "shared" or "own", see `to_brian2`; "fed" for shared ones that `Built.feed` brings, part by part.
        duration_ms: how long shared spikes last.
        spikes: whether spikes are recorded, or of which populations.
        merge: see `to_brian2`.
        given: sources → groups of Brian2 that stand in for them.
        clock: of all objects; None for a new one.
    """
    import brian2

    description = describe(realised.circuit, dt_ms=realised.dt_ms, merge=merge)
    refuse_learning_from_many(realised.circuit, description)
    # A name that is always the same: it is part of the code, and other code would be compiled once more.
    clock = clock or brian2.Clock(dt=realised.dt_ms * brian2.ms, name="clock")
    built = Built(brian2.Network(), description, realised, clock)
    for group in description.groups.values():
        built.groups[group.name] = _neurons(built, group)
    for name in description.sources:
        source = given[name] if given and name in given else _source(built, name, sources, duration_ms)
        if source is not None:
            built.sources[name] = source
    for joint in description.joints:
        _connect(built, joint)
    recorded = [*realised.populations] if spikes is True else list(spikes or ())
    for name in dict.fromkeys(description.group_of[population] for population in recorded):
        spiking = built.groups.get(name, built.sources.get(name))
        if spiking is not None and (name in built.sources or description.groups[name].threshold):
            built.spikes[name] = brian2.SpikeMonitor(spiking, name=f"spikes_{identifier(name)}")
    parts = (built.groups, built.sources, built.inputs, {k: v for k, (v, _, _) in built.synapses.items()}, built.spikes)
    built.network.add(*{id(value): value for part in parts for value in part.values()}.values())
    return built


def namespace(constants: Namespace) -> dict[str, Any]:
    """Constants as quantities, with the units that statements use."""
    return {**_units(), **{name: value * size(said) for name, (value, said) in constants.items()}}


def size(name: str) -> Any:
    """The unit of a name, as a quantity."""
    return eval(unit(name).quantity, {}, _units())


def _units() -> dict[str, Any]:
    import brian2

    return {name: getattr(brian2, name) for name in ("ms", "mV", "pA", "nS", "pF", "Hz", "Gohm")}


# Populations ---------------------------------------------------------------------------------------------------------


def _neurons(built: Built, group: Group) -> Any:
    import brian2

    realised, dt_ms = built.realised, built.description.dt_ms
    known = namespace(group.constants)
    for name, timed in group.timed.items():
        every = max(round(timed.every_ms / dt_ms), 1)
        values = np.asarray(timed.values, float) * size(name)
        known[f"{group.names[name]}_values"] = brian2.TimedArray(values, dt=every * dt_ms * brian2.ms)
    more: dict[str, Any] = {}
    if group.threshold:
        more |= {"threshold": group.threshold, "reset": "\n".join(group.reset)}
    if group.refractory is not None:
        more["refractory"] = group.refractory * dt_ms * brian2.ms
    made = brian2.NeuronGroup(group.size, "\n".join(group.equations), method=method_of(group), namespace=known,
                              clock=built.clock, name=group.name, **more)  # fmt: skip
    for name in (*group.state, *group.single):
        values = np.concatenate([_values(realised, population, name) for population in group.populations])
        setattr(made, f"{group.names[name]}_", values * unit(name).size)
    return made


def _values(realised: Realised, population: str, name: str) -> Array:
    """First values of a state variable, or a constant of single units, [U]."""
    for where in (realised.state[population], realised.constants.get(population, {})):
        if name in where:
            return where[name]
    dynamics = realised.populations[population].dynamics
    assert dynamics is not None
    return np.full(realised.units(population), dynamics.constants[name])  # one number here, others elsewhere


def method_of(group: Group) -> Any:
    """What Brian2 takes as a method: a name, or a function that gives the statements of a step."""
    if group.steps is None:
        return group.method
    text = "\n".join(group.steps)

    def exact_in_numbers(equations: Any, variables: Any = None, method_options: Any = None) -> str:
        return text

    return exact_in_numbers


def _source(built: Built, population: str, sources: str, duration_ms: float | None) -> Any:
    import brian2

    realised, name = built.realised, identifier(population)
    model = realised.circuit.populations[population].model
    units = realised.units(population)
    built.lanes[population] = 1
    how = sending(realised.circuit, built.description, population) if sources == "own" else "given"
    if how == "inputs":
        return None
    if how in ("group", "lanes"):
        assert isinstance(model, PoissonSource)
        built.lanes[population] = model.merged
        rate = np.broadcast_to(np.asarray(model.rate_hz, float), units)
        rates = model.rate_hz if isinstance(model.rate_hz, float) else np.tile(rate, model.merged)
        return brian2.PoissonGroup(units * model.merged, rates=rates * brian2.Hz, clock=built.clock, name=name)
    if how == "timed":
        assert isinstance(model, InhomogeneousPoisson)
        timed = model.rate_hz.timed()
        values = np.maximum(np.asarray(timed.values, float), 0.0)
        known = {"rates_of_time": brian2.TimedArray(values * brian2.Hz, dt=timed.every_ms * brian2.ms)}
        text = f"rates_of_time({'t' if values.ndim == 1 else 't, i'})"
        return brian2.PoissonGroup(units, rates=text, namespace=known, clock=built.clock, name=name)
    if sources == "fed":
        lanes = built.lanes[population] = 1 if duration_ms is None else lanes_of(realised, population, duration_ms)
        empty = np.empty(0, "int64")
        return brian2.SpikeGeneratorGroup(units * lanes, empty, empty * brian2.ms, clock=built.clock, name=name)
    if duration_ms is not None:
        steps = round(duration_ms / realised.dt_ms)
    elif isinstance(model, SpikeTrain):
        steps = int(np.rint(model.last_ms / realised.dt_ms)) + 1
    else:
        raise ExperimentError(
            Problem(place="duration_ms", expected="how long shared spikes last", found="None",
                    remedy=f"The source {population!r} sends spikes that are known before the simulation.")
        )  # fmt: skip
    step_L, unit_L, lanes = laned(realised, population, steps)
    built.lanes[population] = lanes
    return brian2.SpikeGeneratorGroup(
        units * lanes, unit_L, step_L * realised.dt_ms * brian2.ms, clock=built.clock, name=name, sorted=True
    )


def lanes_of(realised: Realised, population: str, duration_ms: float) -> int:
    """How often a unit of a source spikes in one step, at most."""
    model = realised.circuit.populations[population].model
    if isinstance(model, PoissonSource | InhomogeneousPoisson) and model.merged == 1:
        return 1
    steps = round(duration_ms / realised.dt_ms)
    return max((laned(realised, population, min(BLOCK, steps - first), first)[2] for first in range(0, steps, BLOCK)),
               default=1)  # fmt: skip


def laned(realised: Realised, population: str, steps: int, first: int = 0) -> tuple[Array, Array, int]:
    """Spikes of a source: steps [L], units [L] sorted by step, then unit, and how many lanes. A unit that spikes a
    second time in a step does so as unit N + i, as Brian2's units spike once a step."""
    blocks = range(first // BLOCK, -(-(first + steps) // BLOCK))
    found = [realised.spikes(population, block) for block in blocks]
    step_L, unit_L = (np.concatenate(ends) if found else np.empty(0, "int64") for ends in zip(*found, strict=True))
    keep = (step_L >= first) & (step_L < first + steps)
    step_L, unit_L = step_L[keep], unit_L[keep]
    units = realised.units(population)
    key = step_L * units + unit_L
    start = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.empty(0, "int64")
    place = np.arange(len(key)) - np.repeat(start, np.diff(np.r_[start, len(key)]))
    lanes = int(place.max(initial=0)) + 1
    unit_L = unit_L + place * units
    order = np.lexsort((unit_L, step_L))
    return step_L[order], unit_L[order], lanes


# Projections ---------------------------------------------------------------------------------------------------------


def _connect(built: Built, joint: Joint) -> None:
    import brian2

    pre, post, places = _ends(built, joint)
    if not len(pre):
        return
    realised, dt_ms = built.realised, built.description.dt_ms
    source, target = (built.groups.get(end, built.sources.get(end)) for end in joint.ends)
    if source is None:
        _add_inputs(built, joint)
        return
    known = namespace(joint.constants)
    if joint.weight is not None:
        known["w"] = joint.weight
    more: dict[str, Any] = {}
    if joint.delay and joint.on_pre:
        more["delay"] = joint.delay * dt_ms * brian2.ms
    if joint.on_pre:
        more["on_pre"] = "\n".join(joint.on_pre)
    if joint.on_post:
        more["on_post"] = "\n".join(joint.on_post)
    made = brian2.Synapses(source, target, "\n".join(joint.equations), namespace=known, clock=built.clock,
                           name=joint.name, **more)  # fmt: skip
    made.connect(i=pre, j=post)
    lanes = built.lanes.get(joint.ends[0], 1)
    if joint.weight is None:
        made.w = np.concatenate([np.tile(realised.edges[name].weight, lanes) for name in joint.projections])
    for name in joint.variables:
        setattr(made, joint.names[name], np.tile(realised.variables[joint.projections[0]][name], lanes))
    if joint.delay is None and joint.on_pre:
        steps = np.concatenate([np.tile(realised.edges[name].delay, lanes) for name in joint.projections])
        made.pre.delay = steps * dt_ms * brian2.ms
    # Arrivals of all projections in the order of the circuit, then all that happens when targets spike.
    if joint.on_pre:
        made.pre.order = joint.number - len(built.realised.circuit.projections)
    if joint.on_post:
        made.post.order = joint.number + 1
    _pass_steps(built, joint, made, target)
    for name, (start, stop) in places.items():
        built.synapses[name] = (made, start, stop)


def _add_inputs(built: Built, joint: Joint) -> None:
    """Trains of a source that has no units in Brian2, each unit's onto one unit of the target."""
    import brian2

    for name in joint.projections:
        edge = built.realised.circuit.projections[name]
        model = built.realised.circuit.populations[edge.source].model
        group = built.description.groups[joint.ends[1]]
        start, stop = group.populations[edge.target]
        target = built.groups[group.name]
        variable = built.realised.populations[edge.target].lands[name]
        assert isinstance(model, PoissonSource)
        assert joint.weight is not None
        built.inputs[name] = brian2.PoissonInput(
            target if stop - start == group.size else target[start:stop], group.names[variable], N=model.merged,
            rate=model.rate_hz * brian2.Hz, weight=joint.weight * size(variable),
        )  # fmt: skip


def _pass_steps(built: Built, joint: Joint, made: Any, target: Any) -> None:
    """What synapses do at the end of steps: projection after projection, each in the order of its statements."""
    import brian2

    first = 10 * joint.number
    interval = joint.apart * built.description.dt_ms * brian2.ms
    if joint.each_step:
        made.run_regularly("\n".join(joint.each_step), when="end", order=first, clock=built.clock)
    if joint.at_intervals:
        if joint.summed:
            target.run_regularly(f"{joint.summed} = 0", when="end", order=first + 1, dt=interval)
            made.run_regularly(f"{joint.summed}_post += w", when="end", order=first + 2, dt=interval)
        made.run_regularly("\n".join(joint.at_intervals), when="end", order=first + 3, dt=interval)
    if joint.late:
        made.run_regularly("\n".join(joint.late), when="end", order=first + 4, clock=built.clock)


def _ends(built: Built, joint: Joint) -> tuple[Array, Array, dict[str, tuple[int, int]]]:
    """Units at both ends of all synapses, and which are whose. Those of a source of several lanes are there for each
    lane, the first lane first."""
    circuit, description = built.realised.circuit, built.description
    pre: list[Array] = []
    post: list[Array] = []
    places: dict[str, tuple[int, int]] = {}
    count = 0
    for name in joint.projections:
        edges, edge = built.realised.edges[name], circuit.projections[name]
        starts = []
        for population in (edge.source, edge.target):
            group = description.groups.get(description.group_of[population])
            starts.append(group.populations[population][0] if group else 0)
        lanes, units = built.lanes.get(edge.source, 1), built.realised.units(edge.source)
        if lanes > 1 and joint.plastic:
            raise CircuitError(several_in_a_step(name))
        pre += [edges.pre + lane * units + starts[0] for lane in range(lanes)]
        post += [edges.post + starts[1]] * lanes
        places[name] = (count, count + len(edges))
        count += len(edges) * lanes
    return np.concatenate(pre), np.concatenate(post), places
