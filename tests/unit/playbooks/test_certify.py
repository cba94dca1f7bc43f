# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the playbooks certify: each node in its own cluster, under the names that were asked for, and from a pod."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, Rule, User, make_node
from ansible_collections.nodetrust.harbor.tests.lab.kube.access import rules_from_manifest
from tests.unit.playbooks.play import play

ROOT = Path(__file__).parents[3]
PIN = "SHA256:" + ":".join(["AB"] * 32)
LABEL = "node-restriction.kubernetes.io/harbor-certified"
TAINT = "example.com/unproven"
PROOF = "nodetrust.harbor/proof"
TIME = "%Y-%m-%dT%H:%M:%SZ"
OURS = {"key": TAINT, "effect": "NoSchedule"}
GOOD = {
    "ok": True,
    "proof": "proven",
    "registries": [{"registry": "h.example.com", "expected_fingerprints": [PIN]}],
    "pulls": [{"registry": "h.example.com", "ok": True, "reason": "pulled"}],
}
BAD = {"ok": False, "proof": "failed", "pulls": [{"reason": "unknown_authority"}]}

# As in each playbook, with the role's outcome given: first what is checked before a node is touched, then the end.
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: nodetrust.harbor.harbor_ca, tasks_from: check}
      when: false
    - ansible.builtin.import_tasks: TASKS/needs.yml
    - ansible.builtin.include_tasks: TASKS/clusters.yml
    - ansible.builtin.set_fact:
        harbor_ca_result: "{{ outcomes[inventory_hostname] }}"
    - ansible.builtin.include_tasks: TASKS/certify.yml
    - ansible.builtin.debug:
        msg: "{{ inventory_hostname }} is {{ harbor_ca_result.certified }}: {{ harbor_ca_result.certified_why }}"
"""


def run(directory: Path, source: dict[str, Any], text: str = PLAY, **variables: Any) -> tuple[int, str]:
    source = {"plugin": "nodetrust.harbor.cluster_nodes", **source}
    (directory / "fleet.yml").write_text(json.dumps(source))
    (directory / "play.yml").write_text(text.replace("TASKS", str(ROOT / "playbooks" / "tasks")))
    return play(directory, "play.yml", variables, PYTHONPATH=str(directory))


def two_clusters(eu: KubeApi, us: KubeApi) -> dict[str, Any]:
    config, more = eu.kubeconfig("eu"), us.kubeconfig("us")
    for section in ("clusters", "users", "contexts"):
        config[section] += more[section]
    return config


def status(node: dict[str, Any], condition: str) -> str | None:
    conditions = node["status"]["conditions"]
    return next((item["status"] for item in conditions if item["type"] == condition), None)


def test_nodes_of_one_name_in_two_clusters_are_marked_each_in_its_own(tmp_path: Path) -> None:
    with KubeApi() as eu, KubeApi() as us:
        eu.store.add(make_node("worker", runtime="containerd://2.1.1", taints=[OURS]))
        us.store.add(make_node("worker", runtime="containerd://2.1.2"), make_node("other", taints=[OURS]))
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(two_clusters(eu, us)))
        code, said = run(
            tmp_path,
            {"kubeconfig": "kubeconfig", "contexts": ["eu", "us"], "certified_label": LABEL},
            outcomes={"worker.eu": GOOD, "worker.us": BAD, "other.us": GOOD},
            harbor_ca_kubeconfig=str(kubeconfig),
            harbor_ca_label=LABEL,
            harbor_ca_taint=TAINT,
            harbor_ca_condition="HarborTrusted",
        )
        assert code == 0, said
        for host in ("worker.eu is True", "worker.us is False", "other.us is True"):
            assert host in said, said
        for api, name, certified in ((eu, "worker", True), (us, "worker", False), (us, "other", True)):
            node = api.store.get("nodes", name)
            labels, annotations = node["metadata"]["labels"], node["metadata"]["annotations"]
            assert labels.get(LABEL) == ("true" if certified else None)
            assert "harbor-certified" not in labels
            assert (node["spec"].get("taints") or []) == ([] if certified else [OURS])
            assert status(node, "HarborTrusted") == str(certified)
            assert (PROOF in annotations) is certified
        proof = json.loads(eu.store.get("nodes", "worker")["metadata"]["annotations"][PROOF])
        assert proof["runtime"] == "containerd://2.1.1"


@pytest.mark.parametrize("exempt", ["a", "b"])
def test_each_node_is_certified_or_not_by_its_own_word(tmp_path: Path, exempt: str) -> None:
    # The first node of a batch runs the task for all of them.
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / f"{exempt}.yml").write_text("harbor_ca_certify: never\n")
    with KubeApi() as api:
        api.store.add(*(make_node(name, taints=[OURS]) for name in "abc"))
        code, said = run(
            tmp_path,
            {"kubeconfig": "kubeconfig"},
            outcomes=dict.fromkeys("abc", GOOD),
            harbor_ca_kubeconfig=str(api.write_kubeconfig(tmp_path / "kubeconfig")),
            harbor_ca_taint=TAINT,
        )
        assert code == 0, said
        tainted = {name for name in "abc" if api.store.get("nodes", name)["spec"].get("taints")}
    assert tainted == {exempt}
    assert (
        f"{exempt} is : harbor_ca_certify is never" in said or f"{exempt} is None: harbor_ca_certify" in said
    )


def test_a_word_of_the_play_is_the_word_of_all_its_nodes(tmp_path: Path) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / "a.yml").write_text("harbor_ca_certify: auto\n")
    with KubeApi() as api:
        api.store.add(make_node("a", taints=[OURS]), make_node("b", taints=[OURS]))
        code, said = run(
            tmp_path,
            {"kubeconfig": "kubeconfig"},
            PLAY.replace("  tasks:", "  vars: {harbor_ca_certify: never}\n  tasks:"),
            outcomes=dict.fromkeys("ab", GOOD),
            harbor_ca_kubeconfig=str(api.write_kubeconfig(tmp_path / "kubeconfig")),
            harbor_ca_taint=TAINT,
        )
        assert code == 0, said
        assert api.count("PATCH", ".*") == 0, said


PICK = """
- hosts: all
  gather_facts: false
  vars: {__harbor_ca_group: picked}
  tasks:
    - ansible.builtin.set_fact:
        __harbor_ca_audit: {in_effect: true, curable: false, expired: false}
    - ansible.builtin.import_tasks: TASKS/pick.yml
    - ansible.builtin.debug:
        msg: "picked {{ __harbor_ca_picked | join(' ') }}."
