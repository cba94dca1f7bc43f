# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""node_certification and cluster_access_info as tasks, against an API server over TLS."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError

from ansible_collections.nodetrust.harbor.plugins.action import cluster_access_info, node_certification
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _access, _kube
from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, Rule, User, make_node
from ansible_collections.nodetrust.harbor.tests.lab.kube.access import rules_from_manifest
from ansible_collections.nodetrust.harbor.tests.unit.plugins.action.on_controller import run_action

NODES = "/api/v1/nodes"
ROOT = Path(__file__).parents[4]
PIN = "SHA256:" + ":".join(["AB"] * 32)
HARBOR = [{"host": "harbor.example.com", "fingerprints": [PIN]}]
OURS = {"key": "nodetrust.harbor/unproven", "effect": "NoSchedule"}
FOREIGN = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}


class Lab:
    def __init__(self, api: KubeApi, directory: Path) -> None:
        self.api, self.directory = api, directory
        self.kubeconfig = api.write_kubeconfig(directory / "kubeconfig")

    def certify(self, *names: str, nodes: Any = None, **options: Any) -> dict[str, Any]:
        return run_action(
            node_certification,
            **{
                "kubeconfig": str(self.kubeconfig),
                "nodes": nodes or [{"name": name} for name in names],
                "registries": HARBOR,
                **options,
            },
        )

    def node(self, name: str) -> dict[str, Any]:
        return self.api.store.get("nodes", name)

    def taints(self, name: str) -> list[str]:
        return [item["key"] for item in self.node(name)["spec"].get("taints") or []]

    def label(self, name: str) -> str | None:
        return self.node(name)["metadata"]["labels"].get("harbor-certified")

    def run_as(self, *jobs: str) -> None:
        """From now on with no more rights than the shipped manifests of these jobs give."""
        documents = [
            doc
            for job in jobs
            for doc in yaml.safe_load((ROOT / f"deploy/rbac/{job}.yml").read_text())["items"]
        ]
        self.api.users = [User("runner", rules_from_manifest(documents), token="runner")]
        self.api.write_kubeconfig(self.kubeconfig, user="runner")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(_kube, "time", SimpleNamespace(sleep=lambda seconds: None))
    with KubeApi() as api:
        yield Lab(api, tmp_path)


def test_certify_lose_and_forget(lab: Lab) -> None:
    lab.run_as("certification")
    lab.api.store.add(make_node("a", taints=[FOREIGN, OURS]), make_node("b", taints=[OURS]))
    first = lab.certify("a", "b")
    assert first["changed"]
    assert [item["changed"] for item in first["changes"]] == [["label", "annotation", "taint"]] * 2
    assert (lab.label("a"), lab.taints("a"), lab.taints("b")) == ("true", ["dedicated"], [])
    again = lab.certify("a", "b")
    assert (again["changed"], again["unchanged"], again["changes"]) == (False, 2, [])

    lost = lab.certify(nodes=[{"name": "a", "state": "uncertified"}, {"name": "b"}])
    assert [(item["name"], item["state"]) for item in lost["changes"]] == [("a", "uncertified")]
    assert (lab.label("a"), lab.taints("a")) == (None, ["dedicated", "nodetrust.harbor/unproven"])

    lab.certify("a", "b", state="absent", registries=[])
    for name in ("a", "b"):
        assert (lab.label(name), "nodetrust.harbor/unproven" in lab.taints(name)) == (None, False)
        assert "nodetrust.harbor/proof" not in lab.node(name)["metadata"]["annotations"]
    assert not lab.certify("a", "b", state="absent", registries=[])["changed"]


def test_check_mode_says_the_same_and_writes_nothing(lab: Lab) -> None:
    lab.api.store.add(make_node("a", taints=[OURS]))
    predicted = lab.certify("a", check_mode=True, diff=True)
    assert lab.api.count("PATCH", ".*") == 0
    done = lab.certify("a", diff=True)
    assert predicted["changes"] == done["changes"]
    (diff,) = done["diff"]
    assert diff["before"]["label"] is None
    assert diff["after"]["label"] == "true"
    assert diff["before"]["taints"] == ["nodetrust.harbor/unproven:NoSchedule"]
    assert diff["after"]["taints"] == []
    assert "diff" not in lab.certify("a")


