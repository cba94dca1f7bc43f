# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two programs that can carry a CRI call, behind one interface: ``crictl``, and ``curl`` of `_cri_curl.py`.

**PRIVATE** to the collection. Credentials reach neither a command line nor a log: curl reads the
request from standard input; crictl reads its own environment variable.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, NamedTuple, Protocol

from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_errors as errors
from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_text as text
from ansible_collections.nodetrust.harbor.plugins.module_utils import _program
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_errors import CriError

NAMES = ("crictl", "curl")
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

    def usable(self) -> bool: ...

    def version(self, limit: float) -> dict[str, str]: ...

    def status_config(self, limit: float) -> dict[str, Any] | None: ...

    def pull(self, image: str, auth: tuple[str, str] | None, limit: float) -> str: ...


class Output(NamedTuple):
    status: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "replace")


class Program:
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
    ) -> Output:
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
        return Output(done.status, done.stdout, done.stderr.decode("utf-8", "replace"))

    def _broken(self, words: str) -> CriError:
        return errors.broken(self.name, self.path, words)


class Crictl(Program):
    """The tool that most nodes of a cluster have."""

    name = "crictl"

    def usable(self) -> bool:
        return True

    def version(self, limit: float) -> dict[str, str]:
        found = text.version_of_crictl(self._call(["version"], limit).text)
        if found["api_version"].startswith("v1alpha"):
            raise errors.too_old(found["api_version"], self.socket, self.name)
        return found

    def status_config(self, limit: float) -> dict[str, Any] | None:
        answer = text.json_object(self._call(["info", "--output", "json"], limit).text)
        config = (answer or {}).get("config")
        return config if isinstance(config, dict) else None

    def pull(self, image: str, auth: tuple[str, str] | None, limit: float) -> str:
        env = self._credentials(auth) if auth else {}
        return text.image_ref_of_crictl(self._call(["pull", image], limit, env).text)

    def _call(self, args: list[str], limit: float, env: dict[str, str] | None = None) -> Output:
        endpoint = "unix://" + self.socket
        # `debug: true` in crictl.yaml would make crictl print the request with the credentials
        options = ["--runtime-endpoint", endpoint, "--image-endpoint", endpoint, "--debug=false"]
        options += ["--timeout", f"{max(1, int(min(limit, LOOK)))}s"]
        output = self._run([*options, *args], limit, env=env)
        if output.status == 0:
            return output
        status = text.status_of_crictl(output.stderr)
        if status is None:
            raise self._broken(output.stderr or output.text)
        raise errors.refused(status, self.socket, self.name)

    def _credentials(self, auth: tuple[str, str]) -> dict[str, str]:
        if ":" in auth[0]:
            raise errors.unsafe_credentials("a user name with a colon, which CRICTL_CREDS cannot carry")
        if "CRICTL_CREDS" not in self._run(["pull", "--help"], LOOK).text:
            raise errors.unsafe_credentials("a crictl that does not know CRICTL_CREDS")
        return {"CRICTL_CREDS": f"{auth[0]}:{auth[1]}"}


def find(wanted: tuple[str, ...] = NAMES, path: tuple[str, ...] | None = None) -> dict[str, str]:
    """The clients that this node has, in order of preference, each with where it lies."""
    places = path or (*os.environ.get("PATH", os.defpath).split(os.pathsep), *EXTRA_PATH)
    search = os.pathsep.join(place for place in places if os.path.isabs(place))
    found = {name: shutil.which(name, path=search) for name in NAMES if name in wanted}
    return {name: where for name, where in found.items() if where}


def client(name: str, path: str, socket: str) -> Client:
    """A client by its name."""
    if name == Crictl.name:
        return Crictl(path, socket)
    # Few nodes need it, and all the others would have to compile it.
    from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_curl import Curl

    return Curl(path, socket)
