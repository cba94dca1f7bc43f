# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both clients give the same answers and errors, end in time, and keep credentials to themselves.

The socket is real, the two programs are small ones that note how they were called and answer with
what the real ones were seen to answer. The real ones meet real runtimes in the lab's tests.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.module_utils import (
    _cri,
    _cri_clients,
    _cri_curl,
    _cri_errors,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_wire as wire
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import Cri, CriError

PASSWORD = "s3cr:et!"
PROGRAM = """#!{python}
import json, os, sys, time
stdin = sys.stdin.buffer.read() if not sys.stdin.isatty() else b""
with open({log!r}, "a") as log:
    call = dict(name=os.path.basename(sys.argv[0]), args=sys.argv[1:], env=dict(os.environ), stdin=stdin.hex())
    log.write(json.dumps(call) + "\\n")
line = " ".join(sys.argv[1:])
for words, answer in json.loads({answers!r}):
    if words in line:
        time.sleep(answer.get("sleep", 0))
        if "head" in answer:
            with open(sys.argv[sys.argv.index("--dump-header") + 1], "w") as head:
                head.write(answer["head"])
        sys.stdout.buffer.write(bytes.fromhex(answer.get("hex", "")) or answer.get("out", "").encode())
        sys.stderr.write(answer.get("err", ""))
        sys.exit(answer.get("status", 0))
sys.exit("unexpected: " + line)
"""
CURL_VERSION = ["--version", {"out": "curl 7.88.1\nFeatures: alt-svc HTTP2 UnixSockets\n"}]
VERSION_HEX = "00000000230a05302e312e30120a636f6e7461696e6572641a0a312e362e32307e64733122027631"
VERSION_TEXT = (
    "Version:  0.1.0\nRuntimeName:  containerd\nRuntimeVersion:  1.6.20~ds1\nRuntimeApiVersion:  v1\n"
)
IMAGE_HEX = wire.frame(wire.field(1, "sha256:abc")).hex()


def ended(code: int, message: str) -> str:
    return f"HTTP/2 200 \r\ncontent-type: application/grpc\r\ngrpc-status: {code}\r\ngrpc-message: {message}\r\n\r\n"


