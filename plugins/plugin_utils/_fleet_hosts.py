# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the hosts of a run to the results of a report: what each host's variables hold of this run.

**PRIVATE** to the collection. In Python, since to put 5,000 results together in a template takes longer than the rest.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_input import mapping

AUDIT = "__harbor_ca_audit"
OUTCOME = "harbor_ca_result"
# Groups of the run itself, which say nothing of the inventory.
_OURS = "harbor_ca_to_correct_"


def results_of(
    hosts: Iterable[str], hostvars: Mapping[str, Any], check_mode: bool, worked_on: Container[str]
) -> list[dict[str, Any]]:
    """One entry for each host: what was done by those that were worked on, else what was found, else nothing."""
    entries = []
    for host in hosts:
        known = hostvars[host]
        done, found = (known.get(OUTCOME) or None) if host in worked_on else None, known.get(AUDIT)
        node = known.get("cluster_node") or {}
        entries.append(
            {
                "node": host,
                "cluster": node.get("cluster"),
                "groups": [group for group in known.get("group_names") or [] if not group.startswith(_OURS)],
                "labels": node.get("labels") or {},
                "result": found if done is None else _together(done, found),
                "action": "audit" if done is None or check_mode else "correct",
            }
        )
    return entries


def _together(done: Any, found: Any) -> Any:
    """What was done, and what only the audit before it knows: the node's clock, and a registry that was left alone."""
    if not isinstance(done, Mapping) or not isinstance(found, Mapping):
        return done
    whole = {"node_time": found.get("node_time"), **done}
    entries, before = done.get("registries"), found.get("registries")
    if isinstance(entries, list) and isinstance(before, list) and entries:
        seen = [mapping(entry).get("registry") for entry in entries]
        whole["registries"] = entries + [
            entry for entry in before if mapping(entry).get("registry") not in seen
        ]
    return whole
