# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide whether certificates are CAs that may be installed now, and exactly the pinned ones.

**PRIVATE** to the collection. Controller only: uses cryptography. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    CertificateFacts,
    PemError,
    describe,
    fingerprint,
)

try:
    from cryptography import x509
except ImportError:
    HAS_CRYPTOGRAPHY = False
else:
    HAS_CRYPTOGRAPHY = True


def moment(text: str) -> datetime:
    """A date of `CertificateFacts` as a point in time."""
    # Not by strptime, which each worker of Ansible would load anew, for each node.
    return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=timezone.utc)


def check_certificates(
    ders: Sequence[bytes], source: str, path: str | None, now: datetime
) -> tuple[list[CertificateFacts], list[TrustError]]:
    """What each certificate of a bundle is, each once, and what is wrong with it."""
    found: dict[bytes, CertificateFacts] = {}
    faults: list[TrustError] = []
    for number, der in enumerate(ders, 1):
        if der in found:
            continue
        which = f"Certificate {number} of {len(ders)} in {source}"
        try:
            facts = describe(der)
            extensions = x509.load_der_x509_certificate(der).extensions
        except (PemError, ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
            faults.append(
                PemError(
                    f"{which} is damaged: it is not an X.509 certificate.",
                    reason="not_a_certificate",
                    path=path,
                    found=f"{len(der)} bytes with the fingerprint {fingerprint(der)}",
                    expected="an X.509 certificate",
                    next_step="Copy the CA certificate again from where it was made",
                )
            )
            continue
        found[der] = facts
        faults.extend(_faults(f"{which} ({facts.subject})", facts, extensions, now, path))
    return list(found.values()), faults


def compare_pins(
    certificates: Sequence[CertificateFacts], pins: set[str], source: str, path: str | None
) -> Iterator[TrustError]:
    """The set of the bundle must be the set of the pins: one CA too many is as bad as one too few."""
    found = {certificate.fingerprint: certificate for certificate in certificates}
    for extra, facts in found.items():
        if extra not in pins:
            yield PemError(
                f"{source} holds a CA that is not pinned: {facts.subject}.",
                reason="pin_extra",
                path=path,
                found=extra,
                expected=sorted(pins),
                next_step="Ask who runs the CA for its fingerprint, over another way than the file came. If it is "
                "this one, correct the pin; if not, do not use this file",
            )
    for missing in sorted(pins - set(found)):
        yield PemError(
            f"{source} holds no CA with a pinned fingerprint.",
            reason="pin_missing",
            path=path,
            found=sorted(found),
            expected=missing,
            next_step="Add that CA to the bundle, or remove its pin if it is no longer in use",
        )


def _faults(
    what: str, facts: CertificateFacts, extensions: x509.Extensions, now: datetime, path: str | None
) -> list[TrustError]:
    """Why a certificate cannot serve as a CA at this moment."""
    faults: list[TrustError] = []
    not_a_ca = _not_a_ca(extensions)
    if not_a_ca:
        step = f"Use the certificate of the CA that signed it: {facts.issuer}"
        if facts.issuer == facts.subject:
            step = "Make a CA (CA:TRUE), sign the registry's certificate with it, and use the CA's certificate here"
        faults.append(
            PemError(
                f"{what} is not a CA.",
                reason="not_a_ca",
                path=path,
                found=not_a_ca,
                expected="BasicConstraints CA:TRUE and, if there is a key usage, keyCertSign",
                next_step=step,
            )
        )
    today = f"{now:%Y-%m-%dT%H:%M:%SZ} (the controller's clock)"
    if moment(facts.not_after) < now:
        faults.append(
            PemError(
                f"{what} has expired.",
                reason="expired",
                path=path,
                found=f"valid until {facts.not_after}; now it is {today}",
                expected="a CA that is still valid",
                next_step="Get the CA's new certificate. If the date of now is wrong, set the controller's clock",
            )
        )
    if moment(facts.not_before) > now:
        faults.append(
            PemError(
                f"{what} is not valid yet.",
                reason="not_yet_valid",
                path=path,
                found=f"valid from {facts.not_before}; now it is {today}",
                expected="a CA that is valid already",
                next_step="Wait for that moment. If the date of now is wrong, set the controller's clock",
            )
        )
    return faults


def _not_a_ca(extensions: x509.Extensions) -> str | None:
    try:
        if not extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "its BasicConstraints say CA:FALSE"
    except x509.ExtensionNotFound:
        return "it has no BasicConstraints"
    try:
        if not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            return "its key usage does not allow signing certificates"
    except x509.ExtensionNotFound:
        pass
    return None
