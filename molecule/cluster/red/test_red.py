# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before: a late node without trust, and with the taint that keeps pods away until it is proven."""

from __future__ import annotations

import urllib.error

import pytest
from testinfra.host import Host

from tests.lab.verify import cluster, nodes

testinfra_hosts = ["ansible://node4"]


def test_the_late_node_cannot_pull(host: Host) -> None:
    assert nodes.UNKNOWN_AUTHORITY in nodes.witness(host, nodes.HELLO)


def test_the_late_node_is_tainted_and_the_old_one_is_not() -> None:
    assert cluster.marks("node4") == (None, None, [f"{cluster.TAINT}:NoSchedule"])
    assert cluster.marks("node2") == (None, None, [])


def test_nobody_had_to_write_down_the_late_node() -> None:
    groups = cluster.groups()
    assert (
        groups["cluster_nodes"] == groups["uncertified"] == groups["runtime_containerd"] == {"node2", "node4"}
    )
    assert "certified" not in groups


def test_the_node_cannot_take_its_own_taint_away() -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        cluster.patch("node4", {"spec": {"taints": []}}, user="kubelet-node4")
    assert refused.value.code == 403
    assert "taints" in refused.value.read().decode()


def test_check_mode_tells_what_it_would_do_and_writes_nothing(host: Host) -> None:
    before, asked = nodes.snapshot(host), len(cluster.audit())
    code, said, outcome = cluster.onboard("--check")
    assert code == 0, said
    assert set(outcome) == {"node2", "node4"}
    assert "a restart would be due" in said
    assert cluster.writes(asked) == []
    assert nodes.snapshot(host) == before