def test_many_nodes_cost_one_list_and_a_patch_for_each_that_differs(lab: Lab) -> None:
    names = [f"n{number:03}" for number in range(300)]
    lab.api.store.add(*(make_node(name) for name in names))
    lab.certify(*names)
    lab.api.requests.clear()
    for name in names[:5]:
        lab.api.store.edit("nodes", name, lambda node: node["spec"].update(taints=[OURS]))
    result = lab.certify(*names)
    assert (len(result["changes"]), result["unchanged"]) == (5, 295)
    assert [(item.method, item.path) for item in lab.api.requests] == [
        *[("GET", NODES)] * 2,
        *[("PATCH", f"{NODES}/{name}") for name in names[:5]],
    ]


def test_a_few_nodes_are_read_one_by_one(lab: Lab) -> None:
    lab.api.store.add(*(make_node(f"n{number}") for number in range(20)))
    lab.certify("n3", "n4", check_mode=True)
    assert [item.path for item in lab.api.requests] == [f"{NODES}/n3", f"{NODES}/n4"]


def test_a_taint_set_in_between_survives(lab: Lab) -> None:
    lab.api.store.add(make_node("a", taints=[OURS]))
    lab.api.fail(
        "PATCH",
        f"{NODES}/a",
        before=lambda: lab.api.store.edit("nodes", "a", lambda node: node["spec"]["taints"].append(FOREIGN)),
    )
    result = lab.certify("a")
    assert [item.status for item in lab.api.requests if item.method == "PATCH"] == [409, 200]
    assert not result.get("failed")
    assert lab.taints("a") == ["dedicated"]


def test_a_node_that_never_holds_still_is_a_failure_but_the_others_are_certified(lab: Lab) -> None:
    lab.api.store.add(make_node("a"), make_node("b"))

    def touch() -> None:
        lab.api.store.edit(
            "nodes", "a", lambda node: node["metadata"]["labels"].update(x=str(len(lab.api.requests)))
        )

    lab.api.fail("PATCH", f"{NODES}/a", before=touch, times=None)
    result = lab.certify("a", "b")
    assert result["failed"]
    assert [(item["name"], item["reason"]) for item in result["failures"]] == [("a", "conflict")]
    assert "Not certified: a." in result["msg"]
    assert lab.api.count("PATCH", f"{NODES}/a") == 5
    assert lab.label("b") == "true"


def test_a_node_made_anew_is_not_certified(lab: Lab) -> None:
    lab.api.store.add(make_node("a", uid="new"), make_node("b"))
    result = lab.certify(nodes=[{"name": "a", "uid": "old"}, {"name": "b"}])
    assert [(item["name"], item["reason"]) for item in result["failures"]] == [("a", "node_replaced")]
    assert (lab.label("a"), lab.label("b")) == (None, "true")


def test_a_node_made_anew_between_list_and_patch_is_not_certified(lab: Lab) -> None:
    lab.api.store.add(make_node("a", uid="old"))

    def replace() -> None:
        lab.api.store.delete("nodes", "a")
        lab.api.store.add(make_node("a", uid="new", taints=[OURS]))

    lab.api.fail("PATCH", f"{NODES}/a", before=replace)
    assert lab.certify("a")["failures"][0]["reason"] == "node_replaced"
    assert lab.taints("a") == ["nodetrust.harbor/unproven"]


def test_a_node_that_is_not_in_the_cluster_is_a_warning(lab: Lab) -> None:
    lab.api.store.add(make_node("a"))
    result = lab.certify("a", "late")
    assert not result.get("failed")
    assert result["missing"] == ["late"]
    assert "late" in result["warnings"][0]
    assert lab.label("a") == "true"


