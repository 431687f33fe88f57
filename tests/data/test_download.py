"""Downloads: only when asked for, checked like every other file, never half there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
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


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Keep requests out of the tests' output."""


def break_off(handler: SimpleHTTPRequestHandler) -> None:
    """Promise more bytes than are sent."""
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(b"half")


class Upstream:
    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """A server on this machine in place of the publisher's, and an empty cache."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setenv("NEUROSAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    entry = CATALOGUE["mnist"]
    monkeypatch.setitem(CATALOGUE, "mnist", type(entry)(**(vars(entry) | {"url": address})))
    yield Upstream(folder, address)
    server.shutdown()
    thread.join()
    server.server_close()


def test_nothing_is_downloaded_unless_asked_for(upstream: Upstream, tmp_path: Path) -> None:
    write_idx(upstream.folder, image_arrays())
    with pytest.raises(DataError, match="nothing in"):
        data.load("mnist")
    assert not (tmp_path / "cache").exists()


def test_a_download_is_kept_and_read_from_the_cache_afterwards(upstream: Upstream, tmp_path: Path) -> None:
    arrays = image_arrays()
    write_idx(upstream.folder, arrays)
    first = data.load("mnist", download=True, scaling="none", shape="natural")
    assert np.array_equal(first.train.x, arrays["x_train"])
    for file in upstream.folder.iterdir():
        file.unlink()
    assert data.load("mnist", scaling="none", shape="natural") == first
    assert len(list((tmp_path / "cache" / "mnist").iterdir())) == 4


def test_a_download_that_fails_leaves_no_file_and_says_what_to_do(upstream: Upstream, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"404(.|\n)*NEUROSAL_DATA") as caught:
        data.load("mnist", download=True)
    assert caught.value.problems[0].place == f"{upstream.address}train-images-idx3-ubyte.gz"
    assert list((tmp_path / "cache" / "mnist").iterdir()) == []


def test_a_download_goes_on_where_an_earlier_one_stopped(upstream: Upstream) -> None:
    write_idx(upstream.folder, image_arrays())
    last = upstream.folder / "t10k-labels-idx1-ubyte.gz"
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(DataError, match="404"):
        data.load("mnist", download=True)
    last.write_bytes(content)
    (upstream.folder / "train-images-idx3-ubyte.gz").unlink()
    assert len(data.load("mnist", download=True).train) == 60


def test_a_download_larger_than_any_data_set_is_stopped(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(upstream.folder, image_arrays())
    monkeypatch.setattr(download, "LARGEST_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1000 bytes"):
        data.load("mnist", download=True)
    assert list((tmp_path / "cache" / "mnist").iterdir()) == []


def test_a_connection_that_breaks_off_leaves_no_file(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quiet, "do_GET", break_off)
    with pytest.raises(DataError, match="5000 bytes, found 4"):
        data.load("mnist", download=True)
    assert list((tmp_path / "cache" / "mnist").iterdir()) == []


def test_a_server_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    entry = CATALOGUE["semeion"]
    monkeypatch.setitem(CATALOGUE, "semeion", type(entry)(**(vars(entry) | {"url": "http://127.0.0.1:9/"})))
    with pytest.raises(DataError, match=r"http://127\.0\.0\.1:9/semeion\.data"):
        data.load("semeion", download=True)
