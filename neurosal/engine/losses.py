"""Losses: per-replica mean, and the output's δ = ∂ℓ_n/∂a for each sample (never divided by the batch: the reduction
acts in the change).

Letters: R replica, N sample, O output unit. Internally the output is [N, O] for one replica, [R, N, O] for more.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

aten = torch.ops.aten
MEAN, NOTHING_IGNORED = 1, -100  # reduction and ignored label of torch's own kernel
LossFunction = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """``ℓ_n = -log softmax(a)_y``, ``δ = softmax(a) - onehot(y)``. Labels are integers [.., N]."""
    logs = torch.log_softmax(logits, -1)
    index = labels.unsqueeze(-1)
    if logits.dim() == 2:
        loss = aten.nll_loss_forward.default(logs, labels, None, MEAN, NOTHING_IGNORED)[0]
    else:
        loss = logs.gather(-1, index).mean((-1, -2)).neg_()
    return loss, logs.exp_().scatter_(-1, index, -1.0, reduce="add")


def mean_squared_error(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """``ℓ_n = mean_o (a - y)²``, ``δ = 2 (a - y) / O``."""
    difference = output - target
    return difference.square().mean((-1, -2)), difference.mul_(2 / output.shape[-1])


def binary_cross_entropy(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """``ℓ_n = mean_o (softplus(a) - y a)``, ``δ = (sigmoid(a) - y) / O``. Targets lie in [0, 1]."""
    losses = torch.nn.functional.softplus(logits) - target * logits
    return losses.mean((-1, -2)), (torch.sigmoid(logits) - target).div_(logits.shape[-1])


NO_LOSS = "none"  # the name of learning without an error
LOSSES: dict[str, LossFunction] = {
    "cross_entropy": cross_entropy,
    "mse": mean_squared_error,
    "bce": binary_cross_entropy,
}
