"""Tables and the numbers in them."""

from __future__ import annotations

import math

import pytest

from neurosal.analysis.tables import Table, listed, number, plus_minus

WRITTEN = {
    0.1: "0.1",
    1e-4: "1e-4",
    2.5e-5: "2.5e-5",
    203530.0: "203,530",
    0.0: "0",
    -3.0: "-3",
    0.12345: "0.1235",
    123456.5: "1.235e5",
    math.nan: "–",
    math.inf: "–",
}


@pytest.mark.parametrize(("value", "text"), WRITTEN.items())
def test_numbers_are_written_as_people_write_them(value: float, text: str) -> None:
    assert number(value) == text


def test_a_mean_without_deviation_stands_alone_and_no_mean_is_a_dash() -> None:
    assert plus_minus(97.34, 0.44) == "97.3 ± 0.4"
    assert plus_minus(97.34, math.nan) == "97.3"
    assert plus_minus(math.nan, math.nan) == "–"


def test_names_are_listed_in_one_line_and_cut_when_there_are_many() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c", "d"], limit=2) == "a, b and 2 more"
    assert listed(["a", "b, slow"]) == "a and “b, slow”"


def test_columns_are_aligned_numbers_to_the_right() -> None:
    table = Table(("arm", "n"), (("bp", "5"), ("shallow", "10")), title="T", remarks=("R",), numbers=frozenset({"n"}))
    assert str(table).splitlines() == ["T", "arm       n", "───────  ──", "bp        5", "shallow  10", "R"]


def test_markdown_has_the_same_cells_and_bars_in_them_are_escaped() -> None:
    table = Table(("arm", "n"), (("a|b", "5"),), title="T", remarks=("R",), numbers=frozenset({"n"}))
    assert table.markdown().splitlines() == ["**T**", "", "| arm | n |", "|:---|---:|", "| a\\|b | 5 |", "", "R"]
