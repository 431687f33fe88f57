"""Probes at work: what a network is, as arrays for the recorder. Statistics are computed in float64 from live tensors.

Letters: R replica, K area, N sample, O and I units.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurosal.engine.feeding import Samples
from neurosal.engine.network import Network
from neurosal.engine.sweep import no_grad
from neurosal.errors import ExperimentError, Problem, near
from neurosal.graph import Relay, Source
from neurosal.lower.paths import Pair, pairs
from neurosal.record import Recorder, schema
from neurosal.rules import bp
from neurosal.settings.probes import Probe, log_spaced
from neurosal.stats import base

Values = dict[str, np.ndarray[Any, Any]]
Moment = tuple[Samples, Tensor]  # the step's batch
USAGE_SAMPLES = 2048


class Prober:
    """The probes of one run, grouped into the recorder's groups."""

    def __init__(
        self, network: Network, probes: tuple[Probe, ...], loss: str, batch_size: int, sample: Samples, total_steps: int
    ) -> None:
        self.network, self.loss, self.batch_size, self.sample = network, loss, batch_size, sample
        self.dtype = str(network.dtype).removeprefix("torch.")
        self.groups: list[tuple[Probe, schema.Group, Callable[[Moment], Values]]] = []
        self.log_steps = {probe.log: log_spaced(total_steps, probe.log) for probe in probes if probe.log is not None}
        problems: list[Problem] = []
        by_schedule: dict[str, list[Probe]] = defaultdict(list)
        for probe in probes:
            by_schedule[schema.schedule_name(probe)].append(probe)
        for schedule, some in by_schedule.items():
            self._group(schedule, some, problems)
        if problems:
            raise ExperimentError(problems)

    # Which groups ----------------------------------------------------------------------------------------------------

    def _group(self, schedule: str, probes: list[Probe], problems: list[Problem]) -> None:
        whats: dict[str, list[Probe]] = defaultdict(list)
        for probe in probes:
            whats[probe.what].append(probe)
        add = self.groups.append
        if symmetric := whats["angle"] + whats["norm_ratio"]:
            wanted = self._chosen(symmetric, [pair.name for pair in self.pairs], problems)
            chosen = [pair for pair in self.pairs if pair.name in wanted]
            if chosen:
                sizes = {pair.name: self._forward(pair)[0].numel() for pair in chosen}
                add((symmetric[0], schema.symmetry(schedule, sizes), lambda _: self._symmetry(chosen)))
        if whats["update_angle"]:
            compared = self._chosen(whats["update_angle"], self.compared, problems)
            if compared:
                add(
                    (
                        whats["update_angle"][0],
                        schema.credit(schedule, compared),
                        lambda moment: self._credit(compared, moment),
                    )
                )
        if whats["usage"]:
            areas = {name: self.network.circuit.populations[name].areas for name in self.network.plan.routes}
            chosen_areas = {name: areas[name] for name in self._chosen(whats["usage"], list(areas), problems)}
            if chosen_areas:
                add((whats["usage"][0], schema.routing(schedule, chosen_areas), lambda _: self._usage(chosen_areas)))
        self._projections(schedule, whats, problems)
        self._populations(schedule, whats, problems)

    def _projections(self, schedule: str, whats: dict[str, list[Probe]], problems: list[Problem]) -> None:
        circuit = self.network.circuit
        wanted: dict[str, list[str]] = defaultdict(list)
        changing = [name for change in self.network.plan.changes for name in change.projections]
        for what, known in (("weight", list(self.network.weights)), ("update", changing)):
            for name in self._chosen(whats[what], known, problems) if whats[what] else []:
                wanted[name].append(what)
        for name, kinds in wanted.items():
            edge, shape = circuit.projections[name], self.network.weights[name].shape
            pre = (edge.source, shape[3]) if len(shape) == 4 else None
            group = schema.projection(
                name, schedule, post=(edge.target, shape[2]), pre=pre, areas=shape[1], what=kinds, dtype=self.dtype
            )
            self.groups.append((whats[kinds[0]][0], group, partial(self._projection, name, kinds)))

    def _populations(self, schedule: str, whats: dict[str, list[Probe]], problems: list[Problem]) -> None:
        circuit, trials = self.network.circuit, dict[str, int]()
        wanted: dict[str, list[str]] = defaultdict(list)
        kinds = {
            "activity": [
                name for name, entry in circuit.populations.items() if not isinstance(entry.model, (Source, Relay))
            ],
            "error": sorted(self.network.plan.with_error),
            "area": list(self.network.plan.routes),
        }
        for what, usual in kinds.items():
            if whats[what]:
                allowed = (
                    usual
                    if what != "activity"
                    else [n for n, e in circuit.populations.items() if not isinstance(e.model, Relay)]
                )
                for name in self._chosen(whats[what], usual, problems, allowed):
                    wanted[name].append(what)
                    keep = [probe.samples for probe in whats[what]]
                    trials[name] = max(
                        [trials.get(name, 0), *(min(entry or self.batch_size, self.batch_size) for entry in keep)]
                    )
        for name, asked in wanted.items():
            units = circuit.populations[name].units
            group = schema.population(name, schedule, units=units, trials=trials[name], what=asked, dtype=self.dtype)
            self.groups.append((whats[asked[0]][0], group, partial(self._population, name, asked, trials[name])))

    @staticmethod
    def _chosen(
        probes: list[Probe], usual: list[str], problems: list[Problem], allowed: list[str] | None = None
    ) -> list[str]:
        """Names that these probes ask for; a probe without target takes all that are usual."""
        allowed = usual if allowed is None else allowed
        targets = [probe.target for probe in probes]
        problems += [
            Problem(
                place=f"record.{probe.what}",
                expected="a target that this circuit has for it",
                found=repr(probe.target),
                remedy=near(probe.target, allowed),
            )
            for probe in probes
            if probe.target is not None and probe.target not in allowed
        ]
        return list(usual) if None in targets else [name for name in allowed if name in targets]

    # When ------------------------------------------------------------------------------------------------------------

    def declare(self, recorder: Recorder, steps: int, epochs: int) -> None:
        """Announce every group to the recorder, with how many entries it will have."""
        for probe, group, _ in self.groups:
            if probe.log is not None:
                entries = len(self.log_steps[probe.log])
            else:
                entries = steps // probe.every if probe.every is not None else epochs // (probe.epochs or 1)
            recorder.declare(group, expected=entries + 1)

    def record(
        self, recorder: Recorder, step: int, epoch: float, epoch_ended: int | None, moment: Callable[[], Moment]
    ) -> None:
        """Record what is due after `step` steps; `moment` gives the step's batch when something needs it."""
        due = [entry for entry in self.groups if self._due(entry[0], step, epoch_ended)]
        if not due:
            return
        batch = moment()
        for _, group, values in due:
            with no_grad():
                recorder.append(group.path, step=step, epoch=epoch, values=values(batch))

    def _due(self, probe: Probe, step: int, epoch_ended: int | None) -> bool:
        if probe.log is not None and step:
            return step in self.log_steps[probe.log]
        return probe.due(step, epoch_ended)

    # What ------------------------------------------------------------------------------------------------------------

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Forward paths with feedback whose areas can be compared one by one."""
        return tuple(pair for pair in pairs(self.network.circuit) if self._comparable(pair))

    def _comparable(self, pair: Pair) -> bool:
        areas = {self.network.weights[name].shape[1] for route in (*pair.forward, *pair.feedback) for name in route}
        routers = {self.network.plan.routes.get(end) for name in (pair.source, pair.target) for end in (name,)} - {None}
        return len(areas - {1}) <= 1 and (len(routers) <= 1 or len(pair.forward[0]) == 1)

    def _along(self, route: tuple[str, ...]) -> Tensor:
        """Effective weights of a route, [R, K, post, pre] in float64; one-to-one projections count as diagonal
        matrices."""
        matrices = [
            weight.diag_embed() if weight.dim() == 3 else weight
            for weight in (self.network.weights[name] for name in route)
        ]
        product: Tensor = base.path(*matrices)
        return product

    def _forward(self, pair: Pair) -> tuple[Tensor, Tensor]:
        forward = sum((self._along(route) for route in pair.forward[1:]), self._along(pair.forward[0]))
        back = sum((self._along(route) for route in pair.feedback[1:]), self._along(pair.feedback[0])).mT
        both: tuple[Tensor, Tensor] = torch.broadcast_tensors(forward, back)
        return both

    def _symmetry(self, chosen: list[Pair]) -> Values:
        angles, ratios = [], []
        for pair in chosen:
            forward, back = (tensor.flatten(1) for tensor in self._forward(pair))
            angles.append(base.angle(forward, back, axis=1))
            ratios.append(base.norm_ratio(forward, back, axis=1))
        return {schema.ANGLE: _host(torch.stack(angles, 1)), schema.NORM_RATIO: _host(torch.stack(ratios, 1))}

    @cached_property
    def twin(self) -> Network:
        """The backpropagation form of the circuit on the same weights and routes."""
        circuit = self.network.circuit
        back = [name for name, edge in circuit.projections.items() if edge.pathway == "feedback"]
        relays = [name for name, entry in circuit.populations.items() if isinstance(entry.model, Relay)]
        return self.network.twin(bp(circuit.without([*back, *relays])))

    @cached_property
    def compared(self) -> list[str]:
        """Feedforward projections that both the circuit and its backpropagation form change."""
        mine, other = (
            {name for change in net.plan.changes for name in change.projections} for net in (self.network, self.twin)
        )
        return [name for name in self.network.circuit.select(pathway="feedforward") if name in mine & other]

    def _credit(self, names: list[str], moment: Moment) -> Values:
        mine, other = (net.updates(*moment, loss=self.loss) for net in (self.network, self.twin))
        angles = [base.angle(mine[name].flatten(1), other[name].flatten(1), axis=1) for name in names]
        return {schema.UPDATE_ANGLE: _host(torch.stack(angles, 1))}

    def _usage(self, areas: dict[str, int]) -> Values:
        rows = next(iter(self.sample.values())) if isinstance(self.sample, dict) else self.sample
        count = max(1, min(USAGE_SAMPLES, (1 << 15) // self.network.replicas, len(rows)))
        batch = self.network.forward(
            {name: values[:count] for name, values in self.sample.items()}
            if isinstance(self.sample, dict)
            else self.sample[:count]
        )
        usage = torch.full((self.network.replicas, len(areas), max(areas.values())), torch.nan, dtype=torch.float64)
        for index, (name, size) in enumerate(areas.items()):
            groups = batch.groups[self.network.plan.routes[name]]
            usage[:, index, :size] = (groups.counts_RK.double() / groups.samples).cpu()
        return {schema.USAGE: usage.numpy()}

    def _projection(self, name: str, what: list[str], moment: Moment) -> Values:
        values: Values = {}
        if "weight" in what:
            values[schema.WEIGHT] = _host(self.network.weights[name])
        if "update" in what:
            values[schema.UPDATE] = _host(self.network.updates(*moment, loss=self.loss)[name])
        return values

    def _population(self, name: str, what: list[str], trials: int, moment: Moment) -> Values:
        signals = self.network.signals(*moment, loss=self.loss)[name]
        values: Values = {}
        for kind in what:
            tensor = signals[kind][:, :trials]
            missing = trials - tensor.shape[1]
            if missing:  # the last batch of an epoch may be smaller
                filling = -1 if kind == "area" else torch.nan
                tensor = torch.cat([tensor, tensor.new_full((tensor.shape[0], missing, *tensor.shape[2:]), filling)], 1)
            values[kind] = _host(tensor)
        return values


def _host(tensor: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tensor.detach().cpu().numpy()
    return array
