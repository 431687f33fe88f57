"""Small data files in the formats of the published ones, for machines that do not have those."""

from __future__ import annotations

import gzip
import io
import struct
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
