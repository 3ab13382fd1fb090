"""A headless Chromium, driven over its DevTools protocol: enough to open pages, ask them things and print them.

The protocol is JSON over a WebSocket (RFC 6455); both are small enough to be spoken with the standard library.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Browser", "Page", "find"]

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 30.0
"""Seconds to wait for the browser to start, and for any one answer."""


def find() -> str | None:
    """Return the path of a Chromium on this machine, None when there is none."""
    return next((path for program in _PROGRAMS if (path := shutil.which(program))), None)


class Browser:
    """A running browser with a profile of its own. Use as a context manager: on leaving, the browser is gone.

    Args:
        program: What to start, as `find` returns it.
        profile: An empty folder for what the browser writes.
    """

    def __init__(self, program: str, profile: Path) -> None:
        self._log = (profile / "browser.log").open("wb")
        self._process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-default-browser-check",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-extensions",
                "--hide-scrollbars",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdout=self._log,
            stderr=self._log,
        )
        self._waiting: list[dict[str, Any]] = []
        self._number = 0
        try:
            port, path = self._address(profile)
            self._socket = _WebSocket("127.0.0.1", port, path)
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._socket.send(json.dumps({"id": 0, "method": "Browser.close"}))
            self._process.wait(timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            pass  # it is ended the hard way below
        finally:
            self._socket.close()
            self._end()

    def page(self, width: int = 1280, height: int = 900) -> Page:
        """Return a new, empty page of a size in CSS pixels."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, target, session, width, height)

    def call(self, method: str, session: str | None = None, **arguments: Any) -> dict[str, Any]:
        """Return the browser's answer to a command; what happens in between is kept for `events`."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": arguments}
        if session is not None:
            message["sessionId"] = session
        self._socket.send(json.dumps(message))
        while True:
            received = json.loads(self._socket.receive())
            if received.get("id") == number:
                if "error" in received:
                    raise RuntimeError(f"{method}: {received['error']['message']}")
                return received["result"]
            if "method" in received:
                self._waiting.append(received)

    def events(self, session: str) -> list[dict[str, Any]]:
        """Return, and forget, what happened in a session since the last time."""
        mine = [event for event in self._waiting if event.get("sessionId") == session]
        self._waiting = [event for event in self._waiting if event.get("sessionId") != session]
        return mine

    def _address(self, profile: Path) -> tuple[int, str]:
        """Where the browser listens: it writes the port it was given and a path into its profile."""
        file = profile / "DevToolsActivePort"
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            lines = file.read_text().splitlines() if file.exists() else []
            if len(lines) == 2:
                return int(lines[0]), lines[1]
            time.sleep(0.02)
        said = (profile / "browser.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"the browser did not start; it said: {said}")

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()


class Page:
    """One page: what it asked for, what went wrong in it, and what it answers."""

    def __init__(self, browser: Browser, target: str, session: str, width: int, height: int) -> None:
        self._browser, self._target, self._session = browser, target, session
        self.problems: list[str] = []
        """Exceptions, and errors and warnings of the console: in words."""
        self.requests: list[str] = []
        """Addresses the page asked for, its own first; what it holds itself (`data:`) is not asked for."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        self.resize(width, height)

    def open(self, address: str, ready: str = "document.readyState === 'complete'") -> None:
        """Go to an address and wait until an expression holds there."""
        answer = self._call("Page.navigate", url=address)
        if answer.get("errorText"):
            raise RuntimeError(f"{address}: {answer['errorText']}")
        self.wait_for(f"location.href !== 'about:blank' && ({ready})")

    def run(self, script: str) -> Any:
        """Return what an expression gives, as JSON; a promise is waited for.

        Raises:
            RuntimeError: The expression throws.
        """
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(_thrown(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Return once an expression is true.

        Raises:
            TimeoutError: It did not become true.
        """
        end = time.monotonic() + _PATIENCE
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {condition}")
            time.sleep(0.02)

    def resize(self, width: int, height: int = 900, phone: bool = False) -> None:
        """Give the page a size in CSS pixels, of a window or of a phone."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def prefer(self, **features: str) -> None:
        """Say what the reader's system prefers: `color_scheme="dark"`, `reduced_motion="reduce"`."""
        listed = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self._call("Emulation.setEmulatedMedia", features=listed)

    def without_scripts(self) -> None:
        """Run no script of the pages opened from now on."""
        self._call("Emulation.setScriptExecutionDisabled", value=True)

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse, in CSS pixels of the window."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        """Press and release a key, such as `Tab` or `ArrowRight`."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def print(self) -> bytes:
        """Return the page as a PDF."""
        return base64.b64decode(self._call("Page.printToPDF", printBackground=True)["data"])

    def picture(self, whole: bool = False) -> bytes:
        """Return the window, or the whole page, as a PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def close(self) -> None:
        """Close the page."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def _call(self, method: str, **arguments: Any) -> dict[str, Any]:
        answer = self._browser.call(method, self._session, **arguments)
        for event in self._browser.events(self._session):
            said = _EVENTS.get(event["method"])
            if said is not None:
                said(self, event["params"])
        return answer

    def _thrown(self, event: dict[str, Any]) -> None:
        self.problems.append(_thrown(event["exceptionDetails"]))

    def _said(self, event: dict[str, Any]) -> None:
        if event["type"] in ("error", "warning", "assert"):
            texts = (str(part.get("value", part.get("description", ""))) for part in event["args"])
            self.problems.append(f"{event['type']}: {' '.join(texts)}")

    def _logged(self, event: dict[str, Any]) -> None:
        if event["entry"]["level"] in ("error", "warning"):
            self.problems.append(f"{event['entry']['level']}: {event['entry']['text']}")

    def _asked(self, event: dict[str, Any]) -> None:
        if not event["request"]["url"].startswith("data:"):
            self.requests.append(event["request"]["url"])


_EVENTS: dict[str, Callable[[Page, dict[str, Any]], None]] = {
    "Runtime.exceptionThrown": Page._thrown,
    "Runtime.consoleAPICalled": Page._said,
    "Log.entryAdded": Page._logged,
    "Network.requestWillBeSent": Page._asked,
}


def _thrown(details: dict[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details.get("text"))


class _WebSocket:
    """A client's end of a WebSocket that carries text."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._socket = socket.create_connection((host, port), timeout=_PATIENCE)
        self._buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._take(1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(f"no WebSocket there: {head.decode(errors='replace')}")

    def send(self, text: str) -> None:
        """Send a message, masked as a client's must be."""
        data, mask = text.encode(), os.urandom(4)
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x81, 0x80 | size)
        elif size < 65536:
            head = struct.pack("!BBH", 0x81, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x81, 0x80 | 127, size)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        self._socket.sendall(head + mask + masked)

    def receive(self) -> str:
        """Return the next message."""
        message = b""
        while True:
            first, second = self._take(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", self._take(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._take(8))
            data, kind = self._take(size), first & 0x0F
            if kind == 8:
                raise ConnectionError("the browser closed the connection")
            if kind in (0, 1):
                message += data
                if first & 0x80:
                    return message.decode()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            received = self._socket.recv(1 << 16)
            if not received:
                raise ConnectionError("the browser is gone")
            self._buffer += received
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken
