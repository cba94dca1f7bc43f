# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of any API server, the lab's or a real one: `make test-cluster` runs these on yours.

The nodes are objects without a machine. A real cluster finds them unreachable and adds taints and conditions of its
own to them, at any moment; that these survive is a part of what is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.nodetrust.harbor.plugins.action import (
    cluster_access_info,
    node_certification,
    node_drain,
)
from ansible_collections.nodetrust.harbor.plugins.plugin_utils import _kube
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._drain import CORDONED
from ansible_collections.nodetrust.harbor.plugins.plugin_utils._kubeconfig import Access
from ansible_collections.nodetrust.harbor.tests.lab.kube import KubeApi
from ansible_collections.nodetrust.harbor.tests.unit.plugins.action.on_controller import run_action

PREFIX = "nodetrust-test-"
LABEL, PROOF, TAINT = "harbor-certified", "nodetrust.harbor/proof", "nodetrust.harbor/unproven"
FOREIGN = {"key": "nodetrust-test.example.com/dedicated", "value": "gpu", "effect": "NoSchedule"}
PIN = "SHA256:" + ":".join(["AB"] * 32)
HARBOR = [{"host": "harbor.example.com", "fingerprints": [PIN]}]


class Cluster:
    """A cluster under test, through the official client; makes and deletes nodes with the prefix only."""

    def __init__(self, kubeconfig: str) -> None:
        self.kubeconfig = kubeconfig
        self.run = uuid.uuid4().hex[:8]
        self.connection = _kube.connect(Access(kubeconfig))
        self.names: list[str] = []

    def add(self, taints: list[dict[str, str]]) -> str:
        name = f"{PREFIX}{self.run}-{len(self.names)}"
        self.names.append(name)
        labels = {"nodetrust-test": self.run}
        self._api().create_node(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": labels},
                "spec": {"taints": taints},
            },
            _preload_content=False,
        )
        return name

    def node(self, name: str) -> dict[str, Any]:
        return self.connection.node(name)

    def taints(self, name: str) -> set[str]:
        return {item["key"] for item in self.node(name)["spec"].get("taints") or []}

    def remove(self) -> None:
        for name in self.names:
            assert name.startswith(PREFIX)
            self._api().delete_node(name, _preload_content=False)

    def _api(self) -> Any:
        import kubernetes

        return kubernetes.client.CoreV1Api(
            kubernetes.config.new_client_from_config(config_file=self.kubeconfig)
        )


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The one of the cluster that was named, or of the lab's server."""
    named = os.environ.get("NODETRUST_TEST_CLUSTER")
    if named:
        yield named
        return
    with KubeApi() as api:
        yield str(api.write_kubeconfig(tmp_path_factory.mktemp("cluster") / "kubeconfig"))


@pytest.fixture
def cluster(kubeconfig: str) -> Iterator[Cluster]:
    cluster = Cluster(kubeconfig)
    try:
        yield cluster
    finally:
        cluster.remove()


def certify(cluster: Cluster, *names: str, **options: Any) -> dict[str, Any]:
    nodes = [{"name": name} for name in names]
    return run_action(
        node_certification, kubeconfig=cluster.kubeconfig, nodes=nodes, **{"registries": HARBOR, **options}
    )


def test_the_rights_can_be_asked_for(kubeconfig: str) -> None:
    result = run_action(
        cluster_access_info, kubeconfig=kubeconfig, jobs=["inventory", "certification", "drain"]
    )
    assert result["clusters"][0]["missing"] == []


def test_certify_lose_and_forget(cluster: Cluster) -> None:
    name = cluster.add([{"key": TAINT, "effect": "NoSchedule"}, FOREIGN])
    predicted = certify(cluster, name, check_mode=True)
    assert TAINT in cluster.taints(name)
    done = certify(cluster, name)
    assert predicted["changes"] == done["changes"]
    assert done["changes"][0]["changed"] == ["label", "annotation", "taint"]
    metadata = cluster.node(name)["metadata"]
    assert metadata["labels"][LABEL] == "true"
    assert json.loads(metadata["annotations"][PROOF])["registries"] == {"harbor.example.com": [PIN]}
    assert TAINT not in cluster.taints(name)
    assert not certify(cluster, name)["changed"]

    certify(cluster, name, state="uncertified", registries=[])
    assert LABEL not in cluster.node(name)["metadata"]["labels"]
    assert TAINT in cluster.taints(name)
    certify(cluster, name, state="absent", registries=[])
    assert TAINT not in cluster.taints(name)
    assert FOREIGN["key"] in cluster.taints(name), "somebody else's"


def test_a_condition_beside_those_of_others(cluster: Cluster) -> None:
    name = cluster.add([])

    def status() -> str | None:
        conditions = cluster.node(name).get("status", {}).get("conditions") or []
        return next((item["status"] for item in conditions if item["type"] == "HarborTrusted"), None)

    certify(cluster, name, condition="HarborTrusted", taint="")
    assert status() == "True"
    certify(cluster, name, condition="HarborTrusted", taint="", state="absent", registries=[])
    assert status() is None


def test_names_that_the_server_refuses(cluster: Cluster) -> None:
    result = certify(cluster, cluster.add([]), label="not a label")
    assert (result["failed"], result["failures"][0]["reason"]) == (True, "rejected")


def test_a_node_that_is_not_there(cluster: Cluster) -> None:
    result = certify(cluster, f"{PREFIX}{cluster.run}-late")
    assert (result.get("failed", False), result["missing"]) == (False, [f"{PREFIX}{cluster.run}-late"])


def test_cordon_and_drain(cluster: Cluster) -> None:
    name = cluster.add([])
    options = {"kubeconfig": cluster.kubeconfig, "name": name}
    assert run_action(node_drain, state="cordoned", **options)["cordoned"]
    assert cluster.node(name)["spec"]["unschedulable"] is True
    assert CORDONED in cluster.node(name)["metadata"]["annotations"]
    result = run_action(node_drain, state="drained", **options)
    assert (result.get("failed", False), result["evicted"]) == (False, [])
    # Nothing reports this node Ready, so it must stay out of service.
    result = run_action(node_drain, state="released", timeout=1, interval=0.2, **options)
    assert (result["failed"], result["reason"]) == (True, "node_not_ready")


def test_the_inventory_finds_them_by_label_page_by_page(cluster: Cluster, tmp_path: Path) -> None:
    names = {cluster.add([]) for _time in range(3)}
    certify(cluster, min(names))
    (tmp_path / "fleet.yml").write_text(
        json.dumps(
            {
                "plugin": "nodetrust.harbor.cluster_nodes",
                "kubeconfig": os.path.abspath(cluster.kubeconfig),
                "label_selector": f"nodetrust-test={cluster.run}",
                "page_size": 2,
            }
        )
    )
    program = Path(sys.executable).parent / "ansible-inventory"
    command = [str(program), "-i", "fleet.yml", "--list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found["cluster_nodes"]["hosts"]) == names, done.stderr
    assert found["certified"]["hosts"] == [min(names)]
    assert set(found["uncertified"]["hosts"]) == names - {min(names)}
