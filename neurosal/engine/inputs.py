"""What users give (arrays, mappings, names of devices) in the form in which the sweep reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from operator import index
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
                remedy=near(name, [known for known in ("auto", "cpu", "cuda") if known != name]),
            )
        ) from None
    return device


def pick_seeds(seeds: Any) -> tuple[int, ...]:
    """Seeds as whole numbers.

    Raises:
        ExperimentError: for anything else, and for none.
    """
    given = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else None
    if given and all(hasattr(seed, "__index__") and not isinstance(seed, bool) for seed in given):
        return tuple(index(seed) for seed in given)
    found, remedy = "none" if given == [] else repr(seeds), "Pass e.g. seeds=range(5)."
    raise ExperimentError(
        Problem(place="seeds", expected="at least one seed, as whole numbers", found=found, remedy=remedy)
    )


def pick_segments(recompute: Any) -> int:
    """A number of segments.

    Raises:
        ExperimentError: for anything but a positive whole number.
    """
    if isinstance(recompute, int) and not isinstance(recompute, bool) and recompute > 0:
        return recompute
    expected = "a number of segments, a positive whole number"
    raise ExperimentError(Problem(place="recompute", expected=expected, found=repr(recompute)))


def pick_dtype(name: str) -> torch.dtype:
    """The torch type of that name."""
    if str(name).removeprefix("torch.") not in DTYPES:
        raise ExperimentError(
            Problem(place="dtype", expected="float32 or float64", found=repr(name), remedy=near(name, DTYPES))
        )
    return DTYPES[str(name).removeprefix("torch.")]


def pick_compute(name: str | None, dtype: torch.dtype) -> torch.dtype | None:
    """The type of products where it is not that of the weights, else None.

    Raises:
        ExperimentError: for a type that products of these weights cannot have.
    """
    own = str(dtype).removeprefix("torch.")
    given = own if name is None else str(name).removeprefix("torch.")
    known = [own, *(["bfloat16"] if dtype == torch.float32 else [])]
    if given in known:
        return None if given == own else torch.bfloat16
    remedy = f"Products of {own} weights are {own}." if given in (*DTYPES, "bfloat16") else near(given, known)
    raise ExperimentError(Problem(place="compute", expected=" or ".join(known), found=repr(name), remedy=remedy))


def as_inputs(
    x: Any, circuit: Circuit, replicas: int, device: torch.device, dtype: torch.dtype
) -> tuple[dict[str, Tensor], int]:
    """Input population → rows ([N, *extent] for one replica, [R, N, *extent] for more), and N.

    Rows may be flat for populations with space: channels, rows, columns. They come to lie with the channels last.

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
            else _tensor(value, dtype, place=f"x[{name!r}]").to(device)
        )
        population = circuit.populations[name]
        lead = _leading(tuple(tensor.shape), population.extent, replicas)
        if lead is None:
            shapes = [", ".join(map(str, population.extent)), str(population.units)][: 1 + population.spatial]
            problems.append(
                Problem(
                    place=f"x[{name!r}]",
                    expected=" or ".join(f"[{first}N, {shape}]" for shape in shapes for first in ("", f"{replicas}, ")),
                    found=str(list(tensor.shape)),
                    remedy="" if population.spatial else "Flatten each sample to one row.",
                )
            )
            continue
        rows[name] = laid_out(
            tensor
            if lead == 2 - (replicas == 1)
            else tensor[0]
            if lead == 2
            else tensor.expand(replicas, *tensor.shape),
            population.extent,
            replicas,
            device,
        )
    counts = {rows[name].shape[rows[name].dim() - len(circuit.populations[name].extent) - 1] for name in rows}
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


def _leading(shape: tuple[int, ...], extent: tuple[int, ...], replicas: int) -> int | None:
    """How many axes lead those of a sample, given flat or with its extent: one for samples, two where replicas come
    first; None where that does not fit."""
    for own in (extent, (prod(extent),)):
        lead = len(shape) - len(own)
        if shape[lead:] == own and (lead == 1 or (lead == 2 and shape[0] == replicas)):
            return lead
    return None


def laid_out(rows: Tensor, extent: tuple[int, ...], replicas: int, device: torch.device) -> Tensor:
    """Rows, flat or not, of a population with space as [.., *extent] with its channels last in memory; others as they
    are. On a GPU replicas stand beside the channels, where one grouped convolution serves all of them."""
    space = len(extent) - 1
    if not space:
        return rows
    if rows.dim() == 2 + (replicas > 1):  # told by axes: one sample of one channel has the same sizes either way
        rows = rows.unflatten(-1, extent)
    last = rows.movedim(-1 - space, -1)
    if rows.dim() == space + 3 and device.type == "cuda":
        return last.movedim(0, -2).contiguous().movedim(-2, 0).movedim(-1, -1 - space)
    return last.contiguous().movedim(-1, -1 - space)


def as_target(
    y: Any, loss: str, replicas: int, samples: int, units: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Labels [N] / [R, N] or values [N, O] / [R, N, O], as the loss wants them.

    Raises:
        ExperimentError: for an unknown loss. DataError: for a target that does not fit it.
    """
    if loss == "cross_entropy":
        ready = isinstance(y, Tensor) and y.dtype == torch.int64 and y.device == device
        tensor = y if ready else _tensor(y, place="y").to(device)
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
        if device.type != "cpu":  # a kernel there would not say what is wrong
            refuse_labels(tensor, loss, units)
    elif loss in ("mse", "bce"):
        tensor = _tensor(y, dtype, place="y").to(device)
        expected, own = f"values [{samples}, {units}] or [{replicas}, {samples}, {units}]", (samples, units)
    else:
        known = ("cross_entropy", "mse", "bce", "none")
        raise ExperimentError(Problem(place="loss", expected="a loss", found=repr(loss), remedy=near(loss, known)))
    shape = tuple(tensor.shape)
    if shape not in (own, (replicas, *own)):
        raise DataError(Problem(place="y", expected=expected, found=str(list(shape))))
    if replicas == 1:
        return tensor if shape == own else tensor[0]
    return tensor.expand(replicas, *own) if shape == own else tensor


def refuse_labels(labels: Tensor, loss: str, units: int) -> None:
    """Refuse labels that no unit of the output stands for.

    Raises:
        DataError: naming the smallest and the largest.
    """
    if loss == "cross_entropy" and bool(((labels < 0) | (labels >= units)).any()):
        found = f"{int(labels.min())} to {int(labels.max())}"
        raise DataError(Problem(place="y", expected=f"labels from 0 to {units - 1} (units of the output)", found=found))


def _tensor(value: Any, dtype: torch.dtype | None = None, *, place: str) -> Tensor:
    """What users give as a tensor; arrays are copied, since those of data sets must not be written to."""
    if isinstance(value, Tensor):
        return value if dtype is None else value.to(dtype)
    try:
        return torch.tensor(value, dtype=dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(value).__name__
        raise DataError(
            Problem(place=place, expected="an array of numbers", found=f"{kind} ({str(error).splitlines()[0]})")
        ) from None
