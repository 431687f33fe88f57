"""A compiled circuit whose samples take time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neurosal.engine.inputs import as_target, refuse_labels
from neurosal.engine.learning import Rates
from neurosal.engine.losses import NO_LOSS
from neurosal.engine.network import Network
from neurosal.engine.stepping import Inputs
from neurosal.engine.sweep import Batch, no_grad
from neurosal.engine.unrolled.inputs import as_samples
from neurosal.engine.unrolled.sweep import UnrolledSweep
from neurosal.errors import ExperimentError, Problem
from neurosal.graph import targets_of
from neurosal.lower.holding import Memory
from neurosal.settings.optimizers import Optimizer


class UnrolledNetwork(Network):
    """Many copies (replicas) of a circuit of spiking units, unrolled over the steps of a sample. Make one with
    `compile`.

    What it answers (`predict`) is the mean of the read-out over its window; the activity of a population that it
    reports (`signals`) is the mean over steps (spikes a step, for units that spike), its error the sum over steps.
    """

    _sweep: UnrolledSweep

    def _make_sweep(self) -> UnrolledSweep:
        return UnrolledSweep(self.plan, self._parameters, self._routers)

    def batch_of(self, x: Inputs) -> Batch:
        """A batch with the spikes of its inputs, before any sweep."""
        inputs, samples = as_samples(x, self.circuit, self.replicas, self.device, self.dtype)
        batch = Batch(self.replicas, samples)
        batch.step = self._steps
        with no_grad():
            for name, rows in inputs.items():
                played = self._sweep.encode(name, rows)
                shared = self.replicas > 1 and played.dim() == 2
                batch.activity[name] = played.expand(self.replicas, -1, -1) if shared else played
        return batch

    def _advance(self, batch: Batch, target: Tensor | None, loss: str, optimizer: Optimizer, rates: Rates) -> Tensor:
        if self.together is not None:
            expected, found = "replicas or none to share among processes", "samples or areas (they take time)"
            raise ExperimentError(Problem(place="processes.parallel", expected=expected, found=found))
        return self._whole_step(batch, target, loss, optimizer, rates)

    def _target(self, batch: Batch, y: Any, loss: str) -> Tensor:
        if loss == "cross_entropy" and type(y) is Tensor and y.dtype is torch.int64 and y.shape == batch.lead:
            return y if y.device == self.device else y.to(self.device)
        outputs = targets_of(self.circuit)
        return as_target(y, loss, self.replicas, batch.samples, outputs, self.device, self.dtype)

    def predict(self, x: Inputs) -> Tensor:
        """The mean of the read-out over its window (logits for class labels), [R, N, O]."""
        batch = self.forward(x)
        with torch.no_grad():
            return self._sweep.answers(batch).clone()

    def play(self, x: Inputs) -> dict[str, Tensor]:
        """What every population does, step by step: spikes 0 and 1, or the value of the read-out after each step,
        [R, T, N, units]."""
        batch = self.forward(x)
        with torch.no_grad():
            found = {name: self._sweep.in_time(batch.activity[name]).clone() for name in self.circuit.layers()}
        return {name: rows.expand(self.replicas, *rows.shape[1:]) for name, rows in found.items()}

    def signals_of(self, batch: Batch) -> dict[str, dict[str, Tensor]]:
        found: dict[str, dict[str, Tensor]] = {}
        with no_grad():
            for name in self.circuit.populations:
                found[name] = entries = {}
                if name in batch.activity:
                    entries["activity"] = self._sweep.in_time(batch.activity[name]).mean(1)
                if name in batch.error:
                    entries["error"] = self._sweep.in_time(batch.error[name]).sum(1)
        return found

    def score(
        self, batch: Batch, y: Any, loss: str = "cross_entropy", labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        if loss == NO_LOSS:
            return {}
        target = self._target(batch, y, loss)
        refuse_labels(target, loss, self._outputs)
        with no_grad():
            found = {"loss": self._sweep.losses(batch, target, loss)[0]}
            labels = target if loss == "cross_entropy" else labels
            if labels is not None:
                right = self._sweep.answers(batch).argmax(-1) == labels.to(self.device)
                found["accuracy"] = right.to(torch.float64).mean(-1)
        return found

    def memory(self, batch_size: int = 32) -> Memory:
        """Bytes of what is always there; signals, [R, T, N, units] each, are not told phase by phase."""
        tensors = {
            "weights": [*self._parameters.full.values()],
            "masks": [*self._parameters.masks.values()],
            "optimizer": [entry for state in self._learner.states.values() for entry in state.values()],
        }
        return Memory(fixed={part: sum(t.nbytes for t in some) for part, some in tensors.items()}, phases=())


def refuse_ways(step: str, compute: object, recompute: int) -> None:
    """Refuse what circuits whose samples take time have no form of.

    Raises:
        ExperimentError: naming each.
    """
    asked = {"step": (step, "eager"), "recompute": (recompute, 1)}
    wrong = [(name, str(found), str(wanted)) for name, (found, wanted) in asked.items() if found != wanted]
    if compute is not None:
        wrong.append(("compute", str(compute), "the type of the weights"))
    if wrong:
        raise ExperimentError(
            Problem(place=name, expected=f"{wanted} (samples take time)", found=found) for name, found, wanted in wrong
        )
