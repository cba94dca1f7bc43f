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
from datetime import datetime, timezone
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
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import (
    CLOCKS,
    format_time,
    parse_time,
)

# An annotation with the time of our cordon.
CORDONED = "nodetrust.harbor/cordoned"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_MIRROR = "kubernetes.io/config.mirror"
_CONFLICTS = 5


class DrainFailed(KubeError):
    """Pods stayed on the node, or it did not become Ready again."""


class Limits(NamedTuple):
    timeout: float = 300.0
    interval: float = 5.0
    evict_bare_pods: bool = False
    evict_local_data: bool = True
    # The pod that this run is in, as namespace/host name. Evicting it would end the run on a cordoned node.
    own_pod: str | None = None


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


def _is_own(pod: dict[str, Any], limits: Limits) -> bool:
    # A kubelet cuts names to the length of a host name.
    host_name = pod["metadata"]["name"][:63].rstrip("-.")
    return f"{pod['metadata'].get('namespace', '')}/{host_name}" == limits.own_pod


def sort_pods(pods: Iterable[dict[str, Any]], limits: Limits) -> Pods:
    """Which pods go, which stay by their nature, and which nobody may evict without being told to."""
    sorted_ = Pods()
    for pod in pods:
        metadata, name = pod["metadata"], name_of(pod)
        owner = next((item for item in metadata.get("ownerReferences") or [] if item.get("controller")), None)
        volumes = (pod.get("spec") or {}).get("volumes") or []
        by_nature = _MIRROR in (metadata.get("annotations") or {}) or (owner or {}).get("kind") == "DaemonSet"
        finished = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if by_nature or finished or _is_own(pod, limits):
            sorted_.stay.append(name)
        elif owner is None and not limits.evict_bare_pods:
            sorted_.refuse.append(f"{name} (no controller would start it again)")
        elif any("emptyDir" in volume for volume in volumes) and not limits.evict_local_data:
            sorted_.refuse.append(f"{name} (its emptyDir would be lost)")
        else:
            sorted_.evict.append(pod)
    return sorted_


def is_ours(node: dict[str, Any]) -> bool:
    """Whether it was this collection that cordoned the node, and not somebody else since.

    `kubectl uncordon` leaves our annotation, and a later cordon of somebody else then stands beside it. The
    cluster notes in a taint since when a node is unschedulable.
    """
    mark = (node["metadata"].get("annotations") or {}).get(CORDONED)
    if mark is None or not _is_cordoned(node):
        return False
    taints = (node.get("spec") or {}).get("taints") or []
    since = next((item.get("timeAdded") for item in taints if item.get("key") == _UNSCHEDULABLE), None)
    try:
        return parse_time(str(since)) <= parse_time(str(mark)) + CLOCKS
    except ValueError:
        return True  # one of them tells no time


def _is_cordoned(node: dict[str, Any]) -> bool:
    return (node.get("spec") or {}).get("unschedulable") is True


def _cordon_patch(node: dict[str, Any], on: bool) -> dict[str, Any] | None:
    """What cordons a node, or takes back a cordon of ours and the mark of one that is no more."""
    mark = (node["metadata"].get("annotations") or {}).get(CORDONED)
    if _is_cordoned(node) if on else mark is None:
        return None
    spec = {"spec": {"unschedulable": True if on else None}} if on or is_ours(node) else {}
    wanted = format_time(datetime.now(timezone.utc)) if on else None
    version = node["metadata"]["resourceVersion"]
    return {"metadata": {"resourceVersion": version, "annotations": {CORDONED: wanted}}, **spec}


def _set_cordon(cluster: Cluster, node: str, on: bool, check_mode: bool) -> dict[str, Any] | None:
    """Cordon, or take back a cordon of ours. The patch, None for no change; never touches a cordon of others."""
    for attempt in range(1, _CONFLICTS + 1):
        patch = _cordon_patch(cluster.node(node), on)
        try:
            if patch and not check_mode:
                cluster.patch_node(node, patch)
            return patch
        except Conflict:
            if attempt == _CONFLICTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def cordon(cluster: Cluster, node: str, *, check_mode: bool = False) -> dict[str, Any]:
    """Keep new pods away from a node and leave those that run."""
    changed = _set_cordon(cluster, node, True, check_mode) is not None
    return {"changed": changed, "cordoned": changed, "evicted": [], "left": []}


