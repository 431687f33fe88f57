"""A headless Chromium, driven through the pipe of its DevTools protocol: nothing to install but the browser."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LONGEST = 60.0  # seconds for an answer


def found() -> str | None:
    """A browser of this machine."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page. `errors` holds what went to the console as an error or was thrown, `requests` what was fetched."""

    def __init__(self, process: subprocess.Popen[bytes], read: int, write: int) -> None:
        self._process, self._read, self._write = process, read, write
        self._buffer = b""
        self._number = 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._events: list[dict[str, Any]] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    _session: str | None = None

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What a command of the protocol answers."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + LONGEST
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has gone"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"].get("exception", told["exceptionDetails"])))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.errors.append(str([entry.get("value", entry.get("description")) for entry in told["args"]]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(told["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        if method is not None:
            self._events.append(message)

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """The viewport, in CSS pixels; a phone has touch and no mouse."""
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self("Emulation.setTouchEmulationEnabled", enabled=phone)

    def prefers(self, theme: str) -> None:
        """The system's colour scheme."""
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def open(self, path: Path) -> None:
        """Load a file, and draw all that is on it."""
        self._events.clear()
        self("Page.navigate", url=path.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._next()
        self.run("neurosal.ready")
        self.run("neurosal.drawAll()")

    def run(self, expression: str) -> Any:
        """The value of JavaScript; a promise is waited for."""
        answer = self("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def point(self, x: float, y: float) -> None:
        """Move the mouse there, the way a hand does: it comes from somewhere."""
        for along in (0.9, 1.0):
            self("Input.dispatchMouseEvent", type="mouseMoved", x=x * along, y=y * along)

    def picture(self, path: Path, *, whole: bool = True) -> Path:
        """A screenshot of the whole page, or of what is in the viewport."""
        clip: dict[str, Any] = {}
        if whole:
            size = self("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {**size, "scale": 1}, "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", format="png", **clip)["data"]))
        return path


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with a profile of its own, ended at the end."""
    path = found()
    assert path is not None
    switches = ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run", "hide-scrollbars")
    command = [path, *(f"--{switch}" for switch in switches), f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    their_read, our_write = os.pipe()
    our_read, their_write = os.pipe()

    def as_three_and_four() -> None:
        first, second = os.dup(their_read), os.dup(their_write)
        os.dup2(first, 3)
        os.dup2(second, 4)

    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
        preexec_fn=as_three_and_four,
    )  # fmt: skip
    os.close(their_read)
    os.close(their_write)
    try:
        yield Browser(process, our_read, our_write)
    finally:
        process.kill()
        process.wait(10)
        os.close(our_read)
        os.close(our_write)
