# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles as people hand them over: what is accepted, and what is said about the rest."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs7, pkcs12
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.nodetrust.harbor.plugins.module_utils import _pem
from tests.lab import pki

CA = pki.make_ca("Harbor CA")
OTHER = pki.make_ca("Other CA")
LEAF = pki.issue(CA, "harbor.example.com")
ONE, TWO = CA.pem.encode(), OTHER.pem.encode()
BODY = "".join(CA.pem.splitlines()[1:-1])
DER_KEY = CA.key.private_bytes(
    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
OPENSSH_KEY = CA.key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
)
ENCRYPTED_KEY = CA.key.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"x"),
)
OLD_KEY = CA.key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
P12 = pkcs12.serialize_key_and_certificates(b"ca", CA.key, CA.certificate, None, serialization.NoEncryption())
REQUEST = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "r")]))
    .sign(CA.key, hashes.SHA256())
    .public_bytes(serialization.Encoding.PEM)
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(ONE, [CA], id="one"),
        pytest.param(ONE + TWO, [CA, OTHER], id="two"),
        pytest.param(ONE + TWO + ONE, [CA, OTHER], id="repeated"),
        pytest.param(ONE.strip() + b"\n" + TWO.strip(), [CA, OTHER], id="no-final-newline"),
        pytest.param(b"\xef\xbb\xbf" + ONE, [CA], id="bom"),
        pytest.param(b"\xef\xbb\xbf" + ONE + b"\xef\xbb\xbf" + TWO, [CA, OTHER], id="bom-inside"),
        pytest.param((ONE + TWO).replace(b"\n", b"\r\n"), [CA, OTHER], id="crlf"),
        pytest.param(ONE.replace(b"\n", b"\r"), [CA], id="cr"),
        pytest.param(
            b"Certificate:\n  Data: -- end --\n" + ONE + b"# the old one\n" + TWO + b"bye",
            [CA, OTHER],
            id="text",
        ),
        pytest.param(b"".join(b"    " + line + b" \n" for line in ONE.splitlines()), [CA], id="indented"),
        pytest.param(
            f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----".encode(), [CA], id="long-line"
        ),
        pytest.param(ONE.replace(b"\n", b"\n\n"), [CA], id="empty-lines"),
        pytest.param("Aussteller: Bäcker\n".encode("latin-1") + ONE, [CA], id="latin-1"),
    ],
)
def test_split_takes_what_is_only_badly_wrapped(data: bytes, expected: list[pki.Credential]) -> None:
    assert _pem.split(data) == [credential.der for credential in expected]


def test_blocks_keeps_repeated_certificates_for_their_position() -> None:
    assert _pem.blocks(ONE + TWO + ONE) == [CA.der, OTHER.der, CA.der]


