"""Find a data set by its name: in a given folder, the package, the system's data folders or the download cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.catalogue import CATALOGUE, Entry, names
from neurosal.data.content import SAFE_NAME, Content, make_content
from neurosal.data.dataset import Dataset
from neurosal.data.download import fetch
from neurosal.data.files import read_idx, read_npz, read_semeion
from neurosal.data.images import ENCODED, decoded
from neurosal.data.spec import DataSpec, MeanAndDeviation, Split, Subset
from neurosal.data.splitting import shuffled
from neurosal.errors import DataError, NeurosalError, Problem, near

Array = np.ndarray[Any, Any]
FOLDER_VARIABLE = "NEUROSAL_DATA"
CACHE_VARIABLE = "NEUROSAL_CACHE"
EMBEDDED = Path(__file__).parent / "embedded"
SYSTEM = (Path("/usr/share/datasets"), Path("/usr/local/share/datasets"))
SUFFIXES = ("", ".gz")


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where a data set lies: one npz, or the upstream files by the array they hold."""

    where: str
    npz: Path | None = None
    raw: dict[str, Path] | None = None


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
        name: one of `names()`, or that of an npz file with x and y in the folder.
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
    """The content of the data set called `name`, unscaled.

    Raises:
        DataError: see `load`.
    """
    if not SAFE_NAME.fullmatch(name):
        raise _problem(f"data set {name!r}", "a name of letters a-z, digits, _ and -", repr(name), near(name, names()))
    if folder is not None and not Path(folder).is_dir():
        raise _problem("folder", "an existing folder", str(folder))
    entry = CATALOGUE.get(name)
    found = next(_places(name, entry, folder), None)
    if found is None and download and entry is not None:
        fetch(entry, cache_folder() / name)
        found = next(_places(name, entry, cache_folder()), None)
    if found is None:
        raise _missing(name, entry, folder)
    return read(name, entry, found)


def listing(folder: str | Path | None = None) -> list[dict[str, Any]]:
    """What is known about each data set, and where it would be read from (empty: it is not on this machine)."""
    rows = []
    for entry in CATALOGUE.values():
        try:
            found = next(_places(entry.name, entry, folder), None)
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
                "found": where,
            }
        )
    return rows


