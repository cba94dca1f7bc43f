# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Again: nothing is written to the cluster or to the node, and the node is called once."""

from __future__ import annotations

import re

from testinfra.host import Host

from tests.lab.verify import cluster, nodes

testinfra_hosts = ["ansible://node4"]


def test_a_run_that_changes_nothing_writes_nothing(host: Host) -> None:
    before, asked = nodes.snapshot(host), len(cluster.audit())
    code, said, outcome = cluster.onboard("-vvv", "--limit", "node4")
    assert code == 0, said
    assert nodes.snapshot(host) == before
    assert re.findall(r"Using module file .*/(\w+)\.py", said).count("registry_trust") == 1
    assert re.search(r"node4 +: ok=\d+ +changed=0 +unreachable=0 +failed=0", said)
    assert cluster.writes(asked) == []
    assert outcome["node4"]["certified"] is True
    # One list for the inventory, the rights for the whole run, one look at the node to certify.
    assert [request["path"] for request in cluster.audit()[asked:]] == [
        "/api/v1/nodes",
        *["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] * 3,
        "/api/v1/nodes/node4",
    ]


def test_what_has_not_joined_is_not_certified_and_that_is_said() -> None:
    run = nodes.playbook("onboard_node", nodes.request(nodes.REGISTRY, harbor_ca_nodes="node4"))
    assert run.returncode == 0, run.stdout
    assert "cluster:" not in run.stdout
