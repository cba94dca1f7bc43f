# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each job needs to be allowed, and which of it is missing.

**PRIVATE** to the collection. The same list as the manifests in deploy/rbac; a test compares them.
"""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube import Cluster


class Right(NamedTuple):
    verb: str
    resource: str
    subresource: str = ""
    group: str = ""

    def __str__(self) -> str:
        plain = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {plain}{'/' + self.subresource if self.subresource else ''}"


NEEDED: dict[str, tuple[Right, ...]] = {
    "inventory": (Right("list", "nodes"), Right("get", "nodes")),
    "certification": (Right("list", "nodes"), Right("get", "nodes"), Right("patch", "nodes")),
    "condition": (Right("patch", "nodes", "status"),),
    "drain": (
        Right("get", "nodes"),
        Right("patch", "nodes"),
        Right("list", "pods"),
        Right("create", "pods", "eviction"),
    ),
}


def missing(cluster: Cluster, jobs: list[str]) -> list[str]:
    """The rights that the server says we do not have, each once, in order."""
    wanted = dict.fromkeys(right for job in jobs for right in NEEDED[job])
    return [
        str(right)
        for right in wanted
        if not cluster.may(right.verb, right.resource, right.subresource, right.group)
    ]
