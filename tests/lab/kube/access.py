# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: users, their rules, and the NodeRestriction admission for kubelets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nodetrust.harbor.tests.lab.kube.status import forbidden

NODE_RESTRICTION = "node-restriction.kubernetes.io/"


@dataclass(frozen=True)
class Rule:
    """One RBAC rule; ``*`` stands for all. A subresource is written ``nodes/status``."""

    verbs: tuple[str, ...]
    resources: tuple[str, ...]
    groups: tuple[str, ...] = ("",)

    def allows(self, verb: str, group: str, resource: str) -> bool:
        return (
            ("*" in self.verbs or verb in self.verbs)
            and ("*" in self.groups or group in self.groups)
            and ("*" in self.resources or resource in self.resources)
        )


@dataclass
class User:
    name: str
    rules: tuple[Rule, ...] = ()
    token: str | None = None
    expired: bool = False
    groups: tuple[str, ...] = field(default=())

    def may(self, verb: str, group: str, resource: str) -> bool:
        # Every authenticated user may ask what it may do (system:basic-user).
        if (verb, group, resource) == ("create", "authorization.k8s.io", "selfsubjectaccessreviews"):
            return True
        return any(rule.allows(verb, group, resource) for rule in self.rules)

    def require(self, verb: str, group: str, resource: str, name: str = "") -> None:
        if not self.may(verb, group, resource):
            raise forbidden(self.name, verb, resource, group, name)


ADMIN = (Rule(("*",), ("*",), ("*",)),)
KUBELET = (Rule(("get", "list", "patch", "create"), ("nodes", "nodes/status")),)


def rules_from_manifest(documents: list[dict[str, Any]]) -> tuple[Rule, ...]:
    """The rules of every ClusterRole in a manifest, so that shipped RBAC is what the tests run under."""
    return tuple(
        Rule(tuple(rule["verbs"]), tuple(rule["resources"]), tuple(rule["apiGroups"]))
        for document in documents
        if document["kind"] == "ClusterRole"
        for rule in document["rules"]
    )


def restrict_kubelet(user: User, old: dict[str, Any], new: dict[str, Any]) -> None:
    """What the NodeRestriction admission refuses to a kubelet's own credential."""
    if not user.name.startswith("system:node:"):
        return
    name = old["metadata"]["name"]
    me = user.name.removeprefix("system:node:")
    if me != name:
        raise forbidden(
            user.name, "patch", "nodes", "", name, f"node {me!r} is not allowed to modify node {name!r}"
        )
    if old["spec"].get("taints") != new["spec"].get("taints"):
        raise forbidden(user.name, "patch", "nodes", "", name, f"node {me!r} is not allowed to modify taints")
    before, after = old["metadata"].get("labels") or {}, new["metadata"].get("labels") or {}
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    if guarded := sorted(key for key in changed if key.startswith(NODE_RESTRICTION)):
        raise forbidden(
            user.name, "patch", "nodes", "", name, f"is not allowed to modify labels: {', '.join(guarded)}"
        )
