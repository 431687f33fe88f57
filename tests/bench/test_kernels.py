"""The choices of products are measured under each choice, and are what they were afterwards."""

from __future__ import annotations

import pytest
import torch
from rich.console import Console

from neurosal.bench import kernels
from neurosal.bench.timing import Effort
from neurosal.engine import grouped, products

QUICK = Effort(threads=(1,), quick=True)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "SECONDS_A_TURN", 0.0)


def test_every_product_is_timed_each_way_and_the_choice_is_one_of_them() -> None:
    before = products.LARGE, products.LARGE_CHANGE, grouped.pads
    (found,) = kernels.compare(Console(quiet=True), QUICK)
    assert (products.LARGE, products.LARGE_CHANGE, grouped.pads) == before
    assert len(found["rows"]) == 6
    for row in found["rows"]:
        assert {"padded", "loop"} == set(row["median_us"]) or "torch.mm" in row["median_us"]
        assert all(micro > 0 for micro in row["median_us"].values())
        assert row["over_best"] == row["median_us"][row["chosen"]] / min(row["median_us"].values())


def test_the_choice_holds_while_the_product_runs() -> None:
    seen: list[object] = []
    kernels.under(products, {"LARGE": 7}, lambda: seen.append(products.LARGE))()
    assert seen[0] == 7
    for name, way in kernels.by_way(lambda: seen.append(grouped.pads(None, 0, None))).items():  # type: ignore[arg-type]
        way()
        assert seen[-1] == (name == "padded")


def test_the_first_area_is_fuller_where_asked() -> None:
    even, skewed = (kernels.drawn_groups(2, 4, 4000, beyond).counts_RK[0] for beyond in (0.0, 0.5))
    assert even.max() < 1200
    assert skewed[0] > 2300
    assert torch.equal(kernels.drawn_groups(2, 4, 40, 0.5).area_RN, kernels.drawn_groups(2, 4, 40, 0.5).area_RN)


@pytest.mark.parametrize(
    ("multiplications", "weight", "change", "chosen"),
    [
        (products.LARGE, 100, False, "oneDNN"),
        (products.LARGE - 1, 100, False, "torch.mm"),
        (products.LARGE, 100, True, "torch.mm"),
        (products.LARGE, products.OUT_OF_CACHE, True, "oneDNN"),
    ],
)
def test_the_library_is_that_of_the_thresholds(multiplications: int, weight: int, change: bool, chosen: str) -> None:
    assert kernels.library(multiplications, weight, change=change) == chosen
