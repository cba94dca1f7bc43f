# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects with the shape and the size of real ones: a node of some 12 KB, pods, disruption budgets."""

from __future__ import annotations

import copy
import hashlib
import uuid
from typing import Any

_BORN = "2026-01-02T03:04:05Z"
_NAMESPACE = uuid.UUID("6f0bd1c2-7a30-4a5f-9a50-6d2c3f1c9a77")

_CONDITIONS = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def _digest(*parts: object) -> str:
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).hexdigest()


def _images(name: str) -> list[dict[str, Any]]:
    # A kubelet reports at most 50 images; fleets share most of them.
    images = []
    for number in range(38):
        repository = f"harbor.example.com/platform/team-{number % 7}/service-{number}"
        images.append(
            {
                "names": [
                    f"{repository}@sha256:{_digest(number)}",
                    f"{repository}:v1.{number}.{len(name) % 4}",
                ],
                "sizeBytes": 900_000_000 - number * 17_000_123,
            }
        )
    return images


def _managed_fields() -> list[dict[str, Any]]:
    def fields(*names: str) -> dict[str, Any]:
        return {f"f:{name}": {} for name in names}

    condition = fields("lastHeartbeatTime", "lastTransitionTime", "message", "reason", "status")
    status = {
        "f:allocatable": fields(
            "cpu", "ephemeral-storage", "hugepages-1Gi", "hugepages-2Mi", "memory", "pods"
        ),
        "f:capacity": fields("cpu", "ephemeral-storage", "hugepages-1Gi", "hugepages-2Mi", "memory", "pods"),
        "f:conditions": {f'k:{{"type":"{kind}"}}': condition for kind, *_rest in _CONDITIONS},
        "f:images": {},
        "f:nodeInfo": fields(
            "bootID", "containerRuntimeVersion", "kernelVersion", "kubeletVersion", "osImage"
        ),
    }
    labels = fields(
        ".",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "topology.kubernetes.io/zone",
    )
    shared = {"apiVersion": "v1", "fieldsType": "FieldsV1", "operation": "Update", "time": _BORN}
    return [
        {
            **shared,
            "manager": "kubelet",
            "fieldsV1": {
                "f:metadata": {
                    "f:annotations": fields(".", "volumes.kubernetes.io/controller-managed-attach-detach"),
                    "f:labels": labels,
                }
            },
        },
        {
            **shared,
            "manager": "kube-controller-manager",
            "fieldsV1": {
                "f:metadata": {"f:annotations": fields("node.alpha.kubernetes.io/ttl")},
                "f:spec": {"f:podCIDR": {}, "f:podCIDRs": {".": {}, 'v:"10.42.0.0/24"': {}}},
            },
        },
        {**shared, "manager": "kubelet", "subresource": "status", "fieldsV1": {"f:status": status}},
    ]


def make_node(
    name: str,
    *,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    addresses: list[dict[str, str]] | None = None,
    address: str | None = None,
    runtime: str = "containerd://2.1.9",
    os: str = "linux",
    arch: str = "amd64",
    ready: str = "True",
    control_plane: bool = False,
    unschedulable: bool = False,
    uid: str | None = None,
) -> dict[str, Any]:
    """A node object as a kubelet registers it and a cluster fills it."""
    number = int(_digest(name)[:6], 16)
    if address is None:
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    if addresses is None:
        addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
    all_labels = {
        "beta.kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": os,
        "kubernetes.io/arch": arch,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": os,
        "node.kubernetes.io/instance-type": "m6i.2xlarge",
        "topology.kubernetes.io/region": "eu-west-1",
        "topology.kubernetes.io/zone": f"eu-west-1{'abc'[number % 3]}",
    }
    if control_plane:
        all_labels["node-role.kubernetes.io/control-plane"] = ""
    all_labels.update(labels or {})
    resources = {
        "cpu": "8",
        "ephemeral-storage": "203056560Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": "32309876Ki",
        "pods": "110",
    }
    spec: dict[str, Any] = {
        "podCIDR": "10.42.0.0/24",
        "podCIDRs": ["10.42.0.0/24"],
        "providerID": f"aws:///eu-west-1a/i-{_digest(name)[:17]}",
    }
    if taints:
        spec["taints"] = copy.deepcopy(taints)
    if unschedulable:
        spec["unschedulable"] = True
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "uid": uid or str(uuid.uuid5(_NAMESPACE, name)),
            "creationTimestamp": _BORN,
            "labels": all_labels,
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
                **(annotations or {}),
            },
            "managedFields": _managed_fields(),
        },
        "spec": spec,
        "status": {
            "addresses": addresses,
            "allocatable": {**resources, "cpu": "7910m", "memory": "31482740Ki"},
            "capacity": resources,
            "conditions": [
                {
                    "type": kind,
                    "status": ready if kind == "Ready" else status,
                    "reason": reason,
                    "message": message,
                    "lastHeartbeatTime": _BORN,
                    "lastTransitionTime": _BORN,
                }
                for kind, status, reason, message in _CONDITIONS
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "images": _images(name),
            "nodeInfo": {
                "architecture": arch,
                "bootID": str(uuid.uuid5(_NAMESPACE, name + "boot")),
                "containerRuntimeVersion": runtime,
                "kernelVersion": "6.12.48",
                "kubeProxyVersion": "",
                "kubeletVersion": "v1.36.2",
                "machineID": _digest(name, "machine")[:32],
                "operatingSystem": os,
                "osImage": "Debian GNU/Linux 13 (trixie)",
                "systemUUID": str(uuid.uuid5(_NAMESPACE, name + "system")),
            },
        },
    }


def make_pod(
    name: str,
    node: str,
    *,
    namespace: str = "default",
    labels: dict[str, str] | None = None,
    owner: str | None = "ReplicaSet",
    mirror: bool = False,
    empty_dir: bool = False,
    phase: str = "Running",
) -> dict[str, Any]:
    """A pod; owner is the kind of its controller, None for a bare one."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": str(uuid.uuid5(_NAMESPACE, f"{namespace}/{name}")),
        "creationTimestamp": _BORN,
        "labels": dict(labels or {}),
    }
    if mirror:
        metadata["annotations"] = {"kubernetes.io/config.mirror": _digest(name)[:32]}
        owner = "Node"
    if owner:
        metadata["ownerReferences"] = [
            {
                "apiVersion": "v1" if owner == "Node" else "apps/v1",
                "kind": owner,
                "name": f"{name}-owner",
                "uid": str(uuid.uuid5(_NAMESPACE, f"{name}-owner")),
                "controller": True,
            }
        ]
    volumes: list[dict[str, Any]] = [{"name": "scratch", "emptyDir": {}}] if empty_dir else []
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {
            "nodeName": node,
            "containers": [{"name": "app", "image": "harbor.example.com/app:1"}],
            "volumes": volumes,
        },
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]},
    }


def make_pdb(
    name: str, match_labels: dict[str, str], *, allowed: int, namespace: str = "default"
) -> dict[str, Any]:
    """A disruption budget that still allows that many evictions."""
    return {
        "kind": "PodDisruptionBudget",
        "apiVersion": "policy/v1",
        "metadata": {"name": name, "namespace": namespace, "uid": str(uuid.uuid5(_NAMESPACE, name))},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": match_labels}},
        "status": {
            "disruptionsAllowed": allowed,
            "currentHealthy": 1,
            "desiredHealthy": 1,
            "expectedPods": 2,
        },
    }
