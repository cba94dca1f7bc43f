# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a bundle of certificates or with a pin, in words that help.

**PRIVATE** to the collection. Standard library only: runs on nodes and on the controller. Nothing of a key is ever
shown.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._names import kind_of
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    HOW_TO_FINGERPRINT,
    PemError,
    without_prefix,
)

_OTHER_HASHES = {32: "MD5", 40: "SHA-1", 96: "SHA-384", 128: "SHA-512"}


def _clipped(text: str) -> str:
    return ascii(text if len(text) <= 120 else text[:120] + "...")


def invalid_pin(text: Any) -> PemError:
    """Why a text is no pin."""
    if not isinstance(text, str) or not text.strip():
        found = "an empty text" if isinstance(text, str) else kind_of(text)
        return _not_a_pin("The fingerprint is empty or not a text.", found)
    if "-----" in text:
        return _not_a_pin("The fingerprint is a whole PEM block.", "a PEM block")
    other_hash = re.match(r"(md5|sha-?(?:1|384|512))\b", text.strip(), re.IGNORECASE | re.ASCII)
    if other_hash:
        return _not_a_pin(f"The fingerprint is {other_hash.group(1)}, not SHA-256.", _clipped(text))
    digits = without_prefix(text)
    pure = re.sub(r"[:\s]", "", digits)
    if re.fullmatch(r"[0-9a-fA-F]{64}", pure, re.ASCII):
        return _not_a_pin("The separators of the fingerprint are not between its bytes.", _clipped(text))
    if re.fullmatch(r"[0-9a-fA-F]+", pure, re.ASCII):
        other = _OTHER_HASHES.get(len(pure))
        length = f"The fingerprint has {len(pure)} hex digits instead of 64"
        return _not_a_pin(
            f"{length}, as {other} fingerprints have." if other else f"{length}.", _clipped(text)
        )
    if re.fullmatch(r"[A-Za-z0-9+/_-]{43}=?", digits, re.ASCII):
        return _not_a_pin("The fingerprint is written in base64, as SSH does.", _clipped(text))
    return _not_a_pin("The fingerprint contains something that is not a hex digit.", _clipped(text))


def _not_a_pin(message: str, found: str) -> PemError:
    return PemError(
        message,
        reason="invalid_pin",
        found=found,
        expected="SHA256: and 64 hex digits, with or without colons",
        next_step=f"Take it from {HOW_TO_FINGERPRINT}, on the machine where the CA was made",
    )


def private_key() -> PemError:
    return PemError(
        "There is a private key beside or instead of the CA certificate. It was not read further and is "
        "not shown.",
        reason="private_key",
        found="a private key",
        expected="only CERTIFICATE blocks",
        next_step="Put the certificate alone into a file of its own: openssl x509 -in FILE -out ca.pem. "
        "If others could read the key, replace the CA",
    )


def refuse_binary(data: bytes) -> None:
    """Tell the formats apart that people hand over instead of PEM. Text never begins like these."""
    convert: dict[str, Any] = {"expected": "PEM text with -----BEGIN CERTIFICATE-----"}
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (data[:40].count(0) > 10 and b"\0B\0E\0G\0I\0N" in data):
        raise PemError(
            "The CA bundle is UTF-16 text, as some Windows programs save it.",
            reason="utf16_input",
            found="UTF-16",
            next_step="Convert it: iconv -f UTF-16 -t ASCII FILE > FILE.pem",
            **convert,
        )
    if data[:4] in (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce"):
        raise PemError(
            "The file is a Java key store.",
            reason="keystore_input",
            found="a key store",
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
            found="PKCS#7 in DER form",
            next_step="Convert it: openssl pkcs7 -inform der -print_certs -in FILE -out FILE.pem",
            **convert,
        )
    if inner == b"\x02\x01\x03":
        raise PemError(
            "The file is PKCS#12 (often .p12 or .pfx), which usually holds a private key too.",
            reason="pkcs12_input",
            found="PKCS#12",
            next_step="Take only the CA out of it: openssl pkcs12 -in FILE -cacerts -nokeys -out ca.pem",
            **convert,
        )
    if inner[:1] == b"\x02":
        raise private_key()
    raise PemError(
        "The CA certificate is in DER form (binary), not in PEM form (text).",
        reason="der_input",
        found="an X.509 certificate in DER form",
        next_step="Convert it: openssl x509 -inform der -in FILE -out FILE.pem",
        **convert,
    )


def no_certificate(data: bytes) -> PemError:
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
    return PemError(
        f"There is no certificate in the CA bundle.{what}",
        reason="pem_no_certificate",
        found=f"{len(data)} bytes without such a block",
        expected="at least one block that begins with -----BEGIN CERTIFICATE-----",
        next_step=step,
    )


def truncated(begin: int, what: str) -> PemError:
    return PemError(
        f"The CA bundle is truncated: the certificate that begins on line {begin} has no END.",
        reason="pem_truncated",
        found=what,
        expected="-----END CERTIFICATE-----",
        next_step="Copy the whole file again. Runtimes would drop the broken certificate without a word",
    )


def label(line: int, label: str) -> PemError:
    fields: dict[str, Any] = {
        "expected": "only CERTIFICATE blocks",
        "found": f"BEGIN or END {label[:40]} on line {line}",
    }
    if label in ("TRUSTED CERTIFICATE", "X509 CERTIFICATE"):
        return PemError(
            f"The CA bundle has a {label} block, which only OpenSSL reads; container runtimes skip it.",
            reason="trusted_certificate",
            next_step="Convert it: openssl x509 -in FILE -out FILE.pem (one certificate at a time)",
            **fields,
        )
    if label in ("PKCS7", "CMS"):
        return PemError(
            "The CA bundle has a PKCS#7 block, which container runtimes skip.",
            reason="pkcs7_input",
            next_step="Convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem",
            **fields,
        )
    hint = "Remove that block"
    if label.endswith("CERTIFICATE REQUEST"):
        hint = "This is a request, not a certificate: ask whoever signed it for the certificate of the CA"
    return PemError(
        "The CA bundle contains something that is not a certificate.",
        reason="pem_foreign_block",
        next_step=hint,
        **fields,
    )


def marker(number: int, line: bytes) -> PemError:
    message = f"Line {number} of the CA bundle looks like a BEGIN or END line but is not exactly one."
    step = "Write -----BEGIN CERTIFICATE----- and -----END CERTIFICATE----- with five dashes on both sides"
    if len(line.strip()) > 60:
        message = f"The CA bundle has lost its line breaks (line {number} holds a marker and more)."
        step = "In YAML write ca_pem with a vertical bar (ca_pem: |), not with > or quotes; or use ca_file"
    return PemError(
        message,
        reason="pem_damaged_marker",
        found=f"line {number}",
        expected="each BEGIN and END line alone on its line",
        next_step=step,
    )
