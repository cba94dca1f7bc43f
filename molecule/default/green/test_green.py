# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After: every node pulls, by a witness that shares no code with the collection; nothing else was disturbed."""

from __future__ import annotations

import difflib
import json

import pytest
from testinfra.host import Host

from tests.lab.verify import nodes

testinfra_hosts = ["ansible://nodes"]


@pytest.mark.parametrize(
    "image",
    [nodes.HELLO, f"{nodes.REGISTRY}:8443/library/hello:1", f"{nodes.REGISTRY}/theater/movie-service:latest"],
)
def test_the_node_pulls(host: Host, image: str) -> None:
    assert nodes.witness(host, image).startswith("sha256:")


def test_a_registry_nobody_asked_for_is_still_not_trusted(host: Host) -> None:
    assert nodes.UNKNOWN_AUTHORITY in nodes.witness(host, f"{nodes.REGISTRY}:8444/library/hello:1")


def test_the_container_runs_on_with_the_same_pid(host: Host) -> None:
    pids = json.loads((nodes.RUN / "containers.json").read_text())
    assert nodes.snapshot(host)["container_pids"] == pids[host.backend.get_hostname()]


def test_containerd_was_restarted_once_where_it_had_to_be_and_never_by_us_elsewhere(host: Host) -> None:
    # One start at boot; one more by hand on the nodes of that day, one more by us on the late one.
    starts = host.check_output("journalctl -u containerd -o cat | grep -c '^Started containerd'")
    assert starts == "2"


def test_of_the_configuration_only_the_setting_changed(host: Host) -> None:
    if host.backend.get_hostname() != "node4":
        assert not host.file("/etc/containerd/config.toml.before-nodetrust").exists
        return
    old = host.file("/etc/containerd/config.toml.before-nodetrust").content_string
    new = host.file("/etc/containerd/config.toml").content_string
    changed = [line for line in difflib.ndiff(old.splitlines(), new.splitlines()) if line[0] in "+-"]
    assert [line.strip("+ ") for line in changed if line.strip("+ ")] == [
        '[plugins."io.containerd.grpc.v1.cri".registry]',
        'config_path = "/etc/containerd/certs.d"',
    ]


def test_the_fingerprint_module_agrees(host: Host) -> None:
    registries = [{"host": nodes.REGISTRY, "fingerprints": [nodes.pin()]}]
    result = nodes.module(host.backend.get_hostname(), "ca_fingerprint", {"registries": registries})
    assert result["in_effect"] and not result["restart_due"]
    assert result["registries"][0]["found_fingerprints"] == [nodes.pin()]


def test_another_pin_is_not_in_sync(host: Host) -> None:
    wrong = "AB" * 32
    registries = [{"host": nodes.REGISTRY, "fingerprints": [nodes.pin(), wrong]}]
    result = nodes.module(host.backend.get_hostname(), "ca_fingerprint", {"registries": registries})
    assert not result["in_sync"] and result["changed"] is False
    assert any("missing: SHA256:AB:AB" in reason for reason in result["registries"][0]["reasons"])
