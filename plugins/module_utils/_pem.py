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
from typing import Any, NamedTuple, NoReturn

from ansible_collections.nodetrust.harbor.plugins.module_utils._der import (
    DerError,
    check_one_sequence,
    who_and_when,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import kind_of

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
_OTHER_HASHES = {32: "MD5", 40: "SHA-1", 96: "SHA-384", 128: "SHA-512"}


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
            expected="at least one CERTIFICATE block",
            next_step="Copy the CA certificate again; the download or the export may have failed",
        )
    if _PRIVATE_KEY.search(data):
        _refuse_private_key()
    _refuse_binary(data)
    texts = list(_block_texts(data.splitlines()))
    if not texts:
        _refuse_no_certificate(data)
    return [_decoded(text, number, len(texts)) for number, text in enumerate(texts, 1)]


def fingerprint(der: bytes) -> str:
    """The SHA-256 fingerprint of a certificate, as `openssl x509 -fingerprint -sha256` prints it."""
    return _pin_form(hashlib.sha256(der).hexdigest())


def parse_pin(text: Any) -> str:
    """A fingerprint as users write it, in the form that `fingerprint` gives."""
    if not isinstance(text, str) or not text.strip():
        raise _invalid_pin(
            "The fingerprint is empty or not a text.",
            found=None if isinstance(text, str) else kind_of(text),
        )
    if "-----" in text:
        raise _invalid_pin("The fingerprint is a whole PEM block.")
    other_hash = re.match(r"(md5|sha-?(?:1|384|512))\b", text.strip(), re.IGNORECASE | re.ASCII)
    if other_hash:
        raise _invalid_pin(f"The fingerprint is {other_hash.group(1)}, not SHA-256.", found=_clipped(text))
    prefix = _PIN_PREFIX.match(text.strip())
    digits = text.strip()[prefix.end() if prefix else 0 :]
    pure = re.sub(r"[:\s]", "", digits)
    if re.fullmatch(r"[0-9a-fA-F]{64}", pure, re.ASCII):
        # Separators stand between bytes or not at all: anything else is a copy that went wrong.
        if re.fullmatch(r"[0-9a-fA-F]{2}(?:[:\s]?[0-9a-fA-F]{2}){31}", digits, re.ASCII):
            return _pin_form(pure)
        raise _invalid_pin(
            "The separators of the fingerprint are not between its bytes.", found=_clipped(text)
        )
    if re.fullmatch(r"[0-9a-fA-F]+", pure, re.ASCII):
        other = _OTHER_HASHES.get(len(pure))
        length = f"The fingerprint has {len(pure)} hex digits instead of 64"
        raise _invalid_pin(
            f"{length}, as {other} fingerprints have." if other else f"{length}.", found=_clipped(text)
        )
    if re.fullmatch(r"[A-Za-z0-9+/_-]{43}=?", digits, re.ASCII):
        raise _invalid_pin("The fingerprint is written in base64, as SSH does.", found=_clipped(text))
    raise _invalid_pin("The fingerprint contains something that is not a hex digit.", found=_clipped(text))


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
            next_step="Copy the CA certificate again from where it was made",
        ) from None
    return CertificateFacts(fingerprint(der), *names, is_ca=context.cert_store_stats()["x509_ca"] == 1)


def _pin_form(hex_digits: str) -> str:
    digits = hex_digits.upper()
    return "SHA256:" + ":".join(digits[start : start + 2] for start in range(0, 64, 2))


def _clipped(text: str) -> str:
    return ascii(text if len(text) <= 120 else text[:120] + "...")


def _invalid_pin(message: str, found: str | None = None) -> PemError:
    return PemError(
        message,
        reason="invalid_pin",
        found=found,
        expected="SHA256: and 64 hex digits, with or without colons",
        next_step=f"Take it from {HOW_TO_FINGERPRINT}, on the machine where the CA was made",
    )


def _refuse_private_key() -> NoReturn:
    raise PemError(
        "There is a private key beside or instead of the CA certificate. It was not read further and is "
        "not shown.",
        reason="private_key",
        expected="only CERTIFICATE blocks",
        next_step="Put the certificate alone into a file of its own: openssl x509 -in FILE -out ca.pem. "
        "If others could read the key, replace the CA",
    )


