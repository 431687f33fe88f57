"""From input to activity and back: against autograd and finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from neurosal.engine.transfer import transfer
from neurosal.graph import Rate, RMSNorm
from tests.properties.graphs import ACTIVATIONS

VALUES = {
    "linear": lambda a: a,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": torch.nn.functional.gelu,
    "elu": torch.nn.functional.elu,
    "softplus": torch.nn.functional.softplus,
}
MODELS = [
    Rate(activation=activation, norm=norm, gain=gain)
    for activation in ACTIVATIONS
    for norm in (None, RMSNorm(), RMSNorm(eps=0.5))
    for gain in (1.0, 0.3)
]


def written_out(model: Rate, a: Tensor) -> Tensor:
    if model.norm is not None:
        a = a / (a.square().mean(-1, keepdim=True) + model.norm.eps).sqrt()  # type: ignore[attr-defined]
    return model.gain * VALUES[model.activation](a)


def rows(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("model", MODELS, ids=repr)
@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7)])
def test_value_and_error_are_those_of_autograd(model: Rate, shape: tuple[int, ...]) -> None:
    a, e = rows(*shape), rows(*shape, seed=1)
    free = a.clone().requires_grad_()
    expected = written_out(model, free)
    expected.backward(e)
    assert free.grad is not None
    function = transfer(model)
    for borrowed in (True, False):
        h, kept = function.value(a.clone(), borrowed)
        delta = function.gate(e.clone(), kept, borrowed)
        assert (h - expected).abs().max() < 1e-12
        assert (delta - free.grad).abs().max() < 1e-12


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_what_is_borrowed_is_not_written_to_and_no_error_either(model: Rate) -> None:
    a, e = rows(4, 6), rows(4, 6, seed=1)
    seen, sent = a.clone(), e.clone()
    function = transfer(model)
    _, kept = function.value(seen, True)
    function.gate(sent, kept, True)
    assert torch.equal(seen, a)
    assert torch.equal(sent, e)


def test_the_error_of_a_norm_is_its_finite_difference() -> None:
    function, a, e, step = transfer(Rate(norm=RMSNorm(eps=0.1), gain=0.3)), rows(1, 6), rows(1, 6, seed=1), 1e-6
    _, kept = function.value(a, True)
    delta = function.gate(e, kept, True)
    for unit in range(6):
        moved = [a.clone(), a.clone()]
        moved[0][0, unit] += step
        moved[1][0, unit] -= step
        up, down = (float((function.value(each, True)[0] * e).sum()) for each in moved)
        assert abs((up - down) / (2 * step) - float(delta[0, unit])) < 1e-8


def test_a_row_of_zeros_has_an_activity_and_an_error() -> None:
    function = transfer(Rate(activation="linear", norm=RMSNorm(eps=1e-4)))
    h, kept = function.value(torch.zeros(2, 3), True)
    assert torch.equal(h, torch.zeros(2, 3))
    assert torch.allclose(function.gate(torch.ones(2, 3), kept, False), torch.full((2, 3), 100.0))
