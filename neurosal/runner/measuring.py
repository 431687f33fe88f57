"""Statistics of the registry as probes: what each is computed from, from live tensors, in full precision.

The functions are those that analyses call with recorded arrays; here they get the tensors of the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from neurosal.engine.network import Network
from neurosal.lower.paths import Pair
from neurosal.record import schema
from neurosal.runner.fixed import FixedSamples
from neurosal.runner.moment import Moment, Values, host
from neurosal.runner.recordable import Recordable
from neurosal.runner.tangent import Tangent
from neurosal.runner.trial import Trial
from neurosal.settings.probes import KINDS, Probe
from neurosal.stats import base
from neurosal.stats.catalogue import Statistic, find, measure

ALWAYS = ("angle", "norm_ratio")  # probes that came before the registry: either is recorded with the other
START = "start/"  # of the names of first weights in checkpoints
Asked = dict[str, list[Statistic]]  # target → statistics


class Measuring:
    """What statistics are computed from.

    Args:
        probes: of the run; where one asks how far weights went, the weights as they are now are kept.
        reference: gives the backpropagation form of the network.
        fixed: the samples that are the same at every time.
        trial: tries steps.
    """

    def __init__(
        self,
        network: Network,
        recordable: Recordable,
        probes: Iterable[Probe],
        reference: Callable[[], Network],
        fixed: FixedSamples,
        trial: Trial,
    ) -> None:
        self.network, self.recordable = network, recordable
        self._reference, self.fixed, self._trial = reference, fixed, trial
        self._tangent = Tangent(network, fixed, reference)
        self._pairs: dict[str, Pair] = {pair.name: pair for pair in recordable.pairs}
        moved = [probe for probe in probes if probe.what not in KINDS and find(probe.what).of == "change"]
        names = {name for probe in moved for name in recordable.targets([probe])}
        self.start = {name: network.weights[name].detach().clone() for name in sorted(names)}

    def asked(self, probes: Mapping[str, list[Probe]], *sources: str) -> Asked:
        """Which statistics of these sources are asked for, by target in the circuit's order."""
        found: dict[str, dict[str, Statistic]] = {}
        order: dict[str, None] = {}
        for what, some in probes.items():
            if (what in KINDS and what not in ALWAYS) or not some or find(what).of not in sources:
                continue
            order |= dict.fromkeys(self.recordable.known(what))
            for target in self.recordable.targets(some):
                names = ALWAYS if what in ALWAYS else (what,)
                found.setdefault(target, {}).update({name: find(name) for name in names})
        return {target: list(found[target].values()) for target in order if target in found}

    def values(self, asked: Asked, moment: Moment, samples: Mapping[str, int | None]) -> Values:
        """Each statistic [replica, target]; NaN where it was not asked for."""
        found: dict[str, Tensor] = {}
        for place, (target, entries) in enumerate(asked.items()):
            for name, value in self.of(target, entries, moment, samples.get(target)).items():
                if name not in found:
                    found[name] = value.new_full((self.network.replicas, len(asked)), torch.nan)
                found[name][:, place] = value
        return {name: host(value) for name, value in found.items()}

    def of(
        self, target: str, entries: Iterable[Statistic], moment: Moment, samples: int | None = None
    ) -> dict[str, Tensor]:
        """Statistics of one target, [replica, *per]."""
        sources: dict[str, list[Statistic]] = {}
        for entry in entries:
            sources.setdefault(entry.of, []).append(entry)
        found: dict[str, Tensor] = {}
        for source, some in sources.items():
            arrays = self._arrays(source, target, moment, samples)
            if arrays is None:  # a phase keeps it from changing: there is nothing to compare
                for entry in some:
                    assert not entry.per, entry.name
                    found[entry.name] = torch.full(
                        (self.network.replicas,), torch.nan, dtype=torch.float64, device=self.network.device
                    )
                continue
            measured = measure([entry.name for entry in some], *arrays)
            found |= {name: value.double() for name, value in measured.items()}
        return found

    def pair(self, name: str) -> tuple[Tensor, Tensor]:
        """Effective weights of the forward path and of the feedback, both [R, K, target, source]."""
        return both_ways(self.network, self._pairs[name])

    def dimension(self, entry: Statistic, target: str, loss: str) -> tuple[str, int]:
        """The own dimension of a statistic of a target, and its length."""
        (own,) = entry.per
        if own == "post":
            population = self._pairs[target].target if entry.of == "pair" else None
            population = population or self.network.circuit.projections[target].target
        elif own == "unit":
            population = target
        else:
            first = self.of(target, [entry], Moment(self.network, loss, None, None))[entry.name]
            return own, int(first.shape[-1])
        return schema.units_dimension(population), self.network.circuit.populations[population].units

    def _arrays(self, source: str, target: str, moment: Moment, samples: int | None) -> tuple[Tensor, ...] | None:
        match source:
            case "pair":
                return self.pair(target)
            case "weight":
                return (self.network.weights[target],)
            case "change":
                return self.network.weights[target], self.start[target]
            case "update":
                weight = self.network.weights[target]
                change = moment.updates.get(target)
                return torch.zeros_like(weight) if change is None else change, weight
            case "credit":
                change = moment.updates.get(target)
                return None if change is None else (change, moment.updates_of(self._reference())[target])
            case "activity":
                return (moment.signals[target]["activity"][:, :samples],)
            case "activity_labels":
                activity, labels = moment.signals[target]["activity"], moment.batch[1]
                return activity[:, :samples], labels.expand(activity.shape[:2])[:, :samples]
            case "activities":
                return self.fixed.activities(target, moment, samples)
            case "routes":
                return self.fixed.routes(target, moment)
            case "routes_labels":
                return self.fixed.area(target, moment), self.fixed.labels()
            case "kernels":
                return self._tangent.kernels(target, moment, samples)
            case "kernel_labels":
                return self._tangent.kernel(target, moment, samples), self._tangent.labels(samples)
            case "step":
                return self._trial.of(target, moment)
            case "sample_changes" | "area_changes":
                return self._sample_changes(target, moment)
        return (self.fixed.usage(target, moment),)

    def _sample_changes(self, projection: str, moment: Moment) -> tuple[Tensor, ...] | None:
        edge = self.network.circuit.projections[projection]
        there, activity = moment.signals[edge.target], moment.signals[edge.source]["activity"]
        if "error" not in there:
            return None
        labels = moment.batch[1].expand(activity.shape[:2])
        area = there.get("area")
        return there["error"], activity, labels, torch.zeros_like(labels) if area is None else area


def both_ways(network: Network, pair: Pair) -> tuple[Tensor, Tensor]:
    """Effective weights of the forward path and of the feedback, both [R, K, target, source]."""
    used = {name for route in (*pair.forward, *pair.feedback) for name in route}
    weights = {name: network.weights[name] for name in used}
    there, back = base.both_ways(pair.forward, pair.feedback, weights)
    return there, back
