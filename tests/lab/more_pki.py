# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""more_pki.py DIR: beside what pki.py wrote there, the certificates of registries that need more than one CA.

A CA for clients and one client, a server certificate for the registry's address, and two CAs of other hosts.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.lab import pki

ADDRESS = "10.89.77.10"
OTHER_HOST = "token.lab.internal"


def read(directory: Path, name: str) -> pki.Credential:
    """A credential that pki.py wrote."""
    key = serialization.load_pem_private_key((directory / f"{name}.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return pki.Credential(x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes()), key)


def main(directory: Path) -> None:
    clients, tokens, blobs = (pki.make_ca(f"Lab CA for {what}") for what in ("clients", "tokens", "blobs"))
    made = {
        "client": pki.issue(clients, "node", usage=ExtendedKeyUsageOID.CLIENT_AUTH),
        "ip": pki.issue(read(directory, "ca"), ADDRESS),
        "token": pki.issue(tokens, OTHER_HOST),
        "blob": pki.issue(blobs, OTHER_HOST),
    }
    files = {"client-ca.crt": clients.pem, "token-ca.crt": tokens.pem, "blob-ca.crt": blobs.pem}
    for name, credential in made.items():
        files |= {f"{name}.crt": credential.pem, f"{name}.key": credential.key_pem}
    for file, text in files.items():
        (directory / file).touch(mode=0o600)
        (directory / file).write_text(text, encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
