# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab is what the other tests take it for: real nodes, and a registry beyond loopback."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.lab.verify import nodes

testinfra_hosts = ["ansible://nodes"]


def test_systemd_runs_the_node(host: Host) -> None:
    assert host.check_output("cat /proc/1/comm") == "systemd"
    assert host.check_output("systemctl is-system-running") == "running"
    assert host.check_output("systemctl is-active containerd") == "active"


def test_every_version_of_containerd_is_there(host: Host) -> None:
    version = host.check_output("containerd --version").split()[2].removeprefix("v")
    assert version.startswith(nodes.CONTAINERD_VERSIONS[host.backend.get_hostname()])


@pytest.mark.parametrize("port", ["443", "8443", "8444"])
def test_the_registry_answers_beyond_loopback(host: Host, port: str) -> None:
    # Runtimes skip verification on loopback, which would prove nothing.
    url = f"https://harbor.lab.internal:{port}/v2/"
    address, code = host.check_output(
        "curl -sk -o /dev/null -w '%%{remote_ip} %%{http_code}' %s", url
    ).split()
    assert not address.startswith("127.")
    assert code == ("401" if port == "8444" else "200")
