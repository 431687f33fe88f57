"""What is missing from a network: synapses that are masked, and units that are silenced.

A mask has the storage of the weights that it belongs to, 1 where a synapse is and 0 where none is. Weights are zeroed
once, and then every proposed change is masked: an absent synapse stays exactly 0 under any optimiser, its momentum too.
A silenced unit carries no activity and no error, and its synapses and bias are put back after each change, since decay
and momentum would move them without either. Letters: R replica, K area, O post, I pre.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neurosal.errors import CircuitError, Problem, near

if TYPE_CHECKING:
    from neurosal.engine.learning import Learner
    from neurosal.engine.parameters import Parameters
    from neurosal.engine.sweep import Sweep


class Lesions:
    """Masks and silenced units that were asked for after compiling; networks that share storage share them."""

    def __init__(self) -> None:
        self.masks: dict[str, Tensor] = {}  # key of the storage → [R, K, O, I], stored orientation
        self.silenced: dict[str, Tensor] = {}  # population → [R, units], 0 where silenced
        self.networks: weakref.WeakSet[Lesioned] = weakref.WeakSet()

    def changed(self) -> None:
        """All networks that share these lesions are bound to storage anew."""
        for network in list(self.networks):
            network.rebind()

    def tensors(self) -> dict[str, Tensor]:
        """State by name; empty where nothing is missing."""
        masks = {f"masks/{name}": mask for name, mask in self.masks.items()}
        return masks | {f"silenced/{name}": keep for name, keep in self.silenced.items()}

    def load(self, tensors: Mapping[str, Tensor], like: Tensor) -> None:
        """Take over what `tensors` of a network of the same circuit gave."""
        had = bool(self.masks or self.silenced)
        for part, mine in (("masks/", self.masks), ("silenced/", self.silenced)):
            mine.clear()
            mine |= {
                name.removeprefix(part): t.to(like).clone() for name, t in tensors.items() if name.startswith(part)
            }
        if had or self.masks or self.silenced:
            self.changed()


class Lesioned:
    """What a network offers for lesions; `Network` is one."""

    _parameters: Parameters
    _sweep: Sweep
    _learner: Learner

    @property
    def masks(self) -> dict[str, Tensor]:
        """Projection → where it has synapses, bool [R, K, post, pre], for those of which some are absent; a copy."""
        found = {name: self._parameters.mask_of(name) for name in self._parameters}
        return {name: mask != 0 for name, mask in found.items() if mask is not None}

    @property
    def silenced(self) -> dict[str, Tensor]:
        """Population → which units are silenced, bool [R, units], for those in which some are; a copy."""
        return {name: keep == 0 for name, keep in self._parameters.lesions.silenced.items()}

    def mask(self, projection: str, keep: Any) -> None:
        """Take synapses out, now and for good: they are 0 whatever the rule and the optimiser.

        Further masks multiply. Tied projections (`Transpose`) are the very synapses of their owner, and both lose them;
        sign-symmetric feedback has synapses of its own, and loses alone what is taken from it.

        Args:
            projection: any with weights.
            keep: true (1) where a synapse stays, false (0) where it goes; broadcasts to the projection's own [R, K,
                post, pre] ([R, K, unit] for one-to-one wiring).

        Raises:
            CircuitError: for an unknown projection, other values, and a shape that does not fit.

        Example:
            >>> import torch, neurosal as ns
            >>> network = ns.compile(ns.rules.fa(ns.circuits.mlp(3, 4, 2)), device="cpu")
            >>> network.mask("hidden1_to_output", torch.tensor([True, False, True, True]))
            >>> bool((network.weights["hidden1_to_output"][..., 1] == 0).all())
            True
        """
        parameters, lesions = self._parameters, self._parameters.lesions
        if projection not in parameters:
            remedy = near(projection, parameters)
            raise CircuitError(
                Problem(place="mask", expected="a projection with weights", found=repr(projection), remedy=remedy)
            )
        full = parameters.full[parameters.plan.owners[projection]]
        shape = tuple(parameters.oriented(projection, full).shape)
        axes = "[R, K, post, pre]" if len(shape) == 4 else "[R, K, unit]"
        asked = zeros_and_ones(f"mask of {projection!r}", keep, shape, axes, full)
        stored, key = parameters.oriented(projection, asked), parameters.mask_key(projection)
        lesions.masks[key] = (lesions.masks[key] * stored) if key in lesions.masks else stored.contiguous().clone()
        lesions.changed()

    def silence(self, population: str, keep: Any) -> None:
        """Silence units until `restore`: no activity, no error, and their synapses and biases stay as they are.

        Args:
            population: any; silenced units of an input hear nothing of the data.
            keep: true (1) for units that go on, false (0) for those that are silenced; broadcasts to [R, units].
                Further calls multiply.

        Raises:
            CircuitError: for an unknown population, other values, and a shape that does not fit.
        """
        parameters, lesions, populations = (
            self._parameters,
            self._parameters.lesions,
            self._parameters.circuit.populations,
        )
        if population not in populations:
            remedy = near(population, populations)
            raise CircuitError(Problem(place="silence", expected="a population", found=repr(population), remedy=remedy))
        shape = (parameters.replicas, populations[population].units)
        asked = zeros_and_ones(f"silence of {population!r}", keep, shape, "[R, units]", parameters.any)
        present = lesions.silenced.get(population)
        lesions.silenced[population] = asked.clone() if present is None else present * asked
        lesions.changed()

    def restore(self, name: str) -> None:
        """Lift all that `mask` did to a projection, or `silence` to a population.

        Masked synapses may grow again from 0; silenced units come back with the synapses that they had. What the
        wiring itself leaves out stays out.

        Raises:
            CircuitError: for an unknown name.
        """
        parameters, lesions = self._parameters, self._parameters.lesions
        if name not in (known := [*parameters, *parameters.circuit.populations]):
            expected, remedy = "a projection with weights or a population", near(name, known)
            raise CircuitError(Problem(place="restore", expected=expected, found=repr(name), remedy=remedy))
        if name in parameters:
            lesions.masks.pop(parameters.mask_key(name), None)
        lesions.silenced.pop(name, None)
        lesions.changed()

    def rebind(self) -> None:
        """Take over what has changed of the lesions."""
        self._parameters.refresh()
        self._sweep.bind()
        self._learner.bind()


def zeros_and_ones(place: str, keep: Any, shape: tuple[int, ...], axes: str, like: Tensor) -> Tensor:
    """`keep` as a tensor of that shape, 1 where something stays and 0 where it goes.

    Raises:
        CircuitError: for other values, and for what does not broadcast to the shape.
    """
    try:
        tensor = torch.as_tensor(keep).to(like)
    except (TypeError, ValueError, RuntimeError):
        found = type(keep).__name__
        raise CircuitError(Problem(place=place, expected="true and false, or 1 and 0", found=found)) from None
    if bool(((tensor != 0) & (tensor != 1)).any()):
        found = f"values from {float(tensor.min()):g} to {float(tensor.max()):g}"
        raise CircuitError(Problem(place=place, expected="true and false, or 1 and 0", found=found))
    try:
        return tensor.broadcast_to(shape)
    except RuntimeError:
        expected = f"what broadcasts to {axes} = {list(shape)}"
        raise CircuitError(Problem(place=place, expected=expected, found=str(list(tensor.shape)))) from None


def still_synapses(parameters: Parameters, silenced: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Storage (``{population}.bias`` too) → where it may change, bool: not at synapses of silenced units."""
    found: dict[str, Tensor] = {}
    circuit = parameters.circuit
    for name in silenced:
        for key in circuit.populations[name].parameters:
            if not circuit.populations[name].spatial:
                found[f"{name}.{key}"] = (silenced[name] != 0)[:, None]
    for name, owner in parameters.plan.owners.items():
        edge = circuit.projections[name]
        if edge.wiring.functions not in ("dense", "one_to_one"):
            continue  # synapses that units share go on with those that are left
        post, pre = (silenced.get(end) for end in (edge.target, edge.source))
        if post is None and pre is None:
            continue
        full = parameters.full[owner]
        moves = torch.ones_like(parameters.oriented(name, full), dtype=torch.bool)
        if post is not None:
            moves &= (post != 0)[:, None, :, None] if moves.dim() == 4 else (post != 0)[:, None]
        if pre is not None:
            moves &= (pre != 0)[:, None, None, :] if moves.dim() == 4 else (pre != 0)[:, None]
        stored = parameters.oriented(name, moves)
        found[owner] = found[owner] & stored if owner in found else stored
    return found


@contextmanager
def held(moves: Mapping[str, Tensor], tensors: Mapping[str, list[Tensor]]) -> Iterator[None]:
    """Put back what may not move: of each storage the weight, and what the optimiser keeps for each synapse."""
    before = [(tensor, tensor.clone(), moves[name]) for name, some in tensors.items() for tensor in some]
    yield
    for tensor, old, free in before:
        tensor.copy_(torch.where(free, tensor, old))
