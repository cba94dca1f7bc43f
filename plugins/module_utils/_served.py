# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a registry which certificate it serves, and whether the given CA bundle leads to it.

**PRIVATE** to the collection. Runs on the controller and on nodes, standard library `ssl`.

This is evidence, never the proof: nodes may reach another server under the same name. So nothing here fails;
what looks wrong becomes a warning.
"""

from __future__ import annotations

import platform
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    CertificateFacts,
    PemError,
    describe,
    split,
    to_pem,
)

TIMEOUT = 5.0

# OpenSSL's own numbers (x509_vfy.h); they are stable, its texts are not.
_EXPIRED = 10
_NOT_YET_VALID = 9
_NO_PATH_TO_CA = {2, 18, 19, 20, 21}
_WRONG_NAME = {62, 64}
# ssl.VERIFY_X509_PARTIAL_CHAIN, which has no name before Python 3.10.
_PARTIAL_CHAIN = 0x80000


@dataclass(frozen=True)
class Served:
    """What a registry showed. `trusted` and `name_matches` are None where it showed no certificate."""

    reachable: bool
    reason: str | None = None
    trusted: bool | None = None
    name_matches: bool | None = None
    certificate: CertificateFacts | None = None
    verify_code: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "reachable": self.reachable,
            "reason": self.reason,
            "trusted": self.trusted,
            "name_matches": self.name_matches,
            "certificate": self.certificate._asdict() if self.certificate else None,
        }


class _NotServed(Exception):
    """There is no certificate to judge."""


def look(
    registry: str, ca_pem: str, timeout: float = TIMEOUT, address: tuple[str, int] | None = None
) -> Served:
    """Handshake with a registry and judge what it serves by this bundle alone.

    Parameters:
        registry: name as in image references.
        ca_pem: the bundle; the controller's own trust store is not consulted.
        timeout: seconds for each step on the network.
        address: where to connect instead of the registry's own name and port.
    """
    name = parse_registry(registry)
    target = address or (name.host, name.port or 443)
    try:
        _code, leaf = _handshake(target, name.host, _context(), timeout)
        certificate = describe(leaf)
        # The chain and the name are asked for separately: OpenSSL reports only the first thing wrong.
        chain_code = _judge_chain(target, name.host, ca_pem, timeout)
        name_code, _leaf = _handshake(target, name.host, _context(to_pem([leaf]), check_name=True), timeout)
    except _NotServed as exc:
        return Served(reachable=False, reason=str(exc))
    except PemError:
        return Served(reachable=False, reason="it answers, but its certificate cannot be read")
    return Served(
        reachable=True,
        reason=None if chain_code == 0 else "the given CA bundle does not verify what the registry serves",
        trusted=chain_code == 0,
        name_matches=name_code not in _WRONG_NAME,
        certificate=certificate,
        verify_code=chain_code,
    )


def look_until(registries: dict[str, str], wait: float = 0.0, every: float = 2.0) -> dict[str, Served]:
    """Look at registries, each with its bundle, and again until each bundle verifies or the time is over."""
    deadline = time.monotonic() + wait
    seen = {name: look(name, ca_pem) for name, ca_pem in registries.items()}
    while not all(served.trusted for served in seen.values()) and time.monotonic() < deadline:
        time.sleep(min(every, max(0.0, deadline - time.monotonic())))
        again = {name: look(name, registries[name]) for name, served in seen.items() if not served.trusted}
        seen.update(again)
    return seen


def warnings_of(
    registry: str, served: Served, cas: Sequence[CertificateFacts], now: datetime | None = None
) -> list[str]:
    """What a person should know about a served certificate, in sentences."""
    leaf = served.certificate
    if leaf is None:
        return []
    texts = []
    dates = f"valid from {leaf.not_before} to {leaf.not_after}"
    moment = f"{now or datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    # Such dates all have one form, in which the order of the text is the order of time.
    ended, not_begun = leaf.not_after < moment, leaf.not_before > moment
    if served.verify_code in _NO_PATH_TO_CA:
        texts.append(
            f"{registry}: the given CA did not sign what the registry serves, so pulls would fail with 'x509: "
            f"certificate signed by unknown authority'. Given: {_subjects(cas)}. Served: {leaf.subject}, issued by "
            f"{leaf.issuer}, {dates}. Next step: get the certificate of that issuer; if it is an intermediate of the "
            f"given CA, let the registry send it along with its own."
        )
    elif served.trusted is False and not (ended or not_begun):
        texts.append(
            f"{registry}: the certificate that the registry serves does not pass (OpenSSL error "
            f"{served.verify_code}). Given: {_subjects(cas)}. Served: {leaf.subject}, issued by {leaf.issuer}, "
            f"{dates}. Next step: look at the chain with openssl s_client -showcerts."
        )
    if ended or not_begun:
        texts.append(
            f"{registry}: the certificate that the registry serves {'has expired' if ended else 'is not valid yet'}. "
            f"Served: {leaf.subject}, issued by {leaf.issuer}, {dates}; now it is {moment}. Next step: renew it on the "
            f"registry, or set the controller's clock if that is wrong; no CA on a node cures this."
        )
    if served.name_matches is False:
        texts.append(
            f"{registry}: the certificate that the registry serves is not for this name. Served: {leaf.subject}, "
            f"issued by {leaf.issuer}, {dates}. Next step: issue one whose subject alternative names hold "
            f"{parse_registry(registry).host}; no CA on a node cures this."
        )
    return texts


def _judge_chain(target: tuple[str, int], host: str, ca_pem: str, timeout: float) -> int:
    """OpenSSL's verdict on the chain; 0 if any certificate of the bundle leads to it, as Go judges."""
    code, _leaf = _handshake(target, host, _context(ca_pem), timeout)
    cas = split(ca_pem.encode("ascii"))
    if code == 0 or len(cas) == 1:
        return code
    # Of two CAs with one subject OpenSSL takes the first, unless a key identifier says otherwise. Go tries all.
    alone = (_handshake(target, host, _context(to_pem([ca])), timeout)[0] for ca in cas)
    return 0 if 0 in alone else code


