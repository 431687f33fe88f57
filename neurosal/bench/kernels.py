"""The choices that products make, measured: by which library, and for areas by which way; the thresholds in
`engine.products` and `engine.grouped` come from here.

Letters: R replicas, K areas, N samples a replica, I and O units.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from neurosal.bench.timing import Effort, threads_put_back
from neurosal.engine import grouped, products
from neurosal.engine.heap import keep_freed_memory
from neurosal.engine.routing import Groups

Product = Callable[[], object]
Ways = dict[str, Callable[[], float]]  # seconds that each takes
MATRICES = (  # samples, I, O
    (32, 128, 128), (32, 256, 256), (32, 784, 128), (4, 1024, 1024), (128, 512, 512), (32, 1024, 1024),
    (256, 1024, 1024), (2048, 1024, 1024),
)  # fmt: skip
AREAS = (  # R, K, N, I, O, share of the fullest area beyond an even one
    (10, 16, 64, 16, 64, 0.0), (1, 64, 512, 128, 128, 0.0), (1, 16, 512, 64, 256, 0.0), (1, 16, 512, 256, 256, 0.0),
    (1, 16, 512, 256, 256, 0.2), (5, 16, 16, 784, 256, 0.0), (1, 16, 512, 512, 512, 0.2), (1, 16, 512, 1024, 1024, 0.0),
)  # fmt: skip
TINY_MATRICES, TINY_AREAS = ((4, 3, 5),), ((2, 3, 8, 3, 5, 0.2),)
TURNS, SECONDS_A_TURN = 9, 0.01


def compare(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """Each product by both libraries and both ways, interleaved: median µs, and what the choice costs over the best."""
    keep_freed_memory()
    found = []
    with threads_put_back(), torch.inference_mode():
        for threads in effort.threads:
            torch.set_num_threads(threads)
            for samples, pre, post in TINY_MATRICES if effort.quick else MATRICES:
                work = f"{samples} samples, {pre} to {post}"
                for name, product in of_matrices(samples, pre, post).items():
                    chosen = library(samples * pre * post, pre * post, change=name == "W += change")
                    found.append(measured(work, name, by_library(product), chosen, threads, effort))
            for shape in TINY_AREAS if effort.quick else AREAS:
                replicas, areas, samples, pre, post, beyond = shape
                groups = drawn_groups(replicas, areas, samples, beyond)
                padded = groups.counts_RK.numel() * groups.capacity / len(groups.order)
                work = f"R {replicas}, K {areas}, {samples} samples, {pre} to {post}, {padded:.1f} padded rows a row"
                for name, product in of_groups(groups, pre, post).items():
                    chosen = "padded" if grouped.pads(groups, pre * post, torch.empty(len(groups.order), 1)) else "loop"
                    found.append(measured(work, name, by_way(product), chosen, threads, effort))
    show(console, found)
    return [{"comparison": "kernels", "work": "choices of products", "rows": found}]


def of_matrices(samples: int, pre: int, post: int) -> dict[str, Product]:
    """The three products of one weight."""
    h, e, weight = torch.randn(samples, pre), torch.randn(samples, post), torch.randn(post, pre)
    return {
        "W h": lambda: products.multiply(h, weight.t()),
        "Wᵀ e": lambda: products.multiply(e, weight),
        "W += change": lambda: products.accumulate([(weight, 1e-9, 1.0)], e, h),
    }


def of_groups(groups: Groups, pre: int, post: int) -> dict[str, Product]:
    """The products of a weight of each group, and of a reciprocal pair."""
    rows, count = len(groups.order), groups.counts_RK.numel()
    h, e, weight, back = (torch.randn(*shape) for shape in ((rows, pre), (rows, post), *[(count, post, pre)] * 2))

    def moved(*weights: Tensor) -> Product:
        return lambda: grouped.accumulate_groups([(weight, 1e-9, 1.0) for weight in weights], e, h, groups)

    return {
        "W h": lambda: grouped.multiply_groups(h, weight.mT, groups),
        "W += change": moved(weight),
        "W, B += change": moved(weight, back),
    }


def drawn_groups(replicas: int, areas: int, samples: int, beyond: float) -> Groups:
    """Samples that fall into areas at random, the first one more often."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.full((replicas, areas), (1 - beyond) / areas)
    shares[:, 0] += beyond
    return Groups(torch.multinomial(shares, samples, replacement=True, generator=generator), areas)


def library(multiplications: int, weight: int, *, change: bool) -> str:
    """Which library the thresholds choose."""
    least = products.LARGE_CHANGE if change and weight < products.OUT_OF_CACHE else products.LARGE
    return "oneDNN" if multiplications >= least else "torch.mm"


def by_library(product: Product) -> Ways:
    """The product by each library that is there."""

    ways = {"torch.mm": under(products, {"LARGE": 1 << 62, "LARGE_CHANGE": 1 << 62}, product)}
    if products.linear is not None:
        ways["oneDNN"] = under(products, {"LARGE": 0, "LARGE_CHANGE": 0}, product)
    return ways


def by_way(product: Product) -> Ways:
    """The product by each way of areas."""
    return {
        "padded": under(grouped, {"pads": lambda *_: True}, product),
        "loop": under(grouped, {"pads": lambda *_: False}, product),
    }


def under(module: ModuleType, choices: dict[str, object], product: Product) -> Callable[[], float]:
    """Seconds of a product where a module makes these choices."""

    def taken() -> float:
        before = {name: getattr(module, name) for name in choices}
        try:
            vars(module).update(choices)
            count, start = 0, time.perf_counter()
            while count == 0 or time.perf_counter() - start < SECONDS_A_TURN:
                product()
                count += 1
            return (time.perf_counter() - start) / count
        finally:
            vars(module).update(before)

    return taken


def measured(work: str, product: str, ways: Ways, chosen: str, threads: int, effort: Effort) -> dict[str, Any]:
    """One row: median µs of each way, and the choice over the best."""
    taken: dict[str, list[Any]] = {name: [] for name in ways}
    for turn in range(2 if effort.quick else TURNS + 1):
        for name, way in ways.items():
            seconds = way()
            if turn:
                taken[name].append(seconds)
    micro = {name: statistics.median(seconds) * 1e6 for name, seconds in taken.items()}
    return {
        "work": work, "product": product, "threads": threads, "median_us": micro, "chosen": chosen,
        "over_best": micro[chosen] / min(micro.values()),
    }  # fmt: skip


def show(console: Console, rows: list[dict[str, Any]]) -> None:
    """A table."""
    table = Table("work", "product", "threads", "µs", "chosen", "over the best")
    for row in rows:
        times = ", ".join(f"{name} {micro:.0f}" for name, micro in row["median_us"].items())
        cells = (row["work"], row["product"], str(row["threads"]), times, row["chosen"], f"{row['over_best']:.2f}")
        table.add_row(*cells)
    console.print(table)
