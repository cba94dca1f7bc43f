# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two programs that can carry a CRI call, behind one interface: ``crictl`` and ``curl``.

**PRIVATE** to the collection. Credentials reach neither a command line nor a log: curl reads the
request from standard input; crictl reads its own environment variable.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, NamedTuple, Protocol

from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_errors as errors
from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_wire as wire
from ansible_collections.nodetrust.harbor.plugins.module_utils import _program
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_errors import CriError

NAMES = ("crictl", "curl")
# A server that refuses at once also resets the stream, and curl 7.88 (Debian 12) then loses every second answer.
_STREAM_RESET = 92
_ANSWERS_LOST = 6  # in a row, before that is taken for the answer
_REFUSAL = 2.0  # seconds; a refusal comes at once
LOOK = 10.0  # seconds for a call that asks the runtime about itself only
# sudo and systemd hand out short PATHs, and distributions keep crictl in places of their own
EXTRA_PATH = (
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/opt/bin",
    "/var/lib/rancher/rke2/bin",
    "/var/lib/rancher/k3s/data/current/bin",
)


class Client(Protocol):
    """A way to make the three calls. What fails is a CriError, a broken answer a WireError."""

    name: str

    def version(self, limit: float) -> dict[str, str]: ...

    def status_config(self, limit: float) -> dict[str, Any] | None: ...

    def pull(self, image: str, auth: tuple[str, str] | None, limit: float) -> str: ...


class _Output(NamedTuple):
    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "replace")


class _Program:
    """An executable with a hard end to everything that it does."""

    name = ""

    def __init__(self, path: str, socket: str) -> None:
        self.path = path
        self.socket = socket

    def _run(
        self,
        args: list[str],
        limit: float,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> _Output:
        # another endpoint, timeout or trace from the environment must not change what is asked
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("CRICTL_", "CRI_", "CONTAINER_RUNTIME_", "IMAGE_SERVICE_"))
        }
        try:
            done = _program.run(
                [self.path, *args], limit, stdin, {**inherited, "LC_ALL": "C", **(env or {})}, pass_fds
            )
        except TimeoutError:
            raise errors.late(limit, self.socket, self.name) from None
        except OSError as error:
            raise self._broken(str(error)) from error
        return _Output(done.status, done.stdout, done.stderr.decode("utf-8", "replace"))

    def _broken(self, words: str) -> CriError:
        return errors.broken(self.name, self.path, words)


class Curl(_Program):
    """gRPC by hand: one unary call is one HTTP/2 POST."""

    name = "curl"

    def usable(self) -> bool:
        # a curl without HTTP/2 exists on small images; what it says would help nobody
        try:
            lines = self._run(["-q", "--version"], LOOK).text.splitlines()
        except CriError:
            return False
        return any(line.startswith("Features:") and "HTTP2" in line.split() for line in lines)

    def version(self, limit: float) -> dict[str, str]:
        try:
            return wire.version_response(
                self._call("v1.RuntimeService/Version", wire.version_request(), limit)
            )
        except CriError as error:
            if error.reason == "cri_not_loaded" and self._speaks_v1alpha2(limit):
                raise errors.too_old("v1alpha2", self.socket, self.name) from error
            raise

    def status_config(self, limit: float) -> dict[str, Any] | None:
        answer = self._call("v1.RuntimeService/Status", wire.status_request(), limit)
        return wire.json_object(wire.status_info(answer).get("config"))

    def pull(self, image: str, auth: tuple[str, str] | None, limit: float) -> str:
        request = wire.pull_request(image, auth)
        return wire.pull_response(self._call("v1.ImageService/PullImage", request, limit))

    def _speaks_v1alpha2(self, limit: float) -> bool:
        try:
            self._call("v1alpha2.RuntimeService/Version", wire.version_request(), limit)
        except CriError:
            return False
        return True

    def _call(self, method: str, message: bytes, limit: float) -> bytes:
        for _attempt in range(_ANSWERS_LOST):
            output, headers = self._post(method, message, limit)
            status = wire.status_of_headers(headers)
            if status is not None or output.status != _STREAM_RESET:
                break
            status = self._refusal(method, limit)
            if status is not None:
                break
        if status is None:
            words = f"the answer on {self.socket} is not gRPC"
            if output.status:
                words = f"error reading from server: {output.stderr.strip() or output.status}"
            raise errors.refused(wire.GrpcStatus("Unavailable", words), self.socket, self.name)
        if status.code != "OK":
            raise errors.refused(status, self.socket, self.name)
        return wire.unframe(output.stdout)

    def _refusal(self, method: str, limit: float) -> wire.GrpcStatus | None:
        """Is the service not there at all? Asked without a body, so that nothing of the request is still under way.

        A server that refuses at once resets the stream while curl before 8 still sends, and then curl
        drops the answer. A service that is there may keep an empty request waiting.
        """
        try:
            _output, headers = self._post(method, None, min(limit, _REFUSAL))
        except CriError:
            return None
        status = wire.status_of_headers(headers)
        return status if status is not None and status.code == "Unimplemented" else None

    def _post(self, method: str, message: bytes | None, limit: float) -> tuple[_Output, str]:
        # headers and trailers come over a pipe: nothing is written, so a full disk is no obstacle
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb") as dump:
            try:
                output = self._run(
                    [
                        *("-q", "--silent", "--show-error", "--noproxy", "*"),
                        *("--http2-prior-knowledge", "--unix-socket", self.socket),
                        *("--header", "content-type: application/grpc", "--header", "te: trailers"),
                        *("--header", "expect:", "--request", "POST"),
                        *(("--data-binary", "@-") if message is not None else ()),
                        *("--dump-header", f"/dev/fd/{write_end}", "--output", "-"),
                        f"http://localhost/runtime.{method}",
                    ],
                    limit,
                    stdin=wire.frame(message) if message is not None else b"",
                    pass_fds=(write_end,),
                )
            finally:
                os.close(write_end)
            headers = dump.read().decode("utf-8", "replace")
        return output, headers


