# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts and groups from the nodes of one or many Kubernetes clusters."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_nodes
short_description: Hosts and groups from the nodes of Kubernetes clusters
version_added: 0.1.0
author:
  - The nodetrust.harbor maintainers (@nodetrust)
description:
  - Every node of the cluster is a host, so a node that somebody added last is not forgotten.
  - Hosts are the machines, never pods or services.
  - Groups tell which nodes hold a valid proof that they trust the registry, and which do not.
  - The inventory file may have any name that ends in V(.yml) or V(.yaml), and says
    C(plugin) V(nodetrust.harbor.cluster_nodes) in it.
  - Nothing that a node can write on itself, labels and annotations above all, becomes a connection
    variable. Addresses that lead back to the controller, and names with a meaning of their own to
    Ansible such as V(localhost), are refused. Values from the API are never templated.
extends_documentation_fragment:
  - nodetrust.harbor._kube
  - constructed
  - inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [nodetrust.harbor.cluster_nodes]
  kubeconfig:
    description:
      - The kubeconfig to use; several separated by a colon, as in E(KUBECONFIG).
      - A relative path starts at the inventory file.
      - Without it E(KUBECONFIG) counts, then C(~/.kube/config).
  contexts:
    description:
      - The contexts of the kubeconfig to read, one cluster each. Without it the current one.
      - With two or more, hosts are named C(node.context), so that nodes of the same name stay apart. So is a node
        that has the name of a group, such as V(worker).
    type: list
    elements: str
    default: []
  on_cluster_error:
    description:
      - What to do when a cluster does not answer. V(fail) fails the inventory source and names the context.
      - V(warn) goes on with the other clusters. Its nodes are then missing from this run.
    type: str
    choices: [fail, warn]
    default: fail
  label_selector:
    description: Only nodes with these labels, as in C(kubectl get nodes -l). The server does the selecting.
    type: str
  field_selector:
    description:
      - Only nodes with these fields, such as V(spec.unschedulable=false). The server does the selecting.
    type: str
  page_size:
    description: How many nodes to ask for at a time. Bounds the memory, not the number of hosts.
    type: int
    default: 250
  address_types:
    description:
      - The kinds of address that may become C(ansible_host), best first.
      - A node without any of them is in group C(no_address) and named in a warning.
    type: list
    elements: str
    choices: [InternalIP, ExternalIP, Hostname, InternalDNS, ExternalDNS]
    default: [InternalIP, ExternalIP, Hostname]
  hostname:
    description:
      - Jinja2 expression, without braces, for the inventory name, such as
        C(cluster_node.name ~ '.example.com').
      - Two nodes that get the same name are an error.
    type: str
  annotations:
    description:
      - Annotations to keep in C(cluster_node.annotations). The others are dropped, for they can be large.
    type: list
    elements: str
    default: []
  group_prefix:
    description: Put before the names of the groups that this plugin makes itself.
    type: str
    default: ""
  certified_label:
    description:
      - The label that M(nodetrust.harbor.node_certification) sets.
      - V(node-restriction.kubernetes.io/harbor-certified) is one that a node cannot set on itself.
    type: str
    default: harbor-certified
  proof_annotation:
    description: The annotation that M(nodetrust.harbor.node_certification) sets.
    type: str
    default: nodetrust.harbor/proof
  proof_validity_hours:
    description: A proof older than this makes the node stale.
    type: int
    default: 168
  registries:
    description:
      - The registries that a proof must cover. A proof that lacks one of them, or was made with
        other pins, makes the node stale. Without this option any proof counts.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: The registry as in image references, C(host) or C(host:port).
        type: str
        required: true
      fingerprints:
        description: SHA-256 fingerprints of the CAs. Without them it is enough that the registry was proved.
        type: list
        elements: str
        default: []
seealso:
  - module: nodetrust.harbor.node_certification
