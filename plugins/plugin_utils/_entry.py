# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check one entry of the user's list of registries; every problem of it is collected.

**PRIVATE** to the collection. Controller only: uses cryptography.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._images import image_of_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import (
    InvalidRegistry,
    kind_of,
    parse_registry,
    shown,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    HOW_TO_FINGERPRINT,
    PemError,
    blocks,
    parse_pin,
    to_pem,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._ca_check import (
    check_certificates,
    compare_pins,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._ca_file import checked_path, read_ca_file
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._checked import Bundle, CheckedRegistry
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._client_cert import Client, check_client

KEYS = (
    *("host", "ca_file", "ca_pem", "fingerprints", "proof_image"),
    *("extra_ca_file", "extra_ca_pem", "extra_ca_fingerprints"),
    *("client_cert_file", "client_cert_pem", "client_key_file", "client_key_pem"),
)
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
    "extra_ca": "extra_ca_file",
    "client_cert": "client_cert_file",
    "client_key": "client_key_file",
}


class Entry:
    """One entry of the list while it is checked; `errors` fills as it goes."""

    def __init__(
        self,
        entry: Any,
        find_file: Callable[[str], str],
        now: datetime,
        read_secret: Callable[[str], bytes],
        ending: frozenset[str] = frozenset(),
        allow_expired: bool = False,
    ) -> None:
        self.entry = entry
        self.find_file = find_file
        self.now = now
        self.read_secret = read_secret
        self.ending = ending
        self.allow_expired = allow_expired
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
        proof_image = self._collect(self._proof_image)
        bundle = self._bundle("ca", "fingerprints")
        extra = None
        if any(self._given(f"extra_ca_{key}") for key in ("file", "pem", "fingerprints")):
            extra = self._bundle("extra_ca", "extra_ca_fingerprints")
        client = self._collect(self._client)
        return None if bundle is None else CheckedRegistry(self.host, bundle, proof_image, extra, client)

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
            given = [str(key) for key, value in self.entry.items() if value is not None]
            raise InvalidRegistry(
                "The entry has no host.",
                found=f"an entry with {shown(', '.join(given), 200)}" if given else "an empty entry",
                expected="host: harbor.example.com or host: harbor.example.com:8443",
                next_step="Add the name as it stands in the image references, before the first slash",
            )
        self.host = parse_registry(self.entry["host"]).name

    def _pins(self, key: str) -> set[str] | None:
        if not self._given(key):
            return None
        value = self.entry[key]
        texts = value.split(",") if isinstance(value, str) else value
        if not isinstance(texts, (list, tuple)) or not texts:
            raise PemError(
                f"The option {key} is there but holds no fingerprint.",
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

    def _bundle(self, prefix: str, pins_key: str) -> Bundle | None:
        pins = self._collect(partial(self._pins, pins_key))
        read = self._collect(partial(self._read_bundle, f"{prefix}_file", f"{prefix}_pem"))
        if read is None:
            return None
        source, ders = read
        path = source if self._given(f"{prefix}_file") else None
        certificates, faults = check_certificates(ders, source, path, self.now)
        allowed = self.allow_expired or (prefix == "ca" and self.host in self.ending)
        self.errors += [fault for fault in faults if not (allowed and fault.reason == "expired")]
        if pins and certificates:
            self.errors += compare_pins(certificates, pins, source, path)
        return Bundle(to_pem(list(dict.fromkeys(ders))), tuple(certificates), source)

    def _read_bundle(self, file_key: str, text_key: str) -> tuple[str, list[bytes]]:
        source, data = self._text(file_key, text_key, "CA certificate", "CA")
        return source, _blocks_of(data, source, source if self._given(file_key) else None)

    def _client(self) -> Client | None:
        keys = [f"client_{what}_{form}" for what in ("cert", "key") for form in ("file", "pem")]
        if not any(self._given(key) for key in keys):
            return None
        cert_source, cert = self._text(
            "client_cert_file", "client_cert_pem", "client certificate", "client certificate"
        )
        key_file = None
        if self._given("client_key_file") and not self._given("client_key_pem"):
            key_file = self.find_file(checked_path(self.entry["client_key_file"], "client_key_file"))
            key = self.read_secret(key_file)
        else:
            _source, key = self._text("client_key_file", "client_key_pem", "private key", "client key")
        client, faults = check_client(cert, cert_source, key, key_file, self.now)
        self.errors += faults
        return client

    def _text(self, file_key: str, text_key: str, what: str, short: str) -> tuple[str, bytes]:
        """What one of two options holds, and which source that is."""
        if self._given(file_key) == self._given(text_key):
            both = self._given(file_key)
            raise TrustError(
                f"The entry has both {file_key} and {text_key}." if both else f"The entry has no {short}.",
                reason="ca_source" if short == "CA" else "client_source",
                found="both" if both else "neither",
                expected=f"exactly one of {file_key} and {text_key}",
                next_step="Remove one of them"
                if both
                else f"Add {file_key} with the path of the {what}, or {text_key} with its text",
            )
        if self._given(file_key):
            return read_ca_file(self.entry[file_key], self.find_file, file_key)
        text = self.entry[text_key]
        if not isinstance(text, (str, bytes)):
            raise PemError(
                f"The option {text_key} is not a text.",
                reason="pem_no_certificate",
                found=kind_of(text),
                expected=f"the text of the {what}",
                next_step=f"Write {text_key} with a vertical bar ({text_key}: |) and the indented text below it",
            )
        return text_key, text.encode("utf-8", "replace") if isinstance(text, str) else text


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
            found=name,
            expected="ca_file or ca_pem",
            next_step="Download the CA from Harbor, check its fingerprint, and give the file as ca_file",
        )
    near = _MEANT.get(name.lower()) or next(iter(difflib.get_close_matches(name.lower(), KEYS, 1)), None)
    return TrustError(
        f"The key {shown(name)} is not known here.",
        reason="unknown_key",
        found=shown(name),
        expected=f"only {', '.join(KEYS)}",
        next_step=f"Write {near} if that was meant; else remove the key" if near else "Remove the key",
    )
