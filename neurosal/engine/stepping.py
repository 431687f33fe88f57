"""The training step of a network: forward, feedback, changes; and the optimiser that goes with it.

Letters: R replica, N sample, I input unit, O output unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from neurosal.checks import nothing_changes
from neurosal.engine.inputs import as_target
from neurosal.engine.learning import Rates
from neurosal.engine.losses import NO_LOSS
from neurosal.engine.sweep import Batch, no_grad
from neurosal.errors import ExperimentError, Problem
from neurosal.lower.holding import LARGE
from neurosal.lower.plan import Backward, Change
from neurosal.settings.optimizers import Optimizer, PerReplica

if TYPE_CHECKING:
    from neurosal.engine.compiled import TracedSteps
    from neurosal.engine.learning import Learner
    from neurosal.engine.network import Network
    from neurosal.engine.routing import RouterState
    from neurosal.engine.state import NetworkState
    from neurosal.engine.sweep import Sweep
    from neurosal.engine.together import Together
    from neurosal.graph import Circuit
    from neurosal.lower.plan import Plan

Inputs = Tensor | Mapping[str, Any] | Any


class Stepped:
    """What of a `Network` learns."""

    circuit: Circuit
    plan: Plan
    device: torch.device
    dtype: torch.dtype
    steps: int
    _sweep: Sweep
    _learner: Learner
    _routers: dict[str, RouterState]
    _state: NetworkState
    _optimizer: Optimizer | None
    _traced: TracedSteps | None
    _outputs: int
    _row_bytes: int
    recompute: int
    together: Together | None

    if TYPE_CHECKING:

        @property
        def replicas(self) -> int: ...

        def batch_of(self, x: Inputs) -> Batch: ...

    def step(
        self,
        x: Inputs,
        y: Any = None,
        loss: str = "cross_entropy",
        optimizer: Optimizer | None = None,
        *,
        epoch: float = 0.0,
        epochs: float = 0.0,
        scheduled: int | None = None,
    ) -> Tensor:
        """One training step: forward, feedback, changes. The optimiser's state stays with the network.

        Args:
            x: [N, I], the same for all replicas, or [R, N, I]; a mapping for several inputs.
            y: labels [N] or [R, N] for cross-entropy, values [.., N, O] else.
            loss: "none" computes no error at all: only plasticity that needs none acts, and `y` is not looked at.
            epoch, epochs: progress, for schedules; scheduled: steps that a schedule counts as done, None for all.

        Returns:
            Mean loss of each replica before the step, [R]; NaN with the loss "none".

        Raises:
            ExperimentError: for the loss "none" where nothing changes without an error.
        """
        optimizer = self._use(optimizer)
        self.check_loss(loss)
        rates = self._rates(optimizer, epoch, epochs, scheduled)
        if self._traced is not None and not self._state.all_frozen:
            mean = self._traced.step(cast("Network", self), x, y, loss, optimizer, rates)
        else:
            batch = self.batch_of(x)
            batch.training = True
            target = None if loss == NO_LOSS else self._target(batch, y, loss)
            with no_grad():
                mean = self._advance(batch, target, loss, optimizer, rates)
        if self._state.frozen:
            with no_grad():
                self._state.hold()
        self.steps += 1
        return mean

    def _advance(self, batch: Batch, target: Tensor | None, loss: str, optimizer: Optimizer, rates: Rates) -> Tensor:
        """The step of a batch that has its inputs."""
        if self.together is not None:
            batch, target = self.together.part(batch, target)
        if target is not None and optimizer.clip is None and not self._state.all_frozen:
            mean = self._lean_step(batch, target, loss, optimizer, rates)
            self._learn_routes(batch, rates)
        else:
            mean = self._whole_step(batch, target, loss, optimizer, rates)
        if batch.together is not None:
            batch.together.finish()
        if not self._state.all_frozen:
            self._sweep.track(batch)
        return mean

    def _whole_step(self, batch: Batch, target: Tensor | None, loss: str, optimizer: Optimizer, rates: Rates) -> Tensor:
        """All signals held: where changes wait for each other, or there is no error, or nothing changes."""
        for step in self._sweep.forward:
            step(batch)
        mean = self._no_loss() if target is None else self._sweep.lose(batch, target, loss)
        if not self._state.all_frozen:
            made = self._sweep.plan_with(self._sweep.joined(batch.whole))
            self._change(made.without_error if target is None else made.backward, batch, optimizer, rates)
        return mean

    def _change(self, phases: Iterable[Backward | Change], batch: Batch, optimizer: Optimizer, rates: Rates) -> None:
        if optimizer.clip is None:
            self._feedback_and_learn(phases, batch, optimizer, rates)
        else:
            self._feedback_then_clip(phases, batch, optimizer, rates)
        self._learn_routes(batch, rates)

    def _learn_routes(self, batch: Batch, rates: Rates) -> None:
        if batch.together is not None:
            batch.together.finish()
        for name, state in self._routers.items():
            seen, groups = batch.seen.get(name), batch.groups[name]
            if batch.together is not None:
                seen, groups = batch.together.seen(name, batch)
            assert seen is not None
            state.learn(seen, groups, rates.lr)

    def _no_loss(self) -> Tensor:
        return torch.full((self.replicas,), torch.nan, dtype=self.dtype, device=self.device)

    def check_loss(self, loss: str) -> None:
        """Refuse to learn without an error where nothing changes without one.

        Raises:
            ExperimentError: naming what kinds of plasticity there are.
        """
        acts = loss != NO_LOSS or self.plan.without_error
        if not acts and (problem := nothing_changes(self.circuit)) is not None:
            raise ExperimentError(problem)

    def _lean_step(self, batch: Batch, target: Tensor, loss: str, optimizer: Optimizer, rates: Rates) -> Tensor:
        """Each change as soon as it may be made, and each signal forgotten after its last reader."""
        lean = self._sweep.lean(self.recompute, self._light(batch), batch.whole)
        for step, frees in lean.up:
            step(batch)
            if frees:
                batch.drop(frees)
        mean = self._sweep.lose(batch, target, loss)
        batch.drop(lean.lost)
        for change, back, frees in lean.down:
            if change is not None:
                self._learner.learn(change, batch, optimizer, rates)
            elif back is not None:
                back(batch)
            if frees:
                batch.drop(frees)
        return mean

    def _light(self, batch: Batch) -> bool:
        """Whether signals are so large that it pays to compute again what costs no product."""
        return self._row_bytes * batch.samples > LARGE

    def _feedback_and_learn(
        self, phases: Iterable[Backward | Change], batch: Batch, optimizer: Optimizer, rates: Rates
    ) -> None:
        for phase in phases:
            if isinstance(phase, Change):
                self._learner.learn(phase, batch, optimizer, rates)
            else:
                self._sweep.back(phase)(batch)

    def _feedback_then_clip(
        self, phases: Iterable[Backward | Change], batch: Batch, optimizer: Optimizer, rates: Rates
    ) -> None:
        """Clipping needs the norm of the whole change of each replica, so nothing moves before all of it is known."""
        for phase in phases:
            if not isinstance(phase, Change):
                self._sweep.back(phase)(batch)
        changes = [phase for phase in phases if isinstance(phase, Change)]
        proposed = [self._learner.proposed(change, batch) for change in changes]
        tensors = [tensor for weights, biases, _ in proposed for tensor in (*weights.values(), *biases.values())]
        none_R = torch.zeros(self.replicas, dtype=self.dtype, device=self.device)  # where nothing can change
        if batch.together is not None:
            none_R, tensors = batch.together.sum_changes(changes, proposed, none_R)
        square_R = sum((tensor.flatten(1).square().sum(1) for tensor in tensors), start=none_R)
        assert optimizer.clip is not None
        scale_R = (optimizer.clip / (square_R.sqrt() + 1e-6)).clamp(max=1.0)
        for weights, biases, groups in proposed:
            scaled = [
                {name: t * scale_R.view(-1, *([1] * (t.dim() - 1))) for name, t in part.items()}
                for part in (weights, biases)
            ]
            self._learner.apply(scaled[0], scaled[1], groups, batch, optimizer, rates)

    def _use(self, optimizer: Optimizer | None) -> Optimizer:
        optimizer = optimizer or self._optimizer
        if not isinstance(optimizer, Optimizer):
            found = "none" if optimizer is None else f"{type(optimizer).__module__}.{type(optimizer).__name__}"
            remedy = "Pass e.g. optimizer=ns.SGD(lr=0.1)."
            raise ExperimentError(
                Problem(place="step", expected="an optimizer of neurosal", found=found, remedy=remedy)
            )
        if self._optimizer is not optimizer and self._optimizer != optimizer:
            self.adopt(optimizer)
        self._optimizer = optimizer
        return optimizer

    def adopt(self, optimizer: Optimizer) -> None:
        """Go on with this optimiser. What another one remembers of a weight that this network changes is kept where it
        is of the same kind, else forgotten: whether it can be gone on from, perhaps from a file, is said by what it
        keeps for a weight."""
        self.check_rates(optimizer)
        other = self._optimizer is not None and self._optimizer.kind != optimizer.kind
        self._learner.forget(None if other else optimizer.init(torch.zeros(1, 1, 1)).keys())
        self._optimizer = optimizer

    def check_rates(self, optimizer: Optimizer) -> None:
        """Refuse settings that have a value for each replica, and not one for each of these.

        Raises:
            ExperimentError: naming each.
        """
        wrong = [
            Problem(
                place=f"optimizer.{field}",
                expected=f"one number, or {self.replicas} (one a replica)",
                found=f"{len(value)} numbers",
            )
            for field in optimizer.per_replica
            if isinstance(value := getattr(optimizer, field), tuple) and len(value) != self.replicas
        ]
        if optimizer.clip is not None and self.recompute > 1:
            found, remedy = f"clip={optimizer.clip:g}", "Leave it out, or compile the network with recompute=1."
            expected = "an optimizer that does not clip (clipping holds all signals until every change is known)"
            wrong.append(Problem(place="optimizer.clip", expected=expected, found=found, remedy=remedy))
        if wrong:
            raise ExperimentError(wrong)

    def _rates(self, optimizer: Optimizer, epoch: float, epochs: float, step: int | None = None) -> Rates:
        def scheduled(value: PerReplica, schedule: Any) -> float | Tensor:
            done = self.steps if step is None else step
            factor = 1.0 if schedule is None else schedule.factor(done, epoch, epochs)
            if isinstance(value, tuple):
                return torch.tensor(value, dtype=self.dtype, device=self.device) * factor
            return value * factor

        lr, decay = (
            scheduled(optimizer.lr, optimizer.schedule),
            scheduled(optimizer.weight_decay, optimizer.decay_schedule),
        )
        return Rates(lr, decay)

    def _target(self, batch: Batch, y: Any, loss: str) -> Tensor:
        if loss == "cross_entropy" and type(y) is Tensor and y.dtype is torch.int64 and y.shape == batch.lead:
            return y if y.device == self.device else y.to(self.device)
        return as_target(y, loss, self.replicas, batch.samples, self._outputs, self.device, self.dtype)

    def freeze_replicas(self, replicas: Iterable[int], state: Mapping[str, Tensor] | None = None) -> None:
        """Stop these replicas: from now on their weights, optimiser state and routers stay as they are.

        Args:
            state: a copy of an earlier `state_dict` to put them back to; what did not exist then starts at zero.
        """
        self._state.freeze(replicas, state)
