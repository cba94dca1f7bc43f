# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between this collection and a runtime's CRI socket, said once for all clients.

**PRIVATE** to the collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._cri_text import GrpcStatus
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError

DEFAULT_ENDPOINT = "unix:///run/containerd/containerd.sock"


class CriError(TrustError):
    """A CRI call failed, or could not be made.

    ``code`` is the gRPC code by its name in Go, ``detail`` the runtime's own words, ``via`` the
    client that carried the call (None: it was not made). ``reason`` is one of invalid_endpoint,
    no_cri_client, cri_client_broken, unsafe_credentials, cri_unavailable, cri_not_loaded,
    cri_v1alpha2_only, timeout, call_failed.
    """

    def __init__(self, message: str, *, code: str, detail: str, via: str | None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.code = code
        self.detail = detail
        self.via = via


def refused(status: GrpcStatus, socket: str, via: str | None) -> CriError:
    """The call ended with another code than OK."""
    words = status.message
    reason, what = "call_failed", "The runtime refused the call."
    service = _service(socket)
    next_step = f"Read the runtime's log: journalctl -u {service} -n 50"
    if status.code == "Unimplemented":
        reason, what = "cri_not_loaded", "The runtime runs, but its CRI plugin is not loaded."
        next_step = (
            "Look for 'failed to load plugin' in journalctl -u containerd and for cri in disabled_plugins "
            "of its config.toml, then restart it"
        )
    elif status.code == "Unavailable" and ("dial unix" in words or "not gRPC" in words):
        reason, what = "cri_unavailable", "No CRI runtime answers on the socket."
        next_step = f"Start the runtime (systemctl status {service}), or name the socket that it listens on"
        if "permission denied" in words:
            next_step = "Run as root (become: true)"
    elif status.code == "Unavailable" and "error reading from server" in words:
        reason, what = "cri_unavailable", "The runtime broke the call off."
        next_step = f"See whether it restarts (systemctl status {service}) and whether this is its CRI socket"
    return CriError(
        what,
        code=status.code,
        detail=words,
        via=via,
        reason=reason,
        path=socket,
        found=f"{status.code}: {words}",
        expected="an answer from CRI runtime.v1",
        next_step=next_step,
    )


def _service(socket: str) -> str:
    """Whose log to read."""
    for part, service in (("/crio/", "crio"), ("/cri-dockerd", "cri-docker"), ("/k3s/", "k3s")):
        if part in socket:
            return service
    return "containerd"


def late(limit: float, socket: str, via: str) -> CriError:
    """The call was given up. A pull has its own remedy for that: there the registry may be what is slow."""
    words = f"no answer within {limit:g} seconds"
    return CriError(
        f"The runtime at {socket} did not answer in time.",
        code="DeadlineExceeded",
        detail=words,
        via=via,
        reason="timeout",
        path=socket,
        found=words,
        expected="an answer from CRI runtime.v1",
        next_step=f"Look at the load of this node and at the runtime's log: journalctl -u {_service(socket)} -n 50",
    )


def broken(client: str, path: str | None, words: str) -> CriError:
    """The client failed before it could make the call."""
    words = words.strip()[:500] or "it said nothing"
    return CriError(
        f"The {client} of this node does not work.",
        code="Unknown",
        detail=words,
        via=client,
        reason="cri_client_broken",
        path=path,
        found=words,
        expected=f"a working {client}",
        next_step=f"Run it by hand on the node, then repair or remove it: {path or client} --version",
    )


def too_old(api: str, socket: str, via: str) -> CriError:
    """The runtime answers, but not in the version of CRI that this collection speaks."""
    return CriError(
        "The runtime speaks only an old version of CRI.",
        code="Unimplemented",
        detail=f"only runtime.{api} answers",
        via=via,
        reason="cri_v1alpha2_only",
        path=socket,
        found=f"runtime.{api}",
        expected="runtime.v1, which containerd has since 1.6",
        next_step="Upgrade the runtime on this node",
    )


def no_client(socket: str, wanted: tuple[str, ...]) -> CriError:
    """Nothing on the node can speak to the socket."""
    names = ["curl with HTTP2" if name == "curl" else name for name in wanted]
    return CriError(
        "This node has no client that can speak to the runtime's CRI socket.",
        code="Unknown",
        detail="no " + " and no ".join(names),
        via=None,
        reason="no_cri_client",
        path=socket,
        found="no " + " and no ".join(names),
        expected="crictl, or a curl whose `curl --version` lists HTTP2",
        next_step="Install curl on this node (the distribution's package has HTTP2), or crictl",
    )


def unsafe_credentials(why: str) -> CriError:
    """Credentials would have to stand on a command line."""
    return CriError(
        "The crictl of this node takes these credentials only on its command line, where others read them.",
        code="Unknown",
        detail=f"no safe way to hand over credentials: {why}",
        via="crictl",
        reason="unsafe_credentials",
        found=why,
        expected="curl with HTTP2, or a crictl that reads CRICTL_CREDS",
        next_step="Install curl on this node",
    )


def invalid_endpoint(endpoint: str) -> CriError:
    return CriError(
        "The endpoint is not a unix socket.",
        code="InvalidArgument",
        detail="not a unix socket",
        via=None,
        reason="invalid_endpoint",
        found=endpoint,
        expected=DEFAULT_ENDPOINT,
        next_step="Write the endpoint as unix:///path/of/the.sock",
    )
