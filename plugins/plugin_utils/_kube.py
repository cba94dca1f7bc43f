# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cluster, asked through the official client, never through its models.

**PRIVATE** to the collection. Answers are taken as bytes and read with json: turning 5,000 nodes into
client models costs many times more than fetching them. Retries are counted here and nowhere else.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kube_errors import (
    ListExpired,
    Rejected,
    Target,
    plain,
    translate,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import Access, client_for

T = TypeVar("T")

_RETRIED = (429, 500, 502, 503, 504)
_LONGEST_WAIT = 30.0


class Cluster:
    """The calls that this collection makes, each with the same retries and the same failures."""

    def __init__(
        self,
        client: Any,
        target: Target,
        *,
        timeout: float = 30.0,
        attempts: int = 5,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        from kubernetes.client import ApiException, AuthorizationV1Api, CoreV1Api
        from urllib3.exceptions import HTTPError

        self.target = target
        self._failures = (ApiException, HTTPError, OSError)
        self._client = client
        self._core = CoreV1Api(client)
        self._authorization = AuthorizationV1Api(client)
        self._timeout = timeout
        self._attempts = max(1, attempts)
        self._sleep = sleep or time.sleep

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(
        self, action: str, function: Callable[..., Any], *args: Any, once: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Call a method of the client and read its answer. Waits as told when the server is busy, unless once."""
        attempts = 1 if once else self._attempts
        kwargs.update(_preload_content=False, _request_timeout=(self._timeout, self._timeout))
        for attempt in range(1, attempts + 1):
            try:
                data = function(*args, **kwargs).data
                break
            except self._failures as exc:
                status = getattr(exc, "status", None)
                hung_up = type(exc).__name__ == "ProtocolError"  # a kept connection that the server closed
                if attempt == attempts or not (status in _RETRIED or hung_up):
                    raise translate(exc, self.target, action) from exc
                self._sleep(_wait(exc, attempt))
        try:
            answer = json.loads(data)
            if not isinstance(answer, dict):
                raise ValueError(f"a JSON {type(answer).__name__}")
        except ValueError as exc:
            raise Rejected(
                f"{self.target}: {self.target.server} is not a Kubernetes API.",
                reason="not_kubernetes",
                context=self.target.context,
                path=self.target.path,
                found=plain(exc),
                expected="a JSON object",
                next_step="check the server address in the kubeconfig, and what proxy stands before it",
            ) from exc
        return answer

    def list_nodes(
        self,
        keep: Callable[[dict[str, Any]], T],
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int = 250,
    ) -> list[T]:
        """What keep makes of every node. Only one page of raw nodes is in memory at a time.

        A list whose continue token expires (410) is begun anew: the part read before belongs to an
        older state of the cluster.
        """
        query: dict[str, Any] = {"limit": page_size}
        if label_selector:
            query["label_selector"] = label_selector
        if field_selector:
            query["field_selector"] = field_selector
        for beginning in range(1, self._attempts + 1):
            kept: list[T] = []
            try:
                while True:
                    page = self.call("list nodes", self._core.list_node, **query)
                    kept.extend(keep(node) for node in self._items(page))
                    token = (page.get("metadata") or {}).get("continue") or ""
                    if not token:
                        return kept
                    query["_continue"] = token
                    del page
            except ListExpired:
                if beginning == self._attempts:
                    raise
                query.pop("_continue", None)
        raise AssertionError("the last attempt returns or raises")

    def _items(self, page: dict[str, Any]) -> list[dict[str, Any]]:
        items = page.get("items", [])
        if page.get("kind") != "NodeList" or not isinstance(items, list):
            raise Rejected(
                f"{self.target}: {self.target.server} answered with something else than nodes.",
                reason="not_kubernetes",
                context=self.target.context,
                path=self.target.path,
                found=f"kind {plain(page.get('kind'))}",
                expected="kind NodeList",
                next_step="check the server address in the kubeconfig, and what proxy stands before it",
            )
        return items

    def node(self, name: str) -> dict[str, Any]:
        return self.call(f"get node {name}", self._core.read_node, name)

    # A dictionary goes out as a strategic merge patch from every version of the client; only newer ones
    # can be told otherwise. For labels, annotations and taints that is the same as a merge patch.

    def patch_node(self, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Taints in it replace all taints, so it should name the resourceVersion."""
        return self.call(f"patch node {name}", self._core.patch_node, name, patch)

    def patch_node_status(self, name: str, patch: dict[str, Any]) -> dict[str, Any]:
        """Conditions merge by their type."""
        return self.call(f"patch the status of node {name}", self._core.patch_node_status, name, patch)

    def pods_on(self, node: str) -> list[dict[str, Any]]:
        """All pods that are bound to a node, of all namespaces. A node holds a few hundred at most."""
        answer = self.call(
            f"list the pods of node {node}",
            self._core.list_pod_for_all_namespaces,
            field_selector=f"spec.nodeName={node}",
        )
        return list(answer.get("items") or [])

    def evict(self, namespace: str, name: str, uid: str) -> None:
        """Ask once for the eviction of this very pod; a StatefulSet gives its next one the same name."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": namespace, "name": name},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        self.call(
            f"evict pod {namespace}/{name}",
            self._core.create_namespaced_pod_eviction,
            name,
            namespace,
            body,
            once=True,
        )

    def may(self, verb: str, resource: str, subresource: str = "", group: str = "") -> bool:
        """Whether we may, by the server's own word (SelfSubjectAccessReview)."""
        asked = {"verb": verb, "resource": resource, "group": group}
        if subresource:
            asked["subresource"] = subresource
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        answer = self.call(
            "ask what we may do", self._authorization.create_self_subject_access_review, review
        )
        return bool((answer.get("status") or {}).get("allowed"))


def _wait(exc: Exception, attempt: int) -> float:
    headers = getattr(exc, "headers", None) or {}
    try:
        told = float(headers.get("Retry-After", ""))
    except ValueError:
        told = 0.0
    # Spread, so that many runs which were refused together do not come back together.
    spread = 0.25 * 2**attempt * (0.75 + random.random() / 2)  # noqa: S311 - spreads load, keeps no secret
    return float(min(_LONGEST_WAIT, max(told, spread)))


def connect(access: Access, *, attempts: int = 5, sleep: Callable[[float], None] | None = None) -> Cluster:
    """The cluster behind a kubeconfig's context or a pod's service account."""
    client, target = client_for(access)
    return Cluster(client, target, timeout=access.timeout, attempts=attempts, sleep=sleep)
