"""Small circuits whose samples take time, and a slow reference of them: one step, sample, replica and synapse after
another under autograd, which shares no code with the engine.
"""

from __future__ import annotations

from math import exp
from typing import Any

import torch
from torch import Tensor

from neurosal.graph import (
    LIF,
    Circuit,
    Dense,
    Jump,
    Normal,
    Own,
    Population,
    Projection,
    TimedReadout,
    TimedSource,
    Wiring,
)
from neurosal.plasticity import Delta

SOFT = {
    "e_leak_mv": 0.0,
    "v_threshold_mv": 1.0,
    "v_reset_mv": 0.0,
    "reset": "subtract",
    "refractory_ms": 0.0,
    "clamped": False,
}


def circuit(
    model: LIF,
    *,
    recurrent: bool = True,
    inputs: int = 6,
    units: int = 9,
    outputs: int = 3,
    steps: int = 40,
    window_ms: float | None = None,
    targets: str = "sample",
    wiring: Wiring | None = None,
    std: float = 0.5,
) -> Circuit:
    """Input, one population of spiking units, read-out."""

    def edge(source: str, target: str, std: float, **fields: Any) -> Projection:
        return Projection(
            source=source,
            target=target,
            synapse=Jump(),
            plasticity=Delta(),
            weights=Own(init=Normal(std=std)),
            **fields,
        )

    edges = {"input_to_hidden": edge("input", "hidden", std), "hidden_to_output": edge("hidden", "output", 0.3)}
    if recurrent:
        within = {"pathway": "lateral", "wiring": wiring or Dense()}
        edges["hidden_to_hidden"] = edge("hidden", "hidden", 0.4, **within)
    return Circuit(
        name="small",
        populations={
            "input": Population(size=inputs, model=TimedSource(frames=steps)),
            "hidden": Population(size=units, model=model),
            "output": Population(size=outputs, model=TimedReadout(window_ms=window_ms, targets=targets)),
        },
        projections=edges,
    )


def spikes(samples: int, circuit: Circuit, share: float = 0.25, seed: int = 3) -> Tensor:
    """Random spikes as features of samples."""
    features = circuit.populations["input"].features
    drawn = torch.rand(samples, features, generator=torch.Generator().manual_seed(seed))
    return (drawn < share).double()


