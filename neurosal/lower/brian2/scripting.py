"""A circuit as a script for Brian2, as one would write it by hand: units, equations, comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from neurosal.checks.draws import first_weights
from neurosal.errors import CircuitError, Problem
from neurosal.graph import (
    Circuit,
    Constant,
    Copy,
    EdgeList,
    FixedInDegree,
    FixedOutDegree,
    FixedTotal,
    InhomogeneousPoisson,
    Initialiser,
    Normal,
    OneToOne,
    OneToOthers,
    PoissonSource,
    Projection,
    Sparse,
    Transpose,
    TruncatedNormal,
)
from neurosal.lower.brian2.describing import Description, Group, Joint, describe
from neurosal.lower.brian2.emitting import refuse_learning_from_many, sending
from neurosal.lower.brian2.naming import PLAIN, identifier, unit
from neurosal.lower.brian2.writing import HELPERS, array_of, draw, namespace_of, short, text_of, time_of
from neurosal.lower.spiking import Realised, realise
from neurosal.lower.spiking.edges import listed

FEW = 400  # numbers that a script says itself; more are only in the file beside it


def script(circuit: Circuit, duration_ms: float = 1000.0, dt_ms: float = 0.1, seed: int = 0) -> str:
    """A readable script for Brian2, which runs by itself: ``python NAME.py``.

    What the circuit leaves to chance is drawn by the script. Where a file of `numbers` lies beside it, with its name
    and the ending .npz, it takes those, and then makes the spikes that neurosal makes.

    Args:
        circuit: in continuous time.
        duration_ms: of the simulation.
        dt_ms: time step.
        seed: of what is drawn.

    Raises:
        CircuitError: for what Brian2 cannot do.

    Example:
        >>> from neurosal.graph import LIF, Population
        >>> cells = Population(size=2, model=LIF(bias_mv=30.0))
        >>> print(script(Circuit(name="pair", populations={"cells": cells})))  # doctest: +ELLIPSIS
        \"\"\"The circuit pair in Brian2...
    """
    return _Script(circuit, duration_ms, dt_ms, seed).text()


def numbers(circuit: Circuit, duration_ms: float = 1000.0, dt_ms: float = 0.1, seed: int = 0) -> dict[str, Any]:
    """What a script of the same arguments leaves to chance, as neurosal draws it: arrays by name.

    Returns:
        ``P.V`` for first values and constants of single units of a population (in the unit of their name), ``E.i``,
        ``E.j``, ``E.w`` and ``E.delay`` (ms) for synapses of a projection, ``S.steps`` and ``S.units`` for spikes, or
        ``S.counts`` [step, unit] where units of a source stand for many trains.
    """
    realised = realise(circuit, seed, dt_ms)
    description = describe(circuit, dt_ms=dt_ms)
    found: dict[str, Any] = {}
    for group in description.groups.values():
        (population,) = group.populations
        for name, values in {**realised.state[population], **realised.constants[population]}.items():
            if len(set(values.tolist())) > 1:
                found[f"{group.name}.{group.names[name]}"] = values
    for joint in description.joints:
        (name,) = joint.projections
        edges = realised.edges[name]
        found |= {f"{joint.name}.i": edges.pre, f"{joint.name}.j": edges.post}
        if joint.weight is None:
            found[f"{joint.name}.w"] = edges.weight
        if joint.delay is None:
            found[f"{joint.name}.delay"] = edges.delay * dt_ms
        found |= {f"{joint.name}.{joint.names[v]}": realised.variables[name][v] for v in joint.drawn}
    for population in description.sources:
        how, steps = sending(circuit, description, population), round(duration_ms / dt_ms)
        if how == "lanes":
            continue
        step_L, unit_L = realised.all_spikes(population, steps)
        if how == "inputs":
            units = realised.units(population)
            counts = np.bincount(step_L * units + unit_L, minlength=steps * units).reshape(steps, units)
            found[f"{identifier(population)}.counts"] = counts.astype(np.min_scalar_type(counts.max(initial=0)))
        else:
            found |= {f"{identifier(population)}.steps": step_L, f"{identifier(population)}.units": unit_L}
    return found


class _Script:
    """The parts of one script."""

    def __init__(self, circuit: Circuit, duration_ms: float, dt_ms: float, seed: int) -> None:
        self.circuit, self.duration_ms, self.dt_ms, self.seed = circuit, duration_ms, dt_ms, seed
        self.description: Description = describe(circuit, dt_ms=dt_ms)
        refuse_learning_from_many(circuit, self.description)
        self.lines: list[str] = []
        self.helpers: set[str] = set()
        self.spiking: list[tuple[str, int]] = []
        self.inputs: dict[str, str] = {}  # source → how it sends
        self._realised: Realised | None = None

    @property
    def realised(self) -> Realised:
        if self._realised is None:
            self._realised = realise(self.circuit, self.seed, self.dt_ms)
        return self._realised

    def text(self) -> str:
        self.lines = ["", "# Populations " + "-" * 66]
        for name in self.circuit.populations:
            group = self.description.groups.get(self.description.group_of[name])
            if group is not None:
                self._group(group)
            else:
                self._source(name)
        if self.description.joints:
            self.lines += ["", "# Projections " + "-" * 66]
        for joint in self.description.joints:
            self._joint(joint)
        self._orders()
        self._end()
        return "\n".join([self._head(), *self.lines]) + "\n"

    def _head(self) -> str:
        name = self.circuit.name
        title = f"The circuit {name} in Brian2" if name else "A circuit in Brian2"
        many = [source for source, how in self.inputs.items() if how == "lanes"]
        save = f", save for {', '.join(many)}, which Brian2 draws: rates are alike then, not spikes" if many else ""
        said = textwrap.fill(
            "What is left to chance (connections, first values, Poisson spikes) is drawn here, from the seed below. "
            "Where a file of the name of this script with the ending .npz lies beside it, the numbers in it are taken: "
            f"then the spikes are those of neurosal with the same seed{save}.",
            width=100,
        )
        parts = [
            f'"""{title}, written by neurosal.\n\n{said}\n"""',
            "",
            "from pathlib import Path",
            "",
            "import numpy as np",
            "from brian2 import *",
            "",
            f"defaultclock.dt = {self.dt_ms!r}*ms",
            f"seed({self.seed})",
            f"random = np.random.default_rng({self.seed})",
            'beside = Path(__file__).with_suffix(".npz")',
            "numbers = dict(np.load(beside)) if beside.exists() else {}",
            "",
            "",
            "def drawn(name, otherwise):",
            '    """The numbers of that name in the file beside this script, or drawn here."""',
            "    return numbers[name] if name in numbers else otherwise()",
            "",
        ]
        text = "\n".join(parts)
        return text + "".join(source for helper, source in HELPERS.items() if helper in self.helpers)

    # Populations -----------------------------------------------------------------------------------------------------

    def _group(self, group: Group) -> None:
        (population,) = group.populations
        model = self.circuit.populations[population].model
        self._say("", f"# {population}: {model!r}")
        for name, timed in group.timed.items():
            values = np.asarray(timed.values, float)
            every = time_of(max(round(timed.every_ms / self.dt_ms), 1), self.dt_ms)
            held = f"{group.name}_{group.names[name]}_values"
            self._say(f"{held} = TimedArray({array_of(values)}*{unit(name).quantity}, dt={every})")
        method = f'"{group.method}"'
        if group.steps is not None:
            method = f"{group.name}_step"
            self._step(group, method)
        tables = {f"{group.names[name]}_values": f"{group.name}_{group.names[name]}_values" for name in group.timed}
        fields = [f"threshold={text_of([group.threshold])}"] if group.threshold else []
        fields += [f"reset={text_of(group.reset)}"] if group.threshold else []
        if group.refractory is not None:
            fields.append(f"refractory={time_of(group.refractory, self.dt_ms)}")
        fields += [f"method={method}", f"namespace={namespace_of(group.constants, tables)}"]
        self._make(group.name, "NeuronGroup", [f"{group.size}", text_of(group.equations, always=True), *fields])
        dynamics = self._dynamics(population)
        for name in (*group.state, *group.single):
            value = dynamics.start.get(name, 0.0) if name in group.state else dynamics.constants[name]
            self._set(group, name, value)
        if group.threshold:
            self._monitor(group.name, group.size)

    def _step(self, group: Group, name: str) -> None:
        assert group.steps is not None
        self._say("", "", f"def {name}(equations, variables=None, method_options=None):")
        self._say(
            '    """An exact step of these linear equations for this dt, in SI units. (The method "exact" of Brian2',
            "    divides by zero, or loses digits, where time constants are equal or variables drive each other.)",
            '    """',
            '    return """',
            *(f"    {line}" for line in group.steps),
            '    """',
            "",
            "",
        )

    def _dynamics(self, population: str) -> Any:
        return self.realised.populations[population].dynamics

    def _set(self, group: Group, name: str, value: Any) -> None:
        """First values of a variable, or a constant of single units."""
        own, of = group.names[name], unit(name)
        scale = "" if of is PLAIN else f"*{of.quantity}"
        if isinstance(value, str):
            known = group.constants
            number = next((v for v, said in known.values() if said == value), None)
            text = f"{group.name}.{group.names[value]}" if number is None else repr(number) + scale
            self._say(f"{group.name}.{own} = {text}")
        elif isinstance(value, Initialiser) and not isinstance(value, Constant):
            draw = self._draw(value, str(group.size), group.size, group.size)
            self._say(f'{group.name}.{own} = drawn("{group.name}.{own}", lambda: {draw}){scale}')
        else:
            number = value.value if isinstance(value, Constant) else float(value)
            if number or name in group.single:
                self._say(f"{group.name}.{own} = {number!r}{scale}")

    def _source(self, population: str) -> None:
        name, model = identifier(population), self.circuit.populations[population].model
        units = self.realised_units(population)
        how = self.inputs[population] = sending(self.circuit, self.description, population)
        self._say("", f"# {population}: {short(repr(model))}")
        if how == "inputs":
            assert isinstance(model, PoissonSource)
            self._say(
                f"# Its {units} units stand for {model.merged} Poisson trains each, and have no group: see below."
            )
            return
        given = f'SpikeGeneratorGroup({units}, numbers["{name}.units"], numbers["{name}.steps"]*defaultclock.dt)'
        if how == "group":
            assert isinstance(model, PoissonSource)
            rates = array_of(np.asarray(model.rate_hz))
            self._either(name, given, f"PoissonGroup({units}, rates={rates}*Hz)")
        elif how == "timed":
            assert isinstance(model, InhomogeneousPoisson)
            table = model.rate_hz.timed()
            values = np.maximum(np.asarray(table.values, float), 0.0)
            index = "t" if values.ndim == 1 else "t, i"
            self._say(f"{name}_rates = TimedArray({array_of(values)}*Hz, dt={table.every_ms!r}*ms)")
            self._either(name, given, f'PoissonGroup({units}, rates="{name}_rates({index})")')
        elif how == "lanes":
            assert isinstance(model, PoissonSource)
            self._say(f"# Unit k * {units} + i is one of the {model.merged} trains of unit i.")
            rates = array_of(
                np.tile(np.asarray(model.rate_hz), model.merged if isinstance(model.rate_hz, tuple) else 1)
            )
            rates = f"{model.rate_hz!r}" if isinstance(model.rate_hz, float) else rates
            self._say(f"{name} = PoissonGroup({units * model.merged}, rates={rates}*Hz)")
            units *= model.merged
        else:
            self._given(name, population, units)
        self._monitor(name, units)

    def _either(self, name: str, given: str, drawn: str) -> None:
        self._say(f'if "{name}.steps" in numbers:', f"    {name} = {given}", "else:", f"    {name} = {drawn}")

    def _given(self, name: str, population: str, units: int) -> None:
        step_L, unit_L = self.realised.all_spikes(population, round(self.duration_ms / self.dt_ms))
        if len(np.unique(step_L * units + unit_L)) < len(step_L):
            raise CircuitError(
                Problem(place=f"populations.{population}.model",
                        expected="at most one spike of a unit a step, in a script for Brian2", found="several",
                        remedy='Take shorter steps, or ns.to_brian2(circuit, sources="shared", duration_ms=...).')
            )  # fmt: skip
        if len(step_L) > FEW:
            self._say(f"# Its {len(step_L)} spikes are in the file beside this script.")
            which = f'numbers["{name}.units"], numbers["{name}.steps"]'
        else:
            which = f"{unit_L.tolist()}, np.array({step_L.tolist()}, dtype=int)"
        self._say(f"{name} = SpikeGeneratorGroup({units}, {which}*defaultclock.dt)")

    def realised_units(self, population: str) -> int:
        """How many units a population has."""
        return int(np.prod(self.circuit.populations[population].extent))

    def _monitor(self, name: str, units: int) -> None:
        self._say(f"spikes_{name} = SpikeMonitor({name})")
        self.spiking.append((name, units))

    # Projections -----------------------------------------------------------------------------------------------------

    def _joint(self, joint: Joint) -> None:
        (name,) = joint.projections
        edge = self.circuit.projections[name]
        delay = "" if joint.delay is None else f", delay {joint.delay * self.dt_ms:g} ms"
        self._say("", f"# {name}: {edge.source} to {edge.target}, {edge.wiring!r}{delay}"
                      + ("" if edge.plasticity.kind == "fixed" else f", {short(repr(edge.plasticity))}"))  # fmt: skip
        if self.inputs.get(edge.source) == "inputs":
            self._counted(joint, edge)
            return
        constants = dict(joint.constants)
        if joint.weight is not None:
            constants["w"] = (joint.weight, "w")
        source = identifier(edge.source) if edge.source in self.inputs else joint.ends[0]
        fields = [f"on_pre={text_of(joint.on_pre)}"] if joint.on_pre else []
        fields += [f"on_post={text_of(joint.on_post)}"] if joint.on_post else []
        if joint.delay and joint.on_pre:
            fields.append(f"delay={time_of(joint.delay, self.dt_ms)}")
        if constants:
            fields.append(f"namespace={namespace_of(constants, {})}")
        equations = [text_of(joint.equations, always=True)] if joint.equations else []
        self._make(joint.name, "Synapses", [f"{source}, {joint.ends[1]}", *equations, *fields])
        self._connect(joint, name, edge)
        self._first(joint, name, edge)
        self._steps(joint)

    def _counted(self, joint: Joint, edge: Projection) -> None:
        """Trains of a source without units: how many spikes arrive at each unit in a step, or a `PoissonInput`."""
        model = self.circuit.populations[edge.source].model
        assert isinstance(model, PoissonSource)
        source, target = identifier(edge.source), joint.ends[1]
        variable = joint.on_pre[0].split("_post")[0]
        weight = f"{joint.weight!r}" + ("" if joint.weight_unit == "1" else f"*{joint.weight_unit}")
        held = variable in {self.description.groups[target].names[v] for v in self._dynamics(edge.target).held}
        late = f" - {joint.delay}" if joint.delay else ""
        lost = f"*{target}.not_refractory" if held else ""
        order = joint.number - len(self.circuit.projections)
        self._say(
            f'if "{source}.counts" in numbers:',
            f'    {joint.name}_counts = numbers["{source}.counts"]  # spikes of all trains of a unit: [step, unit]',
            "",
            f'    @network_operation(when="synapses", order={order})',
            f"    def {joint.name}():",
            f"        step = defaultclock.timestep[:]{late}",
            *(["        if step < 0:", "            return"] if late else []),
            f"        {target}.{variable} += {joint.name}_counts[step]{lost}*{weight}",
            "",
            "else:",
        )
        if late:
            self._say("    # A PoissonInput has no delay: its spikes, whose rate is constant, begin that much earlier.")
        self._say(f'    {joint.name} = PoissonInput({target}, "{variable}", N={model.merged}, '
                  f"rate={model.rate_hz!r}*Hz, weight={weight})")  # fmt: skip

    def _connect(self, joint: Joint, name: str, edge: Projection) -> None:
        own, wiring = joint.name, edge.wiring
        alone = edge.source == edge.target and not getattr(wiring, "allow_autapses", False)
        pre, post = self.realised_units(edge.source), self.realised_units(edge.target)
        lanes = self.inputs.get(edge.source) == "lanes"
        condition = 'condition="i != j"' if alone or isinstance(wiring, OneToOthers) else ""
        match wiring:
            case _ if isinstance(edge.weights, Copy | Transpose):
                other = identifier(edge.weights.of)
                how = f"i={other}.j[:], j={other}.i[:]"
            case EdgeList():
                edges = np.asarray(sorted(wiring.edges))  # the order in which all numbers of synapses stand
                few = len(edges) <= FEW
                how = f"i={edges[:, 0].tolist()}, j={edges[:, 1].tolist()}" if few else ""
            case OneToOne():
                how = f'j="i % {pre}"' if lanes else 'j="i"'
            case Sparse():
                how = ", ".join(filter(None, (condition, f"p={wiring.density!r}")))
            case FixedInDegree():
                self.helpers.add("chosen")
                how = f"**dict(zip('ji', chosen({post}, {pre}, {wiring.inputs}, own={not alone})))"
            case FixedOutDegree():
                self.helpers.add("chosen")
                how = f"**dict(zip('ij', chosen({pre}, {post}, {wiring.outputs}, own={not alone})))"
            case FixedTotal():
                count = wiring.synapses
                how = f"i=random.integers({pre}, size={count}), j=random.integers({post}, size={count})"
            case _:
                how = condition
        if lanes and not isinstance(wiring, OneToOne):
            self._say(f"trains = np.arange({self.realised_trains(edge.source)})[:, None]*{pre}  # all of a unit alike")
            edges_ = self.realised.edges[name]
            which = f"np.array({edges_.pre.tolist()})" if len(edges_) <= FEW else f'numbers["{own}.i"]'
            ends = f"np.array({edges_.post.tolist()})" if len(edges_) <= FEW else f'numbers["{own}.j"]'
            self._say(f"{own}.connect(i=np.ravel(trains + {which}), j=np.tile({ends}, len(trains)))")
        elif not how and isinstance(wiring, EdgeList):
            self._say(f'{own}.connect(i=numbers["{own}.i"], j=numbers["{own}.j"])  # in the file beside this script')
        elif isinstance(wiring, Sparse | FixedInDegree | FixedOutDegree | FixedTotal):
            self._say(f'if "{own}.i" in numbers:', f'    {own}.connect(i=numbers["{own}.i"], j=numbers["{own}.j"])',
                      "else:", f"    {own}.connect({how})")  # fmt: skip
        else:
            self._say(f"{own}.connect({how})")

    def realised_trains(self, source: str) -> int:
        """How many trains a unit of a source stands for."""
        return int(getattr(self.circuit.populations[source].model, "merged", 1))

    def _first(self, joint: Joint, name: str, edge: Projection) -> None:
        own = joint.name
        fans = tuple(edge.wiring.fans(self.circuit.populations[edge.target].extent,
                                      self.circuit.populations[edge.source].extent))  # fmt: skip
        if joint.weight is None:
            if isinstance(edge.weights, Copy | Transpose):
                other = next(j for j in self.description.joints if edge.weights.of in j.projections)
                draw = f"np.full(len({own}), {other.weight!r})" if other.weight is not None else f"{other.name}.w[:]"
            else:
                init = listed(edge.weights.init, edge.wiring)  # type: ignore[attr-defined]
                draw = self._draw(init, f"len({own})", *fans)
            if edge.sign is not None:
                draw = f"np.{'maximum' if edge.sign == 'excitatory' else 'minimum'}({draw}, 0)"
            draw = _within(draw, edge)
            lanes = self.inputs.get(edge.source) == "lanes"
            self._say(f"{own}.w = {draw}" if lanes else f'{own}.w = drawn("{own}.w", lambda: {draw})')
        if joint.delay is None and joint.on_pre:
            assert isinstance(edge.delay_ms, Initialiser)
            draw = f"np.maximum({self._draw(listed(edge.delay_ms, edge.wiring), f'len({own})', 1, 1)}, 0)"
            self._say(f'{own}.delay = drawn("{own}.delay", lambda: {draw})*ms')
        for variable, value in self.realised.programs[name].variables.items():
            brian = joint.names[variable]
            if isinstance(value, Initialiser):
                draw = self._draw(value, f"len({own})", 1, 1)
                self._say(f'{own}.{brian} = drawn("{own}.{brian}", lambda: {draw})')
            elif value:
                self._say(f"{own}.{brian} = {float(value)!r}")

    def _steps(self, joint: Joint) -> None:
        own, first = joint.name, 10 * joint.number
        every = f"dt={time_of(joint.apart, self.dt_ms)}"
        if joint.each_step:
            self._say(f'{own}.run_regularly({text_of(joint.each_step)}, when="end", order={first})')
        if joint.summed:
            self._say(f'{joint.ends[1]}.run_regularly("{joint.summed} = 0", {every}, when="end", order={first + 1})')
            self._say(f'{own}.run_regularly("{joint.summed}_post += w", {every}, when="end", order={first + 2})')
        if joint.at_intervals:
            self._say(f'{own}.run_regularly({text_of(joint.at_intervals)}, {every}, when="end", order={first + 3})')
        if joint.late:
            self._say("# What these statements read relaxes until the next step.",
                      f'{own}.run_regularly({text_of(joint.late)}, when="end", order={first + 4})')  # fmt: skip

    # The end ---------------------------------------------------------------------------------------------------------

    def _orders(self) -> None:
        """Arrivals in the order of the circuit, then what happens when targets spike."""
        made = [j for j in self.description.joints if self.inputs.get(j.ends[0]) != "inputs"]
        arriving = [j.name for j in made if j.on_pre]
        if len(arriving) < 2:
            return
        self._say("", "# Spikes arrive projection after projection, in this order; by itself Brian2 goes by names.",
                  *_loop(arriving),
                  f"    synapses.pre.order = order - {len(arriving)}")  # fmt: skip
        firing = [j.name for j in made if j.on_post]
        if firing:
            self._say(*_loop(firing), "    synapses.post.order = order + 1")  # fmt: skip

    def _end(self) -> None:
        self._say("", f"run({self.duration_ms!r}*ms)", "")
        for name, units in self.spiking:
            rate = f"{{spikes_{name}.num_spikes/{units}/({self.duration_ms!r}*ms)/Hz:.2f}}"
            self._say(f'print(f"{name}: {{spikes_{name}.num_spikes}} spikes, {rate} Hz")')

    def _draw(self, init: Initialiser | float, count: str, fan_in: float, fan_out: float) -> str:
        """Numbers of a distribution, as an expression of NumPy."""
        if isinstance(init, TruncatedNormal):
            self.helpers.add("truncated")
        return draw(init, count, fan_in, fan_out)

    def _say(self, *lines: str) -> None:
        self.lines += lines

    def _make(self, name: str, kind: str, fields: Iterable[str]) -> None:
        self._say(f"{name} = {kind}(", *(f"    {field}," for field in fields), ")")


def _within(draw: str, edge: Projection) -> str:
    """Draws that may fall beyond the bounds of plasticity start at the bound."""
    low, high = edge.plasticity.bounds()
    lowest, _, highest = first_weights(getattr(edge.weights, "init", Normal()))
    if lowest >= low and highest <= high:
        return draw
    ends = ("None" if abs(end) == np.inf else repr(end) for end in (low, high))
    return f"np.clip({draw}, {', '.join(ends)})"


def _loop(names: Sequence[str]) -> list[str]:
    """The head of a loop over synapses."""
    return ["for order, synapses in enumerate([", *(f"    {name}," for name in names), "]):"]
