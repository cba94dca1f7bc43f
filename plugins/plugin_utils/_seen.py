# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one pass over the nodes has seen, so that a doubtful fleet is told once and not node by node.

**PRIVATE** to the collection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube_errors import plain

_NAMED = 10


class NameTaken(TrustError):
    """Two nodes would become one host, and one of them would be forgotten."""


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(plain(name, 80) for name in names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


class Seen:
    """Names, addresses and identities so far."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self._names: dict[str, str] = {}
        self._addresses: dict[tuple[str, str], str] = {}
        self._uids: dict[str, str] = {}
        self._lost: list[str] = []
        self._shared: list[str] = []
        self._twice: list[str] = []

    def note(self, name: str, node: dict[str, Any], address: str | None) -> None:
        """Take note of a host; NameTaken if another node already has its name."""
        identity = f"{node['name']} of context {node['cluster']}"
        if name in self._names:
            raise NameTaken(
                f"Two nodes would both be the host {plain(name)!r}.",
                reason="inventory_name_taken",
                found=f"{self._names[name]} and {identity}",
                expected="a name of its own for each node",
                next_step="use names that differ in the option hostname, such as "
                "cluster_node.name ~ '.' ~ cluster_node.cluster",
            )
        self._names[name] = identity
        if not address:
            self._lost.append(name)
        elif (first := self._addresses.setdefault((node["cluster"], address), name)) != name:
            self._shared.append(f"{first} and {name} ({address})")
        if node["uid"] and (first := self._uids.setdefault(node["uid"], name)) != name:
            self._twice.append(f"{first} and {name}")

    def warnings(self) -> Iterator[str]:
        if self.refused:
            yield (
                f"left out nodes whose names mean something else to Ansible or are no host names: "
                f"{_some(self.refused)}. Next step: delete such node objects, or rename the machines."
            )
        if self._lost:
            yield (
                f"no usable address for {_some(self._lost)}. They are in group no_address. Next step: "
                "look at status.addresses of the node, widen address_types, or compose ansible_host."
            )
        if self._shared:
            yield (
                f"two nodes with the same address: {_some(self._shared)}. Next step: delete the node object "
                "that is a leftover, or compose ansible_host."
            )
        if self._twice:
            yield (
                f"the same node under two names: {_some(self._twice)}. Next step: name each cluster once "
                "in contexts."
            )
