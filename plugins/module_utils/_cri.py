# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk to the container runtime the way the kubelet does: CRI ``runtime.v1`` on its unix socket.

**PRIVATE** to the collection. A node needs nothing installed for this: ``crictl`` is used where
there is one, else ``curl``. Both give the same answers and the same errors.
"""

from __future__ import annotations

import socket
from time import monotonic, sleep
from typing import Any, Callable, TypeVar

from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_clients as clients
from ansible_collections.nodetrust.harbor.plugins.module_utils import _cri_errors as errors
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_errors import DEFAULT_ENDPOINT, CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_text import GrpcStatus, WireError

__all__ = ["DEFAULT_ENDPOINT", "Cri", "CriError"]

_POLL = 0.2
_Answer = TypeVar("_Answer")


class Cri:
    """One runtime endpoint.

    Parameters:
        endpoint: ``unix:///path``, or the path of the socket.
        timeout: seconds that one pull may take.
        client: "auto" takes the first of crictl and curl that works here; or one of them by name.
        path: directories to look for the clients in, instead of the usual ones.
    """

    def __init__(
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        timeout: float = 60.0,
        client: str = "auto",
        path: tuple[str, ...] | None = None,
    ) -> None:
        self.socket = endpoint.removeprefix("unix://")
        if not self.socket.startswith("/") or "\0" in self.socket:
            raise errors.invalid_endpoint(endpoint)
        self.endpoint = "unix://" + self.socket
        self.timeout = float(timeout)
        self.used: str | None = None  # the client that carried the last call
        self._wanted = clients.NAMES if client == "auto" else (client,)
        self._path = path
        self._found: dict[str, str] | None = None
        self._clients: dict[str, clients.Client] = {}

    def version(self, timeout: float | None = None) -> dict[str, str]:
        """runtime_name, runtime_version and api_version of the runtime that answers."""
        limit = min(self.timeout, clients.LOOK) if timeout is None else timeout
        return self._call(lambda client: client.version(limit))

    def status_config(self) -> dict[str, Any] | None:
        """The configuration that the running CRI plugin says it has, or None if it does not say.

        containerd 1.x includes the registry part, 2.x does not (runtime-facts §6).
        """
        return self._call(lambda client: client.status_config(min(self.timeout, clients.LOOK)))

    def pull(self, image: str, auth: tuple[str, str] | None = None) -> str:
        """Pull, and return the reference under which the runtime knows the image.

        With credentials curl goes first: nobody can look into its standard input.
        """
        return self._call(
            lambda client: client.pull(image, auth, self.timeout),
            first="curl" if auth else None,
        )

    def wait_ready(self, seconds: float) -> dict[str, str]:
        """Wait until CRI itself answers, which systemd cannot know (runtime-facts §0).

        An attempt may outlast the end: one that is cut short would say nothing of the runtime.
        """
        end = monotonic() + seconds
        while True:
            try:
                return self.version()
            except CriError as error:
                passing = error.reason in ("cri_unavailable", "cri_not_loaded", "timeout", "call_failed")
                if not passing or monotonic() + _POLL > end:
                    raise
            sleep(_POLL)

    def _call(self, ask: Callable[[clients.Client], _Answer], first: str | None = None) -> _Answer:
        self._reach()
        if self._found is None:
            self._found = clients.find(self._wanted, self._path)
        failed: CriError | None = None
        for name in sorted(self._found, key=lambda one: one != first):
            client = self._client(name, self._found[name])
            if not client.usable():
                continue
            self.used = client.name
            try:
                return ask(client)
            except WireError as error:
                failed = errors.broken(client.name, None, str(error))
            except CriError as error:
                if error.reason != "cri_client_broken":
                    raise
                failed = error
        raise failed or errors.no_client(self.socket, self._wanted)

    def _client(self, name: str, path: str) -> clients.Client:
        if name not in self._clients:
            self._clients[name] = clients.client(name, path, self.socket)
        return self._clients[name]

    def _reach(self) -> None:
        """Say in one way, whichever client comes next, that nobody listens on the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5.0)
            try:
                probe.connect(self.socket)
            except OSError as error:
                words = (error.strerror or str(error)).lower()
                status = GrpcStatus("Unavailable", f"dial unix {self.socket}: connect: {words}")
                raise errors.refused(status, self.socket, None) from error
