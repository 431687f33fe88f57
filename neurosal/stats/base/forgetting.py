"""Forgetting, of plain matrices accuracy[..., after task, task]; see `neurosal.stats.forgetting`."""

from __future__ import annotations

from typing import Any

from neurosal.stats.base.arrays import namespace, wide


def _square(accuracy: Any) -> Any:
    matrix = wide(accuracy)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.shape[-1]:
        raise ValueError(f"a matrix [..., after task, task] as long as wide, found shape {tuple(matrix.shape)}")
    return matrix


def _diagonal(matrix: Any) -> Any:
    places = range(matrix.shape[-1])
    return matrix[..., list(places), list(places)]


def average_accuracy(accuracy: Any) -> Any:
    """Mean over tasks after the last one; see `neurosal.stats.average_accuracy`."""
    return _square(accuracy)[..., -1, :].mean(-1)


def learning_accuracy(accuracy: Any) -> Any:
    """Mean of the diagonal; see `neurosal.stats.learning_accuracy`."""
    return _diagonal(_square(accuracy)).mean(-1)


def forgetting(accuracy: Any) -> Any:
    """Mean fall from the best to the end; see `neurosal.stats.forgetting`."""
    matrix = _square(accuracy)
    functions, tasks = namespace(matrix), matrix.shape[-1]
    if tasks == 1:
        return matrix[..., 0, 0] * functions.nan
    falls = [functions.amax(matrix[..., task:-1, task], -1) - matrix[..., -1, task] for task in range(tasks - 1)]
    return functions.stack(falls, -1).mean(-1)


def backward_transfer(accuracy: Any) -> Any:
    """Mean change since each task was learned; see `neurosal.stats.backward_transfer`."""
    matrix = _square(accuracy)
    if matrix.shape[-1] == 1:
        return matrix[..., 0, 0] * namespace(matrix).nan
    return (matrix[..., -1, :-1] - _diagonal(matrix)[..., :-1]).mean(-1)
