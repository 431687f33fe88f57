"""A compiled circuit: tensors, and what can be done with them.

Letters: R replica, K area, N sample, I input unit, O output unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from neurosal.checks import check, nothing_changes, refuse_oversized
from neurosal.engine.exporting import Exported
from neurosal.engine.feeding import evaluate, parts_of
from neurosal.engine.inputs import as_inputs, as_target, pick_device, pick_dtype, pick_seeds, refuse_labels
from neurosal.engine.learning import Learner, Rates
from neurosal.engine.lesions import Lesioned
from neurosal.engine.losses import LOSSES, NO_LOSS
from neurosal.engine.parameters import Parameters
from neurosal.engine.routing import RouterState
from neurosal.engine.state import NetworkState
from neurosal.engine.sweep import Batch, Sweep, natural, no_grad
from neurosal.errors import CircuitError, ExperimentError, Problem, near
from neurosal.graph import Circuit, Router
from neurosal.lower.plan import Backward, Change, Plan, Route, plan
from neurosal.settings.optimizers import Optimizer, PerReplica

Inputs = Tensor | Mapping[str, Any] | Any


class Network(Lesioned, Exported):
    """Many copies (replicas) of one circuit as one tensor program. Make one with `compile`.

    Attributes:
        weights: projection → live tensor [R, K, post, pre]; ties included, biases not.
        biases: ``"{population}.bias"`` → live tensor [R, K, units].
        routers: modulatory projection → its tensors.
        plan: the order of work; ``print(network.plan)``.
    """

    def __init__(
        self,
        circuit: Circuit,
        seeds: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype,
        parameters: Parameters | None = None,
        routers: dict[str, RouterState] | None = None,
    ) -> None:
        self.circuit, self.seeds, self.device, self.dtype = circuit, seeds, device, dtype
        self.plan: Plan = plan(circuit)
        self._parameters = Parameters(self.plan, seeds, device, dtype) if parameters is None else parameters
        self._routers = self._make_routers() if routers is None else routers
        self._sweep = Sweep(self.plan, self._parameters, self._routers)
        self._learner = Learner(self.plan, self._parameters, self._sweep)
        self._state = NetworkState(self._parameters, self._routers, self._learner)
        self._parameters.lesions.networks.add(self)
        self._optimizer: Optimizer | None = None
        only = circuit.inputs[0] if len(circuit.inputs) == 1 else ""
        self._input = (only, circuit.populations[only].units if only else 0, 2 if len(seeds) == 1 else 3)
        self._outputs = circuit.populations[self.plan.output.population].units
        self._steps = 0  # magnitudes are drawn for it; those that a twin shares stay as they are

    @property
    def steps(self) -> int:
        """Training steps done. What is drawn anew for every step is drawn when it changes."""
        return self._steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self._steps = steps
        self._parameters.redraw(steps)

    def _make_routers(self) -> dict[str, RouterState]:
        areas = {router: self.circuit.populations[population].areas for population, router in self.plan.routes.items()}
        return {
            name: RouterState(
                name,
                edge,
                areas[name],
                self.circuit.populations[edge.source].units,
                self.seeds,
                self.device,
                self.dtype,
            )
            for name, edge in self.circuit.select(pathway="modulatory").items()
            if isinstance(edge.wiring, Router)
        }

    # Reading ---------------------------------------------------------------------------------------------------------

    @property
    def replicas(self) -> int:
        """R."""
        return len(self.seeds)

    @property
    def weights(self) -> Parameters:
        """Projection → live tensor [R, K, post, pre]."""
        return self._parameters

    @property
    def biases(self) -> dict[str, Tensor]:
        """``"{population}.bias"`` → live tensor [R, K, units]."""
        return self._parameters.biases

    @property
    def routers(self) -> dict[str, dict[str, Tensor]]:
        """Router → its live tensors: weight [R, rank, I], prototypes [R, K, rank], mean [R, I], usage [R, K], count
        [R]."""
        return {name: state.tensors for name, state in self._routers.items()}

    def parameters(self, pathway: str | None = None) -> dict[str, Tensor]:
        """Name → live tensor of the weights of one pathway (None: all); biases count as feedforward.

        Raises:
            CircuitError: for a pathway that does not exist.
        """
        known = ("feedforward", "feedback", "lateral", "modulatory")
        if pathway is not None and pathway not in known:
            raise CircuitError(
                Problem(place="parameters", expected="a pathway", found=repr(pathway), remedy=near(pathway, known))
            )
        found = {
            name: self.weights[name]
            for name in self.weights
            if pathway in (None, self.circuit.projections[name].pathway)
        }
        if pathway in (None, "feedforward"):
            found |= self.biases
        if pathway in (None, "modulatory"):
            found |= {name: tensors["weight"] for name, tensors in self.routers.items()}
        return found

    def __repr__(self) -> str:
        numbers = sum(tensor.numel() for tensor in self._parameters.full.values())
        return (
            f"Network({self.circuit.name!r}, replicas={self.replicas}, weights={numbers:,}, "
            f"device={str(self.device)!r}, dtype={str(self.dtype).removeprefix('torch.')!r})"
        )

    # Sweeps ----------------------------------------------------------------------------------------------------------

    def forward(self, x: Inputs) -> Batch:
        """The forward sweep: activities of all populations. The low-level door; `predict` is the usual one."""
        if isinstance(x, Tensor) and self._fits(x):
            batch = Batch(self.replicas, x.shape[-2])
            batch.activity[self._input[0]] = x
        else:
            inputs, samples = as_inputs(x, self.circuit, self.replicas, self.device, self.dtype)
            batch = Batch(self.replicas, samples)
            batch.activity.update(inputs)
        with no_grad():
            for phase in self._sweep.forward:
                phase(batch)
        return batch

    def _fits(self, x: Tensor) -> bool:
        """Whether `x` can be taken as it is: the usual case, told apart fast."""
        name, units, axes = self._input
        return (
            x.dim() == axes
            and x.shape[-1] == units
            and x.dtype is self.dtype
            and x.device == self.device
            and x.shape[-2] > 0
            and (axes == 2 or x.shape[0] == self.replicas)
            and bool(name)
        )

    def backward(self, batch: Batch, y: Any, loss: str = "cross_entropy") -> Tensor:
        """The output's error and the feedback sweep, without any change. Returns the mean loss [R]; with the loss
        "none" there is no error and that is NaN."""
        if loss == NO_LOSS:
            return self._no_loss()
        target = self._target(batch, y, loss)
        with no_grad():
            mean = self._sweep.lose(batch, target, loss)
            for phase in self.plan.backward:
                if not isinstance(phase, Change):
                    self._sweep.backward[phase.population](batch)
        return mean

    def changes(self, batch: Batch) -> dict[str, Tensor]:
        """Proposed changes after `forward` and `backward`: projection → [R, K, post, pre], ``"{population}.bias"`` →
        [R, K, units]. Without `backward`, those that need no error."""
        found: dict[str, Tensor] = {}
        with no_grad():
            for change in self.plan.changes if batch.error else self.plan.without_error:
                weights, biases, _ = self._learner.proposed(change, batch)
                found |= {name: self._parameters.oriented(name, tensor) for name, tensor in weights.items()}
                found |= {f"{name}.bias": tensor for name, tensor in biases.items()}
        batch.next_states.clear()
        return found

    def predict(self, x: Inputs) -> Tensor:
        """Output activity (logits for a linear output), [R, N, O]. ``x`` is [N, I] or [R, N, I], or a mapping from
        input population to that."""
        batch = self.forward(x)
        with torch.no_grad():
            return natural(self._sweep, batch, self.plan.output.population, "activity").clone()

    def updates(self, x: Inputs, y: Any = None, loss: str = "cross_entropy") -> dict[str, Tensor]:
        """Projection → proposed change with the sign of a gradient ([R, K, post, pre]), biases too; changes nothing.
        With the loss "none" (`y` is not looked at) what changes without an error."""
        batch = self.forward(x)
        self.backward(batch, y, loss)
        return self.changes(batch)

    def signals(self, x: Inputs, y: Any = None, loss: str = "cross_entropy") -> dict[str, dict[str, Tensor]]:
        """Population → {"activity", "error", "area"} as far as they exist, [R, N, units] and [R, N], in the order of
        the samples."""
        batch = self.forward(x)
        if y is not None:
            self.backward(batch, y, loss)
        return self.signals_of(batch)

    def signals_of(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """`signals` of a batch that has been swept."""
        found: dict[str, dict[str, Tensor]] = {}
        with no_grad():
            for name in self.circuit.populations:
                entries = {kind: natural(self._sweep, batch, name, kind) for kind in ("activity", "error")}
                if name in self.plan.routes and self.plan.routes[name] in batch.groups:
                    entries["area"] = batch.groups[self.plan.routes[name]].area_RN
                found[name] = {kind: tensor for kind, tensor in entries.items() if tensor is not None}
        return found

    # Learning --------------------------------------------------------------------------------------------------------

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
        batch = self.forward(x)
        target = None if loss == NO_LOSS else self._target(batch, y, loss)
        rates = self._rates(optimizer, epoch, epochs, scheduled)
        with no_grad():
            mean = self._no_loss() if target is None else self._sweep.lose(batch, target, loss)
            phases = self.plan.without_error if target is None else self.plan.backward
            if optimizer.clip is None:
                self._feedback_and_learn(phases, batch, optimizer, rates)
            else:
                self._feedback_then_clip(phases, batch, optimizer, rates)
            for name, state in self._routers.items():
                state.learn(batch.seen[name], batch.groups[name], rates.lr)
            if self._state.frozen:
                self._state.hold()
        self.steps += 1
        return mean

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

    def _feedback_and_learn(
        self, phases: Iterable[Backward | Change], batch: Batch, optimizer: Optimizer, rates: Rates
    ) -> None:
        for phase in phases:
            if isinstance(phase, Change):
                self._learner.learn(phase, batch, optimizer, rates)
            else:
                self._sweep.backward[phase.population](batch)

    def _feedback_then_clip(
        self, phases: Iterable[Backward | Change], batch: Batch, optimizer: Optimizer, rates: Rates
    ) -> None:
        """Clipping needs the norm of the whole change of each replica, so nothing moves before all of it is known."""
        for phase in phases:
            if not isinstance(phase, Change):
                self._sweep.backward[phase.population](batch)
        proposed = [self._learner.proposed(phase, batch) for phase in phases if isinstance(phase, Change)]
        tensors = [tensor for weights, biases, _ in proposed for tensor in (*weights.values(), *biases.values())]
        none_R = torch.zeros(self.replicas, dtype=self.dtype, device=self.device)  # where nothing can change
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

    # Judging ---------------------------------------------------------------------------------------------------------

    def score(
        self, batch: Batch, y: Any, loss: str = "cross_entropy", labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Mean loss of a batch after `forward`, and the share of samples whose largest output is the label, for
        cross-entropy and where ``labels`` [N] are given beside values; each [R]. Nothing with the loss "none"."""
        if loss == NO_LOSS:
            return {}
        target = self._target(batch, y, loss)
        refuse_labels(target, loss, self._outputs)
        with no_grad():
            rows = self._sweep.rows(batch, self.plan.output.population, "activity", None)
            found = {"loss": LOSSES[loss](rows, target)[0].reshape(self.replicas)}
            labels = target if loss == "cross_entropy" else labels
            if labels is not None:
                found["accuracy"] = (
                    (rows.argmax(-1) == labels.to(rows.device)).to(torch.float64).mean(-1).reshape(self.replicas)
                )
        return found

    def evaluate(self, data: Any, loss: str = "cross_entropy") -> dict[str, Tensor]:
        """``"{part}_loss"`` and, for labels, ``"{part}_accuracy"`` of each part of a data set that is not empty;
        each [R], float64. Nothing with the loss "none".

        Raises:
            DataError: when the data does not fit the circuit.
        """
        return {
            f"{name}_{key}": value
            for name, part in parts_of(data, self, loss).items()
            for key, value in evaluate(self, part, loss).items()
        }

    # Routers ---------------------------------------------------------------------------------------------------------

    def fit_routers(self, x: Inputs) -> None:
        """Show training inputs to the routers that fit to data before training (k-means); others are left alone."""
        for phase in self.plan.forward:
            if isinstance(phase, Route) and self._routers[phase.router].fits_to_data:
                batch = self.forward(x)
                with no_grad():
                    rows = natural(self._sweep, batch, phase.source, "activity")
                    self._routers[phase.router].fit(rows, self.seeds)

    # State -----------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Everything that a step reads, by name: weights, biases, routers, the optimiser's and plasticity's state, step
        count, and which replicas still learn where some do not."""
        found = self._state.tensors() | {"steps": torch.tensor(self.steps)}
        if self._state.frozen:
            found["alive"] = torch.tensor([replica not in self._state.frozen for replica in range(self.replicas)])
        return found

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` of a network of the same circuit, seeds and type gave.

        Raises:
            CircuitError: when names or shapes differ; nothing is taken over then.
        """
        self._state.load(tensors)
        self.steps = int(tensors["steps"])
        if "alive" in tensors:
            self.freeze_replicas((~tensors["alive"]).nonzero()[:, 0].tolist())

    def restart(self) -> None:
        """Begin to count anew with these weights: no step done, no optimiser state, no replica frozen."""
        self._state.restart()
        self._optimizer, self.steps = None, 0

    def twin(self, circuit: Circuit) -> Network:
        """Another circuit on the same populations and forward weights: what it shares by name it shares as storage.

        With the backpropagation form of a circuit this gives the reference that the circuit's own changes are compared
        with.
        """
        other = plan(circuit)
        parameters = Parameters(other, self.seeds, self.device, self.dtype, share=self._parameters)
        routers = {name: state for name, state in self._routers.items() if name in circuit.projections}
        return Network(circuit, self.seeds, self.device, self.dtype, parameters, routers)

    def __deepcopy__(self, _: dict[int, Any]) -> Network:
        copy = Network(self.circuit, self.seeds, self.device, self.dtype)
        copy.load_state_dict(self.state_dict())
        copy._optimizer = self._optimizer
        return copy


def compile(circuit: Circuit, seeds: Iterable[int] = (0,), device: str = "auto", dtype: str = "float32") -> Network:  # noqa: A001 - the verb of the field
    """Make the tensors of a circuit, one copy (replica) for each seed.

    Args:
        seeds: one replica each; the same seed may stand more than once (replicas that differ in a rate).
        device: "auto" takes a GPU when there is one.
        dtype: "float32", or "float64" for references.

    Raises:
        CircuitError: with every problem of the circuit, or when it needs more memory than the machine has.
        ExperimentError: for seeds that are no whole numbers, and a device or a type that is not there.
    """
    chosen = pick_seeds(seeds)
    kind, where = pick_dtype(dtype), pick_device(device)
    check(circuit)
    refuse_oversized(circuit, len(chosen), dtype=str(kind).removeprefix("torch."))
    return Network(circuit, chosen, where, kind)
