# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's API server is as strict as the one it stands for."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.tests.lab.kube import (
    KubeApi,
    Rule,
    User,
    make_node,
    make_pdb,
    make_pod,
)
from ansible_collections.nodetrust.harbor.tests.lab.kube.patches import JSON, MERGE, STRATEGIC

NODES = "/api/v1/nodes"
ADMIN = "admin-token"


class Caller:
    """Plain HTTPS calls: no client library that would be strict, or lenient, on the server's behalf."""

    def __init__(self, api: KubeApi, token: str | None = ADMIN, certificate: Any = None) -> None:
        context = ssl.create_default_context(cafile=str(api.authority.path))
        if certificate:
            context.load_cert_chain(*certificate)
        host, _colon, port = api.url.removeprefix("https://").partition(":")
        self.connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        headers = {
            **self.headers,
            **({"Content-Type": content_type} if body is not None and content_type else {}),
        }
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        self.last_headers = answer.headers
        return answer.status, json.loads(answer.read())


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with KubeApi() as server:
        yield server


@pytest.fixture
def call(api: KubeApi) -> Caller:
    return Caller(api)


def test_node_has_the_size_of_a_real_one() -> None:
    assert 11_000 < len(json.dumps(make_node("worker-1"))) < 14_000


def test_pages_show_one_state_of_the_cluster(api: KubeApi, call: Caller) -> None:
    api.store.add(*(make_node(f"n{number}") for number in range(5)))
    _status, first = call("GET", f"{NODES}?limit=2")
    api.store.delete("nodes", "n3")
    api.store.add(make_node("n9"))
    _status, second = call("GET", f"{NODES}?limit=2&continue={first['metadata']['continue']}")
    _status, third = call("GET", f"{NODES}?limit=2&continue={second['metadata']['continue']}")
    names = [node["metadata"]["name"] for page in (first, second, third) for node in page["items"]]
    assert names == ["n0", "n1", "n2", "n3", "n4"]
    assert [page["metadata"].get("remainingItemCount") for page in (first, second, third)] == [3, 1, None]
    assert "continue" not in third["metadata"]
    assert len({page["metadata"]["resourceVersion"] for page in (first, second, third)}) == 1
    assert "kind" not in first["items"][0], "members of a list carry no kind"


def test_expired_continue_offers_an_inconsistent_one(api: KubeApi, call: Caller) -> None:
    api.store.add(*(make_node(f"n{number}") for number in range(3)))
    _status, first = call("GET", f"{NODES}?limit=2")
    api.store.expire_lists()
    status, answer = call("GET", f"{NODES}?limit=2&continue={first['metadata']['continue']}")
    assert (status, answer["reason"]) == (410, "Expired")
    status, answer = call("GET", f"{NODES}?limit=2&continue={answer['metadata']['continue']}")
    assert (status, [node["metadata"]["name"] for node in answer["items"]]) == (200, ["n2"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("labelSelector=pool%3Da", ["one"]),
        ("labelSelector=pool%21%3Da", ["three", "two"]),
        ("labelSelector=pool%20in%20(a,b)", ["one", "two"]),
        ("labelSelector=pool%20notin%20(a)", ["three", "two"]),
        ("labelSelector=pool", ["one", "two"]),
        ("labelSelector=!pool,kubernetes.io/os%3Dlinux", ["three"]),
        ("fieldSelector=metadata.name%3Dtwo", ["two"]),
        ("fieldSelector=spec.unschedulable%3Dtrue", ["three"]),
        ("fieldSelector=spec.unschedulable%3Dfalse,metadata.name!%3Done", ["two"]),
    ],
)
def test_selectors(api: KubeApi, call: Caller, query: str, names: list[str]) -> None:
    api.store.add(make_node("one", labels={"pool": "a"}), make_node("two", labels={"pool": "b"}))
    api.store.add(make_node("three", unschedulable=True))
    status, answer = call("GET", f"{NODES}?{query}")
    assert (status, [node["metadata"]["name"] for node in answer["items"]]) == (200, names)


