# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removed: the store is what it was, and the running containerd trusts the CA until its restart, as the result says."""

from __future__ import annotations

from typing import Any

from tests.lab.verify import nodes, pipeline

NODES = ["node1", "node2", "node3"]
AS_BEFORE = """
cmp /etc/ssl/certs/ca-certificates.crt /root/bundle
ls /etc/ssl/certs | cmp - /root/links
test -z "$(ls /usr/local/share/ca-certificates)"
"""


def remove() -> list[dict[str, Any]]:
    options = {"state": "absent", "store": "system", "registries": [{"host": nodes.REGISTRY}]}
    return list(pipeline.call(NODES, "nodetrust.harbor.registry_trust", options).values())


def test_what_was_removed_stays_trusted_until_the_restart() -> None:
    for result in remove():
        assert result["changed"] and result["restart_due"], result
        assert "trusts what was removed" in result["restart_why"]
    pipeline.shell(NODES, f"set -e\n{AS_BEFORE}")
    for said in pipeline.witness(NODES).values():
        assert said.startswith("sha256:")
    for result in remove():
        assert not result["changed"] and result["restart_due"], result
    pipeline.shell(NODES, "systemctl restart containerd")
    for said in pipeline.witness(NODES).values():
        assert nodes.UNKNOWN_AUTHORITY in said
