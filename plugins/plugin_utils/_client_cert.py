# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check the client certificate for a registry that asks for one: valid now, meant for clients, and its key fits.

**PRIVATE** to the collection. Controller only: uses cryptography. No message and no result ever holds the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    CertificateFacts,
    PemError,
    blocks,
    describe,
    to_pem,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._ca_check import moment

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
except ImportError:
    pass  # check_registries tells it before anything here is called


@dataclass(frozen=True)
class Client:
    """A client certificate that is fit to be installed; the key stays where it is. chain has the leaf first."""

    cert_pem: str
    leaf: CertificateFacts
    key_file: str | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "client_cert_pem": self.cert_pem,
            "client_key_file": self.key_file,
            "client_certificate": self.leaf._asdict(),
        }


NO_CLIENT: dict[str, Any] = {"client_cert_pem": None, "client_key_file": None, "client_certificate": None}


def check_client(
    cert: bytes, cert_source: str, key: bytes, key_file: str | None, now: datetime
) -> tuple[Client | None, list[TrustError]]:
    """The checked pair, and what is wrong with it.

    Parameters:
        cert: PEM text of the client's certificate, and of those that lead to its CA if there are any.
        cert_source: the file, or the name of the option, that the text came from.
        key: PEM text of the private key, decrypted if it lay in a vault.
        key_file: the file that it came from, or None for the option itself.
    """
    try:
        ders = list(dict.fromkeys(blocks(cert)))
        leaf = describe(ders[0])
        certificate = x509.load_der_x509_certificate(ders[0])
        usage = _usage(certificate)
    except PemError as error:
        message = error.message.replace("the CA bundle", "the client certificate").replace("CA ", "client ")
        return None, [
            _fault(
                f"{cert_source}: {message}",
                "client_cert_invalid",
                error.found or "no such text",
                "a PEM certificate",
                error.next_step,
            )
        ]
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return None, [
            _fault(
                f"{cert_source} holds a damaged certificate",
                "client_cert_invalid",
                f"{len(ders[0])} bytes that are no X.509 certificate",
                "a PEM certificate",
            )
        ]
    faults = [*_date_faults(leaf, cert_source, now)]
    if usage is not None:
        faults.append(
            _fault(
                f"{cert_source}: {usage}",
                "client_cert_usage",
                "other extended key usages",
                "extended key usage clientAuth",
            )
        )
    faults += _key_faults(certificate, cert_source, key, key_file or "client_key_pem")
    return Client(to_pem(ders), leaf, key_file), faults


def _date_faults(leaf: CertificateFacts, source: str, now: datetime) -> list[TrustError]:
    today = f"{now:%Y-%m-%dT%H:%M:%SZ} (the controller's clock)"
    if moment(leaf.not_after) < now:
        found = f"valid until {leaf.not_after}; now it is {today}"
        return [
            _fault(
                f"{source}: the client certificate has expired",
                "client_cert_expired",
                found,
                "one valid now",
            )
        ]
    if moment(leaf.not_before) > now:
        found = f"valid from {leaf.not_before}; now it is {today}"
        return [
            _fault(
                f"{source}: the client certificate is not valid yet",
                "client_cert_expired",
                found,
                "one valid now",
            )
        ]
    return []


def _usage(certificate: x509.Certificate) -> str | None:
    """Why a server would not take it from a client."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    wanted = {x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH, x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    return None if wanted & set(extension) else "the certificate is not meant for clients"


def _key_faults(certificate: x509.Certificate, cert_source: str, key: bytes, source: str) -> list[TrustError]:
    if b"-----BEGIN" not in key or b"PRIVATE KEY-----" not in key:
        return [
            _fault(
                f"{source} holds no private key in PEM form",
                "client_key_invalid",
                "another text, which is not shown",
                "-----BEGIN PRIVATE KEY-----",
            )
        ]
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError:
        return [
            _fault(
                f"{source} holds a key that is encrypted, and a runtime can't ask for its password",
                "client_key_encrypted",
                "an encrypted key",
                "a key without a password; on the controller it may lie in an Ansible vault",
                "openssl pkey -in KEY -out PLAIN takes the password away; ansible-vault encrypt PLAIN protects it here",
            )
        ]
    except ValueError:
        return [
            _fault(
                f"{source} holds a private key that can't be read",
                "client_key_invalid",
                "a damaged key, or one of another kind; it is not shown",
                "PKCS#8, PKCS#1 or SEC1",
            )
        ]
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        return [
            _fault(
                f"the key in {source} is not the key of the certificate in {cert_source}",
                "client_key_mismatch",
                "the key of another certificate",
                "the key that the certificate was made for; the client's own certificate comes first in its file",
            )
        ]
    return []


def _fault(message: str, reason: str, found: str, expected: str, next_step: str | None = None) -> TrustError:
    step = "Get a certificate and its key from whoever runs the registry's client CA, then run again"
    return TrustError(
        f"{message}.", reason=reason, found=found, expected=expected, next_step=next_step or step
    )
