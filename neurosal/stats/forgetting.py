"""What is kept of tasks that were learned one after the other: measures of a matrix accuracy[after task, task]."""

from __future__ import annotations

from typing import Any

import numpy


def _square(accuracy: Any) -> numpy.ndarray[Any, Any]:
    matrix = numpy.asarray(accuracy, numpy.float64)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.shape[-1]:
        raise ValueError(f"a matrix [..., after task, task] as long as wide, found shape {matrix.shape}")
    return matrix


def average_accuracy(accuracy: Any) -> numpy.ndarray[Any, Any]:
    """Mean accuracy over all T tasks after the last one, ``A = (1/T) Σ_j a[T, j]``.

    Range 0 to 1; chance level that of the tasks. Cost: one pass.

    Args:
        accuracy: a[i, j] of task j after learning task i, tasks in the order in which they were learned, [..., T, T].

    Returns:
        float64 [...].

    Raises:
        ValueError: for a matrix that is not as long as wide (so do all measures here).

    Example:
        >>> float(average_accuracy([[1.0, 0.0], [0.5, 0.75]]))
        0.625

    Reference: Lopez-Paz & Ranzato (2017), arXiv 1706.08840.
    """
    return numpy.asarray(_square(accuracy)[..., -1, :].mean(-1))


def learning_accuracy(accuracy: Any) -> numpy.ndarray[Any, Any]:
    """Mean accuracy of each task just after it was learned, ``L = (1/T) Σ_j a[j, j]``: what a learner takes up,
    whatever it forgets later.

    Args:
        accuracy: as for `average_accuracy`.

    Returns:
        float64 [...].

    Example:
        >>> float(learning_accuracy([[1.0, 0.0], [0.5, 0.75]]))
        0.875

    Reference: Riemer et al. (2019), arXiv 1810.11910.
    """
    return numpy.asarray(numpy.diagonal(_square(accuracy), axis1=-2, axis2=-1).mean(-1))


def forgetting(accuracy: Any) -> numpy.ndarray[Any, Any]:
    """Mean fall of the tasks before the last one from their best to the end,
    ``F = (1/(T-1)) Σ_{j<T} max_{i<T} a[i, j] - a[T, j]``, i from j on.

    Range -1 to 1; 0 forgets nothing, below 0 later tasks help earlier ones. NaN for a single task.

    Args:
        accuracy: as for `average_accuracy`.

    Returns:
        float64 [...].

    Example:
        >>> float(forgetting([[1.0, 0.0], [0.25, 0.75]]))
        0.75

    Reference: Chaudhry et al. (2018), arXiv 1801.10112.
    """
    matrix = _square(accuracy)
    tasks = matrix.shape[-1]
    if tasks == 1:
        return numpy.full(matrix.shape[:-2], numpy.nan)
    falls = [matrix[..., task:-1, task].max(-1) - matrix[..., -1, task] for task in range(tasks - 1)]
    return numpy.asarray(numpy.stack(falls, -1).mean(-1))


def backward_transfer(accuracy: Any) -> numpy.ndarray[Any, Any]:
    """Mean change of the tasks before the last one since they were learned,
    ``B = (1/(T-1)) Σ_{j<T} a[T, j] - a[j, j]``.

    Range -1 to 1; below 0 tasks are forgotten. NaN for a single task.

    Args:
        accuracy: as for `average_accuracy`.

    Returns:
        float64 [...].

    Example:
        >>> float(backward_transfer([[1.0, 0.0], [0.25, 0.75]]))
        -0.75

    Reference: Lopez-Paz & Ranzato (2017), arXiv 1706.08840.
    """
    matrix = _square(accuracy)
    if matrix.shape[-1] == 1:
        return numpy.full(matrix.shape[:-2], numpy.nan)
    diagonal = numpy.diagonal(matrix, axis1=-2, axis2=-1)
    return numpy.asarray((matrix[..., -1, :-1] - diagonal[..., :-1]).mean(-1))
