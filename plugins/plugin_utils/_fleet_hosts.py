# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the hosts of a run to the results of a report: what each host's variables hold of this run.

**PRIVATE** to the collection. In Python, since to put 5,000 results together in a template takes longer than the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

AUDIT = "__harbor_ca_audit"
OUTCOME = "harbor_ca_result"


def results_of(hosts: Iterable[str], hostvars: Mapping[str, Any], check_mode: bool) -> list[dict[str, Any]]:
    """One entry for each host: what was done, else what was found, else nothing."""
    entries = []
    for host in hosts:
        known = hostvars[host]
        done = known.get(OUTCOME)
        node = known.get("cluster_node") or {}
        entries.append(
            {
                "node": host,
                "cluster": node.get("cluster"),
                "result": known.get(AUDIT) if done is None else done,
                "action": "audit" if done is None or check_mode else "correct",
            }
        )
    return entries
