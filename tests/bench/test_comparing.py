"""Figures beside earlier ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neurosal.bench import command, comparing
from tests.bench.making import console, printed
from tests.cli.invoking import invoke


def report(**medians: float) -> dict[str, Any]:
    """A report of one row, with a spread of a tenth to both sides."""
    entries = {name: {"median_s": t, "low_s": 0.9 * t, "high_s": 1.1 * t} for name, t in medians.items()}
    row = {"comparison": "rules", "work": "6-5-3", "contenders": entries}
    return {"machine": {"processor": "a", "cores": 2}, "results": [row, {"comparison": "recording", "rows": []}]}


def test_what_got_slower_and_faster_beyond_the_spread_is_found() -> None:
    found = comparing.compare(report(bp=1.0, kp=1.0, fa=1.0, gone=1.0), report(bp=1.5, kp=0.5, fa=1.1, new=1.0))
    assert [(entry["contender"], entry["ratio"]) for entry in found["slower"]] == [("bp", 1.5)]
    assert [(entry["contender"], entry["ratio"]) for entry in found["faster"]] == [("kp", 0.5)]
    assert (found["compared"], found["differs"]) == (3, [])
    where = console()
    comparing.show(where, found, "old.json")
    assert "of 3 timings 1 slower and 1 faster" in printed(where)
    assert "slower 1.50 ×: bp, rules 6-5-3" in printed(where)


def test_the_largest_change_comes_first_and_another_machine_is_named() -> None:
    new = report(bp=2.0, kp=3.0)
    new["machine"]["cores"] = 4
    found = comparing.compare(report(bp=1.0, kp=1.0), new)
    assert [entry["contender"] for entry in found["slower"]] == ["kp", "bp"]
    assert found["differs"] == ["cores"]


def test_the_command_line_says_what_got_slower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "COMPARISONS", {"rules": lambda *_: report(bp=2.0)["results"]})
    (tmp_path / "old.json").write_text(json.dumps(report(bp=1.0)))
    out, _ = invoke("bench", "--quick", "--compare", tmp_path / "old.json")
    assert "1 slower and 0 faster" in " ".join(out.split())  # lines are wrapped


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b'{"results": 3}', b"\xff\xfe", b"[" * 100_000],
    ids=lambda entry: repr(entry[:8]),
)
def test_an_earlier_file_that_cannot_be_read_gives_one_message(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "COMPARISONS", {"rules": lambda *_: pytest.fail("it measured")})
    path = tmp_path / "old.json"
    path.write_bytes(content)
    _, message = invoke("bench", "--compare", path, code=2)
    assert "1 problem in the experiment" in message
    assert "neurosal bench --out" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("entry", [None, 3, {"contenders": 3}, {"contenders": {"bp": {"median_s": "x"}}}])
def test_rows_without_timings_are_passed_over(entry: Any) -> None:
    assert list(comparing.medians({"results": [entry]})) == []
