# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the user's list of registries and their CA bundles before any node is touched.

**PRIVATE** to the collection. Controller only: uses cryptography. Reads the CA files, nothing else.

All problems of all entries are collected: who repairs a list at night wants one round, not seven.
"""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import (
    InvalidRegistry,
    image_of_registry,
    kind_of,
    parse_registry,
    shown,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    HOW_TO_FINGERPRINT,
    CertificateFacts,
    PemError,
    blocks,
    parse_pin,
    to_pem,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._ca_check import (
    HAS_CRYPTOGRAPHY,
    check_certificates,
    compare_pins,
    moment,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._ca_file import read_ca_file

EXPIRY_WARNING = timedelta(days=30)

KEYS = ("host", "ca_file", "ca_pem", "fingerprints", "proof_image")
# What people write from memory, where the spelling alone does not lead to the right key.
_MEANT = {
    "registry": "host",
    "name": "host",
    "url": "host",
    "ca": "ca_file",
    "ca_cert": "ca_file",
    "ca_path": "ca_file",
    "certificate": "ca_file",
    "content": "ca_pem",
    "pin": "fingerprints",
    "pins": "fingerprints",
    "sha256": "fingerprints",
    "image": "proof_image",
}


@dataclass(frozen=True)
class CheckedRegistry:
    """A registry with a CA bundle that is fit to be installed."""

    host: str
    ca_pem: str
    certificates: tuple[CertificateFacts, ...]
    proof_image: str | None
    source: str

    @property
    def fingerprints(self) -> list[str]:
        return [certificate.fingerprint for certificate in self.certificates]

    def expiry_warnings(self, now: datetime) -> list[str]:
        """One sentence for each CA that ends soon; every node stops pulling at that moment."""
        return [
            f"{self.host}: the CA {certificate.subject} in {self.source} expires on {certificate.not_after}. "
            f"Next step: get its successor and put both into the bundle before that day."
            for certificate in self.certificates
            if moment(certificate.not_after) - now < EXPIRY_WARNING
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "ca_pem": self.ca_pem,
            "fingerprints": self.fingerprints,
            "certificates": [certificate._asdict() for certificate in self.certificates],
            "proof_image": self.proof_image,
            "source": self.source,
        }


class InvalidRegistries(TrustError):
    """The list of registries cannot be used; `errors` holds every problem found in it."""

    def __init__(self, errors: Sequence[dict[str, Any]]) -> None:
        self.errors = list(errors)
        count = len(self.errors)
        head = f"{count} problems" if count > 1 else "1 problem"
        lines = [
            f"{number}) {error['where']}: {error['msg']}" if error["where"] else f"{number}) {error['msg']}"
            for number, error in enumerate(self.errors, 1)
        ]
        super().__init__(
            "\n".join([f"The list of registries has {head}. No node was touched.", *lines]),
            reason="invalid_registries",
        )

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "errors": self.errors}


def check_registries(
    entries: Any, find_file: Callable[[str], str] = str, now: datetime | None = None
) -> list[CheckedRegistry]:
    """The registries of a user's list, or `InvalidRegistries` with all that is wrong in it.

    Parameters:
        entries: the list as the user wrote it.
        find_file: gives the path to read for a `ca_file`; may raise `TrustError`.
        now: the moment at which the certificates must be valid.
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
        check = _Entry(entry, find_file, now)
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


