"""What is known of a data set by its name: what it must look like, the files it may lie in, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class File:
    """One upstream file.

    Attributes:
        name: its name when it is not packed.
        packed: what its name ends with upstream, ``.gz`` for example; both names are found.
        urls: where it can be downloaded from, the publisher's own address first.
        checksum: of the file as it comes from there, ``md5:...`` or ``sha256:...``.
    """

    name: str
    packed: str = ""
    urls: tuple[str, ...] = ()
    checksum: str = ""

    @property
    def upstream(self) -> str:
        """Its name as it comes from upstream."""
        return self.name + self.packed


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One set of upstream files that holds the whole data set.

    Attributes:
        format: the reader, a key of `neurosal.data.formats.FORMATS`.
        files: the files by the array or the part that they hold, ``archive`` for an archive.
        members: for an archive, names of its members by the array or the part that they hold.
        first_label: the smallest label in the files.
        transposed: whether images are stored column by column.
    """

    format: str
    files: Mapping[str, File]
    members: Mapping[str, str] = field(default_factory=dict)
    first_label: int = 0
    transposed: bool = False

    @property
    def downloadable(self) -> bool:
        """Whether each file has an address."""
        return all(file.urls for file in self.files.values())


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One known data set.

    Attributes:
        name: the name it is loaded by.
        title: what it is, in a line.
        shape: one sample's natural shape; colour images are channels first.
        value_range: the smallest and largest value that the format allows (the basis of unit scaling), or None.
        kind: the type that holds the values.
        classes: the labels' names, in the labels' order.
        samples: how many samples the published set has.
        train_samples: for sets whose official split goes by row order, how many rows from the first are for training.
        sha256: the fingerprint of the published content (of encoded images: as libjpeg-turbo decodes them), or empty
            where nobody here had the set to take it.
        embedded: whether it ships in the package.
        parts_apart: whether its files hold training and test data apart.
        layouts: the upstream files, the usual ones first.
        folders: names of folders, inside a data folder or the system's, in which the upstream files may lie. A download
            goes into the first.
        system_package: the package that installs it system-wide.
        encoded: whether its npz holds encoded images (see `images.decoded`), which are decoded as they are read.
        by_class: whether its files hold the samples class by class; they are then put into an order drawn from seed 0.
        note: what must be said with every result on it.
        instead: another set that may do where this one is not to be had.
    """

    name: str
    title: str
    licence: str
    source: str
    shape: tuple[int, ...]
    value_range: tuple[float, float] | None
    classes: tuple[str, ...]
    samples: int
    sha256: str = ""
    kind: str = "uint8"
    train_samples: int | None = None
    embedded: bool = False
    parts_apart: bool = False
    layouts: tuple[Layout, ...] = ()
    folders: tuple[str, ...] = ()
    system_package: str = ""
    encoded: bool = False
    by_class: bool = False
    note: str = ""
    instead: str = ""

    @property
    def places(self) -> tuple[str, ...]:
        """Names of folders that may hold the upstream files."""
        return tuple(dict.fromkeys((*self.folders, self.name)))

    @property
    def download(self) -> Layout | None:
        """The files that can be downloaded, if any."""
        return next((layout for layout in self.layouts if layout.downloadable), None)
