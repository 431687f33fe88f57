"""One step of a convolutional circuit written out by hand, from the graph alone: slow, and sharing no code with the
engine or with autograd's graph.

Letters: N sample, C channel, O and I channels above and below.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn import functional, grad

from neurosal.engine.network import Network
from neurosal.graph import (
    BatchNorm,
    Broadcast,
    Circuit,
    Conv2d,
    Dense,
    GlobalAvgPool,
    OneToOne,
    Projection,
    Rate,
    Relay,
    Reversed,
    Shortcut,
    Transpose,
    Wiring,
)

Extent = tuple[int, ...]


@dataclass
class SpatialNet:
    """The numbers of a circuit: weights of projections in their own direction, [post, pre, ...], and what populations
    have of their own (``stem.scale``). What is tied to other weights, and constant skips, have no entry."""

    circuit: Circuit
    weights: dict[str, Tensor]
    own: dict[str, Tensor]

    def copy(self) -> SpatialNet:
        """The same numbers elsewhere; what does not learn is shared."""
        plastic = {name for name, edge in self.circuit.projections.items() if edge.plasticity.plastic}
        weights = {name: w.clone() if name in plastic else w for name, w in self.weights.items()}
        return SpatialNet(self.circuit, weights, {name: value.clone() for name, value in self.own.items()})

    def learning(self) -> dict[str, Tensor]:
        """What a step changes, by name."""
        edges = self.circuit.projections
        return {name: w for name, w in self.weights.items() if edges[name].plasticity.plastic} | self.own

    def weight(self, name: str) -> Tensor | None:
        """The weight of a projection in its own direction; None for one without."""
        edge = self.circuit.projections[name]
        if edge.wiring.weightless or isinstance(edge.wiring, OneToOne):
            return None
        if isinstance(edge.weights, Transpose):
            tied = self.weight(edge.weights.of)
            assert tied is not None
            return tied.transpose(0, 1)
        return self.weights[name]


def net_of(network: Network, replica: int = 0) -> SpatialNet:
    """The live numbers of one replica of a network of ours."""
    circuit = network.circuit
    stored = {
        name
        for name, edge in circuit.projections.items()
        if not edge.wiring.weightless
        and not isinstance(edge.wiring, OneToOne)
        and not isinstance(edge.weights, Transpose)
    }
    weights = {name: network.weights[name][replica, 0] for name in circuit.projections if name in stored}
    return SpatialNet(circuit, weights, {name: value[replica, 0] for name, value in network.biases.items()})


def by_hand(net: SpatialNet, x: Tensor, y: Tensor, rate: float) -> dict[str, Tensor]:
    """Carry out one step of plain SGD on the mean cross-entropy in `net` itself; returns how long each change is."""
    circuit = net.circuit
    drive, activity = _forward(net, x)
    error = torch.softmax(activity[circuit.output], 1)
    error[torch.arange(len(y)), y] -= 1
    errors, own = _backward(net, drive, activity, error)
    changes = dict(own)
    for name, edge in circuit.projections.items():
        if not edge.plasticity.plastic or name not in net.weights:
            continue
        if edge.pathway == "feedforward" and edge.target in errors:
            changes[name] = _correlate(edge.wiring, errors[edge.target], activity[edge.source], net.weights[name])
        elif edge.pathway == "feedback":  # the same product as forward: what it brings, by what its target does
            changes[name] = _correlate(edge.wiring, activity[edge.target], errors[edge.source], net.weights[name])
    length, values = {}, net.learning()
    for name, value in values.items():
        change = changes.get(name, torch.zeros_like(value)) * (rate / len(x))
        value -= change
        length[name] = change.double().norm()
    return length


def _forward(net: SpatialNet, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Input of the norm (or of the activation) and activity of each population."""
    circuit = net.circuit
    drive: dict[str, Tensor] = {}
    activity: dict[str, Tensor] = {}
    for name in circuit.layers():
        extent = circuit.populations[name].extent
        if name in circuit.inputs:
            activity[name] = x.reshape(len(x), *extent)
            continue
        hears = circuit.select(pathway="feedforward", target=name)
        drive[name] = sum(  # type: ignore[assignment]
            _apply(edge.wiring, net.weight(edge_name), activity[edge.source], extent)
            for edge_name, edge in hears.items()
        )
        if f"{name}.bias" in net.own:
            drive[name] = drive[name] + _by_channel(net.own[f"{name}.bias"], extent)
        model = circuit.populations[name].model
        assert isinstance(model, Rate)
        a = drive[name] if model.norm is None else _normed(net, name, drive[name])[0]
        activity[name] = a.clamp(min=0) if model.activation == "relu" else a
    return drive, activity


