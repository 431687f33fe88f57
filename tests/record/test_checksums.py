"""Checksums of committed data: they follow the chunks through writing, opening, cutting and refilling."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurosal.errors import StoreError
from neurosal.record import checksums, faults, growing
from neurosal.record import store as module
from neurosal.record.checksums import CRC32, CRC32C, ENTRY, Checksum, key_of, write_sums, wrong_files
from neurosal.record.root import ROOT, SUMS, previous, read_root
from neurosal.record.store import Store
from tests.record.test_store import make, seen, write

GROUP = "probes/hidden/every_1"


def slow_crc32c(data: bytes) -> int:
    """Bit by bit, from the polynomial."""
    total = 0xFFFFFFFF
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = total >> 1 ^ (0x82F63B78 if total & 1 else 0)
    return total ^ 0xFFFFFFFF


def expected(folder: Path) -> tuple[dict[tuple[str, int, int], int], dict[str, list[int]]]:
    """Checksums of full pages and of half-full ones, from the files and the committed shapes alone."""
    root = read_root(folder / ROOT)
    full: dict[tuple[str, int, int], int] = {}
    half: dict[str, list[int]] = {}
    of = zlib.crc32 if root.sums["algorithm"] == CRC32 else slow_crc32c
    for path, node in root.nodes.items():
        if node["node_type"] != "array":
            continue
        shape, chunk = node["shape"], node["chunk_grid"]["configuration"]["chunk_shape"]
        if "sample" not in node["dimension_names"]:
            [file] = (folder / path).glob("c.*")
            full[path, 0, 0] = of(file.read_bytes())
            continue
        axis = node["dimension_names"].index("sample")
        pages: list[tuple[int, int]] = []  # first row and end of every page, chunk after chunk
        row = math.prod(chunk) // chunk[axis] * np.dtype(node["data_type"]).itemsize
        size = max(1, min(growing.PAGE_BYTES // row, chunk[axis]))
        for begin in range(0, max(shape[axis], 1), chunk[axis]):
            pages += [(begin + at, begin + min(at + size, chunk[axis])) for at in range(0, chunk[axis], size)]
        for part in range(-(-shape[0] // chunk[0]) if axis else 1):
            for page, (first, end) in enumerate(pages):
                if first >= shape[axis]:
                    break
                number = first // chunk[axis]
                key = [part, number] if axis else [number]
                file = folder / path / ".".join(["c", *map(str, key), *("0" for _ in shape[axis + 1 :])])
                data = np.frombuffer(file.read_bytes(), node["data_type"]).reshape(chunk)
                data = data if axis else data[None]
                base = number * chunk[axis]
                sums = [of(replica[first - base : min(end, shape[axis]) - base].tobytes()) for replica in data]
                total = of(b"".join(value.to_bytes(4, "little") for value in sums))
                if end <= shape[axis]:
                    full[path, part, page] = total
                else:
                    half.setdefault(path, []).append(total)
    return full, half


def must_be_summed(folder: Path) -> None:
    """What is committed has its checksum, all of it."""
    full, half = expected(folder)
    root = read_root(folder / ROOT)
    logged, wrong = Store.open(folder)._log.read()
    assert wrong == ""
    assert {key: logged.get(key_of(*key)) for key in full} == full
    assert root.sums["tails"] == half


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    chunk_bytes=st.sampled_from([1, 24, 100, 240, 10_000]),
    replica_bytes=st.sampled_from([1, 10_000]),
    page_bytes=st.sampled_from([1, 50, 4096]),
    reopened=st.sets(st.integers(0, 6)),
    cuts=st.lists(st.floats(0, 1), max_size=3),
    algorithm=st.sampled_from([CRC32, CRC32C]),
)
def test_every_committed_value_has_its_checksum(
    counts: list[int], chunk_bytes: int, replica_bytes: int, page_bytes: int, reopened: set[int], cuts: list[float],
    algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(module, "UNKNOWN_BYTES", chunk_bytes)
    monkeypatch.setattr(module, "REPLICA_BYTES", replica_bytes)
    monkeypatch.setattr(growing, "PAGE_BYTES", page_bytes)
    monkeypatch.setattr(module, "DEFAULT", algorithm)
    store, done = make(tmp_path / "s"), 0
    for index, count in enumerate(counts):
        write(store, done, count)
        done += count
        store.commit()
        if index in reopened:
            store = Store.open(tmp_path / "s")
        if index < len(cuts):
            write(store, done, 2)  # not committed: the cut must not look at it
            done = int(done * cuts[index])
            if index % 2:
                store = Store.open(tmp_path / "s")
            store.rewind({GROUP: done})
        must_be_summed(tmp_path / "s")
    store.trim()
    must_be_summed(tmp_path / "s")
    assert seen(tmp_path / "s").sizes["sample"] == done
    assert previous(tmp_path / "s").read_bytes() == (tmp_path / "s" / ROOT).read_bytes()


def test_checksums_are_what_their_names_say() -> None:
    data = np.random.default_rng(0).integers(0, 256, 3 * checksums.PIECE + 7, dtype=np.uint8)
    place = Path("somewhere")
    assert Checksum(CRC32, place).of(data) == zlib.crc32(data.tobytes())
    assert Checksum(CRC32C, place).of(b"123456789") == slow_crc32c(b"123456789") == 0xE3069283
    assert Checksum(CRC32C, place).of(data) == Checksum(CRC32C, place).of(data.tobytes())
    for name in (CRC32, CRC32C):
        one = Checksum(name, place)
        assert one.of(data[100:], one.of(data[:100])) == one.of(data)
    with pytest.raises(StoreError, match="checksums by crc32 or crc32c"):
        Checksum("md5", place)


def test_the_log_takes_an_entry_of_24_bytes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNKNOWN_BYTES", 960)  # forty rows of the activity, 120 of the steps
    monkeypatch.setattr(growing, "PAGE_BYTES", 240)  # ten, and thirty
    store = make(tmp_path / "s")
    for index in range(95):
        write(store, index, 1)
        store.commit()
    entries = 1 + 9 + 3  # the seeds, full pages of either
    assert (tmp_path / "s.checksums").stat().st_size == entries * ENTRY.itemsize == entries * 24
    assert len(store._log.read()[0]) == entries


def test_readers_see_nothing_of_it(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    write(store, 0, 3)
    store.commit()
    assert SUMS not in str(seen(tmp_path / "s").attrs)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["probes", ROOT]


@pytest.mark.parametrize("after", ["opening", "rewinding"])
def test_damage_in_a_half_full_chunk_is_found_before_it_is_gone_on_with(after: str, tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    write(store, 0, 5)
    store.commit()
    [file] = (tmp_path / "s" / GROUP / "activity").glob("c.*")
    with file.open("r+b") as chunk:
        chunk.seek(4)
        chunk.write(b"\x7f")
    store = Store.open(tmp_path / "s")
    go_on = (lambda: write(store, 5, 1)) if after == "opening" else (lambda: store.rewind({GROUP: 3}))
    with pytest.raises(StoreError, match=r"c\.0\.0\.0: expected the values that were recorded"):
        go_on()


def test_a_store_without_checksums_is_gone_on_with(tmp_path: Path) -> None:
    import json

    store = make(tmp_path / "s")
    write(store, 0, 5)
    store.commit()
    content = json.loads((tmp_path / "s" / ROOT).read_text())
    del content["consolidated_metadata"][SUMS]
    (tmp_path / "s" / ROOT).write_text(json.dumps(content))
    (tmp_path / "s.checksums").unlink()
    store = Store.open(tmp_path / "s")
    store.rewind({GROUP: 3})
    write(store, 3, 4)
    store.commit()
    assert seen(tmp_path / "s").sizes["sample"] == 7
    assert read_root(tmp_path / "s" / ROOT).sums["tails"] == expected(tmp_path / "s")[1]


def test_every_bit_of_the_root_counts(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    write(store, 0, 5)
    store.commit()
    path = tmp_path / "s" / ROOT
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    places = {*rng.integers(0, len(raw), 150).tolist(), *range(len(raw) - 60, len(raw)), 0}
    for place in places:
        damaged = bytearray(raw)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"zarr\.json: expected"):
            read_root(path)
    path.write_bytes(raw)
    assert read_root(path).sums["entries"] == 1


def test_the_root_of_the_commit_before_is_kept_until_the_next(tmp_path: Path) -> None:
    store = make(tmp_path / "s")
    for done in range(3):
        write(store, done, 1)
        store.commit()
    assert read_root(tmp_path / "s" / ROOT).nodes[f"{GROUP}/step"]["shape"] == [3]
    assert read_root(previous(store.root)).nodes[f"{GROUP}/step"]["shape"] == [2]

    def stop(point: str) -> None:
        if point == faults.COMMIT:
            raise OSError("stopped")

    write(store, 3, 1)
    with faults.installed(stop), pytest.raises(OSError, match="stopped"):
        store.commit()
    assert read_root(tmp_path / "s" / ROOT).nodes[f"{GROUP}/step"]["shape"] == [3]
    assert read_root(previous(store.root)).nodes[f"{GROUP}/step"]["shape"] == [3]


def test_small_files_are_held_against_their_list(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    assert list(wrong_files(tmp_path)) == []
    write_sums(tmp_path, ("a", "b", "absent"))
    assert list(wrong_files(tmp_path)) == []
    (tmp_path / "a").write_text("onf")
    (tmp_path / "b").unlink()
    first, second = wrong_files(tmp_path)
    assert "the file that was written" in str(first)
    assert "No such file" in str(second)
    listed = tmp_path / checksums.SUMS_FILE
    listed.write_text(listed.read_text().replace('"a"', '"c"'))
    [only] = wrong_files(tmp_path)
    assert "the checksums that were written" in str(only)
