"""Steps of deep residual nets beside torch backpropagation of the same net."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from neurosal.bench.contenders import FORMS
from neurosal.bench.racing import race
from neurosal.bench.residual import RULES, ResidualWork, ours, theirs
from neurosal.bench.timing import Effort

WORKS = (
    ResidualWork(8, 512, 512),
    ResidualWork(32, 512, 512),
    ResidualWork(128, 512, 512),
    ResidualWork(128, 64, 128),  # of the study of depth: small layers, so that calls count
)
QUICK = (ResidualWork(3, 8, 8),)


def compare(console: Console, effort: Effort) -> list[dict[str, Any]]:
    """A step under chain and direct feedback, at growing depth."""
    found = []
    for work in QUICK if effort.quick else WORKS:
        contenders = [theirs(work, form, device=effort.device) for form in FORMS]
        if not effort.quick:
            contenders.append(theirs(work, "fused", compiled=True, device=effort.device))
        contenders += [ours(work, rule, device=effort.device) for rule in RULES]
        found.append(race(console, "depth", str(work), contenders, effort.shorter(8)))
    return found
