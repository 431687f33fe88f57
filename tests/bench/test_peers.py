"""BioTorch beside ours, where it is installed."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from neurosal.bench import peers
from tests.bench.making import TINY


@pytest.mark.skipif(importlib.util.find_spec("biotorch") is None, reason="BioTorch is not installed")
def test_biotorch_takes_the_step_by_hand_under_each_rule() -> None:
    found, notes = peers.biotorch(TINY)
    assert [(entry.name, notes) for entry in found] == [("BioTorch fa", []), ("BioTorch dfa", []), ("BioTorch usf", [])]
    for entry in found:
        assert entry.check() < 1e-4
        assert entry.rival


def test_without_biotorch_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "biotorch", None)
    monkeypatch.setitem(sys.modules, "biotorch.layers.fa", None)
    assert peers.biotorch(TINY) == ([], [peers.MISSING])
