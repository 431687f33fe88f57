"""Phases at work: what drives the network in each, and the variant of it that learns meanwhile.

Letters: R replica, N sample, U unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from neurosal.engine.feeding import Part, Samples, epoch_order
from neurosal.engine.losses import NO_LOSS
from neurosal.engine.network import Network
from neurosal.engine.normalising import refuse_one_sample
from neurosal.engine.variants import variant
from neurosal.lower.streams import stream
from neurosal.runner.course import Course, Program, only, training_in
from neurosal.runner.probing import Moment
from neurosal.settings.phases import Noise, Phase
from neurosal.settings.selecting import circuit_in, driven_in, frozen_in, without_error
from neurosal.settings.training import Training

BLOCK_NUMBERS, BLOCK_STEPS = 1 << 18, 64


class Feed:
    """Batches of a part of the data, epoch after epoch, each in an order of its own. Phases that share one go on where
    the last one stopped."""

    def __init__(self, part: Part, batch_size: int, network: Network) -> None:
        self.part, self.batch_size, self._seeds, self._device = part, batch_size, network.seeds, network.device
        self.per_epoch = -(-len(part) // batch_size)
        if batch_size == 1 or len(part) % batch_size == 1:
            refuse_one_sample(network.circuit, f"training.batch_size: {batch_size} of {len(part)} samples")
        self.taken = 0
        self._epoch, self._order = -1, torch.empty(0)

    def next(self) -> tuple[Samples, Tensor]:
        """The next batch."""
        epoch, number = divmod(self.taken, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, epoch_order(self._seeds, len(self.part), epoch, self._device)
        self.taken += 1
        first = number * self.batch_size
        index = self._order[:, first : first + self.batch_size]
        augmenter = self.part.augmenter
        changed = None if augmenter is None else augmenter.at(epoch, first, first + index.shape[1])
        return self.part.take(index, changed)


class NoiseFeed:
    """Noise for some populations in turn, from streams of (seed, phase, population, block of steps): a resumed run
    needs no state to go on with the same noise, and a replica hears the same alone."""

    def __init__(
        self, noise: Noise, phase: str, populations: Sequence[tuple[str, int]], batch_size: int, network: Network
    ) -> None:
        self._noise, self._phase, self._populations = noise, phase, populations
        self._batch_size, self._network = batch_size, network
        self.taken = 0
        self._kept: dict[str, tuple[int, Tensor]] = {}

    def next(self) -> tuple[int, Tensor]:
        """Number of the population that is driven next, and its activity [R, N, U] ([N, U] for one replica)."""
        turn, number = divmod(self.taken, len(self._populations))
        self.taken += 1
        name, units = self._populations[number]
        # Drawn for several steps at once: a stream costs more than small noise.
        steps = max(1, min(BLOCK_STEPS, BLOCK_NUMBERS // (self._batch_size * units)))
        block, index = divmod(turn, steps)
        if name not in self._kept or self._kept[name][0] != block:
            self._kept[name] = (block, self._draw(name, block, (steps, self._batch_size, units)))
        return number, self._kept[name][1][index]

    def _draw(self, name: str, block: int, shape: tuple[int, ...]) -> Tensor:
        noise, network, drawn = self._noise, self._network, {}
        for seed in dict.fromkeys(network.seeds):
            generator = stream(seed, "noise", self._phase, name, block)
            if noise.distribution == "normal":
                drawn[seed] = torch.empty(shape).normal_(noise.mean, noise.std, generator=generator)
            else:
                half = 3**0.5 * noise.std
                drawn[seed] = torch.empty(shape).uniform_(noise.mean - half, noise.mean + half, generator=generator)
        rows = torch.stack([drawn[seed] for seed in network.seeds], 1).to(network.device, network.dtype)
        return rows[:, 0] if network.replicas == 1 else rows


class Stage:
    """One phase, ready to be stepped through.

    Args:
        feed, noise: what drives the network; one of the two.
        fallback: a batch for probes of phases without data.
    """

    def __init__(
        self,
        network: Network,
        phase: Phase | None,
        training: Training,
        length: int,
        feed: Feed | None,
        noise: NoiseFeed | None,
        fallback: Callable[[], tuple[Samples, Tensor]],
    ) -> None:
        self.main, self.phase, self.training, self.length = network, phase, training, length
        self.feed, self.noise = feed, noise
        self._fallback = fallback
        self.done = 0  # steps over all cycles
        optimizer = phase.training.get("optimizer") if phase is not None else None
        self.own_schedule = isinstance(optimizer, Mapping) and bool({"schedule", "decay_schedule"} & optimizer.keys())
        self.planned = length
        self.errs = training.loss != NO_LOSS and not (phase is not None and phase.drive)
        self.adopts = False  # whether the optimiser must look at what another phase left behind
        self._next: tuple[Network, Any, Any, str, Moment] | None = None
        self.bind()

    def bind(self) -> None:
        """Make the networks that learn; again when lesions have changed what a twin computes."""
        network, phase = self.main, self.phase
        self.network: Network = network
        self.driven: tuple[Network, ...] = ()
        if phase is None:
            return
        circuit, frozen = circuit_in(network.circuit, phase), frozen_in(network.circuit, phase)
        held = frozen & network.routers.keys()
        if phase.drive is not None:
            names = driven_in(network.circuit, phase)
            self.driven = tuple(variant(network, without_error(circuit.driven_at(name)), held) for name in names)
        elif circuit != network.circuit or held:
            self.network = variant(network, circuit, held)

    @property
    def networks(self) -> tuple[Network, ...]:
        """What learns in this phase."""
        return self.driven or (self.network,)

    @property
    def changed(self) -> set[str]:
        """Projections that change in this phase."""
        return {name for one in self.networks for change in one.plan.changes for name in change.projections}

    def quarrels(self, other: Stage) -> bool:
        """Whether another phase changes the same weights with an optimiser that remembers other things."""
        zero = torch.zeros(1, 1, 1)
        mine, theirs = (stage.training.optimizer.init(zero).keys() for stage in (self, other))
        return mine != theirs and bool(self.changed & other.changed)

    def step(self, epoch: float, epochs: float, scheduled: int | None) -> tuple[Tensor, Moment]:
        """One training step. Returns the loss [R] (NaN where there is none), and what probes may ask of it."""
        training, before = self.training, self.main.steps
        if self.own_schedule:
            unit = self.feed.per_epoch if self.feed is not None else 1
            epoch, epochs, scheduled = self.done / unit, self.planned / unit, self.done
        if self._next is None:
            self._next = self._prepare()
        (network, x, y, loss_name, moment), self._next = self._next, None
        network.steps = before
        loss = network.step(x, y, loss_name, training.optimizer, epoch=epoch, epochs=epochs, scheduled=scheduled)
        self.main.steps = before + 1
        self.done += 1
        return loss, moment

    def moment(self) -> Moment:
        """What probes may ask of the step that comes next."""
        self._next = self._prepare()
        network, x, y, loss_name, _ = self._next
        return self._moment(network, x, y, loss_name)

    def _prepare(self) -> tuple[Network, Any, Any, str, Moment]:
        """The network of the next step, its batch, loss and moment."""
        if self.noise is not None:
            number, noise = self.noise.next()
            network = self.driven[number]
            return network, noise, None, NO_LOSS, self._moment(network, noise, None, NO_LOSS)
        assert self.feed is not None
        x, y = self.feed.next()
        return self.network, x, y, self.training.loss, self._moment(self.network, x, y, self.training.loss)

    def _moment(self, network: Network, x: Any, y: Any, loss: str) -> Moment:
        if network is self.main:
            return Moment(self.main, loss, x, y)

        def proposed() -> dict[str, Tensor]:
            return network.updates(x, y, loss=loss)

        if y is None:
            return Moment(self.main, self.training.loss, None, None, self._fallback, proposed)
        return Moment(self.main, loss, x, y, None, proposed)


def stages_of(
    network: Network,
    data: Any,
    parts: Mapping[str, Part],
    training: Training,
    program: Program,
    cut: Callable[[Training], Training] | None = None,
) -> tuple[list[Stage], Course]:
    """The stages of a run, one a phase (one for all where there are none), and their course. Phases with equal data,
    classes and batch size share a feed, phases of one name their noise.

    Args:
        cut: the settings of the replicas that are trained here, from those of all.
    """
    feeds: dict[Any, Feed] = {}

    def feed_of(phase: Phase | None, settings: Training) -> Feed:
        spec, classes = (None, None) if phase is None else (phase.data, phase.classes)
        chosen = None if classes is None else tuple(sorted(set(classes)))
        # Targets are made for a loss: labels for one, rows for another.
        key = (spec, chosen, settings.batch_size, settings.loss)
        if key not in feeds:
            if spec is None and chosen is None and settings.loss == training.loss:
                part = parts["train"]
            else:
                place = "train" if phase is None else f"phases.{phase.name}"
                source = (data if spec is None else spec.load()).train
                part = Part(only(source, chosen), network, settings.loss, place=place, augment=training.augment)
            feeds[key] = Feed(part, settings.batch_size, network)
        return feeds[key]

    noises: dict[Any, NoiseFeed] = {}

    def noise_of(phase: Phase, settings: Training) -> NoiseFeed | None:
        if phase.drive is None:
            return None
        names = driven_in(network.circuit, phase)
        key = (phase.name, phase.drive, names, settings.batch_size)
        if key not in noises:
            sizes = [(name, network.circuit.populations[name].units) for name in names]
            noises[key] = NoiseFeed(phase.drive, phase.name, sizes, settings.batch_size, network)
        return noises[key]

    def fallback() -> tuple[Samples, Tensor]:
        index = torch.arange(min(training.batch_size, len(parts["train"]))).expand(network.replicas, -1)
        return parts["train"].take(index.to(network.device))

    if not program.phases:
        feed = feed_of(None, training)
        stage = Stage(network, None, training, training.epochs * feed.per_epoch, feed, None, fallback)
        return [stage], Course((stage.length,))
    found = []
    for number, phase in enumerate(program.phases):
        settings = training_in(phase, training, f"phases.{number}.training")
        settings = settings if cut is None else cut(settings)
        source = None if phase.drive is not None else feed_of(phase, settings)
        length = phase.steps if phase.steps is not None else (phase.epochs or 0) * (source.per_epoch if source else 0)
        found.append(Stage(network, phase, settings, length, source, noise_of(phase, settings), fallback))
        found[-1].planned = length * program.cycles
    for stage in found:
        stage.adopts = any(stage.quarrels(other) for other in found)
    return found, Course(tuple(stage.length for stage in found), program.cycles)
