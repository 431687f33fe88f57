"""The vote of areas from counts."""

from __future__ import annotations

import math

import numpy
import pytest

from neurosal.stats import label_counts, vote_accuracy


def test_counts_are_those_of_a_loop_and_parts_add_up() -> None:
    random = numpy.random.default_rng(0)
    area, label = random.integers(4, size=(2, 3, 50)), random.integers(5, size=50)
    slow = numpy.zeros((2, 3, 4, 5))
    for i, j, n in numpy.ndindex(area.shape):
        slow[i, j, area[i, j, n], label[n]] += 1
    counts = label_counts(area, label, areas=4, labels=5)
    numpy.testing.assert_array_equal(counts, slow)
    halves = [label_counts(area[..., part], label[part], areas=4, labels=5) for part in (slice(20), slice(20, 50))]
    numpy.testing.assert_array_equal(halves[0] + halves[1], counts)


@pytest.mark.parametrize(
    ("seen", "asked", "accuracy"),
    [
        ([[3, 1], [0, 2]], [[1, 0], [0, 1]], 1.0),
        ([[3, 1], [0, 2]], [[0, 1], [1, 0]], 0.0),
        ([[2, 2], [0, 2]], [[1, 3], [0, 0]], 0.25),  # of equally common labels the smallest
        ([[1, 4], [0, 0]], [[0, 0], [1, 3]], 0.75),  # an area that nobody took answers the commonest label of all
        ([[1, 4], [2, 0]], [[0, 0], [0, 0]], math.nan),
    ],
)
def test_votes_by_hand(seen: list[list[int]], asked: list[list[int]], accuracy: float) -> None:
    assert float(vote_accuracy(seen, asked)) == pytest.approx(accuracy, nan_ok=True)


def test_one_area_votes_for_the_commonest_label() -> None:
    seen, asked = numpy.array([[5, 9, 1]]), numpy.array([[2, 3, 5]])
    assert float(vote_accuracy(seen, asked)) == 0.3
