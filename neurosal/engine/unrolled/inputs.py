"""What users give a network whose samples take time: features of each sample, frame after frame.

Letters: R replica, N sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from neurosal.errors import DataError, Problem, near
from neurosal.graph import Circuit


def as_samples(
    x: Any, circuit: Circuit, replicas: int, device: torch.device, dtype: torch.dtype
) -> tuple[dict[str, Tensor], int]:
    """Input population → features [N, features] or [R, N, features] ([N, features] for one replica), and N.

    Raises:
        DataError: naming each input that is missing, unknown or of the wrong shape.
    """
    names = circuit.inputs
    given = x if isinstance(x, Mapping) else {names[0]: x}
    problems = [
        Problem(place=f"x[{name!r}]", expected="an input population", found=repr(name), remedy=near(name, names))
        for name in given
        if name not in names
    ]
    rows: dict[str, Tensor] = {}
    for name in names:
        if name not in given:
            problems.append(Problem(place=f"x[{name!r}]", expected="values for every input population", found="none"))
            continue
        tensor = torch.as_tensor(given[name]).to(device, dtype)
        features = circuit.populations[name].features
        if tensor.dim() > 3 or (tensor.dim() == 3 and tensor.shape[-1] != features):
            tensor = tensor.flatten(1)
        if tensor.shape[-1] != features or not (tensor.dim() == 2 or (tensor.dim() == 3 and len(tensor) == replicas)):
            expected = f"[N, {features}] or [{replicas}, N, {features}] (frames × units)"
            problems.append(Problem(place=f"x[{name!r}]", expected=expected, found=str(list(tensor.shape))))
            continue
        rows[name] = tensor[0] if tensor.dim() == 3 and replicas == 1 else tensor
    counts = {tensor.shape[-2] for tensor in rows.values()}
    if len(counts) > 1 or counts == {0}:
        expected = "the same number of samples, at least one, for every input"
        problems.append(Problem(place="x", expected=expected, found=str(sorted(counts))))
    if problems:
        raise DataError(problems)
    return rows, counts.pop()
