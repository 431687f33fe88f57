"""What probes may ask of one step: its batch, and what the network makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from neurosal.engine.feeding import Samples
from neurosal.engine.network import Network

T = TypeVar("T")
Values = dict[str, np.ndarray[Any, Any] | Tensor]


class Signals(Mapping[str, dict[str, Tensor]]):
    """Population → {"activity", "error"} [R, N, units] and "area" [R, N]; those with places are laid out in the order
    of channels, rows and columns when they are asked for: few are, and each is a copy.

    Args:
        signals: of `Network.signals`, [R, N, *extent].
    """

    def __init__(self, signals: Mapping[str, dict[str, Tensor]]) -> None:
        self._signals = signals

    def __getitem__(self, population: str) -> dict[str, Tensor]:
        own = self._signals[population]
        return {kind: tensor.flatten(2) if tensor.dim() > 3 else tensor for kind, tensor in own.items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._signals)

    def __len__(self) -> int:
        return len(self._signals)


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
        self._known: dict[Any, Any] = {}

    def once(self, key: Any, function: Callable[[], T]) -> T:
        """What `function` gives, the same for all that ask for `key`."""
        if key not in self._known:
            self._known[key] = function()
        found: T = self._known[key]
        return found

    @cached_property
    def batch(self) -> tuple[Samples, Tensor]:
        """The step's batch, or the one in its place."""
        if self._x is not None and self._y is not None:
            return self._x, self._y
        assert self._fallback is not None
        return self._fallback()

    def at(self, network: Network) -> Moment:
        """The same batch, for another network."""
        return Moment(network, self._loss, *self.batch)

    @cached_property
    def updates(self) -> dict[str, Tensor]:
        """Proposed changes."""
        return self.updates_of(self._network) if self._proposed is None else self._proposed()

    @cached_property
    def signals(self) -> Signals:
        """Signals of all populations."""
        return self.signals_of(self._network)

    def signals_of(self, network: Network) -> Signals:
        """Signals of another network on the same batch."""
        x, y = self.batch
        return Signals(network.signals(x, y, loss=self._loss))

    def updates_of(self, network: Network) -> dict[str, Tensor]:
        """Proposed changes of another network on the same batch."""
        x, y = self.batch
        return self.once(("updates", id(network)), lambda: network.updates(x, y, loss=self._loss))


def host(tensor: Tensor) -> np.ndarray[Any, Any]:
    """As an array of the same type."""
    array: np.ndarray[Any, Any] = tensor.detach().cpu().numpy()
    return array
