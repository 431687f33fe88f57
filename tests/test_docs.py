"""The pages below docs/ are run, in order and in one namespace, as a reader would type them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
# What makes a study of minutes one of seconds: the same code otherwise.
SHORTER = {
    "write_your_own_rule": (
        "epochs=25 -> epochs=5", "seeds=(0, 1, 2, 3, 4) -> seeds=(0, 1)", "seeds=(10, 11, 12) -> seeds=(10,)",
    )
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(DOCS / "run_page.py"), str(page), *SHORTER.get(page.stem, ())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0, done.stderr
    if page.stem == "write_your_own_rule":
        rows = re.findall(r"^\| (bp|shallow|critical_kp) \|", done.stdout, flags=re.MULTILINE)
        assert rows == ["bp", "shallow", "critical_kp"]


def test_there_are_pages() -> None:
    known = [
        "eprop",
        "images",
        "many_processes",
        "normalisation",
        "parts",
        "precision",
        "records",
        "simulate",
        "size",
        "spiking",
        "spiking_speed",
        "write_your_own_rule",
        "write_your_own_spiking_rule",
    ]
    assert [page.stem for page in PAGES] == known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_page_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_page_of_parts_names_all_that_circuits_in_time_are_built_from() -> None:
    from tests.spiking.members import MODELS, PROGRAMS, SHORT_TERM, SOURCES, SYNAPSES

    text = (DOCS / "parts.md").read_text(encoding="utf-8")
    families = (MODELS, SOURCES, SYNAPSES, SHORT_TERM, PROGRAMS)
    named = set(re.findall(r"`([A-Z]\w+)", text))
    assert (
        sorted(member.__name__ for family in families for member in family.values() if member.__name__ not in named)
        == []
    )
    wirings = {
        "Dense",
        "OneToOne",
        "OneToOthers",
        "Sparse",
        "FixedInDegree",
        "FixedOutDegree",
        "FixedTotal",
        "EdgeList",
    }
    assert wirings <= named