notes:
  - Ansible turns an inventory that fails into a warning and carries on without hosts. Set
    E(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED) to V(true), as the playbooks of this collection do not run
    without hosts.
  - Do not cache for runs that may restart a runtime. Whether a node is cordoned, and which proof it has, would be what
    it was when the cache was written, so that a node which an earlier run left cordoned would not be given back.
  - "The groups: C(cluster_nodes) (all), C(control_plane) or C(worker), C(ready) or C(not_ready),
    C(certified), C(uncertified) or C(stale), C(runtime_NAME), C(os_NAME), C(arch_NAME), C(cluster_CONTEXT),
    C(distribution_NAME) for k3s, RKE2 and k0s, and C(no_address)."
  - An unprotected label and every annotation can be set by a node on itself. The groups are a work list,
    not a proof; what keeps pods away is the taint, which a node cannot remove.
"""

EXAMPLES = r"""
# cluster_nodes.yml: the nodes of the current context, nothing else to say
plugin: nodetrust.harbor.cluster_nodes
---
# Three clusters in one run; only Linux nodes; a node is stale after a day or with other pins
plugin: nodetrust.harbor.cluster_nodes
kubeconfig: ~/.kube/fleet
contexts: [prod-eu, prod-us, staging]
on_cluster_error: warn
label_selector: kubernetes.io/os=linux
certified_label: node-restriction.kubernetes.io/harbor-certified
proof_validity_hours: 24
registries:
  - host: harbor.27.96.156.180.nip.io
    fingerprints: ["SHA256:5E:7A:…"]
keyed_groups:
  - key: cluster_node.labels['topology.kubernetes.io/zone']
    prefix: zone
compose:
  ansible_user: "'admin'"
---
# From a pod of the cluster, with its service account
plugin: nodetrust.harbor.cluster_nodes
in_cluster: true

