"""The state of a network by name, everything that a step reads, and replicas whose part of it is held still.

Letters: R replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from neurosal.engine.learning import Learner
from neurosal.engine.parameters import Parameters
from neurosal.engine.reading import put
from neurosal.engine.routing import RouterState
from neurosal.engine.sweep import no_grad
from neurosal.errors import CircuitError, Problem


class NetworkState:
    """Live tensors of weights, biases, routers, optimiser and plasticity."""

    def __init__(self, parameters: Parameters, routers: dict[str, RouterState], learner: Learner) -> None:
        self._parameters, self._routers, self._learner = parameters, routers, learner
        self.frozen: dict[int, dict[str, Tensor]] = {}  # replica → its part of the state, held from then on

    def first(self) -> dict[str, Tensor]:
        """What a network has before its first step."""
        return {
            **{f"weights/{name}": tensor for name, tensor in self._parameters.full.items()},
            **{f"magnitudes/{name}": tensor for name, tensor in self._parameters.signs.state.items()},
            **{f"biases/{name}": tensor for name, tensor in self._parameters.biases.items()},
            **{f"statistics/{name}": tensor for name, tensor in self._parameters.statistics.items()},
            **{f"routers/{name}/{key}": value for name, s in self._routers.items() for key, value in s.tensors.items()},
        }

    def tensors(self) -> dict[str, Tensor]:
        """All of it, live."""
        found = self.first() | self._parameters.lesions.tensors()
        learner = self._learner
        for part, states in (("optimizer", learner.states), ("plasticity", learner.plasticity_states)):
            found |= {f"{part}/{name}/{key}": value for name, state in states.items() for key, value in state.items()}
        return found

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take over values. Nothing is taken over when names or shapes differ."""
        mine = self.first()
        problems = [
            Problem(
                place=name,
                expected=f"a tensor {list(tensor.shape)}",
                found=str(list(tensors[name].shape)) if name in tensors else "none",
            )
            for name, tensor in mine.items()
            if name not in tensors or tensors[name].shape != tensor.shape
        ]
        if problems:
            raise CircuitError(problems)
        with torch.no_grad():
            for name, tensor in mine.items():
                put(tensors, name, tensor)
        self.restart()
        self._parameters.lesions.load(tensors, self._parameters.any)
        self._learner.plasticity_states.clear()
        for name in tensors:
            part, _, rest = name.partition("/")
            if part in ("optimizer", "plasticity"):
                owner, _, key = rest.rpartition("/")
                states = self._learner.states if part == "optimizer" else self._learner.plasticity_states
                entry = torch.empty_like(tensors[name], device=self._parameters.device)
                put(tensors, name, entry)
                states.setdefault(owner, {})[key] = entry

    def restart(self) -> None:
        """Forget what the optimiser knows and which replicas are frozen."""
        self._learner.states.clear()
        self.frozen.clear()

    # Replicas held still ---------------------------------------------------------------------------------------------

    def freeze(self, replicas: Iterable[int], state: Mapping[str, Tensor] | None) -> None:
        """Hold these replicas as they are, or put them back to an earlier state and hold them there. Where none is left
        that learns, a step changes nothing, and nothing has to be kept beside the network."""
        with no_grad():
            mine, replicas = self._by_replica(), list(replicas)
            if state is not None:
                for name, tensor in mine.items():
                    for replica in replicas:
                        self._put_back(tensor, name, replica, state)
            if len({*self.frozen, *replicas}) == self._parameters.replicas:
                self.frozen.update({replica: {} for replica in range(self._parameters.replicas)})
                return
            for replica in replicas:
                self.frozen[replica] = {name: tensor[replica].clone() for name, tensor in mine.items()}

    @staticmethod
    def _put_back(tensor: Tensor, name: str, replica: int, state: Mapping[str, Tensor]) -> None:
        if name not in state:
            tensor[replica] = 0.0
        elif len(tensor) == 1:
            put(state, name, tensor)
        else:
            tensor[replica] = state[name][replica]

    @property
    def all_frozen(self) -> bool:
        """Whether no replica learns any more."""
        return len(self.frozen) == self._parameters.replicas

    def hold(self) -> None:
        """Put frozen replicas back after a step. They take it with the others, so that the numbers of the others do not
        depend on whether one is frozen. What did not exist when they froze starts at zero."""
        if self.all_frozen:
            return
        for name, tensor in self._by_replica().items():
            for replica, held in self.frozen.items():
                tensor[replica] = held.get(name, 0.0)

    def _by_replica(self) -> dict[str, Tensor]:
        """What each replica has for itself."""
        count = self._parameters.replicas
        own = ("masks/", "silenced/")  # what is absent is not learned, so there is nothing to hold
        return {
            name: tensor
            for name, tensor in self.tensors().items()
            if tensor.dim() and len(tensor) == count and not name.startswith(own)
        }
