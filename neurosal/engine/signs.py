"""Sign-symmetric weights: what is multiplied with the signs of another projection's weights.

One number for all synapses, or a tensor in the storage of the tie (fixed, or drawn anew for every step), with absent
synapses at 0. Letters: R replica, K area, O post, I pre.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neurosal.graph import Own, SignOf
from neurosal.lower.initial import draw_areas_into
from neurosal.lower.magnitudes import redrawn

if TYPE_CHECKING:
    from neurosal.engine.parameters import Parameters


class Signs:
    """The magnitudes of all sign-symmetric projections of a network."""

    def __init__(self, parameters: Parameters, seeds: tuple[int, ...], share: Signs | None) -> None:
        """Draw them; with `share`, those of the same name are those of the other network."""
        self._parameters, self._seeds = parameters, seeds
        self._weights = {
            name: edge.weights
            for name, edge in parameters.circuit.projections.items()
            if isinstance(edge.weights, SignOf) and edge.pathway != "modulatory"
        }
        self.drawn: dict[str, Tensor] = {}  # [R, K, O, I] in the storage of the tie, before masks
        self.used: dict[str, float | Tensor] = {}
        self._at: dict[str, int] = {} if share is None else share._at  # for which step storage was drawn last
        self._redrawn = [name for name, weights in self._weights.items() if weights.magnitudes == "redrawn"]
        for name, weights in self._weights.items():
            if weights.magnitudes == "uniform":
                continue
            shared = None if share is None else share.drawn.get(name)
            if shared is not None:
                self.drawn[name] = shared
                continue
            self.drawn[name] = torch.empty_like(parameters.full[parameters.plan.owners[name]])
            if weights.magnitudes == "fixed":
                self._draw_once(name, weights)
            else:
                self._redraw(name, 0)

    @property
    def state(self) -> dict[str, Tensor]:
        """Magnitudes that were drawn once; the others follow from seed, name and step."""
        return {name: tensor for name, tensor in self.drawn.items() if self._weights[name].magnitudes == "fixed"}

    def refresh(self, masks: Mapping[str, Tensor]) -> None:
        """Make what is used from what was drawn and where synapses are."""
        self.used.clear()
        for name, weights in self._weights.items():
            mask, drawn = masks.get(name), self.drawn.get(name)
            if drawn is None:
                scale = weights.magnitude or weights.init.deviation(*self._parameters.fans(name))
                self.used[name] = scale if mask is None else mask * scale
            else:
                self.used[name] = drawn if mask is None else drawn * mask

    def redraw(self, step: int, masks: Mapping[str, Tensor]) -> None:
        """Draw those of a step; nothing where none is drawn anew."""
        for name in self._redrawn:
            if self._at[name] != step:
                self._redraw(name, step)
            if (used := self.used[name]) is not self.drawn[name]:
                assert isinstance(used, Tensor)
                torch.mul(self.drawn[name], masks[name], out=used)

    def _draw_once(self, name: str, weights: SignOf) -> None:
        parameters, full = self._parameters, self.drawn[name]
        own = Own(init=weights.init, across_areas=self._parameters.across(name))
        for replica, seed in enumerate(self._seeds):
            draw_areas_into(full[replica], own, name, seed, *parameters.fans(name), turns=parameters.turns(name)).abs_()

    def _redraw(self, name: str, step: int) -> None:
        """Drawn in the storage's own layout: the entries are independent, so no order of them is better."""
        self._at[name] = step
        init, full, fans = self._weights[name].init, self.drawn[name], self._parameters.fans(name)
        shape = full.shape[2:] if self._parameters.across(name) == "same" else full.shape[1:]
        by_seed = {seed: redrawn(init, name, seed, step, tuple(shape), *fans) for seed in dict.fromkeys(self._seeds)}
        together = np.stack([by_seed[seed] for seed in self._seeds])  # one tensor, so that copies do not grow with R
        full.copy_(torch.from_numpy(together if len(shape) == full.dim() - 1 else together[:, None]))
