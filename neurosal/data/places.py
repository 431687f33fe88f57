"""Where a data set lies on this machine: one npz, its upstream files, or a folder of images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from neurosal.data.entry import Entry, File, Layout
from neurosal.errors import DataError, Problem

FOLDER_VARIABLE = "NEUROSAL_DATA"
CACHE_VARIABLE = "NEUROSAL_CACHE"
EMBEDDED = Path(__file__).parent / "embedded"
SYSTEM = (Path("/usr/share/datasets"), Path("/usr/local/share/datasets"))
SUFFIXES = ("", ".gz", ".bz2")


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where a data set lies: one of an npz, upstream files in a known layout, or a folder of images."""

    where: str
    npz: Path | None = None
    layout: Layout | None = None
    files: Mapping[str, Path] | None = None
    images: Path | None = None

    @property
    def place(self) -> str:
        """The file or the folder."""
        if self.files is not None:
            first = next(iter(self.files.values()))
            return str(first if len(self.files) == 1 else first.parent)
        return str(self.npz or self.images)


def cache_folder() -> Path:
    """Where downloads are kept: NEUROSAL_CACHE, else the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(base) / "neurosal" / "data"


def is_path(name: str) -> bool:
    """Whether a data set is asked for by the path of a file or a folder rather than by its name."""
    return "/" in name or os.sep in name or name.endswith(".npz") or name in (".", "..")


def at_path(name: str) -> Found:
    """What lies at a path: an npz file, or a folder of images.

    Raises:
        DataError: neither.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return Found(where=str(path), images=path)
    if path.suffix == ".npz" and path.is_file():
        return Found(where=str(path), npz=path)
    found = "a file of another kind" if path.is_file() else "nothing there"
    remedy = f"Paths start from {Path.cwd()}." if not path.is_absolute() else ""
    expected = "an npz file, or a folder with one folder of images a class"
    raise DataError(Problem(place=name, expected=expected, found=found, remedy=remedy))


def find(name: str, entry: Entry | None, folder: str | Path | None) -> Iterator[Found]:
    """Every place that has the data set, in the order in which they count.

    Raises:
        DataError: a folder has a part of its files only.
    """
    variable = os.environ.get(FOLDER_VARIABLE)
    for where, root in (("folder", folder), (FOLDER_VARIABLE, variable)):
        if root:
            yield from _in_folder(name, entry, Path(root), where)
    if entry is None:
        return
    if entry.embedded:
        yield Found(where="package", npz=EMBEDDED / f"{name}.npz")
    for root in SYSTEM:
        yield from (found for found in _in_folder(name, entry, root, str(root)) if found.files)
    yield from _in_folder(name, entry, cache_folder(), "cache")


def _in_folder(name: str, entry: Entry | None, root: Path, where: str) -> Iterator[Found]:
    npz = root / f"{name}.npz"
    if npz.is_file():
        yield Found(where=where, npz=npz)
    if entry is None:
        if (root / name).is_dir():
            yield Found(where=where, images=root / name)
        return
    inner = [root / inside / raw for inside in entry.places for raw in ("", "raw")]
    for place in (root, *inner):
        complete, partial = False, ""
        for layout in entry.layouts:
            present = {key: _file_in(place, file) for key, file in layout.files.items()}
            files = {key: path for key, path in present.items() if path is not None}
            if len(files) == len(present):
                complete = True
                yield Found(where=where, layout=layout, files=files)
            elif files and not partial:
                missing = [file.name for key, file in layout.files.items() if key not in files]
                partial = ", ".join(f"no {file}" for file in missing)
        if partial and not complete and place != root and where != "cache":
            # Passing over a half-copied folder would read another copy than the user means. A download can go on.
            expected = f"all files of {name}"
            raise DataError(Problem(place=str(place), expected=expected, found=partial, remedy="Copy them too."))


def _file_in(folder: Path, file: File) -> Path | None:
    spellings = (file.name, file.name.replace("-idx", ".idx"))
    candidates = (folder / f"{spelling}{suffix}" for spelling in spellings for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)
