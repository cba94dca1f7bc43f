# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other ways to a cluster: two contexts in one run, the service account of a pod, marks under other names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi, User, make_node
from ansible_collections.nodetrust.harbor.tests.lab.kube.access import rules_from_manifest
from tests.lab.verify import cluster, nodes
from tests.lab.verify.pipeline import ADDRESSES

LABEL = "node-restriction.kubernetes.io/harbor-certified"
TAINT = "example.com/unproven"
UNPROVEN = {"key": TAINT, "effect": "NoSchedule"}


def inventory(directory: Path, kubeconfig: str, **source: Any) -> Path:
    """What a user writes, for another cluster and the same machines."""
    written = cluster.INVENTORY.parent / "group_vars" / "cluster_nodes.json"
    variables = {**json.loads(written.read_text()), "harbor_ca_kubeconfig": kubeconfig}
    (directory / "group_vars").mkdir()
    (directory / "group_vars" / "cluster_nodes.json").write_text(json.dumps(variables))
    path = directory / "fleet.yml"
    path.write_text(json.dumps({"plugin": "nodetrust.harbor.cluster_nodes", **source}))
    return path


def test_nodes_of_one_name_in_two_clusters_are_certified_each_in_its_own(tmp_path: Path) -> None:
    with KubeApi() as eu, KubeApi() as us:
        machines = {"eu": (eu, "node2", "containerd://2.1.1"), "us": (us, "node4", "containerd://2.1.2")}
        for api, machine, runtime in machines.values():
            api.store.add(make_node("worker", address=ADDRESSES[machine], runtime=runtime, taints=[UNPROVEN]))
        config, other = eu.kubeconfig("eu"), us.kubeconfig("us")
        for section in ("clusters", "users", "contexts"):
            config[section] += other[section]
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        source = {"kubeconfig": str(kubeconfig), "contexts": ["eu", "us"], "certified_label": LABEL}
        code, said, outcome = cluster.onboard(
            inventory=inventory(tmp_path, str(kubeconfig), **source),
            harbor_ca_label=LABEL,
            harbor_ca_taint=TAINT,
            harbor_ca_condition="HarborTrusted",
        )
        assert code == 0, said
        assert {name: result["certified"] for name, result in outcome.items()} == {
            "worker.eu": True,
            "worker.us": True,
        }
        for name, (api, _machine, runtime) in machines.items():
            node = api.store.get("nodes", "worker")
            labels, annotations = node["metadata"]["labels"], node["metadata"]["annotations"]
            assert (labels.get(LABEL), labels.get(cluster.LABEL)) == ("true", None), name
            assert json.loads(annotations[cluster.PROOF])["runtime"] == runtime
            assert not node["spec"].get("taints")
            conditions = {item["type"]: item["status"] for item in node["status"]["conditions"]}
            assert conditions["HarborTrusted"] == "True"


# A pod's files lie under /var/run, which is the machine's own: hidden under an empty one, for this run alone.
_POD = """
mount -t tmpfs -o mode=755 tmpfs /var/run
mkdir -p -m 700 "$ANSIBLE_SSH_CONTROL_PATH_DIR"
account=/var/run/secrets/kubernetes.io/serviceaccount
mkdir -p "$account"
printf %s "$1" > "$account/token"
cp "$2" "$account/ca.crt"
export KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT="$3"
shift 3
exec "$@"
"""


def test_a_pod_certifies_with_its_service_account_and_the_rights_that_are_shipped(tmp_path: Path) -> None:
    manifests = [nodes.REPO / "deploy" / "rbac" / f"{job}.yml" for job in ("inventory", "certification")]
    rules = [item for path in manifests for item in yaml.safe_load(path.read_text())["items"]]
    with KubeApi() as api:
        api.users = [User("system:serviceaccount:nodetrust:runner", rules_from_manifest(rules), token="pod")]
        api.store.add(make_node("worker", address=ADDRESSES["node2"]))
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        pod = ["unshare", "--mount", *as_root, "sh", "-ec", _POD, "sh"]
        port = api.url.rpartition(":")[2]
        code, said, outcome = cluster.onboard(
            inventory=inventory(tmp_path, "", in_cluster=True),
            wrapper=[*pod, "pod", str(api.authority.path), port],
        )
        assert code == 0, said
        assert outcome["worker"]["certified"] is True
        assert api.store.get("nodes", "worker")["metadata"]["labels"][cluster.LABEL] == "true"
        assert {request.user for request in api.requests} == {"system:serviceaccount:nodetrust:runner"}
