"""One replica of a network as a plain torch module, and back.

The module is a `torch.fx.GraphModule`: its submodules are called as the projections are, ``print(module.code)`` shows
what it computes as a few lines of torch, and `torch.export` takes it. Letters: K area, N sample, O post, I pre, U unit,
r routing dimension.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import index
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.nn import functional

from neurosal.engine.layers import (
    NORMS,
    TORCH_NAMES,
    AreaLinear,
    AreaRouter,
    MaskedLinear,
    OneToOne,
    Values,
    area_linear,
    by_channel,
    convolution_layer,
    no_input,
    norm_layer,
    weightless_layer,
)
from neurosal.errors import CircuitError, ExperimentError, Problem, near
from neurosal.graph import Block, Rate, SignOf
from neurosal.graph.convolution import Convolution
from neurosal.lower.plan import Forward, Route

if TYPE_CHECKING:
    from neurosal.engine.network import Network

VALUES: dict[str, Any] = {
    "linear": None,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": functional.gelu,
    "elu": functional.elu,
    "softplus": functional.softplus,
}


# What of a network goes into it ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Part:
    """One tensor of the module: a view of the network's own.

    Args:
        values: live.
        learns: whether it is a parameter that an optimiser may move; else a fixed one.
        state: whether it is a buffer: what an optimiser never moves.
        compared: whether a module that is loaded must have the same, since it is not the module's to change.
    """

    values: Tensor
    learns: bool = False
    state: bool = False
    compared: bool = False


@dataclass
class Layout:
    """All tensors of one replica's module, and where they are read."""

    parts: dict[str, Part] = field(default_factory=dict)  # key of the state_dict → tensor
    names: dict[str, str] = field(default_factory=dict)  # projection, router or population → name of a submodule
    biased: dict[str, str] = field(default_factory=dict)  # population → projection whose layer has its bias
    norms: dict[str, str] = field(default_factory=dict)  # population → name of the submodule that normalises it
    dropouts: dict[str, str] = field(default_factory=dict)  # population → name of the submodule that drops units


def lay_out(network: Network, replica: int) -> Layout:
    """What the module of this replica holds.

    Raises:
        ExperimentError: for a replica that is not there. CircuitError: naming each thing that has no module.
    """
    replica = _pick(network, replica)
    refuse_unknown(network)
    parameters, plan, circuit = network._parameters, network.plan, network.circuit
    layout = Layout()
    found = {
        *plan.owners.values(),
        *circuit.projections,
        *circuit.populations,
        *(phase.router for phase in plan.forward if isinstance(phase, Route)),
    }
    models = {name: population.model for name, population in circuit.populations.items()}
    normed = {name: f"{name}_norm" for name, model in models.items() if isinstance(model, Rate) and model.norm}
    dropped = {name: f"{name}_dropout" for name, model in models.items() if isinstance(model, Rate) and model.dropout}
    layout.names = _safe_names(sorted({*found, *normed.values(), *dropped.values()}))
    layout.norms = {name: layout.names[norm] for name, norm in normed.items()}
    layout.dropouts = {name: layout.names[drop] for name, drop in dropped.items()}
    for phase in plan.forward:
        if isinstance(phase, Route):
            tensors, name = network._routers[phase.router].tensors, layout.names[phase.router]
            kept = ["weight", "prototypes", *(["mean"] if network._routers[phase.router].wiring.centre_rate else [])]
            layout.parts |= {f"{name}.{key}": Part(values=tensors[key][replica], state=True) for key in kept}
            continue
        for projection in (*phase.projections, *phase.lateral):
            _add_projection(network, projection, replica, layout)
        _add_bias(network, phase, replica, layout)
        _add_norm(network, phase.population, replica, layout)
    for population, keep_RU in parameters.lesions.silenced.items():
        if population in circuit.layers():
            keep = keep_RU[replica].view(circuit.populations[population].extent)
            part = Part(values=keep, state=True, compared=True)
            layout.parts[f"{layout.names[population]}.keep"] = part
    return layout


