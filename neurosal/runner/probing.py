"""Probes at work: what a network is, as arrays for the recorder. Statistics are computed in float64 from live tensors.

Letters: R replica, K area, N sample, O and I units.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property, partial

import torch
from torch import Tensor

from neurosal.engine.dimensions import weight_sizes
from neurosal.engine.feeding import Part
from neurosal.engine.network import Network
from neurosal.engine.reading import Stored
from neurosal.engine.sweep import no_grad
from neurosal.errors import ExperimentError
from neurosal.record import Recorder, schema
from neurosal.runner.fixed import FixedSamples
from neurosal.runner.measuring import START, Asked, Measuring
from neurosal.runner.moment import Moment, Values, host
from neurosal.runner.recordable import Recordable
from neurosal.runner.trial import Trial
from neurosal.runner.voting import unvotable, votes
from neurosal.settings.probes import KINDS, Probe, log_spaced
from neurosal.settings.training import Training
from neurosal.stats import base
from neurosal.stats.catalogue import LIVE, Statistic, find, measure

CREDIT = ("credit", "step", "sample_changes", "area_changes", "kernels", "kernel_labels")  # sources of /stats/credit
Probes = dict[str, list[Probe]]  # kind → probes
Samples = dict[str, int | None]  # population → how many of a batch count


class Prober:
    """The probes of one run, grouped into the recorder's groups.

    Raises:
        ExperimentError: for probes of what the circuit or the data does not have.
    """

    def __init__(
        self,
        network: Network,
        training: Training,
        parts: Mapping[str, Part],
        total_steps: int,
        epochs: int | None = None,
    ) -> None:
        self.network, self.training, self.parts, self.total_steps = network, training, parts, total_steps
        self.epochs = training.epochs if epochs is None else epochs
        self.part = parts["train"]
        self.recordable = Recordable(network.plan, training.loss)
        problems = [problem for probe in training.record if (problem := self.recordable.misfit(probe)) is not None]
        problems += unvotable(training.record, parts)
        if problems:
            raise ExperimentError(problems)
        self.fixed, trial = FixedSamples(network, self.part), Trial(network, self.recordable, training)
        self.measuring = Measuring(network, self.recordable, training.record, lambda: self.reference, self.fixed, trial)
        self.dtype = str(network.dtype).removeprefix("torch.")
        self.groups: list[tuple[Probe, schema.Group, Callable[[Moment], Values]]] = []
        logs = {probe.log for probe in training.record if probe.log is not None}
        self.log_steps = {log: log_spaced(total_steps, log) for log in logs}
        by_schedule: dict[str, Probes] = defaultdict(lambda: defaultdict(list))
        for probe in training.record:
            by_schedule[schema.schedule_name(probe)][probe.what].append(probe)
        for schedule, probes in by_schedule.items():
            self._statistics(schedule, probes)
            self._units(schedule, probes)
            self._projections(schedule, probes)
            self._populations(schedule, probes)

    # Which groups ----------------------------------------------------------------------------------------------------

    def _statistics(self, schedule: str, probes: Probes) -> None:
        samples = self._samples(probes)
        if asked := self._whole(probes, "pair"):
            sizes = {name: self.measuring.pair(name)[0][0].numel() for name in asked}
            group = schema.symmetry(schedule, sizes, _attributes(asked), left_out=self.recordable.left_out)
            self._add(schedule, probes, group, lambda moment: self.measuring.values(asked, moment, samples))
        if moved := self._whole(probes, "weight", "change", "update"):
            group = schema.plasticity(schedule, list(moved), _attributes(moved))
            self._add(schedule, probes, group, lambda moment: self.measuring.values(moved, moment, samples))
        if active := self._whole(probes, "activity", "activity_labels", "activities"):
            group = schema.population_statistics(schedule, list(active), _attributes(active))
            self._add(schedule, probes, group, lambda moment: self.measuring.values(active, moment, samples))
        self._credit_group(schedule, probes)
        self._routing_group(schedule, probes)

    def _credit_group(self, schedule: str, probes: Probes) -> None:
        compared, misled = (self.recordable.targets(probes[what]) for what in ("update_angle", "error_angle"))
        asked = self._whole(probes, *CREDIT)
        if compared or misled or asked:
            named = [name for name in self.recordable.compared if name in {*compared, *asked}]
            more = _attributes(asked)
            group = schema.credit(schedule, named, misled, angles=bool(compared), statistics=more)
            credited = {name: asked.get(name, []) for name in named} if asked else {}
            values = partial(self._credit, named, compared, misled, credited, self._samples(probes))
            self._add(schedule, probes, group, values)

    def _routing_group(self, schedule: str, probes: Probes) -> None:
        asked = self._whole(probes, "usage", "routes", "routes_labels")
        routing = {*self.recordable.targets(probes["usage"]), *self.recordable.targets(probes["vote"]), *asked}
        if routing:
            counts = {name: self.network.circuit.populations[name].areas for name in self.network.plan.routes}
            areas = {name: count for name, count in counts.items() if name in routing}
            voting = tuple(part for part in self.parts if part != "train") if probes["vote"] else ()
            used, more = bool(probes["usage"]), _attributes(asked)
            group = schema.routing(schedule, areas, usage=used, votes=voting, statistics=more)
            measured = {name: asked.get(name, []) for name in areas} if asked else {}
            self._add(schedule, probes, group, partial(self._routing, areas, used, voting, measured))

    def _whole(self, probes: Probes, *sources: str) -> Asked:
        """Statistics of these sources with one number a target."""
        found = self.measuring.asked(probes, *sources)
        return {target: kept for target, some in found.items() if (kept := [one for one in some if not one.per])}

    def _units(self, schedule: str, probes: Probes) -> None:
        """A group for each target of statistics with a number for each of its units."""
        for target, some in self.measuring.asked(probes, *LIVE).items():
            entries = [entry for entry in some if entry.per]
            if not entries:
                continue
            dims = {entry.name: self.measuring.dimension(entry, target, self.training.loss) for entry in entries}
            group = schema.unit_statistics(target, schedule, _attributes({target: entries}), dims)
            self._add(schedule, probes, group, partial(self._each_unit, target, entries, self._samples(probes)))

    def _add(self, schedule: str, probes: Probes, group: schema.Group, values: Callable[[Moment], Values]) -> None:
        first = next(probe for some in probes.values() for probe in some)  # all of a schedule are due together
        self.groups.append((first, group, values))

    def _samples(self, probes: Probes) -> Samples:
        """How many samples of a batch statistics of activity take, by population: as many as any of them asks for."""
        counts: dict[str, list[int | None]] = defaultdict(list)
        for what, some in probes.items():
            if what not in KINDS and find(what).of.startswith(("activit", "kernel")):
                for name in self.recordable.targets(some):
                    counts[name] += [probe.samples for probe in some if probe.target in (None, name)]
        limits = {name: [count for count in some if count is not None] for name, some in counts.items()}
        return {name: max(limits[name]) if len(limits[name]) == len(some) else None for name, some in counts.items()}

    def _projections(self, schedule: str, probes: Probes) -> None:
        wanted: dict[str, list[Probe]] = defaultdict(list)
        for what in ("weight", "update"):
            for name in self.recordable.targets(probes[what]):
                wanted[name].append(probes[what][0])
        for name, some in wanted.items():
            areas, sizes = self.network.weights[name].shape[1], weight_sizes(self.network.circuit, name)
            kinds: list[str] = [probe.what for probe in some]
            group = schema.projection(name, schedule, sizes=sizes, areas=areas, what=kinds, dtype=self.dtype)
            self.groups.append((some[0], group, partial(self._projection, name, kinds)))

    def _populations(self, schedule: str, probes: Probes) -> None:
        wanted: dict[str, list[Probe]] = defaultdict(list)
        trials: dict[str, int] = defaultdict(int)
        batch_size = self.training.batch_size
        for what in ("activity", "error", "area"):
            for name in self.recordable.targets(probes[what]):
                wanted[name].append(probes[what][0])
                asked = [probe.samples or batch_size for probe in probes[what] if probe.target in (None, name)]
                trials[name] = max(trials[name], min(max(asked), batch_size))
        for name, some in wanted.items():
            population = self.network.circuit.populations[name]
            kinds: list[str] = [probe.what for probe in some]
            group = schema.population(
                name, schedule, units=population.units, extent=population.extent, trials=trials[name], what=kinds,
                dtype=self.dtype,
            )  # fmt: skip
            self.groups.append((some[0], group, partial(self._population, name, kinds, trials[name])))

    @property
    def kept(self) -> dict[str, Tensor]:
        """What a resumed run must know of the start: it measures how far weights, activities and routes went."""
        first = {**self.measuring.start, **self.fixed.start}
        return {f"{START}{name}": tensor for name, tensor in first.items()}

    def take_up(self, state: Stored) -> Stored:
        """Take over what `kept` gave; returns the rest."""
        for key in [name for name in state if name.startswith(START)]:
            name, tensor = key.removeprefix(START), state[key]
            if name in self.measuring.start:
                self.measuring.start[name].copy_(tensor)
            else:
                self.fixed.start[name] = tensor.to(self.network.device).clone()
        return state.without(START)

    # When ------------------------------------------------------------------------------------------------------------

    def declare(self, recorder: Recorder) -> None:
        """Announce every group to the recorder, with how many entries it will have."""
        for probe, group, _ in self.groups:
            if probe.log is not None:
                entries = len(self.log_steps[probe.log])
            elif probe.every is not None:
                entries = self.total_steps // probe.every
            else:
                entries = self.epochs // (probe.epochs or 1)
            recorder.declare(group, expected=entries + 1)

    def record(self, recorder: Recorder, step: int, epoch: float, epoch_ended: int | None, moment: Moment) -> None:
        """Record what is due after `step` steps."""
        for probe, group, values in self.groups:
            if self._due(probe, step, epoch_ended):
                with no_grad():
                    recorder.append(group.path, step=step, epoch=epoch, values=values(moment))

    def due(self, step: int, epoch_ended: int | None) -> bool:
        """Whether anything is recorded after `step` steps."""
        return any(self._due(probe, step, epoch_ended) for probe, _, _ in self.groups)

    def _due(self, probe: Probe, step: int, epoch_ended: int | None) -> bool:
        if probe.log is not None and step:
            return step in self.log_steps[probe.log]
        return probe.due(step, epoch_ended)

    # What ------------------------------------------------------------------------------------------------------------

    def _each_unit(self, target: str, entries: list[Statistic], samples: Samples, moment: Moment) -> Values:
        found = self.measuring.of(target, entries, moment, samples.get(target))
        return {name: host(value) for name, value in found.items()}

    @cached_property
    def reference(self) -> Network:
        """The backpropagation form of the circuit on the same weights and routes."""
        return self.network.twin(self.recordable.reference)

    def _credit(
        self, named: list[str], compared: list[str], misled: list[str], asked: Asked, samples: Samples, moment: Moment
    ) -> Values:
        values = self.measuring.values(asked, moment, samples) if asked else {}
        # What a phase keeps from changing, or from hearing of an error, has no direction to compare.
        none_R = torch.full((self.network.replicas,), torch.nan, dtype=torch.float64, device=self.network.device)
        if compared:
            mine, other = moment.updates, moment.updates_of(self.reference)
            angles = [
                _angle(mine[name], other[name]) if name in mine and name in compared else none_R for name in named
            ]
            values[schema.UPDATE_ANGLE] = host(torch.stack(angles, 1))
        if misled:
            here, there = moment.signals, moment.signals_of(self.reference)
            angles = [
                base.angle(here[name]["error"], there[name]["error"], axis=2).nanmean(1)
                if "error" in here.get(name, {})
                else none_R
                for name in misled
            ]
            values[schema.ERROR_ANGLE] = host(torch.stack(angles, 1))
        return values

    def _routing(
        self, areas: dict[str, int], used: bool, voting: tuple[str, ...], asked: Asked, moment: Moment
    ) -> Values:
        values = self.measuring.values(asked, moment, {}) if asked else {}
        if used:
            usage = torch.full((self.network.replicas, len(areas), max(areas.values())), torch.nan, dtype=torch.float64)
            for index, (name, size) in enumerate(areas.items()):
                usage[:, index, :size] = self.fixed.usage(name, moment)
            values[schema.USAGE] = host(usage)
        if voting:
            found = votes(self.network, {name: self.parts[name] for name in ("train", *voting)}, areas)
            values |= {f"{part}_{schema.VOTE_ACCURACY}": accuracy for part, accuracy in found.items()}
        return values

    def _projection(self, name: str, what: list[str], moment: Moment) -> Values:
        """As tensors where they are: the recorder copies them straight into its queue."""
        values: Values = {}
        if "weight" in what:
            values[schema.WEIGHT] = self.network.weights[name].detach()
        if "update" in what:
            change = moment.updates.get(name)
            values[schema.UPDATE] = torch.zeros_like(self.network.weights[name]) if change is None else change
        return values

    def _population(self, name: str, what: list[str], trials: int, moment: Moment) -> Values:
        values: Values = {}
        for kind in what:
            tensor = moment.signals[name][kind][:, :trials]
            missing = trials - tensor.shape[1]
            if missing:  # the last batch of an epoch may be smaller
                filling = -1 if kind == "area" else torch.nan
                tensor = torch.cat([tensor, tensor.new_full((tensor.shape[0], missing, *tensor.shape[2:]), filling)], 1)
            values[kind] = host(tensor)
        return values


def _attributes(asked: Asked) -> dict[str, dict[str, str]]:
    """Attributes of the variables, by name of the statistic."""
    entries = {entry.name: entry for some in asked.values() for entry in some}
    return {name: {"long_name": entry.title, "units": entry.units} for name, entry in entries.items()}


def _angle(one: Tensor, other: Tensor) -> Tensor:
    """Angle of two changes, [R]: of matrices and kernels in one pass over them, as that of weights."""
    if one.dim() >= 4:
        found: Tensor = measure(["angle"], one.flatten(3), other.flatten(3))["angle"]
        return found
    return base.angle(one.flatten(1), other.flatten(1), axis=1)
