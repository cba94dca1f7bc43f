# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the user's list of registries and their CA bundles before any node is touched.

**PRIVATE** to the collection. Controller only: uses cryptography. Reads the CA files, nothing else.

All problems of all entries are collected: who repairs a list at night wants one round, not seven.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import kind_of
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._ca_check import HAS_CRYPTOGRAPHY
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._checked import CheckedRegistry
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._entry import Entry


def _read_plain(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


class InvalidRegistries(TrustError):
    """The list of registries cannot be used; `errors` holds every problem found in it."""

    def __init__(self, errors: Sequence[dict[str, Any]], what: str = "The list of registries") -> None:
        self.errors = list(errors)
        count = len(self.errors)
        head = f"{count} problems" if count > 1 else "1 problem"
        lines = [
            f"{number}) {error['where']}: {error['msg']}" if error["where"] else f"{number}) {error['msg']}"
            for number, error in enumerate(self.errors, 1)
        ]
        super().__init__(
            "\n".join([f"{what} has {head}. No node was touched.", *lines]),
            reason="invalid_registries",
        )

    def facts(self) -> dict[str, Any]:
        alone = self.errors[0] if len(self.errors) == 1 else {}
        fields = ("registry", "path", "found", "expected", "next_step")
        return {
            **super().facts(),
            **{name: alone[name] for name in fields if name in alone},
            "errors": self.errors,
        }


def check_registries(
    entries: Any,
    find_file: Callable[[str], str] = str,
    now: datetime | None = None,
    read_secret: Callable[[str], bytes] = _read_plain,
    ending: frozenset[str] = frozenset(),
    allow_expired: bool = False,
) -> list[CheckedRegistry]:
    """The registries of a user's list, or `InvalidRegistries` with all that is wrong in it.

    Parameters:
        entries: the list as the user wrote it.
        find_file: gives the path to read for a `ca_file`; may raise `TrustError`.
        now: the moment at which the certificates must be valid.
        read_secret: gives the content of a key file, which may lie in a vault; may raise `TrustError`.
        ending: registries whose CA is being replaced; that one may have expired.
        allow_expired: any CA may have expired, for a run that only looks, or that says it of each registry.
    """
    if not HAS_CRYPTOGRAPHY:
        raise TrustError(
            "The Python library cryptography is missing on the controller, so no CA can be checked.",
            reason="missing_library",
            found=f"Ansible runs with {sys.executable}, which cannot import it",
            expected="cryptography 41 or later, on the controller only; nodes do not need it",
            next_step=f"Run {shlex.quote(sys.executable)} -m pip install cryptography, or add it to the execution "
            "environment",
        )
    if not isinstance(entries, (list, tuple)) or not entries:
        raise InvalidRegistries([_report("", _no_registry(entries))])
    now = now or datetime.now(timezone.utc)
    checked: list[CheckedRegistry] = []
    errors: list[dict[str, Any]] = []
    first_entry: dict[str, int] = {}
    for number, entry in enumerate(entries, 1):
        where = f"entry {number} of {len(entries)}"
        check = Entry(entry, find_file, now, read_secret, ending, allow_expired)
        result = check.run()
        if check.host in first_entry:
            check.errors.append(_twice(check.host, first_entry[check.host]))
        elif check.host:
            first_entry[check.host] = number
        errors.extend(_report(where, error, check.host) for error in check.errors)
        if result is not None:
            checked.append(result)
    if errors:
        raise InvalidRegistries(errors)
    return checked


def _twice(host: str, first: int) -> TrustError:
    return TrustError(
        "The registry is there twice.",
        reason="duplicate_registry",
        found=f"the first is entry {first}",
        expected="one entry for each registry",
        next_step="Make one entry of them; a CA bundle may hold several certificates",
    )


def _no_registry(entries: Any) -> TrustError:
    empty = entries is None or isinstance(entries, (list, tuple))
    return TrustError(
        "There is no registry in it at all." if empty else "The value is not a list.",
        reason="no_registry",
        found="no entry" if empty else kind_of(entries),
        expected="at least one entry with host and ca_file or ca_pem",
        next_step="Set the list of registries (harbor_ca_registries in the role), and check that the file with it "
        "belongs to the hosts of this run",
    )


def _report(where: str, error: TrustError, host: str = "") -> dict[str, Any]:
    if host and not error.registry:
        error.registry = host
    return {"where": where, "message": error.message, "msg": str(error), **error.facts()}
