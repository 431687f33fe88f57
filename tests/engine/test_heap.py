"""Freed memory stays with the process."""

from __future__ import annotations

import os
import resource
import sys
from types import SimpleNamespace

import pytest
import torch

import neurosal as ns
from neurosal import circuits
from neurosal.engine import heap

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the C library of Linux")


def pages_of_a_step() -> int:
    """Pages that the system had to give for temporaries that are freed again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(3 << 19) for _ in range(4)]  # 6 MiB each
    held.clear()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_what_one_step_frees_the_next_one_takes_up_without_new_pages() -> None:
    if not heap.keep_freed_memory():
        pytest.skip("the limits of this process are its own")
    pages_of_a_step()
    assert min(pages_of_a_step() for _ in range(3)) < 600  # of 6144


def test_both_limits_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, int] = {}
    library = SimpleNamespace(mallopt=lambda which, value: asked.update({which: value}) or 1)
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: library)
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    heap.keep_freed_memory.cache_clear()
    assert heap.keep_freed_memory()
    assert asked == {-1: heap.KEPT, -3: heap.LARGEST}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
    heap.keep_freed_memory.cache_clear()


def test_larger_tensors_come_from_the_heap_only_where_a_network_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, int] = {}
    library = SimpleNamespace(mallopt=lambda which, value: asked.update({which: value}) or 1)
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda _: library)
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    heap.keep_large_tensors.cache_clear()
    network = ns.compile(circuits.mlp(4, 1 << 16, 2), device="cpu")
    samples = heap.LARGEST // (4 << 16)
    network.batch_of(torch.zeros(samples - 1, 4))
    assert asked.get(heap.MMAP_MAX) is None
    network.batch_of(torch.zeros(samples, 4))
    assert asked[heap.MMAP_MAX] == 0
    assert asked[heap.TRIM_THRESHOLD] == heap.KEPT_OF_LARGE
    heap.keep_large_tensors.cache_clear()


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_ARENA_MAX"])
def test_limits_that_somebody_set_are_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    heap.keep_freed_memory.cache_clear()
    assert not heap.keep_freed_memory()
    monkeypatch.delenv(name)
    heap.keep_freed_memory.cache_clear()
