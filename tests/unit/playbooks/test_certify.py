# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the playbooks certify: each node in its own cluster, under the names that were asked for, and from a pod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, User, make_node
from ansible_collections.nodetrust.harbor.tests.lab.kube.access import rules_from_manifest
from tests.unit.playbooks.play import play

ROOT = Path(__file__).parents[3]
PIN = "SHA256:" + ":".join(["AB"] * 32)
LABEL = "node-restriction.kubernetes.io/harbor-certified"
TAINT = "example.com/unproven"
PROOF = "nodetrust.harbor/proof"
OURS = {"key": TAINT, "effect": "NoSchedule"}
GOOD = {
    "ok": True,
    "proof": "proven",
    "registries": [{"registry": "h.example.com", "expected_fingerprints": [PIN]}],
}
BAD = {"ok": False, "proof": "failed", "pulls": [{"reason": "unknown_authority"}]}

# As in each playbook, with the role's outcome given: first what is checked before a node is touched, then the end.
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.import_role: {name: nodetrust.harbor.harbor_ca, tasks_from: check}
      when: false
    - ansible.builtin.include_tasks: TASKS/clusters.yml
    - ansible.builtin.set_fact:
        harbor_ca_result: "{{ outcomes[inventory_hostname] }}"
    - ansible.builtin.include_tasks: TASKS/certify.yml
    - ansible.builtin.debug:
        msg: "{{ inventory_hostname }} is {{ harbor_ca_result.certified }}: {{ harbor_ca_result.certified_why }}"
"""


def run(directory: Path, source: dict[str, Any], **variables: Any) -> tuple[int, str]:
    source = {"plugin": "nodetrust.harbor.cluster_nodes", **source}
    (directory / "fleet.yml").write_text(json.dumps(source))
    (directory / "play.yml").write_text(PLAY.replace("TASKS", str(ROOT / "playbooks" / "tasks")))
    return play(directory, "play.yml", variables, PYTHONPATH=str(directory))


def status(node: dict[str, Any], condition: str) -> str | None:
    conditions = node["status"]["conditions"]
    return next((item["status"] for item in conditions if item["type"] == condition), None)


def test_nodes_of_one_name_in_two_clusters_are_marked_each_in_its_own(tmp_path: Path) -> None:
    with KubeApi() as eu, KubeApi() as us:
        eu.store.add(make_node("worker", runtime="containerd://2.1.1", taints=[OURS]))
        us.store.add(make_node("worker", runtime="containerd://2.1.2"), make_node("other", taints=[OURS]))
        config, more = eu.kubeconfig("eu"), us.kubeconfig("us")
        for section in ("clusters", "users", "contexts"):
            config[section] += more[section]
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
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
