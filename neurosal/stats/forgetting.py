"""What is kept of tasks that were learned one after the other: measures of a matrix accuracy[after task, task]."""

from __future__ import annotations

from typing import Any

from neurosal.stats import base
from neurosal.stats.catalogue import statistic
from neurosal.stats.lifting import lift_last


@statistic(
    of="tasks",
    array=base.average_accuracy,
    title="mean accuracy over all tasks after the last one",
    formula="(1/T) Σ_j a[T, j]",
    range=(0, 1),
    null="chance level of the tasks",
    form="matrix",
    labels={},
)
def average_accuracy(accuracy: Any) -> Any:
    """Mean accuracy over all T tasks after the last one, ``A = (1/T) Σ_j a[T, j]``.

    Range 0 to 1; chance level that of the tasks. Cost: one pass.

    Args:
        accuracy: a[i, j] of task j after learning task i, tasks in the order in which they were learned, [..., T, T];
            a labelled array has (after, task) as its last two dimensions.

    Returns:
        float64 [...], labelled as `accuracy` is.

    Raises:
        ValueError: for a matrix that is not as long as wide (so do all measures here).

    Example:
        >>> float(average_accuracy([[1.0, 0.0], [0.5, 0.75]]))
        0.625

    Reference: Lopez-Paz & Ranzato (2017), arXiv 1706.08840.
    """
    return lift_last(base.average_accuracy, accuracy, name="average_accuracy")


@statistic(
    of="tasks",
    array=base.learning_accuracy,
    title="mean accuracy of each task just after it was learned",
    formula="(1/T) Σ_j a[j, j]",
    range=(0, 1),
    null="chance level of the tasks",
    form="matrix",
    labels={},
)
def learning_accuracy(accuracy: Any) -> Any:
    """Mean accuracy of each task just after it was learned, ``L = (1/T) Σ_j a[j, j]``: what a learner takes up,
    whatever it forgets later.

    Range 0 to 1; chance level that of the tasks. Cost: one pass.

    Args:
        accuracy: as for `average_accuracy`.

    Returns:
        float64 [...].

    Example:
        >>> float(learning_accuracy([[1.0, 0.0], [0.5, 0.75]]))
        0.875

    Reference: Riemer et al. (2019), arXiv 1810.11910.
    """
    return lift_last(base.learning_accuracy, accuracy, name="learning_accuracy")


@statistic(
    of="tasks",
    array=base.forgetting,
    title="mean fall of earlier tasks from their best",
    formula="(1/(T−1)) Σ_{j<T} max_{i<T} a[i, j] − a[T, j]",
    range=(-1, 1),
    null="0 forgets nothing",
    form="matrix",
    labels={},
)
def forgetting(accuracy: Any) -> Any:
    """Mean fall of the tasks before the last one from their best to the end,
    ``F = (1/(T-1)) Σ_{j<T} max_{i<T} a[i, j] - a[T, j]``, i from j on.

    Range -1 to 1; null level: 0 forgets nothing, below 0 later tasks help earlier ones. NaN for a single task. Cost:
    one pass.

    Args:
        accuracy: as for `average_accuracy`.

    Returns:
        float64 [...].

    Example:
        >>> float(forgetting([[1.0, 0.0], [0.25, 0.75]]))
        0.75

    Reference: Chaudhry et al. (2018), arXiv 1801.10112.
    """
    return lift_last(base.forgetting, accuracy, name="forgetting")


@statistic(
    of="tasks",
    array=base.backward_transfer,
    title="mean change of earlier tasks since they were learned",
    formula="(1/(T−1)) Σ_{j<T} a[T, j] − a[j, j]",
    range=(-1, 1),
    null="0: later tasks change nothing",
    form="matrix",
    labels={},
)
def backward_transfer(accuracy: Any) -> Any:
    """Mean change of the tasks before the last one since they were learned,
    ``B = (1/(T-1)) Σ_{j<T} a[T, j] - a[j, j]``.

    Range -1 to 1; null level 0, below it tasks are forgotten. NaN for a single task. Cost: one pass.

    Args:
        accuracy: as for `average_accuracy`.

    Returns:
        float64 [...].

    Example:
        >>> float(backward_transfer([[1.0, 0.0], [0.25, 0.75]]))
        -0.75

    Reference: Lopez-Paz & Ranzato (2017), arXiv 1706.08840.
    """
    return lift_last(base.backward_transfer, accuracy, name="backward_transfer")