"""


@pytest.mark.parametrize(("exempt", "picked"), [("a", "b"), ("b", "a")])
def test_a_node_is_picked_for_a_new_proof_by_its_own_word(tmp_path: Path, exempt: str, picked: str) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / f"{exempt}.yml").write_text("harbor_ca_certify: never\n")
    with KubeApi() as api:
        api.store.add(make_node("a"), make_node("b"))
        api.write_kubeconfig(tmp_path / "kubeconfig")
        code, said = run(tmp_path, {"kubeconfig": "kubeconfig"}, PICK)
    assert code == 0, said
    assert f"picked {picked}." in said, said


def test_a_node_that_failed_before_does_not_keep_others_from_being_picked(tmp_path: Path) -> None:
    failing = """    - ansible.builtin.fail: {msg: of another import}
      when: inventory_hostname == 'b'
"""
    text = PICK.replace(
        "    - ansible.builtin.import_tasks:", f"{failing}    - ansible.builtin.import_tasks:"
    )
    with KubeApi() as api:
        api.store.add(make_node("a"), make_node("b"))
        api.write_kubeconfig(tmp_path / "kubeconfig")
        _code, said = run(tmp_path, {"kubeconfig": "kubeconfig"}, text)
    assert "picked a." in said, said


def test_marks_and_validity_are_those_of_the_variables(tmp_path: Path) -> None:
    with KubeApi() as api:
        api.store.add(make_node("w1"))
        kubeconfig = str(api.write_kubeconfig(tmp_path / "kubeconfig"))
        given = {"harbor_ca_kubeconfig": kubeconfig, "harbor_ca_annotation": "example.com/proof"}

        def proved(hours: int) -> str:
            code, said = run(
                tmp_path,
                {
                    "kubeconfig": "kubeconfig",
                    "proof_annotation": "example.com/proof",
                    "proof_validity_hours": hours,
                },
                outcomes={"w1": GOOD},
                harbor_ca_proof_validity_hours=hours,
                **given,
            )
            assert code == 0, said
            assert "w1 is True" in said, said
            text: str = api.store.get("nodes", "w1")["metadata"]["annotations"]["example.com/proof"]
            return text

        old = json.loads(proved(24)) | {
            "time": (datetime.now(timezone.utc) - timedelta(hours=20)).strftime(TIME)
        }
        text = json.dumps(old, separators=(",", ":"), sort_keys=True)
        api.store.edit(
            "nodes", "w1", lambda node: node["metadata"]["annotations"].update({"example.com/proof": text})
        )
        assert proved(48) == text, "young enough"
        assert proved(24) != text


CORRECT = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact:
        __harbor_ca_audit: {in_effect: false}
    - ansible.builtin.import_tasks: TASKS/needs.yml
    - ansible.builtin.include_tasks: {file: TASKS/clusters.yml, apply: {ignore_errors: true}}
    - ansible.builtin.import_tasks: TASKS/correct.yml
    - ansible.builtin.debug:
        msg: "{{ inventory_hostname }} ends with {{ harbor_ca_result.msg }}"
"""


