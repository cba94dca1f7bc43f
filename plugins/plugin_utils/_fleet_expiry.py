# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the CAs and the served certificates end, and how near that is. By the controller's clock alone.

**PRIVATE** to the collection. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_input import moment
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_registries import ending_of

LEVELS = ("ok", "warning", "error", "expired")
_DAY = 86400

CURE = {
    "ca": "Get or make the next CA now, and bring it to the nodes with nodetrust.harbor.rotate_ca while this one is "
    "still valid.",
    "ca_expired": "Get or make the next CA, and bring it to the nodes with nodetrust.harbor.rotate_ca; that this one "
    "has expired is no obstacle. If its successor stands beside it in the list already, take this one out.",
    "ca_ending": "Finish the rotation: give the registry its new certificate, then run nodetrust.harbor.rotate_ca with "
    "the phases switch and remove.",
    "served": "Renew the certificate of the registry itself; nodes need nothing for that as long as the CA stays.",
}


def check_thresholds(warning_days: int, error_days: int) -> dict[str, int]:
    """Days before the end from which it is a warning, and then an error.

    Raises:
        TrustError: they are not in that order.
    """
    if not 0 <= error_days <= warning_days:
        raise TrustError(
            "the thresholds for expiry are in the wrong order",
            reason="bad_thresholds",
            found=f"warning_days {warning_days}, error_days {error_days}",
            expected="warning_days not smaller than error_days, and error_days not smaller than 0",
            next_step="correct the two options",
        )
    return {"warning_days": warning_days, "error_days": error_days}


def expiries(
    registries: list[dict[str, Any]], thresholds: Mapping[str, int], now: datetime
) -> list[dict[str, Any]]:
    """One entry for each certificate that pulls depend on, what ends first stands first.

    A CA that a rotation takes away is never more than a warning: what it needs is being done.
    """
    found = []
    for item in registries:
        kinds = [("ca", certificate) for certificate in item["certificates"]]
        if item["served"] and item["served"]["not_after"]:
            kinds.append(("served", item["served"]))
        for which, certificate in kinds:
            end = moment(certificate["not_after"])
            if end is None:
                continue
            left = (end - now).total_seconds() / _DAY
            level = _level(left, thresholds)
            ending = which == "ca" and certificate["fingerprint"] in ending_of(item)
            found.append(
                {
                    "registry": item["registry"],
                    "kind": which,
                    "fingerprint": certificate["fingerprint"],
                    "subject": certificate["subject"],
                    "not_before": certificate["not_before"],
                    "not_after": certificate["not_after"],
                    "days_left": round(left, 1),
                    "level": "warning" if ending and level != "ok" else level,
                    "ending": ending,
                }
            )
    return sorted(found, key=lambda one: (one["not_after"], one["registry"], one["kind"]))


def _level(days_left: float, thresholds: Mapping[str, int]) -> str:
    if days_left <= 0:
        return "expired"
    if days_left <= thresholds["error_days"]:
        return "error"
    return "warning" if days_left <= thresholds["warning_days"] else "ok"


def worst(found: list[dict[str, Any]]) -> str:
    """The worst level of all."""
    return max((one["level"] for one in found), key=LEVELS.index, default="ok")


def say(one: Mapping[str, Any]) -> str:
    """An expiry in a sentence, with the cure."""
    what = {
        "served": "the certificate that the registry serves",
        "ca_ending": "the CA that a rotation replaces,",
    }.get(_case(one), "the CA")
    days = abs(one["days_left"])
    when = f"expired {days:g} days ago" if one["days_left"] <= 0 else f"expires in {days:g} days"
    return f"{one['registry']}: {what} {one['subject']} {when} ({one['not_after']}). Next step: {CURE[_case(one)]}"


def _case(one: Mapping[str, Any]) -> str:
    if one["kind"] == "ca" and one["ending"]:
        return "ca_ending"
    return "ca_expired" if one["kind"] == "ca" and one["level"] == "expired" else str(one["kind"])
