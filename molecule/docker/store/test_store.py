# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker 28.5 with the image store in containerd: it reads the same directory by containerd's rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

from tests.lab.verify import engines, nodes

testinfra_hosts = ["ansible://engine3"]
SWITCH = '{"features": {"containerd-snapshotter": true}}'
LIVE = '{"features": {"containerd-snapshotter": true}, "live-restore": true}'
PLACE = f"/etc/docker/certs.d/{nodes.REGISTRY}"


def sh(host: Host, script: str) -> str:
    return str(host.check_output("sh -c %s", script))


def trust(**options: Any) -> dict[str, Any]:
    return engines.trust("docker", "engine3", **options)["engine3"]


@pytest.fixture(scope="module", autouse=True)
def in_containerd(host: Host) -> Iterator[None]:
    """The switch is the test's own doing, and so is the restart; the container of before is not in that store."""
    sh(host, f"echo '{SWITCH}' > /etc/docker/daemon.json")
    sh(host, "systemctl reset-failed docker; systemctl restart docker")
    yield
    sh(host, "rm /etc/docker/daemon.json; systemctl reset-failed docker; systemctl restart docker")


def test_removed_and_installed_again_without_a_restart(host: Host) -> None:
    dockerd = sh(host, "pgrep -x dockerd")
    assert trust(state="absent")["changed"]
    assert nodes.UNKNOWN_AUTHORITY in engines.pull(host, "docker")
    result = trust()
    assert result["runtime"]["image_store"] == "containerd"
    assert (result["changed"], result["proof"], result["restart_due"]) == (True, "proven", False)
    assert engines.pull(host, "docker") == "pulled"
    assert sh(host, "pgrep -x dockerd") == dockerd


def test_what_certs_d_does_not_reach_is_told_before_a_proof_fails(host: Host) -> None:
    result = engines.check("docker", "engine3")["engine3"]
    assert result["in_effect"]
    assert "harbor_ca_store: system" in str(result["registries"][0]["reasons"])


def test_one_file_of_junk_breaks_the_registry_and_is_named(host: Host) -> None:
    sh(host, f"echo junk > {PLACE}/z.crt")
    try:
        assert "unable to load CA cert" in engines.pull(host, "docker")
        result = trust()
        assert result["reason"] == "ca_file_unusable" and result["path"] == f"{PLACE}/z.crt"
    finally:
        sh(host, f"rm {PLACE}/z.crt")


def test_a_hosts_toml_that_verifies_nothing_is_drift(host: Host) -> None:
    sh(
        host,
        f"printf '[host.\"https://{nodes.REGISTRY}\"]\\nskip_verify = true\\n' > {PLACE}/hosts.toml; rm {PLACE}/ca.crt",
    )
    try:
        assert engines.pull(host, "docker") == "pulled"
        result = engines.check("docker", "engine3")["engine3"]
        assert not result["in_sync"] and "skip_verify" in str(result["registries"][0]["reasons"])
    finally:
        sh(host, f"rm {PLACE}/hosts.toml")
        assert trust()["proof"] == "proven"


def test_a_restart_that_would_stop_containers_is_left_to_a_person_until_it_would_not(host: Host) -> None:
    sh(
        host,
        "tar -C /bin -c busybox | docker import - second && "
        "docker run -d --name second --network none second /busybox sleep 1h",
    )
    container, dockerd = sh(host, "pgrep -f '^/busybox sleep 1h'"), sh(host, "pgrep -x dockerd")
    request = {**engines.request("docker"), "harbor_ca_store": "system"}
    registries = [{"host": name} for name in engines.REGISTRIES]
    try:
        run = nodes.playbook("onboard_node", request, "--limit", "engine3")
        assert run.returncode != 0 and "without live-restore" in run.stdout, run.stdout
        assert (sh(host, "pgrep -f '^/busybox sleep 1h'"), sh(host, "pgrep -x dockerd")) == (
            container,
            dockerd,
        )

        sh(host, f"echo '{LIVE}' > /etc/docker/daemon.json; systemctl reload docker")
        run = nodes.playbook("onboard_node", request, "--limit", "engine3")
        assert run.returncode == 0, run.stdout
        assert sh(host, "pgrep -f '^/busybox sleep 1h'") == container
        assert sh(host, "pgrep -x dockerd") != dockerd
        assert engines.pull(host, "docker") == "pulled"
    finally:
        sh(host, "docker rm -f second")
        trust(state="absent", store="system", registries=registries)