BAD_BUNDLES = {
    "empty": (b"", "pem_empty", "empty"),
    "only-bom-and-space": (b"\xef\xbb\xbf \r\n", "pem_empty", "empty"),
    "junk": (b"junk\n", "pem_no_certificate", "no certificate", "BEGIN CERTIFICATE"),
    "binary-junk": (bytes(range(256)), "pem_no_certificate", "no certificate"),
    "web-page": (b"<!DOCTYPE html>\n<html>", "pem_no_certificate", "web page", "login page"),
    "json": (b'{"errors":[{"code":"UNAUTHORIZED"}]}', "pem_no_certificate", "JSON"),
    "file-name": (b"/etc/ssl/harbor-ca.crt\n", "pem_no_certificate", "name of a file", "ca_file"),
    "base64-only": (BODY.encode(), "pem_no_certificate", "Add the lines"),
    "der": (CA.der, "der_input", "openssl x509 -inform der -in FILE -out FILE.pem"),
    "pkcs12": (P12, "pkcs12_input", "PKCS#12", "-nokeys"),
    "pkcs7-der": (
        pkcs7.serialize_certificates([CA.certificate], serialization.Encoding.DER),
        "pkcs7_input",
        "openssl pkcs7 -inform der -print_certs",
    ),
    "pkcs7-pem": (
        pkcs7.serialize_certificates([CA.certificate], serialization.Encoding.PEM),
        "pkcs7_input",
        "openssl pkcs7 -print_certs",
    ),
    "utf-16": (CA.pem.encode("utf-16"), "utf16_input", "iconv"),
    "utf-16-without-bom": (CA.pem.encode("utf-16-le"), "utf16_input", "iconv"),
    "java": (b"\xfe\xed\xfe\xed\0\0\0\2", "keystore_input", "keytool"),
    "trusted": (
        ONE.replace(b"CERT", b"TRUSTED CERT"),
        "trusted_certificate",
        "only OpenSSL reads",
        "openssl x509",
    ),
    "request": (REQUEST, "pem_foreign_block", "a request, not a certificate"),
    "crl-beside": (
        ONE + b"-----BEGIN X509 CRL-----\nMII=\n-----END X509 CRL-----\n",
        "pem_foreign_block",
        "X509 CRL",
        "Remove that block",
    ),
    "truncated-second": (ONE + TWO[:300], "pem_truncated", "truncated", "no END", "end of the text"),
    "truncated-first": (ONE[:300] + b"\n" + TWO, "pem_truncated", "line 1 has no END", "another BEGIN"),
    "beginning-lost": (ONE[40:], "pem_truncated", "has no BEGIN"),
    "line-lost": (
        ONE + b"".join(TWO.splitlines(True)[:3] + TWO.splitlines(True)[4:]),
        "pem_truncated",
        "Certificate 2 of 2",
        "48 bytes are missing",
    ),
    "character-added": (ONE.replace(b"\nM", b"\n*M"), "pem_bad_base64", "Certificate 1 of 1", "base64"),
    "character-lost": (ONE.replace(b"\nMI", b"\nM"), "pem_bad_base64", "base64"),
    "padding-inside": (ONE.replace(b"\nMI", b"\n=MI"), "pem_bad_base64", "base64"),
    "header-in-block": (ONE.replace(b"-----\n", b"-----\nProc-Type: 4\n\n", 1), "pem_bad_base64", "base64"),
    "nothing-inside": (
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "pem_bad_base64",
        "nothing between",
    ),
    "two-in-one-block": (
        _pem.to_pem([CA.der + OTHER.der]).encode(),
        "not_a_certificate",
        f"{len(OTHER.der)} bytes follow after its end",
    ),
    "text-as-base64": (_pem.to_pem([b"hello, this is text"]).encode(), "", "Certificate 1 of 1", "damaged"),
    "folded": (ONE.replace(b"\n", b" "), "pem_damaged_marker", "line breaks", "ca_pem: |"),
    "escaped": (ONE.replace(b"\n", b"\\n"), "pem_damaged_marker", "line breaks", "ca_pem: |"),
    "four-dashes": (ONE + TWO.replace(b"-----B", b"----B"), "pem_damaged_marker", "five dashes", "Line 1"),
    "typographic": (ONE.replace(b"-----", "\u2014\u2014-".encode()), "pem_damaged_marker", "Line 1 "),
    "lower-case": (ONE + TWO.lower(), "pem_damaged_marker", "not exactly one"),
    "commented-out": (ONE + b"# " + TWO, "pem_damaged_marker", "not exactly one"),
    "too-large": (ONE + b"x" * _pem.MAX_PEM_BYTES, "pem_too_large", "too large", "1048576"),
}


@pytest.mark.parametrize(
    ("data", "reason", "words"), [(v[0], v[1], v[2:]) for v in BAD_BUNDLES.values()], ids=BAD_BUNDLES
)
def test_split_refuses_in_words_that_help(data: bytes, reason: str, words: Sequence[str]) -> None:
    with pytest.raises(_pem.PemError) as caught:
        _pem.split(data)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "Next step: " in message
    assert caught.value.reason == reason or not reason
    assert BODY[40:60] not in message


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(CA.key_pem.encode(), id="pkcs8"),
        pytest.param(OLD_KEY, id="ec"),
        pytest.param(ENCRYPTED_KEY, id="encrypted"),
        pytest.param(OPENSSH_KEY, id="openssh"),
        pytest.param(DER_KEY, id="der"),
        pytest.param(b"PuTTY-User-Key-File-3: x\nPrivate-Lines: 1\nGEHEIM", id="putty"),
        pytest.param(CA.key_pem.encode()[:90], id="truncated"),
        pytest.param(CA.key_pem.replace("-----BEGIN", "----begin").encode(), id="damaged"),
    ],
)
def test_a_private_key_is_refused_and_never_shown(key: Any) -> None:
    inputs = [key] if b"KEY" not in key.upper() else [key, ONE + key, key + ONE, b"\xef\xbb\xbf" + key + TWO]
    for data in inputs:
        with pytest.raises(_pem.PemError) as caught:
            _pem.split(data)
        message = str(caught.value) + repr(caught.value.facts())
        assert caught.value.reason == "private_key"
        assert "private key" in message
        assert "GEHEIM" not in message
        for line in key.decode("latin-1").splitlines():
            assert len(line) < 20 or line not in message
        assert caught.value.__cause__ is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([CA, OTHER, LEAF, pki.make_ca('x, "y" + z ')]), min_size=1, unique=True))
def test_splitting_what_was_written_gives_the_same(credentials: list[pki.Credential]) -> None:
    ders = [credential.der for credential in credentials]
    text = _pem.to_pem(ders)
    assert _pem.split(text.encode()) == ders
    # The text is the very one that cryptography (and openssl) writes, and the names are theirs too.
    assert text == "".join(credential.pem for credential in credentials)
    for credential in credentials:
        facts = _pem.describe(credential.der)
        certificate = credential.certificate
        assert facts.fingerprint == _pem.fingerprint(credential.der) == credential.fingerprint
        assert facts.subject == certificate.subject.rfc4514_string()
        assert facts.issuer == certificate.issuer.rfc4514_string()
        assert facts.not_before == f"{certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
        assert facts.not_after == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        assert facts.is_ca == (credential is not LEAF)