@pytest.mark.parametrize(
    ("method", "path", "content_type", "status"),
    [
        ("GET", "/api/v1/node", "", 404),
        ("GET", "/nodes", "", 404),
        ("DELETE", NODES, "", 405),
        ("PUT", f"{NODES}/one", "application/json", 405),
        ("PATCH", f"{NODES}/one", "application/json", 415),
        ("PATCH", f"{NODES}/one", "application/apply-patch+yaml", 415),
        ("POST", NODES, "text/plain", 415),
        ("GET", f"{NODES}?limits=2", "", 400),
        ("GET", f"{NODES}?limit=two", "", 400),
        ("GET", f"{NODES}?continue=junk", "", 400),
        ("GET", f"{NODES}?labelSelector=a%3D%3D%3Db", "", 400),
        ("GET", f"{NODES}?fieldSelector=status.phase%3Dx", "", 400),
        ("GET", f"{NODES}/two", "", 404),
    ],
)
def test_what_it_does_not_know_is_an_error_and_recorded(
    api: KubeApi, call: Caller, method: str, path: str, content_type: str, status: int
) -> None:
    api.store.add(make_node("one"))
    assert call(method, path, {} if content_type else None, content_type)[0] == status
    assert [request.status for request in api.requests] == [status]


@pytest.mark.parametrize("content_type", [MERGE, STRATEGIC])
def test_taints_are_replaced_as_a_whole(api: KubeApi, call: Caller, content_type: str) -> None:
    api.store.add(make_node("one", taints=[{"key": "a", "effect": "NoSchedule"}]))
    patch = {"spec": {"taints": [{"key": "b", "effect": "NoExecute"}]}}
    assert call("PATCH", f"{NODES}/one", patch, content_type)[0] == 200
    assert [taint["key"] for taint in api.store.get("nodes", "one")["spec"]["taints"]] == ["b"]


@pytest.mark.parametrize(("content_type", "count"), [(STRATEGIC, 5), (MERGE, 1)])
def test_conditions_merge_by_type_in_a_strategic_patch_only(
    api: KubeApi, call: Caller, content_type: str, count: int
) -> None:
    api.store.add(make_node("one"))
    patch = {"status": {"conditions": [{"type": "HarborTrusted", "status": "True"}]}}
    assert call("PATCH", f"{NODES}/one", patch, content_type)[0] == 200
    assert len(api.store.get("nodes", "one")["status"]["conditions"]) == 4, "only /status writes the status"
    assert call("PATCH", f"{NODES}/one/status", patch, content_type)[0] == 200
    assert len(api.store.get("nodes", "one")["status"]["conditions"]) == count


def test_json_patch(api: KubeApi, call: Caller) -> None:
    api.store.add(make_node("one"))
    path = "/metadata/labels/nodetrust.harbor~1x"
    assert call("PATCH", f"{NODES}/one", [{"op": "add", "path": path, "value": "y"}], JSON)[0] == 200
    assert api.store.get("nodes", "one")["metadata"]["labels"]["nodetrust.harbor/x"] == "y"
    assert call("PATCH", f"{NODES}/one", [{"op": "test", "path": path, "value": "z"}], JSON)[0] == 422
    assert call("PATCH", f"{NODES}/one", [{"op": "remove", "path": "/metadata/labels/none"}], JSON)[0] == 422
    assert call("PATCH", f"{NODES}/one", {}, JSON)[0] == 400


def test_null_removes_a_label_and_an_empty_patch_keeps_the_version(api: KubeApi, call: Caller) -> None:
    api.store.add(make_node("one", labels={"a": "b"}))
    _status, node = call("PATCH", f"{NODES}/one", {"metadata": {"labels": {"a": None}}}, MERGE)
    assert "a" not in node["metadata"]["labels"]
    _status, again = call("PATCH", f"{NODES}/one", {"metadata": {"labels": {"a": None}}}, MERGE)
    assert again["metadata"]["resourceVersion"] == node["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("patch", "status"),
    [
        ({"metadata": {"resourceVersion": "1"}}, 409),
        ({"metadata": {"uid": "somebody-else"}}, 422),
        ({"metadata": {"labels": {"a": "not valid"}}}, 422),
        ({"metadata": {"labels": {"-a": "b"}}}, 422),
        ({"metadata": {"annotations": {"a": 1}}}, 400),
        ({"spec": {"taints": [{"key": "a", "effect": "Never"}]}}, 422),
        ({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}] * 2}}, 422),
        ({"spec": {"taint": []}}, 400),
    ],
)
def test_patches_it_refuses(api: KubeApi, call: Caller, patch: dict[str, Any], status: int) -> None:
    api.store.add(make_node("one"))
    before = api.store.get("nodes", "one")
    assert call("PATCH", f"{NODES}/one", patch, MERGE)[0] == status
    assert api.store.get("nodes", "one") == before