def _refuse_binary(data: bytes) -> None:
    """Tell the formats apart that people hand over instead of PEM. Text never begins like these."""
    convert: dict[str, Any] = {"expected": "PEM text with -----BEGIN CERTIFICATE-----"}
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (data[:40].count(0) > 10 and b"\0B\0E\0G\0I\0N" in data):
        raise PemError(
            "The CA bundle is UTF-16 text, as some Windows programs save it.",
            reason="utf16_input",
            next_step="Convert it: iconv -f UTF-16 -t ASCII FILE > FILE.pem",
            **convert,
        )
    if data[:4] in (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce"):
        raise PemError(
            "The file is a Java key store.",
            reason="keystore_input",
            next_step="Export the CA: keytool -exportcert -rfc -keystore FILE -alias ALIAS -file ca.pem",
            **convert,
        )
    if not (data[:1] == b"\x30" and len(data) > 4 and data[1] >= 0x80):
        return
    # The first thing inside the outer sequence tells which of the DER formats this is.
    inner = data[2 + (data[1] & 0x7F) :][:3]
    if inner[:1] == b"\x06":
        raise PemError(
            "The file is PKCS#7 (often .p7b).",
            reason="pkcs7_input",
            next_step="Convert it: openssl pkcs7 -inform der -print_certs -in FILE -out FILE.pem",
            **convert,
        )
    if inner == b"\x02\x01\x03":
        raise PemError(
            "The file is PKCS#12 (often .p12 or .pfx), which usually holds a private key too.",
            reason="pkcs12_input",
            next_step="Take only the CA out of it: openssl pkcs12 -in FILE -cacerts -nokeys -out ca.pem",
            **convert,
        )
    if inner[:1] == b"\x02":
        _refuse_private_key()
    raise PemError(
        "The CA certificate is in DER form (binary), not in PEM form (text).",
        reason="der_input",
        next_step="Convert it: openssl x509 -inform der -in FILE -out FILE.pem",
        **convert,
    )


def _refuse_no_certificate(data: bytes) -> NoReturn:
    start = data.lstrip()[:1]
    what = {b"<": " It looks like a web page.", b"{": " It looks like JSON."}.get(start, "")
    step = "Copy the CA certificate again from where it was made"
    if start in (b"<", b"{"):
        step = "The download probably got an error or a login page: open the file, then fetch the CA again"
    elif re.match(rb"MI[A-Za-z0-9+/\s]{60}", data.lstrip()):
        what = " It looks like the inside of one."
        step = "Add the lines -----BEGIN CERTIFICATE----- and -----END CERTIFICATE----- around it"
    elif (
        len(data) < 4096
        and b"\n" not in data.strip()
        and re.search(rb"\.(?:crt|pem|cer|ca)$", data.strip(), re.IGNORECASE)
    ):
        what = " It looks like the name of a file."
        step = "Give a path as ca_file; ca_pem takes the text of the certificate itself"
    raise PemError(
        f"There is no certificate in the CA bundle.{what}",
        reason="pem_no_certificate",
        expected="at least one block that begins with -----BEGIN CERTIFICATE-----",
        next_step=step,
    )


def _block_texts(lines: list[bytes]) -> Iterator[list[bytes]]:
    """The lines between BEGIN and END of each certificate; any other block or a damaged marker raises."""
    begin: int | None = None
    for number, line in enumerate(lines, 1):
        marker = _MARKER.fullmatch(line.strip())
        if marker is None:
            if _ALMOST_MARKER.search(line):
                _refuse_marker(number, line)
            continue
        kind, label = marker.group(1), marker.group(2).decode("ascii")
        if label != "CERTIFICATE":
            _refuse_label(number, label)
        if kind == b"BEGIN":
            if begin is not None:
                _refuse_truncated(begin, f"another BEGIN on line {number}")
            begin = number
        elif begin is None:
            raise PemError(
                f"The CA bundle is damaged: END CERTIFICATE on line {number} has no BEGIN before it.",
                reason="pem_truncated",
                next_step="The beginning of a certificate was lost; copy the file again",
            )
        else:
            yield lines[begin : number - 1]
            begin = None
    if begin is not None:
        _refuse_truncated(begin, "the end of the text")


def _refuse_truncated(begin: int, what: str) -> NoReturn:
    raise PemError(
        f"The CA bundle is truncated: the certificate that begins on line {begin} has no END.",
        reason="pem_truncated",
        found=what,
        expected="-----END CERTIFICATE-----",
        next_step="Copy the whole file again. Runtimes would drop the broken certificate without a word",
    )


def _refuse_label(line: int, label: str) -> NoReturn:
    fields: dict[str, Any] = {
        "expected": "only CERTIFICATE blocks",
        "found": f"BEGIN or END {label[:40]} on line {line}",
    }
    if label in ("TRUSTED CERTIFICATE", "X509 CERTIFICATE"):
        raise PemError(
            f"The CA bundle has a {label} block, which only OpenSSL reads; container runtimes skip it.",
            reason="trusted_certificate",
            next_step="Convert it: openssl x509 -in FILE -out FILE.pem (one certificate at a time)",
            **fields,
        )
    if label in ("PKCS7", "CMS"):
        raise PemError(
            "The CA bundle has a PKCS#7 block, which container runtimes skip.",
            reason="pkcs7_input",
            next_step="Convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem",
            **fields,
        )
    hint = "Remove that block"
    if label.endswith("CERTIFICATE REQUEST"):
        hint = "This is a request, not a certificate: ask whoever signed it for the certificate of the CA"
    raise PemError(
        "The CA bundle contains something that is not a certificate.",
        reason="pem_foreign_block",
        next_step=hint,
        **fields,
    )


def _refuse_marker(number: int, line: bytes) -> NoReturn:
    message = f"Line {number} of the CA bundle looks like a BEGIN or END line but is not exactly one."
    step = "Write -----BEGIN CERTIFICATE----- and -----END CERTIFICATE----- with five dashes on both sides"
    if len(line.strip()) > 60:
        message = f"The CA bundle has lost its line breaks (line {number} holds a marker and more)."
        step = "In YAML write ca_pem with a vertical bar (ca_pem: |), not with > or quotes; or use ca_file"
    raise PemError(
        message,
        reason="pem_damaged_marker",
        expected="each BEGIN and END line alone on its line",
        next_step=step,
    )


def _decoded(lines: list[bytes], number: int, count: int) -> bytes:
    which = f"Certificate {number} of {count}"
    body = b"".join(b"".join(line.split()) for line in lines)
    if not body:
        raise PemError(
            f"{which} in the CA bundle is empty.",
            reason="pem_bad_base64",
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
            next_step="A character was lost or added on the way; copy the file again",
        ) from None
    try:
        check_one_sequence(der)
    except DerError as exc:
        raise PemError(
            f"{which} in the CA bundle is damaged: {exc}.",
            reason="pem_truncated" if "missing" in str(exc) else "not_a_certificate",
            next_step="A line was lost or added on the way; copy the file again",
        ) from None
    return der