class Spike(torch.autograd.Function):
    """A step whose derivative is the triangle of the paper."""

    @staticmethod
    def forward(ctx: Any, excess: Tensor, width: float, damping: float) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(excess)
        ctx.shape = (width, damping)
        return (excess > 0).to(excess.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (excess,) = ctx.saved_tensors
        width, damping = ctx.shape
        return grads[0] * damping / width * torch.clamp(1 - excess.abs() / width, min=0), None, None


def unrolled(
    circuit: Circuit,
    weights: dict[str, Tensor],
    x: Tensor,
    *,
    through_recurrence: bool = True,
    through_reset: bool = False,
) -> tuple[Tensor, Tensor]:
    """Spikes [N, T, U] and read-out [N, T, O] of one replica, differentiable in the weights.

    Args:
        weights: projection → [post, pre].
        through_recurrence: whether error passes recurrent spikes.
        through_reset: whether it passes what a spike does to its own potential.
    """
    model, source = circuit.populations["hidden"].model, circuit.populations["input"].model
    readout = circuit.populations["output"].model
    units = circuit.populations["hidden"].units
    played = x.view(len(x), source.steps, -1)
    alpha = torch.exp(torch.tensor(-1.0 / model.tau_m_ms, dtype=x.dtype))
    kappa = torch.exp(torch.tensor(-1.0 / readout.tau_m_ms, dtype=x.dtype))
    step = getattr(model, "threshold_step_mv", 0.0)
    rho = torch.exp(torch.tensor(-1.0 / getattr(model, "tau_threshold_ms", 1.0), dtype=x.dtype))
    rest = model.e_leak_mv + model.bias_mv
    v = torch.full((len(x), units), model.e_leak_mv, dtype=x.dtype)
    theta, y = torch.zeros_like(v), torch.zeros(len(x), circuit.populations["output"].units, dtype=x.dtype)
    last = torch.full((len(x), units), -1000)
    all_spikes, values = [], []
    for n in range(source.steps):
        ready = n - last >= round(model.refractory_ms)
        moved = rest + alpha * (v - rest)
        v = torch.where(ready, moved, v) if model.clamped else moved
        theta = rho * theta
        excess = v - theta - model.v_threshold_mv
        z = Spike.apply(excess, model.v_threshold_mv - model.e_leak_mv, readout.damping) * ready
        last = torch.where(z.detach() > 0, n, last)
        arriving = played[:, n] @ weights["input_to_hidden"].T
        if "hidden_to_hidden" in weights:
            arriving = arriving + (z if through_recurrence else z.detach()) @ weights["hidden_to_hidden"].T
        if model.clamped:
            arriving = arriving * (ready & (z.detach() == 0))
        v = v + arriving
        fired = z if through_reset else z.detach()
        if model.reset == "subtract":
            v = v - fired * (model.v_threshold_mv - model.v_reset_mv)
        else:
            v = (1 - fired) * v + fired * model.v_reset_mv
        theta = theta + step * z
        y = kappa * y + z @ weights["hidden_to_output"].T
        all_spikes.append(z)
        values.append(y)
    return torch.stack(all_spikes, 1), torch.stack(values, 1)


def loss_of(circuit: Circuit, values: Tensor, target: Tensor, loss: str) -> Tensor:
    """The mean loss of samples over the window, as a sum over samples divided by nothing but their number."""
    window = circuit.populations["output"].model.window_ms
    seen = values[:, -round(window) :] if window is not None else values
    if loss == "cross_entropy":
        steps = seen.shape[1]
        return torch.nn.functional.cross_entropy(seen.flatten(0, 1), target.repeat_interleave(steps))
    each = circuit.populations["output"].model.targets == "step"
    wanted = target.view(seen.shape) if each else target[:, None].expand(seen.shape)
    return (seen - wanted).square().mean()


def gradients(
    circuit: Circuit, weights: dict[str, Tensor], x: Tensor, y: Tensor, loss: str = "cross_entropy", **how: Any
) -> dict[str, Tensor]:
    """Projection → gradient of the loss under autograd."""
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    values = unrolled(circuit, leaves, x, **how)[1]
    total = loss_of(circuit, values, y, loss)
    found = torch.autograd.grad(total, list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def by_traces(
    circuit: Circuit, weights: dict[str, Tensor], feedback: Tensor, x: Tensor, y: Tensor
) -> dict[str, Tensor]:
    """E-prop as the paper writes it, forward in time with a trace for every synapse, for units whose reset subtracts:
    projection → change with the sign of a gradient.

    Args:
        feedback: B [units, outputs].
    """
    model, source = circuit.populations["hidden"].model, circuit.populations["input"].model
    readout = circuit.populations["output"].model
    alpha, kappa = exp(-1.0 / model.tau_m_ms), exp(-1.0 / readout.tau_m_ms)
    adapts = hasattr(model, "threshold_step_mv")
    rho = exp(-1.0 / model.tau_threshold_ms) if adapts else 0.0
    step, theta = (model.threshold_step_mv if adapts else 0.0), model.v_threshold_mv
    change = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for sample, label in zip(x.view(len(x), source.steps, -1), y, strict=True):
        v, extra, value = torch.zeros(9, dtype=x.dtype), torch.zeros(9, dtype=x.dtype), torch.zeros(3, dtype=x.dtype)
        wait = torch.zeros(9)
        pre = {name: torch.zeros(weight.shape[1], dtype=x.dtype) for name, weight in weights.items()}
        adapting = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        smooth = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        low = torch.zeros(9, dtype=x.dtype)
        for n in range(source.steps):
            v, extra = alpha * v, rho * extra
            ready = (wait <= 0).to(x.dtype)
            psi = ready * readout.damping / theta * torch.clamp(1 - (v - extra - theta).abs() / theta, min=0)
            z = ready * (v - extra > theta)
            wait = torch.where(z > 0, model.refractory_ms, wait) - 1
            value, low = kappa * value + weights["hidden_to_output"] @ z, kappa * low + z
            error = torch.softmax(value, 0) - torch.nn.functional.one_hot(label, 3)
            error = error / (len(x) * source.steps)
            signal = feedback @ error
            change["hidden_to_output"] += torch.outer(error, low)
            for name, arriving in (("input_to_hidden", sample[n]), ("hidden_to_hidden", z)):
                pre[name], adapting[name] = alpha * pre[name], rho * adapting[name]
                trace = psi[:, None] * (pre[name] - adapting[name])
                smooth[name] = kappa * smooth[name] + trace
                change[name] += signal[:, None] * smooth[name]
                pre[name] = pre[name] + arriving
                adapting[name] = adapting[name] + step * trace
            v = v + weights["input_to_hidden"] @ sample[n] + weights["hidden_to_hidden"] @ z
            v, extra = v - z * (theta - model.v_reset_mv), extra + step * z
    change["hidden_to_hidden"].fill_diagonal_(0.0)
    return change
