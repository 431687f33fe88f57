"""Measures of forgetting on matrices made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurosal.stats import average_accuracy, backward_transfer, forgetting, learning_accuracy

THREE = [[0.9, 0.1, 0.0], [0.95, 0.8, 0.2], [0.3, 0.6, 0.7]]
MEASURES = (average_accuracy, learning_accuracy, forgetting, backward_transfer)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (average_accuracy, (0.3 + 0.6 + 0.7) / 3),
        (learning_accuracy, (0.9 + 0.8 + 0.7) / 3),
        (forgetting, ((0.95 - 0.3) + (0.8 - 0.6)) / 2),  # from the best, which came after the second task
        (backward_transfer, ((0.3 - 0.9) + (0.6 - 0.8)) / 2),
    ],
)
def test_measures_equal_those_worked_out_by_hand(measure: Any, expected: float) -> None:
    assert float(measure(THREE)) == pytest.approx(expected, abs=1e-15)


def test_one_who_forgets_nothing_forgets_zero_and_what_is_above_the_diagonal_has_no_say() -> None:
    kept = np.tril(np.broadcast_to([0.5, 0.7, 0.9], (3, 3)))
    other = kept + np.triu(np.full((3, 3), 0.4), 1)
    for matrix in (kept, other):
        assert float(forgetting(matrix)) == float(backward_transfer(matrix)) == 0
        assert float(average_accuracy(matrix)) == float(learning_accuracy(matrix)) == pytest.approx(0.7)


def test_tasks_that_later_ones_help_have_negative_forgetting() -> None:
    assert float(forgetting([[0.5, 0], [0.75, 1]])) == -0.25 == -float(backward_transfer([[0.5, 0], [0.75, 1]]))


@pytest.mark.parametrize("measure", MEASURES)
def test_leading_axes_stay(measure: Any) -> None:
    matrices = np.random.default_rng(0).uniform(size=(2, 5, 4, 4))
    found = measure(matrices)
    assert found.shape == (2, 5)
    assert found[1, 3] == measure(matrices[1, 3])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 0)])
def test_what_is_no_square_matrix_is_refused(measure: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="as long as wide"):
        measure(np.zeros(shape))


def test_a_single_task_can_not_be_forgotten() -> None:
    assert np.isnan(forgetting([[0.5]]))
    assert np.isnan(backward_transfer([[0.5]]))
    assert float(average_accuracy([[0.5]])) == 0.5