class Node:
    """A directory of programs, a socket, and the notes on who was called how."""

    def __init__(self, place: Path) -> None:
        self.bin = place / "bin"
        self.bin.mkdir()
        self.log = place / "calls"
        self.socket = place / "c.sock"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def install(self, name: str, *answers: list[Any]) -> None:
        program = self.bin / name
        text = PROGRAM.format(python=sys.executable, log=str(self.log), answers=json.dumps(answers))
        program.write_text(text)
        program.chmod(0o755)

    def listen(self) -> None:
        self.listener.bind(str(self.socket))
        self.listener.listen(64)

    def cri(self, timeout: float = 20.0, client: str = "auto") -> Cri:
        return Cri(f"unix://{self.socket}", timeout, client, path=(str(self.bin),))

    @property
    def calls(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    made.listen()
    yield made
    made.listener.close()


def test_curl_carries_the_calls(node: Node) -> None:
    node.install(
        "curl",
        CURL_VERSION,
        ["RuntimeService/Version", {"head": ended(0, ""), "hex": VERSION_HEX}],
        ["ImageService/PullImage", {"head": ended(0, ""), "hex": IMAGE_HEX}],
    )
    cri = node.cri()
    assert cri.version() == {
        "runtime_name": "containerd",
        "runtime_version": "1.6.20~ds1",
        "api_version": "v1",
    }
    assert cri.pull("h.lab/x:1") == "sha256:abc"
    assert cri.used == "curl"
    pulled = node.calls[-1]
    assert pulled["args"][0] == "-q"
    assert str(node.socket) in pulled["args"]
    assert bytes.fromhex(pulled["stdin"]) == wire.frame(wire.pull_request("h.lab/x:1", None))


def test_crictl_is_preferred(node: Node) -> None:
    node.install("curl", CURL_VERSION)
    node.install(
        "crictl",
        ["version", {"out": VERSION_TEXT}],
        ["pull", {"out": "Image is up to date for sha256:abc\n"}],
    )
    cri = node.cri()
    assert cri.version()["runtime_version"] == "1.6.20~ds1"
    assert cri.pull("h.lab/x:1") == "sha256:abc"
    assert cri.used == "crictl"
    args = node.calls[-1]["args"]
    for option in ("--runtime-endpoint", "--image-endpoint"):
        assert args[args.index(option) + 1] == f"unix://{node.socket}"
    assert "--debug=false" in args


def test_status_config_is_the_same_through_both(node: Node) -> None:
    config = {"registry": {"configPath": "/etc/containerd/certs.d"}}
    entry = wire.field(1, "config") + wire.field(2, json.dumps(config))
    answer = wire.frame(wire.field(2, entry)).hex()
    node.install("curl", CURL_VERSION, ["RuntimeService/Status", {"head": ended(0, ""), "hex": answer}])
    node.install("crictl", ["info --output json", {"out": json.dumps({"config": config, "status": {}})}])
    assert node.cri(client="curl").status_config() == config
    assert node.cri(client="crictl").status_config() == config


def test_status_without_a_configuration_is_none(node: Node) -> None:
    node.install("crictl", ["info", {"out": json.dumps({"status": {}})}])
    assert node.cri().status_config() is None


@pytest.mark.parametrize(
    ("number", "code", "message", "reason"),
    [
        (2, "Unknown", "failed to resolve: x509: certificate signed by unknown authority", "call_failed"),
        (5, "NotFound", "h.lab/x:1: not found", "call_failed"),
        (12, "Unimplemented", "unknown service runtime.v1.ImageService", "cri_not_loaded"),
    ],
)
def test_errors_are_the_same_through_both(
    node: Node, number: int, code: str, message: str, reason: str
) -> None:
    node.install("curl", CURL_VERSION, ["PullImage", {"head": ended(number, message)}])
    words = f"pulling image: rpc error: code = {code} desc = {message}"
    node.install("crictl", ["pull", {"status": 1, "err": f'time="x" level=fatal msg="{words}"\n'}])
    errors = {}
    for client in ("curl", "crictl"):
        with pytest.raises(CriError) as caught:
            node.cri(client=client).pull("h.lab/x:1")
        errors[client] = caught.value
        assert (caught.value.code, caught.value.detail, caught.value.reason) == (code, message, reason)
        assert caught.value.via == client
    assert str(errors["curl"]) == str(errors["crictl"])


def test_curl_takes_credentials_on_its_standard_input_only(node: Node) -> None:
    node.install("curl", CURL_VERSION, ["PullImage", {"head": ended(0, ""), "hex": IMAGE_HEX}])
    node.install("crictl", ["pull", {"out": "[$CRICTL_CREDS] Image is up to date for sha256:abc\n"}])
    cri = node.cri()
    cri.pull("h.lab/x:1", ("bob", PASSWORD))
    assert cri.used == "curl"
    assert {call["name"] for call in node.calls} == {"curl"}
    call = node.calls[-1]
    assert PASSWORD in bytes.fromhex(call["stdin"]).decode("latin-1")
    assert PASSWORD not in json.dumps([call["args"], call["env"]])


def test_crictl_takes_credentials_in_its_own_variable(node: Node) -> None:
    node.install(
        "crictl",
        ["pull --help", {"out": "--creds value  [$CRICTL_CREDS]"}],
        ["pull h.lab", {"out": "Image is up to date for sha256:abc\n"}],
    )
    node.cri().pull("h.lab/x:1", ("bob", PASSWORD))
    call = node.calls[-1]
    assert call["env"]["CRICTL_CREDS"] == f"bob:{PASSWORD}"
    assert PASSWORD not in json.dumps(call["args"])
    assert "CRICTL_CREDS" not in os.environ


@pytest.mark.parametrize(("user", "help_text"), [("bob", "--creds value"), ("a:b", "[$CRICTL_CREDS]")])
def test_no_safe_way_for_credentials_is_an_error(node: Node, user: str, help_text: str) -> None:
    node.install("crictl", ["pull --help", {"out": help_text}])
    with pytest.raises(CriError) as caught:
        node.cri().pull("h.lab/x:1", (user, PASSWORD))
    assert caught.value.reason == "unsafe_credentials"
    assert PASSWORD not in str(caught.value)
    assert all(PASSWORD not in json.dumps(call) for call in node.calls)


def test_variables_of_the_user_do_not_leak_into_the_call(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTAINER_RUNTIME_ENDPOINT", "unix:///elsewhere.sock")
    monkeypatch.setenv("CRICTL_AUTH", "b2xkOm9sZA==")
    node.install("crictl", ["version", {"out": VERSION_TEXT}])
    node.cri().version()
    assert not {"CONTAINER_RUNTIME_ENDPOINT", "CRICTL_AUTH"} & set(node.calls[-1]["env"])


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 127, "err": "cannot execute binary file"},
        {"status": 1, "err": 'time="x" level=fatal msg="flag provided but not defined: -image-endpoint"'},
        {"out": "something else entirely"},
    ],
)
def test_a_broken_crictl_makes_way_for_curl(node: Node, answer: dict[str, Any]) -> None:
    node.install("crictl", ["version", answer])
    node.install("curl", CURL_VERSION, ["Version", {"head": ended(0, ""), "hex": VERSION_HEX}])
    cri = node.cri()
    assert cri.version()["runtime_name"] == "containerd"
    assert cri.used == "curl"


