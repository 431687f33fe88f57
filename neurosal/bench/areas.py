"""Areas beside torch backpropagation of the same active width, and beside the best ways to write areas in plain torch.

Expected: chain feedback has as many products as dense backpropagation, so its time is that of the products at the rate
that they reach in groups; direct feedback has 8/11 of them in four layers. At 32 samples an area a step moves more
bytes than it can multiply in that time: K weights are read and written where dense backpropagation has one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console

from neurosal.bench import torch_areas
from neurosal.bench.contenders import AREA_RULES, FORMS, Contender, as_graphs, dense, ours
from neurosal.bench.racing import Measured, race
from neurosal.bench.results import Goal, show_rest
from neurosal.bench.timing import Effort, matrix_rate, mm_rate, seconds, threads_put_back
from neurosal.bench.works import Work
from neurosal.engine import products
from neurosal.engine.network import compile
from neurosal.engine.wiring import make_kernel
from neurosal.graph import Dense
from neurosal.rules import sal

CHAIN, DIRECT = "sal chain (kp)", "sal direct (dfa)"
FOUR = (1024, 1024, 1024, 1024, 1024, 10)  # four layers of width 1024 and a read-out
TWICE = (2048, 2048, 2048, 2048, 2048, 10)
LIMITS = {4096: (1.20, 1.10, 0.85, 0.80), 512: (1.6, None, 1.1, None)}  # batch: chain and its stretch, direct and its
SMALL = Work((128, 128, 128, 128, 128, 10), 128, areas=16)  # where gathered weights and the masked way fit
QUICK = {4096: (16, 16, 16, 4), 512: (16, 16, 4)}


def compare(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """All rows on areas beside torch, and many over one; prints each when it is done, and returns them."""
    found = []
    for batch in (4096, 512):
        work = Work(QUICK[batch], 64, areas=4) if effort.quick else Work(FOUR, batch, areas=16)
        effort = effort.shorter(12)
        even = against_torch(console, work, batch, effort)
        best = best_rivals(even)  # of other usages they need not be found again
        found += [even, against_torch(console, replace(work, usage="skewed"), batch, effort, best)]
    if not effort.quick:
        found.append(against_torch(console, SMALL, 0, effort.shorter(5)))
    return [*found, many_over_one(console, effort)]


def against_torch(
    console: Console, work: Work, batch: int, effort: Effort, only: list[str] | None = None
) -> dict[str, Any]:
    """Our steps beside torch backpropagation without areas, and beside areas in plain torch.

    Args:
        console: where to print.
        work: areas, sizes, batch, usage.
        batch: whose goals stand beside the results.
        effort: how long.
        only: names of rivals; all by default.
    """
    contenders, notes = rivals(work, effort, only)
    rules = AREA_RULES if only is None else (CHAIN, DIRECT)
    contenders += [ours(work, rule, device=effort.device) for rule in rules]
    if not effort.quick and work != SMALL and only is None:
        graphs, left_out = as_graphs(work, (CHAIN, DIRECT), effort.device)
        contenders, notes = contenders + graphs, notes + left_out
    plain = [f"torch {way.way}" for way in torch_areas.WAYS]
    goals: list[Measured] = []
    if batch in LIMITS:
        chain, further_chain, direct, further_direct = LIMITS[batch]
        goals = [
            (Goal("chain over dense backprop", most=chain, stretch=further_chain), CHAIN, ["torch backprop"]),
            (Goal("direct over dense backprop", most=direct, stretch=further_direct), DIRECT, ["torch backprop"]),
            (Goal("chain over the best areas in plain torch", most=0.80), CHAIN, plain),
            (Goal("direct over the best areas in plain torch", most=0.60), DIRECT, plain),
        ]
    return race(console, "areas", str(work), contenders, effort, goals=goals, notes=notes, more=_usage)


def best_rivals(found: dict[str, Any], ways: int = 2) -> list[str]:
    """The names of dense backpropagation and of the fastest ways to write areas, in the variants that were timed."""
    times = {name: entry["median_s"] for name, entry in found["contenders"].items() if name.startswith("torch")}
    dense_ones = [name for name in times if name.startswith("torch backprop")]
    return dense_ones + sorted(set(times) - set(dense_ones), key=lambda name: times[name])[:ways]


def _usage(found: dict[str, Any]) -> None:
    """Say how uneven the areas were, after the last step."""
    measured = [
        entry["usage_max_over_mean"] for entry in found["contenders"].values() if "usage_max_over_mean" in entry
    ]
    if measured:
        found["usage_max_over_mean"] = max(measured)
        found["notes"].append(f"fullest area over the mean of all: {min(measured):.2f} to {max(measured):.2f}")


def rivals(work: Work, effort: Effort, only: list[str] | None) -> tuple[list[Contender], list[str]]:
    """Dense backpropagation and areas in plain torch, in all variants; and what is left out."""
    found: list[Contender] = []
    notes: list[str] = []
    compiled = not effort.quick and work != SMALL
    found += [dense(work, form, device=effort.device) for form in FORMS]
    if compiled:
        found.append(dense(work, "fused", compiled=True, device=effort.device))
    for way in torch_areas.WAYS:
        if (reason := torch_areas.left_out(way, work)) is not None:
            notes.append(reason)
            continue
        net = torch_areas.area_net(way, work, effort.device)
        found += [torch_areas.contender(net, work, form, device=effort.device) for form in FORMS]
        if way.compiles and compiled:
            found.append(torch_areas.contender(net, work, "fused", compiled=True, device=effort.device))
    return [entry for entry in found if only is None or entry.name in only], notes


def many_over_one(console: Console, effort: Effort) -> dict[str, Any]:
    """K = 64 over K = 1 at the same active width."""
    one = Work((16, 16, 4), 64) if effort.quick else Work(FOUR, 4096)
    many = replace(one, areas=4 if effort.quick else 64)
    single = ours(one, "kp", device=effort.device, label="1 area, chain (kp)")
    split = ours(many, CHAIN, device=effort.device, label=f"{many.areas} areas, chain (kp)")
    goal = Goal(f"{many.areas} areas over 1", most=1.25)
    return race(
        console, "areas", f"{many} over 1 area", [single, split], effort, reference=single.name,
        goals=[(goal, split.name, [single.name])], more=_usage,
    )  # fmt: skip


def narrow_over_wide(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """Products in bfloat16 over float32, with areas and without: ours, and those of `torch.mm`, which are slower where
    its library takes half as wide instructions."""
    one = Work((16, 16, 4), 64) if effort.quick else Work(TWICE, 4096)
    found = []
    for work, rule in ((replace(one, areas=4 if effort.quick else 16), CHAIN), (one, "kp")):
        wide, narrow = (
            ours(work, rule, device=effort.device, label=f"{rule}, {name}", compute=compute)
            for name, compute in (("float32", None), ("bfloat16", "bfloat16"))
        )
        name = f"{rule}, float32 by torch.mm"
        plain = replace(wide, name=name, family=name, step=by_torch_mm(wide.step))
        goals: list[Measured] = [
            (Goal("bfloat16 over float32", most=0.40), narrow.name, [wide.name]),
            (Goal("bfloat16 over float32 by torch.mm", most=0.40), narrow.name, [plain.name]),
        ]
        found.append(
            race(
                console,
                "areas",
                f"{work}, bfloat16 over float32",
                [plain, wide, narrow],
                effort.shorter(5),
                reference=wide.name,
                goals=goals,
                more=_usage,
            )
        )
        del plain, wide, narrow  # their weights go before the next ones come
    return found


def by_torch_mm(step: Callable[[], object]) -> Callable[[], object]:
    """A step whose products in float32 are all `torch.mm`."""

    def stepped() -> object:
        before = products.LARGE, products.LARGE_CHANGE
        products.LARGE = products.LARGE_CHANGE = 1 << 62
        try:
            return step()
        finally:
            products.LARGE, products.LARGE_CHANGE = before

    return stepped


def kernel_fraction(console: Console, effort: Effort) -> dict[str, Any]:
    """The grouped products alone, at 256 samples an area: their fraction of the matrix rate, that of `torch.mm` and the
    best one."""
    width, each, areas = (16, 8, 4) if effort.quick else (1024, 256, 16)
    work = Work((width, width, 2), each * areas, areas=areas)
    network = compile(sal(work.circuit(), areas=areas, feedback="dfa"), device=effort.device)
    x = work.data()[0].to(effort.device)
    groups = network.forward(x).groups["route_hidden1"]
    rows, errors = x[groups.order], torch.randn_like(x)
    weight = torch.randn(areas, width, width, device=effort.device)
    grouped = make_kernel(Dense(), (1,), (1,), "grouped")
    products: dict[str, Callable[[], object]] = {
        "apply": lambda: grouped.apply(weight, rows, groups),
        "pull": lambda: grouped.pull(weight, errors, groups),
        "accumulate": lambda: grouped.accumulate_([(weight, 1e-9, 1.0)], errors, rows, groups),
    }
    expected = torch.cat([part @ weight[k].T for k, part in enumerate(rows.split(groups.counts_RK[0].tolist()))])
    off = float((grouped.apply(weight, rows, groups) - expected).norm() / expected.norm())
    assert off < 1e-4, f"the grouped product differs by {off:.2g}"
    operations, best = 2.0 * each * areas * width**2, {}
    rate, plain = matrix_rate(effort), mm_rate(effort)
    with threads_put_back(), torch.inference_mode():
        for name, product in products.items():
            taken = []
            for count in effort.threads:
                torch.set_num_threads(count)
                product()
                taken.append(min(seconds(product, 3, effort.device) for _ in range(effort.turns // 2 + 1)))
            best[name] = operations / min(taken)
    rate, plain = max(rate, matrix_rate(effort)), max(plain, mm_rate(effort))
    found: dict[str, Any] = {
        "comparison": "areas", "work": f"grouped products, {areas} areas of {each} samples, width {width}",
        "matrix_rate_gflops": round(rate / 1e9, 1),
        "mm_rate_gflops": round(plain / 1e9, 1),
        "fractions": {name: value / rate for name, value in best.items()},
    }  # fmt: skip
    slowest = min(best.values())
    found["goals"] = [
        Goal("grouped products (the slowest of them) over the best matrix rate", least=0.85).judged(slowest / rate),
        Goal("grouped products (the slowest of them) over the rate of torch.mm", least=0.85).judged(slowest / plain),
    ]
    shown = ", ".join(f"{name} {value:.2f}" for name, value in found["fractions"].items())
    console.print(f"areas: {found['work']}: {shown} of {rate / 1e9:.0f} GFLOP/s", highlight=False)
    show_rest(console, found)
    return found
