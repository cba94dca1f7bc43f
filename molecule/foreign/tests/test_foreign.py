# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of others: merged with, or refused by their owner's name, and not a byte of theirs is lost."""

from __future__ import annotations

import pytest

from tests.lab.verify import nodes

testinfra_hosts = ["ansible://node1", "ansible://node3"]
CERTS_DIR = "/etc/containerd/certs.d"
HOST_DIR = f"{CERTS_DIR}/{nodes.REGISTRY}"
HOSTS_TOML = f"{HOST_DIR}/hosts.toml"
# Nothing listens there, so the registry itself is asked next.
DEAD = f"https://{nodes.REGISTRY}:9443"

FOREIGN = {
    "a mirror that is down, and the registry itself": (
        f"# the platform team's\r\n[host.'{DEAD}'] # first\r\n\tcapabilities = ['pull', 'resolve']\r\n\r\n"
        f'[host."https://{nodes.REGISTRY}"]\r\n\tcapabilities = ["pull", "resolve"]'
    ),
    "the form that everybody copies": (
        f'server = "https://{nodes.REGISTRY}"\n'
        f'[host."https://{nodes.REGISTRY}"]\n  capabilities = ["pull", "resolve"]\n'
    ),
}


def test_the_versions_are_the_ones_of_the_support_table(node) -> None:
    version = node.sh("containerd --version").split()[2].removeprefix("v")
    assert version.startswith(nodes.CONTAINERD_VERSIONS[node.name])


@pytest.mark.parametrize("shape", FOREIGN)
def test_merged_and_freed_again(node, shape) -> None:
    text = FOREIGN[shape]
    node.put(HOSTS_TOML, text)
    node.sh(f"chown daemon:daemon {HOSTS_TOML}; chmod 600 {HOSTS_TOML}")
    # Of several tries containerd tells why the first one failed.
    assert ("connection refused" if DEAD in text else nodes.UNKNOWN_AUTHORITY) in node.witness()
    result = node.trust()
    assert result["changes"] == [f"create {HOST_DIR}/ca.crt", f"add ca to {HOSTS_TOML}"], result
    assert not result["restart_due"]
    assert node.pulls()
    if DEAD not in text:
        # A tag that isn't there is told as such: x509 would send somebody after the wrong fault.
        assert "not found" in nodes.witness(node.host, f"{nodes.REGISTRY}/library/hello:none")
    assert node.sh(f"stat -c '%U %a' {HOSTS_TOML}").split() == ["daemon", "600"]
    again = node.trust()
    assert again["changed"] is False and again["registries"][0]["in_effect"], again
    node.gone()
    assert node.content(HOSTS_TOML) == text.encode()
    assert node.sh(f"ls -A {HOST_DIR}") == "hosts.toml"
    assert node.sh(f"stat -c '%U %a' {HOSTS_TOML}").split() == ["daemon", "600"]
    assert not node.pulls()
    assert node.gone()["changed"] is False
