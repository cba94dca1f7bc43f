# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node objects as hosts: flatten, choose an address, name the groups.

**PRIVATE** to the collection. Pure functions on what the API sent. Most of a node object can be written
by the node itself: fields of the wrong type are read as absent, and addresses and names that could
lead Ansible somewhere else than to that node are refused.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._standing import (
    CERTIFIED,
    STALE,
    UNCERTIFIED,
)

IP_TYPES = ("InternalIP", "ExternalIP")
NAME_TYPES = ("Hostname", "InternalDNS", "ExternalDNS")
ADDRESS_TYPES = (*IP_TYPES, *NAME_TYPES)

_ROLE = "node-role.kubernetes.io/"
_CONTROL_PLANE = {"control-plane", "master", "controlplane"}
_DISTRIBUTION = re.compile(r"\+(k3s|rke2|k0s)")
_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*", re.IGNORECASE
)
# Groups whose name a node can have too; the others have a _ in it.
_GROUPS = ("worker", "ready", CERTIFIED, UNCERTIFIED, STALE)
# Names with a meaning of their own to Ansible: a node of that name would take over the controller's tasks.
_RESERVED = {"localhost", "all", "ungrouped"}


class Kept(NamedTuple):
    """What of a node is kept beside the fixed fields."""

    label: str
    proof: str
    annotations: tuple[str, ...] = ()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def flatten(node: dict[str, Any], cluster: str, kept: Kept) -> dict[str, Any]:
    """A node object as one small dictionary that JSON can hold. Never raises, whatever the object holds."""
    metadata, spec, status = _dict(node.get("metadata")), _dict(node.get("spec")), _dict(node.get("status"))
    info = _dict(status.get("nodeInfo"))
    labels = {key: value for key, value in _dict(metadata.get("labels")).items() if isinstance(value, str)}
    annotations = _dict(metadata.get("annotations"))
    runtime = _text(info.get("containerRuntimeVersion"))
    runtime_name, _sep, runtime_version = runtime.partition("://")
    roles = sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE))
    conditions = {
        _text(item.get("type")): _text(item.get("status")) for item in _list(status.get("conditions"))
    }
    distribution = _DISTRIBUTION.search(_text(info.get("kubeletVersion")))
    proof = annotations.get(kept.proof)
    return {
        "name": _text(metadata.get("name")),
        "cluster": cluster,
        "uid": _text(metadata.get("uid")),
        "created": _text(metadata.get("creationTimestamp")),
        "provider_id": _text(spec.get("providerID")),
        "addresses": [
            {"type": _text(item.get("type")), "address": _text(item.get("address"))}
            for item in _list(status.get("addresses"))
        ],
        "labels": labels,
        "annotations": {
            key: annotations[key] for key in kept.annotations if isinstance(annotations.get(key), str)
        },
        "taints": [
            {key: _text(item.get(key)) for key in ("key", "value", "effect")}
            for item in _list(spec.get("taints"))
        ],
        "unschedulable": spec.get("unschedulable") is True,
        "conditions": conditions,
        "ready": conditions.get("Ready") == "True",
        "roles": roles,
        "control_plane": not _CONTROL_PLANE.isdisjoint(roles),
        "runtime": {"id": runtime, "name": runtime_name, "version": runtime_version},
        "distribution": distribution[1] if distribution else "",
        "os": _text(info.get("operatingSystem")),
        "architecture": _text(info.get("architecture")),
        "os_image": _text(info.get("osImage")),
        "kernel": _text(info.get("kernelVersion")),
        "kubelet_version": _text(info.get("kubeletVersion")),
        "proof": proof if isinstance(proof, str) else None,
    }


def usable_address(kind: str, address: str) -> bool:
    """Whether an address can only mean that node: no options for ssh, not this machine, not a group."""
    if kind in IP_TYPES:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return not (ip.is_loopback or ip.is_unspecified or ip.is_multicast or ip.is_link_local)
    if kind in NAME_TYPES and _NAME.fullmatch(address):
        lower = address.lower()
        digits = re.fullmatch(r"[0-9.]+", address) is not None
        return not (digits or lower == "localhost" or lower.endswith(".localhost"))
    return False


def pick_address(addresses: Iterable[dict[str, str]], preference: Iterable[str]) -> str | None:
    """The first usable address of the first type that has one."""
    known = list(addresses)
    for wanted in preference:
        for item in known:
            if item["type"] == wanted and usable_address(wanted, item["address"]):
                return item["address"]
    return None


def usable_name(name: str) -> bool:
    """Whether a node's name may become an inventory name."""
    return _NAME.fullmatch(name) is not None and not reserved(name)


def reserved(name: str) -> bool:
    """Whether Ansible takes a name for the controller, or for more than one host."""
    return name.lower() in _RESERVED or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def inventory_name(name: str, cluster: str, *, several: bool) -> str:
    """The node's name; with its cluster's, if the inventory file names several clusters, or a group has the name.

    What another cluster holds must not rename a host, so this depends on the file alone.
    """
    return f"{name}.{re.sub(r'[^A-Za-z0-9_.-]+', '-', cluster)}" if several else name


def is_group(name: str, prefix: str) -> bool:
    """Whether a node has the name of a group of ours. Ansible takes it for the group then, and fails."""
    return name in {prefix + group for group in _GROUPS}


def group_names(node: dict[str, Any], state: str, prefix: str) -> list[str]:
    """The groups that every node is in, as valid group names."""
    named = {
        "runtime": node["runtime"]["name"],
        "os": node["os"],
        "arch": node["architecture"],
        "distribution": node["distribution"],
        "cluster": node["cluster"],
    }
    names = [
        "cluster_nodes",
        "control_plane" if node["control_plane"] else "worker",
        "ready" if node["ready"] else "not_ready",
        state,
        *(f"{kind}_{value}" for kind, value in named.items() if value),
    ]
    return [re.sub(r"[^A-Za-z0-9_]", "_", prefix + name) for name in names]
