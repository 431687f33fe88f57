"""Readers of upstream files, by the name that a layout gives its format: files in, arrays out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurosal.data.formats.cifar import read_cifar_archive, read_cifar_files
from neurosal.data.formats.idx import read_idx_files, read_idx_zip
from neurosal.data.formats.matlab import read_svhn_files
from neurosal.data.formats.npz import read_npz_files
from neurosal.data.formats.text import read_libsvm_files, read_semeion_files, read_zip_digits_files

Reader = Callable[[Mapping[str, Path], Mapping[str, str]], dict[str, np.ndarray[Any, Any]]]

FORMATS: dict[str, Reader] = {
    "cifar": read_cifar_files,
    "cifar_archive": read_cifar_archive,
    "idx": read_idx_files,
    "idx_zip": read_idx_zip,
    "libsvm": read_libsvm_files,
    "npz": read_npz_files,
    "semeion": read_semeion_files,
    "svhn": read_svhn_files,
    "zip_digits": read_zip_digits_files,
}

__all__ = ["FORMATS", "Reader"]
