# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removed: the x509 of the incident is back at once, nothing of ours is left, and a second removal changes nothing."""

from __future__ import annotations

from testinfra.host import Host

from tests.lab.verify import engines, nodes

testinfra_hosts = ["ansible://engines"]


def test_what_we_put_there_is_gone(host: Host) -> None:
    assert nodes.UNKNOWN_AUTHORITY in engines.pull(host, "docker")
    assert host.check_output("find /etc/docker/certs.d -mindepth 1") == ""


def test_dockerd_was_never_restarted_by_us(host: Host) -> None:
    if host.backend.get_hostname() == "engine3":
        return  # the step before restarted it by hand
    assert host.check_output("pgrep -x 'dockerd|busybox'") == host.file("/root/pids").content_string.strip()


def test_a_second_removal_changes_nothing() -> None:
    for result in engines.trust("docker", state="absent").values():
        assert result["changed"] is False