# The variables of a host:
#
# ansible_host: 10.0.3.17                 # from address_types
# cluster_node:
#   name: worker-3                        # the node's name in its cluster
#   cluster: prod-eu                      # the context; in-cluster for a service account
#   uid: 0b6e8a2e-…                       # changes when a node is made anew under an old name
#   created: "2026-01-02T03:04:05Z"
#   provider_id: aws:///eu-west-1a/i-…
#   addresses: [{type: InternalIP, address: 10.0.3.17}, …]
#   labels: {topology.kubernetes.io/zone: eu-west-1a, …}
#   annotations: {}                       # those in the option annotations
#   taints: [{key: dedicated, value: gpu, effect: NoSchedule}, …]
#   unschedulable: false
#   conditions: {Ready: "True", DiskPressure: "False", …}
#   ready: true
#   roles: [control-plane]
#   control_plane: true
#   runtime: {id: "containerd://2.1.9", name: containerd, version: 2.1.9}
#   distribution: ""                      # or k3s, rke2, k0s
#   os: linux
#   architecture: amd64
#   os_image: Debian GNU/Linux 13 (trixie)
#   kernel: 6.12.48
#   kubelet_version: v1.36.2
#   certification:
#     state: stale                        # or certified, uncertified
#     reason: the proof is too old
#     time: "2026-11-01T10:00:00Z"
#     runtime: containerd://2.1.9
#     registries: {harbor.example.com: ["SHA256:…"]}
"""

import difflib
import hashlib
import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ansible_collections.nodetrust.harbor.plugins.module_utils._errors import TrustError
from ansible_collections.nodetrust.harbor.plugins.module_utils._names import kind_of, parse_registry
from ansible_collections.nodetrust.harbor.plugins.module_utils._pem import parse_pin
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _nodes, _standing
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube import connect
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import Access, server_of
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._seen import Seen
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._unsafe import mark_unsafe

_NAME = "nodetrust.harbor.cluster_nodes"
# What is in a cache file. Another version of it is fetched anew, not read.
_CACHE_FORMAT = 1

Node = dict[str, Any]


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = _NAME

    def verify_file(self, path: str) -> bool:
        """Any YAML file that names this plugin; also one that is encrypted and might."""
        if not super().verify_file(path) or not path.endswith((".yml", ".yaml")):
            return False
        with open(path, "rb") as handle:
            head = handle.read(64 * 1024)
        return b"cluster_nodes" in head or head.startswith(b"$ANSIBLE_VAULT")

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._check_options(path, self._read_config_data(path))
        try:
            self._policy = self._read_policy()
            nodes = self._cached(path, cache)
            self._add(inventory, nodes)
        except TrustError as exc:
            raise AnsibleParserError(f"{path}: {exc}") from None  # Ansible would print the cause again

    # verify and configure

    def _check_options(self, path: str, config: dict[str, Any]) -> None:
        known = set(self.option_definitions)
        for name in config:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, 1)
                raise AnsibleParserError(
                    f"{path}: there is no option {name!r}. "
                    + (
                        f"Next step: did you mean {close[0]!r}?"
                        if close
                        else f"Next step: ansible-doc -t inventory {_NAME}."
                    )
                )

    def _read_policy(self) -> _standing.Policy:
        registries = {
            parse_registry(item["host"]).name: [parse_pin(pin) for pin in item.get("fingerprints") or []]
            for item in self._registries()
        }
        return _standing.Policy(
            self.get_option("certified_label"),
            self.get_option("proof_annotation"),
            timedelta(hours=self.get_option("proof_validity_hours")),
            registries or None,
        )

    def _registries(self) -> list[dict[str, Any]]:
        """The option as it is documented; Ansible itself checks suboptions of modules only."""
        found = self.get_option("registries")
        for item in found if isinstance(found, list) else [found]:
            pins = item.get("fingerprints") if isinstance(item, dict) else None
            if not isinstance(item, dict) or "host" not in item or item.keys() - {"host", "fingerprints"}:
                wrong = (
                    sorted(map(str, item)) if isinstance(item, dict) else f"an entry that is {kind_of(item)}"
                )
            elif pins is not None and not isinstance(pins, list):
                wrong = f"fingerprints that are {kind_of(pins)}"
            else:
                continue
            raise TrustError(
                "The option registries is not what it has to be.",
                reason="invalid_registries",
                found=wrong,
                expected="a list of entries with host and, if wanted, fingerprints, which is a list",
                next_step=f"ansible-doc -t inventory {_NAME} has an example",
            )
        return list(found)

    def _accesses(self, path: str) -> list[Access]:
        kubeconfig = self.get_option("kubeconfig")
        if kubeconfig:
            # Options of type path would start at the current directory, not at the file.
            here = os.path.dirname(os.path.abspath(path))
            parts = (
                os.path.join(here, os.path.expanduser(part)) for part in kubeconfig.split(os.pathsep) if part
            )
            kubeconfig = os.pathsep.join(parts)
        timeout = self.get_option("request_timeout")
        if self.get_option("in_cluster"):
            return [Access(in_cluster=True, timeout=timeout)]
        contexts: list[str | None] = list(dict.fromkeys(self.get_option("contexts"))) or [None]
        return [Access(kubeconfig, context, timeout=timeout) for context in contexts]

    # fetch, flatten and cache

    def _cached(self, path: str, cache: bool) -> list[Node]:
        enabled = self.get_option("cache")
        key = f"{self.get_cache_key(path)}_{self._request_digest(path)}" if enabled else ""
        if enabled and cache:
            nodes = self._from_cache(key)
            if nodes is not None:
                return nodes
        nodes, complete = self._fetch(path)
        if enabled and complete:
            self._cache[key] = {"format": _CACHE_FORMAT, "nodes": nodes}
        return nodes

    def _request_digest(self, path: str) -> str:
        """What was asked for: an edited file must not get the answer to another question."""
        names = ("kubeconfig", "contexts", "in_cluster", "label_selector", "field_selector", "annotations",
                 "certified_label", "proof_annotation")  # fmt: skip
        asked = [self.get_option(name) for name in names] + [os.environ.get("KUBECONFIG")]
        asked += [server_of(access) for access in self._accesses(path)]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]

    def _from_cache(self, key: str) -> list[Node] | None:
        try:
            found = self._cache[key]
        except KeyError:
            return None
        except Exception as exc:  # each cache plugin fails on a damaged file in its own way
            self.display.warning(f"{_NAME}: the cache is unreadable and is fetched anew. Found: {exc}")
            return None
        nodes = (
            found.get("nodes") if isinstance(found, dict) and found.get("format") == _CACHE_FORMAT else None
        )
        if not isinstance(nodes, list) or not all(map(_nodes.is_flat, nodes)):
            self.display.warning(f"{_NAME}: the cache has another form and is fetched anew.")
            return None
        return nodes

    def _fetch(self, path: str) -> tuple[list[Node], bool]:
        kept = _nodes.Kept(self._policy.label, self._policy.annotation, tuple(self.get_option("annotations")))
        nodes: list[Node] = []
        complete = True
        for access in self._accesses(path):
            try:
                found = self._fetch_cluster(access, kept)
            except TrustError as exc:
                if self.get_option("on_cluster_error") == "fail":
                    raise
                self.display.warning(f"{path}: a cluster is missing from this run. {exc}")
                complete = False
                continue
            if not found:
                name = access.context or "the current context"
                self.display.warning(
                    f"{path}: no nodes in {name}. Found: an empty list. "
                    "Next step: check the context, label_selector and field_selector."
                )
            nodes += found
        return nodes, complete

    def _fetch_cluster(self, access: Access, kept: _nodes.Kept) -> list[Node]:
        with connect(access) as cluster:
            name = cluster.target.context
            return cluster.list_nodes(
                lambda node: _nodes.flatten(node, name, kept),
                label_selector=self.get_option("label_selector"),
                field_selector=self.get_option("field_selector"),
                page_size=self.get_option("page_size"),
            )

    # add

    def _add(self, inventory: Any, nodes: list[Node]) -> None:
        several = len(self.get_option("contexts")) > 1
        options = {
            name: self.get_option(name)
            for name in (
                "strict",
                "compose",
                "groups",
                "keyed_groups",
                "hostname",
                "address_types",
                "group_prefix",
            )
        }
        now = datetime.now(timezone.utc)
        groups: dict[str, str] = {}
        seen = Seen()
        for row in nodes:
            node = {**row}  # the row itself may be on its way to the cache
            if not _nodes.usable_name(node["name"]):
                seen.refused.append(repr(node["name"])[:80])
                continue
            verdict = _standing.judge(
                node["labels"].get(self._policy.label),
                node.pop("proof"),
                node["runtime"]["id"],
                self._policy,
                now,
            )
            node["certification"] = _standing.as_facts(verdict)
            address = _nodes.pick_address(node["addresses"], options["address_types"])
            variables = {"cluster_node": mark_unsafe(node)}
            if address:
                variables["ansible_host"] = address
            longer = several or _nodes.is_group(node["name"], options["group_prefix"])
            name = _nodes.inventory_name(node["name"], node["cluster"], several=longer)
            if options["hostname"]:
                name = self._templated_name(options["hostname"], variables, name, options["strict"])
            seen.note(name, node, address)
            inventory.add_host(name)
            for key, value in variables.items():
                inventory.set_variable(name, key, value)
            wanted = _nodes.group_names(node, verdict.state, options["group_prefix"])
            if not address:
                wanted.append(options["group_prefix"] + "no_address")
            for group in wanted:
                if group not in groups:
                    groups[group] = inventory.add_group(group)
                inventory.add_child(groups[group], name)
            self._set_composite_vars(options["compose"], variables, name, options["strict"])
            self._add_host_to_composed_groups(options["groups"], variables, name, options["strict"])
            self._add_host_to_keyed_groups(options["keyed_groups"], variables, name, options["strict"])
        for warning in seen.warnings():
            self.display.warning(f"{_NAME}: {warning}")

    def _templated_name(self, template: Any, variables: Node, name: str, strict: bool) -> str:
        try:
            wanted = self._compose(template, variables)
            if not isinstance(wanted, str) or not wanted:
                raise ValueError("the result is not a text")
            if not _nodes.usable_host(wanted, self.get_option("group_prefix")):
                raise ValueError(f"{wanted[:80]!r} is no host name, or means something else to Ansible")
        except Exception as exc:
            if strict:
                raise AnsibleParserError(
                    f"{_NAME}: the option hostname fails for node {name!r}. Expression: {template}. "
                    f"Found: {exc}. Next step: write an expression without braces, such as cluster_node.name."
                ) from exc
            self.display.warning(
                f"{_NAME}: the option hostname fails for node {name!r}, which keeps its name. Found: {exc}."
            )
            return name
        return wanted
