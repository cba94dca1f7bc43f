# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make certificates for the lab and the tests: right ones, and every wrong one a registry can have.

As a script, ``pki.py DIR NAME...`` writes a CA (ca.crt, ca.key) and a server certificate for the
names (tls.crt, tls.key) into DIR, unless they are there.
"""

from __future__ import annotations

import datetime
import ipaddress
import sys
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key, and the identity that signed it (None: itself)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    issuer: Identity | None = None

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def chain_pem(self) -> str:
        """What a server sends: its certificate and the intermediates, without the root."""
        upper = self.issuer.chain_pem if self.issuer and self.issuer.issuer else ""
        return self.pem + upper

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    @property
    def fingerprint(self) -> str:
        """The pin: SHA256: and the digest of the DER form in upper-case hex with colons."""
        return "SHA256:" + self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def make_ca(
    subject: str = "Lab CA",
    *,
    issuer: Identity | None = None,
    days: int = 30,
    starts_in: int = -1,
    is_ca: bool = True,
) -> Identity:
    """A CA of its own (or below ``issuer``) with a new key, valid ``days`` from ``starts_in`` days on.

    Expired: ``starts_in=-30, days=29``. Not yet valid: ``starts_in=1``. Re-issued: the same subject
    again. ``is_ca=False`` says CA:FALSE, as a certificate has that can't sign others.
    """
    usage = _key_usage(key_cert_sign=is_ca, crl_sign=is_ca, digital_signature=not is_ca)
    return _sign(
        subject,
        issuer,
        days,
        starts_in,
        [(x509.BasicConstraints(ca=is_ca, path_length=None), True), (usage, True)],
    )


def issue(
    ca: Identity,
    names: list[str],
    *,
    days: int = 30,
    starts_in: int = -1,
    with_san: bool = True,
) -> Identity:
    """A server certificate for the DNS names and IP addresses; the first is also its common name."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(digital_signature=True), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]
    if with_san:
        extensions.append((x509.SubjectAlternativeName([_general_name(name) for name in names]), False))
    return _sign(names[0], ca, days, starts_in, extensions)


def _sign(
    subject: str,
    issuer: Identity | None,
    days: int,
    starts_in: int,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    start = datetime.datetime.now(datetime.timezone.utc) + starts_in * DAY
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + days * DAY)
    )
    signer = issuer.key if issuer else key
    identifiers: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ]
    for extension, critical in extensions + identifiers:
        builder = builder.add_extension(extension, critical)
    return Identity(builder.sign(signer, hashes.SHA256()), key, issuer)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def write(directory: Path, names: list[str]) -> None:
    """Write ca.crt, ca.key, tls.crt and tls.key for these names."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca = make_ca()
    server = issue(ca, names)
    for file, text in {
        "ca.crt": ca.pem,
        "ca.key": ca.key_pem,
        "tls.crt": server.chain_pem,
        "tls.key": server.key_pem,
    }.items():
        path = directory / file
        path.touch(mode=0o600)
        path.write_text(text)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if not (target / "tls.key").exists():
        write(target, sys.argv[2:])
