"""Runs whose areas lie at several processes: what they refuse, what is gathered for the record, and what is read back.

Letters: R replica, K area.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from neurosal.engine.network import Network
from neurosal.engine.reading import Stored
from neurosal.errors import ExperimentError, Problem
from neurosal.graph import Circuit, SignOf
from neurosal.lower.connectivity import leaves_out
from neurosal.lower.plan import plan
from neurosal.processes import Ranks
from neurosal.runner.course import Program

META = torch.device("meta")
PLACE = "--parallel areas"


def refuse_undivided(ranks: Ranks | None, arms: Mapping[str, tuple[Circuit, int, Program]]) -> None:
    """Refuse arms whose areas cannot lie at several processes.

    Args:
        arms: name → circuit, number of replicas, and what is done with it.

    Raises:
        ExperimentError: naming each, and what to do instead.
    """
    if ranks is None or ranks.parallel != "areas":
        return
    problems = [
        Problem(place=f"{PLACE}, arm {name!r}", expected=expected, found=found, remedy=remedy)
        for name, arm in arms.items()
        for expected, found, remedy in _wrong(ranks.count, *arm)
    ]
    if problems:
        raise ExperimentError(problems)


def _wrong(processes: int, circuit: Circuit, replicas: int, program: Program) -> Iterator[tuple[str, str, str]]:
    other = "Share out data or replicas instead: --parallel data."
    made = plan(circuit)
    routers = set(made.routes.values())
    if not routers:
        yield "populations with areas", "none", other
        return
    sources = {circuit.projections[name].source for name in routers}
    if len(routers) > 1 or not sources <= set(circuit.inputs):
        found = f"{len(routers)}, read from {', '.join(sorted(sources))}"
        remedy = "Take rules.sal(..., route='shared'), or --parallel data: other routes would send rows between layers."
        yield "one route for all populations, read from an input", found, remedy
    areas = min(circuit.populations[name].areas for name in made.routes)
    if areas < processes:
        yield f"at least as many areas as processes ({processes})", str(areas), "Start fewer processes."
    if replicas > 1:
        remedy = "Run one seed at a time, or share replicas out: --parallel replicas."
        yield "one replica", f"{replicas} (seeds times varied settings)", remedy
    for name, owner in made.owners.items():
        edge = circuit.projections[name]
        if circuit.areas_of(owner) > 1 and (leaves_out(edge) or isinstance(edge.weights, SignOf)):
            yield "dense weights of their own", f"projection {name!r}", other
    if program.phases or program.tasks:
        yield "plain training", "phases or tasks", other


class Divided:
    """A network that holds some of the areas, with what is known of all of them."""

    def __init__(self, ranks: Ranks, network: Network) -> None:
        self.ranks, self.network = ranks, network
        self._whole: Network | None = None

    def areas(self, name: str) -> int:
        """Areas of an entry of the state that are divided over processes; 1 where every process has all of it."""
        part, _, rest = name.partition("/")
        owner = rest.partition("/")[0]
        if part not in ("weights", "biases", "optimizer", "plasticity"):
            return 1
        if owner in self.network.biases:
            return self.network.circuit.populations[owner.partition(".")[0]].areas
        return self.network._parameters.areas[owner]

    def count(self, pathway: str) -> int:
        """Number of parameters of a pathway, at all processes."""
        total = 0
        for name, tensor in self.network.parameters(pathway).items():
            kind = "routers" if name in self.network.routers else "biases" if name in self.network.biases else "weights"
            areas = self.areas(f"{kind}/{name}")
            total += tensor[0].numel() * areas // tensor.shape[1] if areas > 1 else tensor[0].numel()
        return total

    # Records ---------------------------------------------------------------------------------------------------------

    def pieces(self, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
        """The state of all processes, of which what lies elsewhere comes when it is written, one area after the other;
        at the other processes nothing of use, once they have sent theirs."""
        names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))  # as a checkpoint writes them
        found: dict[str, Any] = {}
        waiting, tag = [], 1
        for name in names:
            tensor, areas = tensors[name], self.areas(name)
            if areas == 1:
                found[name] = tensor
                continue
            found[name] = Spread(self.ranks, tensor, areas, tag)
            if not self.ranks.leads:
                start, end = self.ranks.share(areas)
                waiting += [
                    self.ranks.send(tensor[replica, area - start], tag=tag + replica * areas + area)
                    for replica, area in itertools.product(range(tensor.shape[0]), range(start, end))
                ]
            tag += tensor.shape[0] * areas
        for sent in waiting:
            sent.wait()
        return found

    def own(self, stored: Stored) -> Stored:
        """Of the tensors of a checkpoint what is held here."""
        turns = {name: self._cut(areas) for name in stored.names if (areas := self.areas(name)) > 1}
        return Stored(stored.file, stored.names, turns, stored.more)

    def _cut(self, areas: int) -> Any:
        start, end = self.ranks.share(areas)
        return lambda tensor: tensor[:, start:end]

    # Probes ----------------------------------------------------------------------------------------------------------

    @property
    def whole(self) -> Network:
        """A network for all areas, for what looks at more than those that are held here. Only the process that leads
        makes one, and only where there are probes."""
        if self._whole is None:
            local = self.network
            assert self.ranks.leads
            self._whole = Network(local.circuit, local.seeds, local.device, local.dtype, compute=local._compute)
        return self._whole

    def assemble(self) -> None:
        """Bring the weights of all processes to the one that leads."""
        local = self.network
        pieces = self.pieces({name: t for name, t in local.state_dict().items() if not name.startswith("optimizer/")})
        if not self.ranks.leads:
            return
        whole = self.whole
        state = whole.state_dict()
        for name, piece in pieces.items():
            value = piece.detach() if isinstance(piece, Spread) else piece
            if name in state and name != "steps":
                state[name].copy_(value)
            elif name.startswith("plasticity/"):
                owner, _, key = name.removeprefix("plasticity/").rpartition("/")
                whole._learner.plasticity_states.setdefault(owner, {})[key] = value.clone()
        whole.steps = local.steps


class Spread:
    """A tensor [R, K, ...] whose areas lie at several processes, for what writes tensors piece by piece: iterating
    gives its replicas, iterating these the areas, each brought here when it is asked for."""

    device = META

    def __init__(self, ranks: Ranks, held: Tensor, areas: int, tag: int, replica: int | None = None) -> None:
        self._ranks, self._held, self._areas, self._tag, self._replica = ranks, held, areas, tag, replica
        lead = (held.shape[0], areas) if replica is None else (areas,)
        self.shape, self.dtype = (*lead, *held.shape[2:]), held.dtype

    def dim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def detach(self) -> Tensor:
        """All of it."""
        return torch.stack([part.detach() if isinstance(part, Spread) else part for part in self])

    def __iter__(self) -> Iterator[Any]:
        if self._replica is None:
            for replica in range(self.shape[0]):
                yield Spread(self._ranks, self._held, self._areas, self._tag, replica)
            return
        for rank in range(self._ranks.count):
            start, end = self._ranks.share(self._areas, rank)
            for area in range(start, end):
                if rank == self._ranks.rank:
                    yield self._held[self._replica, area - start].detach().cpu()
                else:
                    tag = self._tag + self._replica * self._areas + area
                    yield self._ranks.receive(self._held[self._replica, 0], rank, tag).cpu()
