"""What routing alone knows of the classes: the vote of areas, a control beside the accuracy of the whole circuit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from neurosal.engine.feeding import Part, rows_at_once
from neurosal.engine.network import Network
from neurosal.errors import Problem
from neurosal.settings.probes import Probe
from neurosal.stats import label_counts, vote_accuracy

Array = np.ndarray[Any, Any]


def unvotable(probes: Iterable[Probe], parts: Mapping[str, Part]) -> list[Problem]:
    """What keeps these data from a vote, where some probe asks for one."""
    if not any(probe.what == "vote" for probe in probes):
        return []
    problems = []
    if parts["train"].labels is None:
        expected, found = "data with class labels", "targets that are numbers"
        problems.append(Problem(place="record.vote", expected=expected, found=found))
    if len(parts) == 1:
        remedy = "Split the data: data.split(validation=0.1)."
        expected = "a validation or test part to judge the vote on"
        problems.append(Problem(place="record.vote", expected=expected, found="neither", remedy=remedy))
    return problems


def votes(network: Network, parts: Mapping[str, Part], areas: Mapping[str, int]) -> dict[str, Array]:
    """Accuracy of the vote of areas on each part but the training part, whose samples vote: float64 [R, population].

    Args:
        parts: "train" and those to judge.
        areas: name of each population with a router → its number of areas.
    """
    labels = 1 + max(int(part.labels.max()) for part in parts.values() if part.labels is not None)
    counts = {name: _counts(network, part, areas, labels) for name, part in parts.items()}
    seen = counts.pop("train")
    return {
        name: np.stack([vote_accuracy(seen[entry], asked[entry]) for entry in areas], axis=-1)
        for name, asked in counts.items()
    }


def _counts(network: Network, part: Part, areas: Mapping[str, int], labels: int) -> dict[str, Array]:
    """Samples by area and label, [R, K, C] for each population; each router is asked once."""
    assert part.labels is not None
    routes = network.plan.routes
    size = {routes[name]: count for name, count in areas.items()}
    totals: dict[str, Any] = dict.fromkeys(size, 0)
    rows = rows_at_once(network)
    for first in range(0, len(part), rows):
        batch = network.forward(part.rows(first, first + rows))
        label = part.labels[first : first + rows].numpy()
        for route, count in size.items():
            area = batch.groups[route].area_RN.cpu().numpy()
            totals[route] = totals[route] + label_counts(area, label, areas=count, labels=labels)
    return {name: totals[routes[name]] for name in areas}
