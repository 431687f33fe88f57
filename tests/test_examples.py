"""Every example in a docstring is run: documentation cannot opt out."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import neurosal
import neurosal.analysis
import neurosal.circuits
import neurosal.experiments

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules() -> list[str]:
    """All modules of the package; the three top-level folders are not found through its path."""
    found = []
    for package in (neurosal, neurosal.circuits, neurosal.experiments, neurosal.analysis):
        prefix = f"{package.__name__}."
        found += [package.__name__, *(module.name for module in pkgutil.walk_packages(package.__path__, prefix))]
    return sorted(set(found))


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs={"np": np, "ns": neurosal}, optionflags=OPTIONS)
    assert result.failed == 0
