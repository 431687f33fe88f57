"""Replicas whose numbers stop being finite: found, named, put back to their last good state and held there.

A state of up to `KEPT_BYTES` is kept as a copy in memory: at the start, at every evaluation and at every checkpoint. Of
a larger one there is no second copy. What it falls back to is the newest checkpoint of the run on the disk, or the
start where there is none yet: weights are then drawn again from their seeds, in place (the trainer writes a checkpoint
first where they would not tell), and all that is small was kept. So `checkpoint_every_steps` says how much such a run
may lose.

Looks are cheap between those moments: losses, biases (the error of every population ends in one) and, of large
networks, one part of the weights after the other; the whole is looked at before a state is taken for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from neurosal.checks.memory import KEPT_BYTES
from neurosal.engine.areas import TogetherInAreas
from neurosal.engine.feeding import Samples
from neurosal.engine.network import Network
from neurosal.engine.sweep import no_grad
from neurosal.record.tensors import bytes_of

PARTS = 16  # looks until every weight of a large network was seen once
Saved = Callable[[], Mapping[str, Tensor] | None]


class Finite:
    """Looks whether numbers are finite, and keeps what to fall back to.

    Args:
        replicas: what a replica is called by: name of a setting → its value for each.
        first: number in the run of the first of these replicas.

    Attributes:
        failures: replica that stopped → what is said of it.
        saved: gives the newest checkpoint of the run, once all that were asked for are written; None where there is
            none.
        large: whether the state is too large for a second copy.
    """

    def __init__(self, network: Network, replicas: Mapping[str, list[Any]], *, first: int = 0) -> None:
        self.network, self.replicas, self.first = network, replicas, first
        self.good: dict[str, Tensor] | None = None
        self.saved: Saved = lambda: None
        self.failures: dict[int, str] = {}
        here = sum(map(bytes_of, network.state_dict().values()))
        self.large = (
            here * len(network.seeds_in_run) > KEPT_BYTES * network.replicas
        )  # however many processes there are
        self._looks = 0

    def keep(self) -> None:
        """What a replica falls back to from now on: this state. Of a large network, what it starts from."""
        if self.large and self.good is not None:
            return
        state = self.network.state_dict()
        self.good = {name: tensor.clone() for name, tensor in state.items() if not (self.large and _drawn(name))}

    def check(
        self, step: int, loss: Tensor | None, batch: tuple[Samples, Tensor], kind: str, *, whole: bool = False
    ) -> None:
        """Freeze replicas whose numbers are no longer finite, at their last good state.

        Args:
            loss: of the step that was just done, [R]; None where there is none.
            batch, kind: samples and loss by which is found out where it began.
            whole: look at everything, however large.
        """
        weights = self.network.weights.full.values()
        biases = [*self.network.biases.values(), *self.network.statistics.values()]
        with no_grad():
            tensors = [t.flatten(1) for t in weights]
            if self.large and not whole:
                tensors = [self._part(t) for t in tensors]
                self._looks += 1
            finite = torch.isfinite(torch.stack([t.sum(1) for t in (*tensors, *(b.flatten(1) for b in biases))])).all(0)
            if loss is not None:
                finite &= torch.isfinite(loss)
            if isinstance(self.network.together, TogetherInAreas):  # each looks at its own areas
                finite = self.network.together.ranks.sum((~finite).int()) == 0
        if bool(finite.all()):
            return
        for replica in (~finite).nonzero()[:, 0].tolist():
            if replica not in self.failures:
                self._stop(replica, step, batch, kind)

    def _part(self, weights_RW: Tensor) -> Tensor:
        size = -(-weights_RW.shape[1] // PARTS)
        first = size * (self._looks % PARTS)
        return weights_RW[:, first : first + size]

    def _stop(self, replica: int, step: int, batch: tuple[Samples, Tensor], kind: str) -> None:
        varied = ", ".join(f"{name} {values[replica]}" for name, values in self.replicas.items())
        where = self._first_bad(replica, *batch, kind)
        state = self._fall_back([replica])
        self.failures[replica] = (
            f"replica {self.first + replica} ({varied}) stopped being finite by step {step}, first in {where}; "
            f"its last good state{state} was kept and the others went on"
        )

    def _fall_back(self, replicas: list[int]) -> str:
        """Put replicas back; returns which state that is, where it is not the last that was looked at."""
        assert self.good is not None
        if not self.large:
            self.network.freeze_replicas(replicas, self.good)
            return ""
        if (saved := self.saved()) is not None:
            self.network.freeze_replicas(replicas, saved)
            return f", that of the checkpoint at step {int(saved['steps'])},"
        self.network.begin_anew(replicas)
        live = self.network.state_dict()
        first = {name: live[name] for name in live if name.startswith("weights/")}
        self.network.freeze_replicas(replicas, {**first, **self.good})
        return ", that of the start,"

    def _first_bad(self, replica: int, x: Samples, y: Tensor, loss: str) -> str:
        """The projection whose weights, or else the population whose activity, is the first that is not finite."""
        for name in self.network.circuit.layers():
            for projection in self.network.circuit.select(pathway="feedforward", target=name):
                if not _all_finite(self.network.weights[projection][replica]):
                    return f"projection {projection!r}"
        for name, weight in self.network.weights.items():
            if not _all_finite(weight[replica]):
                return f"projection {name!r}"
        if isinstance(self.network.together, TogetherInAreas):
            return "areas of another process, or the loss"
        signals = self.network.signals(x, y, loss)
        for name in self.network.circuit.layers():
            if not bool(torch.isfinite(signals[name]["activity"][replica]).all()):
                incoming = ", ".join(map(repr, self.network.circuit.select(pathway="feedforward", target=name)))
                return f"the activity of {name!r} (projection {incoming})" if incoming else f"the input {name!r}"
        return "the loss"


def _drawn(name: str) -> bool:
    """Whether the start of a part of the state is known without being kept: weights are drawn from seeds, and what
    optimisers and plasticity remember is nothing yet."""
    return name.startswith(("weights/", "optimizer/", "plasticity/"))


def _all_finite(weight_K: Tensor) -> bool:
    """Area by area: the answer for all of them at once takes a tensor of their size."""
    return all(bool(torch.isfinite(area).all()) for area in weight_K)