def _add_projection(network: Network, projection: str, replica: int, layout: Layout) -> None:
    """The synapses that a projection reads, under the name of the projection that owns them."""
    if network.circuit.projections[projection].wiring.weightless:
        return
    parameters, owner = network._parameters, network.plan.owners[projection]
    values = _as_layer(network, owner, parameters.oriented(owner, parameters.full[owner])[replica])
    learns = network.circuit.projections[owner].plasticity.plastic
    layout.parts[f"{layout.names[owner]}.weight"] = Part(values=values, learns=learns)
    if (mask := parameters.mask_of(owner)) is not None:
        layout.parts[f"{layout.names[owner]}.mask"] = Part(
            values=_as_layer(network, owner, mask[replica]), state=True, compared=True
        )
    if isinstance(network.circuit.projections[projection].weights, SignOf):
        used = parameters.signs.used[projection]
        scale = (
            parameters.oriented(projection, used)[replica] if isinstance(used, Tensor) else values.new_tensor([used])
        )
        part = Part(values=_areas(scale), state=True, compared=True)
        layout.parts[f"{layout.names[projection]}.magnitude"] = part


def _add_bias(network: Network, phase: Forward, replica: int, layout: Layout) -> None:
    """The bias lies in the layer of the first projection where that is a linear one with as many areas, as in the
    network's own sum; else it has a place of its own."""
    population, parameters = phase.population, network._parameters
    bias = parameters.biases.get(f"{population}.bias")
    if bias is None:
        return
    first, place = next(iter(phase.projections), None), population
    if first is not None and _plain(network, first) and parameters.areas[first] == bias.shape[1]:
        place = layout.biased[population] = first
    layout.parts[f"{layout.names[place]}.bias"] = Part(values=_areas(bias[replica]), learns=True)


def _plain(network: Network, projection: str) -> bool:
    """Whether a projection is a layer with a bias: a convolution, or dense to units, with synapses of its own."""
    edge = network.circuit.projections[projection]
    if network.plan.owners.get(projection) != projection:
        return False
    dense = edge.wiring.functions == "dense" and not network.circuit.populations[edge.target].spatial
    return dense or isinstance(edge.wiring, Convolution)


def _as_layer(network: Network, projection: str, values: Tensor) -> Tensor:
    """Weights [K, ...] of one replica as a layer has them: groups of channels one after the other, units of a
    population with space with its extent; a view."""
    edge, values = network.circuit.projections[projection], _areas(values)
    if isinstance(edge.wiring, Convolution) and edge.wiring.groups > 1:
        return values.flatten(0, 1)
    if edge.wiring.kind == "one_to_one":
        return values.unflatten(-1, network.circuit.populations[edge.target].extent)
    return values


def _add_norm(network: Network, population: str, replica: int, layout: Layout) -> None:
    """What a population's norm learns, and its running statistics."""
    if population not in layout.norms:
        return
    place, parameters = layout.norms[population], network._parameters
    for key, name in TORCH_NAMES.items():
        if (values := parameters.biases.get(f"{population}.{key}")) is not None:
            layout.parts[f"{place}.{name}"] = Part(values=_areas(values[replica]), learns=True)
        if (values := parameters.statistics.get(f"{population}.{key}")) is not None:
            layout.parts[f"{place}.{name}"] = Part(values=values[replica], state=True)


def _areas(values: Tensor) -> Tensor:
    return values[0] if len(values) == 1 else values


def _pick(network: Network, replica: int) -> int:
    count = network.replicas
    if not hasattr(replica, "__index__") or isinstance(replica, bool) or not -count <= index(replica) < count:
        raise ExperimentError(
            Problem(place="replica", expected=f"a whole number below {count}", found=repr(replica),
                    remedy="One module holds one replica; make one of each.")
        )  # fmt: skip
    return index(replica) % count


