"""The benchmark of reports, small: it records what it says and measures a page that is written."""

from __future__ import annotations

import io

from rich.console import Console

from neurosal.bench.reports import compare
from tests.bench.making import EFFORT


def test_the_benchmark_writes_the_report_of_the_run_that_it_records() -> None:
    output = io.StringIO()
    found = compare(Console(file=output, width=200), EFFORT)
    assert found["store_bytes"] > 25_000 * (4 + 1) * 8
    assert 500_000 < found["page_bytes"] < 2_000_000
    assert 0 < found["low_s"] <= found["median_s"] <= found["high_s"]
    assert "25,000 steps × 4 statistics" in output.getvalue()
