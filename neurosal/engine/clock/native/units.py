"""Blocks of units whose steps the program makes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurosal.engine.clock.native import layout


@dataclass(frozen=True)
class Varying:
    """What varies from unit to unit, or in time.

    Args:
        values: of each unit, [M]; or, in time, [T] or [T, units of a population]; None for what is said in each step.
        every: for how many steps each row holds; 0 for what does not change.
    """

    values: Tensor | None
    every: int = 0


class Units:
    """The block of one set of equations.

    Args:
        program: that was built with them.
        law: their number in it.
        state: [V, M].
        opens: 1 for units that are not in refractory time and have not just spiked, [M]; equal tensors.
        first, units: of its populations: number of the first unit in the block, and how many a replica has.
        replicas: how many.
        refractory: steps.
        varying: in the order of the equations.

    Attributes:
        structure: all that for the program.
    """

    def __init__(self, program: ctypes.CDLL, law: int, state: Tensor, opens: Sequence[Tensor], first: Sequence[int],
                 units: Sequence[int], replicas: int, refractory: int, varying: Sequence[Varying]) -> None:  # fmt: skip
        self._program, size = program, state.shape[1]
        given = [layout.of_type(entry.values, state.dtype) if entry.values is not None else None for entry in varying]
        self._inputs = layout.array(layout.Input, [
            layout.Input(layout.address(values), len(values) if entry.every and values is not None else 0, entry.every,
                         values.shape[1] if values is not None and values.ndim == 2 else 1)
            for entry, values in zip(varying, given, strict=True)
        ])  # fmt: skip
        group, held = layout.group_of(first, units, replicas)
        gates = layout.addresses(map(layout.address, opens))
        self.structure = layout.Block(
            group, law, len(state), len(varying), len(opens), size, refractory, state.data_ptr(),
            ctypes.addressof(gates), ctypes.addressof(self._inputs),
        )  # fmt: skip
        self._held = (state, opens, given, held, gates)
        self._heard: dict[int, Tensor] = {}
        self._address = ctypes.addressof(self.structure)
        self._found = torch.empty(size, dtype=torch.int64)
        self._found_at = self._found.data_ptr()

    def hear(self, place: int, values: Tensor) -> None:
        """Say what units hear in the step that comes, [M], by the number of the input."""
        self._heard[place] = here = values.contiguous()
        self._inputs[place].values = here.data_ptr()

    def update(self, step: int, over: Tensor | None) -> Tensor:
        """State from the start of a step to its end, and the units that spike then, in order, [L].

        Args:
            over: units whose refractory time ends.
        """
        ended = (None, 0) if over is None else (over.data_ptr(), len(over))
        count = self._program.update_all(self._address, step, *ended, self._found_at)
        return self._found[:count].clone()

    def reset(self, step: int, spikes: Tensor) -> None:
        """State of units that have just spiked."""
        self._program.reset_all(self._address, step, spikes.data_ptr(), len(spikes))