def _subjects(cas: Sequence[CertificateFacts]) -> str:
    return "; ".join(ca.subject for ca in cas)


def _context(ca_pem: str | None = None, check_name: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_name
    if ca_pem is None:
        # Only to look at the certificate; nothing is sent over this connection.
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=ca_pem)
        # Go takes every certificate of the bundle as an anchor, self-signed or not.
        context.verify_flags |= _PARTIAL_CHAIN
    return context


def _handshake(
    target: tuple[str, int], host: str, context: ssl.SSLContext, timeout: float
) -> tuple[int, bytes]:
    """OpenSSL's verdict (0 is good) and the server's certificate, empty if the verdict is bad."""
    try:
        with socket.create_connection(target, timeout=timeout) as plain:  # noqa: SIM117
            with context.wrap_socket(plain, server_hostname=host) as tls:
                return 0, tls.getpeercert(binary_form=True) or b""
    except ssl.SSLCertVerificationError as error:
        return error.verify_code, b""
    except socket.gaierror:
        raise _NotServed(f"its name is not known to the resolver of {platform.node()}") from None
    except (TimeoutError, socket.timeout):  # two of them before Python 3.10
        raise _NotServed(f"no answer within {timeout:g} seconds") from None
    except ConnectionRefusedError:
        raise _NotServed("the connection was refused") from None
    except ssl.SSLError as error:
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"):
            raise _NotServed("it answers, but not with TLS; is this the port for plain HTTP?") from None
        raise _NotServed(f"the TLS handshake failed ({error.reason or 'no reason given'})") from None
    except OSError as error:
        raise _NotServed(f"the connection failed ({error.strerror or 'closed by the other side'})") from None