def test_a_busy_server_is_waited_for(lab: Lab) -> None:
    lab.api.store.add(make_node("a"))
    lab.api.fail("PATCH", f"{NODES}/a", status=429, retry_after=1, times=3)
    assert lab.certify("a")["changed"]
    assert [item.status for item in lab.api.requests if item.method == "PATCH"] == [429, 429, 429, 200]


def test_a_server_that_stays_busy_is_a_failure_that_tells_what_was_done(lab: Lab) -> None:
    lab.api.store.add(make_node("a"), make_node("b"))
    lab.api.fail("PATCH", f"{NODES}/b", status=429, times=None)
    lab.api.store.add(make_node("c"))
    result = lab.certify("a", "b", "c")
    assert (result["failed"], result["reason"], result["changed"]) == (True, "throttled", True)
    assert [item["name"] for item in result["changes"]] == ["a", "c"]
    assert [(item["name"], item["context"]) for item in result["failures"]] == [("b", "lab")]


def test_a_server_that_is_busy_for_all_is_left_alone_soon(lab: Lab) -> None:
    lab.api.store.add(*(make_node(name) for name in "abcdef"))
    lab.api.fail("PATCH", f"{NODES}/.*", status=429, times=None)
    result = lab.certify(*"abcdef")
    assert [item["name"] for item in result["failures"]] == list("abcdef")
    assert lab.api.count("PATCH", ".*") == 15, "five attempts for each of three nodes"


def test_the_missing_verb_is_named(lab: Lab) -> None:
    lab.api.store.add(make_node("a"))
    lab.run_as("inventory")
    result = lab.certify("a")
    assert (result["failed"], result["reason"]) == (True, "forbidden")
    assert "missing: patch nodes." in result["msg"]
    assert "deploy/rbac" in result["msg"]


def test_condition(lab: Lab) -> None:
    lab.run_as("certification", "condition")
    lab.api.store.add(make_node("a", taints=[OURS]))
    options = {"condition": "HarborTrusted", "taint": ""}

    def status() -> list[str]:
        return [
            item["status"]
            for item in lab.node("a")["status"]["conditions"]
            if item["type"] == "HarborTrusted"
        ]

    assert lab.certify("a", **options)["changes"][0]["changed"] == ["label", "annotation", "condition"]
    assert (status(), lab.taints("a")) == (["True"], ["nodetrust.harbor/unproven"])
    assert not lab.certify("a", **options)["changed"]
    lab.certify("a", state="uncertified", **options)
    assert status() == ["False"]
    lab.run_as("certification")
    before = lab.node("a")
    refused = lab.certify("a", **options)
    assert (refused["failed"], refused["changed"]) == (True, False)
    assert "missing: patch nodes/status" in refused["msg"]
    assert lab.node("a") == before, "told as unchanged"
    lab.run_as("certification", "condition")
    lab.certify("a", state="absent", **options)
    assert status() == []
    assert len(lab.node("a")["status"]["conditions"]) == 4


def test_two_clusters_in_one_call(lab: Lab) -> None:
    with KubeApi() as other:
        mine, theirs = json.loads(lab.kubeconfig.read_text()), other.kubeconfig("two")
        for section in ("clusters", "users", "contexts"):
            mine[section] += theirs[section]
        lab.kubeconfig.write_text(json.dumps(mine))
        lab.api.store.add(make_node("a"))
        other.store.add(make_node("a"))
        result = lab.certify(nodes=[{"name": "a", "context": "lab"}, {"name": "a", "context": "two"}])
        assert [item["context"] for item in result["changes"]] == ["lab", "two"]
        assert other.store.get("nodes", "a")["metadata"]["labels"]["harbor-certified"] == "true"


