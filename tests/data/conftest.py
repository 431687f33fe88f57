"""Data tests must not depend on what this machine happens to have."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurosal.data import places


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NEUROSAL_DATA", raising=False)
    monkeypatch.setenv("NEUROSAL_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setattr(places, "SYSTEM", ())
