# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API server does for each resource: validation, patch, eviction, access reviews."""

from __future__ import annotations

import copy
import uuid
from typing import Any

from ansible_collections.nodetrust.harbor.tests.lab.kube import patches
from ansible_collections.nodetrust.harbor.tests.lab.kube.access import User, restrict_kubelet
from ansible_collections.nodetrust.harbor.tests.lab.kube.selectors import (
    label_selector,
    valid_label_key,
    valid_label_value,
)
from ansible_collections.nodetrust.harbor.tests.lab.kube.status import (
    StatusError,
    bad_request,
    conflict,
    invalid,
)
from ansible_collections.nodetrust.harbor.tests.lab.kube.store import Store

_SPEC_FIELDS = {"configSource", "externalID", "podCIDR", "podCIDRs", "providerID", "taints", "unschedulable"}
_EFFECTS = {"NoSchedule", "PreferNoSchedule", "NoExecute"}


def validate_node(node: dict[str, Any]) -> None:
    """What the API server checks of a node, as far as labels, annotations and taints go."""
    name, metadata = node["metadata"]["name"], node["metadata"]
    for key, value in (metadata.get("labels") or {}).items():
        if not valid_label_key(key):
            raise invalid("nodes", name, "metadata.labels", f'Invalid value: "{key}"')
        if not valid_label_value(value):
            raise invalid("nodes", name, "metadata.labels", f'Invalid value: "{value}"')
    for key, value in (metadata.get("annotations") or {}).items():
        if not valid_label_key(key.lower()):
            raise invalid("nodes", name, "metadata.annotations", f'Invalid value: "{key}"')
        if not isinstance(value, str):
            raise bad_request(f"json: cannot unmarshal into metadata.annotations of type string: {key}")
    if sum(len(key) + len(value) for key, value in (metadata.get("annotations") or {}).items()) > 256 * 1024:
        raise invalid("nodes", name, "metadata.annotations", "Too long: may not be more than 262144 bytes")
    if unknown := set(node["spec"]) - _SPEC_FIELDS:
        raise bad_request(f'strict decoding error: unknown field "spec.{min(unknown)}"')
    seen = set()
    for place, taint in enumerate(node["spec"].get("taints") or []):
        field = f"spec.taints[{place}]"
        if unknown := set(taint) - {"key", "value", "effect", "timeAdded"}:
            raise bad_request(f'strict decoding error: unknown field "{field}.{min(unknown)}"')
        if not valid_label_key(taint.get("key", "")):
            raise invalid("nodes", name, f"{field}.key", f'Invalid value: "{taint.get("key", "")}"')
        if taint.get("effect") not in _EFFECTS:
            raise invalid("nodes", name, f"{field}.effect", f'Unsupported value: "{taint.get("effect", "")}"')
        if (taint["key"], taint["effect"]) in seen:
            raise invalid(
                "nodes", name, field, f"Duplicate value: taints must be unique by key and effect: {taint}"
            )
        seen.add((taint["key"], taint["effect"]))


def create_node(store: Store, body: dict[str, Any]) -> dict[str, Any]:
    if body.get("kind") != "Node" or not body.get("metadata", {}).get("name"):
        raise bad_request("a Node with metadata.name is required")
    node = copy.deepcopy(body)
    node["metadata"].setdefault("uid", str(uuid.uuid4()))
    node.setdefault("spec", {})
    node.setdefault("status", {})
    validate_node(node)
    return store.create("nodes", node)


def patch_node(
    store: Store, user: User, name: str, subresource: str, content_type: str, patch: Any
) -> dict[str, Any]:
    """Patch, with the retries on inner conflicts that the real server makes for patches without a version."""
    while True:
        old = store.get("nodes", name)
        new = patches.apply(content_type, old, patch)
        if new["metadata"].get("uid") != old["metadata"]["uid"]:
            raise invalid("nodes", name, "metadata.uid", "Invalid value: field is immutable")
        if new["metadata"].get("name") != name:
            raise bad_request("the name of the object does not match the name on the URL")
        asked = new["metadata"].get("resourceVersion")
        if asked != old["metadata"]["resourceVersion"]:
            raise conflict("nodes", name)
        # A subresource writes its own half of the object only.
        half = "spec" if subresource == "status" else "status"
        new[half] = old[half]
        validate_node(new)
        restrict_kubelet(user, old, new)
        try:
            return store.replace("nodes", old, new)
        except StatusError as exc:
            # Without a version in the patch a race is the server's to solve, not the client's.
            if exc.code != 409 or _names_version(content_type, patch):
                raise


