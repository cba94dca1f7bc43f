# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller knows of a registry, put together from several lists or shards, and what a rotation takes away.

**PRIVATE** to the collection. Pure. A registry is an entry of `registries` in the fleet document.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_node import UNKNOWN


def ending_of(item: Mapping[str, Any]) -> list[str]:
    """The fingerprints that a rotation takes away; documents of earlier releases don't have the field."""
    ending: list[str] = item.get("ending_fingerprints") or []
    return ending


def join(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of two for the same registry: the CAs of both, and the worse of what it was seen to serve."""
    # What one list rotates away and another one keeps, stays.
    staying = {
        pin for item in (one, other) for pin in set(item["expected_fingerprints"]) - set(ending_of(item))
    }
    certificates = {
        certificate["fingerprint"]: certificate
        for certificate in (*one["certificates"], *other["certificates"])
    }
    return {
        "registry": one["registry"],
        "expected_fingerprints": sorted({*one["expected_fingerprints"], *other["expected_fingerprints"]}),
        "ending_fingerprints": sorted({*ending_of(one), *ending_of(other)} - staying),
        "certificates": list(certificates.values()),
        "served": _worse(one["served"], other["served"]),
    }


def _worse(*served: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What is not trusted comes first, then what ends first. Who could not look has nothing to say."""
    seen = [item for item in served if item]
    return min(
        seen,
        key=lambda item: (item["trusted"] is not False, item["trusted"] is None, item["not_after"] or ""),
        default=None,
    )


def drop_what_is_gone(registries: Iterable[dict[str, Any]], nodes: Iterable[Mapping[str, Any]]) -> None:
    """At the end of a rotation the list still names the old CA, but no node has it any more."""
    entries = [entry for node in nodes for entry in node["registries"]]
    for item in registries:
        here = [entry for entry in entries if entry["registry"] == item["registry"]]
        if not here or any(entry["state"] == UNKNOWN for entry in here):
            continue
        gone = set(ending_of(item)) - {pin for entry in here for pin in entry["found_fingerprints"]}
        for key in ("expected_fingerprints", "ending_fingerprints"):
            item[key] = [pin for pin in item[key] if pin not in gone]
        item["certificates"] = [one for one in item["certificates"] if one["fingerprint"] not in gone]