def test_a_broken_crictl_alone_is_named(node: Node) -> None:
    node.install("crictl", ["version", {"status": 127, "err": "cannot execute binary file"}])
    with pytest.raises(CriError, match="cannot execute binary file") as caught:
        node.cri().version()
    assert caught.value.reason == "cri_client_broken"
    assert caught.value.path == str(node.bin / "crictl")


@pytest.mark.parametrize("features", ["Features: alt-svc IPv6 SSL", "Features: HTTP3", ""])
def test_a_curl_without_http2_is_no_client(node: Node, features: str) -> None:
    node.install("curl", ["--version", {"out": f"curl 7.61\nProtocols: HTTP2\n{features}\n"}])
    with pytest.raises(CriError) as caught:
        node.cri().version()
    assert caught.value.reason == "no_cri_client"
    assert "curl" in str(caught.value.next_step)


@pytest.mark.parametrize("client", ["crictl", "curl"])
def test_a_silent_runtime_is_given_up(node: Node, client: str) -> None:
    node.install("crictl", ["pull", {"sleep": 60}])
    node.install("curl", CURL_VERSION, ["PullImage", {"sleep": 60}])
    with pytest.raises(CriError) as caught:
        node.cri(timeout=0.5, client=client).pull("h.lab/x:1")
    assert (caught.value.reason, caught.value.code) == ("timeout", "DeadlineExceeded")
    assert caught.value.detail == "no answer within 0.5 seconds"


def test_a_call_that_breaks_off(node: Node) -> None:
    words = "curl: (18) HTTP/2 stream 1 was not closed cleanly before end of the underlying stream"
    node.install("curl", CURL_VERSION, ["PullImage", {"status": 18, "err": words}])
    with pytest.raises(CriError, match="broke the call off") as caught:
        node.cri().pull("h.lab/x:1")
    assert (caught.value.reason, caught.value.code) == ("cri_unavailable", "Unavailable")


def test_a_socket_that_does_not_speak_grpc(node: Node) -> None:
    node.install("curl", CURL_VERSION, ["Version", {"head": "HTTP/2 404 \r\n\r\n"}])
    with pytest.raises(CriError, match="not gRPC") as caught:
        node.cri().version()
    assert caught.value.reason == "cri_unavailable"


@pytest.mark.parametrize("client", ["crictl", "curl"])
def test_a_runtime_with_an_old_cri_is_named(node: Node, client: str) -> None:
    node.install(
        "curl",
        CURL_VERSION,
        ["runtime.v1.RuntimeService", {"head": ended(12, "unknown service runtime.v1.RuntimeService")}],
        ["runtime.v1alpha2.RuntimeService", {"head": ended(0, ""), "hex": VERSION_HEX}],
    )
    node.install("crictl", ["version", {"out": VERSION_TEXT.replace(":  v1", ":  v1alpha2")}])
    with pytest.raises(CriError, match="old version of CRI") as caught:
        node.cri(client=client).version()
    assert caught.value.reason == "cri_v1alpha2_only"


def test_a_missing_socket(tmp_path: Path) -> None:
    with pytest.raises(CriError, match="no such file or directory") as caught:
        Cri(str(tmp_path / "none.sock")).version()
    assert (caught.value.reason, caught.value.code, caught.value.via) == (
        "cri_unavailable",
        "Unavailable",
        None,
    )


def test_a_socket_that_nobody_serves(node: Node) -> None:
    node.listener.close()
    with pytest.raises(CriError, match="connection refused") as caught:
        node.cri().version()
    assert caught.value.reason == "cri_unavailable"


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:1", "run/c.sock", "", "unix://run/c.sock", "/a\0b"])
def test_an_endpoint_that_is_no_socket(endpoint: str) -> None:
    with pytest.raises(CriError) as caught:
        Cri(endpoint)
    assert caught.value.reason == "invalid_endpoint"


