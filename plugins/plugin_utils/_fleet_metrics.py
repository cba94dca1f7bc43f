# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet document as metrics for the textfile collector of Prometheus's node exporter.

**PRIVATE** to the collection. Pure. Every series carries the playbook, so that the files of two playbooks can lie
side by side. A node is a label only while something is wrong with it, and of those at most NAMED.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet import EXIT_CODES, SKEW_SECONDS
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_input import moment
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_node import CORRECTED, OK, STATES

NAMED = 100
_DAY = 86400
_COMPLETE = re.compile(r"^(nodetrust_run_complete\{.*\}) 1$", re.MULTILINE)

HELP = {
    "nodetrust_run_start_timestamp_seconds": "When the last run began.",
    "nodetrust_run_end_timestamp_seconds": "When the last run ended; missing if it was cut off.",
    "nodetrust_run_complete": "Whether the last run came to its end; 0 while one runs.",
    "nodetrust_run_status": "1 for the status of the last run, 0 for the others.",
    "nodetrust_nodes": "Nodes in each state.",
    "nodetrust_registry_nodes": "Nodes in each state for one registry.",
    "nodetrust_restart_due_nodes": "Nodes whose runtime has to restart before it trusts what lies on its disk.",
    "nodetrust_clock_wrong_nodes": "Nodes whose clock is wrong by an hour or more.",
    "nodetrust_node_unhealthy_info": "A node that is neither ok nor corrected, with its state and reason.",
    "nodetrust_node_unhealthy_omitted": "Unhealthy nodes without a series of their own.",
    "nodetrust_certificate_expiry_timestamp_seconds": "When a CA or the certificate that a registry serves ends.",
    "nodetrust_expiry_threshold_seconds": "The time before the end at which a certificate is a warning or an error.",
    "nodetrust_served_certificate_trusted": "Whether the expected CAs verify what the registry serves.",
}
_Row = tuple[dict[str, str], float]


def render(document: Mapping[str, Any], before: str = "") -> str:
    """The text of the file.

    At the beginning of a run there is nothing to tell but that it is not complete. The numbers of the run before stay
    until it is, for an alert that waits for hours must not begin to wait again with each run.
    """
    playbook = document["run"]["playbook"]
    if before and not document["run"]["complete"] and not document["nodes"]:
        return _COMPLETE.sub(r"\1 0", before)
    lines = []
    for name, rows in _series(document).items():
        if rows:
            lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
            lines += [_line(name, {"playbook": playbook, **labels}, value) for labels, value in rows]
    return "\n".join(lines) + "\n"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    written = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{written}}} {value:.15g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _series(document: Mapping[str, Any]) -> dict[str, list[_Row]]:
    run, nodes = document["run"], document["nodes"]
    clusters = sorted({node["cluster"] or "" for node in nodes}) or [""]
    counted = Counter((node["cluster"] or "", node["state"]) for node in nodes)
    restarts = Counter(node["cluster"] or "" for node in nodes if node["restart_due"])
    skewed = sum(1 for node in nodes if abs(node["clock_skew_seconds"] or 0) >= SKEW_SECONDS)
    unhealthy = [node for node in nodes if node["state"] not in (OK, CORRECTED)]
    unhealthy.sort(key=lambda node: -STATES.index(node["state"]))
    return {
        "nodetrust_run_start_timestamp_seconds": _time(run["started"], {}),
        "nodetrust_run_end_timestamp_seconds": _time(run["ended"], {}),
        "nodetrust_run_complete": [({}, int(run["complete"]))],
        "nodetrust_run_status": [({"status": one}, int(one == document["status"])) for one in EXIT_CODES],
        "nodetrust_nodes": [
            ({"cluster": cluster, "state": state}, counted[cluster, state])
            for cluster in clusters
            for state in STATES
        ],
        "nodetrust_registry_nodes": list(_by_registry(nodes)),
        "nodetrust_restart_due_nodes": [({"cluster": cluster}, restarts[cluster]) for cluster in clusters],
        "nodetrust_clock_wrong_nodes": [({}, skewed)],
        "nodetrust_node_unhealthy_info": [(_who(node), 1) for node in unhealthy[:NAMED]],
        "nodetrust_node_unhealthy_omitted": [({}, max(0, len(unhealthy) - NAMED))],
        "nodetrust_certificate_expiry_timestamp_seconds": [
            row for one in document["expiry"] for row in _time(one["not_after"], _what(one))
        ],
        "nodetrust_expiry_threshold_seconds": [
            ({"level": level}, run["thresholds"][f"{level}_days"] * _DAY) for level in ("warning", "error")
        ],
        "nodetrust_served_certificate_trusted": [
            ({"registry": item["registry"]}, int(item["served"]["trusted"]))
            for item in document["registries"]
            if item["served"] and item["served"]["trusted"] is not None
        ],
    }


def _time(text: str | None, labels: dict[str, str]) -> list[_Row]:
    found = moment(text)
    return [(labels, found.timestamp())] if found else []


def _who(node: Mapping[str, Any]) -> dict[str, str]:
    # `node` and `cluster` are what kubelet's own series are usually labelled with.
    return {
        "cluster": node["cluster"] or "",
        "node": node["node"],
        "state": node["state"],
        "reason": node["reason"] or "",
    }


def _what(one: Mapping[str, Any]) -> dict[str, str]:
    # Nobody is to be called out of bed for a CA that is being replaced.
    kind = "ca_ending" if one["ending"] else one["kind"]
    return {
        "registry": one["registry"],
        "kind": kind,
        **{key: one[key] for key in ("fingerprint", "subject")},
    }


def _by_registry(nodes: Iterable[Mapping[str, Any]]) -> Iterable[_Row]:
    counted = Counter((one["registry"], one["state"]) for node in nodes for one in node["registries"])
    for registry in sorted({registry for registry, _state in counted}):
        for state in STATES:
            if state != "unreachable":
                yield {"registry": registry, "state": state}, counted[registry, state]
