"""Norms written out by elementary operations, and rows in every order in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from neurosal.engine.normalising import Place
from neurosal.graph import Population, Rate

LAYOUTS = ("in order", "channels last", "replicas among channels")
VALUES: dict[str, Any] = {
    "linear": lambda a: a,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "tanh": torch.tanh,
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rows_in(layout: str, replicas: int, samples: int, extent: tuple[int, ...], seed: int) -> Tensor:
    """Rows [N, *extent] or [R, N, *extent] whose memory is in order, channels last, or with replicas among channels."""
    rows = drawn(replicas, samples, *extent, seed=seed)
    if len(extent) > 1 and layout == "channels last":
        rows = rows.movedim(2, -1).contiguous().movedim(-1, 2)
    elif len(extent) > 1 and layout == "replicas among channels":
        rows = rows.movedim((0, 2), (-2, -1)).contiguous().movedim((-2, -1), (0, 2))
    return rows[0] if replicas == 1 else rows


def place_of(model: Rate, extent: tuple[int, ...], replicas: int, **more: Any) -> Place:
    """Where a norm works, with parameters and statistics that are no longer what they were at the start."""
    population = Population(shape=extent, model=model)
    own = {
        key: drawn(replicas, 1, *shape, seed=7 + index)
        for index, (key, shape) in enumerate(population.parameters.items())
        if key != "bias"
    }
    running = {
        key: drawn(replicas, *shape, seed=17 + index).abs() + 0.1
        for index, (key, shape) in enumerate(population.statistics.items())
    }
    more = {"dtype": torch.float64} | more
    return Place(name="here", extent=extent, replicas=replicas, parameters=own, statistics=running, **more)


def batch_like(samples: int, training: bool) -> Any:
    """What a norm looks at of a batch."""
    return SimpleNamespace(
        training=training, together=None, whole=samples, samples=samples, own={}, moments={}, step=0, mine=None
    )


def normalised(norm: Any, a: Tensor, own: dict[str, Tensor], running: dict[str, Tensor]) -> Tensor:
    """One replica [N, C, ...]; with running statistics those, in a norm of the batch."""
    column = (1, -1, *[1] * (a.dim() - 2))
    if norm.kind == "batch":
        over = (0, *range(2, a.dim()))
        mean = running["mean"] if running else a.mean(over)
        variance = running["variance"] if running else (a - mean.view(column)).pow(2).mean(over)
        n = (a - mean.view(column)) / (variance.view(column) + norm.eps).sqrt()
    elif norm.kind == "rms":
        n = torch.stack([row / (row.pow(2).mean() + norm.eps).sqrt() for row in a])
    else:
        groups = norm.groups if norm.kind == "group" else 1
        size = a.shape[1] // groups
        n = torch.stack(
            [torch.cat([_whitened(row[g * size : (g + 1) * size], norm.eps) for g in range(groups)]) for row in a]
        )
    n = n * own["scale"].view(column) if "scale" in own else n
    return n + own["shift"].view(column) if "shift" in own else n


def _whitened(part: Tensor, eps: float) -> Tensor:
    mean = part.mean()
    return (part - mean) / ((part - mean).pow(2).mean() + eps).sqrt()
