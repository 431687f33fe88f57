"""Python's search for garbage while something runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from neurosal.runner.garbage import passed_over


@pytest.fixture
def thawed() -> Iterator[None]:
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    yield
    gc.unfreeze()
    if frozen:
        gc.freeze()


@pytest.mark.usefixtures("thawed")
def test_what_was_there_before_is_left_out_until_the_end_even_of_what_fails() -> None:
    counts: list[int] = []

    def fails() -> None:
        with passed_over():
            counts.append(gc.get_freeze_count())
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert counts[0] > 10_000
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("thawed")
def test_who_froze_objects_before_keeps_them_frozen() -> None:
    gc.freeze()
    with passed_over():
        pass
    assert gc.get_freeze_count() > 10_000
