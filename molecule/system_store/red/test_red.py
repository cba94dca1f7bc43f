# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before: no trust, and check mode tells the cure. Only on node1 and node2 has containerd verified a certificate."""

from __future__ import annotations

from tests.lab.verify import nodes, pipeline

NODES = ["node1", "node2", "node3"]
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def test_the_versions_are_the_ones_of_the_support_table() -> None:
    for node, said in pipeline.shell(NODES, "containerd --version").items():
        assert said.split()[2].removeprefix("v").startswith(nodes.CONTAINERD_VERSIONS[node])


def test_check_mode_tells_the_cure_and_changes_nothing() -> None:
    before = pipeline.snapshots(NODES)
    registry = {"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem(), "proof_image": "library/hello:1"}
    options = {"registries": [registry], "store": "system"}
    for result in pipeline.call(NODES, "nodetrust.harbor.registry_trust", options, "--check").values():
        first, last = result["changes"]
        assert first.startswith("create /usr/local/share/ca-certificates/nodetrust_harbor.lab.internal_")
        assert last == f"rebuild {BUNDLE} (update-ca-certificates)"
        assert result["restart_due"] and "reads it only once" in result["restart_why"]
        assert f"no CA in {BUNDLE}" in result["registries"][0]["reasons"]
        assert result["runtime"]["store"] == "system"
    assert pipeline.snapshots(NODES) == before


def test_the_pull_fails_and_makes_containerd_read_the_store() -> None:
    for said in pipeline.witness(NODES[:2]).values():
        assert nodes.UNKNOWN_AUTHORITY in said
