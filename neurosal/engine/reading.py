"""Tensors that lie in a file, put into storage that is there without a second copy of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor

from neurosal.record.tensors import TensorFile


class Stored(Mapping[str, Tensor]):
    """Tensors of a file by name: memory-mapped where one is asked for, straight into storage with `into`.

    Args:
        file: where they lie.
        names: name here → name there; None takes all as they are called.
        turns: name here → how the tensor of the file is brought into the layout of the storage, as a view.
        more: tensors beside those of the file.
    """

    def __init__(
        self,
        file: TensorFile,
        names: Mapping[str, str] | None = None,
        turns: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
        more: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.file, self.turns, self.more = file, turns or {}, more or {}
        self.names = {name: name for name in file} if names is None else names

    @classmethod
    def of(cls, tensors: Mapping[str, Any]) -> Stored:
        """Those of a checkpoint that was read."""
        assert isinstance(tensors, TensorFile)
        return cls(tensors)

    def __getitem__(self, name: str) -> Tensor:
        if name in self.more:
            return self.more[name]
        tensor = torch.from_numpy(self.file[self.names[name]])
        return self.turns[name](tensor) if name in self.turns else tensor

    def __iter__(self) -> Iterator[str]:
        yield from self.names
        yield from self.more

    def __len__(self) -> int:
        return len(self.names) + len(self.more)

    def without(self, prefix: str) -> Stored:
        """All but those whose name begins so."""
        kept = {name: own for name, own in self.names.items() if not name.startswith(prefix)}
        return Stored(self.file, kept, self.turns, self.more)

    def into(self, name: str, storage: Tensor) -> None:
        """Put a tensor into storage of its shape."""
        plain = name in self.names and name not in self.turns and storage.device.type == "cpu"
        if plain and storage.is_contiguous() and f"torch.{self.file.type(self.names[name])}" == str(storage.dtype):
            self.file.read_into(self.names[name], storage.detach().numpy())
            return
        found = self[name]
        if storage.dim() < 3:
            storage.copy_(found)
            return
        for replica, area in product(range(storage.shape[0]), range(storage.shape[1])):
            storage[replica, area].copy_(found[replica, area])


def put(tensors: Mapping[str, Tensor], name: str, storage: Tensor) -> None:
    """Put a tensor of a mapping into storage of its shape."""
    if isinstance(tensors, Stored):
        tensors.into(name, storage)
    else:
        storage.copy_(tensors[name])
