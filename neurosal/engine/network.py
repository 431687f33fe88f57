"""A compiled circuit: tensors, and what can be done with them.

Letters: R replica, K area, N sample, I input unit, O output unit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from neurosal.checks import check, refuse_oversized
from neurosal.checks.spiking import refuse_time
from neurosal.engine.compiled import TracedSteps, refuse_populations, refuse_way
from neurosal.engine.exporting import Exported
from neurosal.engine.feeding import evaluate, parts_of
from neurosal.engine.heap import LARGEST, keep_freed_memory, keep_large_tensors
from neurosal.engine.inputs import (
    as_inputs,
    laid_out,
    pick_compute,
    pick_device,
    pick_dtype,
    pick_seeds,
    pick_segments,
    refuse_labels,
)
from neurosal.engine.learning import Learner
from neurosal.engine.lesions import Lesioned
from neurosal.engine.losses import LOSSES, NO_LOSS
from neurosal.engine.parameters import Held, Parameters
from neurosal.engine.routing import RouterState
from neurosal.engine.state import NetworkState
from neurosal.engine.stepping import Inputs, Stepped
from neurosal.engine.sweep import Batch, Sweep, natural, no_grad
from neurosal.engine.together import Together
from neurosal.engine.wiring import flat
from neurosal.errors import CircuitError, Problem, near
from neurosal.graph import Circuit, Router, timing_of
from neurosal.lower.holding import Memory, memory
from neurosal.lower.plan import Change, Plan, Route, plan
from neurosal.settings.optimizers import Optimizer


class Network(Stepped, Lesioned, Exported):
    """Many copies (replicas) of one circuit as one tensor program. Make one with `compile`.

    Attributes:
        weights: projection → live tensor [R, K, post, pre]; ties included, biases not.
        biases: ``"{population}.bias"`` → live tensor [R, K, units]; and what norms have, ``"{population}.scale"``.
        statistics: running ones of norms, ``"{population}.mean"`` → live tensor [R, units].
        routers: modulatory projection → its tensors.
        plan: the order of work; ``print(network.plan)``.
        recompute: into how many segments a step cuts its forward sweep, of which it holds one.
        way: how `step` runs: "eager", "compiled" or "cuda_graph".
    """

    def __init__(
        self,
        circuit: Circuit,
        seeds: tuple[int, ...],
        device: torch.device,
        dtype: torch.dtype,
        parameters: Parameters | None = None,
        routers: dict[str, RouterState] | None = None,
        compute: torch.dtype | None = None,
        recompute: int = 1,
        way: str = "eager",
        held: Held | None = None,
    ) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self.circuit, self.seeds, self.device, self.dtype, self._compute = circuit, seeds, device, dtype, compute
        widest = max(population.units for population in circuit.populations.values())
        self._most_rows = LARGEST // (widest * dtype.itemsize) if device.type == "cpu" else sys.maxsize
        self.recompute = recompute
        self.plan: Plan = plan(circuit)
        self._parameters = (
            Parameters(self.plan, seeds, device, dtype, compute=compute, held=held)
            if parameters is None
            else parameters
        )
        self._routers = self._make_routers() if routers is None else routers
        self._sweep = self._make_sweep()
        self._learner = Learner(self.plan, self._parameters, self._sweep)
        self._state = NetworkState(self._parameters, self._routers, self._learner)
        self._parameters.lesions.networks.add(self)
        self._optimizer: Optimizer | None = None
        self.way = way
        self._traced: TracedSteps | None = None if way == "eager" else TracedSteps(way)
        only = circuit.inputs[0] if len(circuit.inputs) == 1 else ""
        self._input = (only, circuit.populations[only].units if only else 0, 2 if len(seeds) == 1 else 3)
        self._input_extent = circuit.populations[only].extent if only else ()
        self._outputs = circuit.populations[self.plan.output.population].units
        units = sum(population.units for population in circuit.populations.values())
        self._row_bytes = units * len(seeds) * dtype.itemsize  # of the activities of one sample
        self.together: Together | None = None  # what it learns with networks of other processes
        self.seeds_in_run = seeds  # of the replicas of all processes, where each trains some of them
        self._steps = 0  # magnitudes are drawn for it; those that a twin shares stay as they are

    def _make_sweep(self) -> Sweep:
        return Sweep(self.plan, self._parameters, self._routers)

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
        """``"{population}.bias"`` → live tensor [R, K, units] ([R, K, channels] in populations with space); likewise
        ``scale`` and ``shift`` of norms."""
        return self._parameters.biases

    @property
    def statistics(self) -> dict[str, Tensor]:
        """``"{population}.mean"``, ``"{population}.variance"`` → live tensor [R, channels] of norms that keep running
        statistics."""
        return self._parameters.statistics

    @property
    def routers(self) -> dict[str, dict[str, Tensor]]:
        """Router → its live tensors: weight [R, rank, I], prototypes [R, K, rank], mean [R, I], usage [R, K], count
        [R]."""
        return {name: state.tensors for name, state in self._routers.items()}

    @property
    def compute(self) -> str:
        """The type of products: that of the weights, or "bfloat16"."""
        return str(self._compute or self.dtype).removeprefix("torch.")

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
        compute = "" if self._compute is None else f", compute={self.compute!r}"
        return (
            f"Network({self.circuit.name!r}, replicas={self.replicas}, weights={numbers:,}, "
            f"device={str(self.device)!r}, dtype={str(self.dtype).removeprefix('torch.')!r}{compute})"
        )

    def rebind(self) -> None:
        super().rebind()
        if self._traced is not None:
            self._traced.graphs.clear()  # other tensors are read from now on

    def memory(self, batch_size: int = 32) -> Memory:
        """What a step of plain SGD with so many samples holds, phase by phase, told from the plan.

        Returns:
            A value that prints as a table; ``fixed`` are the bytes of what is always there (here as it is now, with
            what the optimiser remembers), ``signals`` and ``peak`` the most at any time.

        Example:
            >>> import neurosal as ns
            >>> network = ns.compile(ns.rules.dfa(ns.circuits.residual_mlp(16, 64, 26, blocks=32)), device="cpu")
            >>> round(network.memory(batch_size=128).signals / 1e6, 1)
            1.1
        """
        found = memory(
            self.circuit, replicas=self.replicas, samples=batch_size, dtype=str(self.dtype).removeprefix("torch."),
            recompute=self.recompute,
        )  # fmt: skip
        tensors = {
            "weights": [*self._parameters.full.values(), *self._parameters.signs.state.values()],
            "masks": [*self._parameters.masks.values()],
            "biases": [*self._parameters.biases.values(), *self._parameters.statistics.values()],
            "routers": [tensor for state in self._routers.values() for tensor in state.tensors.values()],
            "optimizer": [entry for state in self._learner.states.values() for entry in state.values()],
        }
        return replace(
            found,
            fixed={part: sum(tensor.nbytes for tensor in some) for part, some in tensors.items()},
        )

    # Sweeps ----------------------------------------------------------------------------------------------------------

    def forward(self, x: Inputs, training: bool = False) -> Batch:
        """The forward sweep: activities of all populations. The low-level door; `predict` is the usual one.

        Args:
            training: as in a step, where populations tell that from judging (batch normalisation, dropout).
        """
        batch = self.batch_of(x)
        batch.training = training
        with no_grad():
            for phase in self._sweep.forward:
                phase(batch)
        return batch

    def batch_of(self, x: Inputs) -> Batch:
        """A batch with the activity of its inputs, before any sweep."""
        if isinstance(x, Tensor) and self._fits(x):
            batch = Batch(self.replicas, x.shape[-2])
            batch.activity[self._input[0]] = laid_out(x, self._input_extent, self.replicas, self.device)
        else:
            inputs, samples = as_inputs(x, self.circuit, self.replicas, self.device, self.dtype)
            batch = Batch(self.replicas, samples)
            batch.activity.update(inputs)
        batch.step = self._steps
        if batch.replicas * batch.samples >= self._most_rows:
            keep_large_tensors()
        self._sweep.look()
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
                found |= biases
        batch.next_states.clear()
        return found

    def predict(self, x: Inputs) -> Tensor:
        """Output activity (logits for a linear output), [R, N, O]. ``x`` is [N, I] or [R, N, I] ([N, C, H, W] too for
        an input with space), or a mapping from input population to that."""
        batch = self.forward(x)
        with torch.no_grad():
            return natural(self._sweep, batch, self.plan.output.population, "activity").clone()

    def updates(self, x: Inputs, y: Any = None, loss: str = "cross_entropy") -> dict[str, Tensor]:
        """Projection → proposed change with the sign of a gradient ([R, K, post, pre]), biases too; changes nothing.
        With the loss "none" (`y` is not looked at) what changes without an error."""
        batch = self.forward(x, training=True)
        self.backward(batch, y, loss)
        return self.changes(batch)

    def signals(self, x: Inputs, y: Any = None, loss: str = "cross_entropy") -> dict[str, dict[str, Tensor]]:
        """Population → {"activity", "error", "area"} as far as they exist, [R, N, *extent] and [R, N], in the order
        of the samples."""
        batch = self.forward(x, training=y is not None)
        if y is not None:
            self.backward(batch, y, loss)
        return self.signals_of(batch)

    def signals_of(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """`signals` of a batch that has been swept."""
        found: dict[str, dict[str, Tensor]] = {}
        with no_grad():
            for name, population in self.circuit.populations.items():
                entries = {kind: natural(self._sweep, batch, name, kind) for kind in ("activity", "error")}
                if population.spatial:
                    entries = {
                        kind: None if tensor is None else tensor.unflatten(-1, population.extent)
                        for kind, tensor in entries.items()
                    }
                if name in self.plan.routes and self.plan.routes[name] in batch.groups:
                    entries["area"] = batch.groups[self.plan.routes[name]].area_RN
                found[name] = {kind: tensor for kind, tensor in entries.items() if tensor is not None}
        return found

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
            output = self.plan.output.population
            rows = flat(self._sweep.rows(batch, output, "activity", None), self.circuit.populations[output].extent)
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
                batch = self.batch_of(x) if phase.source in self.circuit.inputs else self.forward(x)
                with no_grad():
                    for step in self._sweep.start:
                        step(batch)
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

    def begin_anew(self, replicas: Iterable[int]) -> None:
        """Weights of these replicas as they were drawn from their seeds, in place; biases, routers and all else stay as
        they are."""
        self._parameters.begin_anew(self.seeds, replicas)

    @property
    def as_drawn(self) -> bool:
        """Whether no weight was changed since it was drawn from its seed."""
        return self.steps == 0 and self._parameters.untouched

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
        held = self._parameters.held
        parameters = Parameters(other, self.seeds, self.device, self.dtype, self._parameters, self._compute, held)
        routers = {name: state for name, state in self._routers.items() if name in circuit.projections}
        return type(self)(
            circuit, self.seeds, self.device, self.dtype, parameters, routers, self._compute, self.recompute
        )

    def __deepcopy__(self, _: dict[int, Any]) -> Network:
        copy = type(self)(
            self.circuit,
            self.seeds,
            self.device,
            self.dtype,
            compute=self._compute,
            recompute=self.recompute,
            way=self.way,
        )
        copy.load_state_dict(self.state_dict())
        copy._optimizer = self._optimizer
        return copy


def compile(  # noqa: A001 - the verb of the field
    circuit: Circuit,
    seeds: Iterable[int] = (0,),
    device: str = "auto",
    dtype: str = "float32",
    compute: str | None = None,
    recompute: int = 1,
    step: str = "eager",
    held: Held | None = None,
) -> Network:
    """Make the tensors of a circuit, one copy (replica) for each seed.

    Args:
        seeds: one replica each; the same seed may stand more than once (replicas that differ in a rate).
        device: "auto" takes a GPU when there is one.
        dtype: "float32", or "float64" for references.
        compute: the type of dense products; None for `dtype`. "bfloat16" (of float32 networks) rounds their factors
            and rows to 8 bits and sums in float32: what is large gets faster where the processor has instructions for
            it. Weights, optimiser, routers, losses and all that is read here stay float32.
        recompute: n segments. A step holds the activities of one of them, and what the next one hears from of the
            others; it computes these again when the feedback reaches them. Memory for signals shrinks to about 1/n
            plus n cuts (least near the square root of the depth), the forward sweep is done twice, and the numbers
            are the same to the bit. 1: nothing is computed again.
        step: how `Network.step` runs. "eager": kernel after kernel; "compiled": as one graph that torch compiles at the
            first step of each batch size (seconds to minutes; it wants a C++ compiler, or triton on a GPU);
            "cuda_graph": as one graph that a GPU replays. The numbers are the same up to rounding.
        held: which of so many areas are held here, where other processes hold the others.

    Raises:
        CircuitError: with every problem of the circuit, or when it needs more memory than the machine has.
        ExperimentError: for seeds that are no whole numbers, a device, a type or a way to step that is not there, and
            a number of segments below 1.
    """
    chosen = pick_seeds(seeds)
    kind, where = pick_dtype(dtype), pick_device(device)
    narrow = pick_compute(compute, kind)
    segments = pick_segments(recompute)
    refuse_way(step, where, narrow, segments)
    check(circuit)
    refuse_time(circuit)
    refuse_populations(step, circuit)
    refuse_oversized(circuit, len(chosen), dtype=str(kind).removeprefix("torch."))
    if timing_of(circuit) is not None:
        from neurosal.engine.unrolled.network import UnrolledNetwork, refuse_ways  # it is a network

        refuse_ways(step, narrow, segments)
        return UnrolledNetwork(circuit, chosen, where, kind)
    return Network(circuit, chosen, where, kind, compute=narrow, recompute=segments, way=step, held=held)
