# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between us and a cluster, by name, and the one place that tells which it was.

**PRIVATE** to the collection. Every failure says which context of which kubeconfig, what the
server or the network said, and what to do next.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError


class KubeError(TrustError):
    """A cluster could not be asked, or said no."""

    def __init__(self, message: str, *, reason: str, context: str | None = None, **fields: Any) -> None:
        super().__init__(message, reason=reason, **fields)
        self.context = context

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "context": self.context}


class LibraryMissing(KubeError):
    """The Python that runs Ansible has no kubernetes client."""


class KubeconfigError(KubeError):
    """No kubeconfig, one that cannot be read, or one without the context that was asked for."""


class CredentialError(KubeError):
    """A credential plugin is missing or failed, or the server refused what it was given (401)."""


class Forbidden(KubeError):
    """The server knows us, and does not let us (403)."""


class Unreachable(KubeError):
    """No answer: refused, unknown name, timeout, hung up."""


class UntrustedServer(KubeError):
    """The server's certificate does not lead to the CA in the kubeconfig."""


class NotFound(KubeError):
    """No such object (404)."""


class Conflict(KubeError):
    """Somebody changed the object in between (409)."""


class ListExpired(KubeError):
    """The rest of a paged list is no longer to be had (410)."""


class Throttled(KubeError):
    """The server kept asking us to wait (429)."""


class Rejected(KubeError):
    """The server did not take the request, or answered something else than Kubernetes does."""


class Target:
    """Where a request went; every failure names it."""

    def __init__(self, context: str, path: str | None, server: str) -> None:
        self.context = context
        self.path = path
        self.server = server

    def __str__(self) -> str:
        where = f"context {self.context!r}"
        return f"{where} of {self.path}" if self.path else where


def plain(text: object, limit: int = 400) -> str:
    """Text from outside, fit to be printed: one line, no control characters, not too long."""
    line = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _server_message(exc: Any) -> str:
    body: Any = getattr(exc, "body", None)
    try:
        return plain(json.loads(body)["message"])
    except (TypeError, ValueError, KeyError):
        return plain(body or getattr(exc, "reason", None) or exc)


def translate(exc: Exception, target: Target, action: str) -> KubeError:
    """The named failure for whatever the client library raised while it tried to do action."""
    status = getattr(exc, "status", None)
    if not isinstance(status, int) or status == 0:
        return _no_answer(exc, target, action)
    said = f"HTTP {status}: {_server_message(exc)}"
    common: dict[str, Any] = {"context": target.context, "path": target.path, "found": said}
    if status == 401:
        return CredentialError(
            f"{target}: {target.server} refused the credentials.",
            reason="unauthorized",
            expected="credentials that the server takes",
            next_step="log in again or renew the token; a kubeconfig keeps expired ones",
            **common,
        )
    if status == 403:
        return Forbidden(
            f"{target}: not allowed to {action}.",
            reason="forbidden",
            expected=f"a user who may {action}",
            next_step="grant the rules in deploy/rbac of this collection to that user",
            **common,
        )
    if status == 404:
        return NotFound(
            f"{target}: cannot {action}: not found.",
            reason="not_found",
            expected="that it is there",
            next_step="check the name and the context; it may have left the cluster",
            **common,
        )
    if status == 409:
        return Conflict(
            f"{target}: cannot {action}: somebody else keeps changing it.",
            reason="conflict",
            expected="nobody else who writes at the same time",
            next_step="run again; if it stays, find the controller that rewrites this node",
            **common,
        )
    if status == 410:
        return ListExpired(
            f"{target}: cannot {action}: the list expired before its last page.",
            reason="list_expired",
            expected="a list whose last page comes before it expires",
            next_step="raise page_size, so that the list is read in less time",
            **common,
        )
    if status == 429:
        return Throttled(
            f"{target}: cannot {action}: the server is too busy for us.",
            reason="throttled",
            expected="a server that has time for us",
            next_step="run again later, or look at the cluster's flow control (API Priority and Fairness)",
            **common,
        )
    return Rejected(
        f"{target}: cannot {action}: the server rejected it.",
        reason="server_error" if status >= 500 else "rejected",
        expected="a request that the server takes",
        next_step="look at the API server's log"
        if status >= 500
        else "mend what the server says, then run again",
        **common,
    )


def _no_answer(exc: Exception, target: Target, action: str) -> KubeError:
    # Without a status the library raises what urllib3 raised, or wraps a TLS failure's text.
    text = plain(getattr(exc, "reason", None) or exc)
    kinds = _kinds(exc)
    common: dict[str, Any] = {"context": target.context, "path": target.path, "found": text}
    if "certificate verify failed" in text.lower() or "CERTIFICATE_VERIFY_FAILED" in text:
        return UntrustedServer(
            f"{target}: the certificate of {target.server} does not verify.",
            reason="untrusted_server",
            expected="a certificate issued by the CA in the kubeconfig, for this server's name",
            next_step="compare certificate-authority-data with the cluster's CA; fetch the kubeconfig anew",
            **common,
        )
    if "ssl" in text.lower() or "SSLError" in kinds:
        return UntrustedServer(
            f"{target}: no TLS connection to {target.server}.",
            reason="tls_failed",
            expected="a server that speaks TLS",
            next_step="check the server address, its port and the client certificate in the kubeconfig",
            **common,
        )
    slow = any("Timeout" in kind for kind in kinds) or "timed out" in text
    return Unreachable(
        f"{target}: no answer from {target.server} in time."
        if slow
        else f"{target}: cannot reach {target.server}.",
        reason="timeout" if slow else "unreachable",
        expected=f"a Kubernetes API that lets us {action}",
        next_step="check that the API server runs and that this machine reaches it (VPN, proxy, firewall)",
        **common,
    )


def _kinds(exc: BaseException | None) -> set[str]:
    names: set[str] = set()
    while exc is not None and type(exc).__name__ not in names:
        names.add(type(exc).__name__)
        reason = getattr(exc, "reason", None)
        exc = reason if isinstance(reason, BaseException) else exc.__cause__
    return names
