# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Engine API over a real unix socket: what is sent, and what every kind of answer means."""

from __future__ import annotations

import base64
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_errors import CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._docker_engine import Engine, heeds_no_token_ca
from ansible_collections.nodetrust.harbor.plugins.module_utils._pull import prove

IMAGE = "harbor.lab.internal:8443/library/hello:1"
X509 = "x509: certificate signed by unknown authority"
TOKEN = (
    f'failed to authorize: failed to fetch anonymous token: Get "https://harbor.lab.internal:8443/t": {X509}'
)
STORE = [["driver-type", "io.containerd.snapshotter.v1"]]


def progress(*steps: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(step).encode() + b"\r\n" for step in steps)


class Daemon(socketserver.ThreadingUnixStreamServer):
    """Answers /images/create as it is told, and the rest as a daemon would."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.answer: tuple[int, bytes] = (200, progress({"status": "Status: Image is up to date"}))
        self.info: dict[str, Any] = {"ServerVersion": "28.5.2", "DriverStatus": []}
        self.cut = False
        self.silent = threading.Event()
        self.silent.set()
        super().__init__(str(path), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Daemon
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append(("GET", self.path, {}))
        said = {
            "/info": self.server.info,
            "/version": {"Version": "28.5.2", "ApiVersion": "1.51"},
        }.get(self.path, {"Id": "sha256:abc"})
        self.reply(200, json.dumps(said).encode())

    def do_POST(self) -> None:
        self.server.asked.append(("POST", self.path, dict(self.headers)))
        self.server.silent.wait(10)
        self.reply(*self.server.answer)

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        if self.server.cut:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    server = Daemon(tmp_path / "docker.sock")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.silent.set()
    server.shutdown()
    thread.join()
    server.server_close()


def engine(daemon: Daemon, timeout: float = 10) -> Engine:
    return Engine(f"unix://{daemon.server_address}", timeout)


def test_a_pull_that_succeeds_returns_the_id(daemon: Daemon) -> None:
    assert engine(daemon).pull(IMAGE) == "sha256:abc"
    method, path, headers = daemon.asked[0]
    assert (method, path) == (
        "POST",
        "/images/create?fromImage=harbor.lab.internal%3A8443%2Flibrary%2Fhello%3A1",
    )
    assert json.loads(base64.urlsafe_b64decode(headers["X-Registry-Auth"])) == {}


def test_a_login_travels_in_the_header_alone(daemon: Daemon) -> None:
    engine(daemon).pull(IMAGE, ("robot$x", "s3cret?~"))
    _method, path, headers = daemon.asked[0]
    assert json.loads(base64.urlsafe_b64decode(headers["X-Registry-Auth"])) == {
        "username": "robot$x",
        "password": "s3cret?~",
        "serveraddress": "harbor.lab.internal:8443",
    }
    assert "s3cret" not in path


@pytest.mark.parametrize(
    ("image", "asked"),
    [
        ("h.lab/x", "h.lab%2Fx%3Alatest"),
        ("h.lab:5000/x", "h.lab%3A5000%2Fx%3Alatest"),
        ("h.lab/x:1", "h.lab%2Fx%3A1"),
        (f"h.lab/x@sha256:{'0' * 64}", f"h.lab%2Fx%40sha256%3A{'0' * 64}"),
    ],
)
def test_without_a_tag_only_the_latest_is_pulled(daemon: Daemon, image: str, asked: str) -> None:
    engine(daemon).pull(image)
    assert daemon.asked[0][1].endswith(f"fromImage={asked}")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((500, json.dumps({"message": f'Get "https://h/v2/": {X509}'}).encode()), "unknown_authority"),
        (
            (200, progress({"status": "Pulling"}, {"errorDetail": {"message": X509}, "error": "x"})),
            "unknown_authority",
        ),
        ((200, progress({"error": "manifest unknown"})), "not_found"),
        (
            (404, json.dumps({"message": "manifest for h/x:1 not found: manifest unknown"}).encode()),
            "not_found",
        ),
        ((404, b"no JSON, and no words that are known"), "not_found"),
        ((500, b""), "unknown"),
    ],
)
def test_every_refusal_has_its_name(daemon: Daemon, answer: tuple[int, bytes], reason: str) -> None:
    daemon.answer = answer
    result = prove(engine(daemon), IMAGE)
    assert (result.ok, result.reason, result.via) == (False, reason, "docker")


def test_a_stream_that_breaks_off_is_no_proof(daemon: Daemon) -> None:
    daemon.cut = True
    assert prove(engine(daemon), IMAGE).reason == "engine_unavailable"


def test_a_daemon_that_says_nothing_is_given_up(daemon: Daemon) -> None:
    daemon.silent.clear()
    assert prove(engine(daemon, 0.2), IMAGE).reason == "timeout"


@pytest.mark.parametrize(
    ("version", "status", "reason"),
    [
        ("28.5.2", STORE, "token_ca_ignored"),
        ("26.1.5+dfsg1", STORE, "token_ca_ignored"),
        ("29.4.0", STORE, "token_ca_ignored"),
        ("29.5.0", STORE, "unknown_authority"),
        ("28.5.2", [["Backing Filesystem", "extfs"]], "unknown_authority"),
    ],
)
def test_the_token_endpoint_that_certs_d_does_not_reach_is_told(
    daemon: Daemon, version: str, status: list[list[str]], reason: str
) -> None:
    daemon.info = {"ServerVersion": version, "DriverStatus": status}
    daemon.answer = (500, json.dumps({"message": TOKEN}).encode())
    result = prove(engine(daemon), IMAGE)
    assert result.reason == reason
    assert ("harbor_ca_store: system" in (result.remedy or "")) is (reason == "token_ca_ignored")


@pytest.mark.parametrize(("version", "old"), [("20.10.24+dfsg1", True), ("29.4.9", True), ("29.5.0", False)])
def test_the_version_is_compared_as_numbers(version: str, old: bool) -> None:
    assert heeds_no_token_ca(version) is old


def test_who_answers_is_told(daemon: Daemon) -> None:
    assert engine(daemon).wait_ready(0) == {
        "runtime_name": "docker",
        "runtime_version": "28.5.2",
        "api_version": "1.51",
    }


def test_nobody_listens(tmp_path: Path) -> None:
    nobody = Engine(str(tmp_path / "docker.sock"))
    assert prove(nobody, IMAGE).reason == "engine_unavailable"
    with pytest.raises(CriError) as caught:
        nobody.wait_ready(0.3)
    assert caught.value.reason == "engine_unavailable"
    assert "systemctl status docker" in str(caught.value)
