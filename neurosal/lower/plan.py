"""The order of work of one training step, derived from the graph alone: which signal is computed when, and which weight
changes when.

A plan never looks at the name of a rule: feedback edges, origins of weights and plasticity say everything. It is
printable and needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from neurosal.graph import Circuit, Constant, Own, Projection, Rate, Relay, Router, Source


@dataclass(frozen=True, kw_only=True)
class Route:
    """Choose an area for each sample."""

    router: str
    source: str

    def __str__(self) -> str:
        return f"route    {self.router}: areas from {self.source}"


@dataclass(frozen=True, kw_only=True)
class Forward:
    """``a = b + Σ W h``, ``h = f(a)``; with lateral projections h settles."""

    population: str
    projections: tuple[str, ...]
    lateral: tuple[str, ...] = ()

    def __str__(self) -> str:
        settling = f", settling along {', '.join(self.lateral)}" if self.lateral else ""
        return f"forward  {self.population} from {', '.join(self.projections) or 'its bias'}{settling}"


@dataclass(frozen=True, kw_only=True)
class Output:
    """``δ = ∂ℓ/∂a`` of the output, per sample."""

    population: str

    def __str__(self) -> str:
        return f"loss     {self.population}"


@dataclass(frozen=True, kw_only=True)
class Contraction:
    """A relay without signals of its own: its hops are joined, ``e = (R B) δ``, and ``ΔR = (Σ h δᵀ) Bᵀ``.

    Args:
        first, second: the projections B to the relay and R from it.
        source, target: where they come from and where they lead.
        least: samples of a batch from which that costs less.
    """

    relay: str
    first: str
    second: str
    source: str
    target: str
    least: int

    def __str__(self) -> str:
        return f"join     {self.first} and {self.second} in batches of {self.least} or more"


@dataclass(frozen=True, kw_only=True)
class Backward:
    """``e = Σ B δ``, ``δ = e f'(a)``; projections in `targets` carry the target in place of δ, those of `contracted`
    are joined with the hop before them."""

    population: str
    projections: tuple[str, ...]
    targets: frozenset[str] = frozenset()
    contracted: tuple[Contraction, ...] = ()

    def __str__(self) -> str:
        joined = {each.second: f"{each.second} ({each.first} joined)" for each in self.contracted}
        sent = [f"{name} (target)" if name in self.targets else joined.get(name, name) for name in self.projections]
        return f"error    {self.population} from {', '.join(sent)}"


@dataclass(frozen=True, kw_only=True)
class Term:
    """One product of signals: (population, kind of signal) at the post- and at the pre-synaptic end of the *stored*
    orientation.

    Weights are stored forward: ``reversed`` projections (feedback, ties) keep theirs as the transpose, so that the
    products of a reciprocal pair have one layout and are recognised as one.
    """

    post: tuple[str, str]
    pre: tuple[str, str]
    wiring: str
    reduction: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """Change these weights, all by the same sum of products; or, when ``terms`` is empty, by the update of their own
    plasticity. The second hops of `contracted` change by that sum times the first ones.

    Args:
        biases: populations whose bias changes by the sum of their error.
        own: other parameters of populations (``hidden1.scale``), whose change is a by-product of the error's way
            through the population.
    """

    projections: tuple[str, ...]
    terms: tuple[Term, ...]
    biases: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    contracted: tuple[Contraction, ...] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """All parameters of populations that change here, as ``population.parameter``."""
        return (*(f"{name}.bias" for name in self.biases), *self.own)

    @property
    def plain(self) -> Change:
        """The change without second hops."""
        return replace(self, contracted=()) if self.contracted else self

    def __str__(self) -> str:
        products = " + ".join(f"{t.post[1]}({t.post[0]}) x {t.pre[1]}({t.pre[0]})" for t in self.terms) or "own update"
        joined = "".join(f", {each.second} by that times {each.first}" for each in self.contracted)
        return f"change   {', '.join([*self.projections, *self.cells])} by {products}{joined}"


Phase = Route | Forward | Output | Backward | Change


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All phases of a step, and what the phases need to know of populations and projections."""

    circuit: Circuit
    forward: tuple[Route | Forward, ...]
    output: Output
    backward: tuple[Backward | Change, ...]
    without_error: tuple[Change, ...] = ()  # all that changes in a step without a loss
    routes: dict[str, str] = field(default_factory=dict)  # population with areas → router
    orders: dict[str, str | None] = field(default_factory=dict)  # population → router in whose order its samples stand
    reversed: frozenset[str] = frozenset()  # projections whose weights are stored as the transpose
    owners: dict[str, str] = field(default_factory=dict)  # projection → projection whose storage it reads
    contractions: tuple[Contraction, ...] = ()  # of relays, each done in batches that are large enough

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes, in the order in which they happen."""
        return tuple(phase for phase in self.backward if isinstance(phase, Change))

    @property
    def with_error(self) -> frozenset[str]:
        """Populations at which an error exists."""
        return frozenset({self.output.population, *(p.population for p in self.backward if isinstance(p, Backward))})

    def __str__(self) -> str:
        lines = [*self.forward, self.output, *self.backward]
        return "\n".join([*(f"{index:3d}  {phase}" for index, phase in enumerate(lines)), *map(str, self.contractions)])


def plan(circuit: Circuit) -> Plan:
    """The plan of a circuit that passed the checks.

    Example:
        >>> from neurosal import circuits, rules
        >>> print(plan(rules.fa(circuits.mlp(4, 3, 2))))  # doctest: +NORMALIZE_WHITESPACE
          0  forward  hidden1 from input_to_hidden1
          1  forward  output from hidden1_to_output
          2  loss     output
          3  change   hidden1_to_output, output.bias by error(output) x activity(hidden1)
          4  error    hidden1 from output_to_hidden1
          5  change   input_to_hidden1, hidden1.bias by error(hidden1) x activity(input)
    """
    routes = {
        name: router
        for name in circuit.populations
        if circuit.populations[name].areas > 1 and (router := circuit.router_of(name))
    }
    owners, turned = _storage(circuit)
    output = Output(population=circuit.output)
    backward = _backward(circuit, output.population)
    reached = {output.population: -1} | {phase.population: index for index, phase in enumerate(backward)}
    made = Plan(
        circuit=circuit,
        forward=_forward(circuit),
        output=output,
        backward=_with_changes(circuit, reached, backward, owners, turned),
        without_error=tuple(
            phase for phase in _with_changes(circuit, {}, [], owners, turned) if isinstance(phase, Change)
        ),
        routes=routes,
        orders=_orders(circuit, routes),
        reversed=turned,
        owners=owners,
    )
    from neurosal.lower.contraction import contractions  # it takes plans

    return replace(made, contractions=contractions(made))


def _forward(circuit: Circuit) -> tuple[Route | Forward, ...]:
    phases: list[Route | Forward] = []
    routers = {
        name: edge for name, edge in circuit.select(pathway="modulatory").items() if isinstance(edge.wiring, Router)
    }
    for name in _layers_with_routes(circuit, routers):
        if not isinstance(circuit.populations[name].model, Source):
            phases.append(
                Forward(
                    population=name,
                    projections=tuple(circuit.select(pathway="feedforward", target=name)),
                    lateral=tuple(circuit.select(pathway="lateral", target=name)),
                )
            )
        phases += [Route(router=router, source=name) for router, edge in routers.items() if edge.source == name]
    return tuple(phases)


def _layers_with_routes(circuit: Circuit, routers: Mapping[str, Projection]) -> list[str]:
    """Populations in forward order, where a population also waits for the population that its router reads."""
    names = circuit.layers()
    needs = {
        name: {edge.source for edge in circuit.select(pathway="feedforward", target=name).values()} for name in names
    }
    for name in names:
        router = circuit.router_of(name)
        if router is not None:
            needs[name].add(circuit.projections[router].source)
    ordered: list[str] = []
    while len(ordered) < len(names):
        ready = [name for name in names if name not in ordered and needs[name] <= set(ordered)]
        assert ready, "the checks let a cycle through routing pass"
        ordered.append(ready[0])
    return ordered


def _backward(circuit: Circuit, output: str) -> list[Backward]:
    """Populations that error reaches, in an order in which it can travel."""
    reached, phases = {output}, []
    for name in circuit.error_order():
        heard = circuit.select(pathway="feedback", target=name)
        incoming = tuple(edge for edge, value in heard.items() if value.source in reached)
        if incoming and name != output:
            # Its own, which reaches its past, comes with what others bring.
            incoming += tuple(edge for edge, value in heard.items() if value.source == name)
            targets = frozenset(edge for edge in incoming if circuit.projections[edge].carries == "target")
            phases.append(Backward(population=name, projections=incoming, targets=targets))
            reached.add(name)
    return phases


def _orders(circuit: Circuit, routes: dict[str, str]) -> dict[str, str | None]:
    """In whose order samples stand at each population: its own router's, else its first source's, so that few copies
    are needed."""
    orders: dict[str, str | None] = {}
    for name in [*circuit.layers(), *circuit.error_order()]:
        if name in orders:
            continue
        pathway = "feedback" if isinstance(circuit.populations[name].model, Relay) else "feedforward"
        sources = [edge.source for edge in circuit.select(pathway=pathway, target=name).values()]  # type: ignore[arg-type]
        orders[name] = routes.get(name, orders.get(sources[0]) if sources else None)
    return orders


def _storage(circuit: Circuit) -> tuple[dict[str, str], frozenset[str]]:
    """Whose storage each projection reads, and which read it as the transpose of how it is stored."""
    owners, turned = {}, set()
    for name, edge in circuit.projections.items():
        if edge.pathway == "modulatory" or edge.wiring.weightless:
            continue
        owner, flips = name, False
        while (tie := circuit.projections[owner].tied_to) is not None:
            owner, flips = tie, not flips
        stored_turned = circuit.projections[owner].pathway == "feedback"
        owners[name] = owner
        if flips != stored_turned:
            turned.add(name)
    return owners, frozenset(turned)


def _with_changes(
    circuit: Circuit, step_of: dict[str, int], backward: list[Backward], owners: dict[str, str], turned: frozenset[str]
) -> tuple[Backward | Change, ...]:
    """Each change as early as it may happen: its signals are there, and nobody reads its weights any more.

    Args:
        step_of: population that error reaches → index of the phase that brings it, -1 for the output.
    """
    last_read: dict[str, int] = {}
    for index, phase in enumerate(backward):
        for name in phase.projections:
            last_read[owners.get(name, name)] = index
    terms: dict[str, list[Term]] = {}
    ready: dict[str, int] = {}
    own_update: list[str] = []
    for name, edge in circuit.projections.items():
        if not circuit.learns(name):
            continue
        signals = {
            "pre_activity": edge.source,
            "post_activity": edge.target,
            "pre_error": edge.source,
            "post_error": edge.target,
        }
        errors = [signals[need] for need in edge.plasticity.needs if need.endswith("error")]
        if any(population not in step_of for population in errors):
            continue
        owner = owners[name]
        ready[owner] = max(
            [ready.get(owner, -1), last_read.get(owner, -1), *(step_of[population] for population in errors)]
        )
        if edge.plasticity.product is None:
            own_update.append(name)
            continue
        ends = [(signals[signal], signal.split("_")[1]) for signal in edge.plasticity.product]
        # A tie is stored as its owner stores it, so the product of a turned projection has its ends exchanged.
        post, pre = ends[::-1] if name in turned else ends
        terms.setdefault(owner, []).append(
            Term(
                post=post,
                pre=pre,
                wiring=(edge.wiring.reversed() if name in turned else edge.wiring).functions,
                reduction=getattr(edge.plasticity, "reduction", "batch"),
            )
        )
    return tuple(_merge(circuit, backward, step_of, terms, ready, own_update))


def _merge(
    circuit: Circuit,
    backward: list[Backward],
    step_of: dict[str, int],
    terms: dict[str, list[Term]],
    ready: dict[str, int],
    own_update: list[str],
) -> list[Backward | Change]:
    """Backward phases with the changes between them; projections with equal products and equal ends share one
    change."""
    groups: dict[tuple[Term, ...], list[str]] = {}
    for name, products in terms.items():
        groups.setdefault(tuple(products), []).append(name)
    changes: list[tuple[int, tuple[str, ...], tuple[Term, ...]]] = [
        (max(ready[name] for name in names), tuple(names), shared) for shared, names in groups.items()
    ]
    changes += [(ready[name], (name,), ()) for name in own_update]
    biased, owning = _biases(circuit, step_of), _owning(circuit, step_of)
    placed: list[tuple[int, Change]] = []
    for index, names, shared in changes:
        hosts = {
            circuit.projections[name].target for name in names if circuit.projections[name].pathway == "feedforward"
        }
        mine = tuple(sorted(hosts & set(biased)))
        biased = [name for name in biased if name not in mine]
        owners = sorted(hosts & set(owning))
        own = tuple(key for name in owners for key in owning.pop(name))
        # A bias needs its population's error only; it travels with a weight of that population to save a phase.
        when = max([index, *(step_of[name] for name in (*mine, *owners))])
        placed.append((when, Change(projections=names, terms=shared, biases=mine, own=own)))
    for name in dict.fromkeys([*biased, *owning]):
        biases, own = (name,) if name in biased else (), owning.get(name, ())
        placed.append((step_of[name], Change(projections=(), terms=(), biases=biases, own=own)))
    phases: list[Backward | Change] = [change for index, change in placed if index < 0]
    for index, phase in enumerate(backward):
        phases.append(phase)
        phases += [change for when, change in placed if when == index]
    return phases


def _biases(circuit: Circuit, step_of: dict[str, int]) -> list[str]:
    """Populations whose bias learns: they have one, an error reaches them, and at least one of their feedforward
    projections learns from it."""
    return [
        name
        for name, population in circuit.populations.items()
        if isinstance(population.model, Rate)
        and population.model.bias
        and name in step_of
        and _learns_into(circuit, name)
    ]


def _owning(circuit: Circuit, step_of: dict[str, int]) -> dict[str, tuple[str, ...]]:
    """Populations with other parameters that learn: by the same rule as a bias; and where all that a population hears
    comes along constant projections (skips, pooling), wherever an error reaches it."""
    return {
        name: tuple(f"{name}.{key}" for key in population.parameters if key != "bias")
        for name, population in circuit.populations.items()
        if name in step_of
        and population.parameters.keys() - {"bias"}
        and getattr(population.model, "plastic", True)
        and (_learns_into(circuit, name) or _hears_constants(circuit, name))
    }


def _learns_into(circuit: Circuit, population: str) -> bool:
    edges = circuit.select(pathway="feedforward", target=population).values()
    return any("post_error" in edge.plasticity.needs for edge in edges)


def _hears_constants(circuit: Circuit, population: str) -> bool:
    edges = circuit.select(pathway="feedforward", target=population).values()
    return all(getattr(edge.wiring, "weightless", False) or _is_constant(edge) for edge in edges)


def _is_constant(edge: Projection) -> bool:
    return isinstance(edge.weights, Own) and isinstance(edge.weights.init, Constant) and not edge.plasticity.plastic
