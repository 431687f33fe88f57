"""From statistics of plain arrays to statistics of labelled ones: dimensions are matched by name, and a wrong name is
told with near ones."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import xarray

from neurosal.errors import NeurosalError, Problem, near

Dims = Hashable | Sequence[Hashable]


def lift(
    function: Callable[..., Any], *arrays: xarray.DataArray, dim: Dims, name: str, attrs: dict[str, Any], **options: Any
) -> xarray.DataArray:
    """`function(*arrays, axis=...)` over the dimensions `dim`; all others are kept, and broadcast by name.

    Args:
        function: of `neurosal.stats.base`.
        arrays: labelled; each must have all of `dim`, in any order.
        dim: one name, or a sequence of names.
        name, attrs: of the result.
        options: passed on to `function`.

    Raises:
        NeurosalError: for arrays without labels, dimensions that are missing, and lengths or labels that disagree.
    """
    dims = names(dim)
    require(name, arrays, dims)
    axis: int | tuple[int, ...] = tuple(range(-len(dims), 0)) if len(dims) > 1 else -1
    try:
        result = xarray.apply_ufunc(
            function, *arrays, input_core_dims=[dims] * len(arrays), join="exact", kwargs={"axis": axis, **options}
        )
    except ValueError as error:
        raise disagreement(name, arrays, error) from None
    return result.rename(name).assign_attrs(attrs)


def lift_matrix(
    function: Callable[..., Any],
    *arrays: xarray.DataArray,
    dims: Sequence[Sequence[Hashable]],
    name: str,
    attrs: dict[str, Any],
    keep: Sequence[Hashable] = (),
    **options: Any,
) -> xarray.DataArray:
    """`function(*arrays)` over the last axes of each; all other dimensions are kept, and broadcast by name.

    Args:
        function: of `neurosal.stats.base`, matrix-like.
        arrays: labelled; each must have its entry of `dims`, in any order.
        dims: of each array, in the order in which `function` reads them, e.g. ``[("output", "hidden1")]``.
        name, attrs: of the result.
        keep: dimensions of the result that come from `function`, e.g. ``["output"]``.
        options: passed on to `function`.

    Raises:
        NeurosalError: for arrays without labels, dimensions that are missing, and lengths or labels that disagree.
    """
    for array, own in zip(arrays, dims, strict=True):
        require(name, [array], list(own))
    try:
        result = xarray.apply_ufunc(
            function, *arrays, input_core_dims=dims, output_core_dims=[list(keep)], join="exact", kwargs=options
        )
    except ValueError as error:
        raise disagreement(name, arrays, error) from None
    return result.rename(name).assign_attrs(attrs)


def lift_last(function: Callable[..., Any], array: Any, *, name: str) -> Any:
    """`function` of a matrix over the last two axes, labelled where `array` is."""
    if not isinstance(array, xarray.DataArray):
        return function(array)
    return xarray.apply_ufunc(function, array, input_core_dims=[array.dims[-2:]]).rename(name)


def names(dim: Dims) -> list[Hashable]:
    """`dim` as a list of names."""
    return [dim] if isinstance(dim, str) or not isinstance(dim, Sequence) else list(dim)


def require(statistic: str, arrays: Sequence[Any], dims: Sequence[Hashable]) -> None:
    """Refuses arrays without labels and names that are no dimension of every array, all at once."""
    problems = without_labels(statistic, arrays)
    for position, array in enumerate(arrays, start=1):
        if isinstance(array, xarray.DataArray):
            known = [str(entry) for entry in array.dims]
            problems += [
                Problem(
                    place=f"stats.{statistic}, argument {position}",
                    expected=f"dimension {dim!r}",
                    found=told(array),
                    remedy=near(dim, known),
                )
                for dim in dims
                if dim not in array.dims
            ]
    if not dims:
        problems.append(Problem(place=f"stats.{statistic}", expected="at least one dimension in dim", found="none"))
    if problems:
        raise NeurosalError(problems)


def without_labels(statistic: str, arrays: Sequence[Any]) -> list[Problem]:
    """One problem for each array that carries no labels."""
    return [
        Problem(
            place=f"stats.{statistic}, argument {position}",
            expected="an xarray.DataArray",
            found=type(array).__name__,
            remedy=f"Plain arrays and tensors go to neurosal.stats.base.{statistic}.",
        )
        for position, array in enumerate(arrays, start=1)
        if not isinstance(array, xarray.DataArray)
    ]


def disagreement(statistic: str, arrays: Sequence[xarray.DataArray], error: ValueError) -> NeurosalError:
    """The error for arrays that xarray cannot line up: it says which dimension, we say of what."""
    return NeurosalError(
        Problem(
            place=f"stats.{statistic}",
            expected="shared dimensions with the same lengths and labels",
            found=" and ".join(told(array) for array in arrays),
            remedy=str(error).splitlines()[0],
        )
    )


def told(array: xarray.DataArray) -> str:
    """Dimensions and lengths of an array, for messages."""
    return "(" + ", ".join(f"{dim}: {length}" for dim, length in array.sizes.items()) + ")"
