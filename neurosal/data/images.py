"""Images: decoded one by one with a bound on their size, and colour turned to grey.

Shapes: N sample, H row, W column. Colour images are channels first, [N, 3, H, W], as torch and CIFAR's binary release
have them; grey ones [N, H, W].
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurosal.errors import DataError, Problem

Array = np.ndarray[Any, Any]

CHUNK_SAMPLES = 4096
LARGEST_PIXELS = 1 << 24
ENCODED = "jpeg_"
# ITU-R BT.601 luma (0.299, 0.587, 0.114) in 16 bits: integers give the same grey on every machine.
LUMA = (19595, 38470, 7471)
LUMA_BITS = 16


def grey(images: Array) -> Array:
    """Brightness of colour images: Y = 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    Args:
        images: [N, 3, H, W] of any real type.

    Returns:
        [N, H, W] of the same type; whole numbers are rounded to the nearest.

    Example:
        >>> grey(np.array([[[[255]], [[0]], [[0]]]], np.uint8)).tolist()
        [[[76]]]
    """
    found = np.empty((len(images), *images.shape[2:]), images.dtype)
    weights = np.array(LUMA, np.int64).reshape(3, 1, 1)
    for start in range(0, len(images), CHUNK_SAMPLES):
        rows = slice(start, start + CHUNK_SAMPLES)
        if images.dtype.kind == "f":
            found[rows] = (images[rows] * (weights / (1 << LUMA_BITS)).astype(images.dtype)).sum(axis=1)
        else:
            total = (images[rows].astype(np.int64) * weights).sum(axis=1)
            found[rows] = (total + (1 << (LUMA_BITS - 1))) >> LUMA_BITS
    return found


def decoded(arrays: Mapping[str, Array], shape: tuple[int, ...] | None, place: str) -> dict[str, Array]:
    """The arrays of an npz whose images are encoded, with ``x_PART`` in place of ``jpeg_PART`` and ``offsets_PART``.

    Image n of a part is the bytes ``jpeg_PART[offsets_PART[n]:offsets_PART[n + 1]]``.

    Args:
        shape: what every image must have, or None for that of the first one.

    Raises:
        DataError: naming the array or the image that is not as it should be.
    """
    found = {key: array for key, array in arrays.items() if not key.startswith((ENCODED, "offsets_"))}
    for key in arrays:
        if key.startswith(ENCODED):
            part = key.removeprefix(ENCODED)
            offsets = arrays.get(f"offsets_{part}")
            found[f"x_{part}"] = _decode_part(arrays[key], offsets, shape, f"{place}: {key}")
    return found


def _decode_part(encoded: Array, offsets: Array | None, shape: tuple[int, ...] | None, place: str) -> Array:
    if encoded.dtype != np.uint8 or encoded.ndim != 1:
        raise _problem(place, "one array of bytes (uint8)", f"{encoded.dtype} {encoded.shape}")
    if offsets is None or offsets.ndim != 1 or offsets.dtype.kind not in "ui" or len(offsets) < 2:
        found = "none" if offsets is None else f"{offsets.dtype} {offsets.shape}"
        raise _problem(place, "offsets of its images, whole numbers", found)
    limits = offsets.astype(np.int64)
    if limits[0] != 0 or limits[-1] != len(encoded) or (np.diff(limits) <= 0).any():
        raise _problem(place, f"offsets that grow from 0 to {len(encoded)}", f"{limits[0]} to {limits[-1]}")
    content = encoded.tobytes()
    first = shape or decode(content[: limits[1]], f"{place}, image 0").shape
    images = np.empty((len(limits) - 1, *first), np.uint8)
    for number in range(len(images)):
        where = f"{place}, image {number}"
        image = decode(content[limits[number] : limits[number + 1]], where)
        if image.shape != first:
            raise _problem(where, f"an image of {_shown(first)} values", _shown(image.shape))
        images[number] = image
    return images


def decode(content: bytes, place: str, formats: tuple[str, ...] = ("JPEG",)) -> Array:
    """One image as bytes: colour as [3, H, W], grey as [H, W].

    Raises:
        DataError: it is damaged, of another format, or has more than `LARGEST_PIXELS` pixels.
    """
    from PIL import Image, UnidentifiedImageError

    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            width, height = image.size  # from the header: nothing is allocated yet
            if width * height > LARGEST_PIXELS:
                raise _problem(place, f"at most {LARGEST_PIXELS} pixels", f"{width}×{height}")
            plain = image if image.mode in ("L", "RGB") else image.convert("RGB")
            pixels = np.asarray(plain)
    except UnidentifiedImageError:
        raise _problem(place, f"an image in {' or '.join(formats)}", "something else") from None
    except (OSError, ValueError, SyntaxError, EOFError, *bombs) as error:
        found = " ".join(str(error).split()) or type(error).__name__
        raise _problem(place, "a complete image", found, "Fetch the file again.") from None
    return pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _shown(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _problem(place: str, expected: str, found: str, remedy: str = "") -> DataError:
    return DataError(Problem(place=place, expected=expected, found=found, remedy=remedy))