def cache_folder() -> Path:
    """Where downloads are kept: NEUROSAL_CACHE, else the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(base) / "neurosal" / "data"


def _places(name: str, entry: Entry | None, folder: str | Path | None) -> Iterator[Found]:
    """Every place that has the data set, in the order in which they count."""
    variable = os.environ.get(FOLDER_VARIABLE)
    for where, root in (("folder", folder), (FOLDER_VARIABLE, variable)):
        if root:
            yield from _in_folder(name, entry, Path(root), where)
    if entry is None:
        return
    if entry.embedded:
        yield Found(where="package", npz=EMBEDDED / f"{name}.npz")
    for root in SYSTEM:
        yield from (found for found in _in_folder(name, entry, root, str(root)) if found.raw)
    yield from _in_folder(name, entry, cache_folder(), "cache")


def _in_folder(name: str, entry: Entry | None, root: Path, where: str) -> Iterator[Found]:
    npz = root / f"{name}.npz"
    if npz.is_file():
        yield Found(where=where, npz=npz)
    if entry is None or entry.raw_files is None:
        return
    inner = [root / inside / raw for inside in dict.fromkeys((name, *entry.folders)) for raw in ("", "raw")]
    for place in (root, *inner):
        files = {key: _raw_file(place, file) for key, file in entry.raw_files.items()}
        present = {key: file for key, file in files.items() if file is not None}
        if len(present) == len(files):
            yield Found(where=where, raw=present)
        elif present and place != root and where != "cache":
            # Passing over a half-copied folder would read another copy than the user means. A download can go on.
            missing = [entry.raw_files[key] for key in files if key not in present]
            raise _problem(str(place), f"all files of {name}", f"no {', no '.join(missing)}", "Copy them too.")


def _raw_file(folder: Path, name: str) -> Path | None:
    spellings = (name, name.replace("-idx", ".idx"))
    candidates = (folder / f"{spelling}{suffix}" for spelling in spellings for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def read(name: str, entry: Entry | None, found: Found) -> Content:
    """The content that lies in a place, checked against what the name promises.

    Raises:
        DataError: damaged, or other values than the data set has.
    """
    place = str(found.npz) if found.npz else str(next(iter((found.raw or {"": Path()}).values())).parent)
    if found.npz is not None:
        arrays = read_npz(found.npz)
        if any(key.startswith(ENCODED) for key in arrays):
            arrays = decoded(arrays, entry.shape if entry else None, place)
    else:
        assert entry is not None
        assert found.raw is not None
        arrays = _read_raw(entry, found.raw)
    if entry is not None and entry.by_class:
        arrays = _mixed(arrays)
    x, y, parts, classes = _assemble(arrays, entry, place)
    if entry is not None:
        _check_entry(entry, x, y, place)
        x = x.astype(np.uint8, copy=False).reshape(-1, *entry.shape)
        if entry.train_samples is not None:
            parts = (np.arange(entry.train_samples), None, np.arange(entry.train_samples, len(x)))
    try:
        content = make_content(
            x, y, name=name, parts=parts, classes=entry.classes if entry else classes,
            value_range=entry.value_range if entry else None,
            source=f"{entry.source if entry else 'file of the user'}; read from {found.where}",
            licence=entry.licence if entry else "unknown", note=entry.note if entry else "",
        )  # fmt: skip
    except NeurosalError as error:
        problems = [replace(problem, place=f"{place}: {problem.place}") for problem in error.problems]
        raise DataError(problems) from None
    return _recognised(content, entry, place)


def _recognised(content: Content, entry: Entry | None, place: str) -> Content:
    """Say whether this is the published set, and refuse another one under its name.

    MNIST and Fashion-MNIST share their files' names and shapes: in a bare folder nothing else tells them apart.
    """
    if entry is None:
        return content
    for other in CATALOGUE.values():
        if other.name != entry.name and other.sha256 == content.sha256:
            raise _problem(
                place, f"the data set {entry.name}", f"the published {other.name}", f"Load {other.name!r}, or move it."
            )
    known = replace(content, published=content.sha256 == entry.sha256)
    known.__dict__["sha256"] = content.sha256  # so that it is not computed a second time
    return known


def _mixed(arrays: dict[str, Array]) -> dict[str, Array]:
    """Each part in an order drawn from seed 0: stored class by class, its first rows would all be of one class."""
    found = dict(arrays)
    for part in ("train", "test"):
        x, y = arrays.get(f"x_{part}"), arrays.get(f"y_{part}")
        if x is not None and y is not None and x.ndim and y.ndim == 1 and len(x) == len(y):
            order = shuffled(np.arange(len(y)), None, 0)
            found |= {f"x_{part}": x[order], f"y_{part}": y[order]}
    return found


def _read_raw(entry: Entry, files: dict[str, Path]) -> dict[str, Array]:
    if entry.raw_format == "semeion":
        x, y = read_semeion(files["x"])
        return {"x": x, "y": y}
    return {key: read_idx(path, 3 if key.startswith("x") else 1) for key, path in files.items()}


def _assemble(arrays: dict[str, Array], entry: Entry | None, place: str) -> tuple[Any, Any, Any, Any]:
    """Inputs, labels, parts and class names out of ``x, y`` or ``x_train, y_train, x_test, y_test``."""
    whole, apart = ("x", "y"), ("x_train", "y_train", "x_test", "y_test")
    accepted = [keys for keys in (whole, apart) if entry is None or (keys == apart) == entry.parts_apart]
    keys = next((keys for keys in accepted if set(keys) <= set(arrays)), None)
    if keys is None:
        wanted = " or ".join(", ".join(keys) for keys in accepted)
        found = ", ".join(sorted(arrays)) or "none"
        missing = [key for key in accepted[0] if key not in arrays]
        raise _problem(place, f"arrays {wanted}", f"arrays {found}", f"Missing: {', '.join(missing)}.")
    classes = arrays.get("classes")
    names = tuple(str(name) for name in classes) if classes is not None and classes.ndim == 1 else None
    if keys == whole:
        return arrays["x"], arrays["y"], None, names
    problems = []
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
            found = f"shapes {x.shape} and {y.shape}"
            problems.append(
                Problem(place=f"{place}: x_{part}, y_{part}", expected="as many samples as labels", found=found)
            )
    for key in ("x", "y"):
        train, test = arrays[f"{key}_train"], arrays[f"{key}_test"]
        if train.shape[1:] != test.shape[1:] or (train.dtype.kind in "biuf") != (test.dtype.kind in "biuf"):
            found = f"{train.dtype} {train.shape} and {test.dtype} {test.shape}"
            problems.append(
                Problem(place=f"{place}: {key}_train, {key}_test", expected="samples of one kind", found=found)
            )
    if problems:
        raise DataError(problems)
    x, y = (np.concatenate([arrays[f"{key}_train"], arrays[f"{key}_test"]]) for key in ("x", "y"))
    x.flags.writeable = False
    samples = len(arrays["y_train"])
    return x, y, (np.arange(samples), None, np.arange(samples, len(y))), names


def _check_entry(entry: Entry, x: Array, y: Array, place: str) -> None:
    """Kinds, shapes and ranges that the name promises; what holds for all data is checked where content is made."""
    problems = []
    for key, array in (("x", x), ("y", y)):
        if array.dtype.kind not in "bui":
            problems.append(
                Problem(place=f"{place}: {key}", expected="whole numbers", found=f"values of type {array.dtype}")
            )
    features = int(np.prod(entry.shape))
    if x.ndim < 2 or int(np.prod(x.shape[1:])) != features or len(x) == 0:
        expected = f"samples of {'×'.join(map(str, entry.shape))} values"
        problems.append(Problem(place=f"{place}: x", expected=expected, found=f"shape {x.shape}"))
    elif x.dtype.kind in "bui":
        low, high = int(x.min()), int(x.max())
        if low < entry.value_range[0] or high > entry.value_range[1]:
            expected = f"values from {entry.value_range[0]:g} to {entry.value_range[1]:g}"
            problems.append(Problem(place=f"{place}: x", expected=expected, found=f"{low} to {high}"))
    if y.ndim != 1:
        problems.append(Problem(place=f"{place}: y", expected="one label a sample", found=f"shape {y.shape}"))
    if entry.train_samples is not None and len(x) != entry.samples:
        expected = f"{entry.samples} samples (the official split goes by row number)"
        problems.append(Problem(place=f"{place}: x", expected=expected, found=str(len(x))))
    if problems:
        raise DataError(problems)


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
        return _problem(f"data set {name!r}", "a known data set", found, near(name, names()))
    searched += [str(root) for root in SYSTEM] + [f"the cache {cache_folder()}"]
    keys = "x_train, y_train, x_test and y_test" if entry.parts_apart else "x and y"
    ways = [f"put {name}.npz (arrays {keys}) into a folder and name that with {FOLDER_VARIABLE} or folder=..."]
    if entry.raw_files:
        files = ", ".join(f"{file}[.gz]" for file in entry.raw_files.values())
        ways.append(f"put the upstream files ({files}) into that folder, its {name}/ or its {name}/raw/")
    if entry.system_package:
        ways.append(f"install the system's package {entry.system_package}")
    if entry.url:
        ways.append(f"let it be downloaded: neurosal data {name} --download, or download=True")
    remedy = "Ways to get it: " + "; ".join(f"({number}) {way}" for number, way in enumerate(ways, start=1)) + "."
    return _problem(f"data set {name!r}", "its files", f"nothing in {', '.join(searched)}", remedy)


def _problem(place: str, expected: str, found: str, remedy: str = "") -> DataError:
    return DataError(Problem(place=place, expected=expected, found=found, remedy=remedy))
