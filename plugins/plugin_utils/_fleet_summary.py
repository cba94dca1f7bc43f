# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet in a few lines for the terminal: numbers first, then what somebody has to do, the worst first.

**PRIVATE** to the collection. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._fleet_node import CORRECTED, OK, STATES

_MOST = 20
_PARTS = (("Found", "found"), ("Expected", "expected"), ("Next step", "next_step"))
_SAYING = {
    "clean": "clean: every node trusts exactly its pinned CAs",
    "corrected": "corrected: what had drifted is put right",
    "needs_a_person": "needs a person",
}


def lines(document: Mapping[str, Any]) -> list[str]:
    """What to print at the end of a run."""
    nodes, counts = document["nodes"], document["counts"]
    numbers = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state]) or "no node at all"
    said = [
        f"{document['run']['playbook'] or 'fleet'}: {_SAYING[document['status']]}",
        f"{len(nodes)} nodes: {numbers}",
    ]
    said += document["warnings"]
    bad = [node for node in nodes if node["state"] not in (OK, CORRECTED)]
    bad.sort(key=lambda node: -STATES.index(node["state"]))
    for names, node in _alike(bad[:_MOST]):
        parts = [("", node["message"])]
        parts += [(f"{label}: ", node[key]) for label, key in _PARTS if node[key]]
        told = " ".join(f"{label}{value.rstrip('. ')}." for label, value in parts if value)
        said.append(f"{node['state']} ({node['reason']}): {', '.join(names)}. {told}")
    if len(bad) > _MOST:
        said.append(f"and {len(bad) - _MOST} more nodes; the JSON and the HTML report have all of them")
    return said


def _alike(nodes: list[dict[str, Any]]) -> list[tuple[list[str], dict[str, Any]]]:
    """Nodes with the same trouble stand in one line, with the first of them to speak for all."""
    groups: dict[tuple[Any, ...], tuple[list[str], dict[str, Any]]] = {}
    for node in nodes:
        key = (
            node["state"],
            node["reason"],
            node["message"],
            node["found"],
            node["expected"],
            node["next_step"],
        )
        groups.setdefault(key, ([], node))[0].append(node["node"])
    return list(groups.values())
