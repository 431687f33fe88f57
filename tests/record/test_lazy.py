"""Records larger than memory are opened in blocks, and computing with them needs little memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy
import pytest

from neurosal.analysis import plasticity
from neurosal.record import Recorder, lazy, open_run, schema

WEIGHT = "projections/input_to_hidden1/every_1"
STEPS = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 snapshots of 2 × 128 × 128 weights: 6 MB."""
    path = tmp_path_factory.mktemp("lazy") / "run"
    generator = numpy.random.default_rng(0)
    group = schema.projection("input_to_hidden1", "every_1", post=("hidden1", 128), pre=("input", 128))
    with Recorder.create(path, circuit={}, settings={}, replicas={"seed": [0, 1]}) as recorder:
        recorder.declare(group)
        for step in range(STEPS):
            weight = generator.normal(size=(2, 1, 128, 128)).astype("float32")
            recorder.append(group.path, step=step, epoch=float(step), values={"weight": weight})
    return path


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "LARGE", 2**16)
    monkeypatch.setattr(lazy, "BLOCK", 2**18)


def test_a_record_below_the_limit_is_plain_and_one_above_it_is_in_blocks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask")
    assert open_run(folder).tree[WEIGHT].weight.chunks is None
    monkeypatch.setattr(lazy, "memory_limit", lambda: 2**20)
    array = open_run(folder).tree[WEIGHT].weight
    assert array.chunks is not None
    assert array.chunks[1] == (2,) * (STEPS // 2)
    assert open_run(folder, lazy_above=2**30).tree[WEIGHT].weight.chunks is None
    assert open_run(folder, lazy_above=0).reopened().tree[WEIGHT].weight.chunks is not None


def test_without_dask_a_large_record_is_plain(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "find_spec", lambda name: None)
    assert open_run(folder, lazy_above=0).tree[WEIGHT].weight.chunks is None


def test_what_is_computed_is_the_same_in_a_fraction_of_the_memory(folder: Path) -> None:
    pytest.importorskip("dask")
    import dask

    plain = open_run(folder).tree[WEIGHT].weight
    blocked = open_run(folder, lazy_above=0).tree[WEIGHT].weight
    with dask.config.set(scheduler="synchronous"):
        float(blocked.isel(snapshot=slice(2)).std())  # what is imported once is no part of it
        peaks = []
        for array in (blocked, plain):
            tracemalloc.start()
            found = (array**2).mean(("replica", "area", "hidden1", "input")).values
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            numpy.testing.assert_allclose(found, (plain.values.astype(float) ** 2).mean((0, 2, 3, 4)), rtol=1e-5)
    assert peaks[0] < plain.nbytes / 3 < plain.nbytes < peaks[1]


def test_analyses_read_a_record_in_blocks_and_find_the_same(folder: Path) -> None:
    pytest.importorskip("dask")
    expected = plasticity(open_run(folder), snapshots=5)
    found = plasticity(open_run(folder, lazy_above=0), snapshots=5)
    for name in expected:
        numpy.testing.assert_array_equal(found[name], expected[name])
