"""Peak memory of a step of a deep net beside torch backpropagation of the same net.

Expected, in 128 blocks of width 512 at batch 512 (1 MiB a signal, 1 MiB a weight): autograd holds for each block what
the products and the norm need, and a gradient for each weight; we hold stream and hidden activity of each block, and no
gradient. Separate feedback weights of a chain are as many as the forward ones.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from rich.console import Console
from rich.table import Table

from neurosal.bench.child import can_measure, measured
from neurosal.bench.residual import ResidualWork
from neurosal.bench.results import Goal, show_rest
from neurosal.bench.timing import Effort

WORK, QUICK = ResidualWork(128, 512, 512), ResidualWork(4, 32, 64)
RIVALS = ("foreach", "fused")
SEGMENTS = 12  # about the square root of the depth
CONTENDERS: dict[str, tuple[str, dict[str, int]]] = {
    "bp": ("bp", {}),
    "kp": ("kp", {}),
    "dfa": ("dfa", {}),
    f"kp, recomputed in {SEGMENTS} segments": ("kp", {"recompute": SEGMENTS}),
    f"dfa, recomputed in {SEGMENTS} segments": ("dfa", {"recompute": SEGMENTS}),
}
LIMITS = {"kp": ("chain feedback (kp)", 1.0), "dfa": ("direct feedback (dfa)", 0.8)}
HOW = "peak resident memory of 3 steps in a process of its own, above what was resident before the first one"


def compare(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """Each contender in a process of its own, one after another; print the table, and return what was measured."""
    work = QUICK if effort.quick else WORK
    found: dict[str, Any] = {"comparison": "memory", "work": str(work), "how": HOW, "peaks": {}, "notes": [f"{HOW}"]}
    if not can_measure(effort.device):
        found["notes"] = ["peak memory is read from /proc, which this system does not have: not measured"]
        show_rest(console, found)
        return [found]
    asked = {f"torch backprop ({form})": (form, dict[str, int]()) for form in RIVALS} | CONTENDERS
    for label in ("torch backprop (fused)", *LIMITS) if effort.quick else asked:
        name, options = asked[label]
        entry = measured({
            "task": "memory", "contender": name, "work": astuple(work), "device": effort.device,
            "threads": max(effort.threads), "options": options,
        })  # fmt: skip
        weights = weight_bytes(work, name)
        found["peaks"][label] = {"weight_bytes": weights, **entry, "peak_bytes": weights + entry["above_bytes"]}
    add_goals(found)
    table = Table(title=f"memory: {work}, one step", title_justify="left", box=None)
    for heading in ("contender", "weights", "above them", "ratio", "together", "ratio"):
        table.add_column(heading, justify="left" if heading == "contender" else "right")
    above, together = (best(found, key) for key in ("above_bytes", "peak_bytes"))
    for label, entry in found["peaks"].items():
        sizes = [f"{entry[key] / 2**20:.0f} MiB" for key in ("weight_bytes", "above_bytes", "peak_bytes")]
        ratios = f"{entry['above_bytes'] / above:.2f}", f"{entry['peak_bytes'] / together:.2f}"
        table.add_row(label, sizes[0], sizes[1], ratios[0], sizes[2], ratios[1])
    console.print(table)
    show_rest(console, found)
    return [found]


def weight_bytes(work: ResidualWork, name: str) -> int:
    """Bytes of weights and biases, feedback of its own included."""
    square, output = work.width**2, work.width * work.classes
    forward = (work.blocks + 1) * (square + work.width) + output + work.classes
    own = {"kp": work.blocks * square + output, "dfa": (work.blocks + 1) * output}.get(name, 0)
    return 4 * (forward + own)


def best(found: dict[str, Any], key: str) -> int:
    """The smallest of torch's."""
    return min(int(entry[key]) for label, entry in found["peaks"].items() if label.startswith("torch"))


def add_goals(found: dict[str, Any]) -> None:
    """Ratios to torch beside their goals: above the weights, and with them."""
    found["goals"] = []
    for key, words in (("above_bytes", "above the weights"), ("peak_bytes", "weights included")):
        for name, (what, most) in LIMITS.items():
            goal = Goal(f"peak memory over torch backprop, {what}, {words}", most=most)
            found["goals"].append(goal.judged(found["peaks"][name][key] / best(found, key)))
