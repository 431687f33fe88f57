"""Makes the embedded subset of Fashion-MNIST out of the full set: ``python -m neurosal.data.embedding``.

The 5000 training and 1000 test images are those of ``fashion_mnist`` with the subset ``{"train": 5000, "test": 1000}``:
drawn by seed 0, each class in its proportion, in the order of the full set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.loading import load
from neurosal.data.places import EMBEDDED
from neurosal.data.spec import Subset

SUBSET = Subset(train=5000, test=1000)


def write_fashion_5k(path: Path = EMBEDDED / "fashion_5k.npz", *, folder: str | Path | None = None) -> None:
    """Write the subset; the full set is looked for like every data set.

    Raises:
        DataError: the full set is not on this machine.
    """
    full = load("fashion_mnist", folder=folder, scaling="none", shape="natural", subset=SUBSET)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, part in (("train", full.train), ("test", full.test)):
        arrays |= {f"x_{name}": part.x.astype(np.uint8), f"y_{name}": part.y.astype(np.uint8)}
    np.savez_compressed(path, allow_pickle=False, **arrays)


if __name__ == "__main__":
    write_fashion_5k()
