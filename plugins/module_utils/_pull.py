# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof: pull through the node's own runtime, and say what it means when that fails.

**PRIVATE** to the collection.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._cri import CriError
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._images import registry_of_image, shown_image
from ansible_collections.nodetrust.harbor.plugins.module_utils._pull_failures import (
    CLIENT,
    FILES,
    NETWORK,
    TLS_FINE,
    TRUST,
    Failure,
    classify,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Client

__all__ = [
    "FILES",
    "NETWORK",
    "TLS_FINE",
    "TRUST",
    "Failure",
    "PullResult",
    "caused_by_change",
    "classify",
    "earlier",
    "mask",
    "prove",
]

_USERINFO = re.compile(r"(://)[^/@\s\"]+@")
_QUERY = re.compile(r"([?&][^=&\s\"#]+=)[^&\s\"#]+")


@dataclass(frozen=True)
class PullResult:
    """One attempt to pull one image, with the same fields whichever client carried it."""

    image: str
    registry: str | None
    ok: bool
    reason: str
    message: str
    remedy: str | None
    via: str | None
    code: str
    image_ref: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def earlier(given: dict[str, Any]) -> PullResult:
    """A result that came back from `to_dict`, by way of a playbook."""
    blank = {"image": "", "ok": False, "reason": "unknown", "message": "", "code": "Unknown"}
    return PullResult(
        **{field.name: given.get(field.name, blank.get(field.name)) for field in fields(PullResult)}
    )


def mask(message: str, auth: tuple[str, str] | None = None) -> str:
    """The message without what a URL may carry: user, password, signatures in the query."""
    if auth:
        for secret in auth[1:]:
            if len(secret) > 3:
                message = message.replace(secret, "***")
    return _QUERY.sub(r"\1***", _USERINFO.sub(r"\1***@", message))


def prove(
    client: Client, image: str, auth: tuple[str, str] | None = None, hint: str | None = None
) -> PullResult:
    """Pull once and say what it means. A failed pull is a result, never an exception.

    `hint` is something that the caller knows of this node and that belongs into the remedy when
    the node looks as if it did not trust the registry.
    """
    registry: str | None = None
    try:
        registry = registry_of_image(image)
        reference = client.pull(image, auth)
    except CriError as error:
        failure = classify(error.code, error.detail, registry)
        if error.reason in (
            "no_cri_client",
            "cri_client_broken",
            "unsafe_credentials",
            "cri_v1alpha2_only",
            "token_ca_ignored",
            "timeout",
        ):
            failure = Failure(
                error.reason, failure.remedy if error.reason == "timeout" else error.next_step or ""
            )
        remedy = f"{failure.remedy}. {hint}" if hint and failure.name in TRUST else failure.remedy
        words = mask(error.detail, auth)
        return PullResult(image, registry, False, failure.name, words, remedy, error.via, error.code, None)
    except TrustError as error:  # the reference itself is not one
        return PullResult(
            shown_image(image),
            None,
            False,
            error.reason,
            str(error),
            error.next_step,
            None,
            "InvalidArgument",
            None,
        )
    return PullResult(image, registry, True, "pulled", "pulled", None, client.used, "OK", reference)


def caused_by_change(before: PullResult | None, after: PullResult) -> bool:
    """Whether bringing the previous state back would help.

    Only a failure that the change can have caused counts: files that the runtime chokes on, or
    trust that was there before and is not any more. That goes both ways: a registry that took the
    node's client certificate before, or asked for none, has got another one or none at all.
    What failed in the same way before did not come from the change, and the network, the registry
    and its credentials never do.
    """
    if after.ok or (before is not None and before.reason == after.reason):
        return False
    if after.reason in FILES:
        return True
    trusted_before = before is not None and (before.ok or before.reason in TLS_FINE)
    return trusted_before and after.reason in TRUST | CLIENT
