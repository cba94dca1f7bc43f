# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After: every node pulls; restarted where the store had been read, and nowhere else."""

from __future__ import annotations

from tests.lab.verify import nodes, pipeline

NODES = ["node1", "node2", "node3"]


def test_the_nodes_pull_and_so_does_every_other_program() -> None:
    for said in pipeline.witness(NODES).values():
        assert said.startswith("sha256:")
    pipeline.shell(NODES, f"curl -sS -o /dev/null https://{nodes.REGISTRY}/v2/")


def test_restarted_by_evidence_alone() -> None:
    assert pipeline.starts(NODES) == {"node1": 2, "node2": 2, "node3": 1}


def test_containerd_s_own_files_are_left_alone() -> None:
    pipeline.shell(NODES, "! ls -d /etc/containerd/certs.d /etc/containerd/*.before-nodetrust")


def test_the_fingerprint_module_agrees() -> None:
    registries = [{"host": nodes.REGISTRY, "fingerprints": [nodes.pin()]}]
    options = {"registries": registries, "store": "system"}
    for result in pipeline.call(NODES, "nodetrust.harbor.ca_fingerprint", options).values():
        assert result["in_effect"] and not result["restart_due"], result
        (found,) = result["registries"][0]["found"]
        assert found["fingerprint"] == nodes.pin()
        assert found["path"].startswith("/usr/local/share/ca-certificates/")
