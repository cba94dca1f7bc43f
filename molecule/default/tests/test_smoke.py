# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab is what the other tests take it for: real nodes, a real registry, the incident's own text."""

from __future__ import annotations

from pathlib import Path

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://nodes"]

CRI_PULL = (Path(__file__).parents[3] / "tests/lab/files/cri_pull.py").read_text()
UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"


def cri_pull(host: Host, image: str) -> str:
    """What the node's containerd says to a pull through the CRI, as kubelet would ask for it."""
    return host.run("python3 -c %s %s", CRI_PULL, image).stdout


def test_systemd_runs_the_node(host: Host) -> None:
    assert host.file("/proc/1/comm").content_string.strip() == "systemd"
    assert host.check_output("systemctl is-system-running") == "running"
    assert host.service("containerd").is_running


@pytest.mark.parametrize("port", ["443", "8443", "8444"])
def test_the_registry_answers_beyond_loopback(host: Host, port: str) -> None:
    url = f"https://harbor.lab.internal:{port}/v2/"
    address, code = host.check_output("curl -sk -o /dev/null -w '%%{remote_ip} %%{http_code}' %s", url).split()
    assert not address.startswith("127.")
    assert code == ("401" if port == "8444" else "200")


@pytest.mark.parametrize("registry", ["harbor.lab.internal", "harbor.lab.internal:8443"])
def test_without_the_ca_a_pull_fails_with_the_text_of_the_incident(host: Host, registry: str) -> None:
    assert UNKNOWN_AUTHORITY in cri_pull(host, f"{registry}/library/hello:1")
