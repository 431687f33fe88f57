"""Probes at work: what a network is, as arrays for the recorder. Statistics are computed in float64 from live tensors.

Letters: R replica, K area, N sample, O and I units.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.feeding import Part, Samples
from neurosal.engine.network import Network
from neurosal.engine.sweep import no_grad
from neurosal.errors import ExperimentError
from neurosal.lower.paths import Pair, Route
from neurosal.record import Recorder, schema
from neurosal.runner.recordable import Recordable
from neurosal.runner.voting import unvotable, votes
from neurosal.settings.probes import Probe, log_spaced
from neurosal.settings.training import Training
from neurosal.stats import base

Values = dict[str, np.ndarray[Any, Any]]
Probes = dict[str, list[Probe]]  # kind → probes
USAGE_SAMPLES = 2048
MOST_ROWS = 1 << 15


class Moment:
    """A step's batch, and what the network makes of it: computed when first asked for, and once for all probes.

    Args:
        x, y: the batch; in a phase without data None, then `fallback` gives one.
        proposed: the changes that a phase proposes, where other synapses are plastic in it than in the network.
    """

    def __init__(
        self,
        network: Network,
        loss: str,
        x: Samples | None,
        y: Tensor | None,
        fallback: Callable[[], tuple[Samples, Tensor]] | None = None,
        proposed: Callable[[], dict[str, Tensor]] | None = None,
    ) -> None:
        self._network, self._loss, self._x, self._y = network, loss, x, y
        self._fallback, self._proposed = fallback, proposed

    @cached_property
    def batch(self) -> tuple[Samples, Tensor]:
        """The step's batch, or the one in its place."""
        if self._x is not None and self._y is not None:
            return self._x, self._y
        assert self._fallback is not None
        return self._fallback()

    @cached_property
    def updates(self) -> dict[str, Tensor]:
        """Proposed changes."""
        return self.updates_of(self._network) if self._proposed is None else self._proposed()

    @cached_property
    def signals(self) -> dict[str, dict[str, Tensor]]:
        """Signals of all populations."""
        x, y = self.batch
        return self._network.signals(x, y, loss=self._loss)

    def signals_of(self, network: Network) -> dict[str, dict[str, Tensor]]:
        """Signals of another network on the same batch."""
        x, y = self.batch
        return network.signals(x, y, loss=self._loss)

    def updates_of(self, network: Network) -> dict[str, Tensor]:
        """Proposed changes of another network on the same batch."""
        x, y = self.batch
        return network.updates(x, y, loss=self._loss)


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
        self.dtype = str(network.dtype).removeprefix("torch.")
        self.groups: list[tuple[Probe, schema.Group, Callable[[Moment], Values]]] = []
        logs = {probe.log for probe in training.record if probe.log is not None}
        self.log_steps = {log: log_spaced(total_steps, log) for log in logs}
        by_schedule: dict[str, Probes] = defaultdict(lambda: defaultdict(list))
        for probe in training.record:
            by_schedule[schema.schedule_name(probe)][probe.what].append(probe)
        for schedule, probes in by_schedule.items():
            self._statistics(schedule, probes)
            self._projections(schedule, probes)
            self._populations(schedule, probes)

    # Which groups ----------------------------------------------------------------------------------------------------

    def _statistics(self, schedule: str, probes: Probes) -> None:
        symmetric = probes["angle"] + probes["norm_ratio"]
        wanted = self.recordable.targets(symmetric)
        if chosen := [pair for pair in self.recordable.pairs if pair.name in wanted]:
            sizes = {pair.name: self._both_ways(pair)[0][0].numel() for pair in chosen}
            self.groups.append((symmetric[0], schema.symmetry(schedule, sizes), partial(self._symmetry, chosen)))
        compared, misled = (self.recordable.targets(probes[what]) for what in ("update_angle", "error_angle"))
        if compared or misled:
            group = schema.credit(schedule, compared, misled)
            first = (probes["update_angle"] + probes["error_angle"])[0]
            self.groups.append((first, group, partial(self._credit, compared, misled)))
        routing = {*self.recordable.targets(probes["usage"]), *self.recordable.targets(probes["vote"])}
        if routing:
            counts = {name: self.network.circuit.populations[name].areas for name in self.network.plan.routes}
            areas = {name: count for name, count in counts.items() if name in routing}
            voting = tuple(part for part in self.parts if part != "train") if probes["vote"] else ()
            group = schema.routing(schedule, areas, usage=bool(probes["usage"]), votes=voting)
            first = (probes["usage"] + probes["vote"])[0]
            self.groups.append((first, group, partial(self._routing, areas, bool(probes["usage"]), voting)))

    def _projections(self, schedule: str, probes: Probes) -> None:
        wanted: dict[str, list[Probe]] = defaultdict(list)
        for what in ("weight", "update"):
            for name in self.recordable.targets(probes[what]):
                wanted[name].append(probes[what][0])
        for name, some in wanted.items():
            edge, shape = self.network.circuit.projections[name], self.network.weights[name].shape
            post, pre = (edge.target, shape[2]), (edge.source, shape[3]) if len(shape) == 4 else None
            kinds: list[str] = [probe.what for probe in some]
            group = schema.projection(name, schedule, post=post, pre=pre, areas=shape[1], what=kinds, dtype=self.dtype)
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
            units = self.network.circuit.populations[name].units
            kinds: list[str] = [probe.what for probe in some]
            group = schema.population(name, schedule, units=units, trials=trials[name], what=kinds, dtype=self.dtype)
            self.groups.append((some[0], group, partial(self._population, name, kinds, trials[name])))

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

    def _due(self, probe: Probe, step: int, epoch_ended: int | None) -> bool:
        if probe.log is not None and step:
            return step in self.log_steps[probe.log]
        return probe.due(step, epoch_ended)

    # What ------------------------------------------------------------------------------------------------------------

    def _both_ways(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """Effective weights of the forward path and of the feedback, both [R, K, target, source]."""
        forward = self._sum(pair.forward)
        both: tuple[Tensor, Tensor] = torch.broadcast_tensors(forward, self._sum(pair.feedback).mT)
        return both

    def _sum(self, routes: tuple[Route, ...]) -> Tensor:
        first, *others = (self._along(route) for route in routes)
        return sum(others, start=first)

    def _along(self, route: Route) -> Tensor:
        """Effective weights of a route, [R, K, post, pre] in float64; one-to-one projections count as diagonal
        matrices."""
        weights = (self.network.weights[name] for name in route)
        product: Tensor = base.path(*(weight.diag_embed() if weight.dim() == 3 else weight for weight in weights))
        return product

    def _symmetry(self, chosen: list[Pair], _: Moment) -> Values:
        both = [tuple(tensor.flatten(1) for tensor in self._both_ways(pair)) for pair in chosen]
        angles = [base.angle(forward, back, axis=1) for forward, back in both]
        ratios = [base.norm_ratio(forward, back, axis=1) for forward, back in both]
        return {schema.ANGLE: _host(torch.stack(angles, 1)), schema.NORM_RATIO: _host(torch.stack(ratios, 1))}

    @cached_property
    def reference(self) -> Network:
        """The backpropagation form of the circuit on the same weights and routes."""
        return self.network.twin(self.recordable.reference)

    def _credit(self, compared: list[str], misled: list[str], moment: Moment) -> Values:
        values: Values = {}
        # What a phase keeps from changing, or from hearing of an error, has no direction to compare.
        none_R = torch.full((self.network.replicas,), torch.nan, dtype=torch.float64, device=self.network.device)
        if compared:
            mine, other = moment.updates, moment.updates_of(self.reference)
            angles = [
                base.angle(mine[name].flatten(1), other[name].flatten(1), axis=1) if name in mine else none_R
                for name in compared
            ]
            values[schema.UPDATE_ANGLE] = _host(torch.stack(angles, 1))
        if misled:
            here, there = moment.signals, moment.signals_of(self.reference)
            angles = [
                base.angle(here[name]["error"], there[name]["error"], axis=2).nanmean(1)
                if "error" in here.get(name, {})
                else none_R
                for name in misled
            ]
            values[schema.ERROR_ANGLE] = _host(torch.stack(angles, 1))
        return values

    def _routing(self, areas: dict[str, int], used: bool, voting: tuple[str, ...], _: Moment) -> Values:
        values = self._usage(areas) if used else {}
        if voting:
            found = votes(self.network, {name: self.parts[name] for name in ("train", *voting)}, areas)
            values |= {f"{part}_{schema.VOTE_ACCURACY}": accuracy for part, accuracy in found.items()}
        return values

    def _usage(self, areas: dict[str, int]) -> Values:
        replicas = self.network.replicas
        batch = self.network.forward(self.part.first(max(1, min(USAGE_SAMPLES, MOST_ROWS // replicas))))
        usage = torch.full((replicas, len(areas), max(areas.values())), torch.nan, dtype=torch.float64)
        for index, (name, size) in enumerate(areas.items()):
            groups = batch.groups[self.network.plan.routes[name]]
            usage[:, index, :size] = (groups.counts_RK.double() / groups.samples).cpu()
        return {schema.USAGE: usage.numpy()}

    def _projection(self, name: str, what: list[str], moment: Moment) -> Values:
        values: Values = {}
        if "weight" in what:
            values[schema.WEIGHT] = _host(self.network.weights[name])
        if "update" in what:
            change = moment.updates.get(name)
            values[schema.UPDATE] = _host(torch.zeros_like(self.network.weights[name]) if change is None else change)
        return values

    def _population(self, name: str, what: list[str], trials: int, moment: Moment) -> Values:
        values: Values = {}
        for kind in what:
            tensor = moment.signals[name][kind][:, :trials]
            missing = trials - tensor.shape[1]
            if missing:  # the last batch of an epoch may be smaller
                filling = -1 if kind == "area" else torch.nan
                tensor = torch.cat([tensor, tensor.new_full((tensor.shape[0], missing, *tensor.shape[2:]), filling)], 1)
            values[kind] = _host(tensor)
        return values


def _host(tensor: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tensor.detach().cpu().numpy()
    return array
