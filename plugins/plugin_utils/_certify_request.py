# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of node_certification to wishes, or to a failure that says which item is wrong.

**PRIVATE** to the collection. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import parse_pin
from ansible_collections.nodetrust.harbor.plugins.module_utils._pull_failures import FILES, TRUST
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certification import Report
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify import Marks, Wish
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import IN_CLUSTER
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import (
    CERTIFIED,
    CLOCKS,
    UNCERTIFIED,
    format_time,
    parse_time,
)


class InvalidRequest(TrustError):
    """The nodes were not described well enough to be certified."""


def marks_from(options: dict[str, Any]) -> Marks:
    return Marks(
        options["label"],
        options["annotation"],
        options["taint"],
        options["taint_effect"],
        options["condition"],
        timedelta(hours=options["proof_validity_hours"]) / 2,
    )


def wishes_from(options: dict[str, Any], now: datetime) -> dict[str | None, list[Wish]]:
    """The wishes of each context, in the order they were given."""
    wishes: dict[str | None, list[Wish]] = {}
    seen: set[tuple[str | None, str]] = set()
    for item in options["nodes"]:
        context = item.get("context") or options["context"]
        name = item["name"]
        if (context, name) in seen:
            raise InvalidRequest(
                f"Node {name!r} is in the list twice.",
                reason="node_twice",
                next_step="give each node once; nodes of several clusters need their context",
            )
        seen.add((context, name))
        state = item.get("state") or options["state"]
        registries: dict[str, list[str]] = {}
        if state == CERTIFIED:
            registries = _registries(name, item.get("registries") or options["registries"])
        time = _time(name, item.get("proved_at"), now)
        wishes.setdefault(context, []).append(
            Wish(name, state, context, item.get("uid"), registries, item.get("runtime"), time)
        )
    return wishes


def items_from_hosts(
    hosts: Iterable[str], hostvars: Mapping[str, Any], state: str = CERTIFIED
) -> list[dict[str, Any]]:
    """The nodes behind hosts, as the inventory plugin described them and the role left its outcome.

    Only a pull that was refused for its trust takes a certificate away, and drift that a run has seen and could not
    correct. When the registry is down, or the run stopped for another reason, or left a registry alone because its CA
    has expired, nothing is known about a node's trust and it keeps what it has. Another state than certified is not
    judged: it is for all hosts.
    """
    items: list[dict[str, Any]] = []
    for host in hosts:
        known = hostvars[host]
        node, result = known.get("cluster_node"), known.get("harbor_ca_result")
        if not node or (state == CERTIFIED and not result):
            continue
        item = {"name": node["name"], "context": node["cluster"], "uid": node["uid"]}
        if item["context"] == IN_CLUSTER:
            item["context"] = None
        if state != CERTIFIED:
            items.append({**item, "state": state, "why": "its trust is removed"})
        elif result.get("ok") and result.get("proof") == "proven" and not result.get("left_alone"):
            registries = [
                {"host": registry["registry"], "fingerprints": list(registry["expected_fingerprints"])}
                for registry in result.get("registries") or []
            ]
            items.append({**item, "state": CERTIFIED, "registries": registries})
        elif any(pull.get("reason") in TRUST | FILES for pull in result.get("pulls") or []):
            items.append({**item, "state": UNCERTIFIED, "why": "its pull was refused"})
        elif result.get("drifted"):
            items.append({**item, "state": UNCERTIFIED, "why": "it drifted and could not be corrected"})
    return items


def limit_losses(items: list[dict[str, Any]], nodes: int, at_most: int) -> None:
    """Refuse to take away so many certificates at once that the registry must be at fault."""
    lost = [item["name"] for item in items if item["state"] == UNCERTIFIED]
    if len(lost) > 1 and len(lost) * 100 > at_most * nodes:
        raise InvalidRequest(
            "So many nodes lost their proof in one run that the registry is more likely at fault than they.",
            reason="too_many_lost",
            found=f"{len(lost)} of {nodes} nodes: {', '.join(lost[:10])}",
            expected=f"at most {at_most} percent",
            next_step="look at the certificate that the registry serves; raise uncertify_at_most if it is right",
        )


def said_of_hosts(
    hosts: Iterable[str],
    hostvars: Mapping[str, Any],
    items: Iterable[dict[str, Any]],
    report: Report,
    problem: str,
) -> dict[str, dict[str, Any]]:
    """For each host whether its node is certified now, why, and whether that should have been otherwise."""
    wished = {(item["context"], item["name"]): item for item in items}
    said = {}
    for host in hosts:
        node = hostvars[host].get("cluster_node")
        if not node:
            said[host] = _said(None, "no node of a cluster, as far as the inventory knows")
            continue
        context = None if node["cluster"] == IN_CLUSTER else node["cluster"]
        item = wished.get((context, node["name"]), {})
        state = item.get("state")
        before = node.get("certification", {}).get("state") == CERTIFIED
        failure = next((one["msg"] for one in report.failed if one["name"] == node["name"]), problem)
        if state is None:
            said[host] = _said(before, "as before: this run neither proved nor disproved its trust")
        elif failure:
            said[host] = _said(before, failure, failed=True)
        elif node["name"] in report.missing:
            said[host] = _said(False, "no longer in the cluster")
        elif state == CERTIFIED:
            said[host] = _said(True, "proved by a pull")
        else:
            said[host] = _said(False, item["why"])
    return said


def _said(certified: bool | None, why: str, failed: bool = False) -> dict[str, Any]:
    return {"certified": certified, "why": why, "failed": failed}


def _registries(node: str, items: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    found = {
        parse_registry(item["host"]).name: sorted({parse_pin(pin) for pin in item["fingerprints"]})
        for item in items
    }
    if not found or not all(found.values()):
        raise InvalidRequest(
            f"Node {node!r} cannot be certified without saying what it proved.",
            reason="nothing_proved",
            found="a registry without fingerprints" if found else "no registries",
            expected="the registries that were pulled from, and the fingerprints of their CAs",
            next_step="give registries for all nodes, or for this one",
        )
    return found


def _time(node: str, text: str | None, now: datetime) -> datetime:
    if not text:
        return now
    try:
        time = parse_time(text)
    except ValueError:
        raise InvalidRequest(
            f"The time of the proof of node {node!r} is not a time.",
            reason="invalid_time",
            found=text[:80],
            expected=f"UTC in the form {format_time(now)}",
        ) from None
    if time > now + CLOCKS:
        raise InvalidRequest(
            f"The proof of node {node!r} lies in the future.",
            reason="invalid_time",
            found=text,
            next_step="set the clock of the controller, or of the node",
        )
    return time