class Crictl(_Program):
    """The tool that most nodes of a cluster have."""

    name = "crictl"

    def usable(self) -> bool:
        return True

    def version(self, limit: float) -> dict[str, str]:
        found = wire.version_of_crictl(self._call(["version"], limit).text)
        if found["api_version"].startswith("v1alpha"):
            raise errors.too_old(found["api_version"], self.socket, self.name)
        return found

    def status_config(self, limit: float) -> dict[str, Any] | None:
        answer = wire.json_object(self._call(["info", "--output", "json"], limit).text)
        config = (answer or {}).get("config")
        return config if isinstance(config, dict) else None

    def pull(self, image: str, auth: tuple[str, str] | None, limit: float) -> str:
        env = self._credentials(auth) if auth else {}
        return wire.image_ref_of_crictl(self._call(["pull", image], limit, env).text)

    def _call(self, args: list[str], limit: float, env: dict[str, str] | None = None) -> _Output:
        endpoint = "unix://" + self.socket
        # `debug: true` in crictl.yaml would make crictl print the request with the credentials
        options = ["--runtime-endpoint", endpoint, "--image-endpoint", endpoint, "--debug=false"]
        options += ["--timeout", f"{max(1, int(min(limit, LOOK)))}s"]
        output = self._run([*options, *args], limit, env=env)
        if output.status == 0:
            return output
        status = wire.status_of_crictl(output.stderr)
        if status is None:
            raise self._broken(output.stderr or output.text)
        raise errors.refused(status, self.socket, self.name)

    def _credentials(self, auth: tuple[str, str]) -> dict[str, str]:
        if ":" in auth[0]:
            raise errors.unsafe_credentials("a user name with a colon, which CRICTL_CREDS cannot carry")
        if "CRICTL_CREDS" not in self._run(["pull", "--help"], LOOK).text:
            raise errors.unsafe_credentials("a crictl that does not know CRICTL_CREDS")
        return {"CRICTL_CREDS": f"{auth[0]}:{auth[1]}"}


def find(socket: str, wanted: tuple[str, ...] = NAMES, path: tuple[str, ...] | None = None) -> list[Client]:
    """The usable clients of this node in order of preference."""
    places = path or (*os.environ.get("PATH", os.defpath).split(os.pathsep), *EXTRA_PATH)
    search = os.pathsep.join(place for place in places if os.path.isabs(place))
    found: list[Client] = []
    for kind in (Crictl, Curl):
        where = shutil.which(kind.name, path=search) if kind.name in wanted else None
        if where:
            client = kind(where, socket)
            if client.usable():
                found.append(client)
    return found
