# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certification of all nodes of a run: one look at each cluster, then a patch for each node that differs.

**PRIVATE** to the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._access import missing
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._certify import (
    Key,
    Marks,
    Observed,
    Plan,
    Wish,
    observe,
    plan,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube import Cluster
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube_errors import (
    Conflict,
    Forbidden,
    KubeError,
    NotFound,
    Rejected,
    Throttled,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import CERTIFIED

# Up to so many nodes are read one by one: in a fleet of thousands a list would cost more.
FEW = 10
# A busy controller can change a node under our hands more than once.
CONFLICTS = 5
# One node may be throttled for a reason of its own. So many in a row, each waited for, are a server that is too busy.
THROTTLED = 3


@dataclass
class Report:
    """What was done, or in check mode would be. Every wish ends in one of settled, missing and failed."""

    changes: list[dict[str, Any]] = field(default_factory=list)
    unchanged: int = 0
    settled: set[Key] = field(default_factory=set)
    missing: dict[Key, str] = field(default_factory=dict)
    failed: dict[Key, dict[str, Any]] = field(default_factory=dict)
    diff: list[dict[str, Any]] = field(default_factory=list)

    def fail(self, wish: Wish, exc: TrustError) -> None:
        self.failed[wish.key] = {"name": wish.name, "context": wish.context, "msg": str(exc), **exc.facts()}

    def give_up(self, wishes: Iterable[Wish], exc: TrustError) -> None:
        """What stopped a whole cluster is why each of its nodes that is still waiting was not marked."""
        for wish in wishes:
            if wish.key not in self.settled and wish.key not in self.missing and wish.key not in self.failed:
                self.fail(wish, exc)

    def gone(self) -> Iterator[str]:
        return (name if key[0] is None else f"{name} of {key[0]}" for key, name in self.missing.items())


class Replaced(KubeError):
    """The node object is another one than the one that was proved."""


def certify(
    cluster: Cluster,
    wishes: Iterable[Wish],
    marks: Marks,
    report: Report,
    *,
    now: Callable[[], datetime],
    check_mode: bool,
) -> None:
    """Make every node of one cluster say what its wish says; in check mode only find out.

    Notes in the report what it did as it goes, for a failure half-way must not hide that. Raises what is true of
    the whole cluster; what one node refused is in the report alone.
    """
    wanted = {wish.name: wish for wish in wishes}
    observed = _observe(cluster, list(wanted), marks)
    throttled = 0
    for name, wish in wanted.items():
        node = observed.get(name)
        if node is None:
            report.missing[wish.key] = name
            continue
        try:
            _certify_one(cluster, node, wish, marks, report, now, check_mode)
            throttled = 0
        except Throttled as exc:
            report.fail(wish, exc)
            throttled += 1
            if throttled == THROTTLED:
                raise


def _certify_one(
    cluster: Cluster,
    node: Observed,
    wish: Wish,
    marks: Marks,
    report: Report,
    now: Callable[[], datetime],
    check_mode: bool,
) -> None:
    try:
        done = _settle(cluster, node, wish, marks, now, check_mode)
    except NotFound:
        report.missing[wish.key] = wish.name
    except (Conflict, Rejected, Replaced) as exc:
        report.fail(wish, exc)
    except Forbidden as exc:
        # An admission webhook refuses one node, a missing right all of them.
        lacking = missing(cluster, ["certification", *(["condition"] if marks.condition else [])])
        exc.found = [exc.found, f"missing: {', '.join(lacking) or 'nothing by its own word'}"]
        if lacking:
            raise
        report.fail(wish, exc)
    else:
        report.settled.add(wish.key)
        _note(report, cluster, wish, done)


def _observe(cluster: Cluster, names: list[str], marks: Marks) -> dict[str, Observed]:
    found: dict[str, Observed] = {}
    if len(names) <= FEW:
        for name in names:
            with suppress(NotFound):
                found[name] = observe(cluster.node(name), marks)
        return found
    wanted = set(names)
    kept = cluster.list_nodes(
        lambda node: observe(node, marks) if node["metadata"]["name"] in wanted else None
    )
    return {node.name: node for node in kept if node}


def _settle(
    cluster: Cluster,
    node: Observed,
    wish: Wish,
    marks: Marks,
    now: Callable[[], datetime],
    check_mode: bool,
) -> Plan:
    """Patch until the node says it, or somebody else proves to be faster. Returns the first plan."""
    worked_on = wish.uid or node.uid
    first: Plan | None = None
    for attempt in range(1, CONFLICTS + 1):
        if node.uid != worked_on and (wish.uid or wish.state == CERTIFIED):
            # A machine that was made anew under the old name has proved nothing, and lost nothing.
            raise Replaced(
                f"Node {wish.name!r} of context {cluster.target.context!r} is not the node object that was worked on.",
                reason="node_replaced",
                context=cluster.target.context,
                found=node.uid,
                expected=worked_on,
                next_step="run again for this node, with an inventory that is read anew",
            )
        todo = plan(node, wish, marks, now())
        first = first or todo
        if check_mode or not todo.what:
            return first
        try:
            version = node.version
            # First, for it takes a right of its own: without that nothing is written.
            if todo.status_patch:
                pinned = {**todo.status_patch, "metadata": {"resourceVersion": version}}
                version = cluster.patch_node_status(wish.name, pinned)["metadata"]["resourceVersion"]
            if todo.patch:
                metadata = {**todo.patch["metadata"], "resourceVersion": version}
                cluster.patch_node(wish.name, {**todo.patch, "metadata": metadata})
            return first
        except Conflict:
            if attempt == CONFLICTS:
                raise
            node = observe(cluster.node(wish.name), marks)
    raise AssertionError("the last attempt returns or raises")


def _note(report: Report, cluster: Cluster, wish: Wish, done: Plan) -> None:
    if not done.what:
        report.unchanged += 1
        return
    context = cluster.target.context
    report.changes.append({"name": wish.name, "context": context, "state": wish.state, "changed": done.what})
    header = f"node {wish.name} of {context}"
    report.diff.append(
        {"before_header": header, "after_header": header, "before": done.before, "after": done.after}
    )