def test_what_a_cluster_does_not_allow_is_told_of_each_node_before_one_is_touched(tmp_path: Path) -> None:
    with KubeApi() as api:
        api.users = [User("runner", (Rule(("get", "list"), ("nodes",)),), token="runner")]
        api.store.add(make_node("a"), make_node("b"))
        kubeconfig = str(api.write_kubeconfig(tmp_path / "kubeconfig", user="runner"))
        source = {"kubeconfig": "kubeconfig", "compose": {"ansible_ssh_executable": "'/bin/false'"}}
        code, said = run(tmp_path, source, CORRECT, harbor_ca_kubeconfig=kubeconfig)
        assert code == 0, said
        for name in ("a", "b"):
            assert f"{name} ends with {name}: not touched. Not allowed what certification needs" in said, said
        assert "UNREACHABLE" not in said
    steps = yaml.safe_load((ROOT / "playbooks" / "correct_drift.yml").read_text())
    (worker,) = [play for play in steps if play["name"] == "Correct what drifted"]
    include = worker["tasks"][0]["ansible.builtin.include_tasks"]
    assert include == {"file": "tasks/clusters.yml", "apply": {"ignore_errors": True}}


def test_a_cluster_of_a_later_batch_is_looked_at_before_the_first(tmp_path: Path) -> None:
    with KubeApi() as eu, KubeApi() as us:
        eu.store.add(make_node("a"))
        us.store.add(make_node("z"))
        (tmp_path / "both").write_text(json.dumps(two_clusters(eu, us)))
        # As in correct_drift: all nodes say what they need in a play before the one with batches.
        first, worker = CORRECT.split("    - ansible.builtin.include_tasks:", 1)
        batches = "\n- hosts: all\n  gather_facts: false\n  serial: 1\n  tasks:\n"
        text = f"{first}{batches}    - ansible.builtin.include_tasks:{worker}"
        code, said = run(
            tmp_path,
            {
                "kubeconfig": "both",
                "contexts": ["eu", "us"],
                "compose": {"ansible_ssh_executable": "'/bin/false'"},
            },
            text,
            harbor_ca_kubeconfig=str(eu.write_kubeconfig(tmp_path / "one", "eu")),
        )
    assert code == 0, said
    for name in ("a.eu", "z.us"):
        assert f"{name} ends with {name}: not touched." in said, said
    assert "no context 'us'" in said and "UNREACHABLE" not in said, said


@pytest.mark.parametrize("draining", ["eu", "us"])
def test_each_cluster_is_asked_for_what_its_own_nodes_need(tmp_path: Path, draining: str) -> None:
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "host_vars" / f"a.{draining}.yml").write_text("harbor_ca_drain: always\n")
    manifests = [ROOT / "deploy" / "rbac" / f"{job}.yml" for job in ("inventory", "certification")]
    rules = [item for path in manifests for item in yaml.safe_load(path.read_text())["items"]]
    with KubeApi() as eu, KubeApi() as us:
        us.users = [User("admin", rules_from_manifest(rules), token="may not evict")]
        for api in (eu, us):
            api.store.add(make_node("a"))
        (tmp_path / "both").write_text(json.dumps(two_clusters(eu, us)))
        code, said = run(
            tmp_path,
            {"kubeconfig": "both", "contexts": ["eu", "us"]},
            outcomes={"a.eu": GOOD, "a.us": GOOD},
            harbor_ca_kubeconfig=str(tmp_path / "both"),
        )
    assert code == (0 if draining == "eu" else 2), said
    assert ("create pods/eviction (context 'us')" in said) is (draining == "us"), said


