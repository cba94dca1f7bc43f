# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Again: one module call for a node, no file touched."""

from __future__ import annotations

import testinfra

from tests.lab.verify import engines, nodes


def test_a_run_that_changes_nothing_makes_one_call_and_touches_nothing() -> None:
    hosts = testinfra.get_hosts(["ansible://engines"], ansible_inventory=str(nodes.INVENTORY))
    before = [nodes.snapshot(host) for host in hosts]
    assert engines.idle_run("podman") == ["registry_trust"] * 3
    assert [nodes.snapshot(host) for host in hosts] == before
