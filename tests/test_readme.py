"""The README's Python examples are run, in order and in one namespace, as a newcomer would type them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"


def examples() -> list[str]:
    """Code of all Python blocks."""
    return re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    found = examples()
    assert len(found) >= 5
    for number, code in enumerate(found):
        exec(compile(code, f"README example {number}", "exec"), names)
    assert (tmp_path / "circuit.png").stat().st_size > 0
    assert names["run"].tree["metrics/eval"].test_accuracy.values[:, -1].mean() > 0.5
    assert "route_output" not in names["broken"].projections


def test_links_of_the_readme_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
