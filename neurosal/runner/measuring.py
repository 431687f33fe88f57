"""Statistics of the registry as probes: what each is computed from, from live tensors, in full precision.

The functions are those that analyses call with recorded arrays; here they get the tensors of the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from neurosal.engine.dimensions import weight_sizes
from neurosal.engine.network import Network
from neurosal.lower.paths import Pair, hop_of, hops_of, way_of
from neurosal.record import schema
from neurosal.runner.fixed import FixedSamples
from neurosal.runner.moment import Moment, Values, host
from neurosal.runner.recordable import Recordable
from neurosal.runner.responses import responses
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
        """Effective weights of the forward path and of the feedback, as `both_ways` gives them."""
        return both_ways(self.network, self._pairs[name])

    def dimension(self, entry: Statistic, target: str, loss: str) -> tuple[str, int]:
        """The own dimension of a statistic of a target, and its length; of a target with places channels."""
        (own,) = entry.per
        circuit = self.network.circuit
        if own == "post" and entry.of == "pair":
            population = self._pairs[target].target
            extent = circuit.populations[population].extent
            if len(extent) > 1:
                return schema.channels_dimension(population), extent[0]
        elif own == "post":
            population = circuit.projections[target].target
            if hop_of(circuit.projections[target].wiring) is not None:
                return schema.channels_dimension(population), circuit.populations[population].extent[0]
            own, length = next(iter(weight_sizes(circuit, target).items()))
            return own, length
        elif own == "unit":
            population = target
        else:
            first = self.of(target, [entry], Moment(self.network, loss, None, None))[entry.name]
            return own, int(first.shape[-1])
        return schema.units_dimension(population), circuit.populations[population].units

    def _arrays(self, source: str, target: str, moment: Moment, samples: int | None) -> tuple[Tensor, ...] | None:
        match source:
            case "pair":
                return self.pair(target)
            case "weight" | "change" | "update" | "credit" | "step":
                found = self._weights(source, target, moment)
                return None if found is None else self._matrices(target, found)
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
            case "sample_changes" | "area_changes":
                return self._sample_changes(target, moment)
        return (self.fixed.usage(target, moment),)

    def _weights(self, source: str, target: str, moment: Moment) -> tuple[Tensor, ...] | None:
        weight, change = self.network.weights[target], None
        if source in ("update", "credit"):
            change = moment.updates.get(target)
        match source:
            case "change":
                return weight, self.start[target]
            case "update":
                return torch.zeros_like(weight) if change is None else change, weight
            case "credit":
                return None if change is None else (change, moment.updates_of(self._reference())[target])
            case "step":
                return self._trial.of(target, moment)
        return (weight,)

    def _matrices(self, target: str, arrays: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Kernels [R, K, ...] as [R, K, post channel, pre channel · taps]; others as they are."""
        hop = hop_of(self.network.circuit.projections[target].wiring)
        if hop is None:
            return arrays
        return tuple(array if array.dim() < 3 else base.kernel_rows(array, hop) for array in arrays)

    def _sample_changes(self, projection: str, moment: Moment) -> tuple[Tensor, ...] | None:
        edge = self.network.circuit.projections[projection]
        there, activity = moment.signals[edge.target], moment.signals[edge.source]["activity"]
        if "error" not in there:
            return None
        labels = moment.batch[1].expand(activity.shape[:2])
        area = there.get("area")
        return there["error"], activity, labels, torch.zeros_like(labels) if area is None else area


def both_ways(network: Network, pair: Pair) -> tuple[Tensor, Tensor]:
    """Effective weights of the forward path and of the feedback, both [R, K, target, source]; of convolutions
    [R, K, channel of the target, channel of the source · taps], and of a target with places whose path is no kernel
    [R, 1, channel of the target, place · source]."""
    way = way_of(network.circuit, pair)
    if way == "responses":
        return responses(network, pair)
    used = {name for route in (*pair.forward, *pair.feedback) for name in route}
    weights = {name: network.weights[name] for name in used}
    hops = hops_of(network.circuit, pair) if way == "kernels" else None
    there, back = base.both_ways(pair.forward, pair.feedback, weights, hops)
    return there, back