def _names_version(content_type: str, patch: Any) -> bool:
    if content_type == patches.JSON:
        return any(step.get("path") == "/metadata/resourceVersion" for step in patch)
    return "resourceVersion" in (patch.get("metadata") or {})


def _budgets(store: Store, pod: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for budget in store.all("poddisruptionbudgets"):
        labels = budget["spec"]["selector"].get("matchLabels") or {}
        selector = label_selector(",".join(f"{key}={value}" for key, value in labels.items()))
        if budget["metadata"]["namespace"] == pod["metadata"]["namespace"] and selector(pod):
            found.append(budget)
    return found


def patch_budget_status(
    store: Store, name: str, namespace: str, content_type: str, patch: Any
) -> dict[str, Any]:
    """What the disruption controller does when other replicas become Ready, or are lost."""
    with store.lock:
        old = store.get("poddisruptionbudgets", name, namespace)
        new = {**old, "status": patches.apply(content_type, old, patch)["status"]}
        return store.replace("poddisruptionbudgets", old, {**new, "metadata": dict(old["metadata"])})


def evict(store: Store, namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Delete a pod if its disruption budget allows that, and count it there."""
    if (body.get("apiVersion"), body.get("kind")) != ("policy/v1", "Eviction"):
        raise bad_request(
            f"no kind {body.get('kind')!r} is registered for version {body.get('apiVersion')!r}"
        )
    if body.get("metadata", {}).get("name", name) != name:
        raise bad_request("name in URL does not match name in Eviction object")
    with store.lock:
        pod = store.get("pods", name, namespace)
        wanted = ((body.get("deleteOptions") or {}).get("preconditions") or {}).get("uid")
        if wanted not in (None, pod["metadata"]["uid"]):
            raise conflict("pods", name)
        budgets = [] if pod["status"].get("phase") in ("Succeeded", "Failed") else _budgets(store, pod)
        if len(budgets) > 1:
            raise StatusError(
                500,
                "InternalError",
                "This pod has more than one PodDisruptionBudget, "
                "which the eviction subresource does not support.",
            )
        for budget in budgets:
            status, title = budget["status"], budget["metadata"]["name"]
            if status["disruptionsAllowed"] < 1:
                cause = (
                    f"The disruption budget {title} needs {status['desiredHealthy']} healthy pods and has "
                    f"{status['currentHealthy']} currently"
                )
                raise StatusError(
                    429,
                    "TooManyRequests",
                    "Cannot evict pod as it would violate the pod's disruption budget.",
                    details={"causes": [{"reason": "DisruptionBudget", "message": cause}]},
                )
            store.edit(
                "poddisruptionbudgets",
                title,
                lambda item: item["status"].update(
                    disruptionsAllowed=item["status"]["disruptionsAllowed"] - 1
                ),
                namespace,
            )
        if store.graceful:
            stamp = {"deletionTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": 30}
            store.edit("pods", name, lambda item: item["metadata"].update(stamp), namespace)
        else:
            store.delete("pods", name, namespace)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def review_access(user: User, body: dict[str, Any]) -> dict[str, Any]:
    """SelfSubjectAccessReview: the answer to "may I?", from the same rules that decide."""
    expected = ("authorization.k8s.io/v1", "SelfSubjectAccessReview")
    if (body.get("apiVersion"), body.get("kind")) != expected:
        raise bad_request(
            f"no kind {body.get('kind')!r} is registered for version {body.get('apiVersion')!r}"
        )
    asked = (body.get("spec") or {}).get("resourceAttributes")
    if not asked or "verb" not in asked or "resource" not in asked:
        raise invalid("selfsubjectaccessreviews", "", "spec.resourceAttributes", "Required value")
    if unknown := set(asked) - {"verb", "resource", "subresource", "group", "version", "name", "namespace"}:
        raise bad_request(f'strict decoding error: unknown field "spec.resourceAttributes.{min(unknown)}"')
    resource = asked["resource"] + (f"/{asked['subresource']}" if asked.get("subresource") else "")
    allowed = user.may(asked["verb"], asked.get("group", ""), resource)
    status = {"allowed": allowed} if allowed else {"allowed": False, "reason": ""}
    return {**body, "status": status}