def refuse_unknown(network: Network) -> None:
    """Refuse what cannot be said in plain torch.

    Raises:
        CircuitError: naming each.
    """
    problems = []
    for phase in network.plan.forward:
        if isinstance(phase, Route):
            continue
        model = network.circuit.populations[phase.population].model
        if not isinstance(model, Rate) or isinstance(model, Block) or model.activation not in VALUES:
            found = repr(getattr(model, "activation", "") if model.kind == "rate" else model.kind)
            expected = f"a rate model with one of the activations {', '.join(VALUES)}"
            problems.append(Problem(place=f"populations.{phase.population}.model", expected=expected, found=found))
        elif model.norm is not None and type(model.norm) not in NORMS:
            place = f"populations.{phase.population}.model.norm"
            expected = f"{', '.join(norm.kind for norm in NORMS)}, or none"
            problems.append(Problem(place=place, expected=expected, found=repr(model.norm.kind)))
        for name in (*phase.projections, *phase.lateral):
            wiring = network.circuit.projections[name].wiring
            if not _has_layer(network, name):
                problems.append(
                    Problem(
                        place=f"projections.{name}.wiring",
                        expected="wiring that is dense, one-to-one or a part of these; pooling, a shortcut, or a "
                        "convolution of one area with synapses of its own",
                        found=repr(wiring.kind),
                        remedy="It has no torch module; export what stands around it.",
                    )
                )
    if problems:
        raise CircuitError(problems)


def _has_layer(network: Network, projection: str) -> bool:
    edge, populations = network.circuit.projections[projection], network.circuit.populations
    if edge.wiring.weightless:
        return (
            weightless_layer(edge.wiring, populations[edge.target].extent, populations[edge.source].extent) is not None
        )
    if isinstance(edge.wiring, Convolution):
        return network.plan.owners[projection] == projection and network._parameters.areas[projection] == 1
    return edge.wiring.functions in ("dense", "one_to_one")


def _safe_names(names: list[str]) -> dict[str, str]:
    """Names as attributes of a module: as they are, where Python and torch leave them free."""
    found: dict[str, str] = {}
    for name in names:
        safe = name.replace("-", "_")
        safe = f"_{safe}" if safe[0].isdigit() else safe
        while keyword.iskeyword(safe) or hasattr(GraphModule, safe) or safe in (*found.values(), "training", "graph"):
            safe += "_"
        found[name] = safe
    return found


# Making it ------------------------------------------------------------------------------------------------------------


def to_module(network: Network, replica: int = 0) -> GraphModule:
    """The module of one replica; see `Network.to_module`."""
    layout = lay_out(network, replica)
    root = nn.Module()
    for key, part in layout.parts.items():
        name, _, entry = key.rpartition(".")
        if not hasattr(root, name):
            root.add_module(name, Values())
        values = part.values.detach().clone().contiguous()
        owner = getattr(root, name)
        if part.state:
            owner.register_buffer(entry, values)
        else:
            owner.register_parameter(entry, nn.Parameter(values, requires_grad=part.learns))
    written = _Written(network, layout, root)
    title = "".join(word for word in network.circuit.name.replace("-", "_").title().split("_") if word)
    module = GraphModule(root, written.graph, title if title.isidentifier() else "Circuit")
    unread = {key.rpartition(".")[0] for key in layout.parts} - {name for name, _ in module.named_children()}
    assert not unread, unread
    return module.eval()


