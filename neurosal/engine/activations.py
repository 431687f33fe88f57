"""Activation functions and their gates ``δ = e f'(a)``. The derivatives are torch's own backward kernels, called
without autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

aten = torch.ops.aten


@dataclass(frozen=True)
class ActivationFunction:
    """``value(a)`` may overwrite a, ``fresh(a)`` leaves it. ``gate(e, kept)`` is e f'(a) from what was kept: the output
    h, or the input a where ``keeps_input``."""

    value: Callable[[Tensor], Tensor]
    gate: Callable[[Tensor, Tensor], Tensor]
    keeps_input: bool = False
    leaving: Callable[[Tensor], Tensor] | None = None  # the value that leaves a, where `value` overwrites it

    @property
    def fresh(self) -> Callable[[Tensor], Tensor]:
        """f(a), a left as it is; a itself where f is linear."""
        return self.leaving or self.value


ACTIVATIONS: dict[str, ActivationFunction] = {
    "linear": ActivationFunction(lambda a: a, lambda e, h: e),
    "relu": ActivationFunction(torch.relu_, lambda e, h: aten.threshold_backward.default(e, h, 0), leaving=torch.relu),
    "tanh": ActivationFunction(torch.tanh_, aten.tanh_backward.default, leaving=torch.tanh),
    "sigmoid": ActivationFunction(torch.sigmoid_, aten.sigmoid_backward.default, leaving=torch.sigmoid),
    "gelu": ActivationFunction(torch.nn.functional.gelu, aten.gelu_backward.default, keeps_input=True),
    "elu": ActivationFunction(
        torch.nn.functional.elu, lambda e, a: aten.elu_backward.default(e, 1.0, 1.0, 1.0, False, a), keeps_input=True
    ),
    "softplus": ActivationFunction(
        torch.nn.functional.softplus, lambda e, a: aten.softplus_backward.default(e, a, 1.0, 20.0), keeps_input=True
    ),
}
