"""Data sets made from arrays: what is accepted, and everything that is refused, all at once."""

from __future__ import annotations

import numpy as np
import pytest

from neurosal.data import Dataset, from_arrays
from neurosal.errors import DataError


def problems(**arguments: object) -> dict[str, str]:
    with pytest.raises(DataError) as caught:
        from_arrays(**arguments)  # type: ignore[arg-type]
    return {problem.place: str(problem) for problem in caught.value.problems}


def test_labels_and_inputs_come_back_in_the_types_that_networks_read() -> None:
    data = from_arrays(np.arange(12).reshape(4, 3), [0, 1, 2, 1])
    assert data.x.dtype == np.float32
    assert data.x.tolist() == np.arange(12).reshape(4, 3).tolist()
    assert data.y.dtype == np.int64
    assert data.y.tolist() == [0, 1, 2, 1]
    assert data.classes == ("0", "1", "2")
    assert data.outputs == 3
    assert (len(data.train), len(data.validation), len(data.test)) == (4, 0, 0)


def test_rows_in_no_other_part_are_for_training() -> None:
    data = from_arrays(np.eye(6), [0, 1] * 3, validation=[1], test=[4, 2])
    assert data.train.index.tolist() == [0, 3, 5]
    assert data.validation.x.tolist() == [np.eye(6)[1].tolist()]
    assert data.test.index.tolist() == [2, 4]
    assert data.test.y.tolist() == [0, 0]


def test_several_inputs_keep_their_names() -> None:
    data = from_arrays({"image": np.ones((4, 2, 2)), "sound": np.zeros((4, 5))}, [0, 1, 0, 1], test=[3])
    assert data.features == {"image": (2, 2), "sound": (5,)}
    assert data.train.x["sound"].shape == (3, 5)
    assert set(data.flat().test.inputs) == {"image", "sound"}
    assert data.flat().x["image"].shape == (4, 4)


def test_float_targets_make_a_regression() -> None:
    data = from_arrays(np.eye(3), [0.5, 1.0, 2.0])
    assert data.classes == ()
    assert data.outputs == 1
    assert data.y.dtype == np.float32
    assert data.y.tolist() == [[0.5], [1.0], [2.0]]
    binary = from_arrays(np.eye(2), np.array([[0, 1, 1], [1, 0, 0]]))
    assert binary.outputs == 3
    assert binary.y.dtype == np.float32


