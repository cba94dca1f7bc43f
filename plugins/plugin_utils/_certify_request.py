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
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify import Key, Marks, Wish
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import IN_CLUSTER
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import (
    CERTIFIED,
    CLOCKS,
    STALE,
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
                found=f"two entries for {name!r}",
                expected="one entry for each node",
                next_step="give each node once; nodes of several clusters need their context",
            )
        seen.add((context, name))
        state = item.get("state") or options["state"]
        registries: dict[str, list[str]] = {}
        if state == CERTIFIED:
            registries = _registries(name, item.get("registries") or options["registries"])
        time = _time(name, item.get("proved_at"), now)
        wishes.setdefault(context, []).append(
            Wish(
                name,
                state,
                context,
                item.get("uid"),
                registries,
                item.get("runtime"),
                time,
                item.get("outdated"),
            )
        )
    return wishes


def items_from_hosts(
    hosts: Iterable[str], hostvars: Mapping[str, Any], state: str = CERTIFIED
) -> list[dict[str, Any]]:
    """The nodes behind hosts, as the inventory plugin described them and the role left its outcome.

    Only a pull from every registry certifies. Only a pull that was refused for its trust takes a certificate away,
    and drift that a run has seen and could not correct. When the registry is down, or the run stopped for another
    reason, or left a registry alone because its CA has expired, nothing is known about a node's trust and it keeps
    what it has. Another state than certified is not
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
        elif _is_proved(result):
            if _not_pulled(result):
                continue
            registries = [
                {"host": registry["registry"], "fingerprints": list(registry["expected_fingerprints"])}
                for registry in result.get("registries") or []
            ]
            items.append({**item, "state": CERTIFIED, "registries": registries, "outdated": _outdated(node)})
        elif any(pull.get("reason") in TRUST | FILES for pull in result.get("pulls") or []):
            items.append({**item, "state": UNCERTIFIED, "why": "its pull was refused"})
        elif result.get("drifted"):
            items.append({**item, "state": UNCERTIFIED, "why": "it drifted and could not be corrected"})
    return items


def _is_proved(result: Mapping[str, Any]) -> bool:
    return bool(result.get("ok")) and result.get("proof") == "proven"


def _not_pulled(result: Mapping[str, Any]) -> list[str]:
    """The registries of a request of which no pull tells anything."""
    pulled = {pull.get("registry") for pull in result.get("pulls") or [] if pull.get("ok")}
    asked = [one["registry"] for one in result.get("registries") or []]
    return [name for name in [*asked, *(result.get("left_alone") or [])] if name not in pulled]


def _outdated(node: Mapping[str, Any]) -> str | None:
    """The time of the proof on the node, if that did not count any more when the inventory was read."""
    standing = node.get("certification") or {}
    return standing.get("time") if standing.get("state") == STALE else None


def check_one_way(hosts: Iterable[str], hostvars: Mapping[str, Any], in_cluster: bool) -> None:
    """A node of a context must not be looked for in the cluster of the pod, nor the other way round."""
    wrong = [
        host
        for host in hosts
        if (node := hostvars[host].get("cluster_node")) and (node["cluster"] == IN_CLUSTER) != in_cluster
    ]
    if wrong:
        raise InvalidRequest(
            "These nodes are not in the clusters that this task can reach.",
            reason="mixed_clusters",
            found=f"in_cluster is {str(in_cluster).lower()}, and from "
            f"{'contexts of a kubeconfig' if in_cluster else 'the service account of a pod'}: {', '.join(wrong[:10])}",
            expected="nodes from contexts alone, or from the service account alone",
            next_step="make two runs of it, each with one kind of inventory",
        )


def limit_losses(
    items: list[dict[str, Any]], hosts: Iterable[str], hostvars: Mapping[str, Any], marks: Marks, at_most: int
) -> None:
    """Refuse to take away so many certificates at once that the registry must be at fault."""
    known = [node for host in hosts if (node := hostvars[host].get("cluster_node"))]
    able = {_key_of(node) for node in known if _has_something_to_lose(node, marks)}
    losing = [item for item in items if item["state"] == UNCERTIFIED]
    lost = [item["name"] for item in losing if (item["context"], item["name"]) in able]
    nodes = len(known)
    if len(lost) > 1 and len(lost) * 100 > at_most * nodes:
        raise InvalidRequest(
            "So many nodes lost their proof in one run that the registry is more likely at fault than they.",
            reason="too_many_lost",
            found=f"{len(lost)} of {nodes} nodes: {', '.join(lost[:10])}",
            expected=f"at most {at_most} percent",
            next_step="look at the certificate that the registry serves; raise uncertify_at_most if it is right",
        )


def _key_of(node: Mapping[str, Any]) -> Key:
    return None if node["cluster"] == IN_CLUSTER else node["cluster"], node["name"]


def _has_something_to_lose(node: Mapping[str, Any], marks: Marks) -> bool:
    """Whether a node that becomes uncertified would say something else than it did to the inventory."""
    tainted = any(item.get("key") == marks.taint for item in node.get("taints") or [])
    state = (node.get("certification") or {}).get("state")
    return (
        state != UNCERTIFIED or marks.label in (node.get("labels") or {}) or bool(marks.taint and not tainted)
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
        key = _key_of(node)
        item = wished.get(key)
        before = node.get("certification", {}).get("state") == CERTIFIED
        if item is None:
            said[host] = _said(
                before, f"as before: {_why_as_before(hostvars[host].get('harbor_ca_result') or {})}"
            )
        elif key in report.missing:
            said[host] = _said(False, "no longer in the cluster")
        elif key not in report.settled:
            why = report.failed[key]["msg"] if key in report.failed else problem
            said[host] = _said(before, why, failed=True)
        elif item["state"] == CERTIFIED:
            said[host] = _said(True, "proved by a pull")
        else:
            said[host] = _said(False, item["why"])
    return said


def _why_as_before(result: Mapping[str, Any]) -> str:
    unseen = _not_pulled(result) if _is_proved(result) else []
    expired = [name for name in unseen if name in (result.get("left_alone") or [])]
    if expired:
        return f"{', '.join(expired)} was left alone, because its CA has expired"
    if unseen:
        return f"nothing was pulled from {', '.join(unseen)}, for there is no proof_image for it"
    return "this run neither proved nor disproved its trust"


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
            next_step="give proved_at of the outcome, or leave it out for now",
        ) from None
    if time > now + CLOCKS:
        raise InvalidRequest(
            f"The proof of node {node!r} lies in the future.",
            reason="invalid_time",
            found=text,
            expected=f"a time up to {format_time(now)}",
            next_step="set the clock of the controller, or of the node",
        )
    return time
