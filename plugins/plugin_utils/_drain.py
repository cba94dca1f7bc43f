# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Empty a node before its runtime restarts, and give it back afterwards.

**PRIVATE** to the collection. That we cordoned a node is written on the node, so that a later run can give
it back although the one that cordoned it died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube import Cluster
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube_errors import (
    Conflict,
    KubeError,
    NotFound,
    Rejected,
    Throttled,
    Unreachable,
    plain,
)

CORDONED = "nodetrust.harbor/cordoned"
_MIRROR = "kubernetes.io/config.mirror"
_CONFLICTS = 5


class DrainFailed(KubeError):
    """Pods stayed on the node, or it did not become Ready again."""


class Limits(NamedTuple):
    timeout: float = 300.0
    interval: float = 5.0
    evict_bare_pods: bool = False
    evict_local_data: bool = True


class Clock(NamedTuple):
    """Time, to be replaced in tests."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass
class Pods:
    """The pods of a node, by what a drain does with them."""

    evict: list[dict[str, Any]] = field(default_factory=list)
    stay: list[str] = field(default_factory=list)
    refuse: list[str] = field(default_factory=list)


def name_of(pod: dict[str, Any]) -> str:
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def sort_pods(pods: Iterable[dict[str, Any]], limits: Limits) -> Pods:
    """Which pods go, which stay by their nature, and which nobody may evict without being told to."""
    sorted_ = Pods()
    for pod in pods:
        metadata, name = pod["metadata"], name_of(pod)
        owner = next((item for item in metadata.get("ownerReferences") or [] if item.get("controller")), None)
        volumes = (pod.get("spec") or {}).get("volumes") or []
        by_nature = _MIRROR in (metadata.get("annotations") or {}) or (owner or {}).get("kind") == "DaemonSet"
        finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if by_nature or finished:
            sorted_.stay.append(name)
        elif owner is None and not limits.evict_bare_pods:
            sorted_.refuse.append(f"{name} (no controller would start it again)")
        elif any("emptyDir" in volume for volume in volumes) and not limits.evict_local_data:
            sorted_.refuse.append(f"{name} (its emptyDir would be lost)")
        else:
            sorted_.evict.append(pod)
    return sorted_


def is_ours(node: dict[str, Any]) -> bool:
    """Whether it was this collection that cordoned the node."""
    return CORDONED in (node["metadata"].get("annotations") or {})


def _set_cordon(cluster: Cluster, node: str, on: bool, check_mode: bool) -> bool:
    """Cordon, or take back a cordon of ours. Whether that is a change; never touches a cordon of others."""
    for attempt in range(1, _CONFLICTS + 1):
        found = cluster.node(node)
        metadata = found["metadata"]
        cordoned = (found.get("spec") or {}).get("unschedulable") is True
        if cordoned if on else not is_ours(found):
            return False
        patch = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "annotations": {CORDONED: "true" if on else None},
            },
            "spec": {"unschedulable": True if on else None},
        }
        try:
            if not check_mode:
                cluster.patch_node(node, patch)
            return True
        except Conflict:
            if attempt == _CONFLICTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def cordon(cluster: Cluster, node: str, *, check_mode: bool = False) -> dict[str, Any]:
    """Keep new pods away from a node and leave those that run."""
    changed = _set_cordon(cluster, node, True, check_mode)
    return {"changed": changed, "cordoned": changed, "evicted": [], "left": []}


def drain(
    cluster: Cluster, node: str, limits: Limits, *, check_mode: bool = False, clock: Clock | None = None
) -> dict[str, Any]:
    """Cordon a node and evict its pods, within the limits of their disruption budgets.

    A drain that fails gives the node back if this call cordoned it: it is to go on working.
    """
    pods = sort_pods(cluster.pods_on(node), limits)
    if pods.refuse:
        raise DrainFailed(
            f"Node {node!r} has pods that are not evicted without being told to.",
            reason="pods_not_evictable",
            context=cluster.target.context,
            found=pods.refuse,
            next_step="move them yourself, or allow it with evict_bare_pods or evict_local_data",
        )
    names = [name_of(pod) for pod in pods.evict]
    cordoned = _set_cordon(cluster, node, True, check_mode)
    if not check_mode:
        try:
            _evict_all(cluster, node, pods.evict, limits, clock or Clock())
        except KubeError:
            if cordoned:
                _set_cordon(cluster, node, False, False)
            raise
    return {"changed": cordoned or bool(names), "cordoned": cordoned, "evicted": names, "left": pods.stay}


def _evict_all(cluster: Cluster, node: str, pods: list[dict[str, Any]], limits: Limits, clock: Clock) -> None:
    deadline = clock.now() + limits.timeout
    asked: set[str] = set()
    waiting = {pod["metadata"]["uid"]: pod for pod in pods}
    while True:
        refused: dict[str, str] = {}
        for uid, pod in waiting.items():
            if uid not in asked and "deletionTimestamp" not in pod["metadata"]:
                why = _evict_one(cluster, pod)
                if why:
                    refused[name_of(pod)] = why
                else:
                    asked.add(uid)
        here = {pod["metadata"]["uid"] for pod in cluster.pods_on(node)}
        waiting = {uid: pod for uid, pod in waiting.items() if uid in here}
        if not waiting:
            return
        if clock.now() >= deadline:
            found = [
                refused.get(name, f"{name}: still terminating") for name in map(name_of, waiting.values())
            ]
            raise DrainFailed(
                f"Node {node!r} could not be drained within {limits.timeout:g} seconds.",
                reason="drain_timeout",
                context=cluster.target.context,
                found=found,
                next_step="see why the other replicas are not Ready, or raise the timeout; then run again",
            )
        clock.sleep(_pause(clock, deadline, limits))


def _evict_one(cluster: Cluster, pod: dict[str, Any]) -> str | None:
    """Why the pod may not go yet; None if it goes or has gone."""
    metadata = pod["metadata"]
    try:
        cluster.evict(metadata.get("namespace", ""), metadata["name"], metadata["uid"])
    except (NotFound, Conflict):
        return None  # gone, or another pod has its name by now
    except (Throttled, Rejected) as exc:
        # A budget without room answers 429, more than one budget for a pod answers 500.
        return f"{name_of(pod)}: {exc.found}"
    return None


def wait_ready(
    cluster: Cluster, node: str, limits: Limits, *, check_mode: bool = False, clock: Clock | None = None
) -> dict[str, Any]:
    """Wait until the cluster calls the node Ready. Changes nothing.

    An API server that does not answer is waited for too: it may run on the very node that was restarted.
    """
    clock = clock or Clock()
    deadline = clock.now() + limits.timeout
    while not check_mode:
        try:
            conditions = (cluster.node(node).get("status") or {}).get("conditions") or []
        except (Unreachable, Throttled, Rejected):
            if clock.now() >= deadline:
                raise
        else:
            ready: dict[str, Any] = next((item for item in conditions if item.get("type") == "Ready"), {})
            if ready.get("status") == "True":
                break
            if clock.now() >= deadline:
                said = ": ".join(plain(ready[key]) for key in ("reason", "message") if ready.get(key))
                raise DrainFailed(
                    f"Node {node!r} did not become Ready within {limits.timeout:g} seconds.",
                    reason="node_not_ready",
                    context=cluster.target.context,
                    found=f"Ready {ready.get('status')}{', ' + said if said else ''}",
                    expected="Ready True",
                    next_step="look at the kubelet's log on the node (journalctl -u kubelet); "
                    "correct that, then run again",
                )
        clock.sleep(_pause(clock, deadline, limits))
    return {"changed": False}


def _pause(clock: Clock, deadline: float, limits: Limits) -> float:
    """Until the next look, the last of which is at the deadline."""
    return max(0.0, min(limits.interval, deadline - clock.now()))


def release(
    cluster: Cluster, node: str, limits: Limits, *, check_mode: bool = False, clock: Clock | None = None
) -> dict[str, Any]:
    """Take back the cordon when the node is Ready. A cordon that is not ours is nothing to wait for."""
    changed = is_ours(cluster.node(node))
    if changed:
        wait_ready(cluster, node, limits, check_mode=check_mode, clock=clock)
        changed = _set_cordon(cluster, node, False, check_mode)
    return {"changed": changed, "uncordoned": changed}
