# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After: both nodes pull and say so in the cluster; the late one was out of service only while it had to be."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from tests.lab.verify import cluster, nodes

testinfra_hosts = ["ansible://late", "ansible://node2"]


def name(host: Host) -> str:
    return str(host.backend.get_hostname())


def test_the_node_pulls_and_the_cluster_says_so(host: Host) -> None:
    assert nodes.witness(host, nodes.HELLO).startswith("sha256:")
    label, proof, taints = cluster.marks(name(host))
    assert (label, taints) == ("true", [])
    assert proof is not None
    facts = json.loads(proof)
    assert facts["registries"] == {nodes.REGISTRY: [nodes.pin()]}
    version = host.check_output("containerd --version").split()[2]
    assert facts["runtime"] == f"containerd://{version}"


def test_the_container_runs_on(host: Host) -> None:
    pids = json.loads((nodes.RUN / "containers.json").read_text())
    assert nodes.snapshot(host)["container_pids"] == pids[name(host)]


def test_the_inventory_agrees() -> None:
    groups = cluster.groups()
    assert groups["certified"] == {"node2", "node4"}
    assert "uncertified" not in groups


def test_only_the_node_that_was_restarted_was_cordoned_and_it_was_given_back() -> None:
    def patched(node: str) -> list[object]:
        paths = [request for request in cluster.writes() if request["path"] == f"/api/v1/nodes/{node}"]
        done = [request["body"] for request in paths if request["status"] == 200]
        return [body["spec"]["unschedulable"] for body in done if "unschedulable" in body.get("spec", {})]

    assert patched("node2") == []
    assert patched("node4") == [True, None]
    assert not cluster.cordoned("node4")
    assert "web-1" in cluster.pods(), "a restart of containerd is no reason to evict pods"


@pytest.mark.parametrize(("node", "restarted"), [("node2", False), ("node4", True)])
def test_the_outcome_tells_it(node: str, restarted: bool) -> None:
    outcome = json.loads(cluster.OUTCOME.read_text())
    assert outcome["ok"] is True
    result = outcome["nodes"][node]
    assert (result["certified"], result["certified_why"]) == (True, "proved by a pull")
    assert result["restarted"] is result["cordoned"] is result["uncordoned"] is restarted
    assert result["evicted"] == []
