"""The board over HTTP: what it hands out, and what it does not."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from board_samples import append, epoch, make_run, training

from modelyard.board.server import Board, serve
from modelyard.core.errors import UsageError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "runs"
    path = make_run(root, "cancer-1", name="cancer", status="finished", metrics={"accuracy": 0.9}, split="test")
    append(path, training() + epoch(1, 0.8))
    (path / "spec.yaml").write_text("seed: 1\n")
    (path / "bundle").mkdir()
    (path / "bundle" / "report.html").write_text("<p>report</p>")
    (tmp_path / "secret.txt").write_text("secret")
    return root


@pytest.fixture
def board(folder):
    with Board(folder) as server:
        server.runs._every = 0
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(board, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", board.server_address[1], timeout=10)
    try:
        connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def get_json(board, path):
    status, headers, body = get(board, path)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    return json.loads(body)


def test_the_page_and_its_parts_are_there_and_name_nothing_elsewhere(board):
    for path, kind in (("/", "text/html"), ("/board.css", "text/css"), ("/board.js", "text/javascript")):
        status, headers, body = get(board, path)
        assert status == 200 and headers["Content-Type"].startswith(kind)
        addresses = set(re.findall(rb"https?://[^\s\"'`)]+", body)) - {b"http://www.w3.org/2000/svg"}
        assert not addresses
    page = get(board, "/")[2].decode()
    # Whatever the policy forbids would silently not work.
    assert not re.search(r"\sstyle=|\son[a-z]+=|<script>|<style>", page)


def test_every_answer_carries_a_policy_that_loads_nothing_from_elsewhere(board):
    for path in ("/", "/board.js", "/api/runs", "/nothing", "/run/cancer-1/spec.yaml"):
        headers = get(board, path)[1]
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "http" not in policy
        assert "frame-ancestors 'none'" in policy and "form-action 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
    assert "unsafe" not in get(board, "/")[1]["Content-Security-Policy"]


def test_runs_come_with_how_their_metrics_are_written(board):
    answer = get_json(board, "/api/runs")
    (run,) = answer["runs"]
    assert (run["id"], run["status"], run["metrics"]) == ("cancer-1", "finished", {"accuracy": 0.9})
    assert run["files"] == ["report.html", "spec.yaml"]
    assert answer["metrics"]["accuracy"] == {"title": "Accuracy", "share": True}


def test_curves_come_in_pieces_as_the_events_grow(board, folder):
    first = get_json(board, "/api/curves?run=cancer-1&known=-:0")["runs"]["cancer-1"]
    assert first["columns"]["validation/loss"] == [0.8]
    append(folder / "cancer-1", epoch(2, 0.6) + '{"event": "epoch", "ti')
    known = f"{first['generation']}:{first['epochs']}"
    news = get_json(board, f"/api/curves?run=cancer-1&known={known}")["runs"]["cancer-1"]
    assert (news["from"], news["columns"]["validation/loss"]) == (1, [0.6])
    assert get_json(board, "/api/curves?run=gone")["runs"] == {}


def test_settings_that_differ(board, folder):
    (make_run(folder, "b") / "spec.yaml").write_text("seed: 2\n")
    answer = get_json(board, "/api/differences?run=cancer-1&run=b")
    assert answer == {"runs": ["cancer-1", "b"], "settings": {"seed": [1, 2]}, "left_out": []}


def test_named_files_are_served_and_a_report_runs_in_an_origin_of_its_own(board):
    status, headers, body = get(board, "/run/cancer-1/report.html")
    assert (status, body) == (200, b"<p>report</p>")
    assert headers["Content-Security-Policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in headers["Content-Security-Policy"]
    assert get(board, "/run/cancer-1/spec.yaml")[1]["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/run/cancer-1/run.json",
        "/run/cancer-1/events.jsonl",
        "/run/cancer-1/card.md",
        "/run/gone/report.html",
        "/run/../secret.txt",
        "/run/cancer-1/../../secret.txt",
        "/run/cancer-1/..%2f..%2fsecret.txt",
        "/run/..%2f/secret.txt",
        "/run/%2e%2e/secret.txt",
        "/run/%2fetc/passwd",
        "/run/cancer-1%2fbundle/report.html",
        "/run/cancer-1%00/report.html",
        "/run//report.html",
        "/run/./report.html",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "//etc/passwd",
        "/page.html",
        "/server.py",
        "/api/other",
        "/api/runs/",
    ],
)
def test_nothing_else_is_handed_out(board, path):
    status, _, body = get(board, path)
    assert status == 404 and b"secret" not in body


def test_what_is_no_address_is_refused(board):
    assert get(board, "/api/curves?" + "&".join(["run=a"] * 101))[0] == 400
    with socket.create_connection(board.server_address) as connection:
        connection.sendall(b"GET http://[/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("known", ["x:y", "9:", ":::", "9" * 40 + ":1", "1:-1", "1:99999"])
def test_nonsense_about_what_is_known_gives_everything(board, known):
    assert get_json(board, f"/api/curves?run=cancer-1&known={known}")["runs"]["cancer-1"]["from"] == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_is_answered(board, method):
    status, headers, _ = get(board, "/api/runs", method)
    assert (status, headers["Allow"]) == (405, "GET")


def test_another_name_that_leads_here_is_not_answered(board):
    assert get(board, "/api/runs", Host="evil.example:8765")[0] == 421
    assert get(board, "/api/runs", Host="[")[0] == 421
    for name in ("localhost", "LOCALHOST:1", "127.0.0.1:8765", "[::1]:99"):
        assert get(board, "/api/runs", Host=name)[0] == 200


def test_what_has_not_changed_is_not_sent_again(board, folder):
    tag = get(board, "/api/runs")[1]["ETag"]
    status, _, body = get(board, "/api/runs", If_None_Match=tag)
    assert (status, body) == (304, b"")
    make_run(folder, "new")
    assert get(board, "/api/runs", If_None_Match=tag)[0] == 200


def test_names_that_are_markup_stay_text(board, folder):
    make_run(folder, "<img src=x onerror=alert(1)>", name="<script>alert(1)</script>", message="<b>")
    status, headers, body = get(board, "/api/runs")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert "<script>alert(1)</script>" in {run["name"] for run in json.loads(body)["runs"]}
    script = get(board, "/board.js")[2].decode()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script)


def test_a_port_that_is_taken_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} of 127.0.0.1 is taken.*--port {port + 1}"):
            Board(tmp_path, port=port)


def test_addresses_ports_and_folders_that_cannot_be_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        Board(tmp_path / "file")
    with pytest.raises(UsageError, match="from 0 to 65535, got 70000"):
        Board(tmp_path, port=70000)
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1"):
        Board(tmp_path, "192.0.2.1")


def test_the_address_is_announced_and_the_keyboard_ends_it(tmp_path, monkeypatch):
    told = []

    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Board, "serve_forever", interrupted)
    serve(tmp_path, port=0, announce=told.append)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", told[0])


def test_ctrl_c_ends_a_board_with_exit_code_0(tmp_path):
    code = (
        "from modelyard.board.server import serve\n"
        f"serve({str(tmp_path)!r}, port=0, announce=lambda url: print(url, flush=True))"
    )
    board = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert board.stdout.readline().startswith("http://127.0.0.1:")
    board.send_signal(signal.SIGINT)
    _, errors = board.communicate(timeout=20)
    assert (board.returncode, errors) == (0, "")