class _Entry:
    """One entry of the list while it is checked; `errors` fills as it goes."""

    def __init__(self, entry: Any, find_file: Callable[[str], str], now: datetime) -> None:
        self.entry = entry
        self.find_file = find_file
        self.now = now
        self.host = ""
        self.errors: list[TrustError] = []

    def run(self) -> CheckedRegistry | None:
        if not isinstance(self.entry, Mapping):
            self.errors.append(
                TrustError(
                    "The entry is not a set of keys and values.",
                    reason="invalid_entry",
                    found=kind_of(self.entry),
                    expected="host: and ca_file: or ca_pem:",
                    next_step="Begin the entry with '- host: harbor.example.com'",
                )
            )
            return None
        self._collect(self._check_keys)
        self._collect(self._check_host)
        pins = self._collect(self._pins)
        proof_image = self._collect(self._proof_image)
        bundle = self._collect(self._bundle)
        if bundle is None:
            return None
        source, ders = bundle
        path = source if self._given("ca_file") else None
        certificates, faults = check_certificates(ders, source, path, self.now)
        self.errors += faults
        if pins and certificates:
            self.errors += compare_pins(certificates, pins, source, path)
        ca_pem = to_pem(list(dict.fromkeys(ders)))
        return CheckedRegistry(self.host, ca_pem, tuple(certificates), proof_image, source)

    def _collect(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except TrustError as error:
            self.errors.append(error)
            return None

    def _given(self, key: str) -> bool:
        # Ansible fills options that were left out with null.
        return self.entry.get(key) is not None

    def _check_keys(self) -> None:
        self.errors.extend(_unknown_key(key) for key in self.entry if key not in KEYS)

    def _check_host(self) -> None:
        if not self._given("host"):
            raise InvalidRegistry(
                "The entry has no host.",
                expected="host: harbor.example.com or host: harbor.example.com:8443",
                next_step="Add the name as it stands in the image references, before the first slash",
            )
        self.host = parse_registry(self.entry["host"]).name

    def _pins(self) -> set[str] | None:
        if not self._given("fingerprints"):
            return None
        value = self.entry["fingerprints"]
        texts = value.split(",") if isinstance(value, str) else value
        if not isinstance(texts, (list, tuple)) or not texts:
            raise PemError(
                "The option fingerprints is there but holds no fingerprint.",
                reason="invalid_pin",
                found="an empty list" if isinstance(texts, (list, tuple)) else kind_of(texts),
                expected="the fingerprints of exactly the CAs in the bundle",
                next_step=f"Fill it from {HOW_TO_FINGERPRINT}, or remove the option to trust the file as it is",
            )
        pins = {self._collect(partial(parse_pin, text)) for text in texts}
        return None if None in pins else pins

    def _proof_image(self) -> str | None:
        if not self._given("proof_image"):
            return None
        # Without a valid registry the image cannot be judged; that problem is reported already.
        return image_of_registry(self.host, self.entry["proof_image"]) if self.host else None

    def _bundle(self) -> tuple[str, list[bytes]]:
        if self._given("ca_file") == self._given("ca_pem"):
            both = self._given("ca_file")
            raise TrustError(
                "The entry has both ca_file and ca_pem." if both else "The entry has no CA.",
                reason="ca_source",
                expected="exactly one of ca_file and ca_pem",
                next_step="Remove one of them"
                if both
                else "Add ca_file with the path of the CA certificate, or ca_pem with its text",
            )
        if self._given("ca_file"):
            source, data = read_ca_file(self.entry["ca_file"], self.find_file)
            return source, _blocks_of(data, source, path=source)
        if not isinstance(self.entry["ca_pem"], (str, bytes)):
            raise PemError(
                "The option ca_pem is not a text.",
                reason="pem_no_certificate",
                found=kind_of(self.entry["ca_pem"]),
                expected="the text of the CA certificate",
                next_step="Write ca_pem with a vertical bar (ca_pem: |) and the indented text below it",
            )
        text = self.entry["ca_pem"]
        return "ca_pem", _blocks_of(
            text.encode("utf-8", "replace") if isinstance(text, str) else text, "ca_pem"
        )


def _blocks_of(data: bytes, source: str, path: str | None = None) -> list[bytes]:
    """The certificates of one source; a failure names it, and its next step can be pasted into a shell."""
    try:
        return blocks(data)
    except PemError as error:
        step = error.next_step
        if step and path:
            step = step.replace("FILE", shlex.quote(path))
        raise PemError(
            f"{source}: {error.message}",
            reason=error.reason,
            path=path,
            found=error.found,
            expected=error.expected,
            next_step=step,
        ) from None


def _unknown_key(key: Any) -> TrustError:
    name = str(key)
    if name == "ca_from_harbor":
        return TrustError(
            "The option ca_from_harbor is not available in this version.",
            reason="unknown_key",
            expected="ca_file or ca_pem",
            next_step="Download the CA from Harbor, check its fingerprint, and give the file as ca_file",
        )
    near = _MEANT.get(name.lower()) or next(iter(difflib.get_close_matches(name.lower(), KEYS, 1)), None)
    return TrustError(
        f"The key {shown(name)} is not known here.",
        reason="unknown_key",
        expected=f"only {', '.join(KEYS)}",
        next_step=f"Write {near} if that was meant; else remove the key" if near else "Remove the key",
    )


def _twice(host: str, first: int) -> TrustError:
    return TrustError(
        "The registry is there twice.",
        reason="duplicate_registry",
        found=f"the first is entry {first}",
        next_step="Make one entry of them; a CA bundle may hold several certificates",
    )


def _no_registry(entries: Any) -> TrustError:
    empty = entries is None or isinstance(entries, (list, tuple))
    return TrustError(
        "There is no registry in it at all." if empty else "The value is not a list.",
        reason="no_registry",
        found=None if empty else kind_of(entries),
        expected="at least one entry with host and ca_file or ca_pem",
        next_step="Set the list of registries (harbor_ca_registries in the role), and check that the file with it "
        "belongs to the hosts of this run",
    )


def _report(where: str, error: TrustError, host: str = "") -> dict[str, Any]:
    if host and not error.registry:
        error.registry = host
    return {"where": where, "message": error.message, "msg": str(error), **error.facts()}
