# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CAs and certificates that are born in a test run and die with it.

Used by the lab and by unit tests alike; needs cryptography. Keys are EC P-256, because they are made at once.
As a script, `pki.py DIR NAME...` writes a CA (ca.crt, ca.key) and a server certificate for the names
(tls.crt, tls.key) into DIR.
"""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Credential:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """As `openssl x509 -fingerprint -sha256` prints it, made independently of the collection's own code."""
        return "SHA256:" + self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def make_ca(
    name: str,
    *,
    issuer: Credential | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    is_ca: bool | None = True,
    may_sign: bool | None = True,
) -> Credential:
    """A CA: self-signed, or an intermediate of `issuer`.

    Parameters:
        is_ca: BasicConstraints; None leaves the extension out.
        may_sign: keyCertSign in the key usage; None leaves the extension out.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(name), issuer, key, not_before, not_after)
    if is_ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    if may_sign is not None:
        builder = builder.add_extension(_key_usage(may_sign), critical=True)
    return Credential(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def issue(
    issuer: Credential,
    *names: str,
    subject: str | None = None,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
    key_ids: bool = True,
) -> Credential:
    """A server certificate for DNS names and IP addresses; with usage CLIENT_AUTH one for a client.

    Parameters:
        key_ids: whether it says by which key it was signed; without that only the issuer's name does.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(subject or names[0]), issuer, key, not_before, not_after, key_ids)
    builder = builder.add_extension(
        x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return Credential(builder.sign(issuer.key, hashes.SHA256()), key)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Born in a test"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    subject: x509.Name,
    issuer: Credential | None,
    key: ec.EllipticCurvePrivateKey,
    not_before: datetime | None,
    not_after: datetime | None,
    key_ids: bool = True,
) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    issuer_key = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now - _DAY)
        .not_valid_after(not_after or now + 365 * _DAY)
    )
    if not key_ids:
        return builder
    return builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    ).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(may_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=may_sign,
        crl_sign=may_sign,
        encipher_only=False,
        decipher_only=False,
    )


def write(directory: Path, *names: str) -> None:
    """Write ca.crt, ca.key, tls.crt and tls.key: what a registry of these names needs."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca = make_ca("Lab CA")
    server = issue(ca, *names)
    for file, text in {
        "ca.crt": ca.pem,
        "ca.key": ca.key_pem,
        "tls.crt": server.pem,
        "tls.key": server.key_pem,
    }.items():
        path = directory / file
        path.touch(mode=0o600)
        path.write_text(text, encoding="ascii")


if __name__ == "__main__":
    write(Path(sys.argv[1]), *sys.argv[2:])
