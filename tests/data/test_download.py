"""Downloads: only when asked for, kept only when they are the published file, never half there."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurosal import data
from neurosal.data import download
from neurosal.data.catalogue import CATALOGUE
from neurosal.errors import DataError
from tests.data.small_files import image_arrays, write_idx

pytest.importorskip("pooch", reason="downloads are an extra")

FIRST = "train-images-idx3-ubyte.gz"
LAST = "t10k-labels-idx1-ubyte.gz"


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Keep requests out of the tests' output."""


class Upstream:
    """A server on this machine in place of the publisher's, with a small MNIST."""

    def __init__(self, folder: Path, address: str, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.address, self.asked, self.monkeypatch = folder, address, asked, monkeypatch
        self.arrays = image_arrays()
        write_idx(folder, self.arrays)
        self.publish()

    def publish(self, *elsewhere: str, checksum: str | None = None) -> None:
        """State checksums of the files that are there; other addresses come first."""
        layout = CATALOGUE["mnist"].layouts[0]
        files = {}
        for key, file in layout.files.items():
            content = (self.folder / file.upstream).read_bytes()
            stated = f"md5:{hashlib.md5(content).hexdigest()}" if checksum is None else checksum
            urls = tuple(f"{address}{file.upstream}" for address in (*elsewhere, self.address))
            files[key] = replace(file, urls=urls, checksum=stated)
        entry = replace(CATALOGUE["mnist"], layouts=(replace(layout, files=files),))
        self.monkeypatch.setitem(CATALOGUE, "mnist", entry)


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    folder = tmp_path / "upstream"
    folder.mkdir()
    asked: list[str] = []
    handler = type("Handler", (Quiet,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("NEUROSAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield Upstream(folder, f"http://127.0.0.1:{server.server_port}/", asked, monkeypatch)
    server.shutdown()
    thread.join()
    server.server_close()


def kept(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache" / "mnist").iterdir())


def test_nothing_is_downloaded_unless_asked_for(upstream: Upstream, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing in"):
        data.load("mnist")
    assert not (tmp_path / "cache").exists()
    assert upstream.asked == []


def test_a_download_is_kept_and_read_from_the_cache_afterwards(upstream: Upstream, tmp_path: Path) -> None:
    first = data.load("mnist", download=True, scaling="none", shape="natural")
    assert np.array_equal(first.train.x, upstream.arrays["x_train"])
    assert len(upstream.asked) == 4
    assert data.load("mnist", download=True, scaling="none", shape="natural") == first
    assert data.load("mnist").source.endswith("read from cache")
    assert len(upstream.asked) == 4
    assert len(kept(tmp_path)) == 4


def test_a_file_that_is_not_the_published_one_is_refused_and_not_kept(upstream: Upstream, tmp_path: Path) -> None:
    published = hashlib.md5((upstream.folder / FIRST).read_bytes()).hexdigest()
    write_idx(upstream.folder, image_arrays(seed=1))  # whole and readable, but another one
    changed = hashlib.md5((upstream.folder / FIRST).read_bytes()).hexdigest()
    with pytest.raises(DataError) as caught:
        data.load("mnist", download=True)
    [problem] = caught.value.problems
    assert problem.place == f"{upstream.address}{FIRST}"
    assert published in problem.expected
    assert problem.found == f"md5:{changed}"
    assert "not kept" in problem.remedy
    assert kept(tmp_path) == []


def test_sha256_is_understood_and_without_a_checksum_the_format_is_still_checked(upstream: Upstream) -> None:
    upstream.publish(checksum=f"sha256:{'0' * 64}")
    with pytest.raises(DataError, match="found sha256:"):
        data.load("mnist", download=True)
    upstream.publish(checksum="")
    assert len(data.load("mnist", download=True)) == 80


def test_a_download_that_fails_leaves_no_file_and_says_what_to_do(upstream: Upstream, tmp_path: Path) -> None:
    (upstream.folder / FIRST).unlink()
    with pytest.raises(DataError, match=r"404(.|\n)*NEUROSAL_DATA") as caught:
        data.load("mnist", download=True)
    assert caught.value.problems[0].place == f"{upstream.address}{FIRST}"
    assert kept(tmp_path) == []


def test_a_second_address_is_tried_and_all_that_failed_are_named(upstream: Upstream, tmp_path: Path) -> None:
    upstream.publish("http://127.0.0.1:9/", f"{upstream.address}gone/")
    assert len(data.load("mnist", download=True)) == 80
    (tmp_path / "cache" / "mnist" / FIRST).unlink()
    (upstream.folder / FIRST).unlink()
    with pytest.raises(DataError) as caught:
        data.load("mnist", download=True)
    addresses = ("http://127.0.0.1:9/", f"{upstream.address}gone/", upstream.address)
    assert [problem.place for problem in caught.value.problems] == [f"{address}{FIRST}" for address in addresses]


def test_a_download_goes_on_where_an_earlier_one_stopped(upstream: Upstream, tmp_path: Path) -> None:
    content = (upstream.folder / LAST).read_bytes()
    (upstream.folder / LAST).unlink()
    with pytest.raises(DataError, match="404"):
        data.load("mnist", download=True)
    assert len(kept(tmp_path)) == 3
    (upstream.folder / LAST).write_bytes(content)
    (upstream.folder / FIRST).unlink()
    assert len(data.load("mnist", download=True).train) == 60


def test_a_download_larger_than_any_data_set_is_stopped(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LARGEST_BYTES", 1000)
    monkeypatch.setattr(download, "BLOCK_BYTES", 100)
    with pytest.raises(DataError, match="at most 1000 bytes"):
        data.load("mnist", download=True)
    assert kept(tmp_path) == []


def break_off(handler: SimpleHTTPRequestHandler, *, promised: int | None) -> None:
    """Send the first half of a file and close the connection."""
    content = Path(handler.translate_path(handler.path)).read_bytes()
    handler.send_response(200)
    if promised is not None:
        handler.send_header("Content-Length", str(promised or len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])


@pytest.mark.parametrize("promised", [0, 50_000_000, None])
def test_a_connection_that_breaks_off_leaves_no_file(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promised: int | None
) -> None:
    """Whether the server promised the file's length, another one, or none: then the checksum is all there is."""
    monkeypatch.setattr(Quiet, "do_GET", lambda handler: break_off(handler, promised=promised))
    with pytest.raises(DataError, match=FIRST) as caught:
        data.load("mnist", download=True)
    assert ("published file" in caught.value.problems[0].expected) == (promised is None)
    assert kept(tmp_path) == []


def test_a_server_that_cannot_be_reached_is_named(upstream: Upstream, tmp_path: Path) -> None:
    upstream.address = "http://127.0.0.1:9/"
    upstream.publish()
    with pytest.raises(DataError, match=rf"http://127\.0\.0\.1:9/{FIRST}: expected a file to download"):
        data.load("mnist", download=True)
    assert kept(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_named(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="NEUROSAL_CACHE"):
        data.load("mnist", download=True)


def test_without_pooch_the_message_says_how_to_install_it(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"pip install 'neurosal\[download\]'"):
        data.load("mnist", download=True)


def test_progress_is_shown_on_a_terminal_only(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data.load("mnist", download=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    (tmp_path / "cache" / "mnist" / FIRST).unlink()
    data.load("mnist", download=True)
    shown = capsys.readouterr()
    assert FIRST in shown.err
    assert shown.out == ""


def test_every_address_has_a_checksum_of_a_known_kind() -> None:
    files = [file for entry in CATALOGUE.values() for layout in entry.layouts for file in layout.files.values()]
    with_address = [file for file in files if file.urls]
    assert len(with_address) > 15
    for file in with_address:
        kind, _, digits = file.checksum.partition(":")
        assert len(digits) == {"md5": 32, "sha256": 64}[kind]
        assert all(address.endswith(f"/{file.upstream}") for address in file.urls)
