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
import socket
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
# A name that a template made: also with a context in it, which may have a _.
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}")
# What the API server checks of labels and annotations, and nobody of conditions. ansible-core before 2.19 knows of
# values only that they are no templates: braces in a key would be run on the controller.
_KEY = re.compile(r"[A-Za-z0-9._/-]+")
_GROUPS = (
    *("cluster_nodes", "control_plane", "worker", "ready", "not_ready", "no_address"),
    *(CERTIFIED, UNCERTIFIED, STALE),
)
_KINDS = ("runtime_", "os_", "arch_", "distribution_", "cluster_")
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


def _texts(value: Any) -> dict[str, str]:
    return {
        key: text for key, text in _dict(value).items() if isinstance(text, str) and _KEY.fullmatch(str(key))
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def flatten(node: dict[str, Any], cluster: str, kept: Kept) -> dict[str, Any]:
    """A node object as one small dictionary that JSON can hold. Never raises, whatever the object holds."""
    metadata, spec, status = _dict(node.get("metadata")), _dict(node.get("spec")), _dict(node.get("status"))
    info = _dict(status.get("nodeInfo"))
    labels, annotations = _texts(metadata.get("labels")), _texts(metadata.get("annotations"))
    runtime = _text(info.get("containerRuntimeVersion"))
    runtime_name, _sep, runtime_version = runtime.partition("://")
    roles = sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE))
    conditions = _texts(
        {_text(item.get("type")): _text(item.get("status")) for item in _list(status.get("conditions"))}
    )
    distribution = _DISTRIBUTION.search(_text(info.get("kubeletVersion")))
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
        "annotations": {key: annotations[key] for key in kept.annotations if key in annotations},
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
        "proof": annotations.get(kept.proof),
    }


def is_flat(row: Any) -> bool:
    """Whether something read from a cache has the form that flatten gives."""
    pattern = flatten({}, "", Kept("", ""))
    return (
        isinstance(row, dict)
        and row.keys() == pattern.keys()
        and all(isinstance(row[key], type(value)) for key, value in pattern.items() if key != "proof")
        and isinstance(row["proof"], (str, type(None)))
        and all(_is_all_text(row[key]) for key in ("labels", "annotations", "conditions"))
        and _is_all_text(row["runtime"], {"id", "name", "version"})
        and all(_is_all_text(item, {"type", "address"}) for item in row["addresses"])
        and all(_is_all_text(item, {"key", "value", "effect"}) for item in row["taints"])
    )


def _is_all_text(value: Any, keys: set[str] | None = None) -> bool:
    if not isinstance(value, dict) or (keys is not None and value.keys() != keys):
        return False
    return all(isinstance(text, str) for item in value.items() for text in item)


def usable_address(kind: str, address: str) -> bool:
    """Whether an address can only mean that node: no options for ssh, not this machine, not a group."""
    if kind in IP_TYPES:
        try:
            ip = _plain_ip(address)
        except ValueError:
            return False
        return not (ip.is_loopback or ip.is_unspecified or ip.is_multicast or ip.is_link_local)
    if kind in NAME_TYPES and _NAME.fullmatch(address):
        # Resolvers read a name that ends in a number as an address, also in hexadecimal (inet_aton(3)).
        last = address.lower().rpartition(".")[2]
        return last != "localhost" and re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last) is None
    return False


def _plain_ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that a connection goes to: ::ffff:127.0.0.1 is 127.0.0.1."""
    ip = ipaddress.ip_address(address)
    return getattr(ip, "ipv4_mapped", None) or ip


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


def usable_host(name: str, prefix: str) -> bool:
    """Whether a name that a template made may become an inventory name. A node may have written parts of it."""
    return _HOST.fullmatch(name) is not None and not (reserved(name) or is_group(name, prefix))


def reserved(name: str) -> bool:
    """Whether Ansible takes a name for the controller, or for more than one host."""
    lower = name.lower()
    return lower in _RESERVED or lower.endswith(".localhost") or _leads_home(name)


def _leads_home(name: str) -> bool:
    """Whether a host without ansible_host would be this machine: 127.0.0.1, but also 0x7f.1 and 0."""
    try:
        ip = _plain_ip(name)
    except ValueError:
        try:
            ip = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, ValueError):
            return False
    return ip.is_loopback or ip.is_unspecified


def inventory_name(name: str, cluster: str, *, several: bool) -> str:
    """The node's name; with its cluster's, if the inventory file names several clusters, or a group has the name.

    What another cluster holds must not rename a host, so this depends on the file alone.
    """
    return f"{name}.{re.sub(r'[^A-Za-z0-9_.-]+', '-', cluster)}" if several else name


def is_group(name: str, prefix: str) -> bool:
    """Whether a node has the name of a group of ours. Ansible takes it for the group then, and fails."""
    prefix = re.sub(r"[^A-Za-z0-9_]", "_", prefix)
    bare = name.removeprefix(prefix)
    return name.startswith(prefix) and (bare in _GROUPS or bare.startswith(_KINDS))


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
