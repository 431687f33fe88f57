"""Small data files in the formats of the published ones, for machines that do not have those."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from neurosal.data.catalogue import IMAGE_FILES


def image_arrays(train: int = 60, test: int = 20, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays like those of MNIST, in which every class occurs."""
    generator = np.random.default_rng(seed)
    sizes = {"train": train, "test": test}
    images = {f"x_{part}": generator.integers(0, 256, (size, 28, 28), np.uint8) for part, size in sizes.items()}
    labels = {f"y_{part}": (np.arange(size) % 10).astype(np.uint8) for part, size in sizes.items()}
    return images | labels


def idx_bytes(array: np.ndarray) -> bytes:
    """An array of bytes in the idx format."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, arrays: dict[str, np.ndarray], *, packed: bool = True) -> None:
    """The four upstream files of MNIST or Fashion-MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, name in IMAGE_FILES.items():
        content = idx_bytes(arrays[key])
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)


def write_semeion(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """The upstream text file of Semeion."""
    with path.open("w", encoding="ascii") as file:
        for image, label in zip(images, labels, strict=True):
            pixels = " ".join(f"{pixel:.4f}" for pixel in image.reshape(-1))
            file.write(f"{pixels} {' '.join(str(int(number == label)) for number in range(10))} \n")


def jpeg_bytes(pixels: np.ndarray) -> bytes:
    """An image [height, width, 3] as JPEG."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=75)
    return target.getvalue()


def encoded_arrays(train: int, test: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Arrays like those of CIFAR-10 as JPEG, class by class, and each image's colour: images of one class are alike."""
    arrays, colours = {"classes": np.array([f"class{label}" for label in range(10)])}, {}
    for part, size in {"train": train, "test": test}.items():
        labels = np.sort(np.arange(size) % 10).astype(np.uint8)
        colours[part] = np.stack([labels.astype(int) * 20 + shift for shift in (-3, 0, 3)], axis=1).clip(0, 255)
        files = [jpeg_bytes(np.full((32, 32, 3), colour, np.uint8)) for colour in colours[part]]
        arrays[f"jpeg_{part}"] = np.frombuffer(b"".join(files), np.uint8)
        arrays[f"offsets_{part}"] = np.cumsum([0, *map(len, files)])
        arrays[f"y_{part}"] = labels
    return arrays, colours


def write_cifar(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """CIFAR-10's binary release: five training batches and one for testing, images [N, 3, 32, 32]."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        part: np.concatenate([arrays[f"y_{part}"][:, None], arrays[f"x_{part}"].reshape(-1, 3072)], axis=1)
        for part in ("train", "test")
    }
    for number, batch in enumerate(np.array_split(rows["train"], 5), start=1):
        (folder / f"data_batch_{number}.bin").write_bytes(batch.astype(np.uint8).tobytes())
    (folder / "test_batch.bin").write_bytes(rows["test"].astype(np.uint8).tobytes())
    (folder / "batches.meta.txt").write_text("airplane\n")


def colour_arrays(train: int = 20, test: int = 10, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays like those of CIFAR-10 and SVHN, in which every class occurs."""
    generator = np.random.default_rng(seed)
    sizes = {"train": train, "test": test}
    images = {f"x_{part}": generator.integers(0, 256, (size, 3, 32, 32), np.uint8) for part, size in sizes.items()}
    return images | {f"y_{part}": (np.arange(size) % 10).astype(np.uint8) for part, size in sizes.items()}


def mat_bytes(arrays: dict[str, np.ndarray], *, packed: bool = True) -> bytes:
    """A mat file of level 5 with real arrays of bytes or doubles."""
    kinds = {np.dtype(np.uint8): (9, 2), np.dtype(np.float64): (6, 9), np.dtype(np.int32): (12, 5)}

    def element(kind: int, content: bytes) -> bytes:
        if 0 < len(content) <= 4:  # small ones lie in their tag
            return struct.pack("<HH", kind, len(content)) + content.ljust(4, b"\0")
        return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    body = b""
    for name, array in arrays.items():
        array_class, stored = kinds[array.dtype]
        matrix = element(6, struct.pack("<II", array_class, 0))
        matrix += element(5, struct.pack(f"<{array.ndim}i", *array.shape))
        matrix += element(1, name.encode()) + element(stored, array.tobytes(order="F"))
        whole = element(14, matrix)
        content = zlib.compress(whole)
        body += struct.pack("<II", 15, len(content)) + content if packed else whole
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + body


def write_svhn(folder: Path, arrays: dict[str, np.ndarray], *, packed: bool = True) -> None:
    """SVHN's two files: X [row, column, colour, N], y with 10 for the digit 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        labels = np.where(arrays[f"y_{part}"] == 0, 10, arrays[f"y_{part}"]).astype(np.uint8)
        content = {"X": arrays[f"x_{part}"].transpose(2, 3, 1, 0), "y": labels[:, None]}
        (folder / f"{part}_32x32.mat").write_bytes(mat_bytes(content, packed=packed))


def write_libsvm(path: Path, values: np.ndarray, labels: np.ndarray) -> None:
    """A bzipped file of libsvm; zeros are left out."""
    lines = [
        f"{label} " + " ".join(f"{index}:{value:.6g}" for index, value in enumerate(row, start=1) if value)
        for label, row in zip(labels, values, strict=True)
    ]
    path.write_bytes(bz2.compress("\n".join(lines).encode()))


def write_emnist(folder: Path, split: str, arrays: dict[str, np.ndarray], *, archive: bool = False) -> None:
    """A split of EMNIST: images stored column by column, gzipped, in a folder or in the published archive."""
    folder.mkdir(parents=True, exist_ok=True)
    packed = {}
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"].transpose(0, 2, 1), arrays[f"y_{part}"]
        packed[f"emnist-{split}-{part}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(images), mtime=0)
        packed[f"emnist-{split}-{part}-labels-idx1-ubyte.gz"] = gzip.compress(idx_bytes(labels), mtime=0)
    if archive:
        with zipfile.ZipFile(folder / "gzip.zip", "w") as target:
            for name, content in packed.items():
                target.writestr(f"gzip/{name}", content)
        return
    for name, content in packed.items():
        (folder / name).write_bytes(content)
