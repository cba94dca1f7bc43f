# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes out of the controller's check: a registry with all that a node needs to pull from it.

**PRIVATE** to the collection. Controller only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import CertificateFacts
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._ca_check import moment
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._client_cert import NO_CLIENT, Client

EXPIRY_WARNING = timedelta(days=30)


@dataclass(frozen=True)
class Bundle:
    """A CA bundle that is fit to be installed, in its one form, and where it came from."""

    pem: str
    certificates: tuple[CertificateFacts, ...]
    source: str

    @property
    def fingerprints(self) -> list[str]:
        return [certificate.fingerprint for certificate in self.certificates]


@dataclass(frozen=True)
class CheckedRegistry:
    """A registry with all that a node needs to pull from it; extra is for its token and blob hosts."""

    host: str
    bundle: Bundle
    proof_image: str | None
    extra: Bundle | None = None
    client: Client | None = None

    @property
    def ca_pem(self) -> str:
        """All CAs that pulls from this registry are verified with."""
        return self.bundle.pem + (self.extra.pem if self.extra else "")

    @property
    def certificates(self) -> tuple[CertificateFacts, ...]:
        return self.bundle.certificates

    def expired(self, now: datetime) -> bool:
        """Whether nothing can be pulled any more, because no CA is left that still holds."""
        bundles = [bundle for bundle in (self.bundle, self.extra) if bundle is not None]
        return any(
            all(moment(certificate.not_after) < now for certificate in bundle.certificates)
            for bundle in bundles
        )

    def expiry_warnings(self, now: datetime, ending: Collection[str] = ()) -> list[str]:
        """One sentence for each CA that ends soon and is not being replaced; nodes stop pulling at that moment."""
        return [
            f"{self.host}: the CA {certificate.subject} in {bundle.source} {_end_of(certificate, now)}"
            for bundle in (self.bundle, self.extra)
            if bundle is not None
            for certificate in bundle.certificates
            if moment(certificate.not_after) - now < EXPIRY_WARNING and certificate.fingerprint not in ending
        ] + [
            f"{self.host}: the client certificate {leaf.subject} expires on {leaf.not_after}. "
            f"Next step: get its successor before that day."
            for leaf in ([self.client.leaf] if self.client else [])
            if moment(leaf.not_after) - now < EXPIRY_WARNING
        ]

    def to_dict(self) -> dict[str, Any]:
        return {
            "host": self.host,
            "ca_pem": self.bundle.pem,
            "fingerprints": self.bundle.fingerprints,
            "certificates": [certificate._asdict() for certificate in self.certificates],
            "proof_image": self.proof_image,
            "source": self.bundle.source,
            "extra_ca_pem": self.extra.pem if self.extra else None,
            "extra_ca_fingerprints": self.extra.fingerprints if self.extra else [],
            "extra_certificates": [
                certificate._asdict() for certificate in (self.extra.certificates if self.extra else ())
            ],
            **(self.client.to_dict() if self.client else NO_CLIENT),
        }


def _end_of(certificate: CertificateFacts, now: datetime) -> str:
    if moment(certificate.not_after) < now:
        return (
            f"expired on {certificate.not_after}. Next step: get its successor and run nodetrust.harbor.rotate_ca; if "
            "that is in the bundle already, take this one out."
        )
    return (
        f"expires on {certificate.not_after}. Next step: get its successor and put both into the bundle before "
        "that day."
    )
