# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client certificate that a registry asks for, and its key, in the registry's directory (runtime-facts §3).

**PRIVATE** to the collection. No message, no result and no diff ever holds the key.
"""

from __future__ import annotations

import os
import ssl
from typing import NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils import _node
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    PemError,
    blocks,
    fingerprint,
    to_pem,
)

CERT_FILE = "client.cert"
KEY_FILE = "client.key"

# Runtimes pass over text around the blocks, before a key as before a certificate: Go reads both with pem.Decode. It
# tells our files from those that somebody put there by hand. The key has it too, for it is written first.
_MARK = b"# Put here by nodetrust.harbor, with the key beside it.\n"
_KEY_MARK = b"# Put here by nodetrust.harbor, with the certificate beside it.\n"


class ClientPair(NamedTuple):
    """A client certificate (with what leads to its CA) and its key, both PEM."""

    cert: bytes
    key: bytes

    def __repr__(self) -> str:
        return "ClientPair(...)"

    @property
    def cert_file(self) -> bytes:
        return _MARK + self.cert

    @property
    def key_file(self) -> bytes:
        return _KEY_MARK + self.key

    @property
    def fingerprint(self) -> str:
        return fingerprint(blocks(self.cert)[0])


class FoundPair(NamedTuple):
    """What lies under our two names in a registry's directory."""

    cert: _node.FileState
    key: _node.FileState

    @property
    def ours(self) -> bool:
        """Ours whole, or what a run that was killed, or somebody who removed the certificate, has left of it."""
        lone_key = self.cert.kind == "absent" and (self.key.content or b"").startswith(_KEY_MARK)
        return (self.cert.content or b"").startswith(_MARK) or lone_key

    @property
    def absent(self) -> bool:
        return self.cert.kind == "absent" and self.key.kind == "absent"

    @property
    def fingerprint(self) -> str | None:
        """That of the client's own certificate, if it can be read."""
        try:
            return fingerprint(blocks(self.cert.content or b"")[0])
        except PemError:
            return None

    def is_that(self, pair: ClientPair) -> bool:
        """The same certificate and key, whoever put them there, and the key for nobody else's eyes."""
        if self.ours:
            same = self.cert.content == pair.cert_file and self.key.content == pair.key_file
            return same and self.key.mode & 0o077 == 0
        return self.fingerprint == pair.fingerprint and (self.key.content or b"").strip() == pair.key.strip()

    def is_pinned(self, pin: str) -> bool:
        """The certificate of this fingerprint with its key, told without knowing either."""
        if self.fingerprint != pin or (self.ours and self.key.mode & 0o077):
            return False
        return _fault_of(ClientPair(self.cert.content or b"", self.key.content or b"")) is None


def read_pair(directory: str) -> FoundPair:
    return FoundPair(
        _node.read_state(os.path.join(directory, CERT_FILE)),
        _node.read_state(os.path.join(directory, KEY_FILE)),
    )


def pair_from(cert: str | None, key: str | None, registry: str) -> ClientPair | None:
    """The pair of a registry's entry, checked: a node trusts no caller.

    Raises:
        TrustError: one without the other, or the key isn't the certificate's.
    """
    if not cert and not key:
        return None
    if not cert or not key:
        raise TrustError(
            "a client certificate and its key belong together",
            reason="client_source",
            registry=registry,
            found="only client_cert_pem" if cert else "only client_key_pem",
            expected="client_cert_pem and client_key_pem",
            next_step="give both, or neither",
        )
    pair = ClientPair(
        to_pem(blocks(cert.encode("utf-8"))).encode("ascii"), key.strip().encode("utf-8") + b"\n"
    )
    fault = _fault_of(pair)
    if fault:
        raise TrustError(
            "the client certificate and the key don't make a pair",
            reason="client_key_mismatch",
            registry=registry,
            found=fault,
            expected="a key without a password, and the certificate that was made for it",
            next_step="openssl x509 -noout -pubkey -in CERT and openssl pkey -pubout -in KEY must print the same",
        )
    return pair


def _fault_of(pair: ClientPair) -> str | None:
    """What OpenSSL says against a pair. Both stay in memory: a key in a temporary file could be left behind."""
    cert, key = os.memfd_create("cert"), os.memfd_create("key")
    try:
        os.write(cert, pair.cert)
        os.write(key, pair.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # A password is answered with nothing, or OpenSSL would ask for it at the terminal.
        context.load_cert_chain(f"/proc/self/fd/{cert}", f"/proc/self/fd/{key}", password="")
    except (ssl.SSLError, ValueError) as exc:
        return str(getattr(exc, "reason", None) or "the key can't be read").replace("_", " ").lower()
    finally:
        os.close(cert)
        os.close(key)
    return None
