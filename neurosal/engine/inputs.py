"""What users give (arrays, mappings, names of devices) in the form in which the sweep reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from neurosal.errors import DataError, ExperimentError, Problem, near
from neurosal.graph import Circuit

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def pick_device(name: str) -> torch.device:
    """The device of that name; "auto" takes a GPU when there is one.

    Raises:
        ExperimentError: when this machine or this torch does not have it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        found = str(error).splitlines()[0]
        raise ExperimentError(
            Problem(
                place="device",
                expected="auto, cpu or a GPU of this machine",
                found=f"{name!r} ({found})",
                remedy=near(name, ["auto", "cpu", "cuda"]),
            )
        ) from None
    return device


def pick_dtype(name: str) -> torch.dtype:
    """The torch type of that name."""
    if str(name).removeprefix("torch.") not in DTYPES:
        raise ExperimentError(
            Problem(place="dtype", expected="float32 or float64", found=repr(name), remedy=near(name, DTYPES))
        )
    return DTYPES[str(name).removeprefix("torch.")]


def as_inputs(
    x: Any, circuit: Circuit, replicas: int, device: torch.device, dtype: torch.dtype
) -> tuple[dict[str, Tensor], int]:
    """Input population → rows ([N, I] for one replica, [R, N, I] for more), and N.

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
    problems += [
        Problem(place=f"x[{name!r}]", expected="values for every input population", found="none")
        for name in names
        if name not in given
    ]
    rows: dict[str, Tensor] = {}
    for name in names:
        if name not in given:
            continue
        value = given[name]
        tensor = (
            value
            if isinstance(value, Tensor) and value.dtype == dtype and value.device == device
            else _tensor(value, dtype).to(device)
        )
        units = circuit.populations[name].units
        if (
            tensor.dim() < 2
            or tensor.shape[-1] != units
            or tensor.dim() > 3
            or (tensor.dim() == 3 and tensor.shape[0] != replicas)
        ):
            problems.append(
                Problem(
                    place=f"x[{name!r}]",
                    expected=f"[N, {units}] or [{replicas}, N, {units}]",
                    found=str(list(tensor.shape)),
                    remedy="Flatten each sample to one row.",
                )
            )
            continue
        rows[name] = (
            tensor
            if tensor.dim() == 3 - (replicas == 1)
            else tensor[0]
            if tensor.dim() == 3
            else tensor.expand(replicas, *tensor.shape)
        )
    counts = {tensor.shape[-2] for tensor in rows.values()}
    if len(counts) > 1 or counts == {0}:
        problems.append(
            Problem(
                place="x",
                expected="the same number of samples, at least one, for every input",
                found=str(sorted(counts)),
            )
        )
    if problems:
        raise DataError(problems)
    return rows, counts.pop()


def as_target(
    y: Any, loss: str, replicas: int, samples: int, units: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Labels [N] / [R, N] or values [N, O] / [R, N, O], as the loss wants them.

    Raises:
        ExperimentError: for an unknown loss. DataError: for a target that does not fit it.
    """
    if loss == "cross_entropy":
        tensor = y if isinstance(y, Tensor) and y.dtype == torch.int64 and y.device == device else _tensor(y).to(device)
        own: tuple[int, ...] = (samples,)
        expected = f"labels [{samples}] or [{replicas}, {samples}] below {units}"
        if tensor.is_floating_point():
            raise DataError(
                Problem(
                    place="y",
                    expected="integer labels for cross_entropy",
                    found=str(tensor.dtype).removeprefix("torch."),
                )
            )
        tensor = tensor.long()
    elif loss in ("mse", "bce"):
        tensor = _tensor(y, dtype).to(device)
        expected, own = f"values [{samples}, {units}] or [{replicas}, {samples}, {units}]", (samples, units)
    else:
        known = ("cross_entropy", "mse", "bce")
        raise ExperimentError(Problem(place="loss", expected="a loss", found=repr(loss), remedy=near(loss, known)))
    shape = tuple(tensor.shape)
    if shape not in (own, (replicas, *own)):
        raise DataError(Problem(place="y", expected=expected, found=str(list(shape))))
    if replicas == 1:
        return tensor if shape == own else tensor[0]
    return tensor.expand(replicas, *own) if shape == own else tensor


def _tensor(value: Any, dtype: torch.dtype | None = None) -> Tensor:
    """What users give as a tensor; arrays are copied, since those of data sets must not be written to."""
    return (
        (value if dtype is None else value.to(dtype)) if isinstance(value, Tensor) else torch.tensor(value, dtype=dtype)
    )
