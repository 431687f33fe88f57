"""The bench of recording on a tiny work: what it says is what it measured."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from rich.console import Console

from neurosal.bench import recording
from tests.bench.making import EFFORT


def test_what_recording_costs_is_measured_and_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    often = "import neurosal.record.background as background\nbackground.COMMIT_SECONDS = 0.05\n"
    monkeypatch.setattr(recording, "KILLED", often + recording.KILLED)
    monkeypatch.setattr(recording, "KILLED_AFTER", (1.0, 1.0))
    found = recording.compare(Console(width=200), replace(EFFORT, turns=2))
    assert found["comparison"] == "recording"
    *_, slowed, rate, lost = found["rows"]
    alone, recorded = slowed["seconds"]["alone"], slowed["seconds"]["recorded"]
    assert slowed["percent"] == pytest.approx(
        100 * (statistics.median(b / a for a, b in zip(alone, recorded, strict=True)) - 1)
    )
    plain, recorded = rate["seconds"]["plain"], rate["seconds"]["recorded"]
    assert rate["ratio"] == pytest.approx(statistics.median(a / b for a, b in zip(plain, recorded, strict=True)))
    assert lost["losses_s"][0] > 0
    assert lost["rows_per_second"] > 0
    printed = capsys.readouterr().out
    for row in found["rows"]:
        assert row["measured"] in printed
