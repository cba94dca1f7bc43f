# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk to dockerd the way its own client does: the Engine API on its unix socket.

**PRIVATE** to the collection. Paths carry no API version, which means the daemon's own; what is asked
here is the same in all of them. Credentials travel in a header through the socket and nowhere else.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_errors import CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._images import registry_of_image

DEFAULT_SOCKET = "/run/docker.sock"
# The image store that lies in containerd uses certs.d for the token endpoint from here on (runtime-facts §4).
TOKEN_HEEDED = (29, 5)

_LOOK = 10.0  # seconds for a call that asks the daemon about itself only
_POLL = 0.2
_CODES = {401: "Unauthenticated", 403: "PermissionDenied", 404: "NotFound"}
_TOKEN = re.compile(r"fetch (?:anonymous|oauth) token: .*x509: ", re.IGNORECASE | re.DOTALL)


class Engine:
    """One dockerd.

    Parameters:
        endpoint: ``unix:///path``, or the path of the socket.
        timeout: seconds that one pull may take.
    """

    def __init__(self, endpoint: str = DEFAULT_SOCKET, timeout: float = 60.0) -> None:
        self.socket = endpoint.removeprefix("unix://")
        self.endpoint = "unix://" + self.socket
        self.timeout = float(timeout)
        self.used: str | None = None

    def version(self, timeout: float = _LOOK) -> dict[str, str]:
        """runtime_name, runtime_version and api_version of the daemon that answers."""
        said = self._json("/version", timeout)
        return {
            "runtime_name": "docker",
            "runtime_version": str(said.get("Version", "")),
            "api_version": str(said.get("ApiVersion", "")),
        }

    def info(self) -> dict[str, Any]:
        """What the daemon says of itself: version, image store, live-restore, registries."""
        return self._json("/info", _LOOK)

    def pull(self, image: str, auth: tuple[str, str] | None = None) -> str:
        """Pull, and return the ID of the image."""
        name = _with_tag(image)
        login = {}
        if auth:
            login = {"username": auth[0], "password": auth[1], "serveraddress": registry_of_image(image)}
        header = base64.urlsafe_b64encode(json.dumps(login).encode()).decode("ascii")
        call = _Call(self.socket, self.timeout)
        self.used = "docker"
        try:
            status, body = call.make(
                "POST", f"/images/create?fromImage={quote(name, safe='')}", {"X-Registry-Auth": header}
            )
        finally:
            call.close()
        words = _error_in(body) if status == 200 else _message_of(body, status)
        if words is not None:
            raise self._refused(status, words)
        return str(self._json(f"/images/{quote(name, safe='/:@')}/json", _LOOK).get("Id", name))

    def wait_ready(self, seconds: float) -> dict[str, str]:
        """Wait until the daemon itself answers."""
        end = monotonic() + seconds
        while True:
            try:
                return self.version(max(1.0, min(_LOOK, end - monotonic())))
            except CriError:
                if monotonic() + _POLL > end:
                    raise
            sleep(_POLL)

    def _json(self, path: str, limit: float) -> dict[str, Any]:
        call = _Call(self.socket, limit)
        self.used = "docker"
        try:
            status, body = call.make("GET", path, {})
        finally:
            call.close()
        if status != 200:
            raise _failed(self.socket, _message_of(body, status), _CODES.get(status, "Unknown"))
        try:
            said = json.loads(body)
        except ValueError as error:
            raise _failed(self.socket, f"an answer that is no JSON: {error}") from error
        if not isinstance(said, dict):
            raise _failed(self.socket, "an answer that is no JSON object")
        return said

    def _refused(self, status: int, words: str) -> CriError:
        if _TOKEN.search(words):
            info = self.info()
            version = str(info.get("ServerVersion", ""))
            if in_containerd(info) and heeds_no_token_ca(version):
                return _failed(self.socket, words, reason="token_ca_ignored", next_step=token_remedy(version))
        return _failed(self.socket, words, _CODES.get(status, "Unknown"))


