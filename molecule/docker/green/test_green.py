# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After: Docker pulls, by its own client; dockerd and the container are the processes that they were."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.lab.verify import engines, nodes

testinfra_hosts = ["ansible://engines"]


@pytest.mark.parametrize("registry", engines.REGISTRIES)
def test_docker_pulls(host: Host, registry: str) -> None:
    assert engines.pull(host, "docker", f"{registry}/theater/movie-service:latest") == "pulled"


def test_a_registry_nobody_asked_for_is_still_not_trusted(host: Host) -> None:
    said = engines.pull(host, "docker", f"{nodes.REGISTRY}:8444/library/hello:1")
    assert nodes.UNKNOWN_AUTHORITY in said


def test_dockerd_and_the_container_have_the_same_pids(host: Host) -> None:
    assert host.check_output("pgrep -x 'dockerd|busybox'") == host.file("/root/pids").content_string.strip()


def test_nothing_was_written_where_docker_does_not_read(host: Host) -> None:
    assert not host.file("/etc/containerd/certs.d").exists
    assert not host.file("/etc/containers/certs.d").exists


def test_the_fingerprint_module_agrees() -> None:
    for result in engines.check("docker").values():
        assert result["in_effect"] and not result["restart_due"]
        assert result["registries"][0]["found_fingerprints"] == [nodes.pin()]
        assert result["registries"][0]["reasons"] == []