class _Written:
    """The graph of a module, written in the order of the network's plan."""

    def __init__(self, network: Network, layout: Layout, root: nn.Module) -> None:
        self.network, self.layout, self.root = network, layout, root
        self.graph = Graph()
        self.activity: dict[str, Node] = {}
        self.area: dict[str, Node] = {}  # router → area of each sample
        names = layout.names
        for population in network.circuit.inputs:
            self.activity[population] = self.graph.placeholder(names[population])
        for population in network.circuit.inputs:
            self.activity[population] = self.silent(population, self.activity[population])
        for phase in network.plan.forward:
            if isinstance(phase, Route):
                self.become(phase.router, AreaRouter())
                rows = self.flat(phase.source, self.activity[phase.source])
                self.area[phase.router] = self.graph.call_module(names[phase.router], (rows,))
            else:
                self.activity[phase.population] = self.forward(phase)
        self.graph.output(self.activity[network.plan.output.population])

    def become(self, name: str, module: nn.Module) -> None:
        """Give the tensors of that name to a module that uses them."""
        self.put(self.layout.names[name], module)

    def put(self, place: str, module: nn.Module) -> None:
        if not hasattr(self.root, place):
            self.root.add_module(place, module)
            return
        values = getattr(self.root, place)
        if isinstance(values, Values):
            for key, parameter in values.named_parameters():
                module.register_parameter(key, parameter)
            for key, buffer in values.named_buffers():
                module.register_buffer(key, buffer)
            setattr(self.root, place, module)

    def read(self, name: str, entry: str) -> Node | None:
        """A tensor, where there is one of that name."""
        key = f"{self.layout.names[name]}.{entry}"
        return self.graph.get_attr(key) if key in self.layout.parts else None

    def call(self, function: Any, *arguments: Any) -> Node:
        return self.graph.call_function(function, arguments)

    def silent(self, population: str, h: Node) -> Node:
        keep = self.read(population, "keep")
        return h if keep is None else self.call(torch.mul, h, keep)

    def extent(self, population: str) -> tuple[int, ...]:
        return self.network.circuit.populations[population].extent

    def flat(self, population: str, h: Node) -> Node:
        axes = len(self.extent(population))
        return self.call(torch.flatten, h, -axes) if axes > 1 else h

    def shaped(self, population: str, h: Node) -> Node:
        extent = self.extent(population)
        return self.call(torch.unflatten, h, -1, extent) if len(extent) > 1 else h

    def routed(self, population: str) -> Node:
        return self.area[self.network.plan.routes[population]]

    def forward(self, phase: Forward) -> Node:
        """``h = f(b + Σ W h)``, settled where there are lateral projections."""
        name, model = phase.population, self.network.circuit.populations[phase.population].model
        assert isinstance(model, Rate)
        inputs = [self.applied(edge, self.activity[self.source(edge)]) for edge in phase.projections]
        if not inputs:
            first = self.network.circuit.inputs[0]
            inputs = [self.call(no_input, self.activity[first], len(self.extent(first)), self.extent(name))]
        a = inputs[0]
        for more in inputs[1:]:
            a = self.call(torch.add, a, more)
        if name not in self.layout.biased and (bias := self.read(name, "bias")) is not None:
            if self.network.circuit.populations[name].areas > 1:
                bias = self.call(torch.nn.functional.embedding, self.routed(name), bias)
            if (space := len(self.extent(name)) - 1) > 0:
                bias = self.call(by_channel, bias, space)
            a = self.call(torch.add, a, bias)
        return self.silent(name, self.settled(phase, model, a) if phase.lateral else self.value(name, model, a))

    def source(self, projection: str) -> str:
        return self.network.circuit.projections[projection].source

    def value(self, population: str, model: Rate, a: Node) -> Node:
        if model.norm is not None:
            place = self.layout.norms[population]
            self.put(place, norm_layer(model.norm, self.extent(population)))
            a = self.graph.call_module(place, (a,))
        function = VALUES[model.activation]
        h = a if function is None else self.call(function, a)
        h = h if model.gain == 1 else self.call(torch.mul, h, model.gain)
        if population not in self.layout.dropouts:
            return h
        place = self.layout.dropouts[population]
        self.put(place, nn.Dropout(model.dropout))
        return self.graph.call_module(place, (h,))

    def settled(self, phase: Forward, model: Rate, a: Node) -> Node:
        h = self.value(phase.population, model, a)
        for _ in range(model.settle_steps):
            received = a
            for projection in phase.lateral:
                received = self.call(torch.add, received, self.applied(projection, self.silent(phase.population, h)))
            h = self.call(torch.lerp, h, self.value(phase.population, model, received), model.settle_rate)
        return h

    def applied(self, projection: str, h: Node) -> Node:
        """What a projection brings: a layer where the synapses are its own, else a product with those it is tied to."""
        network, plan = self.network, self.network.plan
        edge = network.circuit.projections[projection]
        if edge.wiring.weightless:
            return self.weightless(projection, h)
        owner = plan.owners[projection]
        dense, areas = edge.wiring.functions == "dense", network._parameters.areas[projection]
        if dense:
            h = self.flat(edge.source, h)
        area = (self.routed(edge.target),) if areas > 1 else ()
        if owner == projection:
            self.become(projection, self.layer(projection, dense, areas))
            out = self.graph.call_module(self.layout.names[projection], (h, *area))
            return self.shaped(edge.target, out) if dense else out
        weight = self.read(owner, "weight")
        if (mask := self.read(owner, "mask")) is not None:
            weight = self.call(torch.mul, weight, mask)
        if dense and (projection in plan.reversed) != (owner in plan.reversed):
            weight = self.call(torch.transpose, weight, -2, -1)
        if (magnitude := self.read(projection, "magnitude")) is not None:
            weight = self.call(torch.mul, self.call(torch.sign, weight), magnitude)
        if not dense:
            weight = self.call(functional.embedding, area[0], weight) if area else weight
            return self.call(torch.mul, h, weight)
        out = self.call(area_linear, h, weight, None, *area) if area else self.call(functional.linear, h, weight)
        return self.shaped(edge.target, out)

    def weightless(self, projection: str, h: Node) -> Node:
        edge = self.network.circuit.projections[projection]
        found = weightless_layer(edge.wiring, self.extent(edge.target), self.extent(edge.source))
        assert found is not None
        layer, arguments = found
        if not isinstance(layer, nn.Module):
            return self.call(layer, h, *arguments)
        self.put(self.layout.names[projection], layer)
        return self.graph.call_module(self.layout.names[projection], (h,))

    def layer(self, projection: str, dense: bool, areas: int) -> nn.Module:
        edge, place = self.network.circuit.projections[projection], self.layout.names[projection]
        if isinstance(edge.wiring, Convolution):
            has_bias, masked = f"{place}.bias" in self.layout.parts, f"{place}.mask" in self.layout.parts
            ends = self.extent(edge.target), self.extent(edge.source)
            return convolution_layer(edge.wiring, *ends, bias=has_bias, masked=masked)
        if not dense:
            return OneToOne()
        if areas > 1:
            return AreaLinear()
        post, pre = self.layout.parts[f"{place}.weight"].values.shape
        kind = MaskedLinear if f"{place}.mask" in self.layout.parts else nn.Linear
        return kind(pre, post, bias=f"{place}.bias" in self.layout.parts, device="meta")