def _normed(net: SpatialNet, name: str, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What leaves a batch norm, normalised input n̂, and 1/σ."""
    model, extent = net.circuit.populations[name].model, net.circuit.populations[name].extent
    assert isinstance(model, Rate)
    assert isinstance(model.norm, BatchNorm)
    over = [axis for axis in range(a.dim()) if axis != 1]
    mean = a.mean(over, keepdim=True)
    inverse = ((a - mean).square().mean(over, keepdim=True) + model.norm.eps).rsqrt()
    n = (a - mean) * inverse
    scale, shift = (_by_channel(net.own[f"{name}.{part}"], extent) for part in ("scale", "shift"))
    return n * scale + shift, n, inverse


def _backward(
    net: SpatialNet, drive: dict[str, Tensor], activity: dict[str, Tensor], error: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Error δ of each population that gets one, before its norm, and the changes of what populations have of their
    own, summed over samples."""
    circuit = net.circuit
    errors: dict[str, Tensor] = {}
    own: dict[str, Tensor] = {}
    for name in circuit.error_order():
        population = circuit.populations[name]
        came = [
            _apply(edge.wiring, net.weight(edge_name), errors[edge.source], population.extent)
            for edge_name, edge in circuit.select(pathway="feedback", target=name).items()
            if edge.source in errors
        ]
        if name == circuit.output:
            e = error
        elif came:
            e = sum(came[1:], came[0])
        else:
            continue
        if isinstance(population.model, Relay) or name in circuit.inputs:
            errors[name] = e
            continue
        model = population.model
        assert isinstance(model, Rate)
        over = [axis for axis in range(e.dim()) if axis != 1]
        if model.activation == "relu":
            e = e * (activity[name] > 0)
        if model.norm is not None:
            _, n, inverse = _normed(net, name, drive[name])
            own[f"{name}.shift"], own[f"{name}.scale"] = e.sum(over), (e * n).sum(over)
            u = e * _by_channel(net.own[f"{name}.scale"], population.extent)
            e = inverse * (u - u.mean(over, keepdim=True) - n * (u * n).mean(over, keepdim=True))
        if f"{name}.bias" in net.own:
            own[f"{name}.bias"] = e.sum(over)
        errors[name] = e
    return errors, own


def _by_channel(values: Tensor, extent: Extent) -> Tensor:
    return values.reshape(1, -1, *(1,) * (len(extent) - 1))


def _apply(wiring: Wiring, weight: Tensor | None, pre: Tensor, extent: Extent) -> Tensor:
    """What arrives at a population of that extent."""
    match wiring:
        case Conv2d():
            assert weight is not None
            return functional.conv2d(pre, weight, None, wiring.strides, _padding(wiring), wiring.dilations)
        case Dense():
            assert weight is not None
            return (pre.flatten(1) @ weight.T).reshape(len(pre), *extent)
        case OneToOne():  # a constant skip of 1
            return pre
        case Broadcast():
            assert weight is not None
            return (pre.flatten(1) @ weight.T).reshape(len(pre), -1, 1, 1).expand(len(pre), *extent)
        case GlobalAvgPool():
            return pre.flatten(2).mean(2)
        case Shortcut():
            few = pre[:, :, :: wiring.stride, :: wiring.stride]
            before = (extent[0] - pre.shape[1]) // 2
            return functional.pad(few, (0, 0, 0, 0, before, extent[0] - pre.shape[1] - before))
        case Reversed():
            return _back(wiring.wiring, weight, pre, extent)
    raise NotImplementedError(wiring.kind)


def _back(wiring: Wiring, weight: Tensor | None, pre: Tensor, extent: Extent) -> Tensor:
    """What arrives at a population of that extent, through wiring that is run backwards."""
    match wiring:
        case Conv2d():
            assert weight is not None
            shape = (len(pre), *extent)
            forward = weight.transpose(0, 1)
            return grad.conv2d_input(shape, forward, pre, wiring.strides, _padding(wiring), wiring.dilations)
        case GlobalAvgPool():
            return (pre / prod(extent[1:])).reshape(len(pre), -1, 1, 1).expand(len(pre), *extent)
        case Shortcut():
            found = pre.new_zeros(len(pre), *extent)
            before = (pre.shape[1] - extent[0]) // 2
            found[:, :, :: wiring.stride, :: wiring.stride] = pre[:, before : before + extent[0]]
            return found
    raise NotImplementedError(f"reversed {wiring.kind}")


def _correlate(wiring: Wiring, post: Tensor, pre: Tensor, like: Tensor) -> Tensor:
    """Products of what is above and below, summed over samples and places, as the weight lies."""
    match wiring:
        case Conv2d():
            return grad.conv2d_weight(pre, like.shape, post, wiring.strides, _padding(wiring), wiring.dilations)
        case Reversed(wiring=Conv2d() as forward):
            return _correlate(forward, pre, post, like.transpose(0, 1)).transpose(0, 1)
        case Dense():
            return post.flatten(1).T @ pre.flatten(1)
    raise NotImplementedError(wiring.kind)


def _padding(wiring: Conv2d) -> tuple[int, ...]:
    assert wiring.padding_mode == "zeros"
    assert wiring.groups == 1
    return tuple(before for before, _ in wiring.edges)


def multiply_adds(circuit: Circuit, edge: Projection) -> float:
    """Multiply-adds of one sample through a projection; the same for its change."""
    wiring = edge.wiring
    post, pre = (circuit.populations[name].extent for name in (edge.target, edge.source))
    if isinstance(wiring, Reversed):
        wiring, post, pre = wiring.wiring, pre, post
    if isinstance(wiring, Conv2d):
        return float(prod(wiring.weight_shape(post, pre)) * prod(post[1:]))
    if isinstance(wiring, Broadcast):
        return float(post[0] * prod(pre))
    return float(prod(post) * prod(pre)) if isinstance(wiring, Dense) else 0.0
