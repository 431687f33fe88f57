"""SAL at growing numbers of parameters: samples a second, bytes moved a second, and peak memory over bytes of weights.

Expected: at 16 samples an area a step reads and writes every weight three times and multiplies little, so that its time
is that of its bytes at the rate at which memory is copied, and grows with the number of parameters.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from neurosal.bench.child import can_measure, measured
from neurosal.bench.results import Goal, show_rest
from neurosal.bench.timing import Effort

AREAS, BATCH, RULE = 16, 256, "sal chain (kp)"
WIDTHS, QUICK = (512, 1024, 2048, 4096), (32,)
HIDDEN = 5  # populations, so four square projections: with 4096 units the circuit of the experiment sal_1b
ROOM = 1.4  # of the bytes of weights must be there for a row to be tried


def compare(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """Each size in a process of its own, the small ones first; print the table, and return what was measured."""
    found: dict[str, Any] = {"comparison": "scale", "work": f"sal, {AREAS} areas, chain (kp), batch {BATCH}",
                             "contenders": {}, "notes": []}  # fmt: skip
    if not can_measure(effort.device):
        found["notes"].append("peak memory is read from /proc, which this system does not have: not measured")
        show_rest(console, found)
        return [found]
    for width in QUICK if effort.quick else WIDTHS:
        sizes = (784, *[width] * HIDDEN, 10)
        forward = AREAS * sum(above * (below + 1) for below, above in pairwise(sizes))
        own = AREAS * sum(above * below for below, above in pairwise(sizes[1:]))
        label = f"784-{width}^{HIDDEN}-10, {forward / 1e6:,.0f} M forward"
        if (there := available(effort.device)) is not None and there < ROOM * 4 * (forward + own):
            found["notes"].append(f"{label}: left out, {4 * (forward + own) / 2**30:.1f} GiB of weights do not fit")
            continue
        entry = measured({
            "task": "scale", "sizes": sizes, "batch": BATCH, "areas": AREAS, "rule": RULE, "device": effort.device,
            "threads": max(effort.threads), "steps": 3 if effort.quick else 5, "quick": effort.quick,
        })  # fmt: skip
        found["contenders"][label] = {
            "forward_parameters": forward, **entry,
            "samples_per_second": BATCH / entry["median_s"],
            "bytes_per_second": entry["bytes"] / entry["median_s"],
            "peak_over_weights": entry["peak_bytes"] / entry["weight_bytes"],
            "floor_over_time": entry["floor_s"] / entry["median_s"],
        }  # fmt: skip
        if "difference_of_one_step" not in entry:
            found["notes"].append(f"{label}: too large for a second copy of its weights; its step was checked above")
    billion = [entry for entry in found["contenders"].values() if entry["forward_parameters"] >= 1e9]
    goal = Goal("peak resident memory over bytes of all weights, 1 billion parameters", most=1.25)
    found["goals"] = [goal.judged(billion[0]["peak_over_weights"] if billion else None)]
    console.print(_table(found))
    show_rest(console, found)
    return [found]


def available(device: str) -> int | None:
    """Bytes of memory that are free, where the system tells."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def _table(found: dict[str, Any]) -> Table:
    table = Table(title=f"scale: {found['work']}", title_justify="left", box=None)
    headings = ("circuit", "step", "samples/s", "moved GB/s", "copy GB/s", "floor/time", "peak/weights")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "circuit" else "right", no_wrap=True)
    for label, t in found["contenders"].items():
        table.add_row(
            label, f"{t['median_s'] * 1e3:.0f} ms", f"{t['samples_per_second']:.0f}",
            f"{t['bytes_per_second'] / 1e9:.1f}", f"{t['copy_rate_gbs']:.1f}", f"{t['floor_over_time']:.2f}",
            f"{t['peak_over_weights']:.2f}",
        )  # fmt: skip
    return table
