# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Again: nothing changes; and the store's tool, run by others, is no reason to restart."""

from __future__ import annotations

from tests.lab.verify import nodes, pipeline

NODES = ["node1", "node2", "node3"]


def test_the_tool_run_by_a_package_is_no_reason_to_restart() -> None:
    pipeline.shell(NODES, "update-ca-certificates")
    before = pipeline.snapshots(NODES)
    registry = {"host": nodes.REGISTRY, "ca_pem": nodes.ca_pem(), "proof_image": "library/hello:1"}
    options = {"registries": [registry], "store": "system"}
    for result in pipeline.call(NODES, "nodetrust.harbor.registry_trust", options).values():
        assert not result["changed"] and not result["restart_due"], result
        assert result["proof"] == "proven"
    assert pipeline.snapshots(NODES) == before
