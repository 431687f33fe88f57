"""Wiring of real nervous systems: worm and fly, as matrices of sizes of connections."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.places import EMBEDDED, FOLDER_VARIABLE, cache_folder
from neurosal.errors import DataError, Problem, near

WORM, FLY = "celegans_connectomes", "fly_medulla_fib25"
SHIPPED = (WORM,)  # in the package
WORMS = {
    "white1986": "worm, White 1986",
    "varshney2011": "worm, Varshney 2011",
    "cook2019_herm": "worm, Cook 2019",
    "cook2019_male": "male worm, Cook 2019",
    **{f"witvliet2020_{number}": f"worm, Witvliet 2020 no. {number}" for number in range(1, 9)},
}
FLY_NAME, FLY_TITLE = "fly_medulla", "fly, medulla cell types"
SOURCES = {
    WORM: "worm: White et al. 1986, doi 10.1098/rstb.1986.0056; Varshney et al. 2011, arXiv 0907.2373; Cook et al. "
    "2019, doi 10.1038/s41586-019-1352-7; Witvliet et al. 2021, doi 10.1038/s41586-021-03778-8 (from cect, MIT)",
    FLY: "fly medulla, cell types: Takemura et al. 2015, doi 10.1073/pnas.1509820112; Lappalainen et al. 2024, "
    "doi 10.1038/s41586-024-07939-3 (from flyvis, MIT)",
}
NAMES = (*WORMS, FLY_NAME)
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Connectome:
    """One nervous system, or a part of one.

    Args:
        name: of `NAMES`.
        title: for figures and tables.
        neurons: their names; for the fly those of cell types, of which each is one.
        chemical: sizes of chemical synapses, [post, pre]: how many were counted (of cell types, on average per neuron);
            with the sign of the transmitter where it is known.
        gap: sizes of gap junctions, [post, pre], as symmetric as they were published; None where there are none.
        signed: whether signs are known.
        source: what to cite.
    """

    name: str
    title: str
    neurons: tuple[str, ...]
    chemical: Array
    gap: Array | None
    signed: bool
    source: str


def connectome_file(file: str, folder: str | Path | None = None, *, shipped: bool = True) -> Path | None:
    """Where the wiring of that file lies: in `folder`, else in NEUROSAL_DATA, the cache, or the package."""
    places = [folder] if folder is not None else [os.environ.get(FOLDER_VARIABLE), cache_folder()]
    if shipped and folder is None and file in SHIPPED:
        places.append(EMBEDDED)
    return next((path for place in places if place and (path := Path(place) / f"{file}.npz").is_file()), None)


def load_connectome(name: str = "cook2019_herm", *, folder: str | Path | None = None) -> Connectome:
    """The wiring of a worm, which ships with the package, or of the fly's medulla, which does not.

    Args:
        name: ``cook2019_herm``, ``cook2019_male``, ``white1986``, ``varshney2011``, ``witvliet2020_1`` to ``_8`` (from
            birth to adulthood), or ``fly_medulla``.
        folder: with ``celegans_connectomes.npz`` or ``fly_medulla_fib25.npz``; None looks in NEUROSAL_DATA, in the
            cache and in the package.

    Raises:
        DataError: for an unknown name, a file that is not there, and one that holds no wiring.

    Example:
        >>> worm = load_connectome("cook2019_herm")
        >>> len(worm.neurons), int((worm.chemical > 0).sum())
        (473, 4879)
    """
    if name not in NAMES:
        raise DataError(
            Problem(place="connectome", expected=f"one of {', '.join(NAMES)}", found=repr(name),
                    remedy=near(name, NAMES))
        )  # fmt: skip
    file = FLY if name == FLY_NAME else WORM
    path = connectome_file(file, folder)
    if path is None:
        raise DataError(
            Problem(
                place=f"connectome {name}",
                expected=f"{file}.npz in {folder or FOLDER_VARIABLE}",
                found="no such file",
                remedy=f"Set {FOLDER_VARIABLE} to a folder that has it. Source, {SOURCES[file]}.",
            )
        )
    try:
        with np.load(path, allow_pickle=False) as content:
            # The files have [pre, post].
            if name == FLY_NAME:
                chemical, gap = (content["weights"] * content["sign"]).T, None
                neurons, title = content["names"], FLY_TITLE
            else:
                chemical, gap = content[f"{name}_chem"].T, content[f"{name}_gap"].T
                neurons, title = content[f"{name}_names"], WORMS[name]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as wrong:
        raise DataError(
            Problem(place=str(path), expected="a file of wiring", found=f"{type(wrong).__name__}: {wrong}")
        ) from wrong
    return Connectome(
        name=name, title=title, neurons=tuple(str(neuron) for neuron in neurons), chemical=chemical.astype(float),
        gap=None if gap is None else gap.astype(float), signed=name == FLY_NAME, source=SOURCES[file],
    )  # fmt: skip
