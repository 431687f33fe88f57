"""The bench of recorded spikes measures what it says."""

from __future__ import annotations

import pytest

from neurosal.bench import spikes


def test_windows_with_and_without_a_record_are_timed_in_turns() -> None:
    row = spikes.slowed(2, 1, quick=True)
    assert set(row["seconds"]) == {"alone", "recorded"}
    assert all(len(taken) == 1 and taken[0] > 0 for taken in row["seconds"].values())
    ratio = row["seconds"]["recorded"][0] / row["seconds"]["alone"][0]
    assert row["percent"] == pytest.approx(100 * (ratio - 1))
    count = float(row["work"].split(": ")[1].split()[0].replace(",", ""))
    assert 2 * 4000 * 1 < count < 2 * 4000 * 40  # a few Hz of each neuron
    assert row["goal"] == "≤ 5 %"