class TestTwoClusters:
    """What goes wrong in one cluster is told of its nodes, and of no others."""

    @pytest.fixture
    def other(self, lab: Lab) -> Iterator[KubeApi]:
        with KubeApi() as other:
            mine, theirs = json.loads(lab.kubeconfig.read_text()), other.kubeconfig("two")
            for section in ("clusters", "users", "contexts"):
                mine[section] += theirs[section]
            lab.kubeconfig.write_text(json.dumps(mine))
            yield other

    def run(self, lab: Lab, *places: tuple[str, str]) -> dict[str, Any]:
        hostvars = {f"{name}.{cluster}": outcome(name) for name, cluster in places}
        for host, known in hostvars.items():
            known["cluster_node"] |= {"cluster": host.partition(".")[2], "uid": None}
        return run_action(
            node_certification, hostvars=hostvars, kubeconfig=str(lab.kubeconfig), hosts=list(hostvars)
        )

    def test_one_that_is_dead_does_not_hold_up_the_other(self, lab: Lab, other: KubeApi) -> None:
        other.store.add(make_node("a"), make_node("b"))
        lab.api.stop()
        result = self.run(lab, ("a", "lab"), ("b", "lab"), ("a", "two"), ("b", "two"))
        assert [(item["name"], item["context"]) for item in result["changes"]] == [("a", "two"), ("b", "two")]
        assert [(item["name"], item["context"]) for item in result["failures"]] == [
            ("a", "lab"),
            ("b", "lab"),
        ]
        assert (result["failed"], result["reason"]) == (True, "unreachable")
        told = {host: (said["certified"], said["failed"]) for host, said in result["hosts"].items()}
        assert told == {
            "a.lab": (False, True),
            "b.lab": (False, True),
            "a.two": (True, False),
            "b.two": (True, False),
        }

    def test_a_failure_of_one_node_does_not_hide_a_dead_cluster(self, lab: Lab, other: KubeApi) -> None:
        lab.api.store.add(make_node("a"), make_node("b"))
        lab.api.fail("PATCH", f"{NODES}/a", status=422, times=None)
        other.stop()
        result = self.run(lab, ("a", "lab"), ("b", "lab"), ("c", "two"))
        told = {host: (said["certified"], said["failed"]) for host, said in result["hosts"].items()}
        # c was certified before, and was not patched.
        assert told == {"a.lab": (False, True), "b.lab": (True, False), "c.two": (True, True)}
        assert "cannot reach" in result["hosts"]["c.two"]["why"]

    def test_nodes_of_one_name_are_not_taken_for_each_other(self, lab: Lab, other: KubeApi) -> None:
        lab.api.store.add(make_node("a"), make_node("b"))
        other.store.add(make_node("a"))
        lab.api.fail("PATCH", f"{NODES}/a", status=422, times=None)
        result = self.run(lab, ("a", "lab"), ("b", "lab"), ("a", "two"), ("b", "two"))
        told = {host: (said["certified"], said["failed"]) for host, said in result["hosts"].items()}
        assert told == {
            "a.lab": (False, True),
            "b.lab": (True, False),
            "a.two": (True, False),
            "b.two": (False, False),
        }
        assert result["hosts"]["b.two"]["why"] == "no longer in the cluster"
        assert result["missing"] == ["b"] and "b of two" in result["warnings"][0]


def test_a_webhook_that_refuses_one_node_is_a_failure_of_that_node(lab: Lab) -> None:
    lab.api.store.add(make_node("a"), make_node("b"))
    lab.api.fail("PATCH", f"{NODES}/a", status=403, times=None)
    result = lab.certify("a", "b")
    assert [(item["name"], item["reason"]) for item in result["failures"]] == [("a", "forbidden")]
    assert "missing: nothing by its own word" in result["msg"]
    assert lab.label("b") == "true"


def test_a_label_that_nodes_cannot_set_on_themselves(lab: Lab) -> None:
    lab.api.store.add(make_node("a"))
    label = "node-restriction.kubernetes.io/harbor-certified"
    lab.certify("a", label=label)
    assert lab.node("a")["metadata"]["labels"][label] == "true"


def test_names_that_the_server_refuses_are_failures_of_that_node(lab: Lab) -> None:
    lab.api.store.add(make_node("a"))
    result = lab.certify("a", label="not a label")
    assert (result["failed"], result["failures"][0]["reason"]) == (True, "rejected")
    assert "metadata.labels" in result["msg"]


