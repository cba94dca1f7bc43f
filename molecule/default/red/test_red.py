# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before: the late node fails as on the day of the incident, and check mode tells the cure without touching it."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.lab.verify import nodes

testinfra_hosts = ["ansible://nodes"]
REGISTRIES = [nodes.REGISTRY, f"{nodes.REGISTRY}:8443"]


def is_late(host: Host) -> bool:
    return bool(host.backend.get_hostname() == "node4")


@pytest.mark.parametrize("registry", REGISTRIES)
def test_only_the_late_node_fails_and_with_the_text_of_the_incident(host: Host, registry: str) -> None:
    said = nodes.witness(host, f"{registry}/library/hello:1")
    if is_late(host):
        assert nodes.UNKNOWN_AUTHORITY in said
    else:
        assert said.startswith("sha256:")


def test_the_fingerprint_module_tells_the_same_story(host: Host) -> None:
    node = host.backend.get_hostname()
    pins = [nodes.pin()]
    result = nodes.module(
        node, "ca_fingerprint", {"registries": [{"host": name, "fingerprints": pins} for name in REGISTRIES]}
    )
    assert result["in_effect"] is not is_late(host)
    reasons = [reason for registry in result["registries"] for reason in registry["reasons"]]
    if is_late(host):
        assert any("no CA in /etc/containerd/certs.d/harbor.lab.internal" in reason for reason in reasons)
        assert any("config_path is not set" in reason for reason in reasons)
    else:
        assert reasons == []


def test_check_mode_tells_exactly_what_will_change_and_changes_nothing(host: Host) -> None:
    node = host.backend.get_hostname()
    before = nodes.snapshot(host)
    run = nodes.playbook("onboard_node", nodes.request(*REGISTRIES), "--check", "--diff", "--limit", node)
    assert run.returncode == 0, run.stdout
    assert nodes.snapshot(host) == before
    if not is_late(host):
        assert f"{node} " in run.stdout and "changed=0" in run.stdout
        return
    for words in (
        "create /etc/containerd/certs.d/harbor.lab.internal/ca.crt",
        "create /etc/containerd/certs.d/harbor.lab.internal:8443/ca.crt",
        "set config_path to /etc/containerd/certs.d in /etc/containerd/config.toml (was nothing)",
        '+  config_path = "/etc/containerd/certs.d"',
        f"+{nodes.pin()}",
        "a restart would be due",
    ):
        assert words in run.stdout, f"missing: {words}\n{run.stdout}"
