"""Optimisers as values: pure `init`/`update`, rates per replica, and a mask that freezes areas without samples.

Tensor axes: R replica, K area, then the weight's own. torch.optim is not used because it takes no rate per replica and
    moves weights that got no
gradient; at R = K = 1 the numbers are those of torch.optim. Only tensor methods are called, so this file imports
without torch.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from neurosal.errors import ExperimentError
from neurosal.graph.value import Kinded
from neurosal.settings.schedules import Schedule

LARGE = 1 << 16  # entries of one area's weight from which areas step one after another, in the cache and without copies
PerReplica = float | tuple[float, ...]
State = dict[str, Any]


class Optimizer(Kinded):
    """What turns a proposed change (sign of a gradient) into a step. Rates are numbers, or tuples with one number a
    replica.

    Args:
        lr: learning rate η.
        weight_decay: λ, added to the change as ``λ w`` (decoupled in `AdamW`).
        schedule, decay_schedule: factor on lr and on weight_decay over training.
        clip: largest norm of the whole change of one replica; None for no clipping.
    """

    family: ClassVar[str] = "optimiser"
    error = ExperimentError
    per_replica: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")

    lr: PerReplica = 1e-3
    weight_decay: PerReplica = 0.0
    schedule: Schedule | None = None
    decay_schedule: Schedule | None = None
    clip: float | None = Field(default=None, gt=0)

    @field_validator("lr", "weight_decay")
    @classmethod
    def _not_negative(cls, value: PerReplica) -> PerReplica:
        if any(entry < 0 for entry in (value if isinstance(value, tuple) else (value,))):
            raise ValueError("rates that are not negative")
        return value

    @property
    def plain(self) -> bool:
        """Whether a step is ``w -= η (change + λ w)`` and nothing else, so that it can be fused into the product that
        makes the change."""
        return False

    def init(self, weight: Any) -> State:
        """State for a weight [R, K, ...]: tensors with R first."""
        return {}

    def apply_(self, weight: Any, change: Any, state: State, lr: Any, decay: Any, replica: Any = None) -> None:
        """One step in place. `lr`, `decay`: numbers, or tensors that broadcast against `weight`. `replica`: whose rates
        each row of `weight` takes
        (an index, where the rows are a selection of replicas and areas); None where row r is replica r."""
        raise TypeError(f"{type(self).__name__} has no step")

    def update(
        self, weight: Any, change: Any, state: State, *, mask: Any = None, lr: Any = None, decay: Any = None
    ) -> tuple[Any, State]:
        """The pure form of a step: new weight and new state; the arguments stay as they are.

        Args:
            weight, change: [R, K, ...].
            mask: bool [R, K]; False keeps that area's weight and state bit for bit. None moves all.
            lr, decay: the rates of this step; default those of the value.
        """
        weight, state = weight.clone(), {name: entry.clone() for name, entry in state.items()}
        self.update_(
            weight,
            change,
            state,
            mask=mask,
            lr=self.lr if lr is None else lr,
            decay=self.weight_decay if decay is None else decay,
        )
        return weight, state

    def update_(self, weight: Any, change: Any, state: State, *, mask: Any, lr: Any, decay: Any) -> None:
        """`update` in place."""
        rows = weight.shape[0] * weight.shape[1]
        if rows > 1 and weight[0, 0].numel() >= LARGE and not weight.is_cuda:
            flat = change.flatten(0, 1)
            for row in range(rows) if mask is None else mask.flatten().nonzero()[:, 0].tolist():
                step_rows(self, weight, flat[row : row + 1], state, row, lr=lr, decay=decay)
            return
        if mask is None:
            self.apply_(weight, change, state, spread(lr, weight), spread(decay, weight))
            return
        active = mask.flatten().nonzero()[:, 0]
        flat = weight.flatten(0, 1)
        chosen, chosen_state = flat[active], {name: entry.flatten(0, 1)[active] for name, entry in state.items()}
        rates = [spread(rate, weight) for rate in (lr, decay)]
        rates = [
            rate if isinstance(rate, float) else rate.expand(*weight.shape[:2], *rate.shape[2:]).flatten(0, 1)[active]
            for rate in rates
        ]
        lr, decay = rates
        self.apply_(chosen, change.flatten(0, 1)[active], chosen_state, lr, decay, replica=active // weight.shape[1])
        flat[active] = chosen
        for name, entry in state.items():
            entry.flatten(0, 1)[active] = chosen_state[name]


def step_rows(optimizer: Optimizer, weight: Any, change: Any, state: State, row: int, *, lr: Any, decay: Any) -> None:
    """One step of one (replica, area) in place, as views of the whole.

    Args:
        weight: [R, K, ...], and the state likewise.
        change: [1, ...], of that replica and area.
        row: replica · K + area.
        lr, decay: numbers, or [R].
    """
    replica = slice(row // weight.shape[1], row // weight.shape[1] + 1)
    own = weight.flatten(0, 1)[row : row + 1]
    own_state = {name: entry.flatten(0, 1)[row : row + 1] for name, entry in state.items()}
    optimizer.apply_(own, change, own_state, spread(lr, own, replica), spread(decay, own, replica), replica=replica)


def below_one(value: PerReplica) -> PerReplica:
    """Factors of running averages; at 1 and above they never forget and grow without bound."""
    if not all(0 <= entry < 1 for entry in (value if isinstance(value, tuple) else (value,))):
        raise ValueError("numbers from 0 to below 1")
    return value


def spread(rate: Any, like: Any, replica: Any = None) -> Any:
    """A rate as a number, or as a tensor [R, 1, ...] with as many axes as `like`, of its type and on its device;
    `replica` selects its entries."""
    if isinstance(rate, (int, float)):
        return float(rate)
    tensor = like.new_tensor(rate) if isinstance(rate, tuple) else rate.to(like)
    tensor = tensor if replica is None else tensor[replica]
    return tensor.reshape(-1, *([1] * (like.dim() - 1)))


class SGD(Optimizer):
    """``g = change + λ w``; ``v = μ v + g``; ``w -= η v`` (Nesterov: ``w -= η (g + μ v)``), as in torch.optim.SGD.

    Args:
        momentum: μ.
        nesterov: look ahead along the momentum.
    """

    kind: ClassVar[str] = "sgd"
    per_replica: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "momentum")
    momentum: PerReplica = 0.0
    nesterov: bool = False

    @field_validator("momentum")
    @classmethod
    def _decays(cls, value: PerReplica) -> PerReplica:
        return below_one(value)

    @field_validator("nesterov")
    @classmethod
    def _looks_along_something(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("momentum") == 0:
            raise ValueError("false without momentum (there is nothing to look ahead along)")
        return value

    @property
    def plain(self) -> bool:
        return self.momentum == 0 and self.clip is None

    def init(self, weight: Any) -> State:
        return {} if self.momentum == 0 else {"momentum": weight.new_zeros(weight.shape)}

    def apply_(self, weight: Any, change: Any, state: State, lr: Any, decay: Any, replica: Any = None) -> None:
        if not isinstance(decay, float) or decay:
            change = change + decay * weight
        if self.momentum != 0:
            momentum = spread(self.momentum, weight, replica)
            velocity = state["momentum"].mul_(momentum).add_(change)
            change = change + momentum * velocity if self.nesterov else velocity
        if isinstance(lr, float):
            weight.add_(change, alpha=-lr)
        else:
            weight.sub_(lr * change)


class Adam(Optimizer):
    """``m = β₁ m + (1-β₁) g``; ``v = β₂ v + (1-β₂) g²``; ``w -= η m̂ / (√v̂ + ε)``, decay added to g (Kingma & Ba 2015,
    arXiv 1412.6980).

    Each replica and area counts its own steps.
    """

    kind: ClassVar[str] = "adam"
    per_replica: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "beta1", "beta2", "eps")
    beta1: PerReplica = 0.9
    beta2: PerReplica = 0.999
    eps: PerReplica = 1e-8
    decoupled: ClassVar[bool] = False

    @field_validator("beta1", "beta2")
    @classmethod
    def _decays(cls, value: PerReplica) -> PerReplica:
        return below_one(value)

    def init(self, weight: Any) -> State:
        count = weight.new_zeros(weight.shape[:2]).double()
        return {"first": weight.new_zeros(weight.shape), "second": weight.new_zeros(weight.shape), "count": count}

    def apply_(self, weight: Any, change: Any, state: State, lr: Any, decay: Any, replica: Any = None) -> None:
        if self.decoupled:
            weight.mul_(1 - lr * decay)
        elif not isinstance(decay, float) or decay:
            change = change + decay * weight
        beta1, beta2, eps = (spread(rate, weight, replica) for rate in (self.beta1, self.beta2, self.eps))
        state["count"].add_(1)
        count = state["count"].reshape(*state["count"].shape, *([1] * (weight.dim() - state["count"].dim())))
        state["first"].mul_(beta1).add_((1 - beta1) * change)
        state["second"].mul_(beta2).add_((1 - beta2) * change * change)
        bias1, bias2 = (1 - beta1**count).to(weight.dtype), (1 - beta2**count).sqrt().to(weight.dtype)
        weight.sub_((lr / bias1) * state["first"] / (state["second"].sqrt() / bias2 + eps))


class AdamW(Adam):
    """Adam with decay decoupled from the change: ``w *= 1 - η λ`` first (Loshchilov & Hutter 2019, arXiv
    1711.05101)."""

    kind: ClassVar[str] = "adamw"
    decoupled: ClassVar[bool] = True
    weight_decay: PerReplica = 0.01
