"""Find a data set by its name or its path: in a given folder, the package, the system's data folders or the cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from neurosal.data import places
from neurosal.data.catalogue import CATALOGUE, names
from neurosal.data.content import SAFE_NAME, Content
from neurosal.data.dataset import Dataset
from neurosal.data.download import INSTALL, fetch
from neurosal.data.entry import Entry
from neurosal.data.generated import GENERATED
from neurosal.data.places import FOLDER_VARIABLE
from neurosal.data.reading import read
from neurosal.data.spec import DataSpec, MeanAndDeviation, Split, Subset
from neurosal.errors import DataError, Problem, near


def load(
    name: str,
    *,
    folder: str | Path | None = None,
    download: bool = False,
    scaling: str | MeanAndDeviation = "unit",
    shape: str = "flat",
    grey: bool = False,
    split: Split | dict[str, Any] | None = None,
    subset: Subset | dict[str, Any] | None = None,
) -> Dataset:
    """The data set called `name`.

    Looked up in `folder`, the folder that NEUROSAL_DATA names, the package, the system's data folders and the cache.

    Args:
        name: one of `names()`; that of an npz file with x and y, or of a folder of images, in the folder; or a path of
            such (with a slash in it, from the working directory): ``./mine.npz``, ``photographs/``.
        folder: a folder with ``NAME.npz`` or the upstream files (also in ``NAME/`` or ``NAME/raw``).
        download: fetch it from upstream into the cache when it is found nowhere.
        scaling: ``none``, ``unit``, ``symmetric``, ``standardise`` or given numbers.
        shape: ``flat`` for one vector a sample, ``natural`` for images as images (colour: channels first).
        grey: colour images as their brightness.
        split: how it is parted; by default the official way, where there is one, else a fifth is drawn for testing.
        subset: fewer samples.

    Raises:
        DataError: unknown or missing (with every way to get it), damaged, or not what the name promises.

    Example:
        >>> ns.data.load("digits").train.x.shape
        (1438, 64)
    """
    fields: dict[str, Any] = {"name": name, "scaling": scaling, "shape": shape, "grey": grey}
    fields |= {key: value for key, value in (("split", split), ("subset", subset)) if value is not None}
    return DataSpec(**fields).load(folder=folder, download=download)


def find_content(name: str, *, folder: str | Path | None = None, download: bool = False) -> Content:
    """The content of the data set called `name`, or that lies at the path `name`, unscaled.

    Raises:
        DataError: see `load`.
    """
    if folder is not None and not Path(folder).is_dir():
        raise _problem("folder", "an existing folder", str(folder))
    if places.is_path(name):
        return read(name, None, places.at_path(name))
    if not SAFE_NAME.fullmatch(name):
        remedy = f"{near(name, [*names(), *GENERATED])} The path of a file of yours needs a slash: ./{name}."
        raise _problem(f"data set {name!r}", "a name of letters a-z, digits, _ and -", repr(name), remedy)
    if name in GENERATED:
        return GENERATED[name]()
    entry = CATALOGUE.get(name)
    found = next(places.find(name, entry, folder), None)
    if found is None and download and entry is not None and entry.download:
        fetch(entry, places.cache_folder() / entry.places[0])
        found = next(places.find(name, entry, places.cache_folder()), None)
    if found is None:
        raise _missing(name, entry, folder)
    return read(name, entry, found)


def listing(folder: str | Path | None = None) -> list[dict[str, Any]]:
    """What is known about each data set, and where it would be read from (empty: it is not on this machine)."""
    rows = []
    for entry in CATALOGUE.values():
        try:
            found = next(places.find(entry.name, entry, folder), None)
            where = found.where if found else ""
        except DataError as error:
            where = f"incomplete: {error.problems[0]}"
        rows.append(
            {
                "name": entry.name,
                "title": entry.title,
                "samples": entry.samples,
                "features": "×".join(map(str, entry.shape)),
                "classes": len(entry.classes),
                "licence": entry.licence,
                "embedded": entry.embedded,
                "download": entry.download is not None,
                "note": entry.note,
                "found": where,
            }
        )
    return rows


def _missing(name: str, entry: Entry | None, folder: str | Path | None) -> DataError:
    """A miss says every way to get the set, or what the name may have meant."""
    variable = os.environ.get(FOLDER_VARIABLE)
    searched = [str(folder)] if folder is not None else []
    if variable:
        searched.append(f"{FOLDER_VARIABLE}={variable}{'' if Path(variable).is_dir() else ' (no such folder)'}")
    else:
        searched.append(f"{FOLDER_VARIABLE} (not set)")
    if entry is None:
        found = f"no such name, and no {name}.npz in {', '.join(searched)}"
        hint = near(name, [*names(), *GENERATED])
        return _problem(f"data set {name!r}", "a known data set", found, f"{hint} See neurosal data.")
    searched += [str(root) for root in places.SYSTEM] + [f"the cache {places.cache_folder()}"]
    remedy = "Ways to get it: " + "; ".join(f"({number}) {way}" for number, way in enumerate(ways(name), start=1)) + "."
    return _problem(f"data set {name!r}", "its files", f"nothing in {', '.join(searched)}", remedy)


def ways(name: str) -> list[str]:
    """Every way to get the data set called `name` onto a machine that lacks it."""
    entry = CATALOGUE[name]
    if entry.embedded:
        return ["nothing to do: it ships in the package"]
    keys = "x_train, y_train, x_test and y_test" if entry.parts_apart else "x and y"
    if entry.encoded:
        keys = "jpeg_train, offsets_train, y_train, jpeg_test, offsets_test and y_test"
    found = [f"put {name}.npz (arrays {keys}) into a folder and name that with {FOLDER_VARIABLE} or folder=..."]
    if entry.layouts:
        files = " or ".join(
            ", ".join(f"{file.name}[{file.packed}]" if file.packed else file.name for file in layout.files.values())
            for layout in entry.layouts
        )
        inside = ", ".join(f"{place}/" for place in entry.places)
        found.append(f"put the upstream files ({files}) into that folder, one of its {inside} or raw/ in there")
    if entry.system_package:
        found.append(f"install the system's package {entry.system_package}")
    if entry.download:
        found.append(f"let it be downloaded ({INSTALL}): neurosal data {name} --download, or download=True")
    if entry.instead:
        found.append(f"or take {entry.instead}, {CATALOGUE[entry.instead].title}: another set, not the same results")
    return found


def _problem(place: str, expected: str, found: str, remedy: str = "") -> DataError:
    return DataError(Problem(place=place, expected=expected, found=found, remedy=remedy))
