"""The board's server: hands out one page, the runs' numbers, and named files of known runs. Reads only; GET only.

It listens on this machine alone unless told otherwise, answers no other name than its own there (so that a page
elsewhere cannot reach it by a name that leads here), and tells the browser to load nothing from anywhere else.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import socket
import sys
from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import modelyard
from modelyard.board.run_folder import FILES
from modelyard.board.watch import Runs
from modelyard.core.errors import UsageError
from modelyard.core.files import to_json
from modelyard.report.metric_names import name_of

__all__ = ["Board", "serve"]

_HERE = Path(__file__).parent
_ASSETS = {
    "": ("page.html", "text/html; charset=utf-8"),
    "board.css": ("board.css", "text/css; charset=utf-8"),
    "board.js": ("board.js", "text/javascript; charset=utf-8"),
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_FILE_POLICY = (
    "sandbox allow-scripts allow-modals; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""A report is a file that a stranger may have written: its script runs in an origin of its own, and reaches nothing."""
_MOST_RUNS = 20
_MOST_FIELDS = 100
_PATIENCE = 30


def serve(
    runs: str | Path = "runs",
    host: str = "127.0.0.1",
    port: int = 8765,
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve the board of a folder of runs until it is interrupted from the keyboard.

    Args:
        runs: The folder; it need not exist yet.
        host: The address to listen on. Any but this machine's own lets others read the runs.
        port: 0 for any free one.
        announce: Told the board's address once it listens.

    Raises:
        UsageError: The folder is a file, the port is taken or not allowed, or the address is not this machine's.
    """
    with Board(Path(runs), host, port) as board:
        try:
            announce(board.url)
            board.serve_forever()
        except KeyboardInterrupt:
            return


class Board(ThreadingHTTPServer):
    """The listening server; `serve_forever` answers, `shutdown` from another thread ends it. Use as a context manager.

    Raises:
        UsageError: As `serve`.
    """

    daemon_threads = True

    def __init__(self, runs: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        if runs.exists() and not runs.is_dir():
            raise UsageError(f"{runs} is a file; the board serves a folder of runs: modelyard board --runs DIR")
        if not 0 <= port <= 65535:
            raise UsageError(f"a port is a number from 0 to 65535, got {port}")
        self.runs = Runs(runs)
        self.host = host
        try:
            self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            super().__init__((host, port), _Answer)
        except OSError as error:
            raise UsageError(_refusal(error, host, port)) from error
        self.own_names = _own_names(host)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called, as the base class would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    @property
    def url(self) -> str:
        """The board's address in a browser."""
        host = "localhost" if _is_any(self.host) else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that went away; whatever else happened is a defect and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Answer(BaseHTTPRequestHandler):
    """Answers one browser's requests."""

    server: Board
    protocol_version = "HTTP/1.1"
    server_version = f"modelyard/{modelyard.__version__}"
    sys_version = ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        """Answer a request for the page, its parts, numbers or a run's file."""
        if not self._asked_by_name():
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "this board answers to its own address alone")
            return
        try:
            address = urlsplit(self.path)
            parts = [unquote(part) for part in address.path.split("/")[1:]]
            query = parse_qs(address.query, max_num_fields=_MOST_FIELDS)
        except ValueError:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no address")
            return
        match parts:
            case [name] if name in _ASSETS:
                file, kind = _ASSETS[name]
                self._send(_asset(file), kind, _PAGE_POLICY)
            case ["api", "runs"]:
                self._send_runs()
            case ["api", "curves"]:
                self._send_curves(query)
            case ["api", "differences"]:
                self._send_json(self.server.runs.differences(query.get("run", [])[:_MOST_RUNS]))
            case ["run", name, file]:
                self._send_file(name, file)
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _refuse_method(self) -> None:
        self.close_connection = True  # a body that was sent along is not read
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "the board only answers GET")

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse_method  # noqa: N815

    def _send_runs(self) -> None:
        runs = self.server.runs.summaries()
        found = dict.fromkeys(name for run in runs for values in (run["metrics"], run["latest"]) for name in values)
        names = {name: {"title": name_of(name).title, "share": name_of(name).share} for name in found}
        self._send_json({"folder": str(self.server.runs.folder), "runs": runs, "metrics": names})

    def _send_curves(self, query: dict[str, list[str]]) -> None:
        """Each `run` may come with what is known of it: `run=NAME&known=GENERATION:EPOCHS`."""
        known = query.get("known", [])
        curves = {}
        for place, name in enumerate(query.get("run", [])[:_MOST_RUNS]):
            generation, _, after = (known[place] if place < len(known) else "").partition(":")
            found = self.server.runs.curves(name, _whole(generation), _whole(after))
            if found is not None:
                curves[name] = found
        self._send_json({"runs": curves})

    def _send_file(self, name: str, file: str) -> None:
        path = self.server.runs.file(name, file)
        try:
            content = None if path is None else path.read_bytes()
        except OSError:  # it went away between the look and the reading
            content = None
        if content is None:
            self._refuse(HTTPStatus.NOT_FOUND, "no such file of a run in this folder")
        else:
            self._send(content, FILES[file][1], _FILE_POLICY)

    def _send_json(self, value: Any) -> None:
        self._send(to_json(value).encode(), "application/json", _PAGE_POLICY)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self._send(f"{message}\n".encode(), "text/plain; charset=utf-8", _PAGE_POLICY, status)

    def _send(self, content: bytes, kind: str, policy: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        tag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
        if status is HTTPStatus.OK and self.headers.get("If-None-Match") == tag:
            status, content = HTTPStatus.NOT_MODIFIED, b""
        self.send_response(status)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _asked_by_name(self) -> bool:
        names = self.server.own_names
        if names is None:
            return True
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            return False
        return host is not None and host.lower() in names

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal quiet: a page asks every few seconds."""


def _own_names(host: str) -> frozenset[str] | None:
    """Return the names a board is reached by; None when it listens to the outside and cannot know them."""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    return frozenset({"localhost", "127.0.0.1", "::1", host}) if local else None


def _is_any(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""


def _refusal(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken by another program, perhaps by another board; "
            f"choose another one: modelyard board --port {port + 1 if port < 65535 else port - 1}"
        )
    if error.errno == errno.EACCES:
        return f"port {port} of {host} may not be used by this user; choose one above 1023: modelyard board --port 8765"
    return f"cannot listen on {host}:{port}: {error.strerror or error}; --host takes an address of this machine"


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 25 else -1


@cache
def _asset(name: str) -> bytes:
    return (_HERE / name).read_bytes()
