"""Training: batches, steps, evaluation, records, checkpoints; resumes to the same bits."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from neurosal.checks.phases import Arms, phase_problems, task_problems
from neurosal.data import Dataset
from neurosal.engine.areas import TogetherInAreas
from neurosal.engine.compiled import refuse_processes
from neurosal.engine.feeding import Part, evaluate, parts_of
from neurosal.engine.losses import NO_LOSS
from neurosal.engine.network import Network
from neurosal.engine.reading import Stored
from neurosal.engine.together import Together
from neurosal.errors import ExperimentError, Problem, StoreError
from neurosal.processes import Ranks
from neurosal.record import Recorder, Run, open_run, schema
from neurosal.record.checkpoint import Checkpoint, Tensors
from neurosal.record.files import read_yaml_file
from neurosal.record.refusing import refuse_other
from neurosal.runner.areas import Divided
from neurosal.runner.course import MOST_VISITS, Place, Program, visits
from neurosal.runner.finite import Finite
from neurosal.runner.fitting import folder_of, of_type, refuse_other_types, replicas_of
from neurosal.runner.intervening import intervene
from neurosal.runner.moment import Moment
from neurosal.runner.pace import Pace, words_of
from neurosal.runner.probing import Prober
from neurosal.runner.sharing import Mine, agreed, open_record, status_of
from neurosal.runner.stages import Stage, stages_of
from neurosal.runner.tasks import judge
from neurosal.runner.threads import fitting_threads
from neurosal.settings.phases import Phase
from neurosal.settings.probes import Probe
from neurosal.settings.training import Training

Progress = Callable[[int, int, str], None]  # steps done, steps in all, what is happening
CHECKED_EVERY = 10  # steps between looks at whether losses are still finite
ROUTER_SAMPLES = 1 << 13


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
    phases: Iterable[Phase] = (),
    cycles: int = 1,
    tasks: Mapping[str, Iterable[int]] | None = None,
    ranks: Ranks | None = None,
    **settings: Any,
) -> Run:
    """Train all replicas of a network and record the run. Step count and optimiser state begin anew, weights do not.

    Args:
        network: from `compile`; its weights are changed.
        data: a `Dataset`; it stays on the network's device.
        training, settings: a `Training`, or its fields as keywords (``epochs=25, batch_size=16,
            optimizer=SGD(lr=1e-4)``); keywords lie over it.
        store: folder of the run; without one, ``runs/{name of the circuit}``, numbered where that is taken (and not to
            be resumed).
        resume: go on with the run in `store` from its newest checkpoint, to the same bits; start it when there is none,
            and only open it when it is finished. Refused where settings, seeds or circuit are not those of the run.
        progress: called with (steps done, steps in all, what is happening); where it has a method `at_pace`, that is
            told every second how fast it goes and what memory it takes, in words.
        replicas: what varies over replicas beside the seed, e.g. ``{"lr": [...]}``; written beside the records.
        phases, cycles, tasks: as in an `Experiment`; with phases, these say how long training is.
        ranks: the processes that train together, from `neurosal.processes.join`; each calls this with the same.

    Returns:
        The run, opened. Its ``status.state`` is "diverged" when numbers of a replica stopped being finite: then a
        `DivergedWarning` says where.

    Raises:
        ExperimentError, DataError: for settings or data that do not fit, before anything is written. StoreError: when
            the store cannot be used.
    """
    refuse_other_types(network, training)
    if "record" in settings:
        probes = settings.pop("record")
        given: dict[str, Any] = {"record": (probes,) if isinstance(probes, Probe) else tuple(probes)}
    else:
        given = {}
    training = (
        Training(**settings, **given)
        if training is None
        else training.replace(**settings, **given)
        if settings or given
        else training
    )
    wanted = {name: tuple(classes) for name, classes in (tasks or {}).items()}
    program = Program(phases=tuple(phases), cycles=cycles, tasks=wanted)
    trainer = Trainer(network, data, training, dict(replicas or {}), progress, program, ranks)
    folder = Path(store) if store is not None else agreed(ranks, lambda: folder_of(network.circuit.name, resume))
    if resume and (status := status_of(ranks, folder)) is not None and status.finished:
        trainer.refuse_other(folder)
    else:
        trainer.run(folder, resume)
    if ranks is not None:
        ranks.tell()  # the record is closed
    return open_run(folder)


class Trainer:
    """One run in the making."""

    def __init__(
        self,
        network: Network,
        data: Any,
        training: Training,
        replicas: dict[str, Iterable[Any]],
        progress: Progress | None,
        program: Program | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self.network, self.progress, self.ranks = network, progress, ranks
        self.program = program or Program()
        # What is asked is the same at all processes, whichever replicas each of them trains.
        self.asked = (of_type(network, training), replicas_of(network, replicas))
        self.training, self.replicas = self.asked
        self.divided: Divided | None = None
        shares = ranks is not None and ranks.parallel == "replicas"
        self.mine = Mine(ranks, len(network.seeds_in_run)) if shares and ranks is not None else None
        if self.mine is not None:
            self.training, self.replicas = self.mine.of(self.training), self.mine.values(self.replicas)
        network.check_rates(self.training.optimizer)
        network.check_loss(training.loss)
        self.parts = parts_of(data, network, training.loss, training.augment)
        self.part: Part = self.parts["train"]
        self.provenance: dict[str, Any] = {
            "data": data.provenance() if hasattr(data, "provenance") else repr(data),
            "device": str(network.device),
        }
        if ranks is not None:
            self.provenance["processes"] = {"count": ranks.count, "parallel": ranks.parallel}
            divided = ranks.parallel == "areas"
            self.divided = Divided(ranks, network) if divided else None
            network.together = None if shares else (TogetherInAreas if divided else Together)(network, ranks)
            if network.together is not None:
                refuse_processes(network)
        self._check_program(data)
        cut = None if self.mine is None else self.mine.of
        self.stages, self.course = stages_of(network, data, self.parts, self.training, self.program, cut)
        self.feeds = list(dict.fromkeys(stage.feed for stage in self.stages if stage.feed is not None))
        self.place, self.total = Place(), self.course.total
        self.epochs = self._planned_epochs()
        # Probes look at all areas: where these are divided, at a network that is assembled for them.
        probed = bool(self.training.record) and self.divided is not None and ranks is not None and ranks.leads
        self.seen = self.divided.whole if probed and self.divided is not None else network
        self.prober = Prober(self.seen, self.training, self.parts, self.total, int(self.epochs))
        self.probes = bool(self.prober.groups) and (ranks is None or ranks.leads or ranks.parallel != "data")
        self.evaluated_at = -1
        self.finite = Finite(network, self.replicas, first=0 if self.mine is None else self.mine.first)
        self.pace = Pace(self.total, network.device)

    def _check_program(self, data: Any) -> None:
        circuits, trainings = {"network": self.network.circuit}, {"network": self.training}
        dataset = data if isinstance(data, Dataset) else None
        arms = Arms(
            place="phases", circuits=circuits, trainings=trainings, dataset=dataset, cycles=self.program.cycles,
            unique=False,
        )  # fmt: skip
        found = [*phase_problems(self.program.phases, arms), *task_problems(self.program.tasks, dataset)]
        if found:
            raise ExperimentError(found)

    # The run ---------------------------------------------------------------------------------------------------------

    @property
    def request(self) -> dict[str, dict[str, Any]]:
        """What a run must have been begun with, to be resumed by this one."""
        settings = {
            "training": self.asked[0].to_dict(),
            "replicas": self.asked[1],
            "data": self.provenance["data"],
            "parameters": self._count(),
            **self.program.to_dict(),
        }
        return {"circuit": self.network.circuit.to_dict(), "settings": settings}

    def refuse_other(self, folder: Path) -> None:
        """Refuse a finished run that was begun with something else."""
        for given, file in zip(self.request.values(), (schema.CIRCUIT_FILE, schema.SETTINGS_FILE), strict=True):
            refuse_other(folder / file, read_yaml_file(folder / file), given)

    def run(self, folder: Path, resume: bool) -> None:
        """Train to the end, or as far as it goes."""
        resumed = resume and status_of(self.ranks, folder) is not None
        queue = {"queue_bytes": int(self.training.queue_mb * 2**20), "when_full": self.training.when_full}
        options: dict[str, Any] = {**self.request, **queue}
        first = {"replicas": self.asked[1], "provenance": self.provenance}
        recorder, tensors, meta = open_record(self.ranks, folder, resumed, options, first, self.mine)
        with contextlib.ExitStack() as stack:
            stack.enter_context(recorder)
            stack.enter_context(fitting_threads(self.network, max(one.training.batch_size for one in self.stages)))
            self.prober.declare(recorder)
            self._declare(recorder)
            self.finite.saved = lambda: self._stored(recorder.newest_checkpoint())
            if tensors is None:
                self._begin(recorder, resumed)
            else:
                self._take_up(tensors, meta)
            self._go(recorder)
            recorder.reached(step=self.network.steps, epoch=self._epoch())
            recorder.pace(**self.pace.report())
            if self.training.checkpoint_at_end:
                recorder.checkpoint(self._tensors(), self._meta())
            failures = self._failures()
            if failures:
                recorder.close("diverged", "; ".join(failures))
        if failures:
            warnings.warn("\n".join(failures), DivergedWarning, stacklevel=3)

    def _count(self) -> dict[str, int]:
        """Numbers of parameters of one replica, by pathway."""
        return {
            pathway: sum(tensor[0].numel() for tensor in self.network.parameters(pathway).values())
            if self.divided is None
            else self.divided.count(pathway)
            for pathway in ("feedforward", "feedback", "lateral", "modulatory")
            if pathway != "lateral" or self.network.circuit.select(pathway=pathway)
        }

    def _declare(self, recorder: Recorder) -> None:
        parts = [name for name in self.parts if name != "train"]
        recorder.declare(schema.training_metrics(), expected=self.total // self.training.log_every + 2)
        if parts and self.training.loss != NO_LOSS:
            accuracy = all(self.parts[name].labels is not None for name in parts)
            recorder.declare(schema.evaluation_metrics(parts, accuracy=accuracy), expected=int(self.epochs) + 2)
        if self.program.tasks:
            recorder.declare(schema.task_metrics(list(self.program.tasks)), expected=int(self.epochs) + 2)
        if self.program.phases:
            names = [phase.name for phase in self.program.phases]
            accuracy = all(self.parts[name].labels is not None for name in parts)
            expected = min(self.course.visits, MOST_VISITS)
            recorder.declare(schema.phase_metrics(names, parts, accuracy=accuracy), expected=expected)

    def _begin(self, recorder: Recorder, resumed: bool) -> None:
        used = self.network.steps > 0
        if used and resumed:
            recorder.close("interrupted")
            raise StoreError(
                Problem(
                    place=str(recorder.folder),
                    expected="a network at its start (the run has no checkpoint to go on from)",
                    found=f"one after {self.network.steps} steps",
                    remedy="Compile it again, or choose another --store.",
                )
            )
        used = used or (self.finite.large and not self.network.as_drawn)
        self.network.restart()
        self.network.fit_routers(self.part.first(ROUTER_SAMPLES))
        if used:  # circuit and seeds do not say where such a network starts
            recorder.checkpoint(self._tensors(), self._meta())

    # Epochs and steps ------------------------------------------------------------------------------------------------

    def _planned_epochs(self) -> float:
        """Passes over data, each kind of data for itself, in all phases and cycles."""
        steps: dict[Any, int] = {}
        for stage in self.stages:
            if stage.feed is not None:
                steps[stage.feed] = steps.get(stage.feed, 0) + stage.length * self.course.cycles
        return sum((count / feed.per_epoch for feed, count in steps.items()), start=0.0)

    def _epoch(self) -> float:
        """Passes over data that are done; noise is none."""
        return sum((feed.taken / feed.per_epoch for feed in self.feeds), start=0.0)

    def _ended(self, stage: Stage) -> int | None:
        """The number of the epoch that the last step ended, or None."""
        if stage.feed is None or stage.feed.taken % stage.feed.per_epoch:
            return None
        return sum(feed.taken // feed.per_epoch for feed in self.feeds)

    def _go(self, recorder: Recorder) -> None:
        self.finite.keep()
        self._look()
        if self.place == Place():
            self._evaluate(recorder)
        self.pace.begin(self.network.steps)
        for cycle, number, done, begun in self.course.legs(self.place):
            stage = self.stages[number]
            if not begun:
                self._begin_phase(recorder, stage, cycle, number)
            for count in range(done + 1, stage.length + 1):
                if self.stopped:
                    return
                self.place = Place(cycle, number, count, True)
                self._step(recorder, stage, count)
            self._end_phase(recorder, Place(cycle, number, stage.length, True))

    def _step(self, recorder: Recorder, stage: Stage, count: int) -> None:
        network, training = self.network, self.training
        before, epoch, learned = network.steps, self._epoch(), sum(feed.taken for feed in self.feeds)
        if before == 0 and self.probes:
            self._record(recorder, 0, 0.0, None, stage.moment())
        loss, moment = stage.step(epoch, self.epochs, learned if self.program.phases else None)
        step, ended = before + 1, self._ended(stage)
        logged = stage.feed is not None and learned % training.log_every == 0
        saves = _falls(step, training.checkpoint_every_steps) and step < self.total
        evaluates = _falls(step, training.evaluate_every_steps) and step < self.total
        whole = saves or evaluates or ended is not None or count == stage.length
        if before % CHECKED_EVERY == 0 or logged or whole:
            self.finite.check(step, loss if stage.errs else None, moment.batch, training.loss, whole=whole)
            self._look()
        if logged:
            recorder.append(schema.TRAIN, step=before, epoch=epoch, values={schema.LOSS: self._visible(loss)})
        if self.probes:
            self._record(recorder, step, self._epoch(), ended, moment)
        recorder.maybe_commit()
        if self.pace.step(training.batch_size):
            self._tell_pace(recorder)
        if self.progress is not None:
            self.progress(step, self.total, "" if stage.phase is None else stage.phase.name)
        if ended is not None:
            self._end_epoch(recorder, ended)
        if evaluates and self.evaluated_at < step:
            self._evaluate(recorder)
            self.finite.keep()
        if saves:
            self._save(recorder)

    def _end_epoch(self, recorder: Recorder, ended: int) -> None:
        training, last = self.training, self.network.steps == self.total
        if ended % training.evaluate_every == 0 or last:
            self._evaluate(recorder)
            self.finite.keep()
        if training.checkpoint_every and ended % training.checkpoint_every == 0 and not last:
            self._save(recorder)

    def _save(self, recorder: Recorder) -> None:
        # A resumed run starts from here, so an uninterrupted one must fall back to here as well.
        self.finite.keep()
        with self.pace.paused():
            recorder.checkpoint(self._tensors(), self._meta())

    def _tell_pace(self, recorder: Recorder) -> None:
        report = self.pace.report()
        recorder.pace(**report)
        if (tell := getattr(self.progress, "at_pace", None)) is not None:
            tell(words_of(report))

    def _record(self, recorder: Recorder, step: int, epoch: float, ended: int | None, moment: Moment) -> None:
        """Record what is due."""
        if self.divided is None:
            self.prober.record(recorder, step, epoch, ended, moment)
        elif self.prober.due(step, ended):
            self.divided.assemble()
            if self.divided.ranks.leads:
                self.prober.record(recorder, step, epoch, ended, moment.at(self.seen))

    def _look(self) -> None:
        """Whether all replicas of the run have stopped."""
        self.stopped = len(self.finite.failures) == self.network.replicas
        if self.mine is not None:
            self.stopped = self.mine.all(self.stopped)

    def _failures(self) -> list[str]:
        """What is said of the replicas that stopped, of all processes."""
        mine = list(self.finite.failures.values())
        return mine if self.mine is None else [text for some in self.mine.ranks.collect(mine) for text in some]

    # Phases ----------------------------------------------------------------------------------------------------------

    def _begin_phase(self, recorder: Recorder, stage: Stage, cycle: int, number: int) -> None:
        """What is done when a phase begins; then it is said how the network does."""
        self.place = Place(cycle, number, 0, True)
        if stage.phase is None:
            return
        if stage.adopts:
            for network in stage.networks:
                network.adopt(stage.training.optimizer)
        if stage.phase.intervenes:
            once = not any(phase.restore for phase in self.program.phases)
            visit = visits(self.program, number, cycle)
            intervene(self.network, stage.phase, visit=visit, lesions=not (once and cycle))
        if self.course.recorded(cycle, stage.phase.intervenes):
            numbers = {schema.PHASE_INDEX: number, schema.CYCLE: cycle}
            values = {name: np.full(self.network.replicas, value) for name, value in numbers.items()}
            step, epoch = self.network.steps, self._epoch()
            recorder.append(schema.PHASES, step=step, epoch=epoch, values=values | self._judged())

    def _end_phase(self, recorder: Recorder, place: Place) -> None:
        """Phases that come once are judged at their end."""
        self.place = place
        last = place.cycle == self.course.cycles - 1 and place.phase == len(self.stages) - 1
        if not self.program.phases or not (self.course.cycles == 1 or last):
            return
        if self.evaluated_at < self.network.steps:
            self._evaluate(recorder)
            self.finite.keep()
        if self.training.checkpoint_every and not last:
            self._save(recorder)

    def _visible(self, values: Tensor) -> np.ndarray[Any, Any]:
        """Values of replicas that still learn; NaN for those that stopped."""
        array = values.double().cpu().numpy().copy()
        array[list(self.finite.failures)] = np.nan
        return array

    def _evaluate(self, recorder: Recorder) -> None:
        with self.pace.paused():
            self._evaluate_now(recorder)

    def _evaluate_now(self, recorder: Recorder) -> None:
        values = self._judged()
        step, epoch = self.network.steps, self._epoch()
        if values:
            recorder.append(schema.EVALUATION, step=step, epoch=epoch, values=values)
        if self.program.tasks:
            part = self.parts.get("test", self.parts.get("validation", self.part))
            found = dict(
                zip((schema.ACCURACY, schema.WITHIN), judge(self.network, part, self.program.tasks), strict=True)
            )
            values = {name: self._visible(value) for name, value in found.items()}
            recorder.append(schema.TASKS, step=step, epoch=epoch, values=values)
        self.evaluated_at = step

    def _judged(self) -> dict[str, np.ndarray[Any, Any]]:
        """Loss and accuracy on what is not trained on."""
        return {
            f"{name}_{key}": self._visible(value)
            for name, part in self.parts.items()
            if name != "train"
            for key, value in evaluate(self.network, part, self.training.loss).items()
        }

    # Going on --------------------------------------------------------------------------------------------------------

    def _tensors(self) -> dict[str, Tensor]:
        """All that a resumed run needs, where it lies: it is copied or written by the recorder."""
        state = {name: tensor.detach() for name, tensor in self.network.state_dict().items()}
        kept = {name: tensor.detach() for name, tensor in self.prober.kept.items()}
        return (state if self.divided is None else self.divided.pieces(state)) | kept

    def _stored(self, found: Checkpoint | None) -> Stored | None:
        """The tensors of a checkpoint, of the replicas that are trained here."""
        return None if found is None else self._own(Stored.of(found.tensors))

    def _own(self, stored: Stored) -> Stored:
        """What of a checkpoint belongs to this process."""
        if self.divided is not None:
            return self.divided.own(stored)
        return stored if self.mine is None else self.mine.tensors(stored)

    def _meta(self) -> dict[str, Any]:
        first = 0 if self.mine is None else self.mine.first
        failures = {str(first + replica): text for replica, text in self.finite.failures.items()}
        return {"failures": failures, "place": self.place.to_dict(), "evaluated": self.evaluated_at}

    def _take_up(self, tensors: Tensors, meta: Mapping[str, Any]) -> None:
        stored = self._own(Stored.of(tensors))
        self.network.load_state_dict(self.prober.take_up(stored))
        failures = meta.get("failures", {})
        self.finite.failures = (
            {int(replica): text for replica, text in failures.items()}
            if self.mine is None
            else self.mine.failures(failures)
        )
        # Runs from before there were phases say no place.
        usual = {"cycle": 0, "phase": 0, "done": self.network.steps, "begun": self.network.steps > 0}
        self.place = Place.from_dict(meta.get("place", usual))
        self.evaluated_at = int(meta.get("evaluated", self.network.steps))
        for stage in self.stages:
            for source in (stage.feed, stage.noise):
                if source is not None:
                    source.taken = 0
        for number, stage in enumerate(self.stages):
            stage.done = self.course.taken(number, self.place)
            drive = stage.feed or stage.noise
            assert drive is not None
            drive.taken += stage.done


def _falls(step: int, every: int | None) -> bool:
    """Whether something that is done every so many steps is due."""
    return every is not None and step % every == 0