def drain(
    cluster: Cluster, node: str, limits: Limits, *, check_mode: bool = False, clock: Clock | None = None
) -> dict[str, Any]:
    """Cordon a node and evict its pods, within the limits of their disruption budgets.

    A drain that fails gives the node back if this call cordoned it: it is to go on working.
    """
    # First, for until then pods can land there that nobody has looked at.
    cordoned = _set_cordon(cluster, node, True, check_mode) is not None
    seen: dict[str, str] = {}
    try:
        if check_mode:
            pods = _evictable(cluster, node, limits, seen)
        else:
            pods = _evict_all(cluster, node, limits, clock or Clock(), seen)
    except KubeError as exc:
        if cordoned and not check_mode:
            _give_back(cluster, node, exc)
        raise
    names = list(seen.values())
    return {"changed": cordoned or bool(names), "cordoned": cordoned, "evicted": names, "left": pods.stay}


def _give_back(cluster: Cluster, node: str, why: KubeError) -> None:
    """Take our cordon back after a failed drain. What failed first is what is told."""
    try:
        _set_cordon(cluster, node, False, False)
    except KubeError:
        stays = "the node stays cordoned; a run that succeeds gives it back"
        why.next_step = f"{why.next_step}; {stays}" if why.next_step else stays


def _evictable(cluster: Cluster, node: str, limits: Limits, seen: dict[str, str]) -> Pods:
    """The pods of a node, sorted. Notes those that go in seen, by their uid."""
    pods = sort_pods(cluster.pods_on(node), limits)
    if pods.refuse:
        raise DrainFailed(
            f"Node {node!r} has pods that are not evicted without being told to.",
            reason="pods_not_evictable",
            context=cluster.target.context,
            found=pods.refuse,
            expected="pods of a controller that will start them elsewhere, without local data",
            next_step="move them yourself, or allow it with evict_bare_pods or evict_local_data "
            "(harbor_ca_evict_bare_pods, harbor_ca_evict_local_data of the role)",
        )
    seen.update((pod["metadata"]["uid"], name_of(pod)) for pod in pods.evict)
    return pods


def _evict_all(cluster: Cluster, node: str, limits: Limits, clock: Clock, seen: dict[str, str]) -> Pods:
    """Evict until nobody is left to be evicted. A connection that is lost on the way is no answer yet."""
    deadline = clock.now() + limits.timeout
    asked: set[str] = set()
    while True:
        failure: KubeError
        try:
            pods = _evictable(cluster, node, limits, seen)
            refused = _evict_new(cluster, pods, asked)
            if refused is not None:
                pods = _evictable(cluster, node, limits, seen)
            if not pods.evict:
                return pods
            failure = _out_of_time(cluster, node, pods, refused or {}, limits)
        except (Unreachable, Throttled, Rejected) as exc:
            failure = exc
        if clock.now() >= deadline:
            raise failure
        clock.sleep(_pause(clock, deadline, limits))


def _evict_new(cluster: Cluster, pods: Pods, asked: set[str]) -> dict[str, str] | None:
    """Ask for the eviction of those that were not asked yet: why some may not go. None if all were."""
    new = [
        pod
        for pod in pods.evict
        if pod["metadata"]["uid"] not in asked and "deletionTimestamp" not in pod["metadata"]
    ]
    refused = {}
    for pod in new:
        gone, why = _evict_one(cluster, pod)
        if gone:
            asked.add(pod["metadata"]["uid"])
        elif why:
            refused[name_of(pod)] = why
    return refused if new else None


def _out_of_time(
    cluster: Cluster, node: str, pods: Pods, refused: dict[str, str], limits: Limits
) -> DrainFailed:
    return DrainFailed(
        f"Node {node!r} could not be drained within {limits.timeout:g} seconds.",
        reason="drain_timeout",
        context=cluster.target.context,
        found=[refused.get(name, f"{name}: still terminating") for name in map(name_of, pods.evict)],
        expected="no pod that has to move",
        next_step="see why the other replicas are not Ready, or raise the timeout; then run again",
    )


def _evict_one(cluster: Cluster, pod: dict[str, Any]) -> tuple[bool, str]:
    """Whether the pod goes or has gone, and else why it may not go yet."""
    metadata = pod["metadata"]
    try:
        cluster.evict(metadata.get("namespace", ""), metadata["name"], metadata["uid"])
    except NotFound:
        return True, ""
    except (Conflict, Throttled, Rejected) as exc:
        # A budget without room answers 429, more than one budget for a pod answers 500. After a 409 another pod has
        # its name by now, or it changed at that moment: the next list tells.
        return False, f"{name_of(pod)}: {exc.found}"
    return True, ""


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
    if is_ours(cluster.node(node)):
        wait_ready(cluster, node, limits, check_mode=check_mode, clock=clock)
    patch = _set_cordon(cluster, node, False, check_mode) or {}
    return {"changed": bool(patch), "uncordoned": "spec" in patch}
