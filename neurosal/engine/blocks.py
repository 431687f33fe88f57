"""Torch modules in populations: the only place where a step has an autograd graph, and it ends at the population.

Letters: R replica, N sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from neurosal.engine.normalising import Kept, Place
from neurosal.graph import Block
from neurosal.graph.blocks import make_module
from neurosal.lower.streams import number

if TYPE_CHECKING:
    from neurosal.engine.sweep import Batch

PREFIX = "module."


class ModuleOf:
    """The module of one population, as a norm: from its input to what comes of it, and back.

    With replicas it runs once for all of them (`torch.func.vmap`), each with parameters of its own.
    """

    def __init__(self, model: Block, place: Place) -> None:
        self.place = place
        self.keys = [key for key in place.parameters if key.startswith(PREFIX)]
        with torch.random.fork_rng(devices=()):
            module = make_module(model.module, model.options, place.extent)
        self.module = module.to(place.device, place.dtype).train().requires_grad_(False)

    def apply(self, a: Tensor, batch: Batch) -> tuple[Tensor, Kept]:
        with torch.inference_mode(False):
            # A tensor of inference mode cannot be kept for the way back.
            rows = a.to(self.place.dtype, copy=True)
            if not batch.training:  # mostly nobody asks for the way back
                with torch.no_grad():
                    h = self._call(self._parameters(), rows)
                return h.to(a.dtype), (rows, None)
            h, pull = self._with_way_back(rows)
            return h.to(a.dtype), (None, pull)

    def pull(self, u: Tensor, kept: Kept, batch: Batch) -> Tensor:
        rows, pull = kept
        with torch.inference_mode(False):
            if pull is None:
                pull = self._with_way_back(rows)[1]
            changes, delta = pull(u.to(self.place.dtype, copy=True))
        for key, change in changes.items():
            self.place.propose(batch, f"{PREFIX}{key}", change)
        found: Tensor = delta.to(u.dtype)
        return found

    def _with_way_back(self, rows: Tensor) -> Any:
        with torch.enable_grad():
            return vjp(self._call, self._parameters(), rows)

    def _parameters(self) -> dict[str, Tensor]:
        live = {key.removeprefix(PREFIX): self.place.parameters[key] for key in self.keys}
        return {key: each[0, 0] if self.place.replicas == 1 else each[:, 0] for key, each in live.items()}

    def _call(self, parameters: dict[str, Tensor], rows: Tensor) -> Tensor:
        def one(own: dict[str, Tensor], mine: Tensor) -> Tensor:
            found: Tensor = functional_call(self.module, own, (mine,))
            return found

        if self.place.replicas == 1:
            return one(parameters, rows)
        with sdpa_kernel(SDPBackend.MATH):  # the others have no form for many replicas
            found: Tensor = vmap(one)(parameters, rows)
        return found


def first_values(model: Block, extent: tuple[int, ...], population: str, seed: int) -> dict[str, Tensor]:
    """What a module's parameters start from in one replica, float32: as the module itself draws them, from the stream
    of (seed, population)."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(number(seed, population, "module"))
        module = make_module(model.module, model.options, extent)
    return {f"{PREFIX}{key}": each.detach() for key, each in module.named_parameters() if each.requires_grad}


def draw_modules(parameters: Any, seeds: tuple[int, ...], populations: Iterable[str] | None = None) -> None:
    """Put first values into the parameters of modules, in place.

    Args:
        parameters: of a network.  populations: only of these; None for all.
    """
    for name, population in parameters.circuit.populations.items():
        if not isinstance(population.model, Block) or (populations is not None and name not in populations):
            continue
        with torch.no_grad():
            for replica, seed in enumerate(seeds):
                for key, value in first_values(population.model, population.extent, name, seed).items():
                    parameters.biases[f"{name}.{key}"][replica, 0].copy_(value)