def in_containerd(info: dict[str, Any]) -> bool:
    """Does the daemon keep its images in containerd, and so pull as containerd does?"""
    return any(
        list(pair) == ["driver-type", "io.containerd.snapshotter.v1"]
        for pair in info.get("DriverStatus") or []
    )


def number(version: str) -> tuple[int, int]:
    """Major and minor of a version, (0, 0) of what is none."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def heeds_no_token_ca(version: str) -> bool:
    return number(version) < TOKEN_HEEDED


def token_remedy(version: str) -> str:
    return (
        f"Docker {version} with the containerd image store asks for tokens without the CAs of certs.d: put the CA into "
        "the system store as well (harbor_ca_store: system, the store option of registry_trust) and restart dockerd "
        "once, upgrade Docker to 29.5, or switch features.containerd-snapshotter off in daemon.json"
    )


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, limit: float) -> None:
        super().__init__("localhost", timeout=limit)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Call:
    """One request with one end to all of it, however slowly the answer trickles in."""

    def __init__(self, path: str, limit: float) -> None:
        self._path = path
        self._limit = limit
        self._end = monotonic() + limit
        self._connection = _Connection(path, min(limit, _LOOK))

    def make(self, method: str, target: str, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            self._connection.connect()
        except OSError as error:
            words = (error.strerror or str(error)).lower()
            raise _unavailable(
                self._path, f"cannot connect to the Docker daemon at unix://{self._path}: {words}"
            ) from error
        stream = self._connection.sock
        body = bytearray()
        try:
            self._hurry(stream)
            self._connection.request(method, target, headers=headers)
            answer = self._connection.getresponse()
            while True:
                self._hurry(stream)
                # read1 and not readline, which takes a connection that breaks off for the end.
                part = answer.read1(1 << 16)
                if not part:
                    return answer.status, bytes(body)
                body += part
        except socket.timeout as error:
            raise _late(self._path, self._limit) from error
        except (OSError, http.client.HTTPException) as error:
            words = f"the Docker daemon at unix://{self._path} broke the call off: {error!r}"
            raise _unavailable(self._path, words) from error

    def close(self) -> None:
        self._connection.close()

    def _hurry(self, stream: socket.socket) -> None:
        left = self._end - monotonic()
        if left <= 0:
            raise socket.timeout
        stream.settimeout(left)


def _with_tag(image: str) -> str:
    """The reference with a tag or a digest: without one the daemon would pull every tag there is."""
    last = image.rpartition("/")[2]
    return image if ":" in last or "@" in last else f"{image}:latest"


def _error_in(stream: bytes) -> str | None:
    """The error in a stream of progress, one JSON object a line."""
    for line in stream.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict) and "error" in said:
            detail = said.get("errorDetail") or {}
            return str(detail.get("message") or said["error"])
    return None


def _message_of(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip()[:500] or f"HTTP status {status}"


def _failed(
    path: str, words: str, code: str = "Unknown", reason: str = "call_failed", next_step: str | None = None
) -> CriError:
    return CriError(
        "The Docker daemon refused the call.",
        code=code,
        detail=words,
        via="docker",
        reason=reason,
        path=path,
        found=words,
        expected="an answer from the Engine API",
        next_step=next_step or "Read the daemon's log: journalctl -u docker -n 50",
    )


def _unavailable(path: str, words: str) -> CriError:
    denied = "permission denied" in words
    return CriError(
        "No Docker daemon answers on the socket.",
        code="Unavailable",
        detail=words,
        via=None,
        reason="engine_unavailable",
        path=path,
        found=words,
        expected="an answer from the Engine API",
        next_step="Run as root (become: true)"
        if denied
        else "Start Docker (systemctl status docker), or name the socket that it listens on",
    )


def _late(path: str, limit: float) -> CriError:
    words = f"no answer within {limit:g} seconds"
    return CriError(
        f"The Docker daemon at {path} did not answer in time.",
        code="DeadlineExceeded",
        detail=words,
        via="docker",
        reason="timeout",
        path=path,
        found=words,
        expected="an answer from the Engine API",
        next_step="Look at the load of this node and at the daemon's log: journalctl -u docker -n 50",
    )