# Taking it back -------------------------------------------------------------------------------------------------------


def load_module(network: Network, module: nn.Module | Mapping[str, Tensor], replica: int = 0) -> None:
    """Take over a module's weights; see `Network.load_module`."""
    parts = lay_out(network, replica).parts
    given = dict(module.state_dict() if isinstance(module, nn.Module) else module)
    problems = [
        Problem(place=f"module.{name}", expected="a tensor of this circuit", found="another", remedy=near(name, parts))
        for name in given.keys() - parts.keys()
    ]
    for name, part in parts.items():
        shape = list(part.values.shape)
        found = given.get(name)
        if not isinstance(found, Tensor) or list(found.shape) != shape:
            told = "none" if found is None else str(list(getattr(found, "shape", [])))
            problems.append(Problem(place=f"module.{name}", expected=f"a tensor {shape}", found=told))
        elif part.compared and not torch.equal(found.to(part.values), part.values):
            told, remedy = "others", "Give the network the same lesions before, or take it from the network again."
            expected = "the values of the network, since what is absent is not learned"
            problems.append(Problem(place=f"module.{name}", expected=expected, found=told, remedy=remedy))
    if problems:
        raise CircuitError(sorted(problems, key=lambda problem: problem.place))
    with torch.no_grad():
        for name, part in parts.items():
            if not part.compared:
                part.values.copy_(given[name].detach())
    network._parameters.refresh()
    if (replica := _pick(network, replica)) in network._state.frozen:
        network.freeze_replicas([replica])
