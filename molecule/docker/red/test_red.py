# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before: the pull fails as on the day of the incident, and check mode tells the cure without touching anything."""

from __future__ import annotations

import pytest
import testinfra
from testinfra.host import Host

from tests.lab.verify import engines, nodes

testinfra_hosts = ["ansible://engines"]


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, object]]:
    return engines.check("docker")


def test_the_versions_are_the_ones_of_the_support_table(host: Host) -> None:
    said = host.check_output("docker version --format '{{.Server.Version}}'")
    assert said.startswith(engines.DOCKER_VERSIONS[host.backend.get_hostname()])


@pytest.mark.parametrize("registry", engines.REGISTRIES)
def test_the_pull_fails_with_the_text_of_the_incident(host: Host, registry: str) -> None:
    assert nodes.UNKNOWN_AUTHORITY in engines.pull(host, "docker", f"{registry}/library/hello:1")


@pytest.mark.parametrize("node", engines.DOCKER_VERSIONS)
def test_the_fingerprint_module_tells_the_same_story(node: str, found: dict[str, dict[str, object]]) -> None:
    result = found[node]
    assert (result["in_effect"], result["restart_due"]) == (False, False)
    assert "no CA in /etc/docker/certs.d/harbor.lab.internal" in str(result["registries"])
    assert "'image_store': 'classic'" in str(result["runtime"])


def test_check_mode_tells_what_will_change_and_changes_nothing() -> None:
    hosts = testinfra.get_hosts(["ansible://engines"], ansible_inventory=str(nodes.INVENTORY))
    before = [nodes.snapshot(one) for one in hosts]
    run = nodes.playbook("onboard_node", engines.request("docker"), "--check", "--diff")
    assert run.returncode == 0, run.stdout
    assert [nodes.snapshot(one) for one in hosts] == before
    for words in (
        "create /etc/docker/certs.d/harbor.lab.internal/ca.crt",
        "create /etc/docker/certs.d/harbor.lab.internal:8443/ca.crt",
        f"+{nodes.pin()}",
    ):
        assert run.stdout.count(words) >= 3, f"missing: {words}\n{run.stdout}"


def test_without_a_kubelet_two_that_can_be_meant_are_a_question() -> None:
    # engine1's containerd has no CRI, so it can only be Docker's own; the others' could be kubelet's one day.
    found = engines.check("auto")
    assert found["engine1"]["runtime"]["name"] == "docker"
    for node in ("engine2", "engine3"):
        assert found[node]["reason"] == "several_runtimes"
        assert "harbor_ca_runtime" in found[node]["next_step"]


def test_a_kubelet_that_is_not_joined_yet_has_no_use_for_docker_alone(host: Host) -> None:
    if host.backend.get_hostname() != "engine2":
        return
    host.run_expect([0], "install -m 755 /bin/true /usr/local/bin/kubelet")
    try:
        assert engines.check("auto", "engine2")["engine2"]["runtime"]["name"] == "containerd"
    finally:
        host.run_expect([0], "rm /usr/local/bin/kubelet")
