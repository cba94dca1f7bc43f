# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that goes wrong: a node that is as it was before is given back, one that is not stays cordoned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.lab.verify import cluster, nodes
from tests.lab.verify.pipeline import shell

testinfra_hosts = ["ansible://node4"]
UNPROVEN = [{"key": cluster.TAINT, "effect": "NoSchedule"}]
TAINTED = [f"{cluster.TAINT}:NoSchedule"]

# As it joined: containerd does not read the registry's directory.
_JOINED = """
set -e
cp /etc/containerd/config.toml.before-nodetrust /etc/containerd/config.toml
rm -rf /etc/containerd/certs.d /var/lib/nodetrust.harbor /etc/systemd/system/containerd.service.d/trap.conf
systemctl daemon-reload
systemctl reset-failed containerd || :
systemctl restart containerd
"""
_TRAP = """
set -e
mkdir -p /etc/systemd/system/containerd.service.d
printf '[Service]\\nExecStartPre=%s\\n' "{}" > /etc/systemd/system/containerd.service.d/trap.conf
systemctl daemon-reload
"""
# A file that is no certificate, as soon as containerd reads the directory: every pull from there fails.
_STRAY = (
    "/bin/sh -c '! grep -q certs.d /etc/containerd/config.toml"
    f" || : > /etc/containerd/certs.d/{nodes.REGISTRY}/stray.crt'"
)
_MEND = """
rm -f /etc/systemd/system/containerd.service.d/trap.conf
systemctl daemon-reload
systemctl reset-failed containerd || :
systemctl restart containerd
"""


@pytest.fixture(autouse=True)
def as_it_joined() -> Iterator[None]:
    shell(["node4"], _JOINED)
    marks = {"labels": {cluster.LABEL: None}, "annotations": {cluster.PROOF: None}}
    cluster.patch("node4", {"metadata": marks, "spec": {"taints": UNPROVEN}})
    yield
    shell(["node4"], _MEND)
    cluster.set_cordon("node4", False, True)


def test_a_failed_proof_that_was_taken_back_gives_the_node_back_without_a_certificate(host: Host) -> None:
    shell(["node4"], _TRAP.format(_STRAY))
    code, said, outcome = cluster.onboard("--limit", "node4")
    assert code != 0
    result = outcome["node4"]
    assert (result["reason"], result["proof"], result["rolled_back"]) == (
        "ca_file_unusable",
        "failed",
        True,
    ), said
    assert (result["cordoned"], result["uncordoned"]) == (True, True)
    assert "is back as it was before" in result["msg"]
    assert "stays cordoned" not in result["msg"]
    assert not cluster.cordoned("node4")
    assert (result["certified"], cluster.marks("node4")) == (False, (None, None, TAINTED))
    assert nodes.UNKNOWN_AUTHORITY in nodes.witness(host, nodes.HELLO)


def test_a_node_that_does_not_come_back_stays_cordoned_until_a_run_succeeds() -> None:
    shell(["node4"], _TRAP.format("/bin/false"))
    code, said, outcome = cluster.onboard("--limit", "node4", harbor_ca_wait=2)
    assert code != 0
    result = outcome["node4"]
    assert (result["reason"], result["rolled_back"], result["uncordoned"]) == (
        "restart_failed",
        False,
        False,
    ), said
    assert "The old files are back, but containerd.service does not run with them" in result["msg"]
    assert "stays cordoned" in result["msg"]
    assert cluster.cordoned("node4")
    assert cluster.marks("node4") == (None, None, TAINTED)

    shell(["node4"], _MEND)
    code, said, outcome = cluster.onboard("--limit", "node4")
    assert code == 0, said
    assert outcome["node4"]["uncordoned"] is True
    assert not cluster.cordoned("node4")
    assert cluster.marks("node4")[::2] == ("true", [])