def test_wait_ready_waits_for_the_socket_and_then_for_cri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(tmp_path)
    absent = ["Version", {"head": ended(12, "unknown service")}]
    node.install("curl", CURL_VERSION, absent)
    steps: list[Callable[[], None]] = [node.listen, lambda: None]
    steps.append(
        lambda: node.install("curl", CURL_VERSION, ["Version", {"head": ended(0, ""), "hex": VERSION_HEX}])
    )
    monkeypatch.setattr(_cri, "sleep", lambda seconds: steps.pop(0)())
    assert node.cri().wait_ready(60)["runtime_name"] == "containerd"
    assert not steps
    node.listener.close()


def test_wait_ready_gives_the_last_error_at_the_end(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.install(
        "curl", CURL_VERSION, ["Version", {"head": ended(12, "unknown service runtime.v1.RuntimeService")}]
    )
    clock = iter(range(0, 1000, 2))
    monkeypatch.setattr(_cri, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(_cri, "sleep", lambda seconds: None)
    with pytest.raises(CriError) as caught:
        node.cri().wait_ready(10)
    assert caught.value.reason == "cri_not_loaded"


def test_a_runtime_that_is_asked_once_has_the_usual_time(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float | None] = []

    def late(_cri: Cri, timeout: float | None = None) -> dict[str, str]:
        limits.append(timeout)
        raise CriError("late", code="DeadlineExceeded", detail="late", via="curl", reason="timeout")

    monkeypatch.setattr(Cri, "version", late)
    with pytest.raises(CriError):
        node.cri().wait_ready(0)
    assert limits == [None]


def test_wait_ready_does_not_wait_for_what_will_not_come(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(seconds: float) -> None:
        raise AssertionError("slept")

    monkeypatch.setattr(_cri, "sleep", never)
    with pytest.raises(CriError) as caught:
        node.cri().wait_ready(60)
    assert caught.value.reason == "no_cri_client"


_RESET = (_cri_clients.Output(92, b"", "curl: (92) HTTP/2 stream 0 was not closed cleanly"), "")
_REFUSED = (_cri_clients.Output(0, b"", ""), "grpc-status: 12\r\ngrpc-message: no\r\n")


@pytest.mark.parametrize(
    ("with_body", "without", "code"),
    [
        ([_RESET, _REFUSED], [_RESET], "Unimplemented"),
        ([_RESET], [_REFUSED], "Unimplemented"),
        ([_RESET] * 6, [_RESET] * 6, "Unavailable"),
        # A service that is there says something else to an empty request: that is not the answer.
        ([_RESET] * 6, [(_cri_clients.Output(0, b"", ""), "grpc-status: 13\r\n")] * 6, "Unavailable"),
    ],
)
def test_an_answer_that_curl_lost_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, with_body: list, without: list, code: str
) -> None:
    answers = {True: list(with_body), False: list(without)}
    client = _cri_curl.Curl("/usr/bin/curl", "/run/x.sock")
    monkeypatch.setattr(client, "_post", lambda method, message, limit: answers[message is not None].pop(0))
    with pytest.raises(CriError) as caught:
        client._call("v1.RuntimeService/Version", b"", 1)
    assert caught.value.code == code


def test_an_empty_request_that_is_kept_waiting_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    client = _cri_curl.Curl("/usr/bin/curl", "/run/x.sock")

    def post(method: str, message: bytes | None, limit: float) -> tuple:
        if message is None:
            raise _cri_clients.errors.late(limit, "/run/x.sock", "curl")
        return _RESET

    monkeypatch.setattr(client, "_post", post)
    with pytest.raises(CriError) as caught:
        client._call("v1.RuntimeService/Version", b"", 60)
    assert caught.value.code == "Unavailable"


@pytest.mark.parametrize(
    ("socket_path", "service"),
    [
        ("/run/containerd/containerd.sock", "containerd"),
        ("/run/crio/crio.sock", "crio"),
        ("/run/cri-dockerd.sock", "cri-docker"),
    ],
)
def test_the_service_to_look_at_is_that_of_the_socket(socket_path: str, service: str) -> None:
    nobody = wire.GrpcStatus("Unavailable", f"dial unix {socket_path}: connect: no such file or directory")
    assert f"systemctl status {service})" in str(_cri_errors.refused(nobody, socket_path, None))