PULLED = [{"registry": "harbor.example.com", "ok": True, "reason": "pulled"}]


def outcome(name: str, **result: Any) -> dict[str, Any]:
    registries = [{"registry": "harbor.example.com", "expected_fingerprints": [PIN]}]
    uid = make_node(name)["metadata"]["uid"]
    state = "uncertified" if name in ("a", "b") else "certified"
    return {
        "cluster_node": {"name": name, "cluster": "lab", "uid": uid, "certification": {"state": state}},
        "harbor_ca_result": {
            "ok": True,
            "proof": "proven",
            "pulls": PULLED,
            "registries": registries,
            **result,
        },
    }


def refused(name: str, reason: str) -> dict[str, Any]:
    return outcome(name, ok=False, proof="failed", pulls=[{"ok": False, "reason": reason}])


class TestHosts:
    """What the role left in its outcome decides."""

    def run(self, lab: Lab, hostvars: dict[str, Any], **options: Any) -> dict[str, Any]:
        return run_action(
            node_certification,
            hostvars=hostvars,
            kubeconfig=str(lab.kubeconfig),
            hosts=list(hostvars),
            **options,
        )

    def test_only_refused_trust_takes_the_certificate_away(self, lab: Lab) -> None:
        hostvars = {
            "a.lab": outcome("a"),
            "b.lab": refused("b", "unknown_authority"),
            "c.lab": refused("c", "connection_refused"),
            "d.lab": outcome("d", ok=False, proof="none", reason="invalid_variables"),
            "e.lab": outcome("e", proof="none"),
            "f.lab": outcome("f", proof="skipped"),
            "g.lab": {"cluster_node": outcome("g")["cluster_node"]},
            "static": {"harbor_ca_result": outcome("h")["harbor_ca_result"]},
        }
        names = "abcdefg"
        lab.api.store.add(*(make_node(name) for name in names))
        lab.certify(*"bcdefg")
        result = self.run(lab, hostvars)
        assert [(item["name"], item["state"]) for item in result["changes"]] == [
            ("a", "certified"),
            ("b", "uncertified"),
        ]
        assert [lab.label(name) for name in names] == ["true", None, *["true"] * 5]
        assert lab.taints("b") == ["nodetrust.harbor/unproven"]
        assert {host: said["certified"] for host, said in result["hosts"].items()} == {
            "a.lab": True, "b.lab": False, **dict.fromkeys(("c.lab", "d.lab", "e.lab", "f.lab", "g.lab"), True),
            "static": None,
        }  # fmt: skip
        assert {said["failed"] for said in result["hosts"].values()} == {False}
        assert not self.run(lab, hostvars)["changed"]

    def test_a_registry_that_was_left_alone_proves_nothing_and_disproves_nothing(self, lab: Lab) -> None:
        lab.api.store.add(make_node("a"), make_node("c"))
        lab.certify("c")
        hostvars = {name: outcome(name, left_alone=["mirror.example.com"]) for name in ("a", "c")}
        result = self.run(lab, hostvars)
        assert not result["changed"]
        assert [said["certified"] for said in result["hosts"].values()] == [False, True]

    def test_a_host_learns_that_its_node_could_not_be_marked(self, lab: Lab) -> None:
        lab.api.store.add(make_node("a"), make_node("b"))
        hostvars = {name: outcome(name) for name in ("a", "b", "late")}
        lab.api.fail("PATCH", f"{NODES}/a", status=422, times=None)
        said = self.run(lab, hostvars)["hosts"]
        assert (said["a"]["certified"], said["a"]["failed"]) == (False, True)
        assert "422" in said["a"]["why"]
        assert (said["b"]["certified"], said["b"]["failed"]) == (True, False)
        assert said["late"] == {"certified": False, "why": "no longer in the cluster", "failed": False}

    def test_all_hosts_learn_that_the_cluster_does_not_answer(self, lab: Lab) -> None:
        lab.api.store.add(make_node("a"))
        hostvars = {"a": outcome("a"), "b": outcome("b", proof="none")}
        lab.api.stop()
        result = self.run(lab, hostvars)
        assert (result["failed"], result["reason"]) == (True, "unreachable")
        assert result["hosts"]["a"]["failed"] and "cannot reach" in result["hosts"]["a"]["why"]
        assert not result["hosts"]["b"]["failed"], "there was nothing to say about it"

    def test_a_registry_that_is_wrong_does_not_taint_the_cluster(self, lab: Lab) -> None:
        lab.api.store.add(*(make_node(name) for name in "abc"))
        hostvars = {name: refused(name, "expired") for name in "abc"}
        result = self.run(lab, hostvars)
        assert (result["failed"], result["reason"]) == (True, "too_many_lost")
        assert "3 of 3 nodes" in result["msg"]
        assert lab.api.count("PATCH", ".*") == 0
        assert len(self.run(lab, hostvars, uncertify_at_most=100)["changes"]) == 3

    def test_drift_that_stays_takes_the_certificate_although_nothing_was_pulled(self, lab: Lab) -> None:
        lab.api.store.add(*(make_node(name) for name in "abcd"))
        lab.certify(*"abcd")
        hostvars = {"a": outcome("a", ok=False, proof="none", drifted=True)}
        hostvars["b"] = outcome("b", ok=False, proof="none", drifted=False)
        # The rest of the fleet had nothing to be corrected, so it has no outcome.
        hostvars |= {name: {"cluster_node": outcome(name)["cluster_node"]} for name in "cd"}
        result = self.run(lab, hostvars)
        assert [(item["name"], item["state"]) for item in result["changes"]] == [("a", "uncertified")]
        assert "could not be corrected" in result["hosts"]["a"]["why"]
        assert (lab.label("a"), lab.taints("a")) == (None, ["nodetrust.harbor/unproven"])
        assert not result["hosts"]["b"]["failed"] and result["hosts"]["c"]["certified"]

    def test_too_many_losses_hold_up_nobody_who_proved_its_trust(self, lab: Lab) -> None:
        lab.api.store.add(*(make_node(name) for name in "abcd"))
        hostvars = {"d": outcome("d"), **{name: refused(name, "expired") for name in "abc"}}
        result = self.run(lab, hostvars)
        assert (result["failed"], result["reason"]) == (True, "too_many_lost")
        assert [(item["name"], item["state"]) for item in result["changes"]] == [("d", "certified")]
        assert (result["hosts"]["d"]["certified"], result["hosts"]["d"]["failed"]) == (True, False)
        assert result["hosts"]["a"]["failed"] and "3 of 4 nodes" in result["hosts"]["a"]["why"]

    def test_who_has_nothing_to_lose_does_not_count_as_lost(self, lab: Lab) -> None:
        lab.api.store.add(*(make_node(name, taints=[OURS]) for name in "ab"), make_node("c"), make_node("d"))
        lab.certify("c", "d")
        hostvars = {name: refused(name, "expired") for name in "abc"}
        for name in "ab":
            hostvars[name]["cluster_node"]["taints"] = [OURS]
        hostvars["d"] = {"cluster_node": outcome("d")["cluster_node"]}
        result = self.run(lab, hostvars)
        assert not result.get("failed"), result
        assert [(item["name"], item["state"]) for item in result["changes"]] == [("c", "uncertified")]

    def test_a_registry_that_was_never_pulled_is_not_attested(self, lab: Lab) -> None:
        lab.api.store.add(make_node("a"), make_node("c"))
        lab.certify("c")
        both = [
            {"registry": name, "expected_fingerprints": [PIN]}
            for name in ("harbor.example.com", "quay.example.com:5000")
        ]
        result = self.run(lab, {name: outcome(name, registries=both) for name in "ac"})
        assert not result["changed"] and not result.get("failed")
        assert (lab.label("a"), lab.label("c")) == (None, "true"), "they stay what they were"
        for host, certified in (("a", False), ("c", True)):
            said = result["hosts"][host]
            assert (said["certified"], said["failed"]) == (certified, False)
            assert "quay.example.com:5000" in said["why"] and "proof_image" in said["why"]
            assert "harbor.example.com," not in said["why"]

    def test_a_stale_proof_is_written_anew_however_young_it_is(self, lab: Lab) -> None:
        lab.api.store.add(make_node("c"))
        lab.certify("c")
        annotation = lab.node("c")["metadata"]["annotations"]["nodetrust.harbor/proof"]
        old = json.loads(annotation) | {"time": "2026-01-01T00:00:00Z"}
        text = json.dumps(old, separators=(",", ":"), sort_keys=True)
        lab.api.store.edit(
            "nodes",
            "c",
            lambda node: node["metadata"]["annotations"].update({"nodetrust.harbor/proof": text}),
        )
        hostvars = {"c": outcome("c")}
        hours = 24 * 365 * 100  # by the module's own measure it would be young enough
        assert not self.run(lab, hostvars, proof_validity_hours=hours)["changed"]
        hostvars["c"]["cluster_node"]["certification"] = {"state": "stale", "time": old["time"]}
        result = self.run(lab, hostvars, proof_validity_hours=hours)
        assert [item["changed"] for item in result["changes"]] == [["annotation"]]
        # The inventory goes on calling it stale until the end of the run.
        assert not self.run(lab, hostvars, proof_validity_hours=hours)["changed"]

    def test_nodes_of_a_pods_cluster_are_not_looked_for_in_a_kubeconfig(self, lab: Lab) -> None:
        lab.api.store.add(make_node("a"), make_node("b"))
        hostvars = {name: outcome(name) for name in "ab"}
        hostvars["b"]["cluster_node"]["cluster"] = "in-cluster"
        result = self.run(lab, hostvars)
        assert (result["failed"], result["reason"]) == (True, "mixed_clusters")
        assert "from the service account of a pod: b" in result["msg"]
        assert all(said["failed"] for said in result["hosts"].values())
        assert lab.api.requests == []

    @pytest.mark.parametrize("state", ["absent", "uncertified"])
    def test_a_machine_made_anew_has_nothing_to_lose(self, lab: Lab, state: str) -> None:
        lab.api.store.add(make_node("c", uid="new"))
        lab.certify("c")
        result = self.run(lab, {"c": outcome("c")}, state=state)
        assert [item["reason"] for item in result["failures"]] == ["node_replaced"]
        assert lab.label("c") == "true"

    def test_a_few_lost_nodes_are_measured_against_the_whole_fleet(self, lab: Lab) -> None:
        lab.api.store.add(*(make_node(name) for name in "abcde"))
        hostvars = {name: refused(name, "expired") for name in "ab"}
        hostvars |= {name: {"cluster_node": outcome(name)["cluster_node"]} for name in "cde"}
        assert [item["state"] for item in self.run(lab, hostvars)["changes"]] == ["uncertified"] * 2

    @pytest.mark.parametrize(
        ("state", "taints"), [("absent", []), ("uncertified", ["nodetrust.harbor/unproven"])]
    )
    def test_another_state_is_for_all_hosts_with_or_without_an_outcome(
        self, lab: Lab, state: str, taints: list[str]
    ) -> None:
        lab.api.store.add(*(make_node(name) for name in "ab"))
        lab.certify(*"ab")
        hostvars = {"a": outcome("a"), "b": {"cluster_node": outcome("b")["cluster_node"]}, "static": {}}
        result = self.run(lab, hostvars, state=state)
        assert [(item["name"], item["state"]) for item in result["changes"]] == [("a", state), ("b", state)]
        assert [(lab.label(name), lab.taints(name)) for name in "ab"] == [(None, taints)] * 2

    def test_one_of_nodes_and_hosts(self, lab: Lab) -> None:
        for options in ({}, {"nodes": [{"name": "a"}], "hosts": ["a"]}):
            with pytest.raises(AnsibleError, match="nodes"):
                run_action(node_certification, **options)


