"""The bench of recorded spikes measures what it says."""

from __future__ import annotations

import pytest

from neurosal.bench import spikes


def test_the_same_steps_are_timed_in_turns_with_nothing_with_sums_and_with_a_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engines, recorded = [], []
    whole, put = spikes.OnTorch, spikes.Records.put

    def seen(*args: object, **more: object) -> spikes.OnTorch:
        engines.append(whole(*args, **more))  # type: ignore[arg-type]
        return engines[-1]

    def putting(self: spikes.Records, start: int, stop: int, seen: object) -> None:
        recorded.append((bool(self._spikes), start, stop, len(self._firing)))
        put(self, start, stop, seen)  # type: ignore[arg-type]

    monkeypatch.setattr(spikes, "OnTorch", seen)
    monkeypatch.setattr(spikes.Records, "put", putting)
    row = spikes.slowed(2, 1, quick=True)
    assert set(row["seconds"]) == {"nothing", "summed", "recorded"}
    assert all(len(taken) == 1 and taken[0] > 0 for taken in row["seconds"].values())
    of = {name: taken[0] for name, taken in row["seconds"].items()}
    assert row["percent"] == pytest.approx(100 * (of["recorded"] / of["summed"] - 1))
    assert row["percent_of_all"] == pytest.approx(100 * (of["recorded"] / of["nothing"] - 1))
    assert row["plain_s"] > 0
    count = float(row["work"].split(": ")[1].split()[0].replace(",", ""))
    assert 2 * 4000 * 1 < count < 2 * 4000 * 40  # a few Hz of each neuron
    assert row["goal"] == "≤ 5 %"
    assert {engine.clock.step_number for engine in engines} == {100 + 2 * 100}
    assert len(engines) == 3
    assert sorted(recorded) == [(with_it, start, start + 100, 2) for with_it in (False, True) for start in (100, 200)]
