"""What is done to a network at once: first values drawn anew, synapses that change places or values, parts taken out.

Everything random comes from streams of (seed, name, key), so that a replica is treated alone as in a batch. Letters: R
replica, K area, O post, I pre.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from neurosal.engine.blocks import draw_modules
from neurosal.engine.network import Network
from neurosal.engine.parameters import begin_own
from neurosal.lower.streams import stream


def reset(network: Network, projection: str, key: str) -> None:
    """New first values for a projection with synapses of its own; what is remembered of them is forgotten."""
    parameters = network.weights
    with torch.no_grad():
        full = parameters.begin(projection, network.seeds, into=parameters.full[projection], key=key)
        if (mask := parameters.masks.get(parameters.mask_key(projection))) is not None:
            full.mul_(mask)
    network._learner.states.pop(projection, None)
    network._learner.plasticity_states.pop(projection, None)


def reset_bias(network: Network, population: str) -> None:
    """Bias, scale, shift and running statistics back where they start, without memory."""
    for tensors in (network.biases, network.statistics):
        for name in tensors:
            owner, _, key = name.partition(".")
            if owner == population:
                begin_own(key, tensors[name])
                network._learner.states.pop(name, None)
    draw_modules(network.weights, network.seeds, [population])


def replace(network: Network, projection: str, share: float, key: str) -> None:
    """New first values for a share of the present synapses; what the optimiser remembers of them becomes zero."""
    chosen, fresh = _chosen(network, projection, share, key), _fresh(network, projection, key)
    current = network.weights.full[projection]
    _put(network, projection, torch.where(chosen, fresh, current))
    _forget_at(network, projection, chosen)


def shuffle(network: Network, projection: str, share: float, key: str) -> None:
    """The values of a share of the present synapses in another order; each optimiser memory at them becomes zero."""
    chosen = _chosen(network, projection, share, key)
    moved = network.weights.full[projection].clone()
    for replica, seed in enumerate(network.seeds):
        generator = stream(seed, projection, key, "order")
        for area in range(moved.shape[1]):
            flat = moved[replica, area].view(-1)
            where = chosen[replica, area].view(-1).nonzero()[:, 0]
            order = torch.randperm(len(where), generator=generator).to(flat.device)
            flat[where] = flat[where[order]]
    _put(network, projection, moved)
    _forget_at(network, projection, chosen)


def lesion_units(network: Network, population: str, share: float | None, indices: Sequence[int], key: str) -> None:
    """Silence a share of the units, each replica its own, or those with these numbers."""
    units = network.circuit.populations[population].units
    keep_RU = torch.ones(network.replicas, units)
    if share is None:
        keep_RU[:, list(indices)] = 0
    else:
        for replica, seed in enumerate(network.seeds):
            keep_RU[replica, _some(units, share, stream(seed, population, key))] = 0
    network.silence(population, keep_RU)


def lesion_synapses(
    network: Network, projection: str, share: float | None, edges: Sequence[tuple[int, int]], key: str
) -> None:
    """Mask a share of the present synapses, each replica and area its own, or those between these (pre, post) units."""
    keep = torch.ones(network.weights[projection].shape)
    if share is None:
        for pre, post in edges:
            keep[(..., post, pre) if keep.dim() == 4 else (..., post)] = 0
    else:
        present = network.masks.get(projection)
        for replica, seed in enumerate(network.seeds):
            generator = stream(seed, projection, key)
            for area in range(keep.shape[1]):
                flat = keep[replica, area].view(-1)
                there = torch.ones(len(flat)) if present is None else present[replica, area].flatten().cpu()
                where = there.nonzero()[:, 0]
                flat[where[_some(len(where), share, generator)]] = 0
    network.mask(projection, keep)


def lesioned(network: Network) -> list[str]:
    """Projections and populations of which something is taken out."""
    return [*network._parameters.lesions.masks, *network._parameters.lesions.silenced]


def _some(count: int, share: float, generator: torch.Generator) -> Tensor:
    """Which ones of so many make a share, at least one."""
    return torch.randperm(count, generator=generator)[: max(1, round(share * count))]


def _fresh(network: Network, projection: str, key: str) -> Tensor:
    """First values in storage, from another stream than those that the network began with."""
    parameters = network.weights
    return parameters._first_values(projection, network.seeds, network.device, network.dtype, key=key)


def _put(network: Network, projection: str, values: Tensor) -> None:
    mask = network.weights.masks.get(network.weights.mask_key(projection))
    with torch.no_grad():
        network.weights.full[projection].copy_(values if mask is None else values * mask)


def _chosen(network: Network, projection: str, share: float, key: str) -> Tensor:
    """A share of the present synapses, bool in storage, chosen for each replica and area."""
    full = network.weights.full[projection]
    mask = network.weights.masks.get(network.weights.mask_key(projection))
    chosen = torch.zeros(full.shape, dtype=torch.bool)
    for replica, seed in enumerate(network.seeds):
        generator = stream(seed, projection, key, "chosen")
        for area in range(full.shape[1]):
            there = torch.ones(full[0, 0].shape) if mask is None else mask[replica, area].cpu()
            where = there.flatten().nonzero()[:, 0]
            chosen[replica, area].view(-1)[where[_some(len(where), share, generator)]] = True
    return chosen.to(full.device)


def _forget_at(network: Network, projection: str, chosen: Tensor) -> None:
    for tensor in network._learner.states.get(projection, {}).values():
        if tensor.shape == chosen.shape:
            tensor.masked_fill_(chosen, 0.0)


Rewiring = Callable[[Network, str, float, str], None]
REWIRINGS: dict[str, Rewiring] = {"replace": replace, "shuffle": shuffle}
