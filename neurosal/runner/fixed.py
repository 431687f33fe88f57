"""The same samples at every time: which areas they take, and what populations do on them, now and at the start."""

from __future__ import annotations

from torch import Tensor

from neurosal.engine.feeding import Part
from neurosal.engine.network import Network
from neurosal.runner.moment import Moment, Signals

ROUTED = 2048  # training samples by which routes are judged
ACTIVE = 256  # training samples on which activity is compared with that of the start, where a probe does not say
MOST_ROWS = 1 << 15


class FixedSamples:
    """The first samples of the training part.

    What they did at the start is kept when it is first asked for, which is before the first step: a probe records then,
    with routers fitted. A resumed run takes it over from its checkpoint.
    """

    def __init__(self, network: Network, part: Part) -> None:
        self.network, self.part = network, part
        self.start: dict[str, Tensor] = {}

    def usage(self, population: str, moment: Moment) -> Tensor:
        """Share of the samples that each area of a population takes, [R, K]."""
        batch = moment.once("usage", lambda: self.network.forward(self.part.first(self._routed)))
        groups = batch.groups[self.network.plan.routes[population]]
        return (groups.counts_RK.double() / groups.samples).cpu()

    def area(self, population: str, moment: Moment) -> Tensor:
        """Area of a population that each sample takes, [R, N]."""
        batch = moment.once("usage", lambda: self.network.forward(self.part.first(self._routed)))
        found: Tensor = batch.groups[self.network.plan.routes[population]].area_RN
        return found

    def labels(self) -> Tensor:
        """Their classes, [R, N]."""
        assert self.part.labels is not None
        labels = self.part.labels[: self._routed].to(self.network.device)
        return labels.expand(self.network.replicas, -1)

    def routes(self, population: str, moment: Moment) -> tuple[Tensor, Tensor]:
        """Area of a population that each sample took at the start and takes now, each [R, N]."""
        now = self.area(population, moment)
        return self.at_start(f"area/{population}", now), now

    def activities(self, population: str, moment: Moment, samples: int | None) -> tuple[Tensor, Tensor]:
        """Activity of a population now and at the start, each [R, N, units]."""
        count = samples or ACTIVE
        signals = moment.once(("activity", count), lambda: Signals(self.network.signals(self.part.first(count))))
        now: Tensor = signals[population]["activity"]
        return now, self.at_start(f"activity/{count}/{population}", now)

    def at_start(self, key: str, now: Tensor) -> Tensor:
        """What a signal was when this was first asked for."""
        if key not in self.start:
            self.start[key] = now.detach().clone()
        return self.start[key]

    @property
    def _routed(self) -> int:
        return max(1, min(ROUTED, MOST_ROWS // len(self.network.seeds_in_run)))