def test_a_node_outside_the_run_keeps_its_word(tmp_path: Path) -> None:
    (tmp_path / "host_vars").mkdir()
    for name in "bc":
        (tmp_path / "host_vars" / f"{name}.yml").write_text("harbor_ca_certify: never\n")
    with KubeApi() as api:
        api.store.add(*(make_node(name, labels={"harbor-certified": "true"}) for name in "abcde"))
        api.write_kubeconfig(tmp_path / "kubeconfig")
        text = PLAY.replace("hosts: all", "hosts: all:!b:!c").replace(
            "  tasks:", "  vars: {__harbor_ca_members: [a, b, c, d, e]}\n  tasks:"
        )
        # Two of three, and not of five: so many at once are the registry's fault.
        outcomes = {"a": BAD, "d": BAD, "e": GOOD}
        _code, said = run(
            tmp_path,
            {"kubeconfig": "kubeconfig"},
            text,
            outcomes=outcomes,
            harbor_ca_kubeconfig=str(tmp_path / "kubeconfig"),
        )
        assert "2 of 3 nodes" in said, said
        assert all(
            api.store.get("nodes", name)["metadata"]["labels"].get("harbor-certified") for name in "ad"
        )


def test_a_run_over_contexts_and_a_pods_cluster_is_refused(tmp_path: Path) -> None:
    with KubeApi() as api:
        api.store.add(make_node("a"), make_node("b"))
        kubeconfig = str(api.write_kubeconfig(tmp_path / "kubeconfig"))
        # As if another inventory file had it from the pod's service account.
        compose = {
            "cluster_node": "cluster_node | combine({'cluster': 'in-cluster' if cluster_node.name == 'b' else 'lab'})"
        }
        code, said = run(
            tmp_path,
            {"kubeconfig": "kubeconfig", "compose": compose},
            outcomes={"a": GOOD, "b": GOOD},
            harbor_ca_kubeconfig=kubeconfig,
        )
        assert code == 2, said
        assert "from the contexts lab" in said and "make two runs" in said, said
        assert api.count("PATCH", ".*") == 0


@pytest.mark.parametrize("playbook", ["correct_drift", "rotate_ca"])
def test_every_play_that_works_in_batches_measures_losses_against_the_whole_fleet(playbook: str) -> None:
    plays = yaml.safe_load((ROOT / "playbooks" / f"{playbook}.yml").read_text())
    workers = [play for play in plays if "serial" in play]
    assert workers
    for worker in workers:
        assert "harbor_ca_nodes | default('all')" in worker["vars"]["__harbor_ca_members"], worker["name"]


# Where the client looks for a pod's files; a test may not write to /var/run.
POD = """
from kubernetes.config import incluster_config

incluster_config.SERVICE_TOKEN_FILENAME = {token!r}
incluster_config.SERVICE_CERT_FILENAME = {ca!r}
incluster_config.os.environ.update(KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT={port!r})
"""


def test_a_pod_certifies_with_its_service_account_and_the_rights_that_are_shipped(tmp_path: Path) -> None:
    manifests = [ROOT / "deploy" / "rbac" / f"{job}.yml" for job in ("inventory", "certification")]
    rules = [item for path in manifests for item in yaml.safe_load(path.read_text())["items"]]
    with KubeApi() as api:
        account = User("system:serviceaccount:nodetrust:runner", rules_from_manifest(rules), token="pod")
        api.users = [account]
        api.store.add(make_node("w1"))
        (tmp_path / "token").write_text("pod")
        port = api.url.rpartition(":")[2]
        customize = POD.format(token=str(tmp_path / "token"), ca=str(api.authority.path), port=port)
        (tmp_path / "sitecustomize.py").write_text(customize)
        code, said = run(tmp_path, {"in_cluster": True}, outcomes={"w1": GOOD})
        assert code == 0, said
        assert "w1 is True" in said, said
        assert api.store.get("nodes", "w1")["metadata"]["labels"]["harbor-certified"] == "true"
        assert {request.user for request in api.requests} == {account.name}
