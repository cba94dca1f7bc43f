# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removed: the x509 of the incident is back where only we had put the CA; a neighbour's file is left alone."""

from __future__ import annotations

from testinfra.host import Host

from tests.lab.verify import nodes

testinfra_hosts = ["ansible://nodes"]


def test_what_only_we_put_there_is_gone(host: Host) -> None:
    said = nodes.witness(host, nodes.HELLO)
    if host.backend.get_hostname() == "node4":
        assert nodes.UNKNOWN_AUTHORITY in said
        assert not host.file(f"/etc/containerd/certs.d/{nodes.REGISTRY}").exists
    else:
        assert said.startswith("sha256:"), "the file that was copied by hand is not ours to take away"


def test_a_second_removal_changes_nothing(host: Host) -> None:
    before = nodes.snapshot(host)
    node = host.backend.get_hostname()
    result = nodes.module(
        node, "registry_trust", {"state": "absent", "registries": [{"host": nodes.REGISTRY}]}
    )
    assert result["changed"] is False
    assert nodes.snapshot(host) == before
