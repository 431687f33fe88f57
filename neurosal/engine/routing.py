"""Routers: which area each sample selects, and the order in which samples stand so that those of one area are
neighbours.

Letters: R replica, K area, N sample, I unit of the population that the router reads, r routing dimension, G = R·K
    groups.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from neurosal.graph import Projection, Router, RouterPlasticity
from neurosal.lower.initial import draw_areas
from neurosal.lower.streams import stream

USAGE_RATE = 0.01


class Groups:
    """The samples of one batch, sorted once by (replica, area); every population with this route reuses the order."""

    def __init__(self, area_RN: Tensor, areas: int) -> None:
        self.area_RN = area_RN
        self.replicas, self.samples = area_RN.shape
        self.areas = areas
        start = torch.arange(0, self.replicas * areas, areas, device=area_RN.device)
        group, self.order = (area_RN + start[:, None]).flatten().sort(stable=True)
        self.group_of_row = group
        self.counts_RK = torch.bincount(group, minlength=self.replicas * areas).view(self.replicas, areas)
        self.whole_RK = self.counts_RK  # the same over all processes that share the batch

    @cached_property
    def ends(self) -> Tensor:
        """Row where each group ends, [G]."""
        return self.counts_RK.flatten().cumsum(0)

    @cached_property
    def inverse(self) -> Tensor:
        """Where each sample went: the order that undoes `order`."""
        return torch.empty_like(self.order).scatter_(
            0, self.order, torch.arange(len(self.order), device=self.order.device)
        )

    @cached_property
    def active_RK(self) -> Tensor:
        """Which areas have a sample, at any of the processes that share the batch."""
        return self.whole_RK > 0

    @cached_property
    def capacity(self) -> int:
        """Samples of the fullest group."""
        return int(self.counts_RK.max())

    @cached_property
    def slot(self) -> Tensor:
        """Place of each row where every group has room for `capacity` rows, [R N]."""
        starts = self.ends - self.counts_RK.flatten()
        place = torch.arange(len(self.order), device=self.order.device) - starts[self.group_of_row]
        return self.group_of_row * self.capacity + place

    @cached_property
    def all_active(self) -> bool:
        """Whether every area has a sample: then steps need no selection of areas, which costs copies."""
        return bool(self.active_RK.all())

    @cached_property
    def slices(self) -> list[tuple[int, int, int]]:
        """(group, first row, last row) of each group that has samples, on the host: only loops read it, since on a GPU
        it waits."""
        ends = [0, *self.ends.tolist()]
        return [
            (group, ends[group], ends[group + 1]) for group in range(len(ends) - 1) if ends[group + 1] > ends[group]
        ]

    @cached_property
    def per_area(self) -> Tensor:
        """1 / samples of the row's own area, [R N]: the "area" reduction."""
        return self.whole_RK.flatten()[self.group_of_row].double().reciprocal()  # of integers it would be float32


class RouterState:
    """One router: its tensors, its choice, and its own local learning. No task error enters or leaves."""

    def __init__(
        self,
        name: str,
        projection: Projection,
        areas: int,
        units: int,
        seeds: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        assert isinstance(projection.wiring, Router)
        self.name, self.wiring, self.plasticity, self.areas = name, projection.wiring, projection.plasticity, areas
        self.held = False  # nothing of it changes
        shape = self.wiring.weight_shape((areas,), (units,))
        weight = [draw_areas(projection.weights, name, seed, 1, shape, units, shape[0])[0] for seed in seeds]  # type: ignore[arg-type]
        prototypes = [
            torch.randn(areas, self.wiring.rank, generator=stream(seed, name, "prototypes")) for seed in seeds
        ]
        zeros = torch.zeros(len(seeds), units)
        drawn = {
            "weight": torch.stack(weight),
            "prototypes": torch.nn.functional.normalize(torch.stack(prototypes).double(), dim=-1),
            "mean": zeros,
            "usage": torch.full((len(seeds), areas), 1 / areas),
        }
        self.tensors: dict[str, Tensor] = {key: value.to(device, dtype).clone() for key, value in drawn.items()}
        self.tensors["count"] = torch.zeros(len(seeds), device=device, dtype=torch.float64)

    def see(self, h_RNI: Tensor) -> dict[str, Tensor]:
        """What a route is made of: centred activity u, its norm in routing space, query q and scores s."""
        state = self.tensors
        centred = h_RNI - state["mean"][:, None, :] if self.wiring.centre_rate else h_RNI
        projected = centred @ state["weight"].mT
        norm = projected.norm(dim=-1, keepdim=True).clamp_(min=1e-12)
        query = projected / norm
        return {
            "activity": h_RNI,
            "centred": centred,
            "norm": norm,
            "query": query,
            "scores": query @ state["prototypes"].mT,
        }

    def learn(self, seen: dict[str, Tensor], groups: Groups, lr: Any) -> None:
        """Move running mean and usage, then let the router's plasticity change projection and prototypes."""
        if self.held:
            return
        state = self.tensors
        state["count"] += 1
        if self.wiring.centre_rate:
            rate_R1 = state["count"].reciprocal().clamp(min=self.wiring.centre_rate).to(state["mean"].dtype)[:, None]
            state["mean"] += rate_R1 * (seen["activity"].mean(1) - state["mean"])
        usage_rate = getattr(self.plasticity, "usage_rate", USAGE_RATE)
        share_RK = groups.counts_RK.to(state["usage"].dtype) / groups.samples
        state["usage"] += usage_rate * (share_RK - state["usage"])
        if isinstance(self.plasticity, RouterPlasticity):
            rate = lr if isinstance(lr, float) else lr.reshape(-1, 1, 1)
            for key, value in self.plasticity.update_router(state, seen, rate).items():
                state[key].copy_(value)

    @property
    def fits_to_data(self) -> bool:
        """Whether the router wants to see training inputs once before training."""
        return isinstance(self.plasticity, RouterPlasticity) and self.plasticity.needs_data

    def fit(self, h_RNI: Tensor, seeds: tuple[int, ...]) -> None:
        """Set the running mean to that of these training inputs and fit the prototypes to them."""
        if self.wiring.centre_rate:
            self.tensors["mean"].copy_(h_RNI.mean(1))
        assert isinstance(self.plasticity, RouterPlasticity)
        centred = h_RNI - self.tensors["mean"][:, None, :] if self.wiring.centre_rate else h_RNI
        for key, value in self.plasticity.fit_router(self.tensors, centred, list(seeds)).items():
            self.tensors[key].copy_(value)