PLAY = """
- hosts: uncertified:stale
  gather_facts: false
  tasks:
    - set_fact:
        harbor_ca_result:
          ok: true
          proof: proven
          registries: [{registry: harbor.example.com, expected_fingerprints: ["PIN"]}]
          pulls: [{registry: harbor.example.com, ok: true}]
    - nodetrust.harbor.node_certification:
        kubeconfig: "{{ inventory_dir }}/kubeconfig"
        hosts: "{{ ansible_play_batch }}"
      run_once: true
""".replace("PIN", PIN)


def test_from_inventory_to_certificate_in_a_playbook(lab: Lab) -> None:
    lab.api.store.add(*(make_node(name, taints=[OURS]) for name in ("a", "b")))
    (lab.directory / "fleet.yml").write_text(
        "plugin: nodetrust.harbor.cluster_nodes\nkubeconfig: kubeconfig\n"
    )
    (lab.directory / "play.yml").write_text(PLAY)
    program = Path(sys.executable).parent / "ansible-playbook"
    command = [str(program), "-i", "fleet.yml", "play.yml"]
    done = subprocess.run(command, cwd=lab.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [lab.label(name) for name in ("a", "b")] == ["true", "true"]
    assert lab.taints("a") == []
    # Nobody is left to be certified; an empty play is what --limit finds from now on.
    again = subprocess.run(command, cwd=lab.directory, capture_output=True, text=True, check=False)
    assert "no hosts matched" in again.stdout


def test_a_certification_uses_every_right_that_it_asks_for(lab: Lab) -> None:
    lab.api.store.add(*(make_node(f"n{number:02}") for number in range(11)))
    lab.certify("n00", condition="HarborTrusted")
    lab.certify(*(f"n{number:02}" for number in range(11)))
    done = {item.verb for item in lab.api.requests}
    needed = {str(right) for job in ("certification", "condition") for right in _access.NEEDED[job]}
    assert done == needed


@pytest.mark.parametrize("job", sorted(_access.NEEDED))
def test_manifests_give_what_is_needed_and_no_more(lab: Lab, job: str) -> None:
    documents = yaml.safe_load((ROOT / f"deploy/rbac/{job}.yml").read_text())["items"]
    given = {
        (verb, resource, group)
        for rule in rules_from_manifest(documents)
        for verb in rule.verbs
        for resource in rule.resources
        for group in rule.groups
    }
    needed = {
        (right.verb, right.resource + (f"/{right.subresource}" if right.subresource else ""), right.group)
        for right in _access.NEEDED[job]
    }
    assert given == needed


class TestAccess:
    def test_all_is_there(self, lab: Lab) -> None:
        lab.run_as("inventory", "certification", "drain")
        result = run_action(
            cluster_access_info, kubeconfig=str(lab.kubeconfig), jobs=["inventory", "certification", "drain"]
        )
        assert result["clusters"] == [{"context": "lab", "missing": []}]
        assert not result.get("failed")

    def test_what_is_missing_is_named(self, lab: Lab) -> None:
        lab.api.users = [User("runner", (Rule(("get", "list"), ("nodes", "pods")),), token="runner")]
        lab.api.write_kubeconfig(lab.kubeconfig, user="runner")
        result = run_action(
            cluster_access_info, kubeconfig=str(lab.kubeconfig), jobs=["certification", "drain"]
        )
        assert result["clusters"][0]["missing"] == [
            "patch nodes",
            "create pods/eviction",
        ]
        assert result["failed"]
        assert "create pods/eviction" in result["msg"]
        assert "deploy/rbac/drain.yml" in result["msg"]

    def test_a_cluster_that_is_not_there(self, lab: Lab) -> None:
        lab.api.stop()
        result = run_action(cluster_access_info, kubeconfig=str(lab.kubeconfig), jobs=["inventory"])
        assert (result["failed"], result["reason"], result["context"]) == (True, "unreachable", "lab")
