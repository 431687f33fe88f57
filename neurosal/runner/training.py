"""Training: batches, steps, evaluation, records, checkpoints; resumes to the same bits."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.feeding import Part, Samples, batches, epoch_order, evaluate, parts_of
from neurosal.engine.network import Network
from neurosal.errors import Problem, StoreError
from neurosal.record import Recorder, Run, open_run, schema
from neurosal.runner.probing import Prober
from neurosal.runner.threads import fitting_threads
from neurosal.settings.training import Training

Progress = Callable[[int, int, str], None]  # steps done, steps in all, what is happening
CHECKED_EVERY = 10  # steps between looks at whether losses are still finite


class DivergedWarning(UserWarning):
    """Numbers stopped being finite in some replica; its last good state was kept and the others went on."""


def train(
    network: Network,
    data: Any,
    training: Training | None = None,
    *,
    store: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    replicas: Mapping[str, Iterable[Any]] | None = None,
    **settings: Any,
) -> Run:
    """Train all replicas of a network and record the run.

    Args:
        network: from `compile`; its weights are changed.
        data: a `Dataset`; it stays on the network's device.
        training, settings: a `Training`, or its fields as keywords (``epochs=25, batch_size=16,
            optimizer=SGD(lr=1e-4)``); keywords lie over it.
        store: folder of the run; without one, ``runs/{name of the circuit}``, numbered where that is taken.
        resume: go on with the run in `store` from its newest checkpoint, to the same bits; start it when there is none,
            and only open it when it is finished.
        progress: called with (steps done, steps in all, what is happening).
        replicas: what varies over replicas beside the seed, e.g. ``{"lr": [...]}``; written beside the records.

    Returns:
        The run, opened. Its ``status.state`` is "diverged" when numbers of a replica stopped being finite: then a
        `DivergedWarning` says where.

    Raises:
        ExperimentError, DataError: for settings or data that do not fit. StoreError: when the store cannot be used.
    """
    given = {"record": tuple(settings.pop("record"))} if "record" in settings else {}
    training = (
        Training(**settings, **given)
        if training is None
        else training.replace(**settings, **given)
        if settings or given
        else training
    )
    folder = _free_folder(network.circuit.name) if store is None else Path(store)
    if resume and (status := Recorder.status(folder)) is not None and status.state in ("done", "diverged"):
        return open_run(folder)
    trainer = Trainer(network, data, training, dict(replicas or {}), progress)
    trainer.run(folder, resume)
    return open_run(folder)


def _free_folder(name: str) -> Path:
    folder, count = Path("runs") / name, 2
    while folder.exists():
        folder, count = Path("runs") / f"{name}_{count}", count + 1
    return folder


class Trainer:
    """One run in the making."""

    def __init__(
        self,
        network: Network,
        data: Any,
        training: Training,
        replicas: dict[str, Iterable[Any]],
        progress: Progress | None,
    ) -> None:
        self.network, self.training, self.progress = network, training, progress
        self.parts = parts_of(data, network, training.loss)
        self.part: Part = self.parts["train"]
        self.provenance: dict[str, Any] = {
            "data": data.provenance() if hasattr(data, "provenance") else repr(data),
            "device": str(network.device),
            "dtype": training.dtype,
        }
        self.replicas = {schema.SEED: list(network.seeds)} | {name: list(values) for name, values in replicas.items()}
        self.steps_an_epoch = -(-len(self.part) // training.batch_size)
        self.total = self.steps_an_epoch * training.epochs
        sample: Samples = self.part.first(1 << 15)
        self.prober = Prober(network, training.record, training.loss, training.batch_size, sample, self.total)
        self.good: dict[str, Tensor] = {}
        self.failures: dict[int, str] = {}

    # The run ---------------------------------------------------------------------------------------------------------

    def run(self, folder: Path, resume: bool) -> None:
        """Train to the end, or as far as it goes."""
        settings = {"training": self.training.to_dict(), "data": self.provenance["data"], "parameters": self._count()}
        circuit = self.network.circuit.to_dict()
        start = 0
        if resume and Recorder.status(folder) is not None:
            recorder, tensors, meta = Recorder.resume(folder, circuit=circuit, settings=settings)
            start = self._take_up(recorder, tensors, meta)
        else:
            recorder = Recorder.create(
                folder, circuit=circuit, settings=settings, replicas=self.replicas, provenance=self.provenance
            )
        with contextlib.ExitStack() as stack:
            stack.enter_context(recorder)
            stack.enter_context(fitting_threads(self.network, self.training.batch_size))
            self._declare(recorder)
            if start == 0:
                self.network.fit_routers(self.part.first(1 << 13))
            self._epochs(recorder, start)
            recorder.checkpoint(self._tensors(), self._meta(self.network.steps))
            if self.failures:
                recorder.close("diverged", "; ".join(self.failures.values()))
        if self.failures:
            warnings.warn("\n".join(self.failures.values()), DivergedWarning, stacklevel=3)

    def _count(self) -> dict[str, int]:
        """Numbers of parameters of one replica, by pathway."""
        return {
            pathway: sum(tensor[0].numel() for tensor in self.network.parameters(pathway).values())
            for pathway in ("feedforward", "feedback", "modulatory")
        }

    def _declare(self, recorder: Recorder) -> None:
        accuracy = self.training.loss == "cross_entropy"
        parts = [name for name in self.parts if name != "train"]
        recorder.declare(schema.training_metrics(), expected=self.total // self.training.log_every + 2)
        if parts:
            recorder.declare(schema.evaluation_metrics(parts, accuracy=accuracy), expected=self.training.epochs + 2)
        self.prober.declare(recorder, self.total, self.training.epochs)

    def _epochs(self, recorder: Recorder, start: int) -> None:
        training, network = self.training, self.network
        if start == 0:
            self._keep_good()
            self._evaluate(recorder, 0)
        for epoch in range(start // self.steps_an_epoch, training.epochs):
            order = epoch_order(network.seeds, len(self.part), epoch, network.device)
            skipped = start - epoch * self.steps_an_epoch if epoch * self.steps_an_epoch < start else 0
            for index in batches(order, training.batch_size, skipped):
                if len(self.failures) == network.replicas:
                    return
                self._step(recorder, *self.part.take(index))
            if (epoch + 1) % training.evaluate_every == 0 or epoch + 1 == training.epochs:
                self._check(network.steps, torch.ones(network.replicas), *self.part.take(index))
                self._evaluate(recorder, network.steps)
                self._keep_good()
            if (
                training.checkpoint_every
                and (epoch + 1) % training.checkpoint_every == 0
                and epoch + 1 < training.epochs
            ):
                # A resumed run starts from here, so an uninterrupted one must fall back to here as well.
                self._keep_good()
                recorder.checkpoint(self._tensors(), self._meta(network.steps))

    def _step(self, recorder: Recorder, x: Samples, y: Tensor) -> None:
        network, training = self.network, self.training
        before = network.steps
        if before == 0:
            self.prober.record(recorder, 0, 0.0, None, lambda: (x, y))
        epoch = before / self.steps_an_epoch
        loss = network.step(x, y, training.loss, training.optimizer, epoch=epoch, epochs=training.epochs)
        step = before + 1
        ended = step // self.steps_an_epoch if step % self.steps_an_epoch == 0 else None
        if step % CHECKED_EVERY == 0 or step % training.log_every == 0 or ended is not None:
            self._check(step, loss, x, y)
        if before % training.log_every == 0:
            recorder.append(schema.TRAIN, step=before, epoch=epoch, values={schema.LOSS: self._visible(loss)})
        self.prober.record(recorder, step, step / self.steps_an_epoch, ended, lambda: (x, y))
        recorder.maybe_commit()
        if self.progress is not None:
            self.progress(step, self.total, "")

    def _visible(self, values: Tensor) -> np.ndarray[Any, Any]:
        """Values of replicas that still learn; NaN for those that stopped."""
        array = values.double().cpu().numpy().copy()
        array[list(self.failures)] = np.nan
        return array

    def _evaluate(self, recorder: Recorder, step: int) -> None:
        values = {
            f"{name}_{key}": self._visible(value)
            for name, part in self.parts.items()
            if name != "train"
            for key, value in evaluate(self.network, part, self.training.loss).items()
        }
        if values:
            recorder.append(schema.EVALUATION, step=step, epoch=step / self.steps_an_epoch, values=values)

    # Numbers that stop being finite ----------------------------------------------------------------------------------

    def _keep_good(self) -> None:
        self.good = {
            name: tensor.clone() for name, tensor in self.network.state_dict().items() if name.split("/")[0] != "steps"
        }

    def _check(self, step: int, loss: Tensor, x: Samples, y: Tensor) -> None:
        """Freeze replicas whose numbers are no longer finite, at their last good state."""
        sums = torch.stack([tensor.flatten(1).sum(1) for tensor in self.network.weights.full.values()])
        finite = torch.isfinite(loss) & torch.isfinite(sums).all(0)
        if bool(finite.all()):
            return
        for replica in (~finite).nonzero()[:, 0].tolist():
            if replica not in self.failures:
                self._stop(replica, step, x, y)

    def _stop(self, replica: int, step: int, x: Samples, y: Tensor) -> None:
        varied = ", ".join(f"{name} {values[replica]}" for name, values in self.replicas.items())
        where = self._first_bad(replica, x, y)
        self.failures[replica] = (
            f"replica {replica} ({varied}) stopped being finite by step {step}, first in {where}; "
            "its last good state was kept and the others went on"
        )
        for name, tensor in self.network.state_dict().items():
            if tensor.dim() and name in self.good and tensor.shape[0] == self.network.replicas:
                tensor[replica] = self.good[name][replica]
        self.network.freeze_replicas([replica])

    def _first_bad(self, replica: int, x: Samples, y: Tensor) -> str:
        """The projection whose weights, or else the population whose activity, is the first that is not finite."""
        for name in self.network.circuit.layers():
            for projection in self.network.circuit.select(pathway="feedforward", target=name):
                if not bool(torch.isfinite(self.network.weights[projection][replica]).all()):
                    return f"projection {projection!r}"
        for name, weight in self.network.weights.items():
            if not bool(torch.isfinite(weight[replica]).all()):
                return f"projection {name!r}"
        signals = self.network.signals(x, y, self.training.loss)
        for name in self.network.circuit.layers():
            if not bool(torch.isfinite(signals[name]["activity"][replica]).all()):
                incoming = ", ".join(map(repr, self.network.circuit.select(pathway="feedforward", target=name)))
                return f"the activity of {name!r} (projection {incoming})" if incoming else f"the input {name!r}"
        return "the loss"

    # Going on --------------------------------------------------------------------------------------------------------

    def _tensors(self) -> dict[str, np.ndarray[Any, Any]]:
        return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in self.network.state_dict().items()}

    def _meta(self, step: int) -> dict[str, Any]:
        return {"step": step, "failures": {str(replica): text for replica, text in self.failures.items()}}

    def _take_up(self, recorder: Recorder, tensors: Mapping[str, Any] | None, meta: Mapping[str, Any]) -> int:
        if {name: [float(v) for v in values] for name, values in recorder.replicas.items()} != {
            name: [float(v) for v in values] for name, values in self.replicas.items()
        }:
            recorder.close("interrupted")
            raise StoreError(
                Problem(
                    place=str(recorder.folder),
                    expected=f"a run of the replicas {self.replicas}",
                    found=str(recorder.replicas),
                    remedy="Resume with the seeds it was begun with, or choose another --store.",
                )
            )
        if tensors is None:
            return 0
        self.network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
        self.failures = {int(replica): text for replica, text in meta.get("failures", {}).items()}
        self._keep_good()
        return int(meta["step"])
