# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before: no podman pulls, and check mode tells for each node the directory that counts there."""

from __future__ import annotations

from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from tests.lab.verify import engines, nodes

testinfra_hosts = ["ansible://engines"]
PLACES = {"engine1": "/etc/containers", "engine2": "/etc/docker", "engine3": "/etc/containers"}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    return engines.check("podman")


def test_the_versions_are_the_ones_of_the_support_table(host: Host) -> None:
    said = host.check_output("podman --version")
    assert said.split()[2].startswith(engines.PODMAN_VERSIONS[host.backend.get_hostname()])


def test_the_pull_fails_although_the_right_ca_lies_in_a_hidden_directory(host: Host) -> None:
    assert nodes.UNKNOWN_AUTHORITY in engines.pull(host, "podman")


@pytest.mark.parametrize("node", engines.PODMAN_VERSIONS)
def test_the_fingerprint_module_looks_where_podman_looks(node: str, found: dict[str, dict[str, Any]]) -> None:
    result = found[node]
    assert (result["in_effect"], result["restart_due"]) == (False, False)
    assert f"no CA in {PLACES[node]}/certs.d/{nodes.REGISTRY}" in result["registries"][0]["reasons"]
    assert (result["runtime"]["unit"], result["runtime"]["pid"]) == (None, None)


def test_check_mode_tells_what_will_change_and_changes_nothing() -> None:
    hosts = testinfra.get_hosts(["ansible://engines"], ansible_inventory=str(nodes.INVENTORY))
    before = [nodes.snapshot(one) for one in hosts]
    run = nodes.playbook("onboard_node", engines.request("podman"), "--check", "--diff")
    assert run.returncode == 0, run.stdout
    assert [nodes.snapshot(one) for one in hosts] == before
    for base, count in (("/etc/docker", 1), ("/etc/containers", 2)):
        words = f"{base}/certs.d/harbor.lab.internal/ca.crt (planned)"
        assert run.stdout.count(words) == count, f"not {count} times: {words}\n{run.stdout}"


def test_podman_beside_a_daemon_is_a_tool() -> None:
    # containerd and dockerd are installed here and stopped: a fault to be named, no reason to turn to podman.
    result = engines.check("auto", "engine1")["engine1"]
    assert result["reason"] == "no_runtime"
    assert "installed but stopped: containerd, docker" in result["found"]