def test_authentication(api: KubeApi) -> None:
    api.users.append(User("reader", (Rule(("get", "list"), ("nodes",)),), token="reader-token"))
    assert Caller(api, None)("GET", NODES)[0] == 401
    assert Caller(api, "wrong")("GET", NODES)[0] == 401
    reader = Caller(api, "reader-token")
    assert reader("GET", NODES)[0] == 200
    status, answer = reader("PATCH", f"{NODES}/one", {}, MERGE)
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert 'User "reader" cannot patch resource "nodes"' in answer["message"]
    assert Caller(api, None, api.authority.client("reader"))("GET", NODES)[0] == 200
    api.users[-1].expired = True
    assert reader("GET", NODES)[0] == 401


def test_access_review_says_what_the_rules_say(api: KubeApi) -> None:
    api.users.append(User("reader", (Rule(("list",), ("nodes",)),), token="reader-token"))
    reader = Caller(api, "reader-token")
    for verb, allowed in (("list", True), ("patch", False)):
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "resource": "nodes"}},
        }
        status, answer = reader("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        assert (status, answer["status"]["allowed"]) == (201, allowed)


def test_a_kubelet_may_label_itself_but_not_with_guarded_labels_or_taints(api: KubeApi) -> None:
    api.users.append(User("system:node:one", (Rule(("*",), ("nodes",)),), token="kubelet"))
    api.store.add(make_node("one"), make_node("two"))
    kubelet = Caller(api, "kubelet")
    guarded = "node-restriction.kubernetes.io/harbor-certified"
    for name, patch, status in (
        ("one", {"metadata": {"labels": {"harbor-certified": "true"}}}, 200),
        ("one", {"metadata": {"labels": {guarded: "true"}}}, 403),
        ("one", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, 403),
        ("two", {"metadata": {"labels": {"harbor-certified": "true"}}}, 403),
    ):
        assert kubelet("PATCH", f"{NODES}/{name}", patch, MERGE)[0] == status


def test_eviction_counts_against_the_budget(api: KubeApi, call: Caller) -> None:
    for name in ("a", "b"):
        api.store.add(make_pod(name, "one", labels={"app": "web"}))
    api.store.add(make_pod("other", "two"), make_pdb("web", {"app": "web"}, allowed=1))
    _status, answer = call("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Done")
    assert [pod["metadata"]["name"] for pod in answer["items"]] == ["a", "b"]

    def evict(name: str, version: str = "policy/v1") -> tuple[int, Any]:
        body = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
        return call("POST", f"/api/v1/namespaces/default/pods/{name}/eviction", body)

    assert evict("a", "policy/v1beta1")[0] == 400
    assert evict("a")[0] == 201
    status, answer = evict("b")
    assert (status, answer["details"]["causes"][0]["reason"]) == (429, "DisruptionBudget")
    assert evict("a")[0] == 404
    api.store.edit(
        "poddisruptionbudgets", "web", lambda item: item["status"].update(disruptionsAllowed=1), "default"
    )
    assert evict("b")[0] == 201


def test_faults_come_when_told_and_go(api: KubeApi, call: Caller) -> None:
    api.store.add(make_node("one"))
    api.fail("GET", NODES, status=429, retry_after=1, times=2)
    assert call("GET", NODES)[0] == 429
    assert call.last_headers["Retry-After"] == "1"
    assert call("GET", f"{NODES}/one")[0] == 200
    assert [call("GET", NODES)[0] for _time in range(2)] == [429, 200]


def test_a_body_without_a_type_is_json_except_in_a_patch(api: KubeApi, call: Caller) -> None:
    assert call("POST", NODES, make_node("one"), "")[0] == 201
    assert call("PATCH", f"{NODES}/one", {}, "")[0] == 415


def test_create_and_delete(api: KubeApi, call: Caller, tmp_path: Path) -> None:
    node = make_node("one")
    assert [call("POST", NODES, node)[0] for _time in range(2)] == [201, 409]
    assert [call("DELETE", f"{NODES}/one")[0] for _time in range(2)] == [200, 404]
    assert json.loads(api.write_kubeconfig(tmp_path / "config").read_text())["current-context"] == "lab"
