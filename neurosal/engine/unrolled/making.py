"""Cells with numbers put in: constants of a model for the time step, those of single units drawn as every engine draws
them.
"""

from __future__ import annotations

from math import exp
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.unrolled.cells import Cell, Number
from neurosal.graph import LIF, AdaptiveLIF, Circuit, Initialiser, TimedReadout, Timing
from neurosal.lower.spiking.edges import drawn, random_of


def cell_of(
    circuit: Circuit, name: str, timing: Timing, seeds: tuple[int, ...], like: Tensor, keep: Tensor | None
) -> Cell:
    """The cell of a population.

    Args:
        like: a tensor of the network's type and device.
        keep: [R, units], 0 where units are silenced; None for none.
    """
    model = circuit.populations[name].model
    assert isinstance(model, LIF)
    output = circuit.populations[circuit.output].model
    assert isinstance(output, TimedReadout)
    units = circuit.populations[name].units

    def number(value: Any, constant: str, stream: str = "constant") -> Number:
        if not isinstance(value, Initialiser):
            return float(value)
        rows = [drawn(value, units, random_of(seed, name, stream, constant), 1.0, 1.0) for seed in seeds]
        return torch.as_tensor(np.stack(rows)).to(like)[:, None]

    leak, bias_mv = number(model.e_leak_mv, "e_leak_mv"), number(model.bias_mv, "bias_mv")
    assert isinstance(model.tau_m_ms, float)
    assert isinstance(model.capacitance_pf, float)
    rest = leak + bias_mv + number(model.bias_pa, "bias_pa") * (model.tau_m_ms / model.capacitance_pf)
    threshold = number(model.v_threshold_mv, "v_threshold_mv")
    adapts = isinstance(model, AdaptiveLIF)
    tau = getattr(model, "tau_threshold_ms", 1.0)
    return Cell(
        alpha=exp(-timing.dt_ms / model.tau_m_ms),
        rest=rest,
        threshold=threshold,
        reset=number(model.v_reset_mv, "v_reset_mv"),
        soft=model.reset == "subtract",
        start=leak if model.start_mv is None else number(model.start_mv, "v_mv", "start"),
        refractory=round(model.refractory_ms / timing.dt_ms),
        clamped=model.clamped,
        width=threshold - leak,
        damping=output.damping,
        through_reset=output.through_reset,
        rho=exp(-timing.dt_ms / tau) if adapts else 0.0,
        step=number(getattr(model, "threshold_step_mv", 0.0), "threshold_step_mv"),
        first=number(getattr(model, "start_adaptation_mv", 0.0), "adaptation_mv", "start"),
        keep=None if keep is None else keep[:, None],
    )


def decays(decay: float, steps: int, like: Tensor) -> Tensor:
    """``decay^(n - m)`` for n ≥ m, else 0, [T, T]: a leaky integrator over all steps as one product."""
    n = torch.arange(steps, device=like.device)
    power = (n[:, None] - n).clamp(min=0).to(torch.float64)
    return torch.tril(torch.full_like(power, decay).pow(power)).to(like.dtype)