@given(st.binary(min_size=1, max_size=300))
def test_to_pem_is_canonical_base64(data: bytes) -> None:
    lines = _pem.to_pem([data]).splitlines()
    assert base64.b64decode("".join(lines[1:-1])) == data
    assert max(map(len, lines)) <= 64
    assert _pem.to_pem([data]).endswith("-----END CERTIFICATE-----\n")


@given(st.binary(max_size=400), st.sampled_from(["", "inside", "after"]))
def test_split_answers_or_raises_its_own_exception(data: bytes, place: str) -> None:
    candidate = {"": data, "inside": ONE[:200] + data + ONE[200:], "after": ONE + data}[place]
    try:
        assert _pem.split(candidate)
    except _pem.PemError as exc:
        assert exc.next_step


@settings(max_examples=200)
@given(st.integers(min_value=0, max_value=len(CA.der) - 1), st.integers(min_value=1, max_value=255))
def test_describe_survives_any_damaged_byte(position: int, difference: int) -> None:
    damaged = bytearray(CA.der)
    damaged[position] ^= difference
    try:
        facts = _pem.describe(bytes(damaged))
    except _pem.PemError as exc:
        assert exc.reason == "not_a_certificate"
    else:
        assert facts.subject.isprintable()
        assert facts.issuer.isprintable()


@pytest.mark.parametrize(
    "data", [b"", b"0", b"\x30\x80\0\0", CA.der[:-1], CA.der + b"\0", b"\x30\x03\x02\x01\x01", DER_KEY]
)
def test_describe_refuses_what_is_no_certificate(data: bytes) -> None:
    with pytest.raises(_pem.PemError, match=r"not an X\.509 certificate"):
        _pem.describe(data)


@pytest.mark.parametrize(
    ("begin", "end"),
    [((1999, 12, 31), (9999, 12, 31)), ((1950, 1, 2), (2049, 12, 31)), ((1960, 6, 1), (2050, 1, 1))],
)
def test_describe_tells_dates_on_both_sides_of_2050(
    begin: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    first, last = datetime(*begin, 23, 59, 58, tzinfo=timezone.utc), datetime(*end, tzinfo=timezone.utc)
    facts = _pem.describe(pki.make_ca("far", not_before=first, not_after=last).der)
    assert (facts.not_before, facts.not_after) == (
        f"{first:%Y-%m-%dT%H:%M:%SZ}",
        f"{last:%Y-%m-%dT%H:%M:%SZ}",
    )


def test_a_name_cannot_steer_the_terminal() -> None:
    facts = _pem.describe(pki.make_ca("good\x1b[2J\n\u202ebad").der)
    assert "\\1B" in facts.subject
    assert facts.subject.isprintable()


PIN = CA.fingerprint
HEX = PIN.removeprefix("SHA256:").replace(":", "")


@pytest.mark.parametrize(
    "text",
    [
        PIN,
        PIN.lower(),
        PIN.removeprefix("SHA256:"),
        HEX,
        HEX.lower(),
        f"SHA256:{HEX}",
        f"sha256={HEX.lower()}",
        f"sha256 Fingerprint={PIN.removeprefix('SHA256:')}",
        f"SHA256 Fingerprint={PIN.removeprefix('SHA256:')}\n",
        f"SHA-256: {PIN.removeprefix('SHA256:')}",
        f"Fingerprint: {HEX}",
        PIN.removeprefix("SHA256:").replace(":", " "),
        f"  {PIN}  ",
    ],
)
def test_a_pin_may_be_written_in_many_ways(text: Any) -> None:
    assert _pem.parse_pin(text) == PIN


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("  ", ["empty"]),
        (None, ["not a text", "nothing"]),
        (int(HEX[:10], 16), ["not a text", "a number"]),
        (HEX[:-1], ["63 hex digits instead of 64"]),
        (HEX + "00", ["66 hex digits"]),
        (HEX[:40], ["40 hex digits", "SHA-1"]),
        (HEX[:32], ["MD5"]),
        (HEX + HEX, ["SHA-512"]),
        (f"sha1:{HEX[:40]}", ["sha1, not SHA-256"]),
        ("SHA256:\u2026", ["not a hex digit"]),
        ("SHA256:", ["not a hex digit"]),
        ("g" * 64, ["not a hex digit"]),
        (PIN.replace(":", "-"), ["not a hex digit"]),
        (f"{HEX[:3]}:{HEX[3:]}", ["separators"]),
        ("SHA256:" + base64.b64encode(bytes.fromhex(HEX)).decode(), ["base64"]),
        (CA.pem, ["whole PEM block"]),
    ],
)
def test_a_malformed_pin_is_refused_in_words_that_help(text: Any, words: Sequence[str]) -> None:
    with pytest.raises(_pem.PemError) as caught:
        _pem.parse_pin(text)
    assert caught.value.reason == "invalid_pin"
    assert [
        word for word in [*words, "openssl x509 -noout -fingerprint -sha256"] if word not in str(caught.value)
    ] == []
