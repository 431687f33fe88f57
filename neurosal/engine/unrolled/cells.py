"""Spiking units over all steps of a sample, and error back through them: loops of few fused kernels a step.

The order of a step is that of the clock (docs/spiking.md): u is v after the state update of step n, at the threshold;
then spikes arrive, and reset follows. With arrivals s and spikes z

    z_n = [u_n > V_t + ϑ_n and not refractory],   v = u_n + s_n - (V_t - V_r) z_n,   u_{n+1} = E + α (v - E),
    ϑ_{n+1} = ρ (ϑ_n + step z_n).

Back in time, with l = ∂E/∂z, p = ∂E/∂u, g = ∂E/∂ϑ after its jump, and e = ∂E/∂s (what synapses multiply by):

    e_n = α p_{n+1},   l_n = L_n + step g_n + Σ W e_n (along feedback of the population to itself),
    p_n = ψ_n l_n + e_n,   g_{n-1} = ρ (g_n - ψ_n l_n).

The jump of the reset passes no error, as in e-prop (Bellec et al. 2020). Where it is asked to, ``jump · ∂E/∂v_n`` is
added to l_n, with ``jump = ∂v/∂z``: -(V_t - V_r), or V_r - v where v is put to V_r. What decides whether a unit is
ready, or loses what arrives, passes none. Without the sum over W this is e-prop: every factor belongs to the
post-synaptic unit, so that ``Σ_t L_j e_ji`` over eligibility traces is ``Σ_n e_j,n z_i,n``, exactly, and no trace of a
synapse is ever held.

Letters: R replica, T step, N sample, U unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Number = float | Tensor  # the same for all units, or [R, 1, U]
Recurrent = Callable[[Tensor, Tensor], None]  # adds W z to arrivals, or Wᵀ e to errors, [R, N, U] in place


@dataclass(frozen=True)
class Cell:
    """A population of spiking units, with dt put in.

    Attributes:
        alpha: exp(-dt/τ_m).
        rest: where v goes without arrivals.
        threshold, reset: V_t and V_r.
        soft: whether reset takes V_t - V_r off; else it puts v to V_r.
        start: first v.
        refractory: steps; clamped: whether v stands still in them, and loses what arrives.
        width: θ of ψ.
        damping: of ψ.
        through_reset: whether error passes the jump of the reset.
        rho, step: of the adapting threshold; rho 0 for none. first: ϑ at the start.
        keep: [R, 1, U], 0 for units that are silenced; None for none.
    """

    alpha: float
    rest: Number
    threshold: Number
    reset: Number
    soft: bool
    start: Number
    refractory: int
    clamped: bool
    width: Number
    damping: float
    through_reset: bool = False
    rho: float = 0.0
    step: Number = 0.0
    first: Number = 0.0
    keep: Tensor | None = None


@dataclass(frozen=True)
class Trace:
    """What error needs of a forward sweep: ψ [R, T, N, U], and where v did not go on as usual.

    Attributes:
        carry: factor of e_n from p_{n+1} in place of α, [R, T, N, U]; None where it is α.
        open: which arrivals were taken, and the share of v that the reset left, both [R, T, N, U]; None for all.
        jump: ∂v/∂z, [R, T, N, U]; None where it is -(V_t - V_r), or not asked for.
    """

    psi: Tensor
    carry: Tensor | None = None
    open: Tensor | None = None
    left: Tensor | None = None
    jump: Tensor | None = None


def forward(cell: Cell, arrivals: Tensor, recurrent: Recurrent | None) -> tuple[Tensor, Trace]:
    """The spikes of all steps, and what error needs.

    Args:
        arrivals: from other populations, [R, T, N, U]; it is written over.
        recurrent: adds what spikes of a step bring to the population itself.
    """
    if cell.soft and not cell.clamped:
        return _soft(cell, arrivals, recurrent)
    return _stepwise(cell, arrivals, recurrent)


def _soft(cell: Cell, s: Tensor, recurrent: Recurrent | None) -> tuple[Tensor, Trace]:
    """Units whose v goes on whatever happens: three kernels a step, and three more for what adapts."""
    steps, alpha, rho = s.shape[1], cell.alpha, cell.rho
    drop, offset = cell.threshold - cell.reset, (1 - alpha) * cell.rest
    shift = not isinstance(offset, float) or offset != 0.0
    u = torch.empty_like(s)
    z = torch.empty_like(s)
    u[:, 0] = cell.rest + (cell.start - cell.rest) * alpha
    theta = torch.empty_like(s[:, 0]).copy_(_wide(cell.first * rho, s)) if rho else None
    barrier = torch.empty_like(s[:, 0])
    ready = Ready(cell, s)
    distance = torch.empty_like(s) if rho else None
    for n in range(steps):
        here, spikes, arriving = u[:, n], z[:, n], s[:, n]
        if theta is not None and distance is not None:
            torch.sub(here, theta, out=distance[:, n])
            torch.gt(distance[:, n], cell.threshold, out=spikes)
        else:
            torch.gt(here, cell.threshold, out=spikes)
        ready.hold(spikes, n)
        if n + 1 == steps:
            break
        if recurrent is not None:
            recurrent(spikes, arriving)
        if isinstance(drop, float):
            arriving.add_(spikes, alpha=-drop)
        else:
            arriving.addcmul_(spikes, drop, value=-1)
        torch.add(arriving, here, out=barrier)
        following = torch.mul(barrier, alpha, out=u[:, n + 1])
        if shift:
            following.add_(offset)
        if theta is not None:
            _adapt(theta, spikes, cell)
    psi = surrogate(cell, u if distance is None else distance)
    return z, Trace(ready.gate(psi))


def _adapt(theta: Tensor, spikes: Tensor, cell: Cell) -> None:
    """``ϑ ← ρ (ϑ + step z)``."""
    _scaled(theta, spikes, cell.step)
    theta.mul_(cell.rho)


def _stepwise(cell: Cell, s: Tensor, recurrent: Recurrent | None) -> tuple[Tensor, Trace]:
    """Units that are put to V_r, or stand still in refractory time."""
    steps, alpha, rho = s.shape[1], cell.alpha, cell.rho
    held = cell.clamped  # without refractory time, too, units that have just spiked lose what arrives
    z, distance = torch.empty_like(s), torch.empty_like(s)
    v = torch.empty_like(s[:, 0]).copy_(_wide(cell.start, s))
    theta = torch.empty_like(v).copy_(_wide(cell.first, s)) if rho else None
    ready = Ready(cell, s)
    carry = torch.empty_like(s) if held else None
    open_ = torch.empty_like(s) if held else None
    jump = torch.empty_like(s) if cell.through_reset and not cell.soft else None
    for n in range(steps):
        moved = cell.rest + (v - cell.rest) * alpha
        free = ready.now(n)
        u = torch.where(free, moved, v) if held and free is not None else moved
        if carry is not None:
            carry[:, n] = alpha
            if free is not None:
                carry[:, n].masked_fill_(~free, 1.0)
        if theta is not None:
            theta.mul_(rho)
        torch.sub(u, theta, out=distance[:, n]) if theta is not None else distance[:, n].copy_(u)
        spikes = torch.gt(distance[:, n], cell.threshold, out=z[:, n])
        ready.hold(spikes, n)
        if recurrent is not None:
            recurrent(spikes, s[:, n])
        taken = s[:, n]
        if open_ is not None:
            torch.sub(1.0, spikes, out=open_[:, n])
            if free is not None:
                open_[:, n].mul_(free)
            taken = taken * open_[:, n]
        v = u + taken
        if jump is not None:
            torch.sub(cell.reset, v, out=jump[:, n])
        v = v - spikes * (cell.threshold - cell.reset) if cell.soft else torch.where(spikes > 0, cell.reset, v)
        if theta is not None:
            theta.add_(spikes * cell.step)
    psi = ready.gate(surrogate(cell, distance))
    return z, Trace(psi, carry, open_, None if cell.soft else 1.0 - z, jump)


class Ready:
    """Which units may spike, step by step."""

    def __init__(self, cell: Cell, like: Tensor) -> None:
        self.steps, self.keep = cell.refractory, cell.keep
        self.waits = self.steps > 1  # a unit that spikes in step m is ready in step m + 1 otherwise
        self._last = torch.full_like(like[:, 0], -float(1 << 20)) if self.waits else None
        self._all = torch.empty(like.shape, dtype=torch.bool, device=like.device) if self.waits else None
        self._seen = -1

    def now(self, n: int) -> Tensor | None:
        """Whether each is ready in step n; None where all are."""
        if self._last is None or self._all is None:
            return None
        if self._seen != n:
            torch.le(self._last, float(n - self.steps), out=self._all[:, n])
            self._seen = n
        return self._all[:, n]

    def hold(self, spikes: Tensor, n: int) -> None:
        """Take away spikes of those that are not, and note those that are left."""
        if (ready := self.now(n)) is not None and self._last is not None:
            spikes.mul_(ready)
            self._last.masked_fill_(spikes > 0, float(n))
        if self.keep is not None:
            spikes.mul_(self.keep)

    def gate(self, psi: Tensor) -> Tensor:
        """ψ of those that may spike."""
        if self._all is not None:
            psi.mul_(self._all)
        return psi if self.keep is None else psi.mul_(self.keep[:, None])


def surrogate(cell: Cell, distance: Tensor) -> Tensor:
    """``ψ = (γ/θ) max(0, 1 - |u - ϑ - V_t| / θ)``, in place of its argument ``u - ϑ``."""
    threshold, width = (entry if isinstance(entry, float) else entry[:, None] for entry in (cell.threshold, cell.width))
    return distance.sub_(threshold).abs_().div_(width).neg_().add_(1.0).clamp_(min=0.0).mul_(cell.damping / width)


def backward(cell: Cell, trace: Trace, signal: Tensor, recurrent: Recurrent | None) -> Tensor:
    """The error at arrivals, e [R, T, N, U].

    Args:
        signal: ∂E/∂z along feedback from other populations, [R, T, N, U]; it is written over.
        recurrent: adds what errors of a step bring to spikes of the same step of the population itself.
    """
    psi, steps = trace.psi, signal.shape[1]
    plain = trace.carry is None and trace.left is None
    e = torch.empty_like(signal)
    e[:, steps - 1] = 0.0
    if plain and recurrent is None and not cell.rho and not cell.through_reset:  # a linear filter
        driven = signal.mul_(psi).mul_(cell.alpha)
        for n in range(steps - 1, 0, -1):
            torch.add(driven[:, n], e[:, n], alpha=cell.alpha, out=e[:, n - 1])
        return e
    g = torch.zeros_like(signal[:, 0]) if cell.rho else None
    p_next, drop = torch.zeros_like(signal[:, 0]), cell.reset - cell.threshold
    for n in range(steps - 1, -1, -1):
        # e_n and what reaches u_n through v, from p_{n+1}.
        carried = p_next.mul_(cell.alpha if trace.carry is None or n + 1 == steps else trace.carry[:, n + 1])
        left = carried if trace.left is None else carried * trace.left[:, n]
        torch.mul(left, trace.open[:, n], out=e[:, n]) if trace.open is not None else e[:, n].copy_(left)
        l = signal[:, n]  # noqa: E741 - as in the equations above
        if recurrent is not None:
            recurrent(e[:, n], l)
        if cell.through_reset:
            _scaled(l, carried, drop if trace.jump is None else trace.jump[:, n])
        if g is not None:
            _scaled(l, g, cell.step)
        l.mul_(psi[:, n])
        if g is not None:
            g.sub_(l).mul_(cell.rho)
        p_next = torch.add(left, l)
    return e


def _scaled(total: Tensor, rows: Tensor, factor: Number) -> None:
    """Add rows times a factor, in place."""
    if isinstance(factor, float):
        total.add_(rows, alpha=factor)
    else:
        total.addcmul_(rows, factor)


def _wide(value: Number, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)
