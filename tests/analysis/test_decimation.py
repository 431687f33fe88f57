"""Fewer points of a long record, with every extreme."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosal.analysis import decimation
from neurosal.analysis.decimation import decimated, stretches, thinned
from neurosal.record import Recorder, open_run, schema


@given(length=st.integers(0, 500), points=st.integers(3, 60))
def test_stretches_are_in_order_cover_the_record_and_leave_first_and_last_alone(length: int, points: int) -> None:
    starts = stretches(length, points).tolist()
    assert len(starts) == min(length, points)
    sizes = numpy.diff([*starts, length])
    assert sizes.sum() == length
    assert (sizes > 0).all()
    if length > points:
        assert starts[0] == 0
        assert sizes[0] == sizes[-1] == 1
        assert max(sizes[1:-1]) - min(sizes[1:-1]) <= 1


def slow(values: list[list[float]], points: int) -> list[list[tuple[float, float, float]]]:
    """Low, high and mean of each column's stretches, one value at a time."""
    length = len(values)
    stretch_of = list(range(length))
    if length > points:
        inner = [1 + (length - 2) * index // (points - 2) for index in range(points - 2)]
        stretch_of = [0, *(sum(place >= begin for begin in inner) for place in range(1, length - 1)), points - 1]
    rows = []
    for stretch in range(min(length, points)):
        row = []
        for column in range(len(values[0])):
            known = [
                values[place][column]
                for place in range(length)
                if stretch_of[place] == stretch and not math.isnan(values[place][column])
            ]
            row.append((min(known), max(known), math.fsum(known) / len(known)) if known else (math.nan,) * 3)
        rows.append(row)
    return rows


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(1, 90), points=st.integers(3, 25), block=st.integers(8, 2000), seed=st.integers(0, 99),
    gaps=st.sampled_from([0.0, 0.1, 0.9]),
)  # fmt: skip
def test_each_stretch_has_its_lowest_highest_and_mean_value_however_it_is_read(
    length: int, points: int, block: int, seed: int, gaps: float
) -> None:
    generator = numpy.random.default_rng(seed)
    values = generator.normal(size=(length, 3))
    values[generator.random(values.shape) < gaps] = numpy.nan
    array = xarray.DataArray(values, dims=("sample", "pair"), coords={"step": ("sample", 10 * numpy.arange(length))})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decimation, "BLOCK_BYTES", block)
        short = decimated(array, points=points)
    expected = numpy.array(slow(values.tolist(), points))
    for place, name in enumerate(("low", "high", "mean")):
        numpy.testing.assert_allclose(short[name], expected[..., place], rtol=1e-12, atol=1e-12)
    starts = stretches(length, points)
    assert short["first_step"].values.tolist() == (10 * starts).tolist()
    assert short["step"].values.tolist() == [10 * (start - 1) for start in [*starts[1:], length]]


def test_one_spike_in_a_million_steps_is_kept_and_the_end_is_exact() -> None:
    values = numpy.random.default_rng(0).normal(size=(1, 1_000_000))
    values[0, 123_456], values[0, -1] = 1e6, 3.25
    array = xarray.DataArray(values, dims=("replica", "step"), coords={"step": numpy.arange(1_000_000)})
    short = decimated(array, points=1000)
    assert float(short["high"].max()) == 1e6
    spike = short.isel(step=int(short["high"].values.argmax()))
    assert int(spike["first_step"]) <= 123_456 <= int(spike["step"])
    assert float(short["mean"][0, -1]) == 3.25
    assert float(short["low"].min()) == values.min()


def test_a_short_record_is_left_as_it_is() -> None:
    array = xarray.DataArray([3.0, 1.0], dims="step", coords={"step": [0, 5]}, name="loss")
    assert thinned(array, points=10) is array
    assert decimated(array)["high"].values.tolist() == [3.0, 1.0]


def test_curves_of_long_records_say_how_many_records_a_point_is() -> None:
    array = xarray.DataArray(numpy.arange(100.0), dims="step", coords={"step": range(100)}, name="loss")
    short = thinned(array, points=10)
    assert short.name == "loss"
    assert short.attrs["records_per_point"] == 10
    assert thinned(array, points=None).sizes["step"] == 100


def test_an_array_that_does_not_grow_is_refused() -> None:
    with pytest.raises(ValueError, match="growing dimension"):
        decimated(xarray.DataArray([1.0, 2.0], dims="pair"))
    with pytest.raises(ValueError, match="at least 3 points"):
        stretches(10, 2)


def test_a_stored_record_is_never_held_whole(tmp_path: Path) -> None:
    group = schema.symmetry("every_1", {f"pair{index}": 10 for index in range(2000)})
    values = numpy.random.default_rng(0).normal(size=(1, 1000, 2000))
    with Recorder.create(tmp_path / "run", circuit={}, settings={}, replicas={"seed": [0]}) as recorder:
        recorder.declare(group, expected=1000)
        for step in range(1000):
            row = values[:, step]
            recorder.append(group.path, step=step, epoch=float(step), values={"angle": row, "norm_ratio": row})
    array = open_run(tmp_path / "run").tree[group.path]["angle"]
    decimated(array.isel(sample=slice(5)))  # what is imported and opened once is no part of it
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decimation, "BLOCK_BYTES", 2**20)
        tracemalloc.start()
        short = decimated(array, points=20)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert float(short["high"].max()) == values.max()
    assert peak < values.nbytes / 2