def test_text_labels_become_classes() -> None:
    data = from_arrays(np.eye(3), ["dog", "cat", "dog"])
    assert data.classes == ("cat", "dog")
    assert data.y.tolist() == [1, 0, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_a_data_set_does_not_change_with_the_arrays_it_was_made_from(dtype: type) -> None:
    x, y = np.eye(3, dtype=dtype), np.array([0, 1, 0])
    data = from_arrays(x, y)
    x[0, 0], y[0] = 7, 1
    assert data.x[0, 0] == 1
    assert data.y[0] == 0
    assert data.sha256 == from_arrays(np.eye(3, dtype=dtype), [0, 1, 0]).sha256


def test_a_data_set_cannot_be_written_to() -> None:
    data = from_arrays(np.eye(3), [0, 1, 0])
    with pytest.raises(ValueError, match="read-only"):
        data.x[0, 0] = 2
    with pytest.raises(ValueError, match="read-only"):
        data.train.y[0] = 2
    with pytest.raises(AttributeError):
        data.spec = None  # type: ignore[misc, assignment]


def test_data_sets_compare_by_content() -> None:
    def make(**changes: object) -> Dataset:
        return from_arrays(**({"x": np.eye(4), "y": [0, 1, 0, 1], "test": [3]} | changes))  # type: ignore[arg-type]

    assert make() == make()
    assert hash(make()) == hash(make())
    assert make() != make(x=np.eye(4) * 2)
    assert make() != make(y=[0, 1, 1, 1])
    assert make() != make(test=[2])
    assert make() != make().scaled("standardise")
    assert make() != "data"


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8", np.float16])
def test_the_fingerprint_does_not_depend_on_byte_order_or_precision(dtype: str) -> None:
    x = np.arange(6).reshape(2, 3) / 4
    assert from_arrays(x.astype(dtype), [0, 1]).sha256 == from_arrays(x.astype("<f4"), [0, 1]).sha256


def test_the_fingerprint_does_not_depend_on_memory_layout() -> None:
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert from_arrays(np.asfortranarray(x), [0, 1]).sha256 == from_arrays(x, [0, 1]).sha256
    assert from_arrays(x.astype(">i4"), [0, 1]).sha256 == from_arrays(x, [0, 1]).sha256


def test_the_fingerprint_is_fixed_for_all_machines() -> None:
    data = from_arrays(np.array([[0, 255], [128, 1]], np.uint8), [1, 0], test=[1])
    assert data.sha256 == "312f443352245ab0f72d2bb45052413df1749e8cb37c6c20980526a4c6488633"


def test_every_problem_is_reported_at_once() -> None:
    x = np.ones((5, 2))
    x[1, 0], x[3, 1] = np.nan, np.inf
    with pytest.raises(DataError) as caught:
        from_arrays(x, [0, 1, 7, -1], classes=["a", "b"], name="My Data", test=[1, 1, 9], value_range=(3, 2))
    expected = [
        ("name", "'My Data'"),
        ("x", "2 that are not, the first nan at [1, 0]"),
        ("y", "2 outside, the first 7 at [2]"),
        ("x", "5"),
        ("value_range", "(3, 2)"),
        ("test", "1 to 9"),
        ("train, validation, test", "1 rows twice, the first 1"),
    ]
    assert [(problem.place, problem.found) for problem in caught.value.problems] == expected
    assert all(place in str(caught.value) and found in str(caught.value) for place, found in expected)


def test_not_a_number_is_placed() -> None:
    x = np.ones((5, 2, 2))
    x[3, 1, 0] = -np.inf
    found = problems(x={"a": np.eye(5), "b": x}, y=[0, 1, 0, 1, 0])
    assert list(found) == ["x.b"]
    assert "1 that are not, the first -inf at [3, 1, 0]" in found["x.b"]
    assert "finite" in problems(x=np.full((2, 2), 1e300), y=[0, 1])["x"]
    assert "nan at [1]" in problems(x=np.eye(2), y=[0.5, np.nan])["y"]


@pytest.mark.parametrize(
    ("arguments", "place", "words"),
    [
        ({"x": np.eye(3), "y": [0, 1]}, "x", "as many samples as y, 2, found 3"),
        ({"x": np.ones(3), "y": [0, 1, 0]}, "x", "samples × features"),
        ({"x": np.ones((3, 0)), "y": [0, 1, 0]}, "x", "at least one"),
        ({"x": np.ones((0, 3)), "y": []}, "y", "shape (0,)"),
        ({"x": np.array([[{}], [{}]]), "y": [0, 1]}, "x", "real numbers"),
        ({"x": np.ones((2, 2), complex), "y": [0, 1]}, "x", "complex"),
        ({"x": [[1, 2], [3]], "y": [0, 1]}, "x", "array of numbers"),
        ({"x": np.array([["a"], ["b"]]), "y": [0, 1]}, "x", "real numbers"),
        ({"x": None, "y": None}, "y", "object"),
        ({"x": {}, "y": [0, 1]}, "x", "at least one input"),
        ({"x": {"A b": np.eye(2)}, "y": [0, 1]}, "x.A b", "input's name"),
        ({"x": np.eye(2), "y": np.zeros((2, 1, 1))}, "y", "shape (2, 1, 1)"),
        ({"x": np.eye(2), "y": [-1, 0]}, "y", "first -1 at [0]"),
        ({"x": np.eye(2), "y": [0, 2], "classes": 2}, "y", "labels from 0 to 1"),
        ({"x": np.eye(2), "y": [0, 2**60]}, "y", "1152921504606846976 at"),
        ({"x": np.eye(2), "y": [0, 1], "classes": 10**12}, "classes", "found 1000000000000"),
        ({"x": np.eye(2), "y": [0, 1], "classes": 0}, "classes", "found 0"),
        ({"x": np.eye(2), "y": [0, 10**30]}, "y", "real numbers"),
        ({"x": np.eye(2), "y": [0.0, 1.0], "classes": 2}, "y", "integer labels"),
        ({"x": np.eye(2), "y": [0, 1], "classes": ["a", "a"]}, "classes", "different names"),
        ({"x": np.eye(2), "y": [0, 1], "name": "../up"}, "name", "letters"),
        ({"x": np.eye(2), "y": [0, 1], "value_range": (0.0, 0.5)}, "x", "0 to 1"),
        ({"x": np.eye(2), "y": [0, 1], "test": [2]}, "test", "row numbers from 0 to 1"),
        ({"x": np.eye(2), "y": [0, 1], "test": [0.5]}, "test", "list of row numbers"),
        ({"x": np.eye(2), "y": [0, 1], "train": [0, 1], "test": [1]}, "train, validation, test", "the first 1"),
        ({"x": np.eye(2), "y": [0, 1], "test": [0, 1]}, "train", "at least one sample"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments: dict[str, object], place: str, words: str) -> None:
    found = problems(**arguments)
    assert words in found[place]
