# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removed: ours is gone, and what others had laid there counts again."""

from __future__ import annotations

from testinfra.host import Host

from tests.lab.verify import engines, nodes

testinfra_hosts = ["ansible://engines"]


def test_what_we_put_there_is_gone_and_a_neighbours_file_is_not(host: Host) -> None:
    found = host.run("find /etc/containers/certs.d /etc/docker/certs.d -type f").stdout.split()
    if host.backend.get_hostname() == "engine3":
        assert found == [f"/etc/docker/certs.d/{nodes.REGISTRY}/ca.crt"]
        assert engines.pull(host, "podman") == "pulled"
    else:
        assert found == []
        assert nodes.UNKNOWN_AUTHORITY in engines.pull(host, "podman")


def test_a_second_removal_changes_nothing() -> None:
    for result in engines.trust("podman", state="absent").values():
        assert result["changed"] is False
