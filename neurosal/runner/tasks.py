"""How well a network does on each of several tasks: some classes of one part of the data.

Letters: R replica, N sample, O output unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from neurosal.engine.feeding import Part, rows_at_once
from neurosal.engine.network import Network
from neurosal.engine.sweep import no_grad


def judge(network: Network, part: Part, tasks: Mapping[str, Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Accuracy of each task over all outputs, and within its own classes; each [R, task] in float64, NaN without
    samples.

    Args:
        part: with class labels.
        tasks: name → classes.
    """
    labels = part.labels
    assert labels is not None, "tasks need class labels"
    device, replicas = network.device, network.replicas
    own = [torch.as_tensor(tuple(classes), device=device) for classes in tasks.values()]
    right = torch.zeros(2, replicas, len(own), dtype=torch.float64, device=device)
    counts = torch.stack([torch.isin(labels.to(device), classes).sum() for classes in own])
    rows = rows_at_once(network)
    for first in range(0, len(part), rows):
        logits = network.predict(part.named(first, min(first + rows, len(part))))
        label = labels[first : first + rows].to(device)
        with no_grad():
            answer = logits.argmax(-1) == label
            for index, classes in enumerate(own):
                chosen = torch.isin(label, classes)
                right[0, :, index] += answer[:, chosen].sum(1)
                among = classes[logits[:, chosen][..., classes].argmax(-1)]
                right[1, :, index] += (among == label[chosen]).sum(1)
    share = right / counts
    return share[0], share[1]
