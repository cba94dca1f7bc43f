# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates in PEM text: take a bundle apart, name each certificate, write it back in one form.

**PRIVATE** to the collection. Standard library only: runs on nodes and on the controller.

`ssl.PEM_cert_to_DER_cert` is not used: given two certificates it silently returns one of them, or
something that is neither, so a rogue second CA would pass a fingerprint check. Blocks are split here,
strictly, and every block counts. No message shows content of a file: it may be a private key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import ssl
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.module_utils._der import (
    DerError,
    check_one_sequence,
    who_and_when,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError

_BODY = "the base64 of one X.509 certificate in DER form"
# The largest bundles in use, whole system trust stores, are about a quarter of this.
MAX_PEM_BYTES = 1024 * 1024

HOW_TO_FINGERPRINT = "openssl x509 -noout -fingerprint -sha256 -in FILE"

_BOM = b"\xef\xbb\xbf"
_MARKER = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 #]+)-----")
# Damaged on the way: a dash too few, lower case, dashes made typographic, or more text on the same line.
_ALMOST_MARKER = re.compile(
    rb"(?i:-{2,}\s*(?:BEGIN|END)[^-]*CERT)"
    rb"|[^A-Za-z0-9\s#\"'(]\s*(?:BEGIN|END) [A-Z0-9 ]*CERTIFICATE"
    rb"|(?:BEGIN|END) [A-Z0-9 ]*CERTIFICATE *-{2,}"
)
_INSIDE_A_LINE = re.compile(rb"(?m)^[^\n]*[^\n-]-----BEGIN CERTIFICATE-----")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_PRIVATE_KEY = re.compile(rb"BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File|AGE-SECRET-KEY-", re.IGNORECASE)
_PIN_PREFIX = re.compile(r"(?:sha-?256)?\s*(?:fingerprint)?\s*[:=]?\s*", re.IGNORECASE | re.ASCII)


class PemError(TrustError):
    """Text that is not a clean bundle of certificates."""


class CertificateFacts(NamedTuple):
    """What a person wants to know about a certificate. Dates are ISO 8601 in UTC."""

    fingerprint: str
    subject: str
    issuer: str
    not_before: str
    not_after: str
    is_ca: bool


def split(data: bytes) -> list[bytes]:
    """The certificates (DER) of a bundle, in its order, each once."""
    return list(dict.fromkeys(blocks(data)))


def passed_over(data: bytes) -> bool:
    """Does a certificate begin inside a line? Go reads on without it, so to a runtime it isn't there.

    What people hand over is read more kindly: a byte order mark is put there by editors (runtime-facts §3).
    """
    return _INSIDE_A_LINE.search(data) is not None


def blocks(data: bytes) -> list[bytes]:
    """The certificates (DER) of all blocks of a bundle, repeated ones included.

    Text around the blocks, a byte order mark and any kind of line end are accepted. Everything else that a
    runtime would silently drop, or that a person did not mean to hand over, raises `PemError`.
    """
    if len(data) > MAX_PEM_BYTES:
        raise PemError(
            "The CA bundle is too large.",
            reason="pem_too_large",
            found=f"{len(data)} bytes",
            expected=f"at most {MAX_PEM_BYTES} bytes; a CA certificate has about 2000",
            next_step="Check that this is the CA file and not an archive or an image",
        )
    data = data.replace(_BOM, b"")
    if not data.strip():
        raise PemError(
            "The CA bundle is empty.",
            reason="pem_empty",
            found="nothing but blanks" if data else "nothing",
            expected="at least one CERTIFICATE block",
            next_step="Copy the CA certificate again; the download or the export may have failed",
        )
    if _PRIVATE_KEY.search(data):
        raise _faults().private_key()
    if not data.isascii() or b"\0" in data:
        _faults().refuse_binary(data)
    texts = list(_block_texts(data.splitlines()))
    if not texts:
        raise _faults().no_certificate(data)
    return [_decoded(text, number, len(texts)) for number, text in enumerate(texts, 1)]


def fingerprint(der: bytes) -> str:
    """The SHA-256 fingerprint of a certificate, as `openssl x509 -fingerprint -sha256` prints it."""
    return _pin_form(hashlib.sha256(der).hexdigest())


def parse_pin(text: Any) -> str:
    """A fingerprint as users write it, in the form that `fingerprint` gives."""
    if isinstance(text, str):
        digits = without_prefix(text)
        # Separators stand between bytes or not at all: anything else is a copy that went wrong.
        if re.fullmatch(r"[0-9a-fA-F]{2}(?:[:\s]?[0-9a-fA-F]{2}){31}", digits, re.ASCII):
            return _pin_form(re.sub(r"[:\s]", "", digits))
    raise _faults().invalid_pin(text)


def without_prefix(pin: str) -> str:
    """A pin without the words in front by which some tools say that it is one."""
    prefix = _PIN_PREFIX.match(pin.strip())
    return pin.strip()[prefix.end() if prefix else 0 :]


def to_pem(ders: Sequence[bytes]) -> str:
    """A bundle in the one form that this collection writes: LF, 64 columns, nothing around the blocks."""
    lines: list[str] = []
    for der in ders:
        body = base64.b64encode(der).decode("ascii")
        lines.append("-----BEGIN CERTIFICATE-----")
        lines.extend(body[start : start + 64] for start in range(0, len(body), 64))
        lines.append("-----END CERTIFICATE-----")
    return "".join(f"{line}\n" for line in lines)


@lru_cache
def describe(der: bytes) -> CertificateFacts:
    """Who and when, for a CA and for any other certificate; `PemError` if this is no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        check_one_sequence(der)
        context.load_verify_locations(cadata=der)
        names = who_and_when(der)
    except (ssl.SSLError, DerError, ValueError):
        raise PemError(
            "The data is not an X.509 certificate.",
            reason="not_a_certificate",
            found=f"{len(der)} bytes",
            expected="an X.509 certificate in DER form",
            next_step="Copy the CA certificate again from where it was made",
        ) from None
    return CertificateFacts(fingerprint(der), *names, is_ca=context.cert_store_stats()["x509_ca"] == 1)


def _faults() -> ModuleType:
    # Few bundles have any, and a node would compile what is said of all of them at each call.
    from ansible_collections.nodetrust.harbor.plugins.module_utils import _pem_faults

    return _pem_faults


def _pin_form(hex_digits: str) -> str:
    digits = hex_digits.upper()
    return "SHA256:" + ":".join(digits[start : start + 2] for start in range(0, 64, 2))


def _block_texts(lines: list[bytes]) -> Iterator[list[bytes]]:
    """The lines between BEGIN and END of each certificate; any other block or a damaged marker raises."""
    begin: int | None = None
    for number, line in enumerate(lines, 1):
        marker = _MARKER.fullmatch(line.strip())
        if marker is None:
            if _ALMOST_MARKER.search(line):
                raise _faults().marker(number, line)
            continue
        kind, label = marker.group(1), marker.group(2).decode("ascii")
        if label != "CERTIFICATE":
            raise _faults().label(number, label)
        if kind == b"BEGIN":
            if begin is not None:
                raise _faults().truncated(begin, f"another BEGIN on line {number}")
            begin = number
        elif begin is None:
            raise PemError(
                f"The CA bundle is damaged: END CERTIFICATE on line {number} has no BEGIN before it.",
                reason="pem_truncated",
                found=f"END CERTIFICATE on line {number}",
                expected="-----BEGIN CERTIFICATE----- before it",
                next_step="The beginning of a certificate was lost; copy the file again",
            )
        else:
            yield lines[begin : number - 1]
            begin = None
    if begin is not None:
        raise _faults().truncated(begin, "the end of the text")


def _decoded(lines: list[bytes], number: int, count: int) -> bytes:
    which = f"Certificate {number} of {count}"
    body = b"".join(b"".join(line.split()) for line in lines)
    if not body:
        raise PemError(
            f"{which} in the CA bundle is empty.",
            reason="pem_bad_base64",
            found="BEGIN and END with nothing between them",
            expected=_BODY,
            next_step="There is nothing between BEGIN and END; copy the file again",
        )
    try:
        if not _BASE64.fullmatch(body):
            raise binascii.Error
        der = base64.b64decode(body, validate=True)
    except binascii.Error:
        raise PemError(
            f"{which} in the CA bundle is damaged: it is not clean base64.",
            reason="pem_bad_base64",
            found=f"{len(body)} characters, not all of them of base64, or not as many as it takes",
            expected=_BODY,
            next_step="A character was lost or added on the way; copy the file again",
        ) from None
    try:
        check_one_sequence(der)
    except DerError as exc:
        raise PemError(
            f"{which} in the CA bundle is damaged: {exc}.",
            reason="pem_truncated" if "missing" in str(exc) else "not_a_certificate",
            found=f"{len(der)} bytes",
            expected=_BODY,
            next_step="A line was lost or added on the way; copy the file again",
        ) from None
    return der
