# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a caller wants for each registry, checked once more on the node: a node trusts no caller.

**PRIVATE** to the collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._client_pair import pair_from
from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import Registry, parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import (
    describe,
    fingerprint,
    parse_pin,
    split,
)
from ansible_collections.nodetrust.harbor.plugins.module_utils._runtime import Desired


def desired_from(entries: list[dict[str, Any]]) -> list[Desired]:
    """The entries of the registries option, checked once more: a node trusts no caller.

    Raises:
        TrustError: a registry is malformed or given twice, or a bundle isn't what its pins say.
    """
    if not entries:
        raise TrustError(
            "no registry is given",
            reason="no_registries",
            found="an empty list",
            expected="at least one registry",
            next_step="set harbor_ca_registries (the registries option of the module)",
        )
    result: list[Desired] = []
    for entry in entries:
        item = _desired(entry)
        if any(item.registry == other.registry for other in result):
            raise TrustError(
                "this registry is given twice",
                reason="duplicate_registry",
                registry=item.registry.name,
                found="two entries",
                expected="one entry for each registry",
                next_step="merge the two entries; several CAs belong into one bundle",
            )
        result.append(item)
    return result


def without_trust(desired: list[Desired]) -> list[Desired]:
    """The same registries with no CA wanted: what state absent asks for."""
    return [Desired(item.registry, (), frozenset()) for item in desired]


def _desired(entry: dict[str, Any]) -> Desired:
    registry = parse_registry(entry["host"])
    if entry.get("fingerprints") == []:
        # A template that renders empty must not pass for "no CA is wanted".
        raise TrustError(
            "the list of pins is empty",
            reason="no_pins",
            registry=registry.name,
            found="fingerprints: []",
            expected="at least one SHA-256 fingerprint",
            next_step="give the fingerprints of the CAs, or leave the option out if the bundle itself is given",
        )
    ders, pins = _bundle(registry, entry.get("ca_pem"), entry.get("fingerprints"))
    more, extra = _bundle(registry, entry.get("extra_ca_pem"), entry.get("extra_ca_fingerprints"))
    image = entry.get("proof_image")
    client_pin = entry.get("client_fingerprint")
    return Desired(
        registry,
        tuple(dict.fromkeys(ders + more)),
        pins | extra,
        _proof_image(registry, image) if image else None,
        extra - pins,
        pair_from(entry.get("client_cert_pem"), entry.get("client_key_pem"), registry.name),
        _pin(registry, client_pin) if client_pin else None,
    )


def _proof_image(registry: Registry, image: str) -> str:
    from ansible_collections.nodetrust.harbor.plugins.module_utils._images import image_of_registry

    return image_of_registry(registry.name, image)


def _pin(registry: Registry, given: str) -> str:
    try:
        return parse_pin(given)
    except TrustError as exc:
        exc.registry = registry.name
        raise


def _bundle(
    registry: Registry, pem: str | None, given: list[str] | None
) -> tuple[list[bytes], frozenset[str]]:
    """The certificates of a bundle, and the pins: those given, or those of the bundle itself."""
    try:
        pins = frozenset(parse_pin(pin) for pin in given or [])
        ders = split(pem.encode("utf-8")) if pem else []
        facts_of = {der: describe(der) for der in ders}
    except TrustError as exc:
        exc.registry = registry.name
        raise
    if not pem:
        return [], pins
    for der, facts in facts_of.items():
        if not facts.is_ca:
            raise TrustError(
                f"the certificate of {facts.subject} is not a CA",
                reason="not_a_ca",
                registry=registry.name,
                found=fingerprint(der),
                expected="a certificate with CA:TRUE",
                next_step="give the CA that signed the registry's certificate, not the certificate itself",
            )
    found = frozenset(fingerprint(der) for der in ders)
    if pins and found != pins:
        raise TrustError(
            "the bundle isn't what the pins say",
            reason="pin_mismatch",
            registry=registry.name,
            found=sorted(found),
            expected=sorted(pins),
            next_step="compare both with the fingerprint that the registry's administrator gave you",
        )
    return ders, found
